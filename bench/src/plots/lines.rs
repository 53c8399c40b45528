//! What readers cost the brokers.

use std::path::Path;

use plotters::prelude::*;

use super::{Drawn, broker, color, decades, label, tick};
use crate::catalogue::{CASES, Kind, PEERS};
use crate::report::Report;

/// The line of a client: readers, and CPU of its broker per point and reader.
fn line(report: &Report, key: &str) -> Vec<(f64, f64)> {
    CASES
        .iter()
        .filter_map(|case| {
            let Kind::FanOut(readers) = case.kind else { return None };
            Some((readers as f64, report.median(case.id, key, "broker_cpu_us_per_delivery")?))
        })
        .filter(|(_, cpu)| *cpu > 0.0)
        .collect()
}

pub(super) fn draw(report: &Report, file: &Path) -> Drawn {
    let lines: Vec<_> = PEERS
        .iter()
        .filter_map(|peer| Some((peer.key, broker(peer.key)?, line(report, peer.key))))
        .filter(|(_, _, line)| !line.is_empty())
        .collect();
    let values = lines.iter().flat_map(|(_, _, line)| line.iter().map(|(_, cpu)| *cpu));
    let Some((low, high)) = decades(values) else { return Ok(false) };
    let root = SVGBackend::new(file, (640, 420)).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption("What a reader costs the broker, 32-byte points", ("sans-serif", 17))
        .margin(12)
        .margin_right(24)
        .x_label_area_size(42)
        .y_label_area_size(64)
        .build_cartesian_2d((0.8..125.0).log_scale(), (low..high).log_scale())?;
    chart
        .configure_mesh()
        .x_label_formatter(&|readers| tick(*readers))
        .y_label_formatter(&|cpu| tick(*cpu))
        .x_desc("readers of one source (log scale)")
        .y_desc("µs of CPU per point and reader (log scale)")
        .label_style(("sans-serif", 13))
        .light_line_style(WHITE)
        .bold_line_style(RGBColor(215, 215, 215))
        .draw()?;
    for (key, broker, line) in lines {
        let color = color(key);
        chart.draw_series(line.iter().map(|point| Circle::new(*point, 4, color.filled())))?;
        chart
            .draw_series(LineSeries::new(line, color.stroke_width(2)))?
            .label(format!("{broker} with {}", label(key)))
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(3)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE.mix(0.85))
        .border_style(RGBColor(215, 215, 215))
        .label_font(("sans-serif", 13))
        .draw()?;
    root.present()?;
    Ok(true)
}

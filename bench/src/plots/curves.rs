//! Latency by percentile: the distribution of all runs together.

use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;

use super::{Drawn, color, decades, label, tick};
use crate::report::{Cell, Report};
use crate::stats::cumulative;

/// Workloads with a distribution.
const PANELS: [(&str, &str); 3] = [
    ("d", "Write to acknowledgement, one point at a time"),
    ("e1", "End to end through the broker, 1000 points/s"),
    ("e80", "End to end at 80 % of each client's own rate"),
];
const WIDTH: u32 = 560;
const HEIGHT: u32 = 420;
/// The horizontal axis ends at 99.99 %.
const NINES: f64 = 4.0;

pub(super) fn draw(report: &Report, file: &Path) -> Drawn {
    let cells = |case: &str| -> Vec<&Cell> {
        report.cells.iter().filter(|cell| cell.case == case && !cell.histogram.is_empty()).collect()
    };
    let panels: Vec<_> = PANELS
        .iter()
        .map(|(case, title)| (cells(case), title))
        .filter(|(cells, _)| !cells.is_empty())
        .collect();
    if panels.is_empty() {
        return Ok(false);
    }
    let (columns, lines) = (panels.len().min(2), panels.len().div_ceil(2));
    let root = SVGBackend::new(file, (WIDTH * columns as u32, HEIGHT * lines as u32)).into_drawing_area();
    root.fill(&WHITE)?;
    for (area, (cells, title)) in root.split_evenly((lines, columns)).iter().zip(panels) {
        draw_panel(area, &cells, title)?;
    }
    root.present()?;
    Ok(true)
}

/// Shares as a number of nines, which spreads out the slowest points: 0.9 is 1, 0.99 is 2.
fn curve(cell: &Cell) -> Vec<(f64, f64)> {
    let total: u64 = cell.histogram.iter().map(|(_, count)| count).sum();
    // The slowest has no number of nines; it stands half a point before the end.
    let most = 1.0 - 0.5 / total as f64;
    let nines = |share: f64| -(1.0 - share.min(most)).log10();
    cumulative(&cell.histogram)
        .into_iter()
        .map(|(share, us)| (nines(share), us))
        .filter(|(nines, _)| *nines <= NINES)
        .collect()
}

fn draw_panel(area: &DrawingArea<SVGBackend<'_>, Shift>, cells: &[&Cell], title: &str) -> Drawn {
    let values = cells.iter().flat_map(|cell| curve(cell)).map(|(_, us)| us);
    let Some((low, high)) = decades(values) else { return Ok(false) };
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 17))
        .margin(12)
        .x_label_area_size(42)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..NINES, (low..high).log_scale())?;
    chart
        .configure_mesh()
        .x_labels(5)
        .x_label_formatter(&|nines| percentile(*nines))
        .y_label_formatter(&|us| tick(*us))
        .x_desc("share of the points that took at most so long")
        .y_desc("µs (log scale), less is better")
        .label_style(("sans-serif", 13))
        .light_line_style(WHITE)
        .bold_line_style(RGBColor(215, 215, 215))
        .draw()?;
    for cell in cells {
        let color = color(&cell.peer);
        chart
            .draw_series(LineSeries::new(curve(cell), color.stroke_width(2)))?
            .label(label(&cell.peer))
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(3)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.85))
        .border_style(RGBColor(215, 215, 215))
        .label_font(("sans-serif", 13))
        .draw()?;
    Ok(true)
}

fn percentile(nines: f64) -> String {
    let percent = (1.0 - 10_f64.powf(-nines)) * 100.0;
    let decimals = (nines.round() - 2.0).max(0.0) as usize;
    format!("{percent:.decimals$} %")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::report::Outcome;

    #[test]
    fn percentiles_are_a_number_of_nines() {
        let shown: Vec<_> = [0.0, 1.0, 2.0, 3.0, 4.0].iter().map(|nines| percentile(*nines)).collect();
        assert_eq!(shown, ["0 %", "90 %", "99 %", "99.9 %", "99.99 %"]);
    }

    #[test]
    fn the_curve_ends_with_the_slowest_point() {
        let cell = Cell {
            case: "d".to_owned(),
            peer: "iscp_c".to_owned(),
            outcome: Outcome::Done,
            points: 100,
            metrics: BTreeMap::new(),
            histogram: vec![(10.0, 90), (20.0, 9), (90.0, 1)],
        };
        let curve = curve(&cell);
        assert!((curve[0].0 - 1.0).abs() < 1e-9 && curve[0].1 == 10.0, "{curve:?}");
        assert!((curve[1].0 - 2.0).abs() < 1e-9 && curve[1].1 == 20.0, "{curve:?}");
        assert!(curve[2].0 > 2.0 && curve[2].1 == 90.0, "{curve:?}");
    }
}

//! One row per client: the median as a dot, and a line from the least to the most.

use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::{Drawn, color, decades, label, tick};
use crate::report::Report;
use crate::stats::Summary;
use crate::targets::digits;

/// One workload and metric.
pub(super) struct Panel<'a> {
    title: &'a str,
    unit: &'a str,
    rows: Vec<(&'a str, Summary)>,
}

impl<'a> Panel<'a> {
    pub(super) fn of(
        report: &'a Report,
        case: &str,
        metric: &str,
        factor: f64,
        title: &'a str,
        unit: &'a str,
    ) -> Self {
        let rows = report.cells.iter().filter(|cell| cell.case == case).filter_map(|cell| {
            let of = cell.metrics.get(metric).filter(|of| of.min > 0.0)?;
            let scaled = Summary { min: of.min * factor, median: of.median * factor, max: of.max * factor };
            Some((cell.peer.as_str(), scaled))
        });
        Self { title, unit, rows: rows.collect() }
    }
}

const WIDTH: u32 = 520;
const HEIGHT: u32 = 300;
const NAMES: u32 = 150;

/// Draws panels in two columns; false when there is nothing to draw.
pub(super) fn draw(file: &Path, panels: &[Panel<'_>]) -> Drawn {
    let panels: Vec<_> = panels.iter().filter(|panel| !panel.rows.is_empty()).collect();
    if panels.is_empty() {
        return Ok(false);
    }
    let (columns, lines) = (panels.len().min(2), panels.len().div_ceil(2));
    let root = SVGBackend::new(file, (WIDTH * columns as u32, HEIGHT * lines as u32)).into_drawing_area();
    root.fill(&WHITE)?;
    for (area, panel) in root.split_evenly((lines, columns)).iter().zip(panels) {
        draw_panel(&root, area, panel)?;
    }
    root.present()?;
    Ok(true)
}

fn draw_panel(
    root: &DrawingArea<SVGBackend<'_>, Shift>,
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    panel: &Panel<'_>,
) -> Drawn {
    let values = panel.rows.iter().flat_map(|(_, summary)| [summary.min, summary.max]);
    let Some((low, high)) = decades(values) else { return Ok(false) };
    let rows = panel.rows.len() as f64;
    let mut chart = ChartBuilder::on(area)
        .caption(panel.title, ("sans-serif", 17))
        .margin(10)
        .margin_right(60)
        .x_label_area_size(42)
        .y_label_area_size(NAMES)
        .build_cartesian_2d((low..high).log_scale(), 0.0..rows)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .disable_y_axis()
        .y_labels(0)
        .x_label_formatter(&|value| tick(*value))
        .x_desc(format!("{} (log scale)", panel.unit))
        .label_style(("sans-serif", 13))
        .light_line_style(WHITE)
        .bold_line_style(RGBColor(215, 215, 215))
        .draw()?;
    let text = ("sans-serif", 13).into_font().color(&BLACK);
    let middle = |at: HPos| text.pos(Pos::new(at, VPos::Center));
    for (at, (key, summary)) in panel.rows.iter().enumerate() {
        // The first on top.
        let y = rows - at as f64 - 0.5;
        let color = color(key);
        let range = vec![(summary.min, y), (summary.max, y)];
        chart.draw_series([PathElement::new(range, color.stroke_width(3))])?;
        chart.draw_series([Circle::new((summary.median, y), 5, color.filled())])?;
        let (left, line) = chart.plotting_area().map_coordinate(&(low, y));
        root.draw_text(label(key), &middle(HPos::Right), (left - 8, line))?;
        let (right, _) = chart.plotting_area().map_coordinate(&(summary.max, y));
        root.draw_text(&short(summary.median), &middle(HPos::Left), (right + 9, line))?;
    }
    Ok(true)
}

/// Three digits, with a letter for thousands and millions.
fn short(value: f64) -> String {
    match value {
        value if value >= 1e6 => format!("{} M", digits(value / 1e6)),
        value if value >= 1e4 => format!("{} k", digits(value / 1e3)),
        value => digits(value),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;

    use super::*;
    use crate::report::{Cell, Outcome};

    #[test]
    fn clients_stand_beside_their_medians() {
        let summary = Summary { min: 9e6, median: 12.3e6, max: 15e6 };
        let cell = Cell {
            case: "a1".to_owned(),
            peer: "iscp_c".to_owned(),
            outcome: Outcome::Done,
            points: 1,
            metrics: BTreeMap::from([("points_per_s".to_owned(), summary)]),
            histogram: Vec::new(),
        };
        let report = Report { cells: vec![cell], ..Report::default() };
        let file = std::env::temp_dir().join(format!("iscp-bench-dots-{}.svg", std::process::id()));
        let panel = Panel::of(&report, "a1", "points_per_s", 1.0, "Small points", "points/s");
        let drawn = draw(&file, &[panel]).unwrap();
        let svg = fs::read_to_string(&file).unwrap();
        fs::remove_file(&file).unwrap();
        assert!(drawn);
        for text in ["Small points", "points/s (log scale)", "libiscp, C API", "12.3 M", "10 M"] {
            assert!(svg.contains(text), "{text:?} is not in the picture");
        }
        let none = Panel::of(&report, "b", "points_per_s", 1.0, "", "");
        assert!(!draw(&file, &[none]).unwrap(), "no picture of nothing");
    }
}

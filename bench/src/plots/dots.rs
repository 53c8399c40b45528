//! One row per client: the median as a dot, and a line from the least to the most.

use std::path::Path;

use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::axes::{self, Axis, Canvas, Place, Scale};
use super::{Drawn, color, label};
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
    pub(super) fn of(report: &'a Report, case: &str, metric: &str, title: &'a str, unit: &'a str) -> Self {
        let rows = report.cells.iter().filter(|cell| cell.case == case).filter_map(|cell| {
            let summary = cell.metrics.get(metric).filter(|summary| summary.min > 0.0)?;
            Some((cell.peer.as_str(), *summary))
        });
        Self { title, unit, rows: rows.collect() }
    }

    fn height(&self) -> i32 {
        HEAD + ROW * self.rows.len() as i32 + FOOT
    }
}

const WIDTH: i32 = 560;
const ROW: i32 = 26;
/// Above and below the rows: title, marks, unit.
const HEAD: i32 = 44;
const FOOT: i32 = 62;
/// Beside the rows: names, values.
const NAMES: i32 = 160;
const VALUES: i32 = 70;

/// Draws panels in two columns.
pub(super) fn draw(file: &Path, panels: &[Panel<'_>]) -> Drawn {
    let panels: Vec<_> = panels.iter().filter(|panel| !panel.rows.is_empty()).collect();
    if panels.is_empty() {
        return Ok(false);
    }
    let lines: Vec<i32> =
        panels.chunks(2).map(|line| line.iter().map(|panel| panel.height()).max().unwrap_or(0)).collect();
    let columns = panels.len().min(2) as i32;
    let size = ((WIDTH * columns) as u32, lines.iter().sum::<i32>() as u32);
    let canvas = SVGBackend::new(file, size).into_drawing_area();
    canvas.fill(&WHITE)?;
    let mut top = 0;
    for (line, height) in panels.chunks(2).zip(lines) {
        for (column, panel) in line.iter().enumerate() {
            draw_panel(&canvas, panel, WIDTH * column as i32, top)?;
        }
        top += height;
    }
    canvas.present()?;
    Ok(true)
}

fn draw_panel(canvas: &Canvas<'_>, panel: &Panel<'_>, left: i32, top: i32) -> axes::Result<()> {
    let values = panel.rows.iter().flat_map(|(_, summary)| [summary.min, summary.max]);
    let Some((low, high, marks)) = axes::logarithmic(values) else { return Ok(()) };
    let place = Place {
        left: left + NAMES,
        right: left + WIDTH - VALUES,
        top: top + HEAD,
        bottom: top + HEAD + ROW * panel.rows.len() as i32,
    };
    let scale = Scale { low, high, from: place.left, to: place.right, logarithmic: true };
    let title = format!("{} (log scale)", panel.unit);
    let x = Axis { scale, title: &title, marks };
    // The rows are the vertical axis.
    let y = Axis { scale, title: "", marks: Vec::new() };
    axes::draw(canvas, panel.title, place, &x, &y)?;
    for (row, (key, summary)) in panel.rows.iter().enumerate() {
        let at = place.top + ROW * row as i32 + ROW / 2;
        let color = color(key);
        let [min, median, max] = [summary.min, summary.median, summary.max].map(|value| scale.at(value));
        canvas.draw(&PathElement::new([(min, at), (max, at)], color.stroke_width(3)))?;
        canvas.draw(&Circle::new((median, at), 5, color.filled()))?;
        canvas.draw_text(label(key), &axes::text(HPos::Right), (place.left - 8, at))?;
        canvas.draw_text(&short(summary.median), &axes::text(HPos::Left), (max + 10, at))?;
    }
    Ok(())
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
        let panel = Panel::of(&report, "a1", "points_per_s", "Small points", "points/s");
        let drawn = draw(&file, &[panel]).unwrap();
        let svg = fs::read_to_string(&file).unwrap();
        fs::remove_file(&file).unwrap();
        assert!(drawn);
        for text in ["Small points", "points/s (log scale)", "libiscp, C API", "12.3 M", "10 M"] {
            assert!(svg.contains(text), "{text:?} is not in the picture");
        }
        let none = Panel::of(&report, "b", "points_per_s", "", "");
        assert!(!draw(&file, &[none]).unwrap(), "no picture of nothing");
    }
}

//! Latency by percentile: the distribution of all runs together.

use std::path::Path;

use plotters::prelude::*;

use super::axes::{self, Axis, Canvas, Place, Scale};
use super::{Drawn, color};
use crate::report::{Cell, Report};
use crate::stats::cumulative;

/// Workloads with a distribution.
const PANELS: [(&str, &str); 4] = [
    ("d", "Write to acknowledgement, one point at a time"),
    ("e1", "End to end through the broker, 1000 points/s"),
    ("e80", "End to end at 80 % of each client's own rate"),
    ("h1", "QUIC datagrams, 1 % lost on each way, 10000 points/s"),
];
const WIDTH: i32 = 700;
const HEIGHT: i32 = 400;
/// The horizontal axis ends at 99.99 %.
const NINES: f64 = 4.0;

pub(super) fn draw(report: &Report, file: &Path) -> Drawn {
    let panels: Vec<(Vec<&Cell>, &str)> = PANELS
        .iter()
        .map(|(case, title)| {
            let cells = report.cells.iter().filter(|cell| cell.case == *case && !cell.histogram.is_empty());
            (cells.collect(), *title)
        })
        .filter(|(cells, _): &(Vec<&Cell>, &str)| !cells.is_empty())
        .collect();
    if panels.is_empty() {
        return Ok(false);
    }
    let (columns, lines) = (panels.len().min(2) as i32, panels.len().div_ceil(2) as i32);
    let canvas =
        SVGBackend::new(file, ((WIDTH * columns) as u32, (HEIGHT * lines) as u32)).into_drawing_area();
    canvas.fill(&WHITE)?;
    for (at, (cells, title)) in panels.iter().enumerate() {
        draw_panel(&canvas, cells, title, WIDTH * (at as i32 % 2), HEIGHT * (at as i32 / 2))?;
    }
    canvas.present()?;
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

fn draw_panel(canvas: &Canvas<'_>, cells: &[&Cell], title: &str, left: i32, top: i32) -> axes::Result<()> {
    let values = cells.iter().flat_map(|cell| curve(cell)).map(|(_, us)| us);
    let Some((low, high, marks)) = axes::logarithmic(values) else { return Ok(()) };
    let place = Place { left: left + 72, right: left + 510, top: top + 44, bottom: top + HEIGHT - 60 };
    let x = Axis {
        scale: Scale { low: 0.0, high: NINES, from: place.left, to: place.right, logarithmic: false },
        title: "share of the points that took at most so long",
        marks: [
            ("0 %", 0.0),
            ("50 %", 0.5),
            ("90 %", 0.9),
            ("99 %", 0.99),
            ("99.9 %", 0.999),
            ("99.99 %", 0.9999),
        ]
        .map(|(mark, share)| (-(1.0_f64 - share).log10(), mark.to_owned()))
        .into(),
    };
    let y = Axis {
        scale: Scale { low, high, from: place.bottom, to: place.top, logarithmic: true },
        title: "µs (log scale), less is better",
        marks,
    };
    axes::draw(canvas, title, place, &x, &y)?;
    for cell in cells {
        let points: Vec<_> =
            curve(cell).into_iter().map(|(nines, us)| (x.scale.at(nines), y.scale.at(us))).collect();
        canvas.draw(&PathElement::new(points, color(&cell.peer).stroke_width(2)))?;
    }
    axes::legend(canvas, place.right + 24, place.top, cells.iter().map(|cell| cell.peer.as_str()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::report::Outcome;

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

//! What readers cost the brokers.

use std::path::Path;

use plotters::prelude::*;

use super::axes::{self, Axis, Place, Scale};
use super::{Drawn, color};
use crate::catalogue::{CASES, Kind, PEERS};
use crate::report::Report;
use crate::stats::Summary;

/// The line of a client: readers, and CPU of its broker per point and reader.
fn line(report: &Report, key: &str) -> Vec<(f64, Summary)> {
    CASES
        .iter()
        .filter_map(|case| {
            let Kind::FanOut(readers) = case.kind else { return None };
            Some((readers as f64, report.summary(case.id, key, "broker_cpu_us_per_delivery")?))
        })
        .filter(|(_, cpu)| cpu.min > 0.0)
        .collect()
}

pub(super) fn draw(report: &Report, file: &Path) -> Drawn {
    let lines: Vec<_> = PEERS
        .iter()
        .map(|peer| (peer.key, line(report, peer.key)))
        .filter(|(_, line)| !line.is_empty())
        .collect();
    let values = lines.iter().flat_map(|(_, line)| line.iter().flat_map(|(_, cpu)| [cpu.min, cpu.max]));
    let Some((low, high, marks)) = axes::logarithmic(values) else { return Ok(false) };
    let canvas = SVGBackend::new(file, (720, 400)).into_drawing_area();
    canvas.fill(&WHITE)?;
    let place = Place { left: 72, right: 520, top: 44, bottom: 340 };
    let x = Axis {
        scale: Scale { low: 0.8, high: 125.0, from: place.left, to: place.right, logarithmic: true },
        title: "readers of one source (log scale)",
        marks: [1.0, 10.0, 100.0].map(|readers| (readers, format!("{readers:.0}"))).into(),
    };
    let y = Axis {
        scale: Scale { low, high, from: place.bottom, to: place.top, logarithmic: true },
        title: "µs per point and reader (log scale), less is better",
        marks,
    };
    axes::draw(&canvas, "CPU of the broker, 32-byte points", place, &x, &y)?;
    for (key, line) in &lines {
        let color = color(key);
        let at = |readers: f64, cpu: f64| (x.scale.at(readers), y.scale.at(cpu));
        let medians: Vec<_> = line.iter().map(|(readers, cpu)| at(*readers, cpu.median)).collect();
        for ((readers, cpu), median) in line.iter().zip(&medians) {
            let range = [at(*readers, cpu.min), at(*readers, cpu.max)];
            canvas.draw(&PathElement::new(range, color.stroke_width(3)))?;
            canvas.draw(&Circle::new(*median, 4, color.filled()))?;
        }
        canvas.draw(&PathElement::new(medians, color.stroke_width(2)))?;
    }
    axes::legend(&canvas, place.right + 24, place.top, lines.iter().map(|(key, _)| *key))?;
    canvas.present()?;
    Ok(true)
}

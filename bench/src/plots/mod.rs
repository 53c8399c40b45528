//! The results as pictures.

mod curves;
mod dots;
mod lines;

use std::error::Error;
use std::path::Path;

use plotters::prelude::*;

use crate::catalogue::{Backend, PEERS, peer};
use crate::report::Report;
use dots::Panel;

type Drawn = Result<bool, Box<dyn Error>>;

/// Draws everything that there are results for; returns the names of the files and what they show.
pub(crate) fn draw(report: &Report, out: &Path) -> Result<Vec<(String, String)>, Box<dyn Error>> {
    type Draw = fn(&Report, &Path) -> Drawn;
    let plots: [(&str, &str, Draw); 5] = [
        ("throughput.svg", "Points per second of each client", throughput),
        ("cpu.svg", "CPU time per point of each client", cpu),
        ("latency.svg", "Latency of each client by percentile", curves::draw),
        ("memory.svg", "Memory of each client", memory),
        ("fanout.svg", "CPU time of the brokers per point and reader", lines::draw),
    ];
    let mut drawn = Vec::new();
    for (file, title, draw) in plots {
        if draw(report, &out.join(file))? {
            drawn.push((file.to_owned(), title.to_owned()));
        }
    }
    Ok(drawn)
}

fn throughput(report: &Report, file: &Path) -> Drawn {
    let panel = |case, title| Panel::of(report, case, "points_per_s", 1.0, title, "points/s, more is better");
    dots::draw(
        file,
        &[
            panel("a1", "32-byte points, 1 data id"),
            panel("a100", "32-byte points, 100 data ids"),
            panel("b", "1 KiB points"),
            panel("c", "64 KiB points"),
        ],
    )
}

fn cpu(report: &Report, file: &Path) -> Drawn {
    let panel = |case, title| {
        Panel::of(report, case, "cpu_us_per_point", 1.0, title, "µs of CPU per point, less is better")
    };
    dots::draw(
        file,
        &[
            panel("a1", "32-byte points, 1 data id"),
            panel("a100", "32-byte points, 100 data ids"),
            panel("b", "1 KiB points"),
            panel("c", "64 KiB points"),
        ],
    )
}

fn memory(report: &Report, file: &Path) -> Drawn {
    dots::draw(
        file,
        &[
            Panel::of(
                report,
                "a1",
                "peak_mib",
                1.0,
                "Peak, 32-byte points",
                "MiB of the process, less is better",
            ),
            Panel::of(report, "g", "kb_each", 1.0, "Idle connection, client", "KiB each, less is better"),
            Panel::of(
                report,
                "c",
                "peak_mib",
                1.0,
                "Peak, 64 KiB points",
                "MiB of the process, less is better",
            ),
            Panel::of(
                report,
                "g",
                "broker_kb_each",
                1.0,
                "Idle connection, server",
                "KiB each, less is better",
            ),
        ],
    )
}

/// One colour per client, the same in all plots.
fn color(key: &str) -> RGBColor {
    const COLORS: [RGBColor; 8] = [
        RGBColor(0, 90, 200),
        RGBColor(200, 70, 0),
        RGBColor(0, 140, 130),
        RGBColor(130, 50, 160),
        RGBColor(180, 140, 0),
        RGBColor(120, 90, 40),
        RGBColor(110, 110, 110),
        RGBColor(40, 40, 40),
    ];
    let at = PEERS.iter().position(|peer| peer.key == key).unwrap_or(0);
    COLORS[at % COLORS.len()]
}

fn label(key: &str) -> &str {
    peer(key).map_or(key, |peer| peer.label)
}

/// The broker that a client goes through; None for bare sockets, which have none.
fn broker(key: &str) -> Option<&'static str> {
    match peer(key)?.backend {
        Backend::Iscp => Some("iscp broker"),
        Backend::Mosquitto => Some("mosquitto"),
        Backend::Nats => Some("nats-server"),
        Backend::BareWebSocket | Backend::BareTcp => None,
    }
}

/// Whole decades around all values.
fn decades(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    let (mut low, mut high) = (f64::INFINITY, 0.0_f64);
    for value in values.filter(|value| *value > 0.0) {
        low = low.min(value);
        high = high.max(value);
    }
    (high > 0.0).then(|| (10_f64.powf((low * 0.9).log10().floor()), 10_f64.powf((high * 1.2).log10().ceil())))
}

/// A value on an axis.
fn tick(value: f64) -> String {
    match value {
        value if value >= 0.999e9 => format!("{:.0} G", value / 1e9),
        value if value >= 0.999e6 => format!("{:.0} M", value / 1e6),
        value if value >= 0.999e3 => format!("{:.0} k", value / 1e3),
        value if value >= 0.999 => format!("{value:.0}"),
        value => {
            let decimals = (-value.log10().floor()).clamp(1.0, 9.0) as usize;
            format!("{value:.decimals$}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_at_decades_outside_of_all_values() {
        assert_eq!(decades([].into_iter()), None);
        let (low, high) = decades([0.0, 0.05, 12.0].into_iter()).unwrap();
        assert!((low - 0.01).abs() < 1e-9 && (high - 100.0).abs() < 1e-6, "{low} {high}");
        let (low, high) = decades([1000.0].into_iter()).unwrap();
        assert!(low < 1000.0 && high > 1000.0);
    }

    #[test]
    fn ticks_are_short() {
        let shown: Vec<_> = [0.01, 0.1, 1.0, 100.0, 10_000.0, 1e7].iter().map(|value| tick(*value)).collect();
        assert_eq!(shown, ["0.01", "0.1", "1", "100", "10 k", "10 M"]);
    }
}

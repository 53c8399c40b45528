//! The results as pictures.

mod axes;
mod curves;
mod dots;
mod lines;

use std::error::Error;
use std::path::Path;

use plotters::style::RGBColor;

use crate::catalogue::{PEERS, peer};
use crate::report::Report;
use dots::Panel;

/// False when there is nothing to draw.
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
    let panel = |case, title| Panel::of(report, case, "points_per_s", title, "points/s, more is better");
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
        Panel::of(report, case, "cpu_us_per_point", title, "µs of CPU per point, less is better")
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
            Panel::of(report, "a1", "peak_mib", "Peak, 32-byte points", "MiB of the process, less is better"),
            Panel::of(report, "g", "kb_each", "Idle connection, client", "KiB each, less is better"),
            Panel::of(report, "c", "peak_mib", "Peak, 64 KiB points", "MiB of the process, less is better"),
            Panel::of(report, "g", "broker_kb_each", "Idle connection, server", "KiB each, less is better"),
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

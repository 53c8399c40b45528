//! The results as a page.

use std::fmt::Write;

use crate::catalogue::{CASES, Case, Kind, PEERS, peer};
use crate::report::{Cell, Outcome, Report};
use crate::stats::Summary;
use crate::targets::digits;

/// A column of a table: its head with the unit, the metric, and what one unit is.
type Column = (&'static str, &'static str, f64);

const MIB: f64 = 1024.0 * 1024.0;

const PUBLISH: &[Column] = &[
    ("points/s (thousands)", "points_per_s", 1e3),
    ("payload, MiB/s", "bytes_per_s", MIB),
    ("CPU of the client, µs/point", "cpu_us_per_point", 1.0),
    ("CPU of the server, µs/point", "broker_cpu_us_per_point", 1.0),
    ("peak memory, MiB", "peak_mib", 1.0),
    ("on the wire, bytes/point", "wire_bytes_per_point", 1.0),
];
const FAN: &[Column] = &[
    ("points/s (thousands)", "points_per_s", 1e3),
    ("deliveries/s (thousands)", "deliveries_per_s", 1e3),
    ("CPU of the sources, µs/point", "cpu_us_per_point", 1.0),
    ("CPU of the server, µs/point and reader", "broker_cpu_us_per_delivery", 1.0),
    ("CPU of the readers, µs/point and reader", "reader_cpu_us_per_delivery", 1.0),
];
const LATENCY: &[Column] = &[
    ("p50, µs", "p50_us", 1.0),
    ("p99, µs", "p99_us", 1.0),
    ("p99.9, µs", "p99_9_us", 1.0),
    ("CPU of the server, µs/point", "broker_cpu_us_per_point", 1.0),
    ("points/s (thousands)", "rate", 1e3),
    ("lost, %", "lost_percent", 1.0),
];
const IDLE: &[Column] = &[
    ("memory of the client, KiB each", "kb_each", 1.0),
    ("CPU to open, ms each", "cpu_ms_open_each", 1.0),
    ("memory of the server, KiB each", "broker_kb_each", 1.0),
    ("memory of the server in all, MiB", "broker_mib", 1.0),
];
const IDLE_CPU: &[Column] = &[("CPU of the client, µs/s each", "cpu_us_per_s_each", 1.0)];
const START: &[Column] = &[("ms", "start_ms", 1.0)];
const WRITE: &[Column] = &[("above an empty call, ns", "above_empty_ns", 1.0), ("call, ns", "write_ns", 1.0)];
const ENCODE: &[Column] = &[("ns/point", "encode_ns", 1.0)];

fn columns(kind: Kind) -> &'static [Column] {
    match kind {
        Kind::Publish => PUBLISH,
        Kind::FanOut(_) | Kind::FanIn(_) => FAN,
        Kind::Acknowledge | Kind::EndToEnd | Kind::Load { .. } | Kind::Datagrams(_) => LATENCY,
        Kind::Idle => IDLE,
        Kind::IdleTogether { .. } => IDLE_CPU,
        Kind::Start => START,
        Kind::Write => WRITE,
        Kind::Encode => ENCODE,
    }
}

/// The page; `plots` are file names and what they show.
pub(crate) fn page(report: &Report, plots: &[(String, String)]) -> String {
    let mut page = String::from("# Results of the benchmark\n\n");
    head(&mut page, report);
    targets(&mut page, report);
    if !plots.is_empty() {
        page.push_str("\n## Plots\n");
        for (file, title) in plots {
            let _ = write!(page, "\n![{title}]({file})\n");
        }
    }
    page.push_str("\n## Workloads\n\nMedian, and least to most, of all runs.\n");
    for case in CASES {
        workload(&mut page, report, case);
    }
    sizes(&mut page, report);
    page
}

fn head(page: &mut String, report: &Report) {
    let machine = &report.machine;
    let extent = match report.extent.as_str() {
        "full" => "",
        "quick" => " This was a quick run: fewer points and fewer runs, and more noise.",
        _ => {
            " This was a run with hardly any points: it shows that everything works, the numbers mean nothing."
        }
    };
    let _ = write!(
        page,
        "Written by `make bench`; [what is measured, and how to read it](../README.md). Only ratios carry over to other \
         machines: everything was measured side by side, in turns, in one run, with client, server and readers on the \
         same cores.{extent}\n\n"
    );
    let rows = [
        ("date", report.created.clone()),
        ("runs of each measurement", format!("{}; {:.1} minutes in all", report.runs, report.seconds / 60.0)),
        ("CPU", format!("{}, {} cores", machine.cpu, machine.cores)),
        ("memory", format!("{} MiB", machine.memory_mib)),
        ("kernel", machine.kernel.clone()),
        ("load average before and after", format!("{}; {}", machine.load_before, machine.load_after)),
    ];
    let rows = rows.map(|(name, value)| vec![name.to_owned(), value]);
    table(page, &["", ""], &rows);
    page.push('\n');
    let rows: Vec<_> = PEERS
        .iter()
        .map(|peer| {
            let version = report.versions.get(peer.key).map_or("not run", String::as_str);
            vec![peer.label.to_owned(), version.to_owned(), peer.acknowledgement.to_owned()]
        })
        .collect();
    table(page, &["client", "version", "what acknowledges its points in (a) to (c)"], &rows);
    let brokers: Vec<_> = report
        .versions
        .iter()
        .filter(|(name, _)| peer(name).is_none())
        .map(|(name, version)| vec![name.clone(), version.clone()])
        .collect();
    if !brokers.is_empty() {
        page.push('\n');
        table(page, &["broker", "version"], &brokers);
    }
}

fn targets(page: &mut String, report: &Report) {
    page.push_str("\n## Targets of the design\n\n");
    let rows: Vec<_> = report
        .targets
        .iter()
        .map(|verdict| {
            let met = match verdict.met {
                Some(true) => "yes",
                Some(false) => "**no**",
                None => "–",
            };
            let measured = verdict.measured.clone().unwrap_or_else(|| "not measured".to_owned());
            vec![verdict.target.clone(), verdict.demand.clone(), measured, met.to_owned()]
        })
        .collect();
    table(page, &["target", "demanded", "measured", "met"], &rows);
}

fn workload(page: &mut String, report: &Report, case: &Case) {
    let cells: Vec<&Cell> = report.cells.iter().filter(|cell| cell.case == case.id).collect();
    if cells.is_empty() {
        return;
    }
    let once = if case.once { " (one run)" } else { "" };
    let _ = write!(page, "\n### ({}) {}{once}\n\n", case.id, case.title);
    let used: Vec<&Column> = columns(case.kind)
        .iter()
        .filter(|(_, metric, _)| cells.iter().any(|cell| cell.metrics.contains_key(*metric)))
        .collect();
    let counted =
        if matches!(case.kind, Kind::Idle | Kind::IdleTogether { .. }) { "connections" } else { "points" };
    let mut heads = vec!["client", counted];
    heads.extend(used.iter().map(|(head, _, _)| *head));
    let rows: Vec<Vec<String>> = cells
        .iter()
        .filter(|cell| !cell.metrics.is_empty())
        .map(|cell| {
            let mut row = vec![label(&cell.peer), cell.points.to_string()];
            row.extend(used.iter().map(|(_, metric, unit)| {
                cell.metrics.get(*metric).map_or_else(|| "–".to_owned(), |summary| spread(summary, *unit))
            }));
            row
        })
        .collect();
    if !rows.is_empty() {
        table(page, &heads, &rows);
    }
    if !rows.is_empty() {
        page.push('\n');
    }
    // Those with one reason together.
    let mut absent: Vec<(&Outcome, Vec<String>)> = Vec::new();
    for cell in cells.into_iter().filter(|cell| cell.outcome != Outcome::Done) {
        match absent.iter_mut().find(|(outcome, _)| **outcome == cell.outcome) {
            Some((_, labels)) => labels.push(label(&cell.peer)),
            None => absent.push((&cell.outcome, vec![label(&cell.peer)])),
        }
    }
    for (outcome, labels) in absent {
        let (word, reason) = match outcome {
            Outcome::Done => continue,
            Outcome::NotRun(reason) => ("not run", reason),
            Outcome::Failed(message) => ("**failed**", message),
        };
        let _ = writeln!(page, "- {word}: {}: {reason}", labels.join(", "));
    }
}

fn sizes(page: &mut String, report: &Report) {
    if report.sizes.is_empty() {
        return;
    }
    page.push_str("\n### (k) Sizes\n\nStripped with `strip --strip-all`.\n\n");
    let rows: Vec<_> = report
        .sizes
        .iter()
        .map(|(file, bytes)| vec![file.clone(), bytes.to_string(), digits(*bytes as f64 / MIB)])
        .collect();
    table(page, &["file", "bytes", "MiB"], &rows);
}

fn label(key: &str) -> String {
    peer(key).map_or(key, |peer| peer.label).to_owned()
}

/// The median, and the range behind it when there was more than one run.
fn spread(summary: &Summary, unit: f64) -> String {
    let [min, median, max] = [summary.min, summary.median, summary.max].map(|value| digits(value / unit));
    if min == max { median } else { format!("{median} ({min}–{max})") }
}

fn table(page: &mut String, heads: &[&str], rows: &[Vec<String>]) {
    let cell = |text: &str| text.replace('|', "\\|").replace('\n', " ");
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    page.push_str(&line(heads.iter().map(|head| cell(head)).collect()));
    page.push_str(&line(heads.iter().map(|_| "---".to_owned()).collect()));
    for row in rows {
        page.push_str(&line(row.iter().map(|text| cell(text)).collect()));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::report::Verdict;

    fn cell(peer: &str, outcome: Outcome, metrics: &[(&str, f64, f64, f64)]) -> Cell {
        let metrics: BTreeMap<_, _> = metrics
            .iter()
            .map(|(name, min, median, max)| {
                ((*name).to_owned(), Summary { min: *min, median: *median, max: *max })
            })
            .collect();
        Cell {
            case: "a1".to_owned(),
            peer: peer.to_owned(),
            outcome,
            points: 1000,
            metrics,
            histogram: Vec::new(),
        }
    }

    #[test]
    fn the_page_shows_who_was_measured_and_why_others_were_not() {
        let report = Report {
            extent: "quick".to_owned(),
            runs: 3,
            cells: vec![
                cell(
                    "iscp_c",
                    Outcome::Done,
                    &[("points_per_s", 9e6, 10e6, 12e6), ("peak_mib", 20.0, 20.0, 20.0)],
                ),
                cell("rs", Outcome::Failed("exit status 1: a | b".to_owned()), &[]),
                cell("go", Outcome::NotRun("no Go here".to_owned()), &[]),
                cell("nats", Outcome::NotRun("no Go here".to_owned()), &[]),
            ],
            targets: vec![Verdict {
                target: "speed".to_owned(),
                demand: "≥ 15 million/s".to_owned(),
                measured: Some("10.0 million/s".to_owned()),
                met: Some(false),
            }],
            sizes: BTreeMap::from([("libiscp.so full".to_owned(), 5_242_880)]),
            ..Report::default()
        };
        let page = page(&report, &[("cpu.svg".to_owned(), "CPU".to_owned())]);
        for expected in [
            "| client | points | points/s (thousands) | peak memory, MiB |\n",
            "| libiscp, C API | 1000 | 10000 (9000–12000) | 20.0 |\n",
            "\n- **failed**: iscp-rs: exit status 1: a | b\n",
            "- not run: iscp-go, NATS C: no Go here\n",
            "| speed | ≥ 15 million/s | 10.0 million/s | **no** |",
            "![CPU](cpu.svg)",
            "quick run",
            "| libiscp.so full | 5242880 | 5.00 |",
        ] {
            assert!(page.contains(expected), "{expected:?} is not in\n{page}");
        }
        assert!(!page.contains("(a100)"), "a workload that was not run is not there");
    }

    #[test]
    fn what_ends_a_cell_is_escaped() {
        let mut page = String::new();
        table(&mut page, &["a"], &[vec!["x | y\nz".to_owned()]]);
        assert_eq!(page, "| a |\n| --- |\n| x \\| y z |\n");
    }
}

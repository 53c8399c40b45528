//! The targets of the design beside what was measured.

use crate::report::{Report, Verdict};

/// When a target is met.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Limit {
    AtMost(f64),
    AtLeast(f64),
}

/// A target, and how what it is about follows from the results.
struct Target {
    name: &'static str,
    limit: Limit,
    unit: &'static str,
    value: fn(&Report) -> Option<f64>,
}

const OURS: &str = "iscp_c";

/// How many times as much another client needs as libiscp, or a bare socket.
fn times(report: &Report, case: &str, other: &str, metric: &str) -> Option<f64> {
    Some(report.median(case, other, metric)? / report.median(case, OURS, metric)?)
}

/// What libiscp needs, as a share of what another client does.
fn share(report: &Report, case: &str, other: &str, metric: &str) -> Option<f64> {
    Some(report.median(case, OURS, metric)? / report.median(case, other, metric)?)
}

const MIB: f64 = 1024.0 * 1024.0;

/// Bytes of a file, in MiB.
fn mib(report: &Report, file: &str) -> Option<f64> {
    report.sizes.get(file).map(|bytes| *bytes as f64 / MIB)
}

const TARGETS: &[Target] = &[
    Target {
        name: "CPU per 32-byte point, call to acknowledgement",
        limit: Limit::AtMost(0.06),
        unit: "µs",
        value: |report| report.median("a1", OURS, "cpu_us_per_point"),
    },
    Target {
        name: "the same: iscp-rs needs",
        limit: Limit::AtLeast(20.0),
        unit: "times as much",
        value: |report| times(report, "a1", "rs", "cpu_us_per_point"),
    },
    Target {
        name: "the same: iscp-go needs",
        limit: Limit::AtLeast(20.0),
        unit: "times as much",
        value: |report| times(report, "a1", "go", "cpu_us_per_point"),
    },
    Target {
        name: "the same: NATS C, which waits for no acknowledgement, needs",
        limit: Limit::AtLeast(2.0),
        unit: "times as much",
        value: |report| times(report, "a1", "nats", "cpu_us_per_point"),
    },
    Target {
        name: "acknowledged 32-byte points on one connection",
        limit: Limit::AtLeast(15.0),
        unit: "million/s",
        value: |report| report.median("a1", OURS, "points_per_s").map(|rate| rate / 1e6),
    },
    Target {
        name: "iscp_upstream_write above an empty call",
        limit: Limit::AtMost(30.0),
        unit: "ns",
        value: |report| report.median("w", OURS, "above_empty_ns"),
    },
    Target {
        name: "64 KiB points, of the throughput of a bare WebSocket",
        limit: Limit::AtLeast(80.0),
        unit: "%",
        value: |report| share(report, "c", "ws", "bytes_per_s").map(|share| share * 100.0),
    },
    Target {
        name: "memory that a burst of points adds, with buffers limited to 8 + 32 MiB",
        limit: Limit::AtMost(40.0),
        unit: "MiB",
        value: |report| report.median("a1", OURS, "grown_mib"),
    },
    Target {
        name: "write to acknowledgement, p50, above a bare WebSocket's ping-pong",
        limit: Limit::AtMost(15.0),
        unit: "µs",
        value: |report| Some(report.median("d", OURS, "p50_us")? - report.median("d", "ws", "p50_us")?),
    },
    Target {
        name: "write to acknowledgement, p99",
        limit: Limit::AtMost(2.0),
        unit: "times its p50",
        value: |report| Some(report.median("d", OURS, "p99_us")? / report.median("d", OURS, "p50_us")?),
    },
    Target {
        name: "end to end at 1000 points/s, p50",
        limit: Limit::AtMost(1.15),
        unit: "times two hops of a bare WebSocket",
        value: |report| share(report, "e1", "ws", "p50_us"),
    },
    Target {
        name: "memory of a further connection with an upstream",
        limit: Limit::AtMost(64.0),
        unit: "KiB",
        value: |report| report.median("g", OURS, "kb_each"),
    },
    Target {
        name: "CPU to open it",
        limit: Limit::AtMost(1.0),
        unit: "ms",
        value: |report| report.median("g", OURS, "cpu_ms_open_each"),
    },
    Target {
        name: "CPU of it while idle",
        limit: Limit::AtMost(20.0),
        unit: "µs/s",
        value: |report| report.median("gidle", OURS, "cpu_us_per_s_each"),
    },
    Target {
        name: "CPU of the broker per point and subscriber, 10 subscribers",
        limit: Limit::AtMost(0.1),
        unit: "µs",
        value: |report| report.median("f10", OURS, "broker_cpu_us_per_delivery"),
    },
    Target {
        name: "the same with 100 subscribers: cost is linear",
        limit: Limit::AtMost(1.2),
        unit: "times that with 10",
        value: |report| {
            let of = |case| report.median(case, OURS, "broker_cpu_us_per_delivery");
            Some(of("f100")? / of("f10")?)
        },
    },
    Target {
        name: "memory of the broker with 5000 idle connections",
        limit: Limit::AtMost(300.0),
        unit: "MiB",
        value: |report| {
            let all = report.cell("gmany", OURS).is_some_and(|cell| cell.points >= 5000);
            report.median("gmany", OURS, "broker_mib").filter(|_| all)
        },
    },
    Target {
        name: "shared library with everything, stripped",
        limit: Limit::AtMost(5.0),
        unit: "MiB",
        value: |report| mib(report, "libiscp.so full"),
    },
    Target {
        name: "shared library with websocket, protobuf and TLS, stripped",
        limit: Limit::AtMost(2.0),
        unit: "MiB",
        value: |report| mib(report, "libiscp.so websocket+tls"),
    },
];

/// Every target, measured or not.
pub(crate) fn evaluate(report: &Report) -> Vec<Verdict> {
    TARGETS
        .iter()
        .map(|target| {
            let value = (target.value)(report).filter(|value| value.is_finite());
            let (sign, bound, met) = match target.limit {
                Limit::AtMost(bound) => ("≤", bound, value.map(|value| value <= bound)),
                Limit::AtLeast(bound) => ("≥", bound, value.map(|value| value >= bound)),
            };
            Verdict {
                target: target.name.to_owned(),
                demand: format!("{sign} {bound} {}", target.unit),
                measured: value.map(|value| format!("{} {}", digits(value), target.unit)),
                met,
            }
        })
        .collect()
}

/// Three digits that mean something, without an exponent.
pub(crate) fn digits(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    // What rounds up to the next decade has a decimal less.
    let magnitude = (value.abs() * 1.0005).log10().floor() as i32;
    let decimals = (2 - magnitude).clamp(0, 9) as usize;
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::catalogue::{CASES, peer};
    use crate::report::{Cell, Outcome};
    use crate::stats::Summary;

    fn report(values: &[(&str, &str, &str, f64)]) -> Report {
        let mut report = Report::default();
        for (case, peer, metric, value) in values {
            let summary = Summary { min: *value, median: *value, max: *value };
            report.cells.push(Cell {
                case: (*case).to_owned(),
                peer: (*peer).to_owned(),
                outcome: Outcome::Done,
                points: 5000,
                metrics: BTreeMap::from([((*metric).to_owned(), summary)]),
                histogram: Vec::new(),
            });
        }
        report
    }

    fn verdict(report: &Report, name: &str) -> Verdict {
        evaluate(report).into_iter().find(|verdict| verdict.target.starts_with(name)).unwrap()
    }

    #[test]
    fn a_target_is_met_up_to_its_limit() {
        let name = "iscp_upstream_write";
        for (value, met) in [(29.9, true), (30.0, true), (30.1, false)] {
            let verdict = verdict(&report(&[("w", "iscp_c", "above_empty_ns", value)]), name);
            assert_eq!((verdict.demand.as_str(), verdict.met), ("≤ 30 ns", Some(met)), "{value}");
        }
    }

    #[test]
    fn ratios_are_of_medians_of_the_same_workload() {
        let report = report(&[
            ("a1", "iscp_c", "cpu_us_per_point", 0.05),
            ("a1", "rs", "cpu_us_per_point", 1.25),
            ("a100", "go", "cpu_us_per_point", 9.0),
        ]);
        let rust = verdict(&report, "the same: iscp-rs");
        assert_eq!(rust.measured.as_deref(), Some("25.0 times as much"));
        assert_eq!(rust.met, Some(true));
        let go = verdict(&report, "the same: iscp-go");
        assert_eq!((go.measured, go.met), (None, None), "go was not in a1");
    }

    #[test]
    fn fewer_connections_than_the_target_names_do_not_meet_it() {
        let mut report = report(&[("gmany", "iscp_c", "broker_mib", 20.0)]);
        assert_eq!(verdict(&report, "memory of the broker").met, Some(true));
        report.cells[0].points = 1250;
        assert_eq!(verdict(&report, "memory of the broker").met, None);
    }

    /// Otherwise a workload renamed would silently leave a target without a value.
    #[test]
    fn every_target_has_a_value_when_everything_was_measured() {
        let metrics = [
            "cpu_us_per_point",
            "points_per_s",
            "above_empty_ns",
            "bytes_per_s",
            "grown_mib",
            "p50_us",
            "p99_us",
            "kb_each",
            "cpu_ms_open_each",
            "cpu_us_per_s_each",
            "broker_cpu_us_per_delivery",
            "broker_mib",
        ];
        let summary = Summary { min: 1.0, median: 1.0, max: 1.0 };
        let mut report = Report::default();
        for case in CASES {
            for (key, _) in case.peers {
                report.cells.push(Cell {
                    case: case.id.to_owned(),
                    peer: peer(key).unwrap().key.to_owned(),
                    outcome: Outcome::Done,
                    points: 5000,
                    metrics: metrics.iter().map(|metric| ((*metric).to_owned(), summary)).collect(),
                    histogram: Vec::new(),
                });
            }
        }
        for file in ["libiscp.so full", "libiscp.so websocket+tls"] {
            report.sizes.insert(file.to_owned(), 1 << 20);
        }
        for verdict in evaluate(&report) {
            assert!(verdict.met.is_some(), "{}", verdict.target);
        }
    }

    #[test]
    fn three_digits_are_shown() {
        let shown: Vec<_> = [0.0, 0.01234, 0.9999, 1.0, 25.04, 123.4, 99.99, 123_456.7]
            .iter()
            .map(|value| digits(*value))
            .collect();
        assert_eq!(shown, ["0", "0.0123", "1.00", "1.00", "25.0", "123", "100", "123457"]);
    }
}

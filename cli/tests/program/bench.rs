//! `iscp bench`.

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::{Broker, Finished, Program, run};

fn bench(broker: &Broker, options: &[&str]) -> Finished {
    run(&[&["bench", "--url", &broker.url], options].concat(), b"")
}

fn result(broker: &Broker, options: &[&str]) -> Value {
    let finished = bench(broker, &[options, &["--json"]].concat());
    let objects = finished.json();
    assert_eq!((finished.code, finished.stderr.as_str(), objects.len()), (Some(0), "", 1), "{finished:?}");
    objects[0].clone()
}

#[test]
fn it_writes_what_it_is_asked_to_write() {
    let broker = Broker::start();
    let reader = ["sub", "--url", &broker.url, "--node", "reader", "--source", "bench-2", "--json", "-v"];
    let reader = Program::start(&reader);
    reader.wait_for_log("subscribed");
    let measured = result(&broker, &["--points", "60", "--connections", "2", "--ids", "3", "--payload", "5"]);
    assert_eq!((&measured["mode"], &measured["url"]), (&"upstream".into(), &broker.url[..].into()));
    assert_eq!((&measured["points_written"], &measured["points_acknowledged"]), (&120.into(), &120.into()));
    assert_eq!((&measured["points_lost"], &measured["qos"]), (&0.into(), &"reliable".into()));
    let rate = measured["points_per_second"].as_f64().unwrap();
    assert!((rate * measured["seconds"].as_f64().unwrap() - 120.0).abs() < 1e-3, "{measured}");
    assert!((measured["bytes_per_second"].as_f64().unwrap() - 5.0 * rate).abs() < 1e-3, "{measured}");
    assert!(measured["cpu_us_per_point"].as_f64().unwrap() > 0.0 && measured["latency_us"].is_null());

    reader.wait_for_output("upstream_normal_close");
    reader.signal(Signal::SIGTERM);
    let lines = reader.wait().json();
    let points: Vec<_> = lines.iter().filter(|line| line["metadata"].is_null()).collect();
    assert_eq!(points.len(), 60);
    for name in ["bench/1", "bench/2", "bench/3"] {
        assert_eq!(points.iter().filter(|point| point["name"] == name).count(), 20, "{name}");
    }
    let bytes = |point: &Value| point["payload_base64"].as_str().map(|text| text.len());
    assert!(points.iter().all(|point| bytes(point) == Some(8)), "{:?}", points[0]);
}

#[test]
fn end_to_end_counts_what_arrives_and_how_long_it_took() {
    let broker = Broker::start();
    for flush in ["none", "immediate", "interval:5", "size:100", "interval-or-size:5:100"] {
        let options = ["--mode", "end-to-end", "--points", "50", "--connections", "2", "--flush", flush];
        let measured = result(&broker, &options);
        assert_eq!((&measured["points_written"], &measured["points_received"]), (&100.into(), &100.into()));
        let times = ["p50", "p90", "p99", "p99_9", "max"];
        let times: Vec<_> = times.map(|name| measured["latency_us"][name].as_f64().unwrap()).into();
        assert!(times.is_sorted() && times[0] > 0.0, "{flush}: {times:?}");
    }
}

#[test]
fn latency_is_that_of_single_points() {
    let broker = Broker::start();
    let finished = bench(&broker, &["--mode", "latency", "--points", "20", "--qos", "partial"]);
    let table = String::from_utf8(finished.quiet_success()).unwrap();
    let rows: Vec<_> = table.lines().filter_map(|line| line.rsplit_once(' ')).collect();
    let row = |name: &str| rows.iter().find(|row| row.0.trim_end() == name).map(|row| row.1);
    assert_eq!((row("points acknowledged"), row("points lost")), (Some("20"), Some("0")), "{table}");
    assert!(row("latency p99.9, µs").is_some_and(|value| value.parse::<f64>().unwrap() > 0.0), "{table}");
}

#[test]
fn it_does_not_go_faster_than_it_may() {
    let broker = Broker::start();
    let measured = result(&broker, &["--rate", "200", "--points", "61"]);
    // The last point is due 60 intervals after the first.
    assert!(measured["seconds"].as_f64().unwrap() >= 0.3, "{measured}");
    let timed = result(&broker, &["--rate", "100", "--seconds", "0.2"]);
    assert!(timed["points_written"].as_u64().unwrap() <= 21, "{timed}");
}

#[test]
fn a_signal_ends_it_with_a_report() {
    let broker = Broker::start();
    let subscriber =
        ["sub", "--url", &broker.url, "--node", "r", "--source", "bench-1", "--count", "1", "-v"];
    let subscriber = Program::start(&subscriber);
    subscriber.wait_for_log("subscribed");
    let running = ["bench", "--url", &broker.url, "--seconds", "600", "--rate", "100", "--json"];
    let running = Program::start(&running);
    subscriber.wait();
    running.signal(Signal::SIGINT);
    let finished = running.wait();
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let written = finished.json()[0]["points_written"].as_u64().unwrap();
    assert!((1..60_000).contains(&written), "{written}");
}

#[test]
fn a_server_that_goes_away_is_an_error() {
    let broker = Broker::start();
    let url = broker.url.clone();
    let running = Program::start(&["bench", "--url", &url, "--seconds", "600", "--rate", "100", "-v"]);
    running.wait_for_log("connections are open");
    drop(broker);
    let finished = running.wait();
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(finished.stderr.contains(&format!("error: {url}: ")), "{}", finished.stderr);
}

#[test]
fn what_makes_no_sense_is_refused() {
    for (options, culprit) in [
        (vec!["--payload", "99999999999"], "--payload"),
        (vec!["--payload", "-5"], "--payload"),
        (vec!["--points", "0"], "--points"),
        (vec!["--points", "1", "--seconds", "1"], "--seconds"),
        (vec!["--rate", "0"], "--rate"),
        (vec!["--ids", "0"], "--ids"),
        (vec!["--connections", "0"], "--connections"),
        (vec!["--mode", "sideways"], "sideways"),
        (vec!["--flush", "size"], "the policies are"),
        (vec!["--flush", "interval:0"], "0 is no interval"),
        (vec!["--flush", "interval-or-size:1:x"], "x is no size"),
    ] {
        let finished = run(&[&["bench", "--url", "ws://127.0.0.1:1"], &options[..]].concat(), b"");
        assert_eq!(finished.code, Some(2), "{options:?}: {finished:?}");
        assert!(finished.stderr.contains(culprit), "{options:?}: {}", finished.stderr);
    }
    let latency = ["bench", "--url", "ws://127.0.0.1:1", "--mode", "latency", "--flush", "immediate"];
    run(&latency, b"").failed(&["--flush"]);
}

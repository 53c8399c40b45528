//! What `iscp pub` sends and `iscp sub` prints.

use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use nix::sys::signal::Signal::{SIGCONT, SIGSTOP};
use serde_json::{Value, json};

use crate::support::{Broker, Program, run};

#[test]
fn a_hundred_thousand_lines_arrive_intact_and_in_order() {
    let broker = Broker::start();
    let mut text = String::new();
    for line in 0..100_000u32 {
        let filler = "\u{e9}".repeat((line.wrapping_mul(2_654_435_761) >> 26) as usize);
        writeln!(text, "{line} {filler}").unwrap();
    }
    let subscriber = broker.subscribe(&["--count", "100000"]);
    broker.publish(&[], text.as_bytes());
    let finished = subscriber.finish();
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert!(finished.stdout == text.as_bytes(), "the text was changed");
}

#[test]
fn every_qos_carries_lines_over_a_websocket() {
    for qos in ["reliable", "unreliable", "partial"] {
        let broker = Broker::start();
        let subscriber = broker.subscribe(&["--qos", qos, "--count", "3"]);
        broker.publish(&["--qos", qos], b"1\n2\n3\n");
        assert_eq!(subscriber.finish().stdout, b"1\n2\n3\n", "{qos}");
    }
}

#[test]
fn every_order_and_policy_prints_everything_that_is_read_in_time() {
    for options in [
        ["--chunk-order", "as-received", "--buffer-policy", "pause"],
        ["--chunk-order", "best-effort", "--buffer-policy", "fail"],
        ["--chunk-order", "strict", "--buffer-limit", "1000000"],
    ] {
        let broker = Broker::start();
        let subscriber = broker.subscribe(&[&options[..], &["--count", "3"]].concat());
        broker.publish(&[], b"1\n2\n3\n");
        assert_eq!(subscriber.finish().stdout, b"1\n2\n3\n", "{options:?}");
    }
    let broker = Broker::start();
    let options = ["--qos", "partial", "--chunk-order", "strict", "--buffer-policy", "drop-newest"];
    let subscriber = broker.subscribe(&[&options[..], &["--count", "1"]].concat());
    broker.publish(&[], b"1\n");
    assert_eq!(subscriber.finish().stdout, b"1\n");

    let reliable = ["sub", "--url", &broker.url, "--node", "n", "--source", "n", "--qos", "reliable"];
    let dropping = [&reliable[..], &["--buffer-policy", "drop-oldest"]].concat();
    run(&dropping, b"").failed(&["buffer_policy", "reliable"]);
}

#[test]
fn a_line_is_what_stands_before_a_newline() {
    let broker = Broker::start();
    let subscriber = broker.subscribe(&["--count", "5"]);
    broker.publish(&[], b"\n\r\n \xff\xfe\0\n  a\tb \nlast");
    assert_eq!(subscriber.finish().stdout, b"\n\r\n \xff\xfe\0\n  a\tb \nlast\n");
}

#[test]
fn a_large_line_arrives() {
    let broker = Broker::start();
    let subscriber = broker.subscribe(&["--count", "2"]);
    let mut text = vec![b'x'; 3_000_000];
    text.extend_from_slice(b"\nsmall\n");
    broker.publish(&[], &text);
    assert!(subscriber.finish().stdout == text, "the text was changed");
}

#[test]
fn points_go_out_while_standard_input_is_open() {
    let broker = Broker::start();
    let subscriber = broker.subscribe(&[]);
    let mut publisher = Program::start(&broker.publisher(&[]));
    for line in ["one\n", "two\n", "three\n"] {
        publisher.write(line.as_bytes());
        subscriber.wait_for_output(line);
    }
    publisher.finish().quiet_success();
}

#[test]
fn json_describes_points_and_metadata() {
    let broker = Broker::start();
    let subscriber = broker.subscribe(&["--json"]);
    let before = now();
    let options = ["--session", "s 1", "--name", "group/name", "--type", "text"];
    broker.publish(&options, b"a \"quoted\" \xc3\xa9\n\xff\xfe\n");
    let after = now();
    subscriber.wait_for_output("upstream_normal_close");
    subscriber.signal(nix::sys::signal::Signal::SIGTERM);
    let finished = subscriber.finish();
    assert_eq!(finished.code, Some(0), "{finished:?}");

    let objects = finished.json();
    let (points, metadata): (Vec<_>, Vec<_>) =
        objects.iter().partition(|object| object["metadata"].is_null());
    assert_eq!(points.len(), 2);
    for (point, (key, payload)) in points.iter().zip([
        ("payload", "a \"quoted\" \u{e9}".to_owned()),
        ("payload_base64", BASE64_STANDARD.encode(b"\xff\xfe")),
    ]) {
        let expected = json!({
            "source_node_id": "pub", "session_id": "s 1", "name": "group/name", "type": "text",
            "elapsed_ns": point["elapsed_ns"], "sequence_number": 1, key: payload,
        });
        assert_eq!(**point, expected);
    }
    let elapsed: Vec<i64> = points.iter().map(|point| point["elapsed_ns"].as_i64().unwrap()).collect();
    assert!(0 < elapsed[0] && elapsed[0] < elapsed[1], "{elapsed:?}");
    assert!(elapsed[1] <= after - before, "{elapsed:?}");

    let kinds: Vec<_> = metadata.iter().map(|object| object["metadata"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["upstream_open", "base_time", "upstream_normal_close"]);
    let stream_id = &metadata[0]["stream_id"];
    assert_eq!(stream_id.as_str().unwrap().len(), 36);
    assert_eq!(
        *metadata[0],
        json!({
            "metadata": "upstream_open", "source_node_id": "pub", "stream_id": stream_id,
            "session_id": "s 1", "qos": "reliable",
        })
    );
    let base_time = metadata[1]["base_time_ns"].as_i64().unwrap();
    assert!((before..=after).contains(&base_time), "{base_time}");
    assert_eq!(
        *metadata[1],
        json!({
            "metadata": "base_time", "source_node_id": "pub", "session_id": "s 1", "name": "edge_rtc",
            "priority": 20, "elapsed_ns": 0, "base_time_ns": base_time,
        })
    );
    assert_eq!(
        *metadata[2],
        json!({
            "metadata": "upstream_normal_close", "source_node_id": "pub", "stream_id": stream_id,
            "session_id": "s 1", "total_data_points": 2, "final_sequence_number": 1,
        })
    );
    // Metadata and points are in the order in which they came.
    let order: Vec<_> = objects.iter().map(|object| object["metadata"].is_null()).collect();
    assert_eq!(order, [false, false, true, true, false]);
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_nanos()).unwrap()
}

#[test]
fn defaults_are_those_of_the_help() {
    let broker = Broker::start();
    let subscriber = broker.subscribe(&["--json", "--count", "1"]);
    broker.publish(&[], b"x\n");
    let objects = subscriber.finish().json();
    let point = objects.last().unwrap();
    assert_eq!((&point["name"], &point["type"]), (&Value::from("stdin"), &Value::from("string")));
    assert_eq!(point["session_id"].as_str().unwrap().len(), 36);
}

#[test]
fn count_ends_in_the_middle_of_a_chunk() {
    let broker = Broker::start();
    let subscriber = broker.subscribe(&["--count", "2"]);
    broker.publish(&[], b"1\n2\n3\n4\n");
    let finished = subscriber.finish();
    assert_eq!((finished.code, &finished.stdout[..]), (Some(0), &b"1\n2\n"[..]));
}

#[test]
fn filters_select_by_type_and_name() {
    let cases: [(&[&str], &[u8]); 6] = [
        (&["--filter", "string:#"], b"a\nb\n"),
        (&["--filter", "#:group/+"], b"b\nc\n"),
        (&["--filter", "#:group/#"], b"b\nc\nd\n"),
        (&["--filter", "bytes:group/two"], b"c\n"),
        (&["--filter", "string:one", "--filter", "bytes:group/x/y"], b"a\nd\n"),
        (&[], b"a\nb\nc\nd\n"),
    ];
    let broker = Broker::start();
    let subscribers: Vec<_> = cases
        .iter()
        .map(|(filters, expected)| {
            let count = expected.iter().filter(|byte| **byte == b'\n').count().to_string();
            broker.subscribe(&[filters, &["--count", &count][..]].concat())
        })
        .collect();
    for (kind, name, line) in [
        ("string", "one", "a\n"),
        ("string", "group/two", "b\n"),
        ("bytes", "group/two", "c\n"),
        ("bytes", "group/x/y", "d\n"),
    ] {
        broker.publish(&["--type", kind, "--name", name], line.as_bytes());
    }
    for (subscriber, (filters, expected)) in subscribers.into_iter().zip(cases) {
        assert_eq!(subscriber.finish().stdout, expected, "{filters:?}");
    }
}

#[test]
fn other_nodes_are_not_received() {
    let broker = Broker::start();
    let subscriber = broker.subscribe(&["--count", "1"]);
    let args = ["pub", "--url", &broker.url, "--node", "other"];
    run(&args, b"other\n").quiet_success();
    broker.publish(&[], b"own\n");
    assert_eq!(subscriber.finish().stdout, b"own\n");
}

#[test]
fn hex_lines_are_bytes() {
    let broker = Broker::start();
    let subscriber = broker.subscribe(&["--json", "--count", "3"]);
    broker.publish(&["--hex"], b"00 FF 7f\r\n\n6869");
    let payloads: Vec<_> = subscriber
        .finish()
        .json()
        .into_iter()
        .filter(|object| object["metadata"].is_null())
        .map(|object| (object["payload"].clone(), object["payload_base64"].clone()))
        .collect();
    let expected = [
        (Value::Null, BASE64_STANDARD.encode(b"\x00\xff\x7f").into()),
        ("".into(), Value::Null),
        ("hi".into(), Value::Null),
    ];
    assert_eq!(payloads, expected);
}

#[test]
fn a_publisher_that_may_drop_points_reads_on_while_the_network_takes_nothing() {
    let broker = Broker::start();
    let subscriber = broker.subscribe(&[]);
    let options = ["--qos", "unreliable", "--when-full", "drop-oldest"];
    let mut publisher = Program::start(&broker.publisher(&options));
    publisher.write(b"first\n");
    subscriber.wait_for_output("first\n");
    broker.program.signal(SIGSTOP);
    // More than its buffer and those of the sockets hold.
    let line = [&[b'x'; 65_535][..], b"\n"].concat();
    for _ in 0..1000 {
        publisher.write(&line);
    }
    publisher.write(b"last\n");
    broker.program.signal(SIGCONT);
    let finished = publisher.finish();
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert!(finished.stderr.contains("points were dropped"), "{finished:?}");
    subscriber.wait_for_output("last\n");
    run(&broker.publisher(&["--when-full", "drop-newest"]), b"x\n").failed(&["--when-full", "--qos"]);
    broker.publish(&["--qos", "partial", "--when-full", "drop-newest"], b"one line always has room\n");
    subscriber.wait_for_output("one line always has room\n");
}

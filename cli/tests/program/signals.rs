//! Signals, and readers that go away.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use std::thread;

use nix::sys::signal::Signal::{SIGINT, SIGTERM};

use crate::support::{Broker, Program};

#[test]
fn a_signal_ends_the_subscriber() {
    for signal in [SIGINT, SIGTERM] {
        let broker = Broker::start();
        let subscriber = broker.subscribe(&[]);
        broker.publish(&[], b"x\n");
        subscriber.wait_for_output("x\n");
        subscriber.signal(signal);
        let finished = subscriber.wait();
        assert_eq!((finished.code, &finished.stdout[..]), (Some(0), &b"x\n"[..]));
        assert!(!finished.stderr.contains("error"), "{}", finished.stderr);
    }
}

#[test]
fn a_signal_ends_the_publisher_that_waits_for_input() {
    for signal in [SIGINT, SIGTERM] {
        let broker = Broker::start();
        let subscriber = broker.subscribe(&["--json"]);
        let mut publisher = Program::start(&broker.publisher(&[]));
        publisher.write(b"whole\npart");
        subscriber.wait_for_output("whole");
        publisher.signal(signal);
        publisher.wait().quiet_success();
        let output = String::from_utf8(subscriber.wait_for_output("upstream_normal_close")).unwrap();
        assert!(output.contains("\"total_data_points\":1"), "{output}");
    }
}

#[test]
fn a_signal_ends_the_publisher_of_endless_input_and_what_it_read_is_delivered() {
    let broker = Broker::start();
    let subscriber = broker.subscribe(&["--json"]);
    let mut publisher = Program::start(&broker.publisher(&[]));
    let mut stdin = publisher.take_stdin();
    let writer = thread::spawn(move || {
        (0..u64::MAX).take_while(|line| stdin.write_all(format!("{line}\n").as_bytes()).is_ok()).count()
    });
    subscriber.wait_for_output("\"payload\":\"99\"");
    publisher.signal(SIGINT);
    publisher.wait().quiet_success();
    let written = writer.join().unwrap() as u64;
    subscriber.wait_for_output("upstream_normal_close");
    subscriber.signal(SIGINT);
    let objects = subscriber.wait().json();
    let points: Vec<_> = objects.iter().filter(|object| object["metadata"].is_null()).collect();
    for (line, point) in points.iter().enumerate() {
        assert_eq!(point["payload"], line.to_string());
    }
    let points = points.len() as u64;
    assert!(points >= 100 && points <= written, "{points} of {written}");
    assert_eq!(objects.last().unwrap()["total_data_points"], points);
}

#[test]
fn a_signal_ends_connecting() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let subscriber = Program::start(&["sub", "--url", &url, "--node", "n", "--source", "n"]);
    let (_silent, _) = listener.accept().unwrap();
    subscriber.signal(SIGTERM);
    subscriber.wait().quiet_success();
}

#[test]
fn a_reader_that_goes_away_ends_the_subscriber() {
    let broker = Broker::start();
    let (reader, writer) = std::io::pipe().unwrap();
    let args = ["sub", "-v", "--url", &broker.url, "--node", "sub", "--source", "pub"];
    let subscriber = Program::start_with(&args, |command| {
        command.stdout(writer);
    });
    subscriber.wait_for_log("subscribed");
    broker.publish(&[], b"one\n");
    let mut reader = BufReader::new(reader);
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    assert_eq!(line, "one\n");
    drop(reader);
    broker.publish(&[], b"two\n");
    let finished = subscriber.wait();
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert!(!finished.stderr.contains("error"), "{}", finished.stderr);
}

#[test]
fn a_signal_ends_the_subscriber_whose_output_nobody_reads() {
    let broker = Broker::start();
    let (_reader, writer) = std::io::pipe().unwrap();
    let args = ["sub", "-v", "--url", &broker.url, "--node", "sub", "--source", "pub"];
    let subscriber = Program::start_with(&args, |command| {
        command.stdout(writer).stdin(Stdio::null());
    });
    subscriber.wait_for_log("subscribed");
    broker.publish(&[], &b"far more than a pipe holds\n".repeat(100_000));
    subscriber.signal(SIGINT);
    assert_eq!(subscriber.wait().code, Some(0));
}

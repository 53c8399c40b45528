//! `iscp broker`.

use std::net::TcpListener;

use nix::sys::signal::Signal::{SIGINT, SIGTERM};

use crate::support::{Broker, Program, run};

#[test]
fn a_signal_ends_the_broker() {
    for signal in [SIGINT, SIGTERM] {
        let broker = Broker::start();
        broker.program.signal(signal);
        let stdout = broker.program.wait().quiet_success();
        assert_eq!(String::from_utf8(stdout).unwrap(), format!("listening {}\n", broker.url));
    }
}

#[test]
fn a_signal_ends_the_broker_and_its_connections() {
    let broker = Broker::start();
    let subscriber = broker.subscribe(&[]);
    broker.program.signal(SIGTERM);
    broker.program.wait().quiet_success();
    let finished = subscriber.finish();
    assert_eq!(finished.code, Some(1), "{finished:?}");
}

#[test]
fn a_broker_runs_on_when_nobody_reads_its_output() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let broker = Program::start_with(&["broker", "-v", "--ws", "127.0.0.1:0"], |command| {
        command.stdout(writer);
    });
    // The line behind the one with the address shows that that one is complete.
    let log = String::from_utf8(broker.wait_for_log("ready")).unwrap();
    let (_, rest) = log.split_once("listening on ws://").unwrap();
    let address = rest.lines().next().unwrap();
    let url = format!("ws://{address}");
    run(&["pub", "--url", &url, "--node", "n"], b"x\n").quiet_success();
    broker.signal(SIGTERM);
    assert_eq!(broker.wait().code, Some(0));
}

#[test]
fn a_broker_has_the_threads_that_it_is_told() {
    for (options, carriers) in [(&[][..], 0), (&["--threads", "1"], 0), (&["--threads", "3"], 3)] {
        let broker = Broker::start_with(options);
        let subscriber = broker.subscribe(&["--count", "2"]);
        broker.publish(&[], b"1\n2\n");
        assert_eq!(subscriber.finish().stdout, b"1\n2\n", "{options:?}");
        let mut names = broker.program.threads();
        names.retain(|name| name.starts_with("iscp-broker-"));
        names.sort();
        let expected: Vec<_> = (1..=carriers).map(|number| format!("iscp-broker-{number}")).collect();
        assert_eq!(names, expected, "{options:?}");
        broker.program.signal(SIGTERM);
        broker.program.wait().quiet_success();
    }
}

#[test]
fn an_address_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    run(&["broker", "--ws", &address], b"").failed(&["cannot listen on", &address]);
}

#[test]
fn an_unusable_address_is_named() {
    for address in ["127.0.0.1", "no-such-host.invalid:1", "192.0.2.1:0"] {
        run(&["broker", "--ws", address], b"").failed(&["cannot listen on", address]);
    }
}

#[test]
fn a_token_is_required() {
    let broker = Broker::start_with(&["--token", "one", "--token", "two"]);
    for token in ["one", "two"] {
        broker.publish(&["--token", token], b"x\n");
    }
    let right = Program::start_with(&broker.publisher(&[]), |command| {
        command.env("ISCP_TOKEN", "two");
    });
    right.finish().quiet_success();
    for options in [&["--token", "three"][..], &["--token", ""], &[]] {
        let finished = run(&broker.publisher(options), b"x\n");
        finished.failed(&[&broker.url, "AUTH_FAILED"]);
        let args = ["sub", "--url", &broker.url, "--node", "sub", "--source", "pub"];
        run(&[&args, options].concat(), b"").failed(&[&broker.url, "AUTH_FAILED"]);
    }
}

#[test]
fn a_broker_without_tokens_takes_any() {
    let broker = Broker::start();
    broker.publish(&["--token", "any"], b"x\n");
}

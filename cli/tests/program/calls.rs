//! What `iscp call` asks and answers.

use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::Signal::{SIGINT, SIGKILL, SIGTERM};
use nix::sys::signal::killpg;
use nix::unistd::Pid;

use crate::support::{Broker, Finished, Program, run};

impl Broker {
    /// A node `server` that answers calls. It logs.
    fn serve(&self, options: &[&str]) -> Program {
        let args = ["call", "-v", "--url", &self.url, "--node", "server", "--serve"];
        let program = Program::start(&[&args, options].concat());
        program.wait_for_log("serving");
        program
    }

    fn call(&self, options: &[&str]) -> Finished {
        let args = ["call", "--url", &self.url, "--node", "caller", "--to", "server"];
        run(&[&args, options].concat(), b"")
    }
}

#[test]
fn a_server_without_a_command_echoes() {
    let broker = Broker::start();
    let server = broker.serve(&[]);
    for payload in ["", "hello", "two\nlines\n", "\u{e9}\u{1f980}"] {
        let printed = broker.call(&["--payload", payload]).quiet_success();
        // As it is: no newline where standard output is no terminal.
        assert_eq!(printed, payload.as_bytes());
    }
    for signal in [SIGINT, SIGTERM] {
        let other = broker.serve(&[]);
        other.signal(signal);
        assert_eq!(other.wait().code, Some(0));
    }
    drop(server);
}

#[test]
fn a_command_gets_the_call_and_prints_the_reply() {
    let broker = Broker::start();
    let command = r#"printf '%s|%s|%s|' "$ISCP_CALL_NAME" "$ISCP_CALL_TYPE" "$ISCP_CALL_SOURCE"; tr a-z A-Z"#;
    let _server = broker.serve(&[command]);
    let printed = broker.call(&["--name", "shout", "--type", "text", "--payload", "hello"]).quiet_success();
    assert_eq!(printed, b"shout|text|caller|HELLO");
}

#[test]
fn bytes_go_both_ways_unchanged() {
    let broker = Broker::start();
    let _server = broker.serve(&[r"printf '\000\377\n'"]);
    assert_eq!(broker.call(&[]).quiet_success(), b"\0\xff\n");
}

#[test]
fn a_command_need_not_read_its_input() {
    let broker = Broker::start();
    let _server = broker.serve(&["echo done"]);
    let payload = "far more than a pipe holds ".repeat(4000);
    assert_eq!(broker.call(&["--payload", &payload]).quiet_success(), b"done\n");
}

#[test]
fn calls_are_answered_one_at_a_time_and_in_order() {
    let broker = Broker::start();
    let _server = broker.serve(&["cat; sleep 0.05"]);
    let callers: Vec<_> = (0..5)
        .map(|i| {
            let (node, payload) = (format!("caller-{i}"), i.to_string());
            let args =
                ["call", "--url", &broker.url, "--node", &node, "--to", "server", "--payload", &payload];
            Program::start(&args)
        })
        .collect();
    for (i, caller) in callers.into_iter().enumerate() {
        assert_eq!(caller.finish().quiet_success(), i.to_string().as_bytes());
    }
}

/// A server whose command goes wrong says so, and so does the caller.
#[track_caller]
fn goes_wrong(options: &[&str], reason: &str) {
    let broker = Broker::start();
    let server = broker.serve(options);
    broker.call(&["--name", "greet"]).failed(&["\"server\"", reason]);
    let log = String::from_utf8(server.wait_for_log("error: call \"greet\" of node \"caller\"")).unwrap();
    assert!(log.contains(reason), "{log}");
    // It goes on serving.
    broker.call(&[]).failed(&[reason]);
    server.signal(SIGTERM);
    assert_eq!(server.wait().code, Some(0));
}

#[test]
fn a_command_that_fails_is_reported_to_both() {
    goes_wrong(&["echo lost; exit 3"], "exit status: 3");
    goes_wrong(&["kill -9 $$"], "signal: 9");
    goes_wrong(&["no-such-program"], "exit status: 127");
}

#[test]
fn a_command_that_takes_too_long_is_ended_with_all_it_started() {
    goes_wrong(&["sleep 1000 & sleep 1000", "--timeout", "0.1"], "longer than 100ms");
    // One that has closed its output and goes on.
    goes_wrong(&["exec >&-; sleep 1000", "--timeout", "0.1"], "longer than 100ms");
}

#[test]
fn nothing_is_left_of_a_command_that_was_ended() {
    let broker = Broker::start();
    let server = broker.serve(&["sleep 1000 & echo group $$ . >&2; sleep 1000", "--timeout", "0.5"]);
    broker.call(&[]).failed(&["longer than"]);
    let log = String::from_utf8(server.wait_for_log(" .\n")).unwrap();
    let group = log.split("group ").nth(1).unwrap().split(' ').next().unwrap();
    let group = Pid::from_raw(group.parse().unwrap());
    let deadline = Instant::now() + Duration::from_secs(60);
    while killpg(group, None) != Err(Errno::ESRCH) {
        assert!(Instant::now() < deadline, "something of the command goes on");
        thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_command_that_prints_too_much_is_ended() {
    goes_wrong(&["yes"], "printed more than 15728640 bytes");
    // More than the broker carries, though not more than a reply can hold.
    goes_wrong(&["head -c 2000000 /dev/zero"], "TOO_LARGE_MESSAGE_SIZE");
}

#[test]
fn a_signal_ends_the_command_too() {
    let broker = Broker::start();
    let server = broker.serve(&["echo started >&2; sleep 1000"]);
    let args = ["call", "--url", &broker.url, "--node", "caller", "--to", "server", "--timeout", "100"];
    let caller = Program::start(&args);
    server.wait_for_log("started");
    server.signal(SIGINT);
    assert_eq!(server.wait().code, Some(0));
    caller.finish().failed(&["signal"]);
}

#[test]
fn a_call_without_an_answer_fails() {
    let broker = Broker::start();
    broker.call(&[]).failed(&["\"server\"", "not connected", "PROCESS_FAILED"]);
    // A subscriber is a node too; it answers no calls.
    let args = ["sub", "-v", "--url", &broker.url, "--node", "server", "--source", "x"];
    let silent = Program::start(&args);
    silent.wait_for_log("subscribed");
    broker.call(&["--timeout", "0.1"]).failed(&["\"server\"", "no reply within 100ms"]);
}

#[test]
fn a_signal_ends_a_call() {
    for signal in [SIGINT, SIGTERM] {
        let broker = Broker::start();
        let server = broker.serve(&["sleep 1000"]);
        let caller = Program::start(&["call", "--url", &broker.url, "--node", "caller", "--to", "server"]);
        server.wait_for_log("call \"\" of caller");
        caller.signal(signal);
        caller.wait().quiet_success();
    }
}

#[test]
fn a_broker_that_dies_ends_both() {
    let broker = Broker::start();
    let server = broker.serve(&["sleep 0.2"]);
    let caller = Program::start(&["call", "--url", &broker.url, "--node", "caller", "--to", "server"]);
    server.wait_for_log("call \"\" of caller");
    broker.program.signal(SIGKILL);
    caller.finish().failed(&[&broker.url]);
    let finished = server.finish();
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(finished.stderr.contains(&broker.url), "{finished:?}");
}

#[test]
fn the_command_line_says_which_of_the_two() {
    let connect = ["call", "--url", "ws://h", "--node", "n"];
    for (options, culprit) in [
        (&[][..], "--to"),
        (&["--to", "m", "--serve"], "--serve"),
        (&["--serve", "--payload", "x"], "--payload"),
        (&["--serve", ""], "--serve"),
        (&["--to", ""], "--to"),
        (&["--to", "m", "--timeout", "0"], "--timeout"),
        (&["--to", "m", "--qos", "reliable"], "--qos"),
    ] {
        let finished = run(&[&connect, options].concat(), b"");
        assert_eq!(finished.code, Some(2), "{options:?}: {finished:?}");
        assert!(finished.stderr.contains(culprit), "{options:?}: {}", finished.stderr);
    }
}

//! `iscp broker --state`: what a restart leaves behind.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal::SIGTERM;

use crate::support::{Broker, Program, run};

/// A place for the file of a test, in whose name the test stands.
fn place(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    for path in [path.clone(), rejected(&path)] {
        if path.exists() {
            fs::remove_file(path).unwrap();
        }
    }
    path
}

fn rejected(path: &Path) -> PathBuf {
    format!("{}.rejected", path.display()).into()
}

/// Ends a broker and starts the next one at its address.
fn restart(broker: Broker, state: &str) -> Broker {
    let Broker { program, url } = broker;
    program.signal(SIGTERM);
    program.wait().quiet_success();
    let mode = fs::metadata(state).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "for its owner only");
    let program = Program::start(&["broker", "--ws", url.strip_prefix("ws://").unwrap(), "--state", state]);
    program.wait_for_output(&url);
    assert!(!Path::new(state).exists(), "it is not used twice");
    Broker { program, url }
}

#[test]
fn a_restart_loses_nothing_and_delivers_nothing_twice() {
    let path = place("restart.state");
    let state = path.to_str().unwrap();
    let mut broker = Broker::start_with(&["--state", state]);
    let subscriber = broker.subscribe(&["--json", "--reconnect"]);
    let mut publisher = Program::start(&broker.publisher(&["--reconnect"]));
    for round in 0..3 {
        let lines: Vec<_> = (0..200).map(|line| format!("{round}-{line}\n")).collect();
        let (before, meanwhile) = lines.split_at(100);
        publisher.write(before.concat().as_bytes());
        subscriber.wait_for_output(&format!("\"{round}-0\""));
        // The rest travels while the broker ends, is away, and starts.
        publisher.write(meanwhile.concat().as_bytes());
        broker = restart(broker, state);
    }
    publisher.finish().quiet_success();
    let output = String::from_utf8(subscriber.wait_for_output("upstream_normal_close")).unwrap();
    assert!(!output.contains("abnormal"), "{output}");
    subscriber.signal(SIGTERM);
    let objects = subscriber.wait().json();
    let points = objects.iter().filter(|object| object["metadata"].is_null());
    let received: Vec<_> = points.map(|point| point["payload"].as_str().unwrap().to_owned()).collect();
    let sent = (0..3).flat_map(|round| (0..200).map(move |line| format!("{round}-{line}")));
    assert_eq!(received, sent.collect::<Vec<_>>());
}

#[test]
fn a_file_that_cannot_be_used_is_reported_and_kept() {
    let path = place("foreign.state");
    fs::write(&path, "something else entirely").unwrap();
    let state = path.to_str().unwrap();
    let broker = Broker::start_with(&["--state", state]);
    let log = String::from_utf8(broker.program.wait_for_log("\n")).unwrap();
    assert!(log.contains(state) && log.contains("a broker did not write it"), "{log}");
    assert_eq!(fs::read_to_string(rejected(&path)).unwrap(), "something else entirely");
    broker.publish(&[], b"x\n");
}

#[test]
fn a_place_for_the_file_that_cannot_be_written_is_named() {
    let path = place("missing-directory.state").join("state");
    let state = path.to_str().unwrap();
    run(&["broker", "--ws", "127.0.0.1:0", "--state", state], b"").failed(&[state, "cannot keep streams"]);
}

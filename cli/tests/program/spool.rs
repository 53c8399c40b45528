//! `iscp spool` and `iscp pub --spool`.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use iscp_chaos::Proxy;
use nix::sys::signal::Signal;

use crate::support::{Broker, Program, run};

struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        Self(std::env::temp_dir().join(format!("iscp-spool-{}", uuid::Uuid::new_v4())))
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Waits until a file below `dir` ends with a point whose payload is `last`.
fn wait_until_kept(dir: &Path, last: &[u8]) {
    let deadline = Instant::now() + Duration::from_secs(30);
    let kept = || {
        let journals = std::fs::read_dir(dir).into_iter().flatten().flatten();
        let segments = journals.flat_map(|journal| std::fs::read_dir(journal.path())).flatten().flatten();
        segments
            .filter_map(|segment| std::fs::read(segment.path()).ok())
            .any(|bytes| bytes.windows(last.len()).any(|window| window == last))
    };
    while !kept() {
        assert!(Instant::now() < deadline, "nothing is kept");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Publishes the line `begin`, and more as a process that is killed before it arrives.
fn leave_behind(broker: &Broker, dir: &Dir, session: &str, input: &[u8]) {
    let address = broker.url.strip_prefix("ws://").unwrap();
    let proxy = Proxy::tcp(address).unwrap();
    let url = format!("ws://{}", proxy.address());
    let options =
        ["--url", &url, "--node", "pub", "--spool", dir.path(), "--session", session, "--name", "n"];
    let mut publisher = Program::start(&[&["pub", "-v"], &options[..]].concat());
    publisher.write(b"begin\n");
    wait_until_kept(&dir.0, b"begin");
    proxy.black_hole();
    publisher.write(input);
    wait_until_kept(&dir.0, input.trim_ascii_end().rsplit(|byte| *byte == b'\n').next().unwrap());
    publisher.signal(Signal::SIGKILL);
    publisher.wait();
}

#[test]
fn what_a_killed_publisher_left_is_listed_printed_and_sent() {
    let broker = Broker::start();
    let subscriber = broker.subscribe(&["--json", "--count", "4"]);
    let dir = Dir::new();
    leave_behind(&broker, &dir, "tour", b"one\ntwo\nthree\n");

    let listed = run(&["spool", "ls", dir.path(), "--json"], b"").json();
    assert_eq!(listed.len(), 1);
    let line = &listed[0];
    assert_eq!((&line["source_node_id"], &line["session_id"]), (&"pub".into(), &"tour".into()));
    // Nobody knows whether the acknowledgement of the first came back.
    let points = line["points"].as_u64().unwrap();
    assert!([3, 4].contains(&points) && line["missing_points"] == 0, "{line}");
    let table = String::from_utf8(run(&["spool", "ls", dir.path()], b"").quiet_success()).unwrap();
    assert!(table.starts_with("ID ") && table.contains("  pub  tour\n"), "{table}");

    let printed = run(&["spool", "cat", dir.path()], b"").quiet_success();
    assert!(printed.ends_with(b"one\ntwo\nthree\n"));
    let last = run(&["spool", "cat", dir.path(), "--json"], b"").json().pop().unwrap();
    assert_eq!((&last["payload"], &last["name"]), (&"three".into(), &"n".into()));

    // Not what belongs to others.
    let send = ["spool", "send", dir.path(), "--url", &broker.url, "--node"];
    let other = run(&[&send[..], &["other"]].concat(), b"").quiet_success();
    assert_eq!(other, b"delivered 0 points of 0 streams\n");
    let sent = run(&[&send[..], &["pub"]].concat(), b"").quiet_success();
    assert_eq!(String::from_utf8(sent).unwrap(), format!("delivered {points} points of 1 streams\n"));
    let received = subscriber.wait().json();
    let payloads: Vec<_> = received
        .iter()
        .filter(|line| line["metadata"].is_null())
        .map(|line| line["payload"].clone())
        .collect();
    assert_eq!(payloads, ["begin", "one", "two", "three"]);
    assert_eq!(run(&["spool", "ls", dir.path()], b"").quiet_success(), b"");
}

#[test]
fn a_directory_that_is_no_spool_is_refused_and_left_as_it_is() {
    let dir = Dir::new();
    std::fs::create_dir(&dir.0).unwrap();
    for command in ["ls", "cat", "rm", "send"] {
        let mut arguments = vec!["spool", command, dir.path()];
        match command {
            "rm" => arguments.push("--all"),
            "send" => arguments.extend(["--node", "n", "--url", "ws://127.0.0.1:1"]),
            _ => {}
        }
        let output = run(&arguments, b"");
        assert_eq!(output.code, Some(1), "{command}");
        let text = output.stderr;
        assert!(text.contains(dir.path()) && text.contains("no spool"), "{command}: {text}");
    }
    assert_eq!(std::fs::read_dir(&dir.0).unwrap().count(), 0);
}

#[test]
fn the_next_publisher_delivers_what_was_left() {
    let broker = Broker::start();
    let dir = Dir::new();
    leave_behind(&broker, &dir, "first", b"left\n");
    let subscriber = broker.subscribe(&[]);
    let mut next = Program::start(&broker.publisher(&["--spool", dir.path(), "-v"]));
    next.wait_for_log("points of session first delivered");
    next.write(b"fresh\n");
    next.finish();
    let received = String::from_utf8(subscriber.wait_for_output("fresh\n")).unwrap();
    assert!(received.ends_with("left\nfresh\n"), "{received}");
}

#[test]
fn points_can_be_given_up_one_stream_at_a_time() {
    let broker = Broker::start();
    let dir = Dir::new();
    leave_behind(&broker, &dir, "first", b"a\n");
    let listed = run(&["spool", "ls", dir.path(), "--json"], b"").json();
    let id = listed[0]["id"].as_str().unwrap();
    assert_eq!(run(&["spool", "rm", dir.path()], b"").code, Some(2), "neither an id nor all");
    let another = uuid::Uuid::new_v4().to_string();
    run(&["spool", "rm", dir.path(), "--id", &another], b"").failed(&[&another]);
    run(&["spool", "rm", dir.path(), "--id", id], b"").quiet_success();
    assert_eq!(run(&["spool", "ls", dir.path()], b"").quiet_success(), b"");
    run(&["spool", "ls", "/does/not/exist"], b"").failed(&["/does/not/exist"]);
    // In use.
    let mut publisher = Program::start(&broker.publisher(&["--spool", dir.path(), "-v"]));
    publisher.wait_for_log("opened");
    run(&["spool", "ls", dir.path()], b"").failed(&[dir.path(), "another process"]);
    publisher.write(b"x\n");
    publisher.finish();
    assert_eq!(run(&["spool", "ls", dir.path()], b"").quiet_success(), b"");
}

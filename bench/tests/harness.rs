//! The benchmark as a user runs it, with workers that are shell scripts: what it makes of their results, and of their
//! failures.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// A directory of programs, removed at the end.
struct Programs(PathBuf);

impl Programs {
    /// With the real bare sockets, and no other client.
    fn new(name: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("iscp-bench-test-{}-{name}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        fs::copy(env!("CARGO_BIN_EXE_bare"), directory.join("bare")).unwrap();
        Self(directory)
    }

    fn add(&self, name: &str, script: &str) {
        let file = self.0.join(name);
        fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// A broker that listens nowhere, for workers that connect to nothing.
    fn add_broker(&self) {
        self.add(
            "iscp",
            "echo listening ws://127.0.0.1:1; echo listening quic://127.0.0.1:1; exec sleep 600",
        );
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_iscp-bench"))
            .args(["--extent", "smoke", "--programs"])
            .arg(&self.0)
            .arg("--out")
            .arg(self.results())
            .args(arguments)
            .output()
            .unwrap()
    }

    fn results(&self) -> PathBuf {
        self.0.join("results")
    }

    fn json(&self) -> Value {
        read_json(&self.results())
    }
}

impl Drop for Programs {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn read_json(results: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(results.join("latest.json")).unwrap()).unwrap()
}

fn cell<'a>(json: &'a Value, case: &str, peer: &str) -> &'a Value {
    let cells = json["cells"].as_array().unwrap();
    cells.iter().find(|cell| cell["case"] == case && cell["peer"] == peer).unwrap()
}

/// Costs 0.05 µs a point.
const GOOD: &str = r#"
case $1 in
version) echo '{"version":"one 1.0"}' ;;
pub) echo ready; echo '{"points":1000,"wall_s":0.001,"cpu_s":0.00005,"rss_kb":1024,"bytes":32000}' ;;
*) echo "not supported: role $1" >&2; exit 64 ;;
esac"#;

#[test]
fn bare_sockets_are_measured_and_absent_clients_are_listed_with_the_reason() {
    let programs = Programs::new("bare");
    fs::write(programs.0.join("go.missing"), "Go is not installed\n").unwrap();
    let output = programs.run(&["--only", "a1", "--only", "d", "--runs", "3"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let json = programs.json();
    for peer in ["ws", "tcp"] {
        assert!(cell(&json, "a1", peer)["metrics"]["points_per_s"]["median"].as_f64().unwrap() > 0.0);
        let round_trip = &cell(&json, "d", peer)["metrics"]["p50_us"];
        assert!(round_trip["min"].as_f64().unwrap() > 0.0);
        assert!(round_trip["min"].as_f64() <= round_trip["max"].as_f64());
        let histogram = cell(&json, "d", peer)["histogram"].as_array().unwrap();
        let samples: u64 = histogram.iter().map(|entry| entry[1].as_u64().unwrap()).sum();
        assert_eq!(samples, 3 * cell(&json, "d", peer)["points"].as_u64().unwrap(), "of all runs");
    }
    assert_eq!(cell(&json, "a1", "go")["outcome"]["not_run"], "Go is not installed");
    assert_eq!(cell(&json, "a1", "rs")["outcome"]["not_run"], "not built");
    let page = fs::read_to_string(programs.results().join("latest.md")).unwrap();
    assert!(page.contains("- not run: iscp-go: Go is not installed"), "{page}");
    assert!(programs.results().join("throughput.svg").exists());
}

#[test]
fn a_worker_that_fails_is_named_fails_the_run_and_keeps_no_result_of_others_away() {
    let programs = Programs::new("failure");
    programs.add_broker();
    programs.add("iscp_c", GOOD);
    programs.add("rs", "echo 'the broker went away' >&2; exit 1");
    programs.add("go", "echo 'no such encoding' >&2; exit 64");
    let output = programs.run(&["--only", "a1"]);
    assert!(!output.status.success());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("failed: a1 with rs: exit status 1: the broker went away"), "{stderr}");
    let json = programs.json();
    assert_eq!(json["versions"]["iscp_c"], "one 1.0");
    assert_eq!(cell(&json, "a1", "go")["outcome"]["not_run"], "no such encoding");
    assert_eq!(cell(&json, "a1", "iscp_c")["outcome"], "done");
    let target = &json["targets"][0];
    assert_eq!((&target["measured"], &target["met"]), (&"0.0500 µs".into(), &true.into()), "{target}");
}

#[test]
fn a_server_that_does_not_start_fails_its_clients_only() {
    let programs = Programs::new("server");
    programs.add("iscp", "exit 1");
    programs.add("iscp_c", GOOD);
    let output = programs.run(&["--only", "a1"]);
    assert!(!output.status.success());
    let json = programs.json();
    let message = cell(&json, "a1", "iscp_c")["outcome"]["failed"].as_str().unwrap();
    assert!(message.contains("does not listen"), "{message}");
    assert_eq!(cell(&json, "a1", "ws")["outcome"], "done");
}

#[test]
fn a_broker_that_is_not_installed_is_named() {
    let programs = Programs::new("broker");
    programs.add("nats", GOOD);
    programs.add("server.sh", "echo 'server.sh: nats-server is not installed' >&2; exit 1");
    let script = programs.0.join("server.sh");
    let output = programs.run(&["--only", "a1", "--server-script", script.to_str().unwrap()]);
    assert!(!output.status.success());
    let json = programs.json();
    let message = cell(&json, "a1", "nats")["outcome"]["failed"].as_str().unwrap();
    assert!(message.ends_with("nats-server is not installed"), "{message}");
}

#[test]
fn results_can_be_drawn_again() {
    let programs = Programs::new("render");
    assert!(programs.run(&["--only", "d"]).status.success());
    let again = programs.0.join("again");
    let output = Command::new(env!("CARGO_BIN_EXE_iscp-bench"))
        .arg("--render")
        .arg(programs.results().join("latest.json"))
        .arg("--out")
        .arg(&again)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(read_json(&again), programs.json());
    assert_eq!(
        fs::read(again.join("latest.md")).unwrap(),
        fs::read(programs.results().join("latest.md")).unwrap()
    );
}

#[test]
fn what_does_not_exist_is_refused_by_name() {
    let programs = Programs::new("names");
    for (arguments, expected) in [
        (["--only", "zz"], "no workload begins with zz"),
        (["--client", "zz"], "no client zz; there are iscp_c"),
    ] {
        let output = programs.run(&arguments);
        assert!(!output.status.success());
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.contains(expected), "{stderr}");
    }
}

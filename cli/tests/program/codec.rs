//! `iscp codec`.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use nix::sys::signal::Signal::SIGINT;
use serde_json::Value;

use crate::support::{Program, run};

/// The vectors whose messages are valid: bytes in hexadecimal, JSON text.
fn vectors() -> Vec<(String, String)> {
    let entries: Vec<Value> =
        serde_json::from_str(include_str!("../../../tests/vectors/messages.json")).unwrap();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    entries
        .iter()
        .filter(|entry| !text(&entry["typed"]).unwrap().starts_with("reject"))
        .map(|entry| {
            let json = text(&entry["json_3_0_0_text"]).or_else(|| text(&entry["json_text"]));
            (text(&entry["proto_hex"]).unwrap(), json.unwrap())
        })
        .collect()
}

/// Runs the program to its end, without a failure.
#[track_caller]
fn convert(args: &[&str], lines: &[impl AsRef<str>]) -> Vec<String> {
    let input: String = lines.iter().map(|line| format!("{}\n", line.as_ref())).collect();
    let output = run(&[&["codec"], args].concat(), input.as_bytes()).quiet_success();
    String::from_utf8(output).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn vectors_are_converted_without_loss() {
    let (hex, json): (Vec<_>, Vec<_>) = vectors().into_iter().unzip();
    assert_eq!(hex.len(), 258);
    assert_eq!(convert(&["--from", "proto-hex"], &hex), json);
    assert_eq!(convert(&["--from", "proto-hex", "--to", "json"], &hex), json);
    assert_eq!(convert(&["--from", "json", "--to", "json"], &json), json);
    // Many vectors hold the entries of maps in the order of a hash table.
    let sorted = convert(&["--from", "proto-hex", "--to", "proto-hex"], &hex);
    assert_eq!(convert(&["--from", "json"], &json), sorted);
    assert_eq!(convert(&["--from", "proto-hex"], &sorted), json);
    let same = sorted.iter().zip(&hex).filter(|(sorted, hex)| sorted == hex).count();
    assert!(same > 200, "{same}");
}

#[test]
fn lines_may_be_written_in_several_ways() {
    let ping = r#"{"ping":{"request_id":2,"extension_fields":null}}"#;
    let forms = ["820c020802", "820C020802", " 82 0c\t02 08 02 \r", "", " \t\r", "8 20c 0208 02"];
    assert_eq!(convert(&["--from", "proto-hex"], &forms), [ping; 4]);
    let forms = [ping, " {\"ping\" : {\"requestId\":\"2\"}} \r", "", "  "];
    assert_eq!(convert(&["--from", "json"], &forms), ["820c020802"; 2]);
    // The last line needs no end.
    let finished = run(&["codec", "--from", "proto-hex"], b"820c020802");
    assert_eq!(finished.quiet_success(), format!("{ping}\n").into_bytes());
    assert!(run(&["codec", "--from", "json"], b"").quiet_success().is_empty());
}

#[test]
fn bad_lines_are_named_and_the_others_converted() {
    let input = "820c020802\nwxyz\n\n820\n0a\n8a0400\n1a020842";
    let finished = run(&["codec", "--from", "proto-hex"], input.as_bytes());
    assert_eq!(finished.code, Some(1));
    let errors: Vec<_> = finished.stderr.lines().collect();
    let expected = [
        "error: line 2: 'w' is not a hexadecimal digit",
        "error: line 4: an odd number of hexadecimal digits",
        "error: line 5: failed to decode Protobuf message: Message.message: invalid varint",
        "error: line 6: UpstreamOpenResponse.assigned_stream_id: 0 bytes instead of 16",
    ];
    assert_eq!(errors, expected);
    let arms: Vec<_> = finished.json().iter().map(|json| json.as_object().unwrap().len()).collect();
    assert_eq!(arms, [1, 1]);

    let input = b"{\"ping\":{\"request_id\":-1}}\n{}\n{\"ping\":{}}\n{\"ping\":\n\xff\n";
    let finished = run(&["codec", "--from", "json"], input);
    assert_eq!((finished.code, &finished.stdout[..]), (Some(1), &b"820c00\n"[..]));
    let errors: Vec<_> = finished.stderr.lines().collect();
    let expected = [
        "error: line 1: ping.request_id: invalid value: integer `-1`, expected an unsigned number of 32 bits \
         at column 24",
        "error: line 2: Message.message: not set",
        "error: line 4: ping: EOF while parsing a value at column 8",
        "error: line 5: not UTF-8 at byte 0",
    ];
    assert_eq!(errors, expected);
}

#[test]
fn a_line_that_is_too_long_is_skipped() {
    let mut program = Program::start(&["codec", "--from", "proto-hex"]);
    let mut stdin = program.take_stdin();
    let writer = thread::spawn(move || {
        let spaces = vec![b' '; 1 << 20];
        for _ in 0..65 {
            stdin.write_all(&spaces).unwrap();
        }
        stdin.write_all(b"820c020802\n820c020804\n").unwrap();
    });
    let finished = program.wait();
    writer.join().unwrap();
    finished.failed(&["line 1", "longer than 67108864 bytes"]);
    assert_eq!(finished.stdout, b"{\"ping\":{\"request_id\":4,\"extension_fields\":null}}\n");
}

#[test]
fn a_line_is_converted_while_standard_input_is_open() {
    let mut program = Program::start(&["codec", "--from", "proto-hex"]);
    for id in ["02", "04", "06"] {
        program.write(format!("820c0208{id}\n").as_bytes());
        program.wait_for_output(&format!("\"request_id\":{}", &id[1..]));
    }
    program.finish().quiet_success();
}

#[test]
fn a_signal_ends_the_conversion() {
    let mut program = Program::start(&["codec", "--from", "proto-hex"]);
    program.write(b"820c020802\n");
    program.wait_for_output("\n");
    program.signal(SIGINT);
    program.wait().quiet_success();
}

#[test]
fn a_reader_that_goes_away_ends_the_conversion() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_iscp"))
        .args(["codec", "--from", "proto-hex"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // Endless unless the program closes its standard input by ending.
    let writer = thread::spawn(move || while stdin.write_all(b"820c020802\n").is_ok() {});
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("{\"ping\""), "{line}");
    writer.join().unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()));
}

#[test]
fn a_form_is_needed() {
    for args in [&["codec"][..], &["codec", "--from", "xml"]] {
        let finished = run(args, b"");
        assert_eq!(finished.code, Some(2));
        assert!(finished.stderr.contains("--from"), "{}", finished.stderr);
    }
}

/// The commands of docs/codec.md print what the page says.
#[test]
fn the_commands_of_the_guide_work() {
    let page = include_str!("../../../docs/codec.md");
    let directory = Path::new(env!("CARGO_BIN_EXE_iscp")).parent().unwrap();
    let path = format!("{}:{}", directory.display(), std::env::var("PATH").unwrap());
    let mut commands = 0;
    for block in page.split("```console\n").skip(1) {
        let block = block.split("```").next().unwrap();
        for example in block.split("$ ").skip(1) {
            let (command, expected) = example.split_once('\n').unwrap();
            let output = Command::new("sh")
                .args(["-c", &format!("{command} 2>&1")])
                .env("PATH", &path)
                .env_remove("ISCP_LOG")
                .output()
                .unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), expected, "{command}");
            commands += 1;
        }
    }
    assert_eq!(commands, 5);
}

//! A broker for the run, and a tool to read what was recorded: both are the program of this repository.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A broker on free ports of the loopback interface.
pub(crate) struct Broker {
    child: Child,
    urls: HashMap<String, String>,
}

impl Broker {
    pub(crate) fn start(program: &Path, arguments: &[&str], log: PathBuf) -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("{}: {error}", program.display());
        let mut child = Command::new(program)
            .args(["broker", "-vv"])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(log).map_err(failed)?)
            .spawn()
            .map_err(failed)?;
        let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut urls = HashMap::new();
        let expected = arguments.iter().filter(|argument| argument.ends_with(":0")).count();
        for line in stdout.lines().map_while(Result::ok) {
            if let Some((scheme, _)) = line.strip_prefix("listening ").and_then(|url| url.split_once("://")) {
                urls.insert(scheme.to_owned(), line["listening ".len()..].to_owned());
            }
            if urls.len() == expected {
                return Ok(Self { child, urls });
            }
        }
        Err("the broker ended before it listened".to_owned())
    }

    /// Where it listens; the schemes are ws, wss, quic, webtransport, and http or https for OAuth2.
    pub(crate) fn url(&self, scheme: &str) -> &str {
        &self.urls[scheme]
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Messages in protobuf, decoded by `iscp codec`.
pub(crate) fn decode(program: &Path, messages: &[Vec<u8>]) -> Result<Vec<serde_json::Value>, String> {
    let failed = |error: std::io::Error| format!("{} codec: {error}", program.display());
    let mut child = Command::new(program)
        .args(["codec", "--from", "proto-hex"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let mut stdin = child.stdin.take().expect("a pipe");
    let text: String = messages.iter().map(|message| hex::encode(message) + "\n").collect();
    let writer = std::thread::spawn(move || stdin.write_all(text.as_bytes()));
    let output = child.wait_with_output().map_err(failed)?;
    writer.join().expect("no panic").map_err(failed)?;
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).map_err(|error| format!("codec: {error}")))
        .collect()
}

//! Peers: programs that use one client each and carry out commands. docs/interop.md describes the lines.

use std::collections::{HashMap, VecDeque};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// How long anything may take that a peer is expected to do.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// What one line says.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) kind: String,
    fields: HashMap<String, String>,
}

impl Line {
    fn parse(text: &str) -> Self {
        let mut words = text.split(' ');
        let kind = words.next().unwrap_or_default().to_owned();
        let fields = words
            .filter_map(|word| word.split_once('='))
            .map(|(key, value)| (key.to_owned(), unescape(value)))
            .collect();
        Self { kind, fields }
    }

    /// A field, empty when there is none.
    pub(crate) fn get(&self, key: &str) -> &str {
        self.fields.get(key).map_or("", String::as_str)
    }

    /// Compares several fields at once; the difference names them.
    pub(crate) fn expect(&self, expected: &[(&str, &str)]) -> Result<(), String> {
        for (key, value) in expected {
            if self.get(key) != *value {
                return Err(format!("{}: {key} is {:.200}, not {value:.200}", self.kind, self.get(key)));
            }
        }
        Ok(())
    }
}

fn unescape(text: &str) -> String {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let digits = part.get(..2).and_then(|digits| hex::decode(digits).ok());
        match digits {
            Some(byte) => bytes.extend([&byte[..], &part.as_bytes()[2..]].concat()),
            None => bytes.extend([b"%", part.as_bytes()].concat()),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A running peer; dropping it kills it.
pub(crate) struct Peer {
    pub(crate) node: String,
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<Line>,
    seen: VecDeque<Line>,
}

impl Peer {
    /// Starts it; those that verify certificates and cannot be told not to trust that of a file.
    pub(crate) fn start(
        command: &[String],
        name: &str,
        node: &str,
        certificate: &Path,
        log: PathBuf,
    ) -> Result<Self, String> {
        let log = std::fs::File::create(&log).map_err(|error| format!("{}: {error}", log.display()))?;
        let mut child = Command::new(&command[0])
            .args(&command[1..])
            .env("SSL_CERT_FILE", certificate)
            .env("NODE_EXTRA_CA_CERTS", certificate)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .map_err(|error| format!("{}: {error}", command[0]))?;
        let stdout = child.stdout.take().expect("a pipe");
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(Line::parse(&line)).is_err() {
                    break;
                }
            }
        });
        let stdin = child.stdin.take();
        Ok(Self { node: node.to_owned(), name: name.to_owned(), child, stdin, lines, seen: VecDeque::new() })
    }

    /// Sends a command without waiting for its answer.
    pub(crate) fn send(&mut self, command: &str) -> Result<(), String> {
        let stdin = self.stdin.as_mut().ok_or_else(|| format!("{}: its input has ended", self.name))?;
        writeln!(stdin, "{command}").map_err(|error| format!("{}: {error}", self.name))
    }

    /// Waits for the answer to the oldest command that has none yet.
    pub(crate) fn answer(&mut self) -> Result<Line, String> {
        let line = self.wait(|line| matches!(&line.kind[..], "ok" | "error"), "an answer")?;
        if line.kind == "error" {
            return Err(format!("{}: {}", self.name, line.get("text")));
        }
        Ok(line)
    }

    pub(crate) fn run(&mut self, command: &str) -> Result<Line, String> {
        self.send(command)?;
        let verb = command.split(' ').next().unwrap_or_default();
        self.answer().map_err(|error| format!("{verb}: {error}"))
    }

    /// The oldest event of a kind that a condition holds for, which is taken out.
    pub(crate) fn event(&mut self, kind: &str, condition: impl Fn(&Line) -> bool) -> Result<Line, String> {
        self.wait(|line| line.kind == kind && condition(line), kind)
    }

    /// The oldest event of a kind.
    pub(crate) fn next(&mut self, kind: &str) -> Result<Line, String> {
        self.event(kind, |_| true)
    }

    /// Every event of a kind that has come and nobody asked for.
    pub(crate) fn rest(&mut self, kind: &str) -> Vec<Line> {
        while let Ok(line) = self.lines.try_recv() {
            self.seen.push_back(line);
        }
        let (wanted, others) = self.seen.drain(..).partition(|line| line.kind == kind);
        self.seen = others;
        wanted.into_iter().collect()
    }

    fn wait(&mut self, condition: impl Fn(&Line) -> bool, what: &str) -> Result<Line, String> {
        if let Some(index) = self.seen.iter().position(&condition) {
            return Ok(self.seen.remove(index).expect("it is there"));
        }
        let deadline = Instant::now() + LIMIT;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) if condition(&line) => return Ok(line),
                Ok(line) => self.seen.push_back(line),
                Err(RecvTimeoutError::Timeout) => {
                    let seen: Vec<&str> = self.seen.iter().map(|line| &line.kind[..]).collect();
                    let seen = seen.join(" ");
                    return Err(format!(
                        "{}: no {what} within {LIMIT:?}; it printed: {seen:.200}",
                        self.name
                    ));
                }
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(format!("{}: ended before {what}", self.name));
                }
            }
        }
    }

    /// Ends the process without a word to the broker.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.end();
    }
}

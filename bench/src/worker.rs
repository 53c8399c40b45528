//! A worker: a program that plays one role and prints one JSON object.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

/// Exit status of a worker that does not know a role or a value.
const UNSUPPORTED: i32 = 64;

/// Why there is no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    /// The worker says that it cannot do this.
    Unsupported(String),
    /// Something went wrong.
    Failed(String),
}

/// A worker that runs. It is ended when this is dropped.
#[derive(Debug)]
pub(crate) struct Worker {
    child: Child,
    lines: Receiver<String>,
    errors: Receiver<String>,
    started: Instant,
    deadline: Instant,
    last: Option<String>,
}

/// What a worker printed at its end.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) json: Value,
    /// From its start until its output ended.
    pub(crate) took: Duration,
}

impl Worker {
    /// `limit` is how long it may run.
    pub(crate) fn start(
        program: &Path,
        role: &str,
        arguments: &[String],
        limit: Duration,
    ) -> Result<Self, Problem> {
        let started = Instant::now();
        let mut child = Command::new(program)
            .arg(role)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| Problem::Failed(format!("{}: {error}", program.display())))?;
        let (sender, lines) = mpsc::channel();
        if let Some(stdout) = child.stdout.take() {
            thread::spawn(move || {
                for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                    if sender.send(line).is_err() {
                        break;
                    }
                }
            });
        }
        let (sender, errors) = mpsc::channel();
        if let Some(mut stderr) = child.stderr.take() {
            thread::spawn(move || {
                let mut text = Vec::new();
                // What was read before a failure is shown all the same.
                let _ = stderr.read_to_end(&mut text);
                // Nobody asks when there was no failure.
                let _ = sender.send(String::from_utf8_lossy(&text).into_owned());
            });
        }
        Ok(Self { child, lines, errors, started, deadline: started + limit, last: None })
    }

    /// Waits for the line `ready`, and returns the JSON on it if there is any.
    pub(crate) fn ready(&mut self) -> Result<Value, Problem> {
        while let Some(line) = self.next_line()? {
            if let Some(rest) = line.strip_prefix("ready") {
                return Ok(serde_json::from_str(rest.trim()).unwrap_or(Value::Null));
            }
        }
        Err(self.ended())
    }

    /// Waits for the first line, which is all that is wanted; None without one.
    pub(crate) fn first_line(mut self) -> Option<String> {
        self.next_line().ok().flatten().map(|line| line.trim().to_owned())
    }

    /// Waits for the result.
    pub(crate) fn finish(mut self) -> Result<Finished, Problem> {
        while let Some(line) = self.next_line()? {
            self.last = Some(line);
        }
        let took = self.started.elapsed();
        if self.exit_status()? != Some(0) {
            return Err(self.ended());
        }
        let last = self.last.take().unwrap_or_default();
        match serde_json::from_str(&last) {
            Ok(json @ Value::Object(_)) => Ok(Finished { json, took }),
            _ => Err(Problem::Failed(format!("no JSON object but {last:?} at the end of the output"))),
        }
    }

    /// The next line of its output, or None at the end.
    fn next_line(&mut self) -> Result<Option<String>, Problem> {
        match self.lines.recv_timeout(self.deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => Ok(Some(line)),
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => Err(self.too_long()),
        }
    }

    fn too_long(&mut self) -> Problem {
        let limit = self.deadline.duration_since(self.started).as_secs();
        self.stop();
        let errors = self.errors();
        let separator = if errors.is_empty() { "" } else { ": " };
        Problem::Failed(format!("did not end within {limit} s{separator}{errors}"))
    }

    /// The exit code, or None after a signal. The output has ended, so this does not take long.
    fn exit_status(&mut self) -> Result<Option<i32>, Problem> {
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return Ok(status.code()),
                Ok(None) if Instant::now() < self.deadline => thread::sleep(Duration::from_millis(1)),
                Ok(None) => return Err(self.too_long()),
                Err(error) => return Err(Problem::Failed(error.to_string())),
            }
        }
    }

    /// Why a worker ended that should not have.
    fn ended(&mut self) -> Problem {
        let status = match self.exit_status() {
            Ok(status) => status,
            Err(problem) => return problem,
        };
        let errors = self.errors();
        match status {
            Some(UNSUPPORTED) => Problem::Unsupported(errors),
            Some(0) => Problem::Failed("ended without being ready".to_owned()),
            Some(code) => Problem::Failed(format!("exit status {code}: {errors}")),
            None => Problem::Failed(format!("ended by a signal: {errors}")),
        }
    }

    /// The last line of what it had to say.
    fn errors(&mut self) -> String {
        // A process that it left behind may keep its output open.
        let text = self.errors.recv_timeout(Duration::from_secs(1)).unwrap_or_default();
        let last = text.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default();
        last.chars().take(300).collect()
    }

    fn stop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, limit: Duration) -> Worker {
        Worker::start(Path::new("/bin/sh"), "-c", &[script.to_owned()], limit).unwrap()
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn a_worker_is_ready_and_then_prints_its_result() {
        let mut worker = shell("echo hello; echo 'ready {\"a\":1}'; echo '{\"points\":3}'", LONG);
        assert_eq!(worker.ready().unwrap()["a"], 1);
        assert_eq!(worker.finish().unwrap().json["points"], 3);
    }

    #[test]
    fn a_worker_that_cannot_do_it_says_why() {
        let problem = shell("echo 'no JSON here' >&2; exit 64", LONG).finish().unwrap_err();
        assert_eq!(problem, Problem::Unsupported("no JSON here".to_owned()));
        let problem = shell("echo 'no reader here' >&2; exit 64", LONG).ready().unwrap_err();
        assert_eq!(problem, Problem::Unsupported("no reader here".to_owned()));
    }

    #[test]
    fn failures_are_told_with_the_last_words() {
        for (script, expected) in [
            ("echo first >&2; echo last >&2; exit 3", "exit status 3: last"),
            ("echo '{\"points\":3}'; exit 3", "exit status 3: "),
            ("echo 12", "no JSON object but \"12\""),
            ("true", "no JSON object but \"\""),
            ("kill -9 $$", "ended by a signal"),
        ] {
            let Problem::Failed(message) = shell(script, LONG).finish().unwrap_err() else {
                panic!("{script}")
            };
            assert!(message.starts_with(expected), "{script}: {message}");
        }
        let Problem::Failed(message) = shell("exit 0", LONG).ready().unwrap_err() else { panic!() };
        assert_eq!(message, "ended without being ready");
    }

    #[test]
    fn a_worker_that_takes_too_long_is_ended() {
        let problem = shell("exec sleep 600", Duration::from_millis(50)).finish().unwrap_err();
        assert!(matches!(problem, Problem::Failed(message) if message.starts_with("did not end within")));
    }

    #[test]
    fn the_first_line_is_enough() {
        let worker = shell("echo ' one 1.0 '; exec sleep 600", LONG);
        assert_eq!(worker.first_line().as_deref(), Some("one 1.0"));
        assert_eq!(shell("exit 1", LONG).first_line(), None);
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let problem = Worker::start(Path::new("/nowhere/worker"), "pub", &[], LONG).unwrap_err();
        assert!(matches!(problem, Problem::Failed(message) if message.contains("/nowhere/worker")));
    }
}

//! Running the program, with a deadline on every wait.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// Longer than anything here takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// What a program has written to one of its outputs so far.
#[derive(Clone, Default)]
struct Captured(Arc<(Mutex<Written>, Condvar)>);

#[derive(Default)]
struct Written {
    bytes: Vec<u8>,
    ended: bool,
}

impl Captured {
    fn start(mut from: impl Read + Send + 'static) -> Self {
        let captured = Self::default();
        let writer = captured.clone();
        thread::spawn(move || {
            let mut chunk = vec![0; 1 << 16];
            loop {
                let read = from.read(&mut chunk).unwrap_or(0);
                let (state, changed) = &*writer.0;
                let mut state = state.lock().unwrap();
                state.bytes.extend_from_slice(&chunk[..read]);
                state.ended = read == 0;
                changed.notify_all();
                if read == 0 {
                    return;
                }
            }
        });
        captured
    }

    /// Waits until `ready` for what was written, or its end.
    fn wait(&self, what: &str, mut ready: impl FnMut(&[u8], bool) -> bool) -> Vec<u8> {
        let (state, changed) = &*self.0;
        let (state, timeout) = changed
            .wait_timeout_while(state.lock().unwrap(), DEADLINE, |written| {
                !ready(&written.bytes, written.ended)
            })
            .unwrap();
        let text = String::from_utf8_lossy(&state.bytes);
        assert!(!timeout.timed_out(), "waited in vain for {what} in: {text:.2000}");
        state.bytes.clone()
    }

    /// Waits until a text was written.
    fn wait_for(&self, text: &str) -> Vec<u8> {
        let mut seen = 0;
        self.wait(text, |bytes, _| {
            // What was looked at before could end with the beginning of the text.
            let new = &bytes[usize::saturating_sub(seen, text.len())..];
            seen = bytes.len();
            new.windows(text.len()).any(|window| window == text.as_bytes())
        })
    }

    /// Everything, once the program has ended.
    fn rest(&self) -> Vec<u8> {
        self.wait("the end", |_, ended| ended)
    }
}

/// What a program left behind.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Finished {
    /// Asserts success without a word on standard error.
    #[track_caller]
    pub(crate) fn quiet_success(self) -> Vec<u8> {
        assert_eq!((self.code, self.stderr.as_str()), (Some(0), ""));
        self.stdout
    }

    /// Asserts the status, and one line `error: …` that contains every culprit.
    #[track_caller]
    pub(crate) fn failed(&self, culprits: &[&str]) {
        assert_eq!(self.code, Some(1), "{self:?}");
        assert!(self.stderr.starts_with("error: "), "{:?}", self.stderr);
        assert_eq!(self.stderr.lines().count(), 1, "{:?}", self.stderr);
        for culprit in culprits {
            assert!(self.stderr.contains(culprit), "no {culprit:?} in {:?}", self.stderr);
        }
    }

    /// The JSON objects on standard output.
    pub(crate) fn json(&self) -> Vec<Value> {
        let text = str::from_utf8(&self.stdout).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// A running program. Killed when dropped.
pub(crate) struct Program {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Option<Captured>,
    stderr: Captured,
}

impl Program {
    /// Starts `iscp` with arguments.
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::start_with(args, |_| {})
    }

    /// Starts `iscp`, with something more to set.
    pub(crate) fn start_with(args: &[&str], set: impl FnOnce(&mut Command)) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_iscp"));
        command
            .args(args)
            .env_remove("ISCP_LOG")
            .env_remove("ISCP_TOKEN")
            .env_remove("ISCP_HEADER_TOKEN")
            .env_remove("ISCP_OAUTH2_CLIENT_SECRET")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        set(&mut command);
        let mut child = command.spawn().unwrap();
        Self {
            stdin: child.stdin.take(),
            // Not there when the test reads it itself.
            stdout: child.stdout.take().map(Captured::start),
            stderr: Captured::start(child.stderr.take().unwrap()),
            child,
        }
    }

    /// Writes to standard input and leaves it open.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.stdin.as_mut().unwrap().write_all(bytes).unwrap();
    }

    /// Takes standard input, to write to it elsewhere.
    pub(crate) fn take_stdin(&mut self) -> ChildStdin {
        self.stdin.take().unwrap()
    }

    /// Waits until standard output contains a text.
    pub(crate) fn wait_for_output(&self, text: &str) -> Vec<u8> {
        self.stdout.as_ref().unwrap().wait_for(text)
    }

    /// Whether there is anything on standard output yet.
    pub(crate) fn has_output(&self) -> bool {
        let stdout = self.stdout.as_ref().unwrap();
        !stdout.0.0.lock().unwrap().bytes.is_empty()
    }

    /// Waits until standard error contains a text.
    pub(crate) fn wait_for_log(&self, text: &str) -> Vec<u8> {
        self.stderr.wait_for(text)
    }

    /// Names of its threads.
    pub(crate) fn threads(&self) -> Vec<String> {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let names =
            threads.filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("comm")).ok());
        names.map(|name| name.trim_end().to_owned()).collect()
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        kill(pid, signal).unwrap();
    }

    /// Ends standard input and waits for the program to end.
    pub(crate) fn finish(mut self) -> Finished {
        drop(self.stdin.take());
        self.wait()
    }

    /// Waits for the program to end, standard input being left as it is.
    pub(crate) fn wait(mut self) -> Finished {
        let deadline = Instant::now() + DEADLINE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "the program does not end");
            thread::sleep(Duration::from_millis(2));
        };
        let stdout = self.stdout.as_ref().map(Captured::rest).unwrap_or_default();
        let stderr = String::from_utf8(self.stderr.rest()).unwrap();
        Finished { code: status.code(), stdout, stderr }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Most have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs `iscp` with something on standard input, to its end.
pub(crate) fn run(args: &[&str], input: &[u8]) -> Finished {
    let mut program = Program::start(args);
    let mut stdin = program.take_stdin();
    let input = input.to_vec();
    // The program may end without having read everything.
    let writer = thread::spawn(move || drop(stdin.write_all(&input)));
    let finished = program.wait();
    writer.join().unwrap();
    finished
}

/// A broker of its own for every test.
pub(crate) struct Broker {
    pub(crate) program: Program,
    pub(crate) url: String,
}

impl Broker {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// One that prints more than where it listens for WebSockets: the other lines come too.
    pub(crate) fn start_printing(options: &[&str], lines: usize) -> (Self, Vec<String>) {
        let program = Program::start(&[&["broker"], options].concat());
        let stdout = program.stdout.as_ref().unwrap();
        let printed = stdout.wait(&format!("{lines} lines"), |bytes, ended| {
            ended || bytes.iter().filter(|byte| **byte == b'\n').count() >= lines
        });
        let mut printed: Vec<_> = String::from_utf8(printed).unwrap().lines().map(str::to_owned).collect();
        let first = printed.remove(0);
        let url = first.strip_prefix("listening ").unwrap_or_else(|| panic!("{first:?}"));
        (Self { url: url.to_owned(), program }, printed)
    }

    pub(crate) fn start_with(options: &[&str]) -> Self {
        let program = Program::start(&[&["broker", "--ws", "127.0.0.1:0"], options].concat());
        let line = String::from_utf8(program.wait_for_output("\n")).unwrap();
        let url = line
            .strip_prefix("listening ")
            .and_then(|rest| rest.strip_suffix('\n'))
            .unwrap_or_else(|| panic!("{line:?}"));
        assert!(url.starts_with("ws://127.0.0.1:"), "{url}");
        Self { url: url.to_owned(), program }
    }

    /// A subscriber to the node `pub` whose stream is open. It logs.
    pub(crate) fn subscribe(&self, options: &[&str]) -> Program {
        let args = ["sub", "-v", "--url", &self.url, "--node", "sub", "--source", "pub"];
        let program = Program::start(&[&args, options].concat());
        program.wait_for_log("subscribed");
        program
    }

    /// The arguments of a publisher as the node `pub`.
    pub(crate) fn publisher<'a>(&'a self, options: &[&'a str]) -> Vec<&'a str> {
        [&["pub", "--url", &self.url, "--node", "pub"], options].concat()
    }

    /// Publishes as the node `pub`, to the end.
    #[track_caller]
    pub(crate) fn publish(&self, options: &[&str], input: &[u8]) {
        run(&self.publisher(options), input).quiet_success();
    }
}

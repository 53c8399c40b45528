//! Shell commands, bounded in time and output.

use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use crossbeam_channel::{Receiver, at, bounded, select};
use iscp::core::MAX_PAYLOAD;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::failure::Failure;
use crate::interrupt::Interrupt;

/// How often to look whether a command that has closed its output has ended.
const ENDED: Duration = Duration::from_millis(5);

/// A command and what it is given.
pub(crate) struct Shell<'a> {
    pub(crate) command: &'a str,
    pub(crate) environment: &'a [(&'a str, &'a str)],
    /// What it can read from standard input.
    pub(crate) input: Bytes,
    /// How long it may take.
    pub(crate) timeout: Duration,
}

/// Runs a command and returns what it printed. It runs in a process group of its own, all of which is
/// killed when it takes too long or a signal comes.
pub(crate) fn run(shell: Shell<'_>, interrupt: &Interrupt) -> Result<Vec<u8>, Failure> {
    let cannot = |error: io::Error| Failure::new(format!("cannot run the command: {error}"));
    let deadline = Instant::now() + shell.timeout;
    let mut child = Command::new("sh")
        .arg("-c")
        .arg(shell.command)
        .envs(shell.environment.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(cannot)?;
    let output = exchange(&mut child, shell.input).map_err(cannot);
    let outcome = output.and_then(|output| watch(&mut child, &output, deadline, shell.timeout, interrupt));
    if outcome.is_err() {
        end(&mut child);
    }
    let (printed, status) = outcome?;
    if status.success() { Ok(printed) } else { Err(Failure::new(format!("the command failed: {status}"))) }
}

/// Hands the input to a command, and takes what it prints until it ends or is too much.
fn exchange(child: &mut Child, input: Bytes) -> io::Result<Receiver<io::Result<Vec<u8>>>> {
    let (sender, output) = bounded(1);
    if let Some(mut stdin) = child.stdin.take() {
        // A command need not read what it is given.
        thread::Builder::new().name("iscp-input".to_owned()).spawn(move || drop(stdin.write_all(&input)))?;
    }
    if let Some(stdout) = child.stdout.take() {
        thread::Builder::new().name("iscp-output".to_owned()).spawn(move || {
            let mut printed = Vec::new();
            let read = stdout.take(MAX_PAYLOAD as u64 + 1).read_to_end(&mut printed);
            let _ = sender.send(read.map(|_| printed));
        })?;
    }
    Ok(output)
}

/// Waits for the end of a command.
fn watch(
    child: &mut Child,
    output: &Receiver<io::Result<Vec<u8>>>,
    deadline: Instant,
    timeout: Duration,
    interrupt: &Interrupt,
) -> Result<(Vec<u8>, ExitStatus), Failure> {
    let late = at(deadline);
    let interrupted = || Failure::new("the command was ended by a signal to the program");
    let too_late = || Failure::new(format!("the command took longer than {timeout:?}"));
    let broken =
        |error: &dyn std::fmt::Display| Failure::new(format!("cannot read from the command: {error}"));
    let printed = select! {
        recv(output) -> printed => match printed {
            Ok(printed) => printed.map_err(|error| broken(&error))?,
            Err(error) => return Err(broken(&error)),
        },
        recv(interrupt.channel()) -> _ => return Err(interrupted()),
        recv(late) -> _ => return Err(too_late()),
    };
    if printed.len() > MAX_PAYLOAD {
        return Err(Failure::new(format!("the command printed more than {MAX_PAYLOAD} bytes")));
    }
    loop {
        if let Some(status) = child.try_wait().map_err(|error| broken(&error))? {
            return Ok((printed, status));
        }
        select! {
            recv(interrupt.channel()) -> _ => return Err(interrupted()),
            recv(late) -> _ => return Err(too_late()),
            default(ENDED) => {}
        }
    }
}

/// Kills a command and everything it started.
fn end(child: &mut Child) {
    if let Ok(pid) = i32::try_from(child.id()) {
        // Not reaped yet, so the number is still the command's. It may have ended already.
        let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
    }
    let _ = child.wait();
}

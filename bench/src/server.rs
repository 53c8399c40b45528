//! The servers that workers talk to, and what these cost.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use crate::catalogue::Backend;
use crate::machine::field_kb;
use crate::worker::Worker;

/// How long a server may take to listen.
const LIMIT: Duration = Duration::from_secs(20);
/// Where servers come from.
#[derive(Debug)]
pub(crate) struct Programs {
    /// `iscp` and `bare`.
    pub(crate) directory: PathBuf,
    /// Starts those of other clients.
    pub(crate) script: PathBuf,
    /// For files of one run.
    pub(crate) scratch: PathBuf,
}

/// A server on this machine, ended when this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    url: String,
    quic: Option<String>,
    ca: PathBuf,
}

impl Server {
    pub(crate) fn start(backend: Backend, programs: &Programs) -> Result<Self, String> {
        let ca = programs.scratch.join("broker.pem");
        let bare = |kind: &str| {
            let mut command = Command::new(programs.directory.join("bare"));
            command.args(["serve", kind]);
            listen(command, 1)
        };
        let (child, addresses) = match backend {
            Backend::Iscp => {
                let mut command = Command::new(programs.directory.join("iscp"));
                command.args(["broker", "--ws", "127.0.0.1:0", "--quic", "127.0.0.1:0", "--self-signed"]);
                command.arg("--self-signed-pem").arg(&ca);
                // A source that is faster than its reader waits, as it does with the other servers; by default the reader
                // would be closed.
                command.args(["--hold-for", "60"]);
                listen(command, 2)?
            }
            Backend::BareWebSocket => bare("ws")?,
            Backend::BareTcp => bare("tcp")?,
            Backend::Mosquitto => other("mosquitto", "tcp", programs)?,
            Backend::Nats => other("nats", "nats", programs)?,
        };
        let mut addresses = addresses.into_iter();
        let url = addresses.next().unwrap_or_default();
        Ok(Self { child, url, quic: addresses.next(), ca })
    }

    /// Where clients connect.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Where clients connect with QUIC, as `HOST:PORT`, and the certificate to trust there.
    pub(crate) fn quic(&self) -> Option<(&str, &Path)> {
        Some((self.quic.as_ref()?.strip_prefix("quic://")?, &self.ca))
    }

    /// CPU seconds of all its threads so far.
    pub(crate) fn cpu_s(&self) -> Result<f64, String> {
        let directory = format!("/proc/{}/task", self.child.id());
        let gone = |error| format!("the server is gone: {directory}: {error}");
        let mut nanoseconds = 0;
        for thread in fs::read_dir(&directory).map_err(gone)? {
            let file = thread.map_err(gone)?.path().join("schedstat");
            let text = fs::read_to_string(&file).map_err(gone)?;
            nanoseconds += on_cpu_ns(&text).ok_or_else(|| format!("{}: {text:?}", file.display()))?;
        }
        Ok(nanoseconds as f64 / 1e9)
    }

    /// Resident memory in KiB.
    pub(crate) fn resident_kb(&self) -> Result<u64, String> {
        let file = format!("/proc/{}/status", self.child.id());
        let text =
            fs::read_to_string(&file).map_err(|error| format!("the server is gone: {file}: {error}"))?;
        field_kb(&text, "VmRSS").ok_or_else(|| format!("{file} has no VmRSS"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        stop(&mut self.child);
    }
}

/// Versions of the brokers that are there, by name.
pub(crate) fn versions(programs: &Programs) -> BTreeMap<String, String> {
    // Where Debian has brokers, an ordinary user's shell does not look.
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/local/sbin:/usr/sbin";
    let installed = |name: &str| {
        path.split(':').map(|directory| Path::new(directory).join(name)).find(|file| file.exists())
    };
    let brokers = [
        ("iscp broker", Some(programs.directory.join("iscp")), "--version"),
        ("mosquitto", installed("mosquitto"), "-h"),
        ("nats-server", installed("nats-server"), "--version"),
    ];
    brokers
        .into_iter()
        .filter_map(|(name, program, argument)| {
            let asked = Worker::start(&program?, argument, &[], Duration::from_secs(10)).ok()?;
            Some((name.to_owned(), asked.first_line()?))
        })
        .collect()
}

/// A proxy in front of a QUIC server that loses datagrams.
#[derive(Debug)]
pub(crate) struct Lossy {
    child: Child,
    /// Where clients connect.
    pub(crate) address: String,
}

impl Lossy {
    pub(crate) fn start(to: &str, percent: u32, programs: &Programs) -> Result<Self, String> {
        let mut command = Command::new(programs.directory.join("iscp"));
        command.args(["chaos", "--udp", "--to", to, "--drop", &format!("{percent}%"), "--seed", "1"]);
        let (child, addresses) = listen(command, 1)?;
        Ok(Self { child, address: addresses.into_iter().next().unwrap_or_default() })
    }
}

impl Drop for Lossy {
    fn drop(&mut self) {
        stop(&mut self.child);
    }
}

fn stop(child: &mut Child) {
    // It may have ended by itself.
    let _ = child.kill();
    let _ = child.wait();
}

/// Starts a program that prints `listening ADDRESS` so many times.
fn listen(mut command: Command, count: usize) -> Result<(Child, Vec<String>), String> {
    let mut child = spawn(command.stdout(Stdio::piped()))?;
    let (sender, lines): (_, Receiver<String>) = mpsc::channel();
    if let Some(stdout) = child.stdout.take() {
        // To the end, for a program that goes on printing would wait otherwise.
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
    }
    let deadline = Instant::now() + LIMIT;
    let mut addresses = Vec::new();
    while addresses.len() < count {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => addresses.extend(line.strip_prefix("listening ").map(str::to_owned)),
            Err(error) => {
                stop(&mut child);
                return Err(format!("{:?} does not listen: {error}", command.get_program()));
            }
        }
    }
    Ok((child, addresses))
}

/// Starts a server of another client on a free port.
fn other(name: &str, scheme: &str, programs: &Programs) -> Result<(Child, Vec<String>), String> {
    // Free a moment ago: these servers cannot be asked which port they took.
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let address = free.map_err(|error| error.to_string())?;
    let log = programs.scratch.join(format!("{name}.log"));
    let errors = fs::File::create(&log).map_err(|error| format!("{}: {error}", log.display()))?;
    let mut command = Command::new(&programs.script);
    command.args([name, &address.port().to_string()]).stdout(Stdio::null()).stderr(errors);
    let mut child = spawn(&mut command)?;
    let deadline = Instant::now() + LIMIT;
    while TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_err() {
        let ended = child.try_wait().ok().flatten();
        if ended.is_some() || Instant::now() > deadline {
            stop(&mut child);
            let why = ended.map_or_else(|| "it does not listen".to_owned(), |status| status.to_string());
            // Without it the status has to do.
            let said = fs::read_to_string(&log).unwrap_or_default();
            return Err(format!("{name}: {why}: {}", said.lines().last().unwrap_or_default()));
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok((child, vec![format!("{scheme}://{address}")]))
}

fn spawn(command: &mut Command) -> Result<Child, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::null()).spawn().map_err(|error| format!("{program}: {error}"))
}

/// The first number of a schedstat file: nanoseconds that the thread was on a CPU.
fn on_cpu_ns(schedstat: &str) -> Option<u64> {
    schedstat.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_time_of_a_thread_is_read() {
        assert_eq!(on_cpu_ns("745124 2828076 2\n"), Some(745_124));
        assert_eq!(on_cpu_ns(""), None);
    }
}

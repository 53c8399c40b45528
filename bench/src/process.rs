//! Helper processes and the CPU time of this one.

use std::env;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{self, Command, Stdio};
use std::time::Duration;

use iscp::client::{Completion, ConnectOptions, Connection};
use iscp::error::Result;
use iscp::transport::Scheme;
use iscp_broker::{Listener, Server, ServerConfig};

/// How long anything may take before the run is given up.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);

/// This program again, as a server on a free port.
pub(crate) struct Child {
    process: process::Child,
    /// Where it listens.
    pub(crate) url: String,
}

impl Child {
    pub(crate) fn start(role: &str) -> Self {
        let mut process = Command::new(env::current_exe().expect("the program's own path"))
            .arg(role)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a helper process");
        let mut url = String::new();
        let stdout = process.stdout.take().expect("its output");
        BufReader::new(stdout).read_line(&mut url).expect("its address");
        Self { process, url: url.trim().to_owned() }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Says where the helper listens, and stays until the parent is gone.
pub(crate) fn announce(url: &str) {
    println!("{url}");
    let _ = std::io::stdout().flush();
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

/// Runs the broker.
pub(crate) fn serve() {
    let config = ServerConfig {
        listeners: vec![Listener::new(Scheme::Ws, ([127, 0, 0, 1], 0))],
        ..ServerConfig::default()
    };
    let server = Server::start(config).expect("the broker");
    announce(&server.url(Scheme::Ws));
}

/// CPU seconds this process has used.
pub(crate) fn cpu_seconds() -> f64 {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the place is writable and of the right type, and the call fills it in.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
        usage.assume_init()
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

pub(crate) fn connect(url: &str, node: &str) -> Connection {
    let mut options = ConnectOptions { url: url.to_owned(), ..ConnectOptions::default() };
    options.config.node_id = node.to_owned();
    // Ping time-outs are not what is measured, and this machine may be busy.
    options.config.ping_timeout = Duration::from_secs(30);
    // A loss would falsify what is measured.
    options.config.reconnect.enabled = false;
    Connection::connect_wait(options, Some(LIMIT)).expect("a connection")
}

pub(crate) fn wait<T: Send + 'static>(start: impl FnOnce(Completion<T>) -> Result<()>) -> T {
    let (done, waiter) = Completion::waiter().expect("not inside a callback");
    start(done).expect("an open connection");
    waiter.wait(Some(LIMIT)).expect("success")
}

//! The sample programs of the Go client's documentation, written anew in tests/interop/go/samples: against a broker
//! that nothing but the address and the credentials tells from an intdash server.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::bench::{Bench, Client};
use crate::broker::Broker;
use crate::peer::LIMIT;

const NODE: &str = "6c0f1e8e-7a40-4c0e-8f0c-2f5d3a1b9c77";
const SECRET: &str = "the secret of the node";

struct Sample {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Sample {
    fn start(
        bench: &Bench,
        client: &Client,
        broker: &Broker,
        name: &str,
        secret: &str,
    ) -> Result<Self, String> {
        let command = client.peer.as_ref().map_err(Clone::clone)?;
        let program = Path::new(&command[0]).with_file_name(name);
        let failed = |error: std::io::Error| format!("{}: {error}", program.display());
        let log = bench.logs.join(format!("{name}-{}.log", client.version));
        let child = Command::new(&program)
            .args([
                "-address",
                broker.url("ws").trim_start_matches("ws://"),
                "-token-url",
                broker.url("http"),
            ])
            .args(["-node", NODE, "-secret", secret])
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log).map_err(failed)?)
            .spawn()
            .map_err(failed)?;
        Ok(Self { name: name.to_owned(), child, log })
    }

    fn printed(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits for something, which must happen before the program ends or the time is up.
    fn wait(&mut self, what: &str, mut condition: impl FnMut(&mut Self) -> bool) -> Result<(), String> {
        let deadline = Instant::now() + LIMIT;
        while !condition(self) {
            if Instant::now() > deadline {
                return Err(format!("{}: not {what} within {LIMIT:?}, but: {}", self.name, self.printed()));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Waits for the end, and compares everything that was printed.
    fn expect(&mut self, succeeded: bool, expected: &[&str]) -> Result<(), String> {
        let mut status = None;
        self.wait("ended", |sample| {
            status = sample.child.try_wait().unwrap_or_default();
            status.is_some()
        })?;
        let printed = self.printed();
        // The client says which address it dials.
        let lines: Vec<&str> = printed.lines().collect();
        let all = expected.iter().all(|wanted| lines.iter().any(|line| line.contains(wanted)));
        if all && status.is_some_and(|status| status.success()) == succeeded {
            return Ok(());
        }
        Err(format!("{}: {status:?}, printed {lines:?}, not {expected:?}", self.name))
    }
}

impl Drop for Sample {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn broker(bench: &Bench, client: &Client, name: &str) -> Result<Broker, String> {
    let credentials = format!("{NODE}:{SECRET}");
    let arguments = [
        "--ws",
        "127.0.0.1:0",
        "--oauth2-dev",
        "--oauth2-listen",
        "127.0.0.1:0",
        "--oauth2-client",
        &credentials,
    ];
    Broker::start(
        &bench.program,
        &arguments,
        bench.logs.join(format!("broker-{name}-{}.log", client.version)),
    )
}

/// The token of OAuth2 lets it in, and a wrong secret gets none.
pub(crate) fn connect(bench: &Bench, client: &Client) -> Result<(), String> {
    let broker = broker(bench, client, "connect")?;
    Sample::start(bench, client, &broker, "connect", SECRET)?.expect(true, &["connected", "closed"])?;
    Sample::start(bench, client, &broker, "connect", "a wrong one")?
        .expect(false, &["no token: ", "invalid_client"])
}

/// What one sample sends the other prints.
pub(crate) fn streams(bench: &Bench, client: &Client) -> Result<(), String> {
    let broker = broker(bench, client, "streams")?;
    let mut downstream = Sample::start(bench, client, &broker, "downstream", SECRET)?;
    downstream.wait("subscribed", |sample| sample.printed().contains("subscribed"))?;
    let mut upstream = Sample::start(bench, client, &broker, "upstream", SECRET)?;
    upstream.expect(true, &["acknowledged 1: OK", "acknowledged 2: OK", "acknowledged 3: OK"])?;
    downstream.expect(
        true,
        &[
            "upstream opened",
            "base time edge_rtc",
            "chunk 1: string:greeting hello 1",
            "chunk 2: string:greeting hello 2",
            "chunk 3: string:greeting hello 3",
            "upstream closed after 3 points",
        ],
    )
}

//! The yardsticks: what a bare WebSocket and a bare TCP connection do with the same bytes, and what it costs to encode
//! a point.
//!
//! `bare serve ws|tcp` is the server of both, `bare ROLE key=value …` a worker of the benchmark as bench/README.md
//! describes them. Which of the two a worker is, the scheme of its `url` says.

mod encode;
mod measure;
mod server;
mod settings;
mod tcp;
mod ws;

use std::error::Error;
use std::process::ExitCode;

use settings::{Settings, Unsupported};

/// Payload bytes that come together in one message when points are small: the default flush size of libiscp.
const MESSAGE: usize = 10_000;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            if error.is::<Unsupported>() { ExitCode::from(64) } else { ExitCode::FAILURE }
        }
    }
}

fn run(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let (role, rest) = arguments.split_first().ok_or_else(|| Unsupported("no role".to_owned()))?;
    if role == "version" {
        println!("{{\"version\":\"tokio-tungstenite and tokio\"}}");
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    if role == "serve" {
        return runtime.block_on(server::serve(rest.first().map_or("", String::as_str)));
    }
    let settings = Settings::read(rest)?;
    match (role.as_str(), settings.over_websocket) {
        ("encode", _) => encode::run(&settings),
        ("pub", true) => runtime.block_on(ws::publish(&settings)),
        ("pub", false) => runtime.block_on(tcp::publish(&settings)),
        ("ack" | "e2e", true) => runtime.block_on(ws::ping_pong(&settings)),
        ("ack" | "e2e", false) => runtime.block_on(tcp::ping_pong(&settings)),
        _ => Err(Unsupported(format!("role {role:?}")).into()),
    }
}

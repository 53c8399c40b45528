//! What libiscp costs per point, against floors measured in the same run.
//!
//! `cargo run --release -p iscp-bench` prints one table. Only the ratios carry over to another machine
//! or another moment; absolute times are there to judge the run by.

mod c_api;
mod counting;
mod floor;
mod latency;
mod process;
mod throughput;

use std::env;

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        // The broker in a process of its own, so that its CPU time is not the client's.
        Some("broker") => process::serve(),
        Some("echo") => floor::serve_echo(),
        None => run(),
        Some(other) => {
            eprintln!("error: unknown argument {other:?}; there is none");
            std::process::exit(2);
        }
    }
}

fn run() {
    let broker = process::Child::start("broker");
    let echo = process::Child::start("echo");
    println!("{:<58} {:>14} {:>12}", "measurement", "value", "ratio");
    let lock = floor::encode_under_lock();
    row("floor: encode a 32-byte point under a mutex", &format!("{:.1} ns", lock * 1e9), "");
    throughput::write_cost(&broker.url, lock);
    c_api::write_cost(&broker.url);
    throughput::points(&broker.url, 32, 10_000_000, lock);
    let bare = floor::bare_throughput(&echo.url, 64 * 1024, 40_000);
    row("floor: bare WebSocket, 64 KiB messages", &format!("{:.0} MB/s", bare / 1e6), "");
    throughput::large(&broker.url, 64 * 1024, 40_000, bare);
    let ping = floor::ping_pong(&echo.url, 5_000);
    row("floor: bare WebSocket ping-pong, p50", &format!("{:.1} µs", ping.p50), "");
    latency::write_to_ack(&broker.url, 5_000, &ping);
    latency::end_to_end(&broker.url, 5_000, &ping);
}

fn row(what: &str, value: &str, ratio: &str) {
    println!("{what:<58} {value:>14} {ratio:>12}");
}

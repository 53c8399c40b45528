//! The program `iscp`: a broker, a publisher, a subscriber, a caller, a converter of messages, a proxy that injects
//! faults, and a benchmark, for iSCP on the command line.

mod args;
mod bench;
mod broker;
mod call;
mod certificate;
mod chaos;
mod client;
mod codec;
mod connect_args;
mod failure;
mod interrupt;
mod lines;
mod logging;
mod output;
mod progress;
mod publish;
mod serve;
mod shell;
mod spool;
mod subscribe;

use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command};
use failure::Failure;
use interrupt::Interrupt;

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.report();
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), Failure> {
    logging::start(args.verbose)?;
    let interrupt = Interrupt::install()?;
    match &args.command {
        Command::Broker(broker) => broker::run(broker, &interrupt),
        Command::Pub(publish) => publish::run(publish, &interrupt, args.quiet_progress()),
        Command::Sub(subscribe) => subscribe::run(subscribe, &interrupt, args.quiet_progress()),
        Command::Call(call) => match &call.to {
            Some(to) => call::run(call, to, &interrupt),
            None => serve::run(call, call.serve.as_ref().and_then(Option::as_deref), &interrupt),
        },
        Command::Codec(codec) => codec::run(codec, &interrupt),
        Command::Chaos(chaos) => chaos::run(chaos, &interrupt),
        Command::Spool(spool) => spool::run(spool, &interrupt),
        Command::Bench(bench) => bench::run(bench, &interrupt, args.quiet_progress()),
    }
}

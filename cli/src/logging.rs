//! Log lines on standard error.

use std::env::{self, VarError};

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::failure::Failure;

const VARIABLE: &str = "ISCP_LOG";

/// Starts logging what `ISCP_LOG` asks for, or else what the number of `-v` does.
pub(crate) fn start(verbose: u8) -> Result<(), Failure> {
    let level = match verbose {
        0 => LevelFilter::ERROR,
        1 => LevelFilter::INFO,
        2 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let filter = match env::var(VARIABLE) {
        Ok(text) if !text.is_empty() => {
            text.parse().map_err(|error| Failure::new(format!("{VARIABLE}={text:?}: {error}")))?
        }
        Ok(_) | Err(VarError::NotPresent) => {
            Targets::new().with_target("iscp", level).with_target("iscp_broker", level)
        }
        Err(error) => return Err(Failure::new(format!("{VARIABLE}: {error}"))),
    };
    let lines =
        tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false).with_target(false);
    tracing_subscriber::registry()
        .with(lines)
        .with(filter)
        .try_init()
        .map_err(|error| Failure::new(format!("cannot start logging: {error}")))
}

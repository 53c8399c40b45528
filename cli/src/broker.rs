//! `iscp broker`.

use std::io::{self, ErrorKind, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{bounded, select};
use iscp::transport::Scheme;
use iscp_broker::{Listener, OAuth2Config, Server, ServerConfig, ServerHandle, StartError, core};
use tracing::info;

use crate::args::{BrokerArgs, ListenArgs, OAuth2Args};
use crate::certificate;
use crate::failure::Failure;
use crate::interrupt::Interrupt;

/// How long the clients may take to say goodbye.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(5);

/// Where to listen without being told, with a certificate and without.
const DEFAULT_WSS: &str = "127.0.0.1:8443";
const DEFAULT_WS: &str = "127.0.0.1:8080";

/// Runs a broker until a signal.
pub(crate) fn run(args: &BrokerArgs, interrupt: &Interrupt) -> Result<(), Failure> {
    let (server, fingerprint) = start(args)?;
    let server = Arc::new(server);
    announce(&server, fingerprint.as_deref())?;
    info!("ready");

    let (ended, end) = bounded::<()>(0);
    let watched = server.clone();
    thread::Builder::new()
        .name("iscp-watch".to_owned())
        .spawn(move || {
            watched.join();
            drop(ended);
        })
        .map_err(|error| Failure::new(format!("cannot start a thread: {error}")))?;
    select! {
        recv(interrupt.channel()) -> _ => {}
        recv(end) -> _ => return Err(Failure::new("the broker ended unexpectedly")),
    }
    info!("ending");
    server.shutdown(SHUTDOWN_LIMIT);
    Ok(())
}

/// Listens at every address of the command line; with it comes the fingerprint of a self-signed
/// certificate.
fn start(args: &BrokerArgs) -> Result<(ServerHandle, Option<String>), Failure> {
    let certificate = certificate::prepare(&args.certificate)?;
    let listeners = listeners(&args.listen, certificate.is_some())?;
    if certificate.is_some()
        && !args.oauth2.oauth2_dev
        && listeners.iter().all(|listener| !listener.scheme.is_secure())
    {
        return Err(Failure::new(
            "nothing uses the certificate: there is no --wss, --quic or --webtransport",
        ));
    }
    let (tls, fingerprint) = match certificate {
        None => (None, None),
        Some(prepared) => (Some(prepared.identity), prepared.fingerprint),
    };
    let oauth2 = oauth2(&args.oauth2)?;
    let config = ServerConfig {
        listeners,
        tls,
        tokens: args.token.clone(),
        oauth2,
        allowed_origins: args.allow_origin.clone(),
        state: args.state.clone(),
        threads: args.threads,
        core: core_config(args),
        ..ServerConfig::default()
    };
    let server = Server::start(config).map_err(|error| match error {
        StartError::NoCertificate(scheme) => Failure::new(format!(
            "--{} needs a certificate: --tls-cert with --tls-key, or --self-signed",
            scheme.name()
        )),
        StartError::Unsupported(scheme) => Failure::new(format!("--{}: {error}", scheme.name())),
        error => Failure::new(error),
    })?;
    Ok((server, fingerprint))
}

fn core_config(args: &BrokerArgs) -> core::Config {
    let mut config = core::Config::default();
    config.timing.min_expiry = args.min_expiry;
    config.timing.hold = args.hold_for;
    config
}

fn listeners(args: &ListenArgs, certificate: bool) -> Result<Vec<Listener>, Failure> {
    let mut listeners = Vec::new();
    for (scheme, addresses) in [
        (Scheme::Ws, &args.ws),
        (Scheme::Wss, &args.wss),
        (Scheme::Quic, &args.quic),
        (Scheme::WebTransport, &args.webtransport),
    ] {
        for address in addresses {
            listeners.push(Listener { scheme, addresses: resolve(address)? });
        }
    }
    if listeners.is_empty() {
        let (scheme, address) =
            if certificate { (Scheme::Wss, DEFAULT_WSS) } else { (Scheme::Ws, DEFAULT_WS) };
        listeners.push(Listener { scheme, addresses: resolve(address)? });
    }
    Ok(listeners)
}

fn oauth2(args: &OAuth2Args) -> Result<Option<OAuth2Config>, Failure> {
    if !args.oauth2_dev {
        return Ok(None);
    }
    Ok(Some(OAuth2Config {
        addresses: resolve(&args.oauth2_listen)?,
        clients: args.oauth2_client.clone(),
        token_lifetime: Duration::from_secs(args.oauth2_token_lifetime.into()),
    }))
}

/// The addresses of a HOST:PORT to listen at, at least one.
pub(crate) fn resolve(address: &str) -> Result<Vec<SocketAddr>, Failure> {
    let cannot = |why: &dyn std::fmt::Display| Failure::new(format!("cannot listen on {address}: {why}"));
    let addresses: Vec<SocketAddr> = address
        .to_socket_addrs()
        .map_err(|error| match error.kind() {
            ErrorKind::InvalidInput => cannot(&"not of the form HOST:PORT"),
            _ => cannot(&error),
        })?
        .collect();
    if addresses.is_empty() {
        return Err(cannot(&"the host has no address"));
    }
    Ok(addresses)
}

/// Prints what clients need to know.
fn announce(server: &ServerHandle, fingerprint: Option<&str>) -> Result<(), Failure> {
    let mut text = String::new();
    for endpoint in server.endpoints() {
        text.push_str(&format!("listening {endpoint}\n"));
    }
    if let Some(url) = server.token_url() {
        text.push_str(&format!("listening {url}\n"));
    }
    if let Some(fingerprint) = fingerprint {
        text.push_str(&format!("certificate SHA-256 {fingerprint}\n"));
    }
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        // Whoever started the broker need not want to know.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::new(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Args, Command};

    #[test]
    fn streams_are_kept_and_readers_waited_for_as_long_as_the_command_line_says() {
        let timing = |args: &[&str]| match Args::try_parse_from([&["iscp", "broker"], args].concat())
            .map(|args| args.command)
        {
            Ok(Command::Broker(args)) => core_config(&args).timing,
            _ => panic!("{args:?}"),
        };
        let default = core::Timing::default();
        assert_eq!(timing(&["--min-expiry", "12.5"]).min_expiry, Duration::from_millis(12_500));
        assert_eq!(timing(&[]).min_expiry, default.min_expiry);
        assert_eq!(timing(&["--hold-for", "30"]).hold, Duration::from_secs(30));
        for args in [&[][..], &["--hold-for", "0"]] {
            assert_eq!(timing(args).hold, default.hold);
        }
    }

    #[test]
    fn a_number_of_threads_that_is_not_possible_is_named() {
        for threads in ["0", "-1", "257", "many"] {
            let parsed = Args::try_parse_from(["iscp", "broker", "--threads", threads]);
            let error = parsed.err().unwrap().to_string();
            assert!(error.contains(threads) && error.contains("--threads <N>"), "{error}");
        }
    }
}

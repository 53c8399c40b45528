//! What every client of the command line needs to reach its server.

use std::env;
use std::fmt::Display;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::ArgAction;
use clap::builder::NonEmptyStringValueParser;
use iscp::client::{ConnectOptions, TokenSource};
use iscp::encoding::Encoding;
use iscp::transport::Compression;
use iscp::transport::multi::Scheduler;
use iscp::transport::multi::dial::{MAX_PATHS, PathOptions};
use iscp::transport::proxy::Proxy;
use iscp::transport::tls::{certificates, private_key, server_name_of};

use crate::args::parse_seconds;
use crate::failure::Failure;

/// Options of every client.
#[derive(clap::Args)]
pub(crate) struct ConnectArgs {
    /// Address of the server, SCHEME://HOST:PORT/PATH with the scheme ws, wss, quic or webtransport.
    #[arg(long, value_name = "URL")]
    pub(crate) url: String,
    /// Id of the node to connect as.
    #[arg(long, value_name = "NODE", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) node: String,
    /// How long connecting may take, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = parse_seconds)]
    pub(crate) connect_timeout: Duration,
    /// Connect again and resume the streams whenever the connection is lost, for as long as it takes. Without it the
    /// program ends then.
    #[arg(long)]
    reconnect: bool,
    /// Encoding of the messages: proto or json.
    #[arg(long, value_name = "ENCODING", default_value = "proto", value_parser = parse_encoding)]
    encoding: Encoding,
    /// Compression of the messages: none, per-message[:LEVEL] or context-takeover[:LEVEL[:WINDOW_BITS]].
    #[arg(long, value_name = "MODE", default_value = "none")]
    compression: Compression,
    #[command(flatten)]
    credentials: CredentialArgs,
    #[command(flatten)]
    tls: TlsArgs,
    #[command(flatten)]
    way: WayArgs,
}

/// Who the client is.
#[derive(clap::Args)]
struct CredentialArgs {
    /// Access token. The environment variable ISCP_TOKEN gives it too, unless --oauth2-url does.
    // Not clap's `env`: a variable that is always set would be in conflict with --oauth2-url.
    #[arg(help_heading = "Credentials", long, value_name = "TOKEN")]
    token: Option<String>,
    /// Token endpoint of an OAuth2 server that gives the access token, by client credentials.
    #[arg(help_heading = "Credentials", long, value_name = "URL", requires_all = ["oauth2_client_id", "oauth2_client_secret"])]
    #[arg(conflicts_with = "token")]
    oauth2_url: Option<String>,
    /// Id of the client for the OAuth2 server.
    #[arg(help_heading = "Credentials", long, value_name = "ID", requires = "oauth2_url", value_parser = NonEmptyStringValueParser::new())]
    oauth2_client_id: Option<String>,
    /// Secret of the client for the OAuth2 server.
    #[arg(
        help_heading = "Credentials",
        long,
        value_name = "SECRET",
        env = "ISCP_OAUTH2_CLIENT_SECRET",
        hide_env_values = true
    )]
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    oauth2_client_secret: Option<String>,
    /// Scopes to ask the OAuth2 server for, separated by spaces.
    #[arg(help_heading = "Credentials", long, value_name = "SCOPES", requires = "oauth2_url")]
    oauth2_scope: Option<String>,
    /// Value of a header of the HTTP request that WebSocket and WebTransport begin with, scheme word included.
    #[arg(
        help_heading = "Credentials",
        long,
        value_name = "TOKEN",
        env = "ISCP_HEADER_TOKEN",
        hide_env_values = true
    )]
    header_token: Option<String>,
    /// Name of that header.
    #[arg(help_heading = "Credentials", long, value_name = "NAME", default_value = "Authorization")]
    header_token_name: http::HeaderName,
}

/// Whom to trust.
#[derive(Debug, clap::Args)]
struct TlsArgs {
    /// PEM file of certificates to trust instead of those of the system.
    #[arg(help_heading = "TLS", long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// PEM file with the certificate for servers that demand one from their clients.
    #[arg(help_heading = "TLS", long, value_name = "FILE", requires = "client_key")]
    client_cert: Option<PathBuf>,
    /// PEM file with the key of that certificate.
    #[arg(help_heading = "TLS", long, value_name = "FILE", requires = "client_cert")]
    client_key: Option<PathBuf>,
    /// Name that the server's certificate must be for, instead of the host of --url.
    #[arg(help_heading = "TLS", long, value_name = "NAME")]
    server_name: Option<String>,
    /// Take any certificate: whoever answers is believed. An OAuth2 server on another host than that of --url is
    /// verified nevertheless.
    #[arg(help_heading = "TLS", long, action = ArgAction::SetTrue, conflicts_with_all = ["ca", "server_name"])]
    insecure: bool,
}

/// How packets get there.
#[derive(clap::Args)]
struct WayArgs {
    /// HTTP proxy for WebSockets, http://USER:PASSWORD@HOST:PORT, or `env` for that of the environment.
    #[arg(help_heading = "Way to the server", long, value_name = "URL")]
    proxy: Option<String>,
    /// Address of this machine to connect from.
    #[arg(help_heading = "Way to the server", long, value_name = "ADDRESS")]
    local_address: Option<IpAddr>,
    /// Network interface to take, whatever the routes say.
    #[arg(help_heading = "Way to the server", long, value_name = "NAME")]
    interface: Option<String>,
    /// Use Multipath TCP for WebSockets where this system and the server have it.
    #[arg(help_heading = "Way to the server", long)]
    multipath_tcp: bool,
    /// Make the connection of several transports, by this path and those of further such options: words `url=URL`,
    /// `local_address=ADDRESS` and `interface=NAME`, those that are needed.
    #[arg(help_heading = "Way to the server", long, value_name = "WORDS", conflicts_with_all = ["local_address", "interface"])]
    path: Vec<PathOptions>,
    /// How messages are spread over the paths: round-robin, min-rtt or ecf (earliest completion first).
    #[arg(help_heading = "Way to the server", long, value_name = "NAME", default_value = "min-rtt", value_parser = parse_scheduler)]
    scheduler: Scheduler,
}

impl ConnectArgs {
    /// The settings of the connection.
    pub(crate) fn options(&self) -> Result<ConnectOptions, Failure> {
        let mut options = ConnectOptions {
            url: self.url.clone(),
            connect_timeout: self.connect_timeout,
            token_timeout: self.connect_timeout,
            ..ConnectOptions::default()
        };
        options.config.node_id.clone_from(&self.node);
        // Whoever runs the program sees that it ends, and why, unless asked not to.
        options.config.reconnect.enabled = self.reconnect;
        options.dial.negotiation.encoding = self.encoding;
        options.dial.negotiation.compression = self.compression;
        self.credentials.set(&mut options)?;
        self.tls.set(&mut options)?;
        self.way.set(&mut options)?;
        Ok(options)
    }
}

impl CredentialArgs {
    fn set(&self, options: &mut ConnectOptions) -> Result<(), Failure> {
        let fixed = |token: Option<String>| token.map_or(TokenSource::None, TokenSource::Static);
        options.token = fixed(self.token()?);
        options.header_token = fixed(self.header_token.clone());
        options.header_token_name = self.header_token_name.clone();
        if let Some(url) = &self.oauth2_url {
            options.oauth2.set(|settings| {
                settings.token_url.clone_from(url);
                settings.client_id = self.oauth2_client_id.clone().unwrap_or_default();
                settings.client_secret = self.oauth2_client_secret.clone().unwrap_or_default();
                settings.scope = self.oauth2_scope.clone().unwrap_or_default();
            });
        }
        Ok(())
    }

    fn token(&self) -> Result<Option<String>, Failure> {
        if self.token.is_some() || self.oauth2_url.is_some() {
            return Ok(self.token.clone());
        }
        match env::var("ISCP_TOKEN") {
            Ok(token) => Ok(Some(token).filter(|token| !token.is_empty())),
            Err(env::VarError::NotPresent) => Ok(None),
            Err(env::VarError::NotUnicode(_)) => {
                Err(Failure::new("the environment variable ISCP_TOKEN is not UTF-8"))
            }
        }
    }
}

impl TlsArgs {
    fn set(&self, options: &mut ConnectOptions) -> Result<(), Failure> {
        let tls = &mut options.dial.tls;
        tls.insecure = self.insecure;
        tls.ca = read("--ca", self.ca.as_deref(), certificates)?;
        tls.chain = read("--client-cert", self.client_cert.as_deref(), certificates)?;
        tls.key = read("--client-key", self.client_key.as_deref(), private_key)?.map(Arc::new);
        tls.server_name = match &self.server_name {
            None => None,
            Some(name) => Some(server_name_of(name).map_err(|why| refused("--server-name", name, &why))?),
        };
        Ok(())
    }
}

impl WayArgs {
    fn set(&self, options: &mut ConnectOptions) -> Result<(), Failure> {
        options.dial.socket.local_address = self.local_address;
        options.dial.socket.multipath = self.multipath_tcp;
        options.dial.socket.interface.clone_from(&self.interface);
        if self.path.len() > MAX_PATHS {
            return Err(Failure::new(format!("--path: at most {MAX_PATHS} paths")));
        }
        options.dial.multi.paths.clone_from(&self.path);
        options.dial.multi.scheduler = self.scheduler;
        if let Some(url) = &self.proxy {
            // The URL is not quoted: it may hold a password.
            let proxy = Proxy::parse(url).map_err(|why| Failure::new(format!("--proxy: {why}")))?;
            options.dial.proxy = Some(proxy);
        }
        Ok(())
    }
}

/// Reads something from the PEM file of a flag.
pub(crate) fn read<T>(
    flag: &str,
    path: Option<&Path>,
    parse: impl FnOnce(&[u8]) -> Result<T, String>,
) -> Result<Option<T>, Failure> {
    let Some(path) = path else { return Ok(None) };
    if path.to_string_lossy().contains("-----BEGIN") {
        // It may be a private key.
        return Err(Failure::new(format!("{flag}: this is PEM text, not the name of a file")));
    }
    let content = fs::read(path).map_err(|error| refused(flag, path.display(), &error))?;
    parse(&content).map(Some).map_err(|why| refused(flag, path.display(), &why))
}

/// The value of a flag cannot be used.
pub(crate) fn refused(flag: &str, value: impl Display, why: &dyn Display) -> Failure {
    Failure::new(format!("{flag} {value}: {why}"))
}

fn parse_encoding(text: &str) -> Result<Encoding, String> {
    // The library's option calls it by its full name.
    let name = if text == "protobuf" { "proto" } else { text };
    Encoding::from_name(name).ok_or_else(|| "the encodings are proto and json".to_owned())
}

fn parse_scheduler(text: &str) -> Result<Scheduler, String> {
    Scheduler::ALL
        .into_iter()
        .find(|scheduler| scheduler.name() == text)
        .ok_or_else(|| "the schedulers are round-robin, min-rtt and ecf".to_owned())
}

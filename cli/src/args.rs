//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{NonEmptyStringValueParser, RangedU64ValueParser, TypedValueParser};
use clap::{ArgAction, Parser, Subcommand, ValueEnum};
use iscp::client::BufferPolicy;
use iscp::core::ChunkOrder;
use iscp::message::{DataFilter, Qos};
use iscp_broker::ServerConfig;
use uuid::Uuid;

use crate::bench::BenchArgs;
use crate::chaos::ChaosArgs;
use crate::connect_args::ConnectArgs;

// Nothing that may hold a secret is `Debug` here and in `connect_args`.

/// Open broker, publisher, subscriber, caller, message converter, faulty proxy and benchmark for iSCP (intdash Stream
/// Control Protocol).
#[derive(Parser)]
#[command(
    name = "iscp",
    version,
    disable_help_subcommand = true,
    after_help = "Exit status: 0 when everything worked or SIGINT or SIGTERM ended the program, 1 after an error, \
                  2 for a wrong command line. A second SIGINT or SIGTERM ends the program at once, with status 1."
)]
pub(crate) struct Args {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Log to standard error instead of the progress line; repeat for more (-vv, -vvv).
    ///
    /// The environment variable ISCP_LOG, if set, decides instead what is logged: a level (error, warn, info,
    /// debug, trace) or a list such as `iscp=debug,iscp_broker=info`.
    #[arg(short, long, global = true, action = ArgAction::Count, display_order = 900)]
    pub(crate) verbose: u8,
}

impl Args {
    /// Whether log lines take the place of the progress line.
    pub(crate) fn quiet_progress(&self) -> bool {
        self.verbose > 0
    }
}

/// What the program can do.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Run a broker until SIGINT or SIGTERM.
    ///
    /// Prints a line `listening URL` for every address to standard output once clients can connect. Without options
    /// it listens on ws://127.0.0.1:8080.
    Broker(BrokerArgs),
    /// Publish every line of standard input as a data point.
    ///
    /// A point's payload is the line without the newline at its end, whatever bytes it consists of; its elapsed
    /// time is counted from the start of the program, whose time of day is sent as base time `edge_rtc`. Ends when
    /// standard input has ended and the server has acknowledged everything. SIGINT and SIGTERM end it early: what
    /// was read is still delivered, except for a line without its end.
    Pub(PubArgs),
    /// Print the data points of a node as they arrive.
    ///
    /// Without --json every payload is printed as it is, followed by a newline. Runs until SIGINT or SIGTERM, the
    /// end of --count, or until standard output is closed. With -v, a log line on standard error that contains
    /// `subscribed` tells that nothing published from now on is missed.
    Sub(SubArgs),
    /// Call another node and print its reply, or answer calls.
    ///
    /// With --to: the payload of the reply goes to standard output as it is; on a terminal a newline follows unless
    /// it ends with one. A reply of the type `error` is printed as an error instead, and the exit status is 1, as it
    /// is when no reply comes.
    ///
    /// With --serve: answers every call, one at a time and in order, until SIGINT or SIGTERM. The shell command CMD is
    /// run by `sh -c` with the payload of the call on its standard input; what it prints is the payload of the reply,
    /// which has the name and the type of the call. The environment tells it of the call: ISCP_CALL_NAME,
    /// ISCP_CALL_TYPE and ISCP_CALL_SOURCE, the calling node. Without CMD the reply is the payload of the call. When
    /// CMD fails, takes longer than --timeout or prints more than a reply can hold, a line on standard error says so,
    /// and the caller gets a reply of the type `error` whose payload is the reason as text. With -v, a log line on
    /// standard error that contains `serving` tells that calls are received from now on.
    Call(CallArgs),
    /// Convert iSCP messages between protobuf in hexadecimal and JSON.
    ///
    /// Reads one message a line from standard input and writes each in the other form, in one line. Nothing is
    /// lost except for fields that the schema of protocol 3.0.0 does not know; the output is canonical, so that
    /// converting a form to itself normalises it.
    ///
    /// Blank lines are skipped. A line that is no valid message is reported as `error: line N: ...` on standard
    /// error; the others are still converted, and the exit status is 1 in the end.
    Codec(CodecArgs),
    /// Forward TCP connections or datagrams to a server, with faults.
    ///
    /// Prints the line `listening HOST:PORT` to standard output once clients can connect, then a line for every
    /// fault: seconds since the start, number of the connection, direction (up is from client to server), bytes or
    /// datagrams that passed before in that direction, and what was done. Runs until SIGINT or SIGTERM, which reset
    /// what is open.
    ///
    /// A TIME is a number with a unit, such as 500ms, 2s or 1m; BYTES are a number or one with k, M or G behind it;
    /// of a range, such as 1s..3s, the seed chooses a value each time. Times and bytes are counted from the beginning
    /// of each connection. For UDP, all datagrams from and to one address of a client are a connection.
    Chaos(ChaosArgs),
    /// Show, deliver or remove what a spool holds: points that wait on disk to be delivered.
    ///
    /// A spool is the directory that `iscp pub --spool` or the option `spool_dir` of the library names. One process
    /// uses it at a time.
    Spool(SpoolArgs),
    /// Measure what a server and the way to it can do.
    ///
    /// Writes points as fast as the server acknowledges them, or with --rate at that pace, then prints how many arrived
    /// in what time, and what they cost this process. The payload does not compress by itself, but is the same in every
    /// point. A signal ends the run early: what was written is still waited for and reported. The exit status is 1 when
    /// points of a RELIABLE stream were lost.
    Bench(Box<BenchArgs>),
}

/// Options of `iscp spool`.
#[derive(clap::Args)]
pub(crate) struct SpoolArgs {
    /// What to do with it.
    #[command(subcommand)]
    pub(crate) command: SpoolCommand,
}

/// What can be done with a spool.
#[derive(Subcommand)]
pub(crate) enum SpoolCommand {
    /// List the streams whose points it holds.
    Ls(SpoolLsArgs),
    /// Print the points, in the order in which they were written.
    Cat(SpoolCatArgs),
    /// Deliver the points of a node, and remove them.
    ///
    /// They arrive on the stream on which they were sent if the server still has it, otherwise on another one of the
    /// same session, with the same elapsed times.
    Send(Box<SpoolSendArgs>),
    /// Remove points that nobody wants any more.
    Rm(SpoolRmArgs),
}

/// Options of `iscp spool send`.
#[derive(clap::Args)]
pub(crate) struct SpoolSendArgs {
    /// Directory of the spool.
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

/// Options of `iscp spool ls`.
#[derive(Debug, clap::Args)]
pub(crate) struct SpoolLsArgs {
    /// Directory of the spool.
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// Print one JSON object a line.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Options of `iscp spool cat`.
#[derive(Debug, clap::Args)]
pub(crate) struct SpoolCatArgs {
    /// Directory of the spool.
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// Only those with this id, see `iscp spool ls`.
    #[arg(long, value_name = "ID")]
    pub(crate) id: Option<Uuid>,
    /// Print one JSON object a line, with the keys of `iscp sub --json`. The sequence number of points that are not
    /// yet part of a chunk is 0.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Options of `iscp spool rm`.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("which").required(true).args(["id", "all"]))]
pub(crate) struct SpoolRmArgs {
    /// Directory of the spool.
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// Those with this id, see `iscp spool ls`.
    #[arg(long, value_name = "ID")]
    pub(crate) id: Option<Uuid>,
    /// All of them.
    #[arg(long)]
    pub(crate) all: bool,
}

/// Options of `iscp broker`.
#[derive(clap::Args)]
pub(crate) struct BrokerArgs {
    #[command(flatten)]
    pub(crate) listen: ListenArgs,
    /// Accept only clients with this access token. May be repeated; without it, and without --oauth2-dev, every
    /// client is accepted.
    #[arg(long, value_name = "TOKEN", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) token: Vec<String>,
    /// Let web pages of this origin connect, SCHEME://HOST[:PORT], or `*` for all. May be repeated.
    ///
    /// Where neither a token nor a certificate is demanded of the clients, browsers could otherwise connect for
    /// every page that somebody looks at on this machine. Pages of the host and port of a WebSocket itself may
    /// connect to it without this option.
    #[arg(long, value_name = "ORIGIN", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) allow_origin: Vec<String>,
    /// How many seconds a stream that asks for less is kept at least after its connection was lost, for clients that
    /// notice the loss later than the broker. Streams that ask for nothing are not kept.
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = parse_seconds, allow_negative_numbers = true)]
    pub(crate) min_expiry: Duration,
    /// How many seconds RELIABLE upstreams may have to wait for the slowest of their RELIABLE readers [0: they do not].
    ///
    /// When more than 16 MiB wait for a reader, the broker withholds acknowledgements from those who send to it, and
    /// gives them as the reader goes on. A reader that does not go on for this long is closed. Without this option that
    /// happens when 64 MiB wait, and no sender is slowed down.
    #[arg(long, value_name = "SECONDS", default_value = "0", hide_default_value = true, value_parser = parse_hold, allow_negative_numbers = true)]
    pub(crate) hold_for: Duration,
    /// Keep the streams in this file from the end of the broker to its next start, so that a restart loses nothing.
    ///
    /// It is written when SIGINT or SIGTERM ends the broker. The next one that is started with it lets clients resume
    /// their streams for the time these had left, and removes it. Nobody but its owner may read it, since it contains
    /// data and the secrets that resume streams. A file that cannot be used is kept, with `.rejected` behind its name.
    #[arg(long, value_name = "FILE")]
    pub(crate) state: Option<PathBuf>,
    /// Threads that carry connections, at most one for each core.
    ///
    /// One costs least for each message, and is enough for millions of points a second. More share the encryption, the
    /// compression, and what else is done for each connection on its own; a single connection gets no faster.
    #[arg(long, value_name = "N", default_value = "1", value_parser = threads(), allow_negative_numbers = true)]
    pub(crate) threads: usize,
    #[command(flatten)]
    pub(crate) certificate: CertificateArgs,
    #[command(flatten)]
    pub(crate) oauth2: OAuth2Args,
}

/// As many threads as a broker can have.
fn threads() -> impl TypedValueParser<Value = usize> {
    RangedU64ValueParser::new().range(1..=ServerConfig::MAX_THREADS as u64)
}

/// Where the broker listens.
#[derive(Debug, clap::Args)]
pub(crate) struct ListenArgs {
    /// Address on which to accept WebSocket connections without TLS; port 0 takes a free port. May be repeated, as
    /// those below [default: 127.0.0.1:8080 when there is no other address and no certificate]
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) ws: Vec<String>,
    /// Address on which to accept WebSocket connections with TLS [default: 127.0.0.1:8443 when there is no other
    /// address but a certificate]
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) wss: Vec<String>,
    /// Address on which to accept QUIC connections.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) quic: Vec<String>,
    /// Address on which to accept WebTransport sessions.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) webtransport: Vec<String>,
}

/// Who the broker is for its clients.
#[derive(Debug, clap::Args)]
pub(crate) struct CertificateArgs {
    /// PEM file with the certificate of the broker, then those between it and one that clients trust.
    #[arg(help_heading = "Certificate", long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// PEM file with the key of that certificate.
    #[arg(help_heading = "Certificate", long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Make a certificate and a key for this run. For development: clients must be told to trust it.
    ///
    /// It is for the names localhost, 127.0.0.1, ::1 and that of the machine, and valid for a year. Its
    /// fingerprint is printed to standard output, in the line `certificate SHA-256 XX:XX:...`.
    #[arg(help_heading = "Certificate", long, conflicts_with = "tls_cert")]
    pub(crate) self_signed: bool,
    /// File to write the self-signed certificate to, without its key, as PEM: what clients take as their CA.
    #[arg(help_heading = "Certificate", long, value_name = "FILE", requires = "self_signed")]
    pub(crate) self_signed_pem: Option<PathBuf>,
    /// Another DNS name or IP address for the self-signed certificate. May be repeated.
    #[arg(help_heading = "Certificate", long, value_name = "NAME", requires = "self_signed")]
    pub(crate) self_signed_name: Vec<String>,
    /// Accept only clients with a certificate issued by one of this PEM file.
    #[arg(help_heading = "Certificate", long, value_name = "FILE")]
    pub(crate) tls_client_ca: Option<PathBuf>,
}

/// A token endpoint of the broker's own.
#[derive(clap::Args)]
pub(crate) struct OAuth2Args {
    /// Give access tokens to clients with an id and a secret, as an OAuth2 server does, and accept them.
    ///
    /// Prints the line `listening URL` with the URL of the token endpoint, whose path is that of intdash servers:
    /// /api/auth/oauth2/token. It is https when the broker has a certificate, and http otherwise.
    #[arg(help_heading = "OAuth2 for development", long)]
    pub(crate) oauth2_dev: bool,
    /// Address of the token endpoint.
    #[arg(
        help_heading = "OAuth2 for development",
        long,
        value_name = "HOST:PORT",
        default_value = "127.0.0.1:0",
        requires = "oauth2_dev"
    )]
    pub(crate) oauth2_listen: String,
    /// Id and secret of a client. May be repeated.
    #[arg(
        help_heading = "OAuth2 for development",
        long,
        value_name = "ID:SECRET",
        default_value = "iscp-dev:iscp-dev-secret",
        requires = "oauth2_dev"
    )]
    #[arg(value_parser = parse_client)]
    pub(crate) oauth2_client: Vec<(String, String)>,
    /// How long an access token is valid, in seconds.
    #[arg(
        help_heading = "OAuth2 for development",
        long,
        value_name = "SECONDS",
        default_value = "3600",
        requires = "oauth2_dev"
    )]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) oauth2_token_lifetime: u32,
}

/// Options of every client with a stream.
#[derive(Debug, clap::Args)]
pub(crate) struct StreamArgs {
    /// Quality of service of the stream.
    #[arg(long, value_enum, default_value_t = QosArg::Reliable)]
    pub(crate) qos: QosArg,
}

/// Options of `iscp call`.
#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("mode").required(true).args(["to", "serve"]))]
pub(crate) struct CallArgs {
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
    /// Id of the node to call.
    #[arg(long, value_name = "NODE", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) to: Option<String>,
    /// Name of the call.
    #[arg(
        long,
        value_name = "NAME",
        default_value = "",
        hide_default_value = true,
        conflicts_with = "serve"
    )]
    pub(crate) name: String,
    /// Type of the call.
    #[arg(long = "type", value_name = "TYPE", default_value = "string", conflicts_with = "serve")]
    pub(crate) kind: String,
    /// Payload of the call.
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true,
        conflicts_with = "serve"
    )]
    pub(crate) payload: String,
    /// Answer calls with what the shell command prints, or with their own payload.
    #[arg(long, value_name = "CMD", num_args = 0..=1, value_parser = NonEmptyStringValueParser::new())]
    pub(crate) serve: Option<Option<String>>,
    /// How long the reply, or with --serve the command, may take, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = parse_seconds, allow_negative_numbers = true)]
    pub(crate) timeout: Duration,
}

/// Options of `iscp pub`.
#[derive(clap::Args)]
pub(crate) struct PubArgs {
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
    #[command(flatten)]
    pub(crate) stream: StreamArgs,
    /// Keep points in this directory until the server acknowledged them. What a process left there that was killed
    /// is delivered by the next with the same node id; see also `iscp spool`.
    #[arg(long, value_name = "DIR")]
    pub(crate) spool: Option<PathBuf>,
    /// Id of the session to publish in [default: a new random UUID]
    #[arg(long, value_name = "SESSION", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) session: Option<String>,
    /// Data name of the points.
    #[arg(long, value_name = "NAME", default_value = "stdin")]
    pub(crate) name: String,
    /// Data type of the points.
    #[arg(long = "type", value_name = "TYPE", default_value = "string")]
    pub(crate) kind: String,
    /// Read every line as bytes in hexadecimal, with or without white space in between.
    #[arg(long)]
    pub(crate) hex: bool,
    /// What happens when lines come faster than the network takes them, once 32 MiB wait. To drop points is not for
    /// `--qos reliable`.
    #[arg(long, value_name = "POLICY", value_enum, default_value_t = WhenFull::Wait)]
    pub(crate) when_full: WhenFull,
}

/// What happens to points that the network does not take in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum WhenFull {
    /// Standard input is read no faster than the network takes it.
    Wait,
    /// The oldest points that wait are dropped and counted.
    DropOldest,
    /// The newest points are dropped and counted.
    DropNewest,
}

/// Options of `iscp sub`.
#[derive(clap::Args)]
pub(crate) struct SubArgs {
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
    #[command(flatten)]
    pub(crate) stream: StreamArgs,
    /// Id of the node whose points to receive.
    #[arg(long, value_name = "NODE", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) source: String,
    /// Receive only points whose type and name match. May be repeated; one match is enough.
    ///
    /// In both patterns `/` separates levels, `+` stands for one level and `#` for any number of them.
    #[arg(long, value_name = "TYPE:NAME", default_value = "#:#", value_parser = parse_filter)]
    pub(crate) filter: Vec<DataFilter>,
    /// Order in which the chunks of each upstream are printed.
    #[arg(long, value_name = "ORDER", value_enum, default_value_t)]
    pub(crate) chunk_order: OrderArg,
    /// What happens when points arrive faster than they are printed [default: pause, and drop-oldest for streams
    /// that are not reliable]
    #[arg(long, value_name = "POLICY", value_enum)]
    pub(crate) buffer_policy: Option<PolicyArg>,
    /// Bytes of points that may wait to be printed.
    #[arg(long, value_name = "BYTES", default_value = "67108864")]
    #[arg(value_parser = clap::value_parser!(u32).range(1024..=1 << 30))]
    pub(crate) buffer_limit: u32,
    /// Print one JSON object a line, for points and for metadata.
    ///
    /// Points have the keys source_node_id, session_id, name, type, elapsed_ns, sequence_number and either payload
    /// (a string) or, when the payload is not UTF-8, payload_base64. Metadata have the keys metadata (the kind, for
    /// example upstream_open), source_node_id and what belongs to the kind.
    #[arg(long)]
    pub(crate) json: bool,
    /// End after this many points.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
}

/// Options of `iscp codec`.
#[derive(Debug, clap::Args)]
pub(crate) struct CodecArgs {
    /// Form of the messages that are read.
    #[arg(long, value_enum, value_name = "FORM")]
    pub(crate) from: Form,
    /// Form of the messages that are written [default: the other one]
    #[arg(long, value_enum, value_name = "FORM")]
    pub(crate) to: Option<Form>,
}

/// How a message is written in a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// Protobuf as hexadecimal digits in either case, with or without white space in between.
    ProtoHex,
    /// JSON as the official clients write and read it.
    Json,
}

/// Quality of service, as it is written on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum QosArg {
    /// Nothing is lost as long as the connection holds.
    Reliable,
    /// May be lost.
    Unreliable,
    /// As reliable, but not sent again.
    Partial,
}

impl From<QosArg> for Qos {
    fn from(qos: QosArg) -> Self {
        match qos {
            QosArg::Reliable => Self::Reliable,
            QosArg::Unreliable => Self::Unreliable,
            QosArg::Partial => Self::Partial,
        }
    }
}

/// Order of the chunks of a stream, as it is written on the command line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum OrderArg {
    /// As they come.
    #[default]
    AsReceived,
    /// By their numbers; what comes too late comes out of order.
    BestEffort,
    /// By their numbers only; what comes too late is dropped, or ends a reliable stream.
    Strict,
}

impl From<OrderArg> for ChunkOrder {
    fn from(order: OrderArg) -> Self {
        match order {
            OrderArg::AsReceived => Self::AsReceived,
            OrderArg::BestEffort => Self::BestEffort,
            OrderArg::Strict => Self::Strict,
        }
    }
}

/// What happens when points arrive faster than they are printed, as it is written on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PolicyArg {
    /// The server stops sending; for reliable streams.
    Pause,
    /// The stream ends with an error.
    Fail,
    /// The oldest are dropped; not for reliable streams.
    DropOldest,
    /// The newest are dropped; not for reliable streams.
    DropNewest,
}

impl From<PolicyArg> for BufferPolicy {
    fn from(policy: PolicyArg) -> Self {
        match policy {
            PolicyArg::Pause => Self::Pause,
            PolicyArg::Fail => Self::Fail,
            PolicyArg::DropOldest => Self::DropOldest,
            PolicyArg::DropNewest => Self::DropNewest,
        }
    }
}

/// Reads a data filter in the text form of the official clients, the type first.
fn parse_filter(text: &str) -> Result<DataFilter, String> {
    match text.split_once(':') {
        Some((kind, name)) if !name.contains(':') => {
            Ok(DataFilter { name: name.to_owned(), kind: kind.to_owned() })
        }
        _ => Err("a filter has exactly one `:`, between type and name".to_owned()),
    }
}

/// Reads an id and a secret with a colon in between.
fn parse_client(text: &str) -> Result<(String, String), String> {
    match text.split_once(':') {
        Some((id, secret)) if !id.is_empty() && !secret.is_empty() => Ok((id.to_owned(), secret.to_owned())),
        _ => Err("an id and a secret stand on either side of a `:`".to_owned()),
    }
}

pub(crate) fn parse_seconds(text: &str) -> Result<Duration, String> {
    /// More would not be a time-out.
    const MOST: f64 = 1e6;
    match text.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= MOST => Ok(Duration::from_secs_f64(seconds)),
        _ => Err(format!("not a number of seconds above 0 and up to {MOST}")),
    }
}

fn parse_hold(text: &str) -> Result<Duration, String> {
    if text == "0" { Ok(Duration::ZERO) } else { parse_seconds(text) }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_filter_has_one_colon() {
        let filter = |kind: &str, name: &str| Ok(DataFilter { name: name.to_owned(), kind: kind.to_owned() });
        assert_eq!(parse_filter("#:#"), filter("#", "#"));
        assert_eq!(parse_filter("string:group/+"), filter("string", "group/+"));
        for text in ["", "string", "a:b:c", "::"] {
            assert!(parse_filter(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_client_has_an_id_and_a_secret() {
        assert_eq!(parse_client("id:a:b"), Ok(("id".to_owned(), "a:b".to_owned())));
        for text in ["", "id", "id:", ":secret"] {
            assert!(parse_client(text).is_err(), "{text}");
        }
    }

    #[test]
    fn seconds_are_positive_and_finite() {
        assert_eq!(parse_seconds("0.5"), Ok(Duration::from_millis(500)));
        for text in ["", "0", "-1", "NaN", "inf", "1e9", "ten"] {
            assert!(parse_seconds(text).is_err(), "{text}");
        }
    }
}

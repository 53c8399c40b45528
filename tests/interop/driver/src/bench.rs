//! What cases run on: clients, a broker, and what the cases have in common.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::broker::Broker;
use crate::peer::{Line, Peer};

/// The certificate of the broker, among the logs.
pub(crate) const CERTIFICATE: &str = "broker.pem";

/// A client under test.
pub(crate) struct Client {
    /// Its language: c, rust, go, python or typescript.
    pub(crate) language: String,
    pub(crate) version: String,
    /// The command of its peer, or why there is none.
    pub(crate) peer: Result<Vec<String>, String>,
}

impl Client {
    /// How the page calls it.
    pub(crate) fn title(&self) -> String {
        let name = match &self.language[..] {
            "c" => "libiscp",
            "rust" => "Rust",
            "go" => "Go",
            "python" => "Python",
            "typescript" => "TypeScript",
            other => other,
        };
        format!("{name} {}", self.version)
    }
}

/// How a peer connects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) transport: &'static str,
    pub(crate) encoding: &'static str,
    pub(crate) compression: &'static str,
}

impl Link {
    pub(crate) const PLAIN: Self = Self { transport: "ws", encoding: "protobuf", compression: "none" };

    pub(crate) fn over(transport: &'static str) -> Self {
        Self { transport, ..Self::PLAIN }
    }
}

pub(crate) struct Bench {
    pub(crate) program: PathBuf,
    pub(crate) broker: Broker,
    pub(crate) logs: PathBuf,
    /// Where recorded sessions go.
    pub(crate) captures: PathBuf,
    nodes: AtomicUsize,
}

impl Bench {
    pub(crate) fn new(program: PathBuf, broker: Broker, logs: PathBuf, captures: PathBuf) -> Self {
        Self { program, broker, logs, captures, nodes: AtomicUsize::new(0) }
    }

    /// Starts a peer, under a node id that no other has.
    pub(crate) fn start(&self, client: &Client) -> Result<Peer, String> {
        let number = self.nodes.fetch_add(1, Ordering::Relaxed);
        let node = format!("{}-{number}", client.language);
        let command = client.peer.as_ref().map_err(Clone::clone)?;
        let log = self.logs.join(format!("{node}.log"));
        Peer::start(command, &client.title(), &node, &self.logs.join(CERTIFICATE), log)
    }

    pub(crate) fn connect(&self, client: &Client, link: &Link) -> Result<Peer, String> {
        self.connect_to(client, link, self.broker.url(link.transport), "")
    }

    /// Connects to an address of its own, with further fields.
    pub(crate) fn connect_to(
        &self,
        client: &Client,
        link: &Link,
        url: &str,
        more: &str,
    ) -> Result<Peer, String> {
        let mut peer = self.start(client)?;
        let (node, Link { encoding, compression, .. }) = (peer.node.clone(), link);
        let fields = format!("url={url} node_id={node} encoding={encoding} compression={compression}");
        peer.run(&format!("connect {fields} {more}"))?;
        Ok(peer)
    }
}

/// One point as peers print it.
pub(crate) fn point(elapsed: i64, payload: &[u8]) -> String {
    format!("{elapsed}:{}", hex::encode(payload))
}

/// Bytes of which each place is different from those nearby.
pub(crate) fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index * 7 + index / 251) as u8).collect()
}

/// The groups of a chunk in an order of their own; clients send them in any.
pub(crate) fn groups(text: &str) -> Vec<&str> {
    let mut groups: Vec<&str> = text.split(';').filter(|group| !group.is_empty()).collect();
    groups.sort_unstable();
    groups
}

pub(crate) fn expect_groups(chunk: &Line, expected: &[String]) -> Result<(), String> {
    let mut wanted: Vec<&str> = expected.iter().map(String::as_str).collect();
    wanted.sort_unstable();
    if groups(chunk.get("groups")) == wanted {
        return Ok(());
    }
    let (number, wanted) = (chunk.get("sequence_number"), wanted.join(";"));
    Err(format!("chunk {number} has {:.300}, not {wanted:.300}", chunk.get("groups")))
}

/// A downstream for everything of a node.
pub(crate) fn down(peer: &mut Peer, name: &str, source: &str, more: &str) -> Result<String, String> {
    let command = format!("down as={name} filters={source}|#:# {more}");
    Ok(peer.run(&command)?.get("stream_id").to_owned())
}

pub(crate) fn up(peer: &mut Peer, name: &str, more: &str) -> Result<String, String> {
    let command = format!("up as={name} session_id=session-{name} ack_interval_ms=10 {more}");
    Ok(peer.run(&command)?.get("stream_id").to_owned())
}

pub(crate) fn write(peer: &mut Peer, name: &str, id: &str, points: &str) -> Result<(), String> {
    let (type_, data_name) = id.split_once(':').expect("TYPE:NAME");
    peer.run(&format!("write as={name} name={data_name} type={type_} points={points}")).map(drop)
}

/// The acknowledgement of a chunk, which must be a good one.
pub(crate) fn acknowledged(peer: &mut Peer, name: &str, sequence_number: usize) -> Result<(), String> {
    let number = sequence_number.to_string();
    let ack = peer
        .event("ack", |ack| ack.get("up") == name && ack.get("sequence_number") == number)
        .map_err(|error| format!("chunk {number}: {error}"))?;
    ack.expect(&[("code", "0")])
}

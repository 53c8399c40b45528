//! Sessions that were recorded from the official clients (tests/interop/captures), replayed: their bytes to the
//! broker, with the library at the other end, as tests/interop/driver/src/cases/session.rs did it.

mod support;

use std::collections::HashMap;
use std::io::Write as _;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use iscp::client::{Completion, Connection, Downstream, DownstreamOptions, OutgoingCall, UpstreamOptions};
use iscp::core::{FlushLevel, FlushPolicy};
use iscp::encoding::{Encoding, RawMessage, Schema};
use iscp::message::{BaseTime, DataFilter, DataId, DownstreamFilter, Metadata, Qos};
use iscp::transport::Scheme;
use iscp_broker::ServerHandle;
use iscp_broker::core::Limits;
use serde_json::Value;
use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

use support::{LIMIT, broker, connect, wait};

/// A recorded session.
struct Capture {
    encoding: Encoding,
    /// Path and parameters of the HTTP request.
    request: String,
    /// Whether the client sent it, and the bytes.
    messages: Vec<(bool, Vec<u8>)>,
}

fn capture(path: &Path) -> Capture {
    let text = std::fs::read_to_string(path).unwrap();
    let mut lines = text.lines().filter(|line| !line.starts_with('#'));
    let request = lines.next().unwrap().strip_prefix("request ").unwrap().to_owned();
    let messages = lines.map(|line| {
        let fields: Vec<&str> = line.split(' ').collect();
        (fields[1] == "client", unhex(fields[2]))
    });
    let encoding = if request.contains("enc=json") { Encoding::Json } else { Encoding::Protobuf };
    Capture { encoding, messages: messages.collect(), request }
}

fn captures() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/captures");
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert_eq!(
        paths.len(),
        8,
        "Go 1.0.0 and 1.2.0, Rust, Python and TypeScript, each in every encoding it has"
    );
    paths
}

fn unhex(digits: &str) -> Vec<u8> {
    let pairs = digits.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

fn to_json(encoding: Encoding, bytes: &[u8]) -> Value {
    let message = RawMessage::decode(encoding, bytes.to_vec().into()).unwrap();
    serde_json::from_slice(&message.encode(Encoding::Json, Schema::V3)).unwrap()
}

#[test]
fn what_the_clients_sent_is_read_and_written_without_loss() {
    for path in captures() {
        let capture = capture(&path);
        for (_, bytes) in capture.messages {
            let message = RawMessage::decode(capture.encoding, bytes.clone().into()).unwrap();
            let expected = to_json(capture.encoding, &bytes);
            for encoding in [Encoding::Protobuf, Encoding::Json] {
                let written = message.encode(encoding, Schema::V3);
                assert_eq!(to_json(encoding, &written), expected, "{}", path.display());
            }
        }
    }
}

#[test]
fn broker_and_library_take_the_bytes_of_the_clients() {
    for path in captures() {
        let broker = broker(Limits::default());
        let library = Library::start(&broker);
        let served = thread::spawn(move || library.serve());
        Replay::start(&broker, capture(&path)).run();
        served.join().unwrap_or_else(|_| panic!("replaying {}", path.display()));
    }
}

/// The library in its part of the session.
struct Library {
    connection: Connection,
    downstream: Downstream,
}

impl Library {
    fn start(broker: &ServerHandle) -> Self {
        let connection = connect(broker, "library", |_| {});
        let mut options = DownstreamOptions::default();
        options.config.qos = Qos::Reliable;
        options.config.filters = vec![DownstreamFilter {
            source_node_id: "captured".to_owned(),
            data_filters: vec![DataFilter { name: "#".to_owned(), kind: "#".to_owned() }],
        }];
        let downstream = wait(|done| connection.open_downstream(options, done)).unwrap();
        Self { connection, downstream }
    }

    fn serve(&self) {
        assert!(
            matches!(self.metadata("base time"), Metadata::BaseTime(base_time) if base_time == BaseTime {
                session_id: "session".to_owned(),
                name: "edge_rtc".to_owned(),
                priority: 7,
                elapsed_time_ns: 5,
                base_time_ns: 1_700_000_000_123_456_789,
            })
        );
        let Metadata::UpstreamOpen { stream_id, session_id, qos } = self.metadata("upstream") else {
            panic!()
        };
        assert_eq!((&session_id[..], qos), ("session", Qos::Reliable));
        let expected = [
            ("a", "float", vec![(0, &[0][..]), (1, &[1, 2])]),
            ("b", "string", vec![(2, b"hi")]),
            ("a", "float", vec![(-3, b"")]),
        ];
        for (number, (name, kind, points)) in (1..).zip(expected) {
            let chunk = self.downstream.next_chunk(Some(LIMIT)).unwrap();
            assert_eq!((chunk.sequence_number, chunk.upstream.stream_id), (number, stream_id));
            assert_eq!(chunk.groups.len(), 1);
            assert_eq!(*chunk.groups[0].data_id, DataId::new(name, kind));
            let received: Vec<(i64, Vec<u8>)> = chunk.groups[0]
                .points
                .iter()
                .map(|point| (point.elapsed_time, point.payload.to_vec()))
                .collect();
            let points: Vec<(i64, Vec<u8>)> =
                points.into_iter().map(|(time, payload)| (time, payload.to_vec())).collect();
            assert_eq!(received, points);
        }
        assert!(matches!(self.metadata("downstream"), Metadata::DownstreamOpen { qos: Qos::Reliable, .. }));
        self.publish();
        self.calls();
        assert!(matches!(self.metadata("its end"), Metadata::DownstreamNormalClose { .. }));
        assert!(matches!(
            self.metadata("the end"),
            Metadata::UpstreamNormalClose { total_data_points: 4, final_sequence_number: 3, .. }
        ));
    }

    fn metadata(&self, what: &str) -> Metadata {
        let received = self.downstream.next_metadata(Some(LIMIT));
        received.unwrap_or_else(|error| panic!("{what}: {error}")).metadata
    }

    fn publish(&self) {
        let mut options = UpstreamOptions::default();
        options.config.qos = Qos::Reliable;
        options.config.flush_policy = FlushPolicy::None;
        options.config.session_id = "other".to_owned();
        let upstream = wait(|done| self.connection.open_upstream(options, done)).unwrap();
        let id = upstream.data_id(DataId::new("c", "bytes")).unwrap();
        for (time, payload) in [(1, &[0x0a][..]), (2, &[0x0b, 0x0c])] {
            upstream.write(id, time, payload).unwrap();
            wait(|done| upstream.flush(FlushLevel::Sent, LIMIT, done)).unwrap();
        }
        wait(|done| upstream.close(false, done)).unwrap();
    }

    /// Answers the call of the client, then calls it.
    fn calls(&self) {
        let call = self.connection.next_call(Some(LIMIT)).unwrap();
        let texts = [&call.source_node_id[..], &call.name, &call.kind];
        assert_eq!((texts, &call.payload[..]), (["captured", "add", "numbers"], &[1, 2][..]));
        let answer = [b"re:", &call.payload[..]].concat();
        let reply = OutgoingCall::reply(&call, "add", "reply", answer).unwrap();
        self.connection.send_call(reply, Completion::ignore()).unwrap();
        let call = OutgoingCall::new("captured", "sub", "numbers", vec![3]);
        let reply = wait(|done| self.connection.call(call, Some(LIMIT), done)).unwrap();
        let texts = [&reply.source_node_id[..], &reply.name, &reply.kind];
        assert_eq!((texts, &reply.payload[..]), (["captured", "sub", "reply"], &b"re:\x03"[..]));
    }
}

/// A client that sends what was recorded, when the broker has sent what it sent before.
struct Replay {
    capture: Capture,
    socket: WebSocket<TcpStream>,
    /// What the broker sent and the recording did not come to yet.
    received: Vec<Value>,
    /// Ids of the recording and those that stand for them now.
    ids: HashMap<String, String>,
}

impl Replay {
    fn start(broker: &ServerHandle, capture: Capture) -> Self {
        let address = broker.address(Scheme::Ws).unwrap();
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let url = format!("ws://{address}{}", capture.request);
        let (socket, _) = tungstenite::client(url, stream).unwrap();
        Self { capture, socket, received: Vec::new(), ids: HashMap::new() }
    }

    fn run(&mut self) {
        for (by_client, bytes) in std::mem::take(&mut self.capture.messages) {
            if by_client {
                let bytes = self.with_present_ids(bytes);
                self.socket.send(Message::binary(bytes)).unwrap();
            } else {
                self.expect(&to_json(self.capture.encoding, &bytes));
            }
        }
        self.socket.get_mut().flush().unwrap();
        assert_eq!(self.received, Vec::<Value>::new(), "the broker sent more than was recorded");
    }

    /// Waits for a message of the broker.
    fn expect(&mut self, recorded: &Value) {
        loop {
            for index in 0..self.received.len() {
                let mut ids = self.ids.clone();
                if same("", recorded, &self.received[index], &mut ids) {
                    self.ids = ids;
                    self.received.remove(index);
                    return;
                }
            }
            let message = self
                .socket
                .read()
                .unwrap_or_else(|error| panic!("{error}: no {recorded}, but {:?}", self.received));
            if let Message::Binary(bytes) = message {
                self.received.push(to_json(self.capture.encoding, &bytes));
            }
        }
    }

    /// The bytes of the client, but for ids that others chose: those are as long as the recorded ones.
    fn with_present_ids(&self, mut bytes: Vec<u8>) -> Vec<u8> {
        for (recorded, present) in &self.ids {
            replace(&mut bytes, recorded.as_bytes(), present.as_bytes());
            if let (Ok(recorded), Ok(present)) = (STANDARD.decode(recorded), STANDARD.decode(present)) {
                replace(&mut bytes, &recorded, &present);
            }
        }
        bytes
    }
}

fn replace(bytes: &mut [u8], old: &[u8], new: &[u8]) {
    assert_eq!(old.len(), new.len());
    for start in 0..(bytes.len() + 1).saturating_sub(old.len()) {
        if bytes[start..].starts_with(old) {
            bytes[start..start + old.len()].copy_from_slice(new);
        }
    }
}

/// Whether two messages are the same but for ids, which must stand for each other throughout, and what changes with
/// time.
fn same(key: &str, recorded: &Value, present: &Value, ids: &mut HashMap<String, String>) -> bool {
    match (recorded, present) {
        (Value::Object(recorded), Value::Object(present)) => {
            recorded.len() == present.len()
                && recorded.iter().all(|(key, value)| {
                    present.get(key).is_some_and(|present| same(key, value, present, ids))
                })
        }
        (Value::Array(recorded), Value::Array(present)) => {
            recorded.len() == present.len()
                && recorded.iter().zip(present).all(|(recorded, present)| same(key, recorded, present, ids))
        }
        (Value::String(recorded), Value::String(present)) => match key {
            "stream_id" | "assigned_stream_id" | "call_id" | "request_call_id" => {
                recorded.len() == present.len()
                    && ids.entry(recorded.clone()).or_insert_with(|| present.clone()) == present
            }
            "server_time" | "resume_token" => recorded.is_empty() == present.is_empty(),
            _ => recorded == present,
        },
        _ => recorded == present,
    }
}

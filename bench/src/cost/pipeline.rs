//! A client, the broker and readers in one thread, on fake time.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use iscp::core::{
    Connection, ConnectionConfig, DownstreamConfig, Event, FlushPolicy, OpId, Output, SharedBuffer,
    StreamKey, TakenAck, UpstreamConfig,
};
use iscp::encoding::{Encoding, Schema};
use iscp::message::{DataFilter, DataId, DownstreamFilter, Message, Qos};
use iscp_broker::core::{Broker, Config, ConnId, PeerInfo, SeededEnvironment};

use crate::Step;

/// Points in a chunk: what the default flush policy makes of points of 32 bytes.
pub(crate) const POINTS: u64 = 300;

const PAYLOAD: [u8; 32] = [7; 32];

/// Fake time between two chunks.
const PACE: Duration = Duration::from_millis(10);

const LIMIT: Duration = Duration::from_secs(10);

/// The writer is this connection of the broker; readers follow.
const WRITER: ConnId = ConnId(0);

struct Client {
    core: Connection,
    conn: ConnId,
}

/// Everything on the way of a point.
pub(crate) struct Pipeline {
    now: Instant,
    broker: Broker,
    writer: Client,
    readers: Vec<(Client, StreamKey)>,
    key: StreamKey,
    buffer: Arc<SharedBuffer>,
    ids: [u32; 2],
    written: i64,
}

/// Does the work of a step.
pub(crate) trait Run: FnMut(Step, &mut dyn FnMut()) {}

impl<F: FnMut(Step, &mut dyn FnMut())> Run for F {}

fn encode(message: &Message) -> Bytes {
    Encoding::Protobuf.encode(message, Schema::V3)
}

fn decode(bytes: Bytes) -> Message {
    Encoding::Protobuf.decode(bytes).expect("what was encoded")
}

impl Client {
    fn connect(broker: &mut Broker, number: u64, now: Instant) -> Self {
        let config = ConnectionConfig { node_id: format!("node-{number}"), ..ConnectionConfig::default() };
        let conn = ConnId(number);
        broker.connected(conn, PeerInfo::default(), now);
        let mut client = Self { core: Connection::new(config, String::new(), OpId(0), now), conn };
        client.settle(broker, now);
        client
    }

    /// Exchanges messages with the broker until nobody has anything to say, and gives what the client is told.
    fn settle(&mut self, broker: &mut Broker, now: Instant) -> Vec<Event> {
        let mut events = Vec::new();
        loop {
            let before = events.len();
            events.extend(self.core.take_events());
            let mut idle = events.len() == before;
            while let Some(message) = self.core.poll_transmit(now) {
                idle = false;
                broker.handle_message(self.conn, message, now);
            }
            while let Some(message) = broker.poll_transmit(self.conn) {
                idle = false;
                self.core.handle_message(message, now);
            }
            if idle {
                return events;
            }
        }
    }
}

impl Pipeline {
    pub(crate) fn new(readers: u64) -> Self {
        let now = Instant::now();
        let environment = SeededEnvironment::new(1, now, 1_700_000_000_000_000_000);
        let mut broker = Broker::new(Config::default(), Box::new(environment));
        let mut writer = Client::connect(&mut broker, WRITER.0, now);
        let readers: Vec<_> = (1..=readers)
            .map(|number| {
                let mut client = Client::connect(&mut broker, number, now);
                let filter = DownstreamFilter {
                    source_node_id: "node-0".to_owned(),
                    data_filters: vec![DataFilter { name: "#".to_owned(), kind: "#".to_owned() }],
                };
                let config = DownstreamConfig {
                    filters: vec![filter],
                    qos: Qos::Reliable,
                    ..DownstreamConfig::default()
                };
                client.core.open_downstream(OpId(1), config, now);
                let opened = client.settle(&mut broker, now).into_iter().find_map(|event| match event {
                    Event::Done(_, Ok(Output::Downstream(opened))) => Some(opened.key),
                    _ => None,
                });
                (client, opened.expect("an open downstream"))
            })
            .collect();
        let config = UpstreamConfig {
            qos: Qos::Reliable,
            flush_policy: FlushPolicy::Immediate,
            ..UpstreamConfig::default()
        };
        writer.core.open_upstream(OpId(1), config, now);
        let opened = writer.settle(&mut broker, now).into_iter().find_map(|event| match event {
            Event::Done(_, Ok(Output::Upstream(opened))) => Some((opened.key, opened.buffer)),
            _ => None,
        });
        let (key, buffer) = opened.expect("an open upstream");
        let ids = ["a", "b"].map(|name| buffer.lock().data_id(DataId::new(name, "t")).expect("a data id"));
        let mut pipeline = Self { now, broker, writer, readers, key, buffer, ids, written: 0 };
        // Readers are told of the upstream.
        pipeline.acknowledge();
        pipeline
    }

    /// Sends one chunk all the way, each step by `run`.
    pub(crate) fn send_chunk(&mut self, mut run: impl Run) {
        self.now += PACE;
        let now = self.now;
        run(Step::Write, &mut || {
            for _ in 0..POINTS {
                let id = self.ids[(self.written % 2) as usize];
                let pushed = self.buffer.lock().push(id, self.written * 1000, &PAYLOAD);
                black_box(pushed).expect("there is room");
                self.written += 1;
            }
        });
        let mut sent = Bytes::new();
        run(Step::Frame, &mut || {
            self.writer.core.attend_upstream(self.key, now);
            let message = self.writer.core.poll_transmit(now).expect("a chunk");
            sent = encode(&message);
        });
        let mut routed = Vec::new();
        run(Step::Route, &mut || {
            self.broker.handle_message(WRITER, decode(sent.clone()), now);
            for (reader, _) in &self.readers {
                let message = self.broker.poll_outgoing(reader.conn).expect("the chunk");
                routed.push(message.encode(Encoding::Protobuf, Schema::V3));
            }
        });
        for ((reader, key), received) in self.readers.iter_mut().zip(routed) {
            run(Step::Read, &mut || {
                reader.core.handle_message(decode(received.clone()), now);
                let mut points = 0;
                for event in reader.core.take_events() {
                    if let Event::Chunk(_, chunk) = event {
                        for point in chunk.groups.iter().flat_map(|group| group.points.iter()) {
                            black_box((point.elapsed_time, &point.payload));
                            points += 1;
                        }
                        let upstream = chunk.upstream.stream_id;
                        let taken = TakenAck { upstream, sequence_number: chunk.sequence_number };
                        reader.core.acknowledge(*key, [taken]);
                    }
                }
                assert_eq!(points, POINTS);
            });
        }
        self.acknowledge();
    }

    /// Acknowledgements of everybody, and what else is due.
    fn acknowledge(&mut self) {
        self.now += LIMIT / 100;
        let now = self.now;
        self.broker.handle_timeout(now);
        for client in self.readers.iter_mut().map(|reader| &mut reader.0).chain([&mut self.writer]) {
            client.core.handle_timeout(now);
            client.settle(&mut self.broker, now);
        }
    }
}

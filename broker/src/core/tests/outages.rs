//! Losses at random moments: whatever is in flight vanishes, on either side, and nothing RELIABLE with it.

use std::collections::{BTreeMap, VecDeque};

use iscp::message::{DownstreamResumeRequest, UpstreamResumeRequest};

use super::*;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// A client with one stream, and what travels between it and the broker.
struct Client {
    node: &'static str,
    conn: ConnId,
    to_broker: VecDeque<Message>,
    to_client: VecDeque<Message>,
    /// Its request to resume was answered.
    resumed: bool,
    stream_id: Uuid,
    token: String,
}

impl Client {
    fn new(node: &'static str, conn: ConnId, stream_id: Uuid, token: String) -> Self {
        let (to_broker, to_client) = (VecDeque::new(), VecDeque::new());
        Self { node, conn, to_broker, to_client, resumed: true, stream_id, token }
    }

    /// Some of what travels arrives.
    fn travel(&mut self, world: &mut World, random: &mut Random, all: bool) -> Vec<Message> {
        let mut part = |len: usize| if all { len } else { random.below(len as u64 + 1) as usize };
        for _ in 0..part(self.to_broker.len()) {
            if let Some(message) = self.to_broker.pop_front() {
                world.send(self.conn, message);
            }
        }
        for _ in 0..part(20) {
            self.to_client.extend(world.broker.poll_transmit(self.conn));
        }
        let arrived = part(self.to_client.len());
        self.to_client.drain(..arrived).collect()
    }

    /// The network breaks and comes back. The broker hears of it now, or not: the old connection is kept in
    /// `zombies` then.
    fn reconnect(&mut self, world: &mut World, random: &mut Random, zombies: &mut Vec<ConnId>) {
        match random.below(3) {
            0 => world.broker.connection_lost(self.conn, world.now),
            1 => {
                world.send(self.conn, Message::Disconnect(Disconnect::default()));
                world.broker.connection_lost(self.conn, world.now);
            }
            _ => zombies.push(self.conn),
        }
        self.to_broker.clear();
        self.to_client.clear();
        self.conn = world.connect(self.node);
        self.resumed = false;
    }
}

struct Outages {
    qos: Qos,
    world: World,
    random: Random,
    zombies: Vec<ConnId>,
    sender: Client,
    alias: u32,
    last: u32,
    unacked: BTreeMap<u32, ()>,
    reader: Client,
    reader_alias: u32,
    received: Vec<u32>,
    losses: u32,
    /// The broker is replaced by its snapshot now and then.
    restarts: bool,
}

impl Outages {
    fn new(qos: Qos, seed: u64) -> Self {
        let mut world = World::with(|config| config.limits.reliable_window = 8);
        let (sender, reader) = (world.connect("s"), world.connect("r"));
        let mut request = downstream(1, all_of("s"), qos);
        request.expiry_interval_s = 3600;
        let down = world.open_downstream(reader, request);
        let mut request = upstream("s", qos);
        request.expiry_interval_s = 3600;
        let up = world.open_upstream(sender, request);
        Self {
            qos,
            world,
            random: Random(seed),
            zombies: Vec::new(),
            sender: Client::new("s", sender, up.stream_id, up.resume_token),
            alias: up.stream_id_alias,
            last: 0,
            unacked: BTreeMap::new(),
            reader: Client::new("r", reader, down.stream_id, down.resume_token),
            reader_alias: 1,
            received: Vec::new(),
            losses: 0,
            restarts: false,
        }
    }

    fn chunk(&self, number: u32) -> Message {
        Message::UpstreamChunk(UpstreamChunk {
            stream_id_alias: self.alias,
            chunk: StreamChunk { sequence_number: number, groups: vec![full("a")] },
            data_ids: Vec::new(),
        })
    }

    fn send(&mut self, all: bool) {
        for message in self.sender.travel(&mut self.world, &mut self.random, all) {
            match message {
                Message::UpstreamChunkAck(ack) => {
                    for result in ack.results {
                        assert_eq!(result.result_code, ResultCode::SUCCEEDED);
                        self.unacked.remove(&result.sequence_number);
                    }
                }
                Message::UpstreamResumeResponse(response) => {
                    assert_eq!(response.result_code, ResultCode::SUCCEEDED, "{}", response.result_string);
                    assert_eq!(response.stream_id_alias, self.alias);
                    self.sender.token = response.resume_token;
                    self.sender.resumed = true;
                    for number in self.unacked.keys() {
                        self.sender.to_broker.push_back(self.chunk(*number));
                    }
                }
                Message::Ping(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    fn read(&mut self, all: bool) {
        for message in self.reader.travel(&mut self.world, &mut self.random, all) {
            match message {
                Message::DownstreamChunk(chunk) => {
                    assert_eq!(chunk.stream_id_alias, self.reader_alias);
                    let number = chunk.chunk.sequence_number;
                    self.received.push(number);
                    let ack = ack_of(self.reader_alias, number, &[(self.sender.stream_id, number)]);
                    self.reader.to_broker.push_back(Message::DownstreamChunkAck(ack));
                }
                Message::DownstreamResumeResponse(response) => {
                    assert_eq!(response.result_code, ResultCode::SUCCEEDED, "{}", response.result_string);
                    self.reader.token = response.resume_token;
                    self.reader.resumed = true;
                }
                Message::DownstreamMetadata(_)
                | Message::DownstreamChunkAckComplete(_)
                | Message::Ping(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    fn lose_sender(&mut self) {
        self.losses += 1;
        self.sender.reconnect(&mut self.world, &mut self.random, &mut self.zombies);
        if self.qos != Qos::Reliable {
            self.unacked.clear();
        }
        self.sender.to_broker.push_back(Message::UpstreamResumeRequest(UpstreamResumeRequest {
            request_id: 2,
            stream_id: self.sender.stream_id,
            resume_token: self.sender.token.clone(),
        }));
    }

    fn lose_reader(&mut self) {
        self.losses += 1;
        self.reader.reconnect(&mut self.world, &mut self.random, &mut self.zombies);
        self.reader_alias += 1;
        self.reader.to_broker.push_back(Message::DownstreamResumeRequest(DownstreamResumeRequest {
            request_id: 2,
            stream_id: self.reader.stream_id,
            desired_stream_id_alias: self.reader_alias,
            resume_token: self.reader.token.clone(),
        }));
    }

    /// The broker ends after some delivery, and the next one takes over. All connections are lost.
    fn restart(&mut self) {
        if self.random.one_in(2) {
            let until = self.world.now + Duration::from_secs(2);
            self.world.broker.suspend(self.world.now, until);
            self.send(false);
            self.read(false);
            let ms = self.random.below(2_500);
            self.world.advance(ms);
        }
        self.world.replace();
        // Nobody knows them any more.
        self.zombies.clear();
        self.lose_sender();
        self.lose_reader();
    }

    fn step(&mut self) {
        match self.random.below(10) {
            0..=3 => {
                self.last += 1;
                if self.sender.resumed {
                    self.sender.to_broker.push_back(self.chunk(self.last));
                }
                if self.sender.resumed || self.qos == Qos::Reliable {
                    self.unacked.insert(self.last, ());
                }
            }
            4 | 5 => self.send(false),
            6 | 7 => self.read(false),
            8 => {
                let ms = self.random.below(300);
                self.world.advance(ms);
            }
            _ => {
                if self.restarts && self.random.one_in(4) {
                    self.restart();
                } else if self.random.one_in(3) {
                    self.lose_sender();
                } else if self.random.one_in(2) {
                    self.lose_reader();
                } else if let Some(zombie) = self.zombies.pop() {
                    self.world.broker.connection_lost(zombie, self.world.now);
                }
            }
        }
    }

    fn finish(&mut self) {
        for _ in 0..10_000 {
            self.send(true);
            self.read(true);
            self.world.advance(100);
            let complete = self.qos != Qos::Reliable || self.received.last() == Some(&self.last);
            if complete && self.unacked.is_empty() && self.sender.resumed && self.reader.resumed {
                return;
            }
        }
        panic!("{} chunks unacknowledged, {:?} of {}", self.unacked.len(), self.received.last(), self.last);
    }

    /// Everybody leaves, and nothing stays behind.
    fn end(&mut self) {
        for conn in self.zombies.drain(..).chain([self.sender.conn, self.reader.conn]) {
            self.world.broker.connection_lost(conn, self.world.now);
        }
        self.world.advance(3_600_000);
        let stats = self.world.broker.stats();
        assert_eq!(
            (stats.connections, stats.upstreams, stats.downstreams, stats.detached, stats.nodes),
            (0, 0, 0, 0, 0)
        );
        assert_eq!((self.world.broker.detached.bytes, self.world.broker.next_timeout()), (0, None));
    }
}

/// RELIABLE streams on a network that breaks, and perhaps with a broker that is restarted.
fn reliable_streams_survive(restarts: bool, seeds: u32) {
    let mut losses = 0;
    for seed in 0..seeds {
        let mut run = Outages::new(Qos::Reliable, seed.into());
        run.restarts = restarts;
        for _ in 0..500 {
            run.step();
        }
        run.finish();
        // The first copies, which is what a client that knows duplicates sees, are all there and in order.
        let mut seen = 0;
        for number in &run.received {
            assert!(*number <= seen + 1, "seed {seed}: {number} after {seen}");
            seen = seen.max(*number);
        }
        assert_eq!(seen, run.last, "seed {seed}");
        losses += run.losses;
        run.end();
    }
    assert!(losses > 16 * seeds, "{losses}");
}

#[test]
fn every_reliable_chunk_arrives_in_order_whatever_breaks_when() {
    reliable_streams_survive(false, 300);
}

#[test]
fn every_reliable_chunk_arrives_in_order_whenever_the_broker_is_restarted() {
    reliable_streams_survive(true, 100);
}

#[test]
fn chunks_of_other_streams_arrive_at_most_once_and_in_order_whatever_breaks_when() {
    let mut received = 0;
    for (qos, seed) in
        [Qos::Unreliable, Qos::Partial].into_iter().flat_map(|qos| (0..100).map(move |n| (qos, n)))
    {
        let mut run = Outages::new(qos, seed);
        run.restarts = seed % 2 == 1;
        for _ in 0..500 {
            run.step();
        }
        run.finish();
        assert!(
            run.received.windows(2).all(|pair| pair[0] < pair[1]),
            "{qos:?}, seed {seed}: {:?}",
            run.received
        );
        received += run.received.len();
        assert!(run.restarts || run.received.len() > 10, "{qos:?}, seed {seed}: {}", run.received.len());
        run.end();
    }
    assert!(received > 4_000, "{received}");
}

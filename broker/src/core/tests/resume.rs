//! Loss, resume and expiry of streams (docs/protocol/behaviour.md §4.4, §9, §11 items 18, 19, 27, 33,
//! 44 to 48, 50, 59, 60, 74).

use iscp::message::{
    DownstreamResumeRequest, DownstreamResumeResponse, UpstreamResumeRequest, UpstreamResumeResponse,
};

use super::*;

impl World {
    pub(super) fn lose(&mut self, conn: ConnId) {
        self.broker.connection_lost(conn, self.now);
    }

    pub(super) fn resume_upstream(
        &mut self,
        conn: ConnId,
        stream_id: Uuid,
        token: &str,
    ) -> UpstreamResumeResponse {
        let request = UpstreamResumeRequest { request_id: 6, stream_id, resume_token: token.to_owned() };
        match self.ask(conn, Message::UpstreamResumeRequest(request)) {
            Message::UpstreamResumeResponse(response) => response,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn ask_downstream_resume(
        &mut self,
        conn: ConnId,
        stream_id: Uuid,
        alias: u32,
        token: &str,
    ) -> DownstreamResumeResponse {
        let request = DownstreamResumeRequest {
            request_id: 8,
            stream_id,
            desired_stream_id_alias: alias,
            resume_token: token.to_owned(),
        };
        match self.ask(conn, Message::DownstreamResumeRequest(request)) {
            Message::DownstreamResumeResponse(response) => response,
            other => panic!("{other:?}"),
        }
    }

    /// Resumes a downstream and lets the pause after it pass.
    pub(super) fn resume_downstream(
        &mut self,
        conn: ConnId,
        stream_id: Uuid,
        alias: u32,
        token: &str,
    ) -> String {
        let response = self.ask_downstream_resume(conn, stream_id, alias, token);
        assert_eq!(response.result_code, ResultCode::SUCCEEDED, "{}", response.result_string);
        self.advance(10);
        response.resume_token
    }

    pub(super) fn ack(&mut self, conn: ConnId, alias: u32, results: &[(Uuid, u32)]) {
        self.send(conn, Message::DownstreamChunkAck(ack_of(alias, 1, results)));
    }
}

/// A sender with a RELIABLE upstream and a reader with a downstream of it.
pub(super) struct Pair {
    pub(super) world: World,
    pub(super) sender: ConnId,
    pub(super) reader: ConnId,
    pub(super) up: UpstreamOpenResponse,
    pub(super) down: DownstreamOpenResponse,
}

impl Pair {
    pub(super) fn new(qos: Qos) -> Self {
        Self::with(qos, |_| {})
    }

    pub(super) fn with(qos: Qos, adjust: impl FnOnce(&mut Config)) -> Self {
        let mut world = World::with(adjust);
        let reader = world.connect("r");
        let sender = world.connect("s");
        let down = world.open_downstream(reader, downstream(1, all_of("s"), qos));
        let up = world.open_upstream(sender, upstream("session", Qos::Reliable));
        world.receive(reader);
        Self { world, sender, reader, up, down }
    }

    pub(super) fn chunks(&mut self, numbers: std::ops::RangeInclusive<u32>) {
        for number in numbers {
            self.world.chunk(self.sender, self.up.stream_id_alias, number, vec![full("a")]);
        }
    }

    pub(super) fn lose_sender(&mut self) {
        self.world.lose(self.sender);
        self.sender = self.world.connect("s");
    }

    pub(super) fn resume_sender(&mut self) {
        let response = self.world.resume_upstream(self.sender, self.up.stream_id, &self.up.resume_token);
        assert_eq!(response.result_code, ResultCode::SUCCEEDED, "{}", response.result_string);
        assert_eq!(response.stream_id_alias, self.up.stream_id_alias);
        self.up.resume_token = response.resume_token;
    }

    pub(super) fn lose_reader(&mut self) {
        self.world.lose(self.reader);
        self.reader = self.world.connect("r");
    }

    pub(super) fn resume_reader(&mut self, alias: u32) {
        let (id, token) = (self.down.stream_id, self.down.resume_token.clone());
        self.down.resume_token = self.world.resume_downstream(self.reader, id, alias, &token);
    }

    pub(super) fn read(&mut self) -> Vec<Message> {
        self.world.receive(self.reader)
    }
}

#[test]
fn an_upstream_is_resumed_with_its_alias_and_its_readers_are_told() {
    let mut pair = Pair::new(Qos::Reliable);
    pair.chunks(1..=1);
    pair.lose_sender();
    let old = pair.up.resume_token.clone();
    pair.world.advance(9_000);
    pair.resume_sender();
    assert!(!pair.up.resume_token.is_empty() && pair.up.resume_token != old);
    pair.chunks(2..=2);
    let messages = pair.read();
    assert_eq!(numbers(&messages), [1, 2]);
    assert_eq!(
        metadata(&messages),
        [&Metadata::UpstreamResume {
            stream_id: pair.up.stream_id,
            session_id: "session".to_owned(),
            qos: Qos::Reliable
        }]
    );
    pair.world.advance(100_000);
    assert_eq!(pair.read(), [], "its expiry is forgotten");
}

#[test]
fn no_other_stream_gets_the_alias_of_one_that_may_be_resumed() {
    let mut world = World::new();
    let lost = world.connect("s");
    let first = world.open_upstream(lost, upstream("s", Qos::Reliable)).stream_id_alias;
    world.lose(lost);
    // As after 2^32 streams.
    world.broker.last_upstream_alias = first - 1;
    let conn = world.connect("s");
    assert_ne!(world.open_upstream(conn, upstream("s", Qos::Reliable)).stream_id_alias, first);
    world.advance(10_000);
    world.broker.last_upstream_alias = first - 1;
    assert_eq!(world.open_upstream(conn, upstream("s", Qos::Reliable)).stream_id_alias, first);
}

#[test]
fn a_stream_is_resumed_again_and_again() {
    let mut pair = Pair::new(Qos::Reliable);
    for round in 1..=5 {
        pair.lose_sender();
        pair.resume_sender();
        pair.chunks(round..=round);
        pair.lose_reader();
        pair.resume_reader(round + 10);
        let messages = pair.read();
        assert_eq!(numbers(&messages), [round]);
        assert!(chunks(&messages).iter().all(|chunk| chunk.stream_id_alias == round + 10));
        pair.world.ack(pair.reader, round + 10, &[(pair.up.stream_id, round)]);
    }
    let stats = pair.world.broker.stats();
    assert_eq!((stats.upstreams, stats.downstreams, stats.connections), (1, 1, 2));
}

#[test]
fn what_came_before_the_loss_is_not_forwarded_again_and_aliases_hold() {
    let mut pair = Pair::new(Qos::Reliable);
    pair.world.send(
        pair.sender,
        Message::UpstreamChunk(UpstreamChunk {
            stream_id_alias: pair.up.stream_id_alias,
            chunk: StreamChunk { sequence_number: 1, groups: vec![full("a")] },
            data_ids: vec![id("a")],
        }),
    );
    let messages = pair.world.receive(pair.sender);
    assert_eq!(acks(&messages)[0].data_id_aliases, [(1, id("a"))].into());
    pair.lose_sender();
    pair.resume_sender();
    for number in [1, 2] {
        pair.world.chunk(pair.sender, pair.up.stream_id_alias, number, vec![aliased(1)]);
    }
    let messages = pair.world.receive(pair.sender);
    assert_eq!(results(&messages), [(1, ResultCode::SUCCEEDED), (2, ResultCode::SUCCEEDED)]);
    assert_eq!(numbers(&pair.read()), [1, 2]);
}

#[test]
fn an_alias_that_was_asked_for_before_the_loss_comes_after_the_resume() {
    let mut pair = Pair::new(Qos::Reliable);
    pair.chunks(1..=1);
    pair.world.receive(pair.sender);
    // Its ack waits for the interval when the connection is lost.
    pair.world.send(
        pair.sender,
        Message::UpstreamChunk(UpstreamChunk {
            stream_id_alias: pair.up.stream_id_alias,
            chunk: StreamChunk { sequence_number: 2, groups: vec![full("b")] },
            data_ids: vec![id("b")],
        }),
    );
    pair.lose_sender();
    pair.world.advance(1_000);
    let (id_, token) = (pair.up.stream_id, pair.up.resume_token.clone());
    let request = UpstreamResumeRequest { request_id: 6, stream_id: id_, resume_token: token };
    pair.world.send(pair.sender, Message::UpstreamResumeRequest(request));
    let messages = pair.world.receive(pair.sender);
    assert_eq!(names(&messages), ["UpstreamResumeResponse", "UpstreamChunkAck"]);
    assert!(acks(&messages)[0].data_id_aliases.values().any(|known| *known == id("b")));
    assert_eq!(results(&messages), [], "what is not known to have arrived is sent again");
}

#[test]
fn a_refused_chunk_that_is_sent_again_is_refused_again_or_forwarded_once() {
    let mut pair = Pair::new(Qos::Reliable);
    let alias = pair.up.stream_id_alias;
    pair.world.chunk(pair.sender, alias, 1, vec![full("a+")]);
    pair.world.chunk(pair.sender, alias, 2, vec![aliased(1)]);
    pair.world.chunk(pair.sender, alias, 3, vec![full("a")]);
    // The acks are lost with the connection.
    pair.lose_sender();
    pair.resume_sender();
    let mut code = |number, groups, data_ids| {
        let chunk = StreamChunk { sequence_number: number, groups };
        let message = UpstreamChunk { stream_id_alias: alias, chunk, data_ids };
        pair.world.send(pair.sender, Message::UpstreamChunk(message));
        let messages = pair.world.receive(pair.sender);
        assert_eq!(acks(&messages)[0].data_id_aliases.len(), usize::from(number == 3), "{number}");
        results(&messages)[0].1
    };
    assert_eq!(code(1, vec![full("a+")], vec![]), ResultCode::INVALID_DATA_ID);
    assert_eq!(code(3, vec![full("a")], vec![id("a")]), ResultCode::SUCCEEDED);
    for _ in 0..2 {
        assert_eq!(code(2, vec![aliased(1)], vec![]), ResultCode::SUCCEEDED, "the alias is known now");
    }
    assert_eq!(code(1, vec![full("a+")], vec![]), ResultCode::INVALID_DATA_ID);
    assert_eq!(numbers(&pair.read()), [3, 2]);
}

#[test]
fn chunks_are_acknowledged_at_once_while_a_stream_recovers() {
    let mut pair = Pair::new(Qos::Reliable);
    pair.lose_sender();
    pair.resume_sender();
    for number in 1..=5 {
        pair.chunks(number..=number);
        assert_eq!(results(&pair.world.receive(pair.sender)), [(number, ResultCode::SUCCEEDED)]);
        pair.world.advance(1);
    }
    pair.world.advance(1_000);
    pair.world.receive(pair.sender);
    pair.chunks(6..=6);
    pair.world.receive(pair.sender);
    pair.chunks(7..=7);
    assert_eq!(results(&pair.world.receive(pair.sender)), [], "batched again");
}

#[test]
fn chunks_sent_again_in_any_order_are_forwarded_in_their_own() {
    let mut pair = Pair::new(Qos::Reliable);
    pair.chunks(1..=1);
    pair.chunks(4..=4);
    pair.lose_sender();
    pair.world.advance(5_000);
    assert_eq!(numbers(&pair.read()), [1], "what is missing will come");
    pair.resume_sender();
    for number in [6, 5, 3, 2] {
        pair.chunks(number..=number);
        pair.world.advance(150);
    }
    assert_eq!(numbers(&pair.read()), [2, 3, 4, 5, 6]);
    pair.chunks(8..=8);
    pair.world.advance(1_100);
    assert_eq!(numbers(&pair.read()), [8], "a gap is given up all the same");
}

#[test]
fn what_waits_for_a_missing_chunk_is_forwarded_when_the_stream_expires() {
    let mut pair = Pair::new(Qos::Reliable);
    pair.chunks(2..=3);
    pair.lose_sender();
    pair.world.advance(9_999);
    assert_eq!(pair.read(), []);
    pair.world.advance(1);
    let messages = pair.read();
    assert_eq!(numbers(&messages), [2, 3]);
    assert!(matches!(messages.last(), Some(Message::DownstreamMetadata(_))), "the close comes last");
}

#[test]
fn a_stream_is_resumed_by_its_node_and_token_only() {
    let mut pair = Pair::new(Qos::Reliable);
    let (up, down) = (pair.up.clone(), pair.down.clone());
    pair.lose_sender();
    pair.lose_reader();
    let other = pair.world.connect("x");
    let old = pair.world.connect_as("s", "2.0.0");
    let old_reader = pair.world.connect_as("r", "2.0.0");
    let mut code = |conn, id, token: &str| pair.world.resume_upstream(conn, id, token).result_code;
    assert_eq!(code(pair.sender, Uuid::nil(), &up.resume_token), ResultCode::STREAM_NOT_FOUND);
    assert_eq!(code(other, up.stream_id, &up.resume_token), ResultCode::STREAM_NOT_FOUND);
    assert_eq!(code(pair.sender, up.stream_id, "guessed"), ResultCode::INVALID_RESUME_TOKEN);
    assert_eq!(code(pair.sender, up.stream_id, ""), ResultCode::INVALID_RESUME_TOKEN);
    assert_eq!(code(old, up.stream_id, ""), ResultCode::STREAM_NOT_FOUND, "which it can decode");
    let mut code = |conn, id, token: &str| {
        let response = pair.world.ask_downstream_resume(conn, id, 1, token);
        assert!(!response.result_string.is_empty() && response.resume_token.is_empty());
        response.result_code
    };
    assert_eq!(code(pair.reader, Uuid::nil(), &down.resume_token), ResultCode::STREAM_NOT_FOUND);
    assert_eq!(code(other, down.stream_id, &down.resume_token), ResultCode::STREAM_NOT_FOUND);
    assert_eq!(code(pair.reader, down.stream_id, "guessed"), ResultCode::INVALID_RESUME_TOKEN);
    assert_eq!(code(old_reader, down.stream_id, ""), ResultCode::STREAM_NOT_FOUND);
    // None of this did harm.
    pair.resume_sender();
    pair.resume_reader(1);
}

#[test]
fn a_token_is_given_to_clients_of_version_3_and_asked_of_them_alone() {
    let mut world = World::new();
    let conn = world.connect_as("s", "2.0.0");
    let stream = world.open_upstream(conn, upstream("s", Qos::Reliable));
    assert_eq!(stream.resume_token, "");
    world.lose(conn);
    let conn = world.connect_as("s", "2.0.0");
    let response = world.resume_upstream(conn, stream.stream_id, "");
    assert_eq!((response.result_code, response.resume_token.as_str()), (ResultCode::SUCCEEDED, ""));
    world.lose(conn);
    let conn = world.connect_as("s", "3.0.0");
    let response = world.resume_upstream(conn, stream.stream_id, "");
    assert_eq!(response.result_code, ResultCode::SUCCEEDED);
    assert!(!response.resume_token.is_empty(), "from now on it needs it");
    world.chunk(conn, stream.stream_id_alias, 1, vec![]);
    world.lose(conn);
    let conn = world.connect_as("s", "3.0.0");
    assert_eq!(
        world.resume_upstream(conn, stream.stream_id, "").result_code,
        ResultCode::INVALID_RESUME_TOKEN
    );
}

#[test]
fn the_previous_token_holds_until_the_stream_is_used() {
    let mut pair = Pair::new(Qos::Reliable);
    let first = pair.up.resume_token.clone();
    pair.lose_sender();
    pair.resume_sender();
    // The client never saw the answer, and its connection is lost again.
    pair.lose_sender();
    let second = std::mem::replace(&mut pair.up.resume_token, first.clone());
    pair.resume_sender();
    assert_eq!(pair.up.resume_token, second);
    pair.chunks(1..=1);
    pair.lose_sender();
    let response = pair.world.resume_upstream(pair.sender, pair.up.stream_id, &first);
    assert_eq!(response.result_code, ResultCode::INVALID_RESUME_TOKEN);
    pair.resume_sender();

    let first = pair.down.resume_token.clone();
    pair.lose_reader();
    pair.resume_reader(1);
    pair.down.resume_token = first.clone();
    pair.lose_reader();
    pair.resume_reader(1);
    pair.world.ack(pair.reader, 1, &[(pair.up.stream_id, 1)]);
    pair.lose_reader();
    let response = pair.world.ask_downstream_resume(pair.reader, pair.down.stream_id, 1, &first);
    assert_eq!(response.result_code, ResultCode::INVALID_RESUME_TOKEN);
    pair.resume_reader(1);
}

#[test]
fn a_resume_takes_a_stream_over_from_a_connection_that_seems_to_live() {
    let mut pair = Pair::new(Qos::Reliable);
    pair.chunks(1..=2);
    let (old_sender, old_reader) = (pair.sender, pair.reader);
    // Its acks wait, as do chunks for the reader.
    pair.sender = pair.world.connect("s");
    pair.reader = pair.world.connect("r");
    pair.resume_sender();
    pair.resume_reader(5);
    assert_eq!(pair.world.receive(old_sender), [], "its acks are for the new connection alone");
    assert_eq!(pair.world.receive(old_reader), []);
    assert!(!pair.world.broker.is_closing(old_sender));
    pair.world.chunk(old_sender, pair.up.stream_id_alias, 3, vec![full("a")]);
    pair.world.ack(old_reader, 1, &[(pair.up.stream_id, 1)]);
    assert_eq!(pair.world.receive(old_reader), [], "not its stream any more");
    pair.chunks(3..=3);
    assert_eq!(numbers(&pair.read()), [1, 2, 3]);
    pair.world.lose(old_sender);
    pair.world.lose(old_reader);
    pair.world.advance(20_000);
    pair.chunks(4..=4);
    assert_eq!(numbers(&pair.read()), [4], "the end of the old connections means nothing to the streams");
}

#[test]
fn acks_of_a_resumed_stream_do_not_leave_by_a_connection_that_is_closing() {
    let mut pair = Pair::new(Qos::Reliable);
    pair.chunks(1..=1);
    pair.world.broker.malformed(pair.sender, "no message", pair.world.now);
    let closing = std::mem::replace(&mut pair.sender, pair.world.connect("s"));
    assert_eq!(pair.world.broker.stats().detached, 1);
    pair.resume_sender();
    assert_eq!(pair.world.broker.stats().detached, 0);
    pair.chunks(2..=2);
    let messages = pair.world.receive(closing);
    assert_eq!(names(&messages), ["UpstreamChunkAck", "Disconnect"]);
    assert_eq!(results(&messages), [(1, ResultCode::SUCCEEDED)]);
    assert_eq!(results(&pair.world.receive(pair.sender)), [(2, ResultCode::SUCCEEDED)]);
}

#[test]
fn a_resume_on_the_connection_of_the_stream_succeeds() {
    let mut pair = Pair::new(Qos::Reliable);
    for _ in 0..3 {
        pair.resume_sender();
        pair.resume_reader(7);
    }
    pair.chunks(1..=2);
    assert_eq!(numbers(&pair.read()), [1, 2]);
    pair.resume_reader(8);
    let messages = pair.read();
    assert_eq!(numbers(&messages), [1, 2]);
    assert!(chunks(&messages).iter().all(|chunk| chunk.stream_id_alias == 8));
    let session = pair.world.broker.session(pair.reader).unwrap();
    assert_eq!(session.downstreams.len(), 1);
    assert_eq!(pair.world.broker.session(pair.sender).unwrap().upstreams.len(), 1);
}

#[test]
fn acks_that_wait_are_sent_behind_the_answer_to_a_resume_on_the_same_connection() {
    let mut pair = Pair::new(Qos::Reliable);
    pair.chunks(1..=3);
    let request = UpstreamResumeRequest {
        request_id: 6,
        stream_id: pair.up.stream_id,
        resume_token: pair.up.resume_token.clone(),
    };
    pair.world.send(pair.sender, Message::UpstreamResumeRequest(request));
    let messages = pair.world.receive(pair.sender);
    assert_eq!(names(&messages), ["UpstreamResumeResponse", "UpstreamChunkAck"]);
    assert_eq!(results(&messages), [1, 2, 3].map(|number| (number, ResultCode::SUCCEEDED)));
}

#[test]
fn a_conflict_is_only_found_with_a_stream_that_is_used_long_after() {
    let mut world = World::new();
    let old = world.connect_as("s", "2.0.0");
    let stream = world.open_upstream(old, upstream("s", Qos::Reliable));
    let new = world.connect_as("s", "2.0.0");
    // Under way when the client gave its connection up; and pings are answered by what it forgot to close.
    world.advance(1_999);
    world.chunk(old, stream.stream_id_alias, 1, vec![]);
    world.send(old, Message::Ping(2));
    world.advance(60_000);
    world.send(old, Message::Ping(4));
    assert_eq!(world.resume_upstream(new, stream.stream_id, "").result_code, ResultCode::SUCCEEDED);

    let other = world.connect_as("s", "2.0.0");
    world.advance(2_001);
    world.chunk(new, stream.stream_id_alias, 2, vec![]);
    assert_eq!(
        world.resume_upstream(other, stream.stream_id, "").result_code,
        ResultCode::RESUME_REQUEST_CONFLICT
    );
    world.chunk(new, stream.stream_id_alias, 3, vec![]);
    let messages = world.receive(new);
    assert_eq!(results(&messages).last(), Some(&(3, ResultCode::SUCCEEDED)), "the stream goes on");
}

#[test]
fn a_client_whose_node_id_comes_from_the_broker_resumes_with_its_token() {
    let mut world = World::new();
    let conn = world.connect("");
    let up = world.open_upstream(conn, upstream("s", Qos::Reliable));
    let down = world.open_downstream(conn, downstream(1, all_of("s"), Qos::Reliable));
    world.lose(conn);
    let named = world.connect("named");
    assert_eq!(
        world.resume_upstream(named, up.stream_id, &up.resume_token).result_code,
        ResultCode::STREAM_NOT_FOUND
    );
    let conn = world.connect("");
    let response = world.resume_upstream(conn, up.stream_id, "");
    assert_eq!(response.result_code, ResultCode::INVALID_RESUME_TOKEN);
    let response = world.resume_upstream(conn, up.stream_id, &up.resume_token);
    assert_eq!(response.result_code, ResultCode::SUCCEEDED);
    world.resume_downstream(conn, down.stream_id, 1, &down.resume_token);
    world.lose(conn);
    world.advance(20_000);
    world.lose(named);
    assert_eq!(world.broker.stats().nodes, 0);
}

#[test]
fn a_close_of_which_the_answer_was_lost_leaves_nothing_to_resume() {
    let mut pair = Pair::new(Qos::Reliable);
    // Chunk 1 is still missing.
    pair.chunks(2..=2);
    pair.world.send(pair.sender, close(pair.up.stream_id, 2));
    let (id, token) = (pair.up.stream_id, pair.up.resume_token.clone());
    pair.sender = pair.world.connect("s");
    let response = pair.world.resume_upstream(pair.sender, id, &token);
    assert_eq!(response.result_code, ResultCode::STREAM_NOT_FOUND);
    let messages = pair.read();
    assert_eq!(numbers(&messages), [2]);
    assert!(matches!(metadata(&messages)[..], [Metadata::UpstreamNormalClose { .. }]));
    match pair.world.ask(pair.sender, close(id, 2)) {
        Message::UpstreamCloseResponse(reply) => assert_eq!(reply.result_code, ResultCode::SUCCEEDED),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_resume_counts_for_the_limit_of_streams() {
    let mut pair = Pair::with(Qos::Reliable, |config| config.limits.streams_per_connection = 2);
    pair.lose_sender();
    for _ in 0..2 {
        pair.world.open_upstream(pair.sender, upstream("s", Qos::Reliable));
    }
    let (id, token) = (pair.up.stream_id, pair.up.resume_token.clone());
    let response = pair.world.resume_upstream(pair.sender, id, &token);
    assert_eq!(response.result_code, ResultCode::TOO_MANY_STREAMS);
}

#[test]
fn one_node_cannot_use_up_the_room_for_detached_streams() {
    let mut world = World::with(|config| config.limits.detached_streams_per_node = 3);
    let mut opened = Vec::new();
    for _ in 0..10 {
        let conn = world.connect("s");
        opened.push(world.open_upstream(conn, upstream("s", Qos::Reliable)));
        world.lose(conn);
    }
    assert_eq!(world.broker.stats().upstreams, 3);
    let conn = world.connect("s");
    for (i, stream) in opened.iter().enumerate() {
        let response = world.resume_upstream(conn, stream.stream_id, &stream.resume_token);
        let expected = if i < 7 { ResultCode::STREAM_NOT_FOUND } else { ResultCode::SUCCEEDED };
        assert_eq!(response.result_code, expected, "{i}: the newest are kept");
    }
}

#[test]
fn a_client_that_opens_loses_and_resumes_for_ever_does_not_grow_the_broker() {
    let mut pair = Pair::new(Qos::Reliable);
    let footprint = |world: &World| {
        let broker = &world.broker;
        (
            broker.stats().upstreams + broker.stats().downstreams + broker.stats().nodes,
            broker.upstream_ids.len() + broker.upstream_aliases.len() + broker.downstream_ids.len(),
            broker.timers.len(),
            broker.detached.bytes,
            broker.connections.len(),
        )
    };
    let mut number = 0;
    let mut after_first = None;
    for _ in 0..200 {
        for _ in 0..3 {
            number += 1;
            pair.chunks(number..=number);
        }
        pair.lose_sender();
        pair.resume_sender();
        pair.read();
        pair.lose_reader();
        pair.resume_reader(1);
        let messages = pair.read();
        let got: Vec<_> = numbers(&messages).iter().map(|number| (pair.up.stream_id, *number)).collect();
        assert_eq!(got.len(), 3);
        pair.world.ack(pair.reader, 1, &got);
        // One more of each, left behind.
        let extra = pair.world.connect("s");
        pair.world.open_upstream(extra, upstream("s", Qos::Reliable));
        pair.world.open_downstream(extra, downstream(1, all_of("s"), Qos::Reliable));
        pair.world.lose(extra);
        pair.world.advance(11_000);
        pair.read();
        pair.world.receive(pair.sender);
        let now = footprint(&pair.world);
        assert_eq!(*after_first.get_or_insert(now), now);
    }
}

//! Slow readers that hold up senders (docs/flow.md).

use super::resume::Pair;
use super::*;

/// What a sender has in flight at most. A chunk counts for some 300 bytes in a queue.
const WINDOW: u32 = 50;

/// A pair whose reader may keep its sender waiting for 10 seconds, and has 4 chunks under way.
struct Held {
    pair: Pair,
    sent: u32,
    acked: u32,
    read: Vec<u32>,
}

impl Held {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(adjust: impl FnOnce(&mut Config)) -> Self {
        let pair = Pair::with(Qos::Reliable, |config| {
            config.timing.hold = Duration::from_secs(10);
            config.limits.reliable_queue_bytes = 40_000;
            config.limits.reliable_window = 4;
            config.timing.max_expiry_interval = Duration::from_secs(36_000);
            adjust(config);
        });
        Self { pair, sent: 0, acked: 0, read: Vec::new() }
    }

    /// The sender sends what its window allows, up to chunk `last`, and reads its acks.
    fn send(&mut self, last: u32) {
        loop {
            self.pair.world.advance(100);
            self.acked += results(&self.pair.world.receive(self.pair.sender)).len() as u32;
            let end = last.min(self.acked + WINDOW);
            if self.sent >= end {
                return;
            }
            self.pair.chunks(self.sent + 1..=end);
            self.sent = end;
        }
    }

    /// The reader takes what it may, and acknowledges it.
    fn read(&mut self) {
        let messages = self.pair.read();
        let arrived = numbers(&messages);
        let acks: Vec<_> = arrived.iter().map(|number| (self.pair.up.stream_id, *number)).collect();
        self.read.extend(arrived);
        self.pair.world.ack(self.pair.reader, 1, &acks);
    }

    fn read_everything(&mut self) {
        for _ in 0..1_000 {
            self.read();
        }
    }
}

#[test]
fn a_sender_is_as_fast_as_its_slowest_reader_and_nothing_is_lost() {
    let mut held = Held::new();
    let fast = held.pair.world.connect("fast");
    held.pair.world.open_downstream(fast, downstream(1, all_of("s"), Qos::Unreliable));
    held.pair.world.receive(fast);
    held.send(1_000);
    let stuck = held.sent;
    assert!(stuck < 40_000 / 320 && held.acked < stuck, "{stuck} sent, {} acknowledged", held.acked);
    // Neither its keep-alive nor its other streams wait.
    held.pair.world.send(held.pair.sender, Message::Ping(2));
    assert_eq!(names(&held.pair.world.receive(held.pair.sender)), ["Pong"]);
    let other = held.pair.world.open_upstream(held.pair.sender, upstream("other", Qos::Unreliable));
    held.pair.world.chunk(held.pair.sender, other.stream_id_alias, 1, vec![]);
    held.pair.world.advance(100);
    assert_eq!(results(&held.pair.world.receive(held.pair.sender)).len(), 1);
    held.pair.world.send(held.pair.sender, close(other.stream_id, 1));
    held.pair.world.receive(held.pair.sender);
    // A reader that goes on, however slowly, is not closed.
    for _ in 0..20 {
        held.pair.world.advance(9_000);
        held.read();
        held.send(1_000);
    }
    assert!(held.sent > stuck, "the sender goes on as well");
    assert!(numbers(&held.pair.world.receive(fast)).len() as u32 > stuck);
    for _ in 0..1_000 {
        held.read();
        held.send(1_000);
    }
    held.read.retain({
        // The chunk of the other stream.
        let mut others = 1;
        move |number| *number != 1 || std::mem::replace(&mut others, 0) == 1
    });
    assert_eq!(held.read, (1..=1_000).collect::<Vec<_>>());
    assert_eq!((held.sent, held.acked), (1_000, 1_000));
}

#[test]
fn a_reader_that_keeps_a_sender_waiting_too_long_is_closed() {
    let mut held = Held::new();
    held.send(1_000);
    held.read();
    held.pair.world.advance(9_000);
    assert!(!held.pair.world.broker.is_closing(held.pair.reader));
    held.pair.world.advance(11_000);
    let messages = held.pair.read();
    let goodbye = disconnect(&messages);
    assert_eq!(goodbye.result_code, ResultCode::ACK_TIMEOUT);
    assert!(goodbye.result_string.contains("senders wait"), "{goodbye:?}");
    held.send(1_000);
    assert_eq!((held.sent, held.acked), (1_000, 1_000), "nobody holds the sender up any more");
}

#[test]
fn a_sender_that_ignores_acknowledgements_fills_the_queue_up_to_its_limit_and_no_further() {
    let mut held = Held::new();
    held.pair.chunks(1..=200);
    let messages = held.pair.read();
    assert_eq!(disconnect(&messages).result_code, ResultCode::ACK_TIMEOUT);
    assert!(disconnect(&messages).result_string.contains("no room"));
}

#[test]
fn senders_wait_only_where_the_operator_wants_it() {
    let mut held = Held::with(|config| config.timing.hold = Duration::ZERO);
    held.send(110);
    assert_eq!((held.sent, held.acked), (110, 110));
}

#[test]
fn a_sender_that_waits_may_close_and_everything_is_delivered() {
    let mut held = Held::new();
    held.send(1_000);
    let last = held.sent;
    held.pair.world.send(held.pair.sender, close(held.pair.up.stream_id, last));
    let messages = held.pair.world.receive(held.pair.sender);
    assert_eq!(names(&messages).last(), Some(&"UpstreamCloseResponse"));
    assert_eq!(held.acked + results(&messages).len() as u32, last);
    held.pair.world.advance(100_000);
    held.read_everything();
    assert_eq!(held.read, (1..=last).collect::<Vec<_>>());
}

#[test]
fn a_sender_that_waits_may_be_lost_and_come_back() {
    let mut held = Held::new();
    held.send(1_000);
    held.pair.lose_sender();
    // Nobody waits now, so nobody is waited for too long. Its stream lasts for 10 seconds.
    held.pair.world.advance(9_000);
    held.pair.resume_sender();
    held.pair.chunks(held.acked + 1..=held.sent);
    held.pair.world.advance(2_000);
    let again = results(&held.pair.world.receive(held.pair.sender)).len() as u32;
    assert!(again < held.sent - held.acked, "still held");
    held.acked += again;
    for _ in 0..1_000 {
        held.read();
        held.send(300);
    }
    assert_eq!((held.sent, held.acked), (300, 300));
    assert_eq!(held.read, (1..=300).collect::<Vec<_>>());
}

#[test]
fn a_reader_without_a_connection_keeps_a_sender_waiting_for_a_while_and_then_collects() {
    let mut held = Held::with(|config| config.timing.hold = Duration::from_secs(5));
    held.pair.lose_reader();
    held.send(110);
    assert!(held.acked < 110 && held.sent < 110, "{} of {}", held.acked, held.sent);
    held.pair.world.advance(5_000);
    held.send(110);
    assert_eq!((held.sent, held.acked), (110, 110));
    held.pair.resume_reader(1);
    // Once it is back it may keep others waiting again.
    held.send(111);
    assert_eq!((held.sent, held.acked), (111, 110));
    held.read_everything();
    held.send(111);
    assert_eq!((held.acked, held.read), (111, (1..=111).collect()));
}

#[test]
fn senders_are_acknowledged_when_the_broker_ends() {
    let mut held = Held::new();
    held.send(1_000);
    let (now, until) = (held.pair.world.now, held.pair.world.now + Duration::from_secs(2));
    held.pair.world.broker.drain(now, until);
    held.acked += results(&held.pair.world.receive(held.pair.sender)).len() as u32;
    assert_eq!(held.acked, held.sent);
    held.read_everything();
    assert_eq!(held.read, (1..=held.sent).collect::<Vec<_>>());
}

#[test]
fn senders_go_on_waiting_when_the_broker_is_restarted() {
    let mut held = Held::new();
    held.send(1_000);
    for _ in 0..5 {
        held.pair.restart();
        held.pair.resume_sender();
        held.pair.chunks(held.acked + 1..=held.sent);
        held.send(1_000);
    }
    assert!(held.sent < 40_000 / 320, "{}", held.sent);
    held.pair.resume_reader(1);
    for _ in 0..1_000 {
        held.read();
        held.send(1_000);
    }
    assert_eq!((held.sent, held.acked), (1_000, 1_000));
    assert_eq!(held.read, (1..=1_000).collect::<Vec<_>>());
}

#[test]
fn the_slowest_of_several_readers_counts_and_one_that_leaves_holds_up_nobody() {
    let mut held = Held::new();
    let slower = held.pair.world.connect("slower");
    held.pair.world.open_downstream(slower, downstream(1, all_of("s"), Qos::Reliable));
    for _ in 0..50 {
        held.send(1_000);
        held.read();
    }
    assert!(held.sent < 40_000 / 320, "{}", held.sent);
    held.pair.world.broker.connection_lost(slower, held.pair.world.now);
    // It is not resumed in time, and ends.
    held.pair.world.advance(11_000);
    for _ in 0..1_000 {
        held.send(1_000);
        held.read();
    }
    assert_eq!((held.sent, held.acked), (1_000, 1_000));
    assert_eq!(held.read, (1..=1_000).collect::<Vec<_>>());
}

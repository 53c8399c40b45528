//! Links that are cut while the client's own logic reconnects and resumes.

use crate::bench::{Bench, Client, Link, down, groups, point, up};
use crate::peer::Peer;
use crate::relay::Relay;

/// How often a link is cut, and how many chunks are written in between.
const CUTS: usize = 3;
const CHUNKS: usize = 8;

/// Connects through a relay; pings every second let clients notice soon that a link is gone.
fn through_relay(bench: &Bench, client: &Client) -> Result<(Relay, Peer), String> {
    let relay = Relay::start(bench.broker.url("ws").trim_start_matches("ws://"))?;
    let peer = bench.connect_to(client, &Link::PLAIN, &relay.url(), "ping_interval_ms=1000")?;
    Ok((relay, peer))
}

fn numbered(number: usize) -> String {
    point(number as i64, format!("point {number}").as_bytes())
}

/// What a subscriber received so far.
#[derive(Default)]
struct Received {
    points: usize,
    /// The groups of each chunk, by sequence number.
    chunks: Vec<String>,
    /// Whether chunks may come again that were not acknowledged before the cut: the official clients hand them to
    /// the application a second time.
    repeats: bool,
}

impl Received {
    /// Reads chunks until so many points have come, which must be the next ones, in chunks numbered without a gap.
    fn read_on(&mut self, peer: &mut Peer, stream: &str, until: usize) -> Result<(), String> {
        while self.points < until {
            let chunk = peer.next("chunk").map_err(|error| format!("point {}: {error}", self.points + 1))?;
            chunk.expect(&[("stream_id", stream)])?;
            let (number, text) = (chunk.get("sequence_number"), chunk.get("groups"));
            let index = number.parse::<usize>().unwrap_or_default().wrapping_sub(1);
            if self.repeats && self.chunks.get(index).is_some_and(|before| before == text) {
                continue;
            }
            self.chunks.push(text.to_owned());
            chunk.expect(&[("sequence_number", &self.chunks.len().to_string())])?;
            for group in groups(text) {
                self.take(group)?;
            }
        }
        Ok(())
    }

    fn take(&mut self, group: &str) -> Result<(), String> {
        let (id, text) = group.split_once('|').unwrap_or((group, ""));
        for got in text.split(',') {
            self.points += 1;
            let wanted = numbered(self.points);
            if id != "string:text" || got != wanted {
                return Err(format!("point {} is {id}|{got}, not string:text|{wanted}", self.points));
            }
        }
        Ok(())
    }
}

fn write_some(peer: &mut Peer, written: &mut usize) -> Result<(), String> {
    for _ in 0..CHUNKS {
        *written += 1;
        peer.send(&format!("write as=u name=text type=string points={}", numbered(*written)))?;
    }
    Ok(())
}

/// A RELIABLE upstream of the client loses its link several times and loses nothing.
pub(crate) fn upstream(bench: &Bench, from: &Client, to: &Client) -> Result<(), String> {
    let mut subscriber = bench.connect(to, &Link::PLAIN)?;
    let (relay, mut publisher) = through_relay(bench, from)?;
    down(&mut subscriber, "d", &publisher.node, "qos=reliable")?;
    let stream = up(&mut publisher, "u", "qos=reliable flush=immediate expiry_interval_ms=30000")?;
    let (mut written, mut received) = (0, Received::default());
    for _ in 0..CUTS {
        write_some(&mut publisher, &mut written)?;
        relay.cut(false);
        // Some clients hold writes back until they are connected again.
        write_some(&mut publisher, &mut written)?;
        for _ in 0..2 * CHUNKS {
            publisher.answer()?;
        }
        received.read_on(&mut subscriber, &stream, written)?;
    }
    if relay.connections() <= CUTS {
        return Err(format!("{} connections in spite of {CUTS} cuts", relay.connections()));
    }
    publisher.run("close_up as=u close_session=false")?;
    let closed = subscriber.event("metadata", |line| line.get("kind") == "upstream_normal_close")?;
    closed.expect(&[
        ("stream_id", &stream),
        ("total_points", &written.to_string()),
        ("final_sequence_number", &received.chunks.len().to_string()),
    ])?;
    match subscriber.rest("chunk").first() {
        None => Ok(()),
        Some(chunk) => Err(format!("chunk {} came again", chunk.get("sequence_number"))),
    }
}

/// A RELIABLE downstream of the client loses its link several times and misses nothing.
pub(crate) fn downstream(bench: &Bench, from: &Client, to: &Client) -> Result<(), String> {
    let mut publisher = bench.connect(from, &Link::PLAIN)?;
    let (relay, mut subscriber) = through_relay(bench, to)?;
    down(&mut subscriber, "d", &publisher.node, "qos=reliable expiry_interval_ms=30000")?;
    let stream = up(&mut publisher, "u", "qos=reliable flush=immediate")?;
    let (mut written, mut received) = (0, Received { repeats: true, ..Received::default() });
    for _ in 0..CUTS {
        write_some(&mut publisher, &mut written)?;
        relay.cut(true);
        write_some(&mut publisher, &mut written)?;
        for _ in 0..2 * CHUNKS {
            publisher.answer()?;
        }
        relay.open();
        received.read_on(&mut subscriber, &stream, written)?;
    }
    subscriber.run("close_down as=d").map(drop)
}

/// Streams that are not RELIABLE go on after a cut, and others are told of it.
pub(crate) fn metadata(bench: &Bench, subject: &Client, observer: &Client) -> Result<(), String> {
    let mut watching = bench.connect(observer, &Link::PLAIN)?;
    let (relay, mut peer) = through_relay(bench, subject)?;
    down(&mut watching, "d", &peer.node, "qos=reliable")?;
    let upstream = up(&mut peer, "u", "qos=partial flush=immediate expiry_interval_ms=30000")?;
    let downstream = down(&mut peer, "e", "someone", "qos=reliable expiry_interval_ms=30000")?;
    peer.rest("resumed");
    relay.cut(false);
    let node = peer.node.clone();
    let fields = [
        ("upstream_resume", &upstream, ("session_id", "session-u"), ("qos", "partial")),
        ("downstream_resume", &downstream, ("filters", "someone|#:#"), ("qos", "reliable")),
    ];
    for (kind, stream, first, second) in fields {
        let line = watching.event("metadata", |line| line.get("kind") == kind)?;
        line.expect(&[("source_node_id", &node), ("stream_id", stream), first, second])?;
    }
    // Before that some clients drop what is written to a stream that is not RELIABLE; one tells of the connection only.
    let told = if subject.language == "typescript" { "reconnected" } else { "resumed" };
    peer.event(told, |line| told == "reconnected" || line.get("up") == "u")?;
    peer.run("write as=u name=text type=string points=1:aa")?;
    let chunk = watching.next("chunk")?;
    chunk.expect(&[("stream_id", &upstream), ("groups", "string:text|1:aa")])?;
    peer.run("close_up as=u close_session=false")?;
    peer.run("close_down as=e").map(drop)
}

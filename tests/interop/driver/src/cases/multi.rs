//! One connection over several links, as the Go client does it.

use crate::bench::{Bench, Client, Link, acknowledged, down, point, up, write};
use crate::peer::Peer;
use crate::relay::{From, Relay};

/// How many points are written in each state of the links.
const POINTS: usize = 8;

struct Traffic {
    multi: Peer,
    single: Peer,
    /// Streams of the peer with several links and of the other.
    streams: [String; 2],
    written: usize,
}

impl Traffic {
    /// Writes some points in both directions, each of which must arrive once and in order.
    fn run(&mut self) -> Result<(), String> {
        for _ in 0..POINTS {
            self.written += 1;
            let [outgoing, incoming] = &self.streams;
            carry(&mut self.multi, &mut self.single, outgoing, self.written)?;
            carry(&mut self.single, &mut self.multi, incoming, self.written)?;
        }
        Ok(())
    }
}

fn carry(from: &mut Peer, to: &mut Peer, stream: &str, number: usize) -> Result<(), String> {
    let points = point(number as i64, format!("point {number}").as_bytes());
    write(from, "u", "string:text", &points)?;
    from.run("flush as=u")?;
    to.next("chunk").map_err(|error| format!("point {number}: {error}"))?.expect(&[
        ("stream_id", stream),
        ("sequence_number", &number.to_string()),
        ("groups", &format!("string:text|{points}")),
    ])?;
    acknowledged(from, "u", number)
}

/// RELIABLE streams in both directions, while one link after the other is cut and comes back.
pub(crate) fn links(bench: &Bench, client: &Client, c: &Client, selector: &str) -> Result<(), String> {
    let target = bench.broker.url("ws").trim_start_matches("ws://");
    let relays = [Relay::start(target)?, Relay::start(target)?];
    let links = format!("links={},{} selector={selector}", relays[0].url(), relays[1].url());
    let multi = bench.connect_to(client, &Link::PLAIN, "none", &links)?;
    let single = bench.connect(c, &Link::PLAIN)?;
    let mut traffic = Traffic { multi, single, streams: Default::default(), written: 0 };
    let (node, other) = (traffic.multi.node.clone(), traffic.single.node.clone());
    down(&mut traffic.single, "d", &node, "qos=reliable")?;
    down(&mut traffic.multi, "d", &other, "qos=reliable")?;
    traffic.streams = [
        up(&mut traffic.multi, "u", "qos=reliable flush=none")?,
        up(&mut traffic.single, "u", "qos=reliable flush=none")?,
    ];
    traffic.run()?;
    if selector == "round-robin" && relays.iter().any(|relay| carried(relay) < POINTS / 2) {
        return Err("a link carried hardly anything".to_owned());
    }
    for relay in &relays {
        let attempts = relay.attempts();
        relay.cut(true);
        // What is written into a link that the client does not know to be dead is lost in the client.
        relay.wait_for(|relay| relay.attempts() > attempts, "a new attempt to connect")?;
        traffic.run()?;
        let connections = relay.connections();
        relay.open();
        relay.wait_for(|relay| relay.connections() > connections, "a new connection")?;
        traffic.run()?;
    }
    for relay in &relays {
        let answered = |relay: &Relay| (0..relay.connections()).any(|index| pings_answered(relay, index));
        relay.wait_for(answered, "a ping of the link that the broker answers")?;
    }
    traffic.multi.run("close_up as=u close_session=false")?;
    traffic.multi.run("close_down as=d")?;
    traffic.multi.run("close")?;
    traffic
        .single
        .event("metadata", |line| line.get("kind") == "upstream_normal_close")?
        .expect(&[("stream_id", &traffic.streams[0]), ("total_points", &traffic.written.to_string())])
}

/// How many messages of iSCP the client sent over a link.
fn carried(relay: &Relay) -> usize {
    relay.messages(0).iter().filter(|m| m.from == From::Client && !m.bytes.starts_with(&[0xff])).count()
}

/// Whether there is a ping of the layer of the link, and its pong.
fn pings_answered(relay: &Relay, connection: usize) -> bool {
    let messages = relay.messages(connection);
    let pings = messages.iter().filter(|m| m.from == From::Client && m.bytes.starts_with(&[0xff, 0]));
    pings.clone().any(|ping| {
        let pong = [&[0xff, 1], &ping.bytes[2..]].concat();
        ping.bytes.len() == 6 && messages.iter().any(|m| m.from == From::Broker && m.bytes == pong)
    })
}

//! A session of everything, recorded. tests/captures.rs replays it with the library in the place of the C peer, so
//! that its steps and values must stay those.

use std::fmt::Write as _;

use crate::bench::{Bench, Client, Link, acknowledged, down, write};
use crate::broker::Broker;
use crate::peer::Peer;
use crate::relay::{From, Relay};

/// Through a broker of its own, so that every alias is the same in the replay.
pub(crate) fn record(
    bench: &Bench,
    client: &Client,
    c: &Client,
    encoding: &'static str,
) -> Result<(), String> {
    let name = format!("{}-{}-{encoding}", client.language, client.version);
    let log = bench.logs.join(format!("broker-{name}.log"));
    let broker = Broker::start(&bench.program, &["--ws", "127.0.0.1:0"], log)?;
    let relay = Relay::start(broker.url("ws").trim_start_matches("ws://"))?;
    let mut library = bench.start(c)?;
    library.run(&format!("connect url={} node_id=library", broker.url("ws")))?;
    let mut peer = bench.start(client)?;
    let link = Link { encoding, ..Link::PLAIN };
    let (encoding, compression) = (link.encoding, link.compression);
    let fields =
        format!("url={} node_id=captured encoding={encoding} compression={compression}", relay.url());
    peer.run(&format!("connect {fields}"))?;
    session(&mut peer, &mut library)?;

    let mut text = format!("# {}, {encoding}: recorded by tests/interop.\n", client.title());
    let failed = |error: std::fmt::Error| error.to_string();
    writeln!(text, "# Milliseconds, who sent it, the message; {encoding} in hexadecimal.").map_err(failed)?;
    writeln!(text, "request {}", relay.request(0)?).map_err(failed)?;
    for message in relay.messages(0) {
        let from = if message.from == From::Client { "client" } else { "broker" };
        writeln!(text, "{} {from} {}", message.at, hex::encode(message.bytes)).map_err(failed)?;
    }
    let file = bench.captures.join(format!("{name}.txt"));
    std::fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()))
}

fn session(peer: &mut Peer, library: &mut Peer) -> Result<(), String> {
    down(library, "d", "captured", "qos=reliable")?;
    library.run("serve answer=true")?;
    peer.run("serve answer=true")?;
    peer.run("base_time session_id=session name=edge_rtc priority=7 elapsed_ns=5 base_time_ns=1700000000123456789 persist=true")?;
    peer.run(
        "up as=u session_id=session qos=reliable flush=none ack_interval_ms=10 persist=true data_ids=float:a",
    )?;
    let chunks = [("float:a", "0:00,1:0102"), ("string:b", "2:6869"), ("float:a", "-3:")];
    for (index, (id, points)) in chunks.iter().enumerate() {
        write(peer, "u", id, points)?;
        peer.run("flush as=u")?;
        library.next("chunk")?;
        acknowledged(peer, "u", index + 1)?;
    }
    down(peer, "e", "library", "qos=reliable")?;
    library.run("up as=v session_id=other qos=reliable flush=none")?;
    for points in ["1:0a", "2:0b0c"] {
        library.run(&format!("write as=v name=c type=bytes points={points}"))?;
        library.run("flush as=v")?;
    }
    for _ in 0..2 {
        peer.next("chunk")?;
    }
    library.run("close_up as=v close_session=false")?;
    peer.event("metadata", |line| line.get("kind") == "upstream_normal_close")?;
    peer.run("call_wait to=library name=add type=numbers payload=0102")?;
    library.run("call_wait to=captured name=sub type=numbers payload=03")?;
    peer.run("close_down as=e")?;
    peer.run("close_up as=u close_session=true")?;
    peer.run("close").map(drop)
}

//! What only the wire shows: flags that the broker is told and no other client.

use serde_json::Value;

use crate::bench::{Bench, Client, Link, acknowledged, up, write};
use crate::broker::decode;
use crate::peer::Peer;
use crate::relay::{From, Relay};

/// Connects through a relay that records.
pub(crate) fn recorded(bench: &Bench, client: &Client) -> Result<(Relay, Peer), String> {
    let relay = Relay::start(bench.broker.url("ws").trim_start_matches("ws://"))?;
    let peer = bench.connect_to(client, &Link::PLAIN, &relay.url(), "")?;
    Ok((relay, peer))
}

/// What the client sent of one kind.
fn sent(bench: &Bench, relay: &Relay, kind: &str) -> Result<Vec<Value>, String> {
    let messages: Vec<Vec<u8>> =
        relay.messages(0).into_iter().filter(|m| m.from == From::Client).map(|m| m.bytes).collect();
    let decoded = decode(&bench.program, &messages)?;
    Ok(decoded.into_iter().filter_map(|mut message| message.get_mut(kind).map(Value::take)).collect())
}

fn flag(message: &Value, key: &str) -> bool {
    message["extension_fields"][key].as_bool().unwrap_or(false)
}

pub(crate) fn flags(bench: &Bench, client: &Client) -> Result<(), String> {
    let (relay, mut peer) = recorded(bench, client)?;
    for (name, value) in [("u0", false), ("u1", true)] {
        up(&mut peer, name, &format!("qos=reliable flush=immediate persist={value}"))?;
        write(&mut peer, name, "string:text", "1:00")?;
        acknowledged(&mut peer, name, 1)?;
        peer.run(&format!("close_up as={name} close_session={value}"))?;
        let fields = "priority=1 elapsed_ns=0 base_time_ns=1";
        peer.run(&format!("base_time session_id=s name=n {fields} persist={value}"))?;
    }
    for (kind, key) in [
        ("upstream_open_request", "persist"),
        ("upstream_close_request", "close_session"),
        ("upstream_metadata", "persist"),
    ] {
        let flags: Vec<bool> = sent(bench, &relay, kind)?.iter().map(|message| flag(message, key)).collect();
        if flags != [false, true] {
            return Err(format!("{key} of {kind} was {flags:?}"));
        }
    }
    Ok(())
}

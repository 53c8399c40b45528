//! Calls from node to node.

use crate::bench::{Bench, Client, Link, pattern};

pub(crate) fn call_and_reply(bench: &Bench, from: &Client, to: &Client) -> Result<(), String> {
    let mut caller = bench.connect(from, &Link::PLAIN)?;
    let mut callee = bench.connect(to, &Link::PLAIN)?;
    caller.run("serve answer=false")?;
    callee.run("serve answer=false")?;
    for payload in ["", "00ff", &hex::encode(pattern(100_000))] {
        let sent = caller.run(&format!("call to={} name=add type=numbers payload={payload}", callee.node))?;
        let id = sent.get("call_id");
        callee.next("call")?.expect(&[
            ("call_id", id),
            ("source_node_id", &caller.node),
            ("name", "add"),
            ("type", "numbers"),
            ("payload", payload),
        ])?;
        callee.run(&format!("reply name=sum type=number payload={payload}"))?;
        caller.next("reply")?.expect(&[
            ("request_call_id", id),
            ("source_node_id", &callee.node),
            ("name", "sum"),
            ("type", "number"),
            ("payload", payload),
        ])?;
    }
    Ok(())
}

pub(crate) fn call_and_wait(bench: &Bench, from: &Client, to: &Client) -> Result<(), String> {
    let mut caller = bench.connect(from, &Link::PLAIN)?;
    let mut callee = bench.connect(to, &Link::PLAIN)?;
    callee.run("serve answer=true")?;
    for number in 0..10 {
        let payload = format!("{number:04x}");
        let reply = caller.run(&format!("call_wait to={} name=add type=x payload={payload}", callee.node))?;
        callee.next("call")?.expect(&[("name", "add"), ("type", "x"), ("payload", &payload)])?;
        reply.expect(&[
            ("source_node_id", &callee.node),
            ("name", "add"),
            ("type", "reply"),
            ("payload", &format!("72653a{payload}")),
        ])?;
    }
    Ok(())
}

/// A call to a node that is not there must fail.
pub(crate) fn nobody(bench: &Bench, from: &Client) -> Result<(), String> {
    let mut caller = bench.connect(from, &Link::PLAIN)?;
    match caller.run("call to=nobody-there name=add type=x payload=00") {
        Ok(_) => Err("a call to nobody succeeded".to_owned()),
        Err(error) if error.contains("within") => Err(error),
        Err(_) => Ok(()),
    }
}

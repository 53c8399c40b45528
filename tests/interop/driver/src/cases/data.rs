//! Points from one client to another, over every way there is.

use crate::bench::{Bench, Client, Link, acknowledged, down, expect_groups, pattern, point, up, write};

/// Publishes a few chunks and looks at every field of what arrives, one chunk at a time: nothing can overtake then,
/// so that the order is part of what is checked for UNRELIABLE streams too.
pub(crate) fn transfer(
    bench: &Bench,
    from: &Client,
    to: &Client,
    link: &Link,
    qos: &str,
) -> Result<(), String> {
    let mut publisher = bench.connect(from, link)?;
    let mut subscriber = bench.connect(to, link)?;
    down(&mut subscriber, "d", &publisher.node, &format!("qos={qos} data_ids=float:position/x"))?;
    let stream = up(&mut publisher, "u", &format!("qos={qos} flush=none data_ids=float:position/x"))?;

    // Larger than a datagram can be, and than a frame that needs no second length.
    let large = point(4, &pattern(3000));
    let plan = [
        ("float:position/x", point(0, &[0]) + "," + &point(1, &[1, 2])),
        ("string:text/1", point(2, b"first")),
        ("float:position/x", point(-5, b"") + "," + &point(9_000_000_000_000_000_000, &[0xff; 8])),
        ("string:text/1", large),
        ("bytes:new", point(5, &[0, 10, 13, 255])),
        ("string:text/1", point(6, b"last")),
        ("bytes:new", point(7, &[7])),
        ("float:position/x", point(8, &[8])),
    ];
    for (index, (id, points)) in plan.iter().enumerate() {
        let number = index + 1;
        write(&mut publisher, "u", id, points)?;
        publisher.run("flush as=u")?;
        let chunk = subscriber.next("chunk").map_err(|error| format!("chunk {number}: {error}"))?;
        chunk.expect(&[
            ("down", "d"),
            ("source_node_id", &publisher.node),
            ("session_id", "session-u"),
            ("stream_id", &stream),
            ("sequence_number", &number.to_string()),
        ])?;
        expect_groups(&chunk, &[format!("{id}|{points}")])?;
        acknowledged(&mut publisher, "u", number)?;
    }
    publisher.run("close_up as=u close_session=false")?;
    subscriber.run("close_down as=d")?;
    publisher.run("close")?;
    subscriber.run("close")?;
    nothing_more(&mut subscriber.rest("chunk"))?;
    nothing_more(&mut publisher.rest("ack"))
}

fn nothing_more(lines: &mut [crate::peer::Line]) -> Result<(), String> {
    match lines {
        [] => Ok(()),
        [first, ..] => Err(format!("another {} came: {}", first.kind, first.get("sequence_number"))),
    }
}

/// Points of one byte written one by one, and which chunks must become of them. The intervals are such that they
/// either cannot pass or need only pass.
pub(crate) fn flush_policy(bench: &Bench, from: &Client, to: &Client, policy: &str) -> Result<(), String> {
    let mut publisher = bench.connect(from, &Link::PLAIN)?;
    let mut subscriber = bench.connect(to, &Link::PLAIN)?;
    down(&mut subscriber, "d", &publisher.node, "qos=reliable")?;
    up(&mut publisher, "u", &format!("qos=reliable flush={policy}"))?;
    let id = "string:text";
    let one = |number: i64| point(number, &[number as u8; 6]);
    write(&mut publisher, "u", id, &one(1))?;
    // Immediately is when the client gets to it: two quick writes may share a chunk.
    if policy.starts_with("interval") || policy.starts_with("either:50:") || policy == "immediate" {
        let chunk = subscriber.next("chunk")?;
        expect_groups(&chunk, &[format!("{id}|{}", one(1))])?;
        write(&mut publisher, "u", id, &one(2))?;
        let chunk = subscriber.next("chunk")?;
        chunk.expect(&[("sequence_number", "2")])?;
        return expect_groups(&chunk, &[format!("{id}|{}", one(2))]);
    }
    write(&mut publisher, "u", id, &one(2))?;
    if policy == "none" {
        publisher.run("flush as=u")?;
    }
    let chunk = subscriber.next("chunk")?;
    chunk.expect(&[("sequence_number", "1")])?;
    expect_groups(&chunk, &[format!("{id}|{},{}", one(1), one(2))])
}

/// Many data ids in one chunk, three times: full ids, then whatever aliases there are.
pub(crate) fn many_ids(bench: &Bench, from: &Client, to: &Client) -> Result<(), String> {
    let mut publisher = bench.connect(from, &Link::PLAIN)?;
    let mut subscriber = bench.connect(to, &Link::PLAIN)?;
    down(&mut subscriber, "d", &publisher.node, "qos=reliable")?;
    up(&mut publisher, "u", "qos=reliable flush=none")?;
    for round in 1..=3_usize {
        let mut expected = Vec::new();
        for index in 0..200 {
            let id = format!("type-{}:group/{}/name-{index}", index % 3, index % 7);
            let points = point(round as i64, format!("{round}/{index}").as_bytes());
            publisher.send(&format!("write as=u name={} type={} points={points}", &id[7..], &id[..6]))?;
            expected.push(format!("{id}|{points}"));
        }
        for _ in 0..200 {
            publisher.answer()?;
        }
        publisher.run("flush as=u")?;
        let chunk = subscriber.next("chunk")?;
        chunk.expect(&[("sequence_number", &round.to_string())])?;
        expect_groups(&chunk, &expected)?;
        acknowledged(&mut publisher, "u", round)?;
    }
    Ok(())
}

/// One point of so many bytes.
pub(crate) fn large(
    bench: &Bench,
    from: &Client,
    to: &Client,
    link: &Link,
    size: usize,
) -> Result<(), String> {
    let mut publisher = bench.connect(from, link)?;
    let mut subscriber = bench.connect(to, link)?;
    down(&mut subscriber, "d", &publisher.node, "qos=reliable")?;
    up(&mut publisher, "u", "qos=reliable flush=immediate")?;
    for number in 1..=2_usize {
        let points = point(number as i64, &pattern(size + number));
        write(&mut publisher, "u", "bytes:large", &points)?;
        let chunk = subscriber.next("chunk")?;
        chunk.expect(&[("sequence_number", &number.to_string())])?;
        expect_groups(&chunk, &[format!("bytes:large|{points}")])?;
        acknowledged(&mut publisher, "u", number)?;
    }
    Ok(())
}

/// Eight upstreams on one connection and eight downstreams on the other, each of which wants one of them.
pub(crate) fn eight(bench: &Bench, from: &Client, to: &Client) -> Result<(), String> {
    let mut publisher = bench.connect(from, &Link::PLAIN)?;
    let mut subscriber = bench.connect(to, &Link::PLAIN)?;
    let mut streams = Vec::new();
    for index in 0..8 {
        let filters = format!("{}|string:stream-{index}", publisher.node);
        subscriber.run(&format!("down as=d{index} filters={filters} qos=reliable omit_empty_chunk=true"))?;
    }
    for index in 0..8 {
        streams.push(up(&mut publisher, &format!("u{index}"), "qos=reliable flush=immediate")?);
    }
    for round in 1..=3_usize {
        for index in 0..8 {
            let points = point(round as i64, format!("{index}-{round}").as_bytes());
            write(&mut publisher, &format!("u{index}"), &format!("string:stream-{index}"), &points)?;
        }
        for (index, stream) in streams.iter().enumerate() {
            let name = format!("d{index}");
            let chunk = subscriber.event("chunk", |chunk| chunk.get("down") == name)?;
            chunk.expect(&[
                ("stream_id", stream),
                ("session_id", &format!("session-u{index}")),
                ("sequence_number", &round.to_string()),
            ])?;
            let points = point(round as i64, format!("{index}-{round}").as_bytes());
            expect_groups(&chunk, &[format!("string:stream-{index}|{points}")])?;
            acknowledged(&mut publisher, &format!("u{index}"), round)?;
        }
    }
    for index in 0..8 {
        publisher.run(&format!("close_up as=u{index} close_session=false"))?;
        subscriber.run(&format!("close_down as=d{index}"))?;
    }
    nothing_more(&mut subscriber.rest("chunk"))
}

/// Names in any script and of several levels, filters with wildcards, and chunks of which nothing matches.
pub(crate) fn filters(bench: &Bench, from: &Client, to: &Client, omit_empty: bool) -> Result<(), String> {
    let mut publisher = bench.connect(from, &Link::PLAIN)?;
    let mut subscriber = bench.connect(to, &Link::PLAIN)?;
    let node = publisher.node.clone();
    let filters = format!("{node}|#:温度/#,{node}|string:+/right");
    subscriber.run(&format!("down as=d filters={filters} qos=reliable omit_empty_chunk={omit_empty}"))?;
    up(&mut publisher, "u", "qos=reliable flush=immediate")?;
    let plan = [
        ("float:温度/室内", true),
        ("float:other", false),
        ("string:left/right", true),
        ("string:left/left/right", false),
        ("int:left/right", false),
        ("int:温度/a/b/c", true),
    ];
    for (index, (id, matches)) in plan.iter().enumerate() {
        let points = point(index as i64, &[index as u8]);
        write(&mut publisher, "u", id, &points)?;
        acknowledged(&mut publisher, "u", index + 1)?;
        let expected = if *matches { vec![format!("{id}|{points}")] } else { Vec::new() };
        if *matches || !omit_empty {
            let chunk = subscriber.next("chunk")?;
            chunk.expect(&[("sequence_number", &(index + 1).to_string())])?;
            expect_groups(&chunk, &expected)?;
        }
    }
    Ok(())
}

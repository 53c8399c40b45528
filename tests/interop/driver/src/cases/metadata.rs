//! Base times and what the broker tells of streams.

use crate::bench::{Bench, Client, Link, acknowledged, down, up, write};

pub(crate) fn base_time(bench: &Bench, from: &Client, to: &Client, link: &Link) -> Result<(), String> {
    let mut publisher = bench.connect(from, link)?;
    let mut subscriber = bench.connect(to, link)?;
    down(&mut subscriber, "d", &publisher.node, "qos=reliable")?;
    for (name, priority, persist) in [("edge_rtc", "0", "false"), ("ntp", "255", "true")] {
        let (elapsed, time) = ("123456789", "1700000000123456789");
        let fields =
            format!("priority={priority} elapsed_ns={elapsed} base_time_ns={time} persist={persist}");
        publisher.run(&format!("base_time session_id=session-b name={name} {fields}"))?;
        subscriber.next("metadata")?.expect(&[
            ("down", "d"),
            ("kind", "base_time"),
            ("source_node_id", &publisher.node),
            ("session_id", "session-b"),
            ("name", name),
            ("priority", priority),
            ("elapsed_ns", elapsed),
            ("base_time_ns", time),
        ])?;
    }
    Ok(())
}

/// Opens, closes and loses streams of one client, and looks at what another is told.
pub(crate) fn streams(bench: &Bench, from: &Client, to: &Client) -> Result<(), String> {
    let mut subject = bench.connect(from, &Link::PLAIN)?;
    let mut observer = bench.connect(to, &Link::PLAIN)?;
    let node = subject.node.clone();
    down(&mut observer, "d", &node, "qos=reliable")?;
    let next = |observer: &mut crate::peer::Peer, kind: &str, stream: &str, more: &[(&str, &str)]| {
        let metadata = observer.event("metadata", |metadata| metadata.get("kind") == kind)?;
        metadata.expect(&[("source_node_id", &node), ("stream_id", stream)])?;
        metadata.expect(more)
    };

    let stream = up(&mut subject, "u", "qos=partial flush=none expiry_interval_ms=1000")?;
    let session = [("session_id", "session-u"), ("qos", "partial")];
    next(&mut observer, "upstream_open", &stream, &session)?;
    for number in 1..=2 {
        write(&mut subject, "u", "string:text", "1:00,2:01,3:02")?;
        subject.run("flush as=u")?;
        acknowledged(&mut subject, "u", number)?;
    }
    subject.run("close_up as=u close_session=true")?;
    let totals = [("session_id", "session-u"), ("total_points", "6"), ("final_sequence_number", "2")];
    next(&mut observer, "upstream_normal_close", &stream, &totals)?;

    subject.run("down as=e filters=someone|string:a/# qos=reliable expiry_interval_ms=1000").and_then(
        |line| {
            let stream = line.get("stream_id").to_owned();
            let opened = [("qos", "reliable"), ("filters", "someone|string:a/#")];
            next(&mut observer, "downstream_open", &stream, &opened)?;
            subject.run("close_down as=e")?;
            next(&mut observer, "downstream_normal_close", &stream, &[])
        },
    )?;

    let upstream = up(&mut subject, "v", "qos=reliable flush=immediate expiry_interval_ms=1000")?;
    let downstream = down(&mut subject, "f", "someone", "qos=unreliable expiry_interval_ms=1000")?;
    next(&mut observer, "upstream_open", &upstream, &[("qos", "reliable")])?;
    next(&mut observer, "downstream_open", &downstream, &[("qos", "unreliable")])?;
    subject.kill();
    next(&mut observer, "upstream_abnormal_close", &upstream, &[("session_id", "session-v")])?;
    next(&mut observer, "downstream_abnormal_close", &downstream, &[])
}

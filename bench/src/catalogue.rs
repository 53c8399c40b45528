//! Who takes part in what: data only.

/// What a client connects to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Backend {
    /// `iscp broker`.
    Iscp,
    Mosquitto,
    Nats,
    /// The server of the bare WebSocket.
    BareWebSocket,
    /// The server of the bare TCP connection.
    BareTcp,
}

/// A client that is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    pub(crate) key: &'static str,
    /// As it stands in tables and plots.
    pub(crate) label: &'static str,
    pub(crate) program: &'static str,
    pub(crate) backend: Backend,
    /// What it is always given.
    pub(crate) arguments: &'static [&'static str],
    /// What acknowledges a point: comparisons are fair only beside it.
    pub(crate) acknowledgement: &'static str,
}

/// Every client, in the order of tables and plots.
pub(crate) const PEERS: &[Peer] = &[
    Peer {
        key: "iscp_c",
        label: "libiscp, C API",
        program: "iscp_c",
        backend: Backend::Iscp,
        arguments: &[],
        acknowledgement: "every chunk by the broker, RELIABLE",
    },
    Peer {
        key: "rs",
        label: "iscp-rs",
        program: "rs",
        backend: Backend::Iscp,
        arguments: &[],
        acknowledgement: "every chunk by the broker, RELIABLE",
    },
    Peer {
        key: "go",
        label: "iscp-go",
        program: "go",
        backend: Backend::Iscp,
        arguments: &[],
        acknowledgement: "every chunk by the broker, RELIABLE",
    },
    Peer {
        key: "nats",
        label: "NATS C",
        program: "nats",
        backend: Backend::Nats,
        arguments: &[],
        acknowledgement: "none; one ping and its answer at the end",
    },
    Peer {
        key: "paho_qos0",
        label: "Paho MQTT C, QoS 0",
        program: "paho",
        backend: Backend::Mosquitto,
        arguments: &["qos=unreliable"],
        acknowledgement: "none",
    },
    Peer {
        key: "paho_qos1",
        label: "Paho MQTT C, QoS 1",
        program: "paho",
        backend: Backend::Mosquitto,
        arguments: &["qos=reliable"],
        acknowledgement: "every point by the broker",
    },
    Peer {
        key: "ws",
        label: "bare WebSocket",
        program: "bare",
        backend: Backend::BareWebSocket,
        arguments: &[],
        acknowledgement: "one ping and its answer at the end",
    },
    Peer {
        key: "tcp",
        label: "bare TCP",
        program: "bare",
        backend: Backend::BareTcp,
        arguments: &[],
        acknowledgement: "the number of bytes at the end",
    },
];

pub(crate) fn peer(key: &str) -> Option<&'static Peer> {
    PEERS.iter().find(|peer| peer.key == key)
}

/// How a workload is run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    /// The role `pub` alone.
    Publish,
    /// One `pub` and so many readers.
    FanOut(u64),
    /// So many sources in one `pub`, and one reader.
    FanIn(u64),
    /// The role `ack`.
    Acknowledge,
    /// The role `e2e`, with the rate in its arguments.
    EndToEnd,
    /// The role `e2e` at a share of the rate that the client had in the workload `f1`, for so many seconds.
    Load { share: f64, most: f64, seconds: f64 },
    /// The role `e2e` over QUIC datagrams, of which so many percent are lost on every way.
    Datagrams(u32),
    /// The role `idle`; the points are connections. What counts is memory, and CPU to open them.
    Idle,
    /// The role `idle` with all clients at the same time, for so many seconds: long enough that they show how they keep connections
    /// alive: what counts is CPU while idle. They hardly disturb each other, and in turns it would take minutes.
    IdleTogether { seconds: u64 },
    /// The role `start`.
    Start,
    /// The role `write`.
    Write,
    /// The role `encode` of the bare client.
    Encode,
}

/// A workload.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    pub(crate) id: &'static str,
    pub(crate) title: &'static str,
    pub(crate) kind: Kind,
    pub(crate) arguments: &'static [&'static str],
    /// Who takes part, with how many points. Slow clients have fewer, so that all take about a second a run; figures
    /// per point compare all the same.
    pub(crate) peers: &'static [(&'static str, u64)],
    /// Whether one run has to do.
    pub(crate) once: bool,
}

const fn case(
    id: &'static str,
    title: &'static str,
    kind: Kind,
    arguments: &'static [&'static str],
    peers: &'static [(&'static str, u64)],
) -> Case {
    Case { id, title, kind, arguments, peers, once: false }
}

/// Every workload. The letter of its name is that of its table.
pub(crate) const CASES: &[Case] = &[
    case(
        "a1",
        "32-byte points, 1 data id",
        Kind::Publish,
        &["payload=32", "ids=1"],
        &[
            ("iscp_c", 20_000_000),
            ("rs", 1_000_000),
            ("go", 1_000_000),
            ("nats", 5_000_000),
            ("paho_qos0", 100_000),
            ("paho_qos1", 20_000),
            ("ws", 20_000_000),
            ("tcp", 20_000_000),
        ],
    ),
    case(
        "a100",
        "32-byte points, 100 data ids",
        Kind::Publish,
        &["payload=32", "ids=100"],
        &[
            ("iscp_c", 10_000_000),
            ("rs", 500_000),
            ("go", 500_000),
            ("nats", 3_000_000),
            ("paho_qos0", 60_000),
        ],
    ),
    case(
        "b",
        "1 KiB points",
        Kind::Publish,
        &["payload=1024"],
        &[
            ("iscp_c", 1_500_000),
            ("rs", 200_000),
            ("go", 200_000),
            ("nats", 1_000_000),
            ("paho_qos0", 60_000),
            ("paho_qos1", 20_000),
            ("ws", 1_500_000),
            ("tcp", 1_500_000),
        ],
    ),
    case(
        "c",
        "64 KiB points",
        Kind::Publish,
        &["payload=65536"],
        &[
            ("iscp_c", 20_000),
            ("rs", 3_000),
            ("go", 3_000),
            ("nats", 15_000),
            ("paho_qos0", 400),
            ("paho_qos1", 1_000),
            ("ws", 20_000),
            ("tcp", 20_000),
        ],
    ),
    case(
        "d",
        "write to acknowledgement, one point at a time, immediate flush",
        Kind::Acknowledge,
        &["payload=32"],
        &[
            ("iscp_c", 20_000),
            ("rs", 8_000),
            ("go", 8_000),
            ("nats", 8_000),
            ("paho_qos1", 5_000),
            ("ws", 20_000),
            ("tcp", 20_000),
        ],
    ),
    case(
        "e1",
        "end to end through the broker, 1000 points/s",
        Kind::EndToEnd,
        &["payload=32", "rate=1000", "flush=immediate"],
        &[
            ("iscp_c", 2_000),
            ("rs", 2_000),
            ("go", 2_000),
            ("nats", 2_000),
            ("paho_qos0", 2_000),
            ("ws", 2_000),
            ("tcp", 2_000),
        ],
    ),
    case(
        "f1",
        "fan-out, 1 source to 1 reader",
        Kind::FanOut(1),
        &["payload=32"],
        &[
            ("iscp_c", 8_000_000),
            ("rs", 500_000),
            ("go", 500_000),
            ("nats", 2_000_000),
            ("paho_qos0", 60_000),
        ],
    ),
    case(
        "f10",
        "fan-out, 1 source to 10 readers",
        Kind::FanOut(10),
        &["payload=32"],
        &[("iscp_c", 2_000_000), ("rs", 200_000), ("go", 200_000), ("nats", 300_000), ("paho_qos0", 20_000)],
    ),
    case(
        "f100",
        "fan-out, 1 source to 100 readers",
        Kind::FanOut(100),
        &["payload=32"],
        &[("iscp_c", 200_000), ("rs", 40_000), ("go", 40_000), ("nats", 30_000), ("paho_qos0", 2_000)],
    ),
    case(
        "fin100",
        "fan-in, 100 sources to 1 reader",
        Kind::FanIn(100),
        &["payload=32"],
        &[
            ("iscp_c", 3_000_000),
            ("rs", 300_000),
            ("go", 300_000),
            ("nats", 1_000_000),
            ("paho_qos0", 30_000),
        ],
    ),
    // Behind f1, which says what the load is.
    case(
        "e80",
        "end to end at 80 % of the client's own rate to one reader (f1), at most 2 million points/s, default flush",
        Kind::Load { share: 0.8, most: 2e6, seconds: 1.5 },
        &["payload=32", "flush=default"],
        &[("iscp_c", 0), ("rs", 0), ("go", 0), ("nats", 0), ("paho_qos0", 0)],
    ),
    case(
        "g",
        "connections with one upstream each",
        Kind::Idle,
        &["idle_s=0.1"],
        &[("iscp_c", 500), ("rs", 100), ("go", 200), ("nats", 200), ("paho_qos0", 100)],
    ),
    Case {
        id: "gidle",
        title: "the same, idle for 11 seconds",
        kind: Kind::IdleTogether { seconds: 11 },
        arguments: &[],
        peers: &[("iscp_c", 500), ("rs", 100), ("go", 200), ("nats", 200), ("paho_qos0", 100)],
        once: true,
    },
    Case {
        id: "gmany",
        title: "5000 idle connections of the broker",
        kind: Kind::Idle,
        arguments: &["idle_s=0.1"],
        peers: &[("iscp_c", 5000)],
        once: true,
    },
    case(
        "h0",
        "QUIC datagrams, 10000 points/s, end to end",
        Kind::Datagrams(0),
        &["payload=32", "rate=10000", "flush=immediate", "qos=unreliable"],
        &[("iscp_c", 20_000), ("rs", 20_000), ("go", 20_000)],
    ),
    case(
        "h1",
        "the same with 1 % of the datagrams lost on each of the two ways",
        Kind::Datagrams(1),
        &["payload=32", "rate=10000", "flush=immediate", "qos=unreliable"],
        &[("iscp_c", 20_000), ("rs", 20_000), ("go", 20_000)],
    ),
    case(
        "i0",
        "no compression",
        Kind::Publish,
        &["payload=32", "compression=0"],
        &[("iscp_c", 3_000_000), ("rs", 300_000), ("go", 300_000)],
    ),
    case(
        "i1",
        "compression level 1",
        Kind::Publish,
        &["payload=32", "compression=1"],
        &[("iscp_c", 2_000_000), ("rs", 200_000), ("go", 200_000)],
    ),
    case(
        "i6",
        "compression level 6",
        Kind::Publish,
        &["payload=32", "compression=6"],
        &[("iscp_c", 1_000_000), ("rs", 200_000), ("go", 200_000)],
    ),
    case(
        "i9",
        "compression level 9",
        Kind::Publish,
        &["payload=32", "compression=9"],
        &[("iscp_c", 1_000_000), ("rs", 200_000), ("go", 200_000)],
    ),
    case(
        "j",
        "32-byte points, encoding JSON",
        Kind::Publish,
        &["payload=32", "encoding=json"],
        &[("iscp_c", 1_000_000), ("rs", 200_000), ("go", 200_000)],
    ),
    case(
        "l",
        "start of the process to the first acknowledged point",
        Kind::Start,
        &["payload=32"],
        &[("iscp_c", 1), ("rs", 1), ("go", 1), ("nats", 1), ("paho_qos1", 1)],
    ),
    case(
        "w",
        "iscp_upstream_write above an empty call, median of batches of 1000",
        Kind::Write,
        &["payload=32"],
        &[("iscp_c", 3_000_000)],
    ),
    case(
        "wfloor",
        "floor: a point encoded into a buffer behind a mutex",
        Kind::Encode,
        &["payload=32"],
        &[("ws", 10_000_000)],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workloads_name_clients_that_exist_and_no_name_is_given_twice() {
        for (at, case) in CASES.iter().enumerate() {
            assert!(CASES[..at].iter().all(|other| other.id != case.id), "{}", case.id);
            for (at, (key, _)) in case.peers.iter().enumerate() {
                assert!(peer(key).is_some(), "{}: {key}", case.id);
                assert!(case.peers[..at].iter().all(|(other, _)| other != key), "{}: {key}", case.id);
            }
        }
    }

    #[test]
    fn the_rate_of_a_load_is_measured_before_it() {
        let load = CASES.iter().position(|case| matches!(case.kind, Kind::Load { .. })).unwrap();
        let rate = CASES.iter().position(|case| case.id == "f1").unwrap();
        assert!(rate < load);
        for (key, _) in CASES[load].peers {
            assert!(CASES[rate].peers.iter().any(|(other, _)| other == key), "{key}");
        }
    }
}

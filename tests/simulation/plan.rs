//! What a seed decides before anything happens: the clients, their streams, and the troubles to come.

use std::time::Duration;

use iscp::core::{
    ChunkOrder, ConnectionConfig, DownstreamConfig, FlushPolicy, ReconnectConfig, UpstreamConfig,
};
use iscp::message::{DataFilter, DataId, DownstreamFilter, Qos};
use iscp_broker::core::Config;

use crate::calls::CallPlan;
use crate::link::Profile;
use crate::world::{Action, Rng, World};

/// From here on nothing new is written, and readers take everything.
pub(crate) const WORK: Duration = Duration::from_secs(8);
/// From the end of the work until everything must have arrived.
pub(crate) const SETTLE: Duration = Duration::from_secs(60);
#[derive(Clone, Debug)]
pub(crate) struct UpstreamPlan {
    pub(crate) config: UpstreamConfig,
    pub(crate) data_ids: Vec<DataId>,
    pub(crate) opens: Duration,
    pub(crate) writes: u64,
    pub(crate) gap: Duration,
    pub(crate) sizes: usize,
    pub(crate) closes: Option<Duration>,
}

#[derive(Clone, Debug)]
pub(crate) struct DownstreamPlan {
    pub(crate) config: DownstreamConfig,
    pub(crate) opens: Duration,
    /// How long the application waits between two reads; `None` reads at once.
    pub(crate) pace: Option<Duration>,
    pub(crate) closes: Option<Duration>,
    /// When the application's queue overflows, which ends the stream.
    pub(crate) fails: Option<Duration>,
}

/// One connection of an application, and everything it will do with it.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) config: ConnectionConfig,
    pub(crate) to_broker: Profile,
    pub(crate) to_client: Profile,
    pub(crate) upstreams: Vec<UpstreamPlan>,
    pub(crate) downstreams: Vec<DownstreamPlan>,
    pub(crate) base_times: Vec<Duration>,
    pub(crate) calls: Vec<CallPlan>,
    pub(crate) closes: Option<Duration>,
    pub(crate) reconnects: u32,
    pub(crate) trouble: bool,
}

fn data_ids(rng: &mut Rng) -> Vec<DataId> {
    let all: Vec<DataId> = ["a", "a/b", "a/b/c", "x:y", "temperature/left", "日本"]
        .iter()
        .flat_map(|name| ["t", "t/u"].map(|kind| DataId::new(*name, kind)))
        .collect();
    let count = rng.range(1, 5);
    let mut ids: Vec<DataId> = (0..count).map(|_| rng.pick(&all).clone()).collect();
    ids.sort();
    ids.dedup();
    ids
}

fn filters(rng: &mut Rng, nodes: u64) -> Vec<DownstreamFilter> {
    let patterns = ["#", "#", "+", "a", "a/#", "a/+", "+/b/+", "a/b/c", "nothing"];
    let count = rng.range(1, 3);
    (0..count)
        .map(|_| DownstreamFilter {
            source_node_id: node(rng.range(0, nodes)),
            data_filters: (0..rng.range(1, 3))
                .map(|_| DataFilter {
                    name: (*rng.pick(&patterns)).to_owned(),
                    kind: (*rng.pick(&["#", "#", "t", "+", "t/u"])).to_owned(),
                })
                .collect(),
        })
        .collect()
}

/// Some of the nodes are never connected.
fn node(number: u64) -> String {
    format!("node-{number}")
}

pub(crate) fn millis(rng: &mut Rng, from: u64, to: u64) -> Duration {
    Duration::from_millis(rng.range(from, to))
}

fn qos(rng: &mut Rng) -> Qos {
    *rng.pick(&[Qos::Unreliable, Qos::Reliable, Qos::Reliable, Qos::Partial])
}

fn upstream(rng: &mut Rng) -> UpstreamPlan {
    let data_ids = data_ids(rng);
    let interval = millis(rng, 1, 300);
    let size = *rng.pick(&[0, 1, 100, 1000]);
    let flush_policy = *rng.pick(&[
        FlushPolicy::None,
        FlushPolicy::Interval(interval),
        FlushPolicy::Size(size),
        FlushPolicy::IntervalOrSize(interval, size),
        FlushPolicy::Immediate,
        FlushPolicy::default(),
    ]);
    let known = data_ids.iter().filter(|_| rng.chance(50)).cloned().collect();
    let opens = millis(rng, 0, 2000);
    UpstreamPlan {
        config: UpstreamConfig {
            keeper: None,
            session_id: format!("session-{}", rng.range(0, 3)),
            ack_interval: *rng.pick(&[
                Duration::ZERO,
                Duration::from_millis(1),
                Duration::from_millis(100),
                Duration::from_millis(900),
            ]),
            expiry_interval: Duration::from_secs(rng.range(0, 20)),
            qos: qos(rng),
            persist: rng.chance(10),
            data_ids: known,
            flush_policy,
            close_timeout: *rng.pick(&[
                Duration::from_millis(1),
                Duration::from_secs(10),
                Duration::from_secs(10),
            ]),
            buffer_limit: *rng.pick(&[300, 4000, 20_000]),
            in_flight_limit: *rng.pick(&[1, 500, 1 << 20]),
            ack_timeout: None,
            reopen: false,
            report_acks: rng.chance(50),
            ..UpstreamConfig::default()
        },
        data_ids,
        opens,
        writes: *rng.pick(&[0, 1, 10, 60]),
        gap: *rng.pick(&[
            Duration::ZERO,
            Duration::from_micros(300),
            Duration::from_millis(20),
            Duration::from_millis(400),
        ]),
        sizes: *rng.pick(&[0, 8, 100, 240]),
        closes: rng.chance(50).then(|| opens + millis(rng, 0, 5000)),
    }
}

fn downstream(rng: &mut Rng, nodes: u64) -> DownstreamPlan {
    let opens = millis(rng, 0, 3000);
    DownstreamPlan {
        config: DownstreamConfig {
            filters: filters(rng, nodes),
            qos: qos(rng),
            expiry_interval: Duration::from_secs(rng.range(0, 20)),
            data_ids: if rng.chance(50) { data_ids(rng) } else { Vec::new() },
            ack_interval: *rng.pick(&[
                Duration::ZERO,
                Duration::from_millis(10),
                Duration::from_millis(100),
                Duration::from_millis(300),
            ]),
            omit_empty_chunk: rng.chance(50),
            close_timeout: *rng.pick(&[Duration::from_millis(1), Duration::from_secs(10)]),
            ..DownstreamConfig::default()
        },
        opens,
        pace: rng.chance(40).then(|| millis(rng, 1, 500)),
        closes: rng.chance(30).then(|| opens + millis(rng, 0, 5000)),
        fails: None,
    }
}

fn plan(rng: &mut Rng, nodes: u64, number: u64, trouble: bool) -> Plan {
    let config = ConnectionConfig {
        // At times two connections share a node.
        node_id: node(if rng.chance(15) { 0 } else { number }),
        project_uuid: None,
        ping_interval: Duration::from_secs(rng.range(2, 10)),
        ping_timeout: Duration::from_secs(rng.range(1, 3)),
        response_timeout: Duration::from_secs(10),
        reconnect: ReconnectConfig { enabled: false, ..ReconnectConfig::default() },
    };
    let upstreams = (0..rng.range(0, 3)).map(|_| upstream(rng)).collect();
    let downstreams = (0..rng.range(0, 3)).map(|_| downstream(rng, nodes)).collect();
    // A chunk is at most a full buffer, with names in place of aliases and filter references.
    let largest = 30_000;
    let base_times = (0..rng.range(0, 2)).map(|_| millis(rng, 0, 7000)).collect();
    let closes = rng.chance(25).then(|| millis(rng, 0, 9000));
    Plan {
        config,
        to_broker: Profile::choose(rng, largest),
        to_client: Profile::choose(rng, largest),
        upstreams,
        downstreams,
        base_times,
        calls: Vec::new(),
        closes,
        reconnects: rng.range(0, 2) as u32,
        trouble,
    }
}

impl Plan {
    /// Lost connections are made anew, and some streams too.
    fn survive(&mut self, rng: &mut Rng) {
        self.config.reconnect = ReconnectConfig {
            enabled: rng.chance(90),
            min_interval: millis(rng, 10, 200),
            max_interval: millis(rng, 200, 5000),
            attempts: *rng.pick(&[0, 0, 0, 2]),
            total: *rng.pick(&[None, None, None, Some(Duration::from_secs(3))]),
            seed: rng.next(),
        };
        for upstream in &mut self.upstreams {
            upstream.config.reopen = rng.chance(50);
        }
        for downstream in &mut self.downstreams {
            downstream.config.reopen = rng.chance(50);
        }
    }

    /// Some readers want chunks in order, and some want nobody to wait for them.
    fn choose_manners(&mut self, rng: &mut Rng) {
        for downstream in &mut self.downstreams {
            let config = &mut downstream.config;
            config.ack_on_arrival = rng.chance(20);
            if !config.omit_empty_chunk {
                config.chunk_order =
                    *rng.pick(&[ChunkOrder::AsReceived, ChunkOrder::BestEffort, ChunkOrder::Strict]);
                config.reorder_limit = *rng.pick(&[1, 4, 255]);
                config.reorder_bytes = *rng.pick(&[1, 5000, 1 << 20]);
                config.reorder_wait = millis(rng, 1, 2000);
            }
        }
    }
}

/// The world of a seed, before anything happened.
pub(crate) fn world(seed: u64, print: bool) -> World {
    let mut rng = Rng::new(seed);
    rng.next();
    let mut config = Config::default();
    config.limits.reliable_window = *rng.pick(&[4, 16, 512]);
    config.timing.open_gap = *rng.pick(&[Duration::ZERO, Duration::from_millis(10)]);
    let may_drop = rng.chance(15);
    if may_drop {
        config.limits.lossy_queue_bytes = *rng.pick(&[1, 2000]);
    }
    let clients = rng.range(1, 4);
    // Half of the runs are without trouble, so that everything must arrive.
    let trouble = rng.chance(50);
    let plans: Vec<Plan> = (0..clients).map(|number| plan(&mut rng, clients, number, trouble)).collect();
    let mut world = World::new(seed, rng, config, print);
    world.ledger.may_drop = may_drop;
    // Rare things are drawn apart, so that they leave the other runs as they are.
    let mut rare = Rng::new(seed ^ 0x5eed_0000_0000);
    rare.next();
    let hasty = rare.chance(10);
    let overwhelmed = rare.chance(10);
    let mut outages = Rng::new(seed ^ 0x0a9e_0000_0000);
    outages.next();
    let resilient = trouble && outages.chance(60);
    world.ledger.outages = resilient;
    let mut manners = Rng::new(seed ^ 0x0bde_0000_0000);
    manners.next();
    let mut callers = Rng::new(seed ^ 0xca11_0000_0000);
    callers.next();
    for mut plan in plans {
        for _ in 0..callers.range(0, 4) {
            let to = if callers.chance(30) {
                plan.config.node_id.clone()
            } else {
                node(callers.range(0, clients))
            };
            plan.calls.push(CallPlan::choose(&mut callers, to));
        }
        plan.choose_manners(&mut manners);
        if hasty {
            plan.config.response_timeout = millis(&mut rare, 20, 400);
        }
        if resilient {
            plan.survive(&mut outages);
        }
        if overwhelmed && let Some(downstream) = plan.downstreams.first_mut() {
            downstream.fails = Some(downstream.opens + millis(&mut rare, 0, 3000));
        }
        let at = world.rng.duration(Duration::ZERO, Duration::from_millis(1500));
        world.at(at, Action::Connect(Box::new(plan)));
    }
    if trouble && world.rng.chance(15) {
        let at = world.rng.duration(Duration::ZERO, WORK);
        if !resilient {
            world.at(at, Action::Shutdown);
        }
    }
    if trouble && world.rng.chance(15) {
        let at = world.rng.duration(Duration::ZERO, WORK);
        let by = millis(&mut world.rng, 1, 60_000);
        world.at(at, Action::Leap(by));
    }
    if resilient && outages.chance(25) {
        let at = outages.duration(Duration::ZERO, WORK);
        let downtime = millis(&mut outages, 1, 15_000);
        world.at(at, Action::Crash(downtime));
    }
    world.at(WORK + SETTLE, Action::CheckComplete);
    world
}

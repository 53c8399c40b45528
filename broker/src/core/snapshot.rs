//! A broker that ends hands out what its streams need to be resumed at the next one, as if their connections had
//! been lost and nothing else had happened (docs/broker.md, docs/reliability.md).
//!
//! The parts of the broker say themselves what of them is kept: `upstream::saved`, `downstream::saved`, and `save`
//! and `load` of what they consist of.

pub(super) mod form;
mod tables;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use iscp::encoding::{Encoding, Schema};
use iscp::message::{Message, UpstreamMetadata};
use prost::Message as _;

pub(super) use tables::{Reader, Writer, qos, uuid};

use super::resume::Stream;
use super::{Broker, Config, Environment};

/// Why a snapshot cannot be taken over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a snapshot of a broker: {0}")]
pub struct SnapshotError(String);

impl SnapshotError {
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

impl Broker {
    /// Ends every connection as [`Broker::shutdown`] does, and writes down all streams, which have lost theirs
    /// with it: who may resume them and for how long, aliases, which chunks came, and what waits. Nothing of it is
    /// meant to be read by anything but [`Broker::restore`]. It contains resume tokens.
    ///
    /// Call [`Broker::suspend`] some time before it, and nothing but `drop` afterwards.
    pub fn snapshot(&mut self, now: Instant) -> Vec<u8> {
        self.suspends = true;
        let mut upstreams: Vec<_> = self.upstream_ids.values().copied().collect();
        upstreams.sort_unstable();
        for key in upstreams {
            self.forget_close(key);
        }
        self.shutdown(now);
        let places: HashMap<_, _> = self.detached.places().collect();
        let tie = |stream: Stream| {
            let deadline = self.timers.deadline(stream.expiry());
            let left = deadline.map_or(Duration::ZERO, |at| at.saturating_duration_since(now));
            (left, places.get(&stream).copied().unwrap_or_default())
        };
        let mut writer = Writer::default();
        let mut nodes = Vec::new();
        for node in self.nodes.iter().filter(|node| !node.upstreams.is_empty()) {
            let base_times = node.all_base_times().map(|base_time| {
                let base_time = base_time.clone();
                let message = UpstreamMetadata { base_time, ..UpstreamMetadata::default() };
                Encoding::Protobuf.encode(&Message::UpstreamMetadata(message), Schema::V3)
            });
            let upstreams = node.upstreams.iter().filter_map(|key| {
                let (left, place) = tie(Stream::Upstream(*key));
                Some(self.upstreams.get(*key)?.save(*key, left, place, &mut writer))
            });
            nodes.push(form::Node {
                id: node.id.to_string(),
                base_times: base_times.collect(),
                upstreams: upstreams.collect(),
            });
        }
        let mut downstreams = Vec::new();
        for (key, downstream) in self.downstreams.iter() {
            let (left, place) = tie(Stream::Downstream(key));
            downstreams.push(downstream.save(left, place, &mut writer));
        }
        let tables = writer.finish();
        let last_upstream_alias = self.last_upstream_alias;
        form::Snapshot { last_upstream_alias, nodes, downstreams, ..tables }.encode_to_vec()
    }

    /// A broker with the streams of another of which [`Broker::snapshot`] was taken. They wait for their clients
    /// for the time that they had left then, at least [`Timing::min_expiry`](super::Timing::min_expiry).
    ///
    /// # Errors
    /// What is wrong with the snapshot.
    pub fn restore(
        config: Config,
        environment: Box<dyn Environment>,
        snapshot: Vec<u8>,
        now: Instant,
    ) -> Result<Self, SnapshotError> {
        let mut form = form::Snapshot::decode(Bytes::from(snapshot))
            .map_err(|error| SnapshotError::new(error.to_string()))?;
        let mut broker = Self::new(config, environment);
        broker.last_upstream_alias = form.last_upstream_alias;
        let mut reader = Reader::new(&mut form)?;
        // With their places among the detached streams of their owners, and the time they have left.
        let mut streams = Vec::new();
        for saved in form.nodes {
            let node = broker.nodes.enter(&saved.id);
            for base_time in saved.base_times {
                let Ok(Message::UpstreamMetadata(message)) = Encoding::Protobuf.decode(base_time) else {
                    return Err(SnapshotError::new("base time"));
                };
                if let Some(node) = broker.nodes.get_mut(node) {
                    node.remember(&message.base_time, broker.config.limits.base_times);
                }
            }
            for upstream in saved.upstreams {
                let (place, left) = (upstream.tie.place, upstream.tie.left_ns);
                let key = broker.load_upstream(upstream, node, &mut reader, now)?;
                streams.push((place, left, Stream::Upstream(key)));
            }
        }
        reader.read_events(&mut form.events, &mut broker.upstreams)?;
        for downstream in form.downstreams {
            let (place, left) = (downstream.tie.place, downstream.tie.left_ns);
            let key = broker.load_downstream(downstream, &reader, now)?;
            streams.push((place, left, Stream::Downstream(key)));
        }
        streams.sort_by_key(|(place, ..)| *place);
        for (_, left, stream) in streams {
            broker.keep_detached(stream, Duration::from_nanos(left), now);
        }
        broker.settle(now);
        Ok(broker)
    }
}

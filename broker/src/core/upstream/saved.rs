//! Upstreams in a snapshot.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::{MAX_REFUSED, Upstream};
use crate::core::Broker;
use crate::core::aliases::UpstreamIds;
use crate::core::arena::Key;
use crate::core::resume::Tie;
use crate::core::sequence::{Received, Reorder};
use crate::core::snapshot::{self, Reader, SnapshotError, Writer, form};

impl Upstream {
    /// An upstream without a connection.
    pub(in crate::core) fn save(
        &self,
        key: Key,
        left: Duration,
        place: u32,
        writer: &mut Writer,
    ) -> form::Upstream {
        let (next, waiting) = self.reorder.waiting();
        let waiting = waiting.map(|(position, chunk)| form::Waiting {
            position,
            chunk: chunk.as_ref().map(|chunk| writer.chunk(chunk)),
        });
        let waiting = waiting.collect();
        form::Upstream {
            origin: writer.origin(key, Some(&self.info)),
            tie: self.tie.save(left, place),
            alias: self.alias,
            qos: self.qos.number(),
            ack_interval_ns: form::nanos(self.ack_interval),
            ids: self.ids.save(writer),
            asked: self.asked.clone(),
            received: self.received.save(),
            refused: self.refused.iter().copied().collect(),
            next,
            waiting,
        }
    }
}

impl Broker {
    /// Takes over an upstream of `node`, which is to be counted among the detached streams then.
    pub(in crate::core) fn load_upstream(
        &mut self,
        saved: form::Upstream,
        node: Key,
        reader: &mut Reader,
        now: Instant,
    ) -> Result<Key, SnapshotError> {
        let info = reader.info(saved.origin)?;
        let (id, alias) = (info.stream_id, saved.alias);
        if alias == 0 || self.upstream_aliases.contains_key(&alias) || self.upstream_ids.contains_key(&id) {
            return Err(SnapshotError::new(format!("upstream {id} with alias {alias} is not the only one")));
        }
        let mut reorder = Reorder::starting_at(saved.next)?;
        for waiting in saved.waiting {
            if waiting.position <= saved.next {
                return Err(SnapshotError::new("a chunk that waits for nothing"));
            }
            let chunk = waiting.chunk.map(|place| reader.chunk(place)).transpose()?;
            let bytes = chunk.as_ref().map_or(0, |chunk| chunk.bytes);
            reorder.push(waiting.position, chunk, bytes, now);
        }
        let mut refused: BTreeSet<_> = saved.refused.into_iter().collect();
        while refused.len() > MAX_REFUSED {
            refused.pop_first();
        }
        let key = self.upstreams.insert(Upstream {
            info,
            qos: snapshot::qos(saved.qos)?,
            node,
            tie: Tie::load(saved.tie, now),
            alias,
            ack_interval: Duration::from_nanos(saved.ack_interval_ns),
            ids: UpstreamIds::load(saved.ids, reader)?,
            received: Received::load(saved.received)?,
            refused,
            reorder,
            results: Vec::new(),
            result_bytes: 0,
            asked: saved.asked,
            last_ack: None,
            ack_queued: false,
            recovers_until: None,
            closing: None,
        });
        reader.place_upstream(saved.origin, key);
        self.upstream_ids.insert(id, key);
        self.upstream_aliases.insert(alias, key);
        if let Some(node) = self.nodes.get_mut(node) {
            node.upstreams.push(key);
        }
        self.schedule_reorder(key);
        Ok(key)
    }
}

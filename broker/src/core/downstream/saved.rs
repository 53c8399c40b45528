//! Downstreams in a snapshot.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use iscp::message::{DataFilter, DownstreamFilter};

use super::{Downstream, QueuedChunk};
use crate::core::Broker;
use crate::core::aliases::DownstreamIds;
use crate::core::arena::Key;
use crate::core::hold::Holds;
use crate::core::numbers::NumberMap;
use crate::core::resume::Tie;
use crate::core::snapshot::{self, Reader, SnapshotError, Writer, form};
use crate::core::subscription::Source;

impl QueuedChunk {
    fn save(&self, writer: &mut Writer) -> form::Queued {
        form::Queued {
            number: self.number,
            origin: writer.origin(self.upstream, Some(&self.info)),
            chunk: writer.chunk(&self.chunk),
            selection: self.selection.as_ref().map(|groups| form::Selection { groups: groups.to_vec() }),
        }
    }

    fn load(saved: form::Queued, reader: &Reader) -> Result<Self, SnapshotError> {
        let chunk = reader.chunk(saved.chunk)?;
        let selection = saved.selection.map(|selection| selection.groups.into_boxed_slice());
        let groups = selection.as_deref().unwrap_or_default();
        if groups.iter().any(|group| *group as usize >= chunk.groups.len()) {
            return Err(SnapshotError::new("a group that is not in its chunk"));
        }
        Ok(Self {
            number: saved.number,
            upstream: reader.origin(saved.origin)?,
            info: reader.info(saved.origin)?,
            chunk,
            selection,
        })
    }
}

/// Chunks of a queue, and what they count for in it.
fn load_queue(
    saved: Vec<form::Queued>,
    reader: &Reader,
) -> Result<(VecDeque<QueuedChunk>, usize), SnapshotError> {
    let chunks: VecDeque<_> =
        saved.into_iter().map(|queued| QueuedChunk::load(queued, reader)).collect::<Result<_, _>>()?;
    let bytes = chunks.iter().map(|queued| queued.chunk.bytes).sum();
    Ok((chunks, bytes))
}

impl Downstream {
    /// A downstream without a connection.
    pub(in crate::core) fn save(&self, left: Duration, place: u32, writer: &mut Writer) -> form::Downstream {
        let filters = self.filters.iter().map(|filter| {
            let data = filter.data_filters.iter();
            let data = data.map(|data| form::DataId { name: data.name.clone(), kind: data.kind.clone() });
            form::Filter { source_node_id: filter.source_node_id.clone(), data_filters: data.collect() }
        });
        // What is looked up in filters and aliases is looked up again.
        let aliases = self.sources.iter().map(|(upstream, source)| (*upstream, source.alias));
        let mut aliases: Vec<_> = aliases.collect();
        aliases.sort_unstable();
        let sources = aliases
            .into_iter()
            .map(|(upstream, alias)| form::Source { origin: writer.origin(upstream, None), alias });
        let sources = sources.collect();
        let metadata = self
            .metadata
            .iter()
            .map(|(number, event)| form::QueuedEvent { number: *number, event: writer.event(event) });
        let metadata = metadata.collect();
        form::Downstream {
            id: bytes::Bytes::copy_from_slice(self.id.as_bytes()),
            tie: self.tie.save(left, place),
            alias: self.alias,
            qos: self.qos.number(),
            omit_empty_chunk: self.omit_empty_chunk,
            tell_filters: self.tell_filters,
            filters: filters.collect(),
            ids: self.ids.save(),
            sources,
            unacked: self.unacked.iter().chain(&self.resend).map(|queued| queued.save(writer)).collect(),
            chunks: self.chunks.iter().map(|queued| queued.save(writer)).collect(),
            metadata,
            next_number: self.next_number,
            dropped: self.dropped,
        }
    }
}

impl Broker {
    /// Takes over a downstream, which is to be counted among the detached streams then.
    pub(in crate::core) fn load_downstream(
        &mut self,
        saved: form::Downstream,
        reader: &Reader,
        now: Instant,
    ) -> Result<Key, SnapshotError> {
        let id = snapshot::uuid(&saved.id)?;
        if self.downstream_ids.contains_key(&id) {
            return Err(SnapshotError::new(format!("downstream {id} is not the only one")));
        }
        let mut filters = Vec::with_capacity(saved.filters.len());
        let mut nodes: Vec<Key> = Vec::new();
        for filter in saved.filters {
            let node = self.nodes.enter(&filter.source_node_id);
            if !nodes.contains(&node) {
                nodes.push(node);
            }
            let data = filter.data_filters.into_iter();
            let data = data.map(|data| DataFilter { name: data.name, kind: data.kind });
            filters.push(DownstreamFilter {
                source_node_id: filter.source_node_id,
                data_filters: data.collect(),
            });
        }
        let mut sources = NumberMap::default();
        for source in saved.sources {
            sources.insert(reader.origin(source.origin)?, Source::with_alias(source.alias));
        }
        let (resend, resend_bytes) = load_queue(saved.unacked, reader)?;
        let (chunks, queued_bytes) = load_queue(saved.chunks, reader)?;
        let metadata = saved.metadata.iter().map(|queued| Ok((queued.number, reader.event(queued.event)?)));
        let metadata = metadata.collect::<Result<_, SnapshotError>>()?;
        let downstream = Downstream {
            id,
            tie: Tie::load(saved.tie, now),
            has_turn: false,
            alias: saved.alias,
            qos: snapshot::qos(saved.qos)?,
            omit_empty_chunk: saved.omit_empty_chunk,
            tell_filters: saved.tell_filters,
            filters,
            nodes: nodes.clone(),
            ids: DownstreamIds::load(saved.ids),
            sources,
            chunks,
            metadata,
            next_number: saved.next_number,
            queued_bytes,
            unacked: VecDeque::new(),
            unacked_bytes: 0,
            resend,
            resend_bytes,
            window: self.config.limits.reliable_window.max(1),
            window_bytes: self.config.limits.reliable_window_bytes.max(1),
            held: true,
            holds: Holds::default(),
            overrun: false,
            dropped: saved.dropped,
        };
        self.detached.bytes += downstream.held_bytes();
        let key = self.downstreams.insert(downstream);
        self.downstream_ids.insert(id, key);
        for node in nodes {
            if let Some(node) = self.nodes.get_mut(node) {
                node.readers.push(key);
            }
        }
        self.restore_holds(key);
        Ok(key)
    }
}

//! What the queues of a broker share, written once and shared again after reading.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use bytes::Bytes;
use iscp::encoding::{Encoding, Schema};
use iscp::message::{DataId, DownstreamMetadata, Message, Points, Qos, UpstreamInfo};
use uuid::Uuid;

use super::{SnapshotError, form};
use crate::core::arena::{Arena, Key};
use crate::core::metadata::Event;
use crate::core::routing::{Routed, RoutedGroup};
use crate::core::upstream::Upstream;

/// Places of what is in a table already.
#[derive(Debug)]
struct Places<K>(HashMap<K, u32>);

impl<K> Default for Places<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Eq + Hash> Places<K> {
    /// The place of `key`, and whether it is new there.
    fn of(&mut self, key: K) -> (u32, bool) {
        let next = self.0.len() as u32;
        let place = *self.0.entry(key).or_insert(next);
        (place, place == next)
    }
}

/// Tables being written. Whatever is entered must live until the end.
#[derive(Debug, Default)]
pub(in crate::core) struct Writer {
    tables: form::Snapshot,
    data_ids: Places<*const DataId>,
    origins: Places<Key>,
    chunks: Places<*const Routed>,
    events: Places<*const Event>,
}

impl Writer {
    pub(in crate::core) fn data_id(&mut self, id: &Arc<DataId>) -> u32 {
        let (place, is_new) = self.data_ids.of(Arc::as_ptr(id));
        if is_new {
            self.tables.data_ids.push(form::DataId { name: id.name.clone(), kind: id.kind.clone() });
        }
        place
    }

    pub(in crate::core) fn origin(&mut self, upstream: Key, info: Option<&UpstreamInfo>) -> u32 {
        let (place, is_new) = self.origins.of(upstream);
        if is_new {
            self.tables.origins.push(form::Origin::default());
        }
        if let Some(info) = info
            && let Some(origin) = self.tables.origins.get_mut(place as usize)
        {
            origin.info.get_or_insert_with(|| form::Info {
                session_id: info.session_id.clone(),
                stream_id: Bytes::copy_from_slice(info.stream_id.as_bytes()),
                source_node_id: info.source_node_id.clone(),
            });
        }
        place
    }

    pub(in crate::core) fn chunk(&mut self, chunk: &Arc<Routed>) -> u32 {
        let (place, is_new) = self.chunks.of(Arc::as_ptr(chunk));
        if is_new {
            let groups = chunk.groups.iter().map(|group| form::Group {
                place: group.place,
                data_id: self.data_id(&group.id),
                points: group.points.as_bytes().clone(),
            });
            let groups = groups.collect();
            self.tables.chunks.push(form::Chunk { sequence_number: chunk.sequence_number, groups });
        }
        place
    }

    pub(in crate::core) fn event(&mut self, event: &Arc<Event>) -> u32 {
        let (place, is_new) = self.events.of(Arc::as_ptr(event));
        if is_new {
            let message = Message::DownstreamMetadata(DownstreamMetadata {
                request_id: 0,
                stream_id_alias: 0,
                source_node_id: event.source_node_id.to_string(),
                metadata: event.metadata.clone(),
            });
            let ends = event.ends.map(|upstream| self.origin(upstream, None));
            let message = Encoding::Protobuf.encode(&message, Schema::V3);
            self.tables.events.push(form::Event { message, ends });
        }
        place
    }

    pub(super) fn finish(self) -> form::Snapshot {
        self.tables
    }
}

/// Tables that were read.
#[derive(Debug)]
pub(in crate::core) struct Reader {
    data_ids: Vec<Arc<DataId>>,
    origins: Vec<(Option<Key>, Option<Arc<UpstreamInfo>>)>,
    chunks: Vec<Arc<Routed>>,
    events: Vec<Arc<Event>>,
}

fn at<'a, T>(table: &'a [T], place: u32, what: &str) -> Result<&'a T, SnapshotError> {
    table.get(place as usize).ok_or_else(|| SnapshotError::new(format!("no {what} {place}")))
}

impl Reader {
    /// Takes the tables that need nothing else.
    pub(super) fn new(tables: &mut form::Snapshot) -> Result<Self, SnapshotError> {
        let mut reader =
            Self { data_ids: Vec::new(), origins: Vec::new(), chunks: Vec::new(), events: Vec::new() };
        for id in std::mem::take(&mut tables.data_ids) {
            reader.data_ids.push(Arc::new(DataId::new(id.name, id.kind)));
        }
        for origin in std::mem::take(&mut tables.origins) {
            let info = origin.info.map(|info| {
                Ok(Arc::new(UpstreamInfo {
                    session_id: info.session_id,
                    stream_id: uuid(&info.stream_id)?,
                    source_node_id: info.source_node_id,
                }))
            });
            reader.origins.push((None, info.transpose()?));
        }
        for chunk in std::mem::take(&mut tables.chunks) {
            let mut groups = Vec::with_capacity(chunk.groups.len());
            for group in chunk.groups {
                // Not a part of the snapshot, which would stay in memory as long as the smallest part of it.
                let points = Points::from_wire(Bytes::copy_from_slice(&group.points))
                    .map_err(|error| SnapshotError::new(format!("data points: {error}")))?;
                groups.push(RoutedGroup { place: group.place, id: reader.data_id(group.data_id)?, points });
            }
            reader.chunks.push(Arc::new(Routed::new(chunk.sequence_number, groups)));
        }
        Ok(reader)
    }

    /// Takes the metadata, once all upstreams are there.
    pub(super) fn read_events(
        &mut self,
        events: &mut Vec<form::Event>,
        upstreams: &mut Arena<Upstream>,
    ) -> Result<(), SnapshotError> {
        for (key, _) in &mut self.origins {
            key.get_or_insert_with(|| upstreams.spent());
        }
        for event in std::mem::take(events) {
            let Ok(Message::DownstreamMetadata(message)) = Encoding::Protobuf.decode(event.message) else {
                return Err(SnapshotError::new("metadata"));
            };
            let ends = event.ends.map(|origin| self.origin(origin)).transpose()?;
            self.events.push(Arc::new(Event {
                source_node_id: message.source_node_id.into(),
                metadata: message.metadata,
                ends,
            }));
        }
        Ok(())
    }

    pub(in crate::core) fn data_id(&self, place: u32) -> Result<Arc<DataId>, SnapshotError> {
        at(&self.data_ids, place, "data id").cloned()
    }

    pub(in crate::core) fn chunk(&self, place: u32) -> Result<Arc<Routed>, SnapshotError> {
        at(&self.chunks, place, "chunk").cloned()
    }

    pub(in crate::core) fn event(&self, place: u32) -> Result<Arc<Event>, SnapshotError> {
        at(&self.events, place, "metadata").cloned()
    }

    /// Key of an origin, once all upstreams are there.
    pub(in crate::core) fn origin(&self, place: u32) -> Result<Key, SnapshotError> {
        at(&self.origins, place, "origin")?.0.ok_or_else(|| SnapshotError::new("origin without a key"))
    }

    pub(in crate::core) fn info(&self, place: u32) -> Result<Arc<UpstreamInfo>, SnapshotError> {
        let info = at(&self.origins, place, "origin")?.1.clone();
        info.ok_or_else(|| SnapshotError::new(format!("origin {place} without a name")))
    }

    /// Takes note of the key of an upstream.
    pub(in crate::core) fn place_upstream(&mut self, place: u32, key: Key) {
        if let Some(origin) = self.origins.get_mut(place as usize) {
            origin.0 = Some(key);
        }
    }
}

pub(in crate::core) fn uuid(bytes: &[u8]) -> Result<Uuid, SnapshotError> {
    Uuid::from_slice(bytes).map_err(|_| SnapshotError::new("id of a stream"))
}

pub(in crate::core) fn qos(number: i32) -> Result<Qos, SnapshotError> {
    match Qos::from_number(number) {
        Qos::Unknown(number) => Err(SnapshotError::new(format!("QoS {number}"))),
        qos => Ok(qos),
    }
}

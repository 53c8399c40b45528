//! Metadata: what happens to a node, told to those who read it (docs/protocol/behaviour.md §7.3,
//! §11.4).

use std::sync::Arc;
use std::time::Instant;

use iscp::message::{Message, Metadata, Reply, ResultCode, UpstreamMetadata};

use super::arena::Key;
use super::{Broker, ConnId};

/// One piece of metadata, shared by the queues it stands in.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) source_node_id: Arc<str>,
    pub(super) metadata: Metadata,
    /// Upstream of which this is the last word.
    pub(super) ends: Option<Key>,
}

impl Broker {
    pub(super) fn upstream_metadata(&mut self, conn: ConnId, message: UpstreamMetadata, now: Instant) {
        let max = self.config.limits.name_bytes;
        let base_time = message.base_time;
        let too_long = base_time.session_id.len() > max || base_time.name.len() > max;
        let (result_code, result_string) = if too_long {
            let text = format!("base time with more than {max} bytes in a text");
            (ResultCode::PROTOCOL_ERROR, text)
        } else {
            (ResultCode::SUCCEEDED, "OK".to_owned())
        };
        let reply = Reply { request_id: message.request_id, result_code, result_string };
        self.answer(conn, Message::UpstreamMetadataAck(reply), now);
        let Some(node) = self.session(conn).map(|session| session.node) else {
            return;
        };
        if too_long {
            return;
        }
        if let Some(node) = self.nodes.get_mut(node) {
            node.remember(&base_time, self.config.limits.base_times);
        }
        self.announce(node, Metadata::BaseTime(base_time), None);
    }

    /// Tells the readers of a node, whatever their data filters.
    pub(super) fn announce(&mut self, node: Key, metadata: Metadata, ends: Option<Key>) {
        let Some(node) = self.nodes.get(node) else { return };
        let event = Arc::new(Event { source_node_id: Arc::clone(&node.id), metadata, ends });
        // A short list, and `tell` needs the whole broker.
        for reader in node.readers.clone() {
            self.tell(reader, &event);
        }
    }

    /// Tells a new downstream what it missed: the upstreams that run, and how their times are to be
    /// read.
    pub(super) fn replay(&mut self, reader: Key, nodes: &[Key]) {
        let mut events = Vec::new();
        // Half of the queue stays free for what happens meanwhile.
        let max = self.config.limits.metadata_queue / 2;
        for node in nodes.iter().filter_map(|node| self.nodes.get(*node)) {
            let mut sessions: Vec<&str> = Vec::new();
            let mut add = |metadata| {
                events.push(Arc::new(Event { source_node_id: Arc::clone(&node.id), metadata, ends: None }));
            };
            for upstream in node.upstreams.iter().filter_map(|key| self.upstreams.get(*key)) {
                add(Metadata::UpstreamOpen {
                    stream_id: upstream.info.stream_id,
                    session_id: upstream.info.session_id.clone(),
                    qos: upstream.qos,
                });
                if !sessions.contains(&upstream.info.session_id.as_str()) {
                    sessions.push(&upstream.info.session_id);
                    for base_time in node.base_times(&upstream.info.session_id) {
                        add(Metadata::BaseTime(base_time.clone()));
                    }
                }
            }
        }
        events.truncate(max);
        for event in events {
            self.tell(reader, &event);
        }
    }
}

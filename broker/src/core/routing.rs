//! From one upstream to its readers.

use std::sync::{Arc, Mutex};

use iscp::message::{DataId, Points};

use super::Broker;
use super::arena::Key;
use super::downstream::Offer;
use super::sharing::Forms;

/// Memory a chunk and each of its groups take beside the bytes of their points, in estimate.
const CHUNK_OVERHEAD: usize = 256;
const GROUP_OVERHEAD: usize = 64;

/// A chunk ready to be forwarded; shared by all queues it stands in.
#[derive(Debug)]
pub(super) struct Routed {
    pub(super) sequence_number: u32,
    pub(super) groups: Vec<RoutedGroup>,
    /// What the chunk counts for in a queue.
    pub(super) bytes: usize,
    /// How it is sent to several readers.
    pub(super) forms: Mutex<Forms>,
}

#[derive(Debug)]
pub(super) struct RoutedGroup {
    /// Place of the id in the upstream's table; `None` when the table is full.
    pub(super) place: Option<u32>,
    pub(super) id: Arc<DataId>,
    pub(super) points: Points,
}

impl Routed {
    pub(super) fn new(sequence_number: u32, groups: Vec<RoutedGroup>) -> Self {
        let bytes = groups.iter().map(|group| GROUP_OVERHEAD + group.points.as_bytes().len()).sum::<usize>()
            + CHUNK_OVERHEAD;
        Self { sequence_number, groups, bytes, forms: Mutex::default() }
    }
}

impl Broker {
    /// Offers a chunk to every downstream that reads the node.
    pub(super) fn fan_out(&mut self, key: Key, chunk: &Arc<Routed>) {
        let above = self.hold_above(key);
        let mut queued = Vec::new();
        let Self {
            config,
            connections,
            upstreams,
            downstreams,
            nodes,
            ready,
            detached,
            overrun,
            chunks_forwarded,
            chunks_dropped,
            ..
        } = self;
        let Some(upstream) = upstreams.get(key) else {
            return;
        };
        let Some(node) = nodes.get(upstream.node) else {
            return;
        };
        for reader in &node.readers {
            let Some(downstream) = downstreams.get_mut(*reader) else {
                continue;
            };
            let conn = downstream.tie.connection;
            let room = match conn {
                Some(_) => usize::MAX,
                None => config.limits.detached_bytes.saturating_sub(detached.bytes),
            };
            match downstream.offer(key, &upstream.info, chunk, &config.limits, room) {
                Offer::Omitted => continue,
                Offer::Queued { dropped } => {
                    if above.is_some() {
                        queued.push(*reader);
                    }
                    *chunks_forwarded += 1;
                    *chunks_dropped += dropped;
                }
                Offer::Overflow => {
                    let text = format!("downstream {}: no room for RELIABLE data", downstream.id);
                    overrun.push((*reader, text));
                    continue;
                }
            }
            let Some(conn) = conn else {
                detached.bytes += chunk.bytes;
                continue;
            };
            if downstream.take_turn()
                && let Some(connection) = connections.get_mut(&conn)
            {
                connection.out.turns.push_back(*reader);
                connection.wake(conn, ready);
            }
        }
        if let Some(above) = above {
            for reader in queued {
                self.hold(key, reader, above);
            }
        }
    }
}

//! What waits in a downstream, is under way to its client, and is sent again (docs/protocol/behaviour.md
//! §11.7, §11 item 59).

use std::sync::Arc;

use iscp::message::{
    DataPointGroup, DownstreamChunk, DownstreamMetadata, Message, OrAlias, Qos, StreamChunk, UpstreamInfo,
};
use tracing::warn;
use uuid::Uuid;

use super::{Downstream, EVENT_BYTES, Offer, QueuedChunk};
use crate::core::arena::Key;
use crate::core::connection::RequestIds;
use crate::core::metadata::Event;
use crate::core::routing::Routed;
use crate::core::sharing::{Outgoing, Recent};
use crate::core::subscription::Source;
use crate::core::{Limits, outbox};

impl Downstream {
    /// Queues the part of a chunk that the filters let through. Without a connection only a RELIABLE
    /// downstream does so, `room` bytes at most.
    pub(in crate::core) fn offer(
        &mut self,
        upstream: Key,
        info: &Arc<UpstreamInfo>,
        chunk: &Arc<Routed>,
        limits: &Limits,
        room: usize,
    ) -> Offer {
        let reliable = self.qos == Qos::Reliable;
        if self.overrun || (!reliable && self.tie.connection.is_none()) {
            return Offer::Omitted;
        }
        let source = self.sources.entry(upstream).or_default();
        let node = &info.source_node_id;
        let mut matched = Vec::new();
        let mut all = true;
        for (i, group) in chunk.groups.iter().enumerate() {
            if source.matches(&self.filters, node, group) {
                if !all {
                    matched.push(i as u32);
                }
            } else if all {
                all = false;
                matched.extend(0..i as u32);
            }
        }
        if self.omit_empty_chunk && (chunk.groups.is_empty() || (!all && matched.is_empty())) {
            return Offer::Omitted;
        }
        let full = self.queued_bytes + chunk.bytes > limits.reliable_queue_bytes && !self.chunks.is_empty();
        if reliable && (full || chunk.bytes > room) {
            self.overrun = true;
            return Offer::Overflow;
        }
        self.queued_bytes += chunk.bytes;
        let number = self.number();
        chunk.forms().takers += 1;
        self.chunks.push_back(QueuedChunk {
            number,
            upstream,
            info: Arc::clone(info),
            chunk: Arc::clone(chunk),
            selection: (!all).then(|| matched.into()),
        });
        let dropped = if reliable { 0 } else { self.drop_oldest(limits) };
        Offer::Queued { dropped }
    }

    /// Makes room by dropping what has waited longest.
    fn drop_oldest(&mut self, limits: &Limits) -> u64 {
        let mut dropped = 0;
        while self.queued_bytes > limits.lossy_queue_bytes && self.chunks.len() > 1 {
            if let Some(oldest) = self.chunks.pop_front() {
                self.queued_bytes -= oldest.chunk.bytes;
                dropped += 1;
            }
        }
        if dropped > 0 {
            let before = self.dropped;
            self.dropped += dropped;
            // A line for each power of two: a consumer that is too slow drops without end.
            if before.checked_ilog2() != self.dropped.checked_ilog2() {
                warn!(downstream = %self.id, dropped = self.dropped, "slow consumer, chunks dropped");
            }
        }
        dropped
    }

    /// Whether more than `bytes` of RELIABLE data wait.
    pub(in crate::core) fn is_longer_than(&self, bytes: usize) -> bool {
        self.qos == Qos::Reliable && self.queued_bytes > bytes
    }

    /// Upstreams of the chunks with which the queue, as it is now, got longer than `bytes`.
    pub(in crate::core) fn queued_behind(&self, bytes: usize) -> Vec<Key> {
        let mut before = 0;
        let mut behind = Vec::new();
        for queued in &self.chunks {
            before += queued.chunk.bytes;
            if before > bytes {
                behind.push(queued.upstream);
            }
        }
        behind
    }

    fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    /// Queues metadata, of which `room` bytes may be taken. Returns whether it is missing now.
    #[must_use]
    pub(super) fn push_metadata(&mut self, event: &Arc<Event>, limits: &Limits, room: usize) -> bool {
        if self.overrun {
            return false;
        }
        if self.metadata.len() >= limits.metadata_queue || EVENT_BYTES > room {
            self.overrun = true;
            return true;
        }
        let number = self.number();
        self.metadata.push_back((number, Arc::clone(event)));
        false
    }

    /// What all that waits takes, and what is kept to be sent again.
    pub(super) fn held_bytes(&self) -> usize {
        self.queued_bytes + self.unacked_bytes + self.resend_bytes + self.metadata.len() * EVENT_BYTES
    }

    /// Drops what is not kept for a client that has lost its connection: only RELIABLE data is.
    pub(super) fn forget_lossy(&mut self) {
        if self.qos != Qos::Reliable {
            self.dropped += std::mem::take(&mut self.chunks).len() as u64;
            self.queued_bytes = 0;
        }
    }

    /// Starts over on a new connection: what was not acknowledged is sent again, before everything else and
    /// in its order.
    pub(super) fn rewind(&mut self) {
        let mut resend = std::mem::take(&mut self.unacked);
        resend.append(&mut self.resend);
        self.resend = resend;
        self.resend_bytes += std::mem::take(&mut self.unacked_bytes);
    }

    /// Whether the downstream is to be listed among the turns of its connection, which is then done.
    pub(in crate::core) fn take_turn(&mut self) -> bool {
        !self.held && !std::mem::replace(&mut self.has_turn, true)
    }

    /// Next message of the downstream. Metadata and data keep the order in which they were queued
    /// (docs/protocol/behaviour.md §11 item 63).
    pub(in crate::core) fn next_message(
        &mut self,
        request_ids: &mut RequestIds,
        recent: &mut Recent,
    ) -> Option<Outgoing> {
        if self.held {
            return None;
        }
        if !self.resend.is_empty() {
            if self.window_is_full() {
                return None;
            }
            let again = outbox::pop(&mut self.resend)?;
            self.resend_bytes -= again.chunk.bytes;
            let message = Outgoing::Own(Message::DownstreamChunk(self.build(&again)));
            self.remember(again);
            return Some(message);
        }
        let chunk = self.chunks.front().map_or(u64::MAX, |queued| queued.number);
        if self.metadata.front().is_some_and(|(number, _)| *number < chunk) {
            let (_, event) = outbox::pop(&mut self.metadata)?;
            // The last of an upstream: none of its chunks waits any more.
            if let Some(upstream) = event.ends {
                self.sources.remove(&upstream);
            }
            return Some(Outgoing::Own(Message::DownstreamMetadata(DownstreamMetadata {
                request_id: request_ids.next(),
                stream_id_alias: self.alias,
                source_node_id: event.source_node_id.to_string(),
                metadata: event.metadata.clone(),
            })));
        }
        if self.qos == Qos::Reliable && self.window_is_full() {
            return None;
        }
        let queued = outbox::pop(&mut self.chunks)?;
        self.queued_bytes -= queued.chunk.bytes;
        self.holds.ease(queued.upstream);
        let message = self.take(&queued, recent);
        self.remember(queued);
        Some(message)
    }

    /// The message for a chunk that leaves the queue for the first time: one that others get too, if they get the
    /// same.
    fn take(&mut self, queued: &QueuedChunk, recent: &mut Recent) -> Outgoing {
        let selection = queued.selection.as_deref();
        let mut forms = queued.chunk.forms();
        // None of a chunk that a snapshot has brought.
        forms.takers = forms.takers.saturating_sub(1);
        if let Some(shared) = forms.find(selection, |form| self.is_form_of(queued, form)) {
            forms.tidy();
            return shared;
        }
        let message = self.build(queued);
        if !forms.wants_more() {
            forms.tidy();
            return Outgoing::Own(Message::DownstreamChunk(message));
        }
        let shared = forms.keep(selection, message);
        drop(forms);
        recent.push(&queued.chunk);
        shared
    }

    /// Keeps a chunk that was sent until it is acknowledged if it must not be lost.
    fn remember(&mut self, sent: QueuedChunk) {
        if self.qos == Qos::Reliable {
            self.unacked_bytes += sent.chunk.bytes;
            self.unacked.push_back(sent);
        }
    }

    pub(in crate::core) fn qos(&self) -> Qos {
        self.qos
    }

    pub(in crate::core) fn is_unreliable(&self) -> bool {
        self.qos == Qos::Unreliable
    }

    /// Whether the next message is a chunk that certainly goes by datagram if those take messages of at most
    /// `limit` bytes. In JSON its payloads take a third more.
    pub(in crate::core) fn fits_datagrams(&self, limit: usize) -> bool {
        let number = self.metadata.front().map_or(u64::MAX, |(number, _)| *number);
        let next = self.chunks.front().filter(|queued| queued.number < number);
        self.is_unreliable() && !self.held && next.is_some_and(|queued| queued.chunk.bytes <= limit / 3 * 2)
    }

    /// Whether nothing waits to be sent.
    pub(in crate::core) fn is_idle(&self) -> bool {
        self.resend.is_empty() && self.chunks.is_empty() && self.metadata.is_empty()
    }

    fn window_is_full(&self) -> bool {
        self.unacked.len() >= self.window || self.unacked_bytes >= self.window_bytes
    }

    /// Whether the message for a chunk, with the aliases known by now, is this one, which was made of the same groups
    /// of the same chunk.
    fn is_form_of(&mut self, queued: &QueuedChunk, form: &DownstreamChunk) -> bool {
        let Some(source) = self.sources.get_mut(&queued.upstream) else { return false };
        if form.stream_id_alias != self.alias || !is_shown_as(&form.upstream, source.alias) {
            return false;
        }
        let groups = &form.chunk.groups;
        if form.filter_references.len() != if self.tell_filters { groups.len() } else { 0 } {
            return false;
        }
        let node = &queued.info.source_node_id;
        groups.iter().enumerate().all(|(i, shown)| {
            let index = queued.selection.as_ref().map_or(i, |selection| selection[i] as usize);
            let group = &queued.chunk.groups[index];
            is_shown_as(&shown.data_id, source.id_alias(&self.ids, group))
                && (!self.tell_filters
                    || source.refers(&self.filters, node, group, &form.filter_references[i]))
        })
    }

    /// The message for a chunk, with the aliases known by now.
    fn build(&mut self, queued: &QueuedChunk) -> DownstreamChunk {
        // A chunk that is sent again may be of an upstream that has ended.
        let mut ended = Source::default();
        let source = self.sources.get_mut(&queued.upstream).unwrap_or(&mut ended);
        let node = &queued.info.source_node_id;
        let count = queued.selection.as_ref().map_or(queued.chunk.groups.len(), |selection| selection.len());
        let mut groups = Vec::with_capacity(count);
        let mut filter_references = Vec::with_capacity(if self.tell_filters { count } else { 0 });
        for i in 0..count {
            let index = queued.selection.as_ref().map_or(i, |selection| selection[i] as usize);
            let group = &queued.chunk.groups[index];
            let data_id = match source.id_alias(&self.ids, group) {
                Some(alias) => OrAlias::Alias(alias),
                None => OrAlias::Full((*group.id).clone()),
            };
            groups.push(DataPointGroup { data_id, points: group.points.clone() });
            if self.tell_filters {
                filter_references.push(source.references(&self.filters, node, group));
            }
        }
        DownstreamChunk {
            stream_id_alias: self.alias,
            upstream: match source.alias {
                Some(alias) => OrAlias::Alias(alias),
                None => OrAlias::Full((*queued.info).clone()),
            },
            chunk: StreamChunk { sequence_number: queued.chunk.sequence_number, groups },
            filter_references,
        }
    }

    /// Takes note that the client has a chunk. Returns whether it was waited for.
    pub(super) fn acknowledge(&mut self, stream_id: Uuid, sequence_number: u32) -> bool {
        // Clients acknowledge in order, so this is nearly always the first.
        let is_it = |queued: &QueuedChunk| {
            queued.info.stream_id == stream_id && queued.chunk.sequence_number == sequence_number
        };
        if let Some(chunk) = self.unacked.iter().position(is_it).and_then(|at| self.unacked.remove(at)) {
            self.unacked_bytes -= chunk.chunk.bytes;
            true
        } else if let Some(chunk) = self.resend.iter().position(is_it).and_then(|at| self.resend.remove(at)) {
            // It had it before its connection was lost.
            self.resend_bytes -= chunk.chunk.bytes;
            true
        } else {
            false
        }
    }
}

/// Whether something is shown by this alias, or in full, as it is to everybody without one.
fn is_shown_as<T>(shown: &OrAlias<T>, alias: Option<u32>) -> bool {
    match shown {
        OrAlias::Alias(shown) => alias == Some(*shown),
        OrAlias::Full(_) => alias.is_none(),
    }
}

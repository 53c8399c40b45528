//! What waits to be sent on one connection, by urgency.
//!
//! Clients give a Pong one second, so it must not stand behind data; acks and answers go before
//! data too (docs/protocol/behaviour.md §11 items 17, 65, 76). Data itself waits in its downstream,
//! whose turn is all that is kept here.

use std::collections::VecDeque;

use iscp::message::Message;

use super::arena::Key;
use super::calls::CallQueue;

/// An entry of the second lane.
#[derive(Debug)]
pub(super) enum Answer {
    /// A message as it is.
    Message(Message),
    /// The acks an upstream has gathered by the time this entry is sent.
    Acks(Key),
}

#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// ConnectResponse, Ping, Pong.
    pub(super) urgent: VecDeque<Message>,
    /// Responses and acks.
    pub(super) answers: VecDeque<Answer>,
    /// Calls to the client.
    pub(super) calls: CallQueue,
    /// Downstreams that have something to send, in turn.
    pub(super) turns: VecDeque<Key>,
    /// Last message of the connection.
    pub(super) goodbye: Option<Message>,
}

impl Outbox {
    /// Messages that a client which does not read makes pile up.
    pub(super) fn backlog(&self) -> usize {
        self.urgent.len() + self.answers.len()
    }

    /// Drops everything but answers: the connection is about to end.
    pub(super) fn drop_bulk(&mut self) {
        self.calls.clear();
        self.turns.clear();
    }
}

/// Takes the front of a queue, and gives back its memory when a burst is over.
pub(super) fn pop<T>(queue: &mut VecDeque<T>) -> Option<T> {
    let front = queue.pop_front();
    if queue.is_empty() && queue.capacity() > 64 {
        *queue = VecDeque::new();
    }
    front
}

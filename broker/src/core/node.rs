//! Nodes: who is connected under a name, what it sends, who reads it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use iscp::message::BaseTime;

use super::ConnId;
use super::arena::{Arena, Key};

/// A node that is connected, sends, or is read.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) id: Arc<str>,
    /// Oldest first; calls go to the last (docs/protocol/behaviour.md §11 item 12).
    pub(super) connections: Vec<ConnId>,
    /// In the order in which they were opened.
    pub(super) upstreams: Vec<Key>,
    /// Downstreams with a filter for the node.
    pub(super) readers: Vec<Key>,
    base_times: VecDeque<BaseTime>,
}

impl Node {
    /// Remembers the newest base time of its clock and session.
    pub(super) fn remember(&mut self, base_time: &BaseTime, max: usize) {
        self.base_times
            .retain(|old| (&old.session_id, &old.name) != (&base_time.session_id, &base_time.name));
        while self.base_times.len() >= max.max(1) {
            self.base_times.pop_front();
        }
        self.base_times.push_back(base_time.clone());
    }

    /// The newest base times of a session.
    pub(super) fn base_times<'a>(&'a self, session_id: &'a str) -> impl Iterator<Item = &'a BaseTime> {
        self.base_times.iter().filter(move |base_time| base_time.session_id == session_id)
    }

    /// The newest base times of all sessions, oldest first.
    pub(super) fn all_base_times(&self) -> impl Iterator<Item = &BaseTime> {
        self.base_times.iter()
    }

    pub(super) fn remove_upstream(&mut self, key: Key) {
        self.upstreams.retain(|other| *other != key);
    }

    pub(super) fn remove_reader(&mut self, key: Key) {
        if let Some(at) = self.readers.iter().position(|other| *other == key) {
            self.readers.swap_remove(at);
        }
    }
}

/// All nodes, by key and by name.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    nodes: Arena<Node>,
    by_id: HashMap<Arc<str>, Key>,
}

impl Nodes {
    /// The node of a name, made if there is none. To be given back with [`Nodes::release`].
    pub(super) fn enter(&mut self, id: &str) -> Key {
        if let Some(key) = self.by_id.get(id) {
            return *key;
        }
        let id: Arc<str> = id.into();
        let key = self.nodes.insert(Node {
            id: Arc::clone(&id),
            connections: Vec::new(),
            upstreams: Vec::new(),
            readers: Vec::new(),
            base_times: VecDeque::new(),
        });
        self.by_id.insert(id, key);
        key
    }

    pub(super) fn find(&self, id: &str) -> Option<Key> {
        self.by_id.get(id).copied()
    }

    pub(super) fn get(&self, key: Key) -> Option<&Node> {
        self.nodes.get(key)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().map(|(_, node)| node)
    }

    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut Node> {
        self.nodes.get_mut(key)
    }

    /// Forgets what a node that went away no longer needs.
    pub(super) fn release(&mut self, key: Key) {
        let Some(node) = self.nodes.get_mut(key) else {
            return;
        };
        if !node.connections.is_empty() || !node.upstreams.is_empty() {
            return;
        }
        node.base_times = VecDeque::new();
        if node.readers.is_empty()
            && let Some(node) = self.nodes.remove(key)
        {
            self.by_id.remove(&node.id);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }
}

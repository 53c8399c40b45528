//! Aliases that this client chooses, and whether the server knows them.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::message::{Aliases, OrAlias};

/// Most aliases of each kind that a downstream hands out; what comes later travels in full.
const MAX_ALIASES: usize = 65_536;

/// Aliases this client chose, both ways.
#[derive(Debug)]
pub(super) struct AliasTable<T> {
    by_alias: HashMap<u32, Arc<T>>,
    by_value: HashMap<Arc<T>, u32>,
    /// Chosen and not announced yet.
    fresh: Vec<u32>,
    /// Announced in acknowledgements that the server has not answered, by their ids. An answer that never
    /// comes costs no more than the aliases themselves.
    unconfirmed: VecDeque<(u32, Vec<u32>)>,
}

impl<T: std::hash::Hash + Eq + Clone> AliasTable<T> {
    pub(super) fn new(known: &Aliases<T>) -> Self {
        let mut table = Self {
            by_alias: HashMap::new(),
            by_value: HashMap::new(),
            fresh: Vec::new(),
            unconfirmed: VecDeque::new(),
        };
        for (alias, value) in known {
            let value = Arc::new(value.clone());
            table.by_alias.insert(*alias, value.clone());
            table.by_value.insert(value, *alias);
        }
        table
    }

    /// The value, however it was named. A new value gets an alias.
    pub(super) fn resolve(&mut self, named: OrAlias<T>) -> Result<Arc<T>, u32> {
        match named {
            OrAlias::Alias(alias) => self.by_alias.get(&alias).cloned().ok_or(alias),
            OrAlias::Full(value) => {
                if let Some((known, _)) = self.by_value.get_key_value(&value) {
                    return Ok(known.clone());
                }
                let value = Arc::new(value);
                if self.by_alias.len() < MAX_ALIASES {
                    // Aliases start at 1, as those of most official clients do
                    // (docs/protocol/messages.md §6.3).
                    let alias = self.by_alias.len() as u32 + 1;
                    self.by_alias.insert(alias, value.clone());
                    self.by_value.insert(value.clone(), alias);
                    self.fresh.push(alias);
                }
                Ok(value)
            }
        }
    }

    /// Whether there are aliases that were not announced yet.
    pub(super) fn has_fresh(&self) -> bool {
        !self.fresh.is_empty()
    }

    /// The aliases that go with an acknowledgement.
    pub(super) fn announce(&mut self, ack_id: u32) -> Aliases<T> {
        let mut fresh = Aliases::new();
        if self.fresh.is_empty() {
            return fresh;
        }
        let announced = std::mem::take(&mut self.fresh);
        let by_alias = &self.by_alias;
        // Not collected, which would bring a sorting algorithm into the library for every type.
        fresh.extend(announced.iter().map(|alias| (*alias, T::clone(&by_alias[alias]))));
        self.unconfirmed.push_back((ack_id, announced));
        fresh
    }

    /// The server answered an acknowledgement: it knows the aliases that went with it.
    pub(super) fn confirm(&mut self, ack_id: u32) {
        self.unconfirmed.retain(|(announced, _)| *announced != ack_id);
    }

    /// The connection was lost: what the server may not have heard is to be announced again.
    pub(super) fn announce_again(&mut self) {
        for (_, announced) in self.unconfirmed.drain(..) {
            self.fresh.extend(announced);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_did_not_confirm_is_announced_again() {
        let mut table = AliasTable::new(&Aliases::from([(1, "known")]));
        for value in ["a", "b"] {
            table.resolve(OrAlias::Full(value)).unwrap();
        }
        assert_eq!(table.announce(1), Aliases::from([(2, "a"), (3, "b")]));
        table.resolve(OrAlias::Full("c")).unwrap();
        assert_eq!(table.announce(2), Aliases::from([(4, "c")]));
        assert_eq!(table.announce(3), Aliases::new());
        table.confirm(1);
        table.announce_again();
        assert_eq!(table.announce(4), Aliases::from([(4, "c")]));
        table.confirm(4);
        table.announce_again();
        assert!(!table.has_fresh());
        assert_eq!(table.resolve(OrAlias::Alias(4)).as_deref(), Ok(&"c"));
    }
}

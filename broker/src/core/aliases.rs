//! Alias tables: data ids of upstreams, data ids and upstreams of downstreams.

use std::collections::HashMap;
use std::sync::Arc;

use iscp::message::{Aliases, DataId};

use super::filter;
use super::snapshot::{Reader, SnapshotError, Writer, form};

/// Data ids of one upstream. The alias of an id is its place in the table plus one and never changes
/// (docs/protocol/behaviour.md §11 item 29).
#[derive(Debug, Default)]
pub(super) struct UpstreamIds {
    entries: Vec<Entry>,
    places: HashMap<Arc<DataId>, u32>,
}

#[derive(Debug)]
struct Entry {
    id: Arc<DataId>,
    /// The client was told the alias and may use it.
    announced: bool,
    /// The alias is to go into the next ack.
    pending: bool,
}

impl UpstreamIds {
    /// Place of an id, which is entered if there is room. `None`: no room, the id goes without.
    ///
    /// # Errors
    /// What is wrong with the id.
    pub(super) fn enter(
        &mut self,
        id: &DataId,
        max_ids: usize,
        max_len: usize,
    ) -> Result<Option<(u32, Arc<DataId>)>, String> {
        if let Some(place) = self.places.get(id) {
            return Ok(Some((*place, Arc::clone(&self.entries[*place as usize].id))));
        }
        filter::check_data_id(id, max_len)?;
        if self.entries.len() >= max_ids {
            return Ok(None);
        }
        let id = Arc::new(id.clone());
        let place = self.entries.len() as u32;
        self.places.insert(Arc::clone(&id), place);
        self.entries.push(Entry { id: Arc::clone(&id), announced: false, pending: false });
        Ok(Some((place, id)))
    }

    /// Marks an alias as asked for by the client. Returns whether it now waits for the next ack.
    pub(super) fn ask(&mut self, place: u32) -> bool {
        let Some(entry) = self.entries.get_mut(place as usize) else {
            return false;
        };
        !std::mem::replace(&mut entry.pending, true)
    }

    /// The alias and id of a place, from now on known to the client.
    pub(super) fn announce(&mut self, place: u32) -> Option<(u32, DataId)> {
        let entry = self.entries.get_mut(place as usize)?;
        entry.announced = true;
        entry.pending = false;
        Some((place + 1, DataId::clone(&entry.id)))
    }

    /// Place and id of an alias that the client knows.
    pub(super) fn resolve(&self, alias: u32) -> Option<(u32, Arc<DataId>)> {
        let place = alias.checked_sub(1)?;
        let entry = self.entries.get(place as usize)?;
        entry.announced.then(|| (place, Arc::clone(&entry.id)))
    }
}

impl UpstreamIds {
    pub(super) fn save(&self, writer: &mut Writer) -> Vec<form::UpstreamId> {
        let entries = self.entries.iter();
        entries
            .map(|entry| form::UpstreamId {
                data_id: writer.data_id(&entry.id),
                announced: entry.announced,
                pending: entry.pending,
            })
            .collect()
    }

    pub(super) fn load(saved: Vec<form::UpstreamId>, reader: &Reader) -> Result<Self, SnapshotError> {
        let mut ids = Self::default();
        for (saved, place) in saved.into_iter().zip(0..) {
            let id = reader.data_id(saved.data_id)?;
            ids.places.insert(Arc::clone(&id), place);
            ids.entries.push(Entry { id, announced: saved.announced, pending: saved.pending });
        }
        Ok(ids)
    }
}

/// Data id aliases that the client of a downstream gave out.
#[derive(Debug, Default)]
pub(super) struct DownstreamIds {
    by_id: HashMap<DataId, u32>,
    by_alias: HashMap<u32, DataId>,
    generation: u32,
}

/// Why an alias was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AliasError {
    /// The table is full.
    Full,
    /// The alias stands for something else.
    Conflict(u32),
}

impl DownstreamIds {
    /// Takes over a client's announcements. Repeated ones are normal, as are several aliases for one
    /// id: the first is used (docs/protocol/behaviour.md §11 item 55).
    pub(super) fn learn(&mut self, aliases: Aliases<DataId>, max_ids: usize) -> Result<(), AliasError> {
        let mut outcome = Ok(());
        for (alias, id) in aliases {
            match self.by_alias.get(&alias) {
                Some(known) if *known == id => {}
                Some(_) => outcome = Err(AliasError::Conflict(alias)),
                None if self.by_alias.len() >= max_ids => outcome = Err(AliasError::Full),
                None => {
                    self.by_alias.insert(alias, id.clone());
                    self.by_id.entry(id).or_insert(alias);
                    self.generation += 1;
                }
            }
        }
        outcome
    }

    pub(super) fn get(&self, id: &DataId) -> Option<u32> {
        self.by_id.get(id).copied()
    }

    /// As they are written into a snapshot: for each id first the alias in use.
    pub(super) fn save(&self) -> Vec<form::DownstreamId> {
        let mut saved: Vec<_> = self
            .by_alias
            .iter()
            .map(|(alias, id)| form::DownstreamId {
                alias: *alias,
                name: id.name.clone(),
                kind: id.kind.clone(),
            })
            .collect();
        let is_spare = |saved: &form::DownstreamId| {
            self.get(&DataId::new(saved.name.as_str(), saved.kind.as_str())) != Some(saved.alias)
        };
        saved.sort_by_cached_key(|saved| (is_spare(saved), saved.alias));
        saved
    }

    pub(super) fn load(saved: Vec<form::DownstreamId>) -> Self {
        let mut ids = Self::default();
        for saved in saved {
            // They were within the limit when they came.
            let _ = ids.learn([(saved.alias, DataId::new(saved.name, saved.kind))].into(), usize::MAX);
        }
        ids
    }

    /// Rises whenever an alias was added: what was not found before may be found now.
    pub(super) fn generation(&self) -> u32 {
        self.generation
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> DataId {
        DataId::new(name, "t")
    }

    #[test]
    fn upstream_aliases_start_at_one_and_never_change() {
        let mut ids = UpstreamIds::default();
        let (first, _) = ids.enter(&id("a"), 2, 10).unwrap().unwrap();
        let (second, _) = ids.enter(&id("b"), 2, 10).unwrap().unwrap();
        assert_eq!(ids.enter(&id("a"), 2, 10).unwrap().unwrap().0, first);
        assert_eq!(ids.enter(&id("c"), 2, 10), Ok(None), "the table is full");
        assert!(ids.resolve(1).is_none(), "not announced yet");
        assert!(ids.ask(first) && !ids.ask(first));
        assert_eq!(ids.announce(first), Some((1, id("a"))));
        assert!(ids.ask(first), "asked for again before the ack arrived");
        assert_eq!(ids.announce(second), Some((2, id("b"))));
        assert_eq!(*ids.resolve(1).unwrap().1, id("a"));
        assert!(ids.resolve(0).is_none() && ids.resolve(3).is_none());
        assert!(ids.enter(&id("#"), 9, 10).is_err());
    }

    #[test]
    fn downstream_aliases_may_be_repeated_and_several_may_name_one_id() {
        let mut ids = DownstreamIds::default();
        assert_eq!(ids.learn([(0, id("a")), (1, id("a"))].into(), 3), Ok(()));
        assert_eq!(ids.learn([(0, id("a")), (2, id("b"))].into(), 3), Ok(()));
        assert_eq!((ids.get(&id("a")), ids.get(&id("b"))), (Some(0), Some(2)));
        assert_eq!(ids.learn([(0, id("b"))].into(), 3), Err(AliasError::Conflict(0)));
        assert_eq!(ids.learn([(3, id("c"))].into(), 3), Err(AliasError::Full));
        assert_eq!(ids.get(&id("c")), None);
    }
}

//! What one downstream knows of one upstream. Filters and aliases are looked up once per data id, not
//! once per chunk.

use iscp::message::{DownstreamFilter, FilterReference};

use super::aliases::DownstreamIds;
use super::filter;
use super::routing::RoutedGroup;

#[derive(Debug, Default)]
pub(super) struct Source {
    /// Alias the client gave the upstream; zero is one.
    pub(super) alias: Option<u32>,
    /// By place in the upstream's table of data ids.
    ids: Vec<KnownId>,
}

#[derive(Debug, Default)]
struct KnownId {
    /// The data filters that match; `None` before the first look.
    references: Option<Box<[FilterReference]>>,
    alias: Option<u32>,
    /// Generation of the alias table in which no alias was found.
    looked_up: Option<u32>,
}

impl Source {
    /// One of which nothing but the alias is known.
    pub(super) fn with_alias(alias: Option<u32>) -> Self {
        Self { alias, ids: Vec::new() }
    }

    fn known(&mut self, place: u32) -> &mut KnownId {
        let place = place as usize;
        if place >= self.ids.len() {
            self.ids.resize_with(place + 1, KnownId::default);
        }
        &mut self.ids[place]
    }

    /// Whether a filter matches the group.
    pub(super) fn matches(&mut self, filters: &[DownstreamFilter], node: &str, group: &RoutedGroup) -> bool {
        let Some(place) = group.place else {
            return !filter::references(filters, node, &group.id).is_empty();
        };
        !self
            .known(place)
            .references
            .get_or_insert_with(|| filter::references(filters, node, &group.id).into())
            .is_empty()
    }

    /// The filters that match the group.
    pub(super) fn references(
        &mut self,
        filters: &[DownstreamFilter],
        node: &str,
        group: &RoutedGroup,
    ) -> Vec<FilterReference> {
        match group.place {
            Some(place) => self
                .known(place)
                .references
                .get_or_insert_with(|| filter::references(filters, node, &group.id).into())
                .to_vec(),
            None => filter::references(filters, node, &group.id),
        }
    }

    /// Whether the filters that match the group are these.
    pub(super) fn refers(
        &mut self,
        filters: &[DownstreamFilter],
        node: &str,
        group: &RoutedGroup,
        to: &[FilterReference],
    ) -> bool {
        match group.place {
            Some(place) => {
                let known = self
                    .known(place)
                    .references
                    .get_or_insert_with(|| filter::references(filters, node, &group.id).into());
                **known == *to
            }
            None => filter::references(filters, node, &group.id) == to,
        }
    }

    /// The alias the client gave the group's data id.
    pub(super) fn id_alias(&mut self, aliases: &DownstreamIds, group: &RoutedGroup) -> Option<u32> {
        let Some(place) = group.place else {
            return aliases.get(&group.id);
        };
        let known = self.known(place);
        if known.alias.is_none() && known.looked_up != Some(aliases.generation()) {
            known.alias = aliases.get(&group.id);
            known.looked_up = Some(aliases.generation());
        }
        known.alias
    }
}

//! Chunks that the application is shown before they are sent.

use std::sync::Arc;

use super::Upstream;
use crate::core::event::{ReceivedChunk, ReceivedGroup};
use crate::core::write_buffer::{DataIdIndex, WriteBuffer};
use crate::message::{Points, UpstreamInfo};

/// A chunk that was made and not shown yet. It shares the bytes of what is sent.
#[derive(Debug)]
pub(super) struct NewChunk {
    sequence_number: u32,
    groups: Vec<ReceivedGroup>,
    bytes: usize,
}

impl Upstream {
    /// Keeps the newest chunk until it is shown.
    pub(super) fn keep_to_show(
        &mut self,
        buffer: &WriteBuffer,
        runs: &[(DataIdIndex, Points)],
        bytes: usize,
    ) {
        self.buffer.will_tell(bytes);
        let groups = runs.iter().map(|(id, points)| ReceivedGroup {
            data_id: Arc::new(buffer.data_id_of(*id).clone()),
            points: points.clone(),
            filter_references: Vec::new(),
        });
        self.to_show =
            Some(NewChunk { sequence_number: self.last_sequence_number, groups: groups.collect(), bytes });
    }

    /// The newest chunk and the wire bytes of its points, once, if chunks are shown to the application.
    pub(in crate::core) fn take_to_show(&mut self, node_id: &str) -> Option<(ReceivedChunk, usize)> {
        let NewChunk { sequence_number, groups, bytes } = self.to_show.take()?;
        let upstream = Arc::new(UpstreamInfo {
            session_id: self.config.session_id.clone(),
            stream_id: self.stream_id,
            source_node_id: node_id.to_owned(),
        });
        Some((ReceivedChunk { upstream, sequence_number, groups }, bytes))
    }
}

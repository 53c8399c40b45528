//! Metadata: what happens to nodes, sessions and streams beside the data itself.

use uuid::Uuid;

use super::{DataFilter, DownstreamFilter, Qos};

/// Ties the elapsed times of a session to a clock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BaseTime {
    /// Session the time belongs to.
    pub session_id: String,
    /// Name of the clock.
    pub name: String,
    /// Priority among the base times of a session. Go clients keep the low 8 bits only.
    pub priority: u32,
    /// Elapsed time that corresponds to `base_time_ns`, in nanoseconds.
    pub elapsed_time_ns: u64,
    /// The clock, nanoseconds since the Unix epoch.
    pub base_time_ns: i64,
}

/// `UpstreamMetadata`: metadata a client sends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamMetadata {
    /// Correlation id.
    pub request_id: u32,
    /// The metadata; base time is the only kind a client sends.
    pub base_time: BaseTime,
    /// Whether it is stored in the session.
    pub persist: bool,
}

/// `DownstreamMetadata`: metadata a broker sends to a downstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DownstreamMetadata {
    /// The broker's id, odd.
    pub request_id: u32,
    /// Alias of the downstream.
    pub stream_id_alias: u32,
    /// Node the metadata is about.
    pub source_node_id: String,
    /// The metadata.
    pub metadata: Metadata,
}

/// Kinds of metadata a reader receives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Metadata {
    /// A node sent a base time.
    BaseTime(BaseTime),
    /// An upstream was opened.
    UpstreamOpen {
        /// The stream.
        stream_id: Uuid,
        /// Its session.
        session_id: String,
        /// Its QoS.
        qos: Qos,
    },
    /// An upstream ended without a close request.
    UpstreamAbnormalClose {
        /// The stream.
        stream_id: Uuid,
        /// Its session.
        session_id: String,
    },
    /// An upstream was resumed.
    UpstreamResume {
        /// The stream.
        stream_id: Uuid,
        /// Its session.
        session_id: String,
        /// Its QoS.
        qos: Qos,
    },
    /// An upstream was closed.
    UpstreamNormalClose {
        /// The stream.
        stream_id: Uuid,
        /// Its session.
        session_id: String,
        /// Points its sender counted.
        total_data_points: u64,
        /// Last sequence number its sender issued.
        final_sequence_number: u32,
    },
    /// A downstream was opened.
    DownstreamOpen {
        /// The stream.
        stream_id: Uuid,
        /// Its filters.
        filters: Vec<DownstreamFilter>,
        /// Its QoS.
        qos: Qos,
    },
    /// A downstream ended without a close request.
    DownstreamAbnormalClose {
        /// The stream.
        stream_id: Uuid,
    },
    /// A downstream was resumed.
    DownstreamResume {
        /// The stream.
        stream_id: Uuid,
        /// Its filters.
        filters: Vec<DownstreamFilter>,
        /// Its QoS.
        qos: Qos,
    },
    /// A downstream was closed.
    DownstreamNormalClose {
        /// The stream.
        stream_id: Uuid,
    },
}

impl Metadata {
    /// Bytes of all texts in it, with what each filter takes: what makes one larger than another.
    pub fn size(&self) -> usize {
        match self {
            Self::BaseTime(base_time) => base_time.session_id.len() + base_time.name.len(),
            Self::UpstreamOpen { session_id, .. }
            | Self::UpstreamAbnormalClose { session_id, .. }
            | Self::UpstreamResume { session_id, .. }
            | Self::UpstreamNormalClose { session_id, .. } => session_id.len(),
            Self::DownstreamOpen { filters, .. } | Self::DownstreamResume { filters, .. } => {
                filters.iter().map(filter_size).sum()
            }
            Self::DownstreamAbnormalClose { .. } | Self::DownstreamNormalClose { .. } => 0,
        }
    }
}

fn filter_size(filter: &DownstreamFilter) -> usize {
    let own = size_of::<DownstreamFilter>() + filter.source_node_id.len();
    let data = |data: &DataFilter| size_of::<DataFilter>() + data.name.len() + data.kind.len();
    own + filter.data_filters.iter().map(data).sum::<usize>()
}

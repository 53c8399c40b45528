//! Metadata messages.

use super::field::{Field, mirror, not_set};
use crate::encoding::DecodeError;
use crate::encoding::protobuf::generated as pb;
use crate::message::{BaseTime, DownstreamMetadata, Metadata, UpstreamMetadata};

mirror! {
    BaseTime {
        session_id, name, priority, elapsed_time => elapsed_time_ns, base_time => base_time_ns,
    }
    UpstreamMetadata { request_id, metadata => base_time, extension_fields => persist }
    DownstreamMetadata { request_id, stream_id_alias, metadata, source_node_id; extension_fields }
}

impl Field<Option<pb::upstream_metadata::Metadata>> for BaseTime {
    fn read(wire: Option<pb::upstream_metadata::Metadata>, name: &str) -> Result<Self, DecodeError> {
        let pb::upstream_metadata::Metadata::BaseTime(time) = wire.ok_or_else(|| not_set(name))?;
        Self::read(time, name)
    }

    fn write(&self) -> Option<pb::upstream_metadata::Metadata> {
        Some(pb::upstream_metadata::Metadata::BaseTime(self.write()))
    }
}

/// Implements [`Field`] for the metadata of a downstream: `arm { typed field: generated field, … }`.
macro_rules! metadata {
    ($($arm:ident { $($typed:ident: $field:ident),+ })+) => {
        impl Field<Option<pb::downstream_metadata::Metadata>> for Metadata {
            fn read(wire: Option<pb::downstream_metadata::Metadata>, name: &str) -> Result<Self, DecodeError> {
                use pb::downstream_metadata::Metadata as Arm;
                Ok(match wire.ok_or_else(|| not_set(name))? {
                    Arm::BaseTime(time) => Self::BaseTime(Field::read(time, name)?),
                    $(Arm::$arm(wire) => Self::$arm {
                        $($typed: Field::read(
                            wire.$field,
                            concat!(stringify!($arm), ".", stringify!($field)),
                        )?,)+
                    },)+
                })
            }

            fn write(&self) -> Option<pb::downstream_metadata::Metadata> {
                use pb::downstream_metadata::Metadata as Arm;
                Some(match self {
                    Self::BaseTime(time) => Arm::BaseTime(time.write()),
                    $(Self::$arm { $($typed),+ } => Arm::$arm(pb::$arm {
                        $($field: Field::write($typed),)+
                    }),)+
                })
            }
        }
    };
}

metadata! {
    UpstreamOpen { stream_id: stream_id, session_id: session_id, qos: qos }
    UpstreamAbnormalClose { stream_id: stream_id, session_id: session_id }
    UpstreamResume { stream_id: stream_id, session_id: session_id, qos: qos }
    UpstreamNormalClose {
        stream_id: stream_id, session_id: session_id, total_data_points: total_data_points,
        final_sequence_number: final_sequence_number
    }
    DownstreamOpen { stream_id: stream_id, filters: downstream_filters, qos: qos }
    DownstreamAbnormalClose { stream_id: stream_id }
    DownstreamResume { stream_id: stream_id, filters: downstream_filters, qos: qos }
    DownstreamNormalClose { stream_id: stream_id }
}

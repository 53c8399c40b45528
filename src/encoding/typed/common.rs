//! Types that several messages share.

use super::field::{Field, mirror, not_set};
use crate::encoding::DecodeError;
use crate::encoding::protobuf::generated as pb;
use crate::message::{
    DataFilter, DataId, DataPointGroup, DownstreamFilter, FilterReference, OrAlias, Points, StreamChunk,
    UpstreamInfo,
};

mirror! {
    DataId { name, r#type => kind }
    DataFilter { name, r#type => kind }
    DownstreamFilter { source_node_id, data_filters }
    UpstreamInfo { session_id, stream_id, source_node_id }
    StreamChunk { sequence_number, data_point_groups => groups }
    FilterReference as DownstreamFilterReference { downstream_filter_index, data_filter_index }
}

impl Field<pb::DataPointGroup> for DataPointGroup {
    fn read(wire: pb::DataPointGroup, _: &str) -> Result<Self, DecodeError> {
        Ok(Self {
            data_id: Field::read(wire.data_id_or_alias, "DataPointGroup.data_id_or_alias")?,
            points: Field::read(wire.data_points, "DataPointGroup.data_points")?,
        })
    }

    fn write(&self) -> pb::DataPointGroup {
        pb::DataPointGroup {
            data_id_or_alias: self.data_id.write(),
            data_points: self.points.write(),
            data_filter_ids: Vec::new(),
        }
    }
}

impl Field<Option<pb::data_point_group::DataIdOrAlias>> for OrAlias<DataId> {
    fn read(wire: Option<pb::data_point_group::DataIdOrAlias>, name: &str) -> Result<Self, DecodeError> {
        use pb::data_point_group::DataIdOrAlias;
        Ok(match wire.ok_or_else(|| not_set(name))? {
            DataIdOrAlias::DataId(id) => Self::Full(DataId::read(id, name)?),
            DataIdOrAlias::DataIdAlias(alias) => Self::Alias(alias),
        })
    }

    fn write(&self) -> Option<pb::data_point_group::DataIdOrAlias> {
        use pb::data_point_group::DataIdOrAlias;
        Some(match self {
            Self::Full(id) => DataIdOrAlias::DataId(id.write()),
            Self::Alias(alias) => DataIdOrAlias::DataIdAlias(*alias),
        })
    }
}

impl Field<Vec<pb::DataPoint>> for Points {
    fn read(wire: Vec<pb::DataPoint>, _: &str) -> Result<Self, DecodeError> {
        Ok(wire.into_iter().map(|point| (point.elapsed_time, point.payload)).collect())
    }

    fn write(&self) -> Vec<pb::DataPoint> {
        self.iter()
            .map(|point| pb::DataPoint { elapsed_time: point.elapsed_time, payload: point.payload })
            .collect()
    }
}

/// A missing chunk is an empty one.
impl Field<Option<pb::StreamChunk>> for StreamChunk {
    fn read(wire: Option<pb::StreamChunk>, name: &str) -> Result<Self, DecodeError> {
        Self::read(wire.unwrap_or_default(), name)
    }

    fn write(&self) -> Option<pb::StreamChunk> {
        Some(self.write())
    }
}

impl Field<pb::DownstreamFilterReferences> for Vec<FilterReference> {
    fn read(wire: pb::DownstreamFilterReferences, name: &str) -> Result<Self, DecodeError> {
        Self::read(wire.references, name)
    }

    fn write(&self) -> pb::DownstreamFilterReferences {
        pb::DownstreamFilterReferences { references: self.write() }
    }
}

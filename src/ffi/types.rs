//! Plain structs of the hot path. They are frozen: fields are never added.

use uuid::Uuid;

use super::upstream::iscp_data_id_t;

/// A data point.
#[allow(non_camel_case_types)]
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct iscp_data_point_t {
    /// Nanoseconds since the time origin of the session; may be negative.
    pub elapsed_time_ns: i64,
    /// Bytes of the application; NULL only when there are none.
    pub payload: *const u8,
    /// How many there are.
    pub payload_len: usize,
}

/// A data point to be written and what it belongs to.
#[allow(non_camel_case_types)]
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct iscp_upstream_point_t {
    /// What the point belongs to, from `iscp_upstream_data_id` of the upstream.
    pub data_id: iscp_data_id_t,
    /// The point.
    pub point: iscp_data_point_t,
}

// SAFETY: a point read from a chunk is immutable, and so is what it points to, for the life of the
// chunk; points given to the library are only read during the call.
unsafe impl Send for iscp_data_point_t {}
// SAFETY: as above.
unsafe impl Sync for iscp_data_point_t {}

/// A UUID, in the order of its text form.
#[allow(non_camel_case_types)]
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct iscp_uuid_t {
    /// The 16 bytes.
    pub bytes: [u8; 16],
}

impl From<Uuid> for iscp_uuid_t {
    fn from(uuid: Uuid) -> Self {
        Self { bytes: *uuid.as_bytes() }
    }
}

#[cfg(target_pointer_width = "64")]
const _: () = {
    assert!(size_of::<iscp_data_point_t>() == 24);
    assert!(std::mem::offset_of!(iscp_data_point_t, payload) == 8);
    assert!(std::mem::offset_of!(iscp_data_point_t, payload_len) == 16);
    assert!(size_of::<iscp_upstream_point_t>() == 32);
    assert!(std::mem::offset_of!(iscp_upstream_point_t, point) == 8);
};
const _: () = assert!(size_of::<iscp_uuid_t>() == 16 && align_of::<iscp_uuid_t>() == 1);

//! The C interface, called as C does, behind just enough Rust to read a test.

use std::ffi::{CStr, CString, c_char, c_void};
use std::ptr::null_mut;

type Handle = *mut c_void;
type Status = i32;

unsafe extern "C" {
    fn iscp_error_message(error: Handle) -> *const c_char;
    fn iscp_error_free(error: Handle);
    fn iscp_conn_options_new() -> Handle;
    fn iscp_conn_options_set(
        o: Handle,
        key: *const c_char,
        value: *const c_char,
        error: *mut Handle,
    ) -> Status;
    fn iscp_conn_options_free(options: Handle);
    fn iscp_connect_wait(options: Handle, ms: i32, out: *mut Handle, error: *mut Handle) -> Status;
    fn iscp_conn_protocol_version(conn: Handle) -> *const c_char;
    fn iscp_conn_send_base_time_wait(
        conn: Handle,
        session: *const c_char,
        name: *const c_char,
        priority: u32,
        elapsed: i64,
        base: i64,
        persist: bool,
        ms: i32,
        error: *mut Handle,
    ) -> Status;
    fn iscp_conn_free(conn: Handle);
    fn iscp_upstream_options_new() -> Handle;
    fn iscp_upstream_options_set(
        o: Handle,
        key: *const c_char,
        value: *const c_char,
        error: *mut Handle,
    ) -> Status;
    fn iscp_upstream_options_free(options: Handle);
    fn iscp_upstream_open_wait(
        conn: Handle,
        options: Handle,
        ms: i32,
        out: *mut Handle,
        error: *mut Handle,
    ) -> Status;
    fn iscp_upstream_close_wait(up: Handle, close_session: bool, ms: i32, error: *mut Handle) -> Status;
    fn iscp_upstream_free(up: Handle);
    fn iscp_downstream_options_new() -> Handle;
    fn iscp_downstream_options_set(
        o: Handle,
        key: *const c_char,
        value: *const c_char,
        error: *mut Handle,
    ) -> Status;
    fn iscp_downstream_options_free(options: Handle);
    fn iscp_downstream_open_wait(
        conn: Handle,
        options: Handle,
        ms: i32,
        out: *mut Handle,
        error: *mut Handle,
    ) -> Status;
    fn iscp_downstream_next_chunk_wait(down: Handle, ms: i32, out: *mut Handle, error: *mut Handle)
    -> Status;
    fn iscp_downstream_next_metadata_wait(
        down: Handle,
        ms: i32,
        out: *mut Handle,
        error: *mut Handle,
    ) -> Status;
    fn iscp_downstream_stat(down: Handle, stat: i32, out: *mut u64) -> Status;
    fn iscp_downstream_free(down: Handle);
    fn iscp_chunk_sequence_number(chunk: Handle) -> u32;
    fn iscp_chunk_group_count(chunk: Handle) -> usize;
    fn iscp_chunk_group_filters(
        chunk: Handle,
        group: usize,
        out: *mut *const u32,
        count: *mut usize,
    ) -> Status;
    fn iscp_chunk_free(chunk: Handle);
    fn iscp_metadata_kind(metadata: Handle) -> i32;
    fn iscp_metadata_kind_name(kind: i32) -> *const c_char;
    fn iscp_metadata_source_node_id(metadata: Handle) -> *const c_char;
    fn iscp_metadata_session_id(metadata: Handle) -> *const c_char;
    fn iscp_metadata_qos(metadata: Handle) -> i32;
    fn iscp_metadata_filter_count(metadata: Handle) -> usize;
    fn iscp_metadata_free(metadata: Handle);
}

/// Milliseconds that anything may take.
const LIMIT: i32 = 20_000;

/// A failure: status and message.
pub(crate) type Failure = (Status, String);

fn text(text: *const c_char) -> String {
    // SAFETY: every text that the library returns is a string.
    unsafe { CStr::from_ptr(text) }.to_str().unwrap().to_owned()
}

/// Calls a function with a place for the detail of a failure.
fn check(call: impl FnOnce(*mut Handle) -> Status) -> Result<(), Failure> {
    let mut error = null_mut();
    let status = call(&raw mut error);
    if status == 0 {
        assert!(error.is_null());
        return Ok(());
    }
    // SAFETY: the library stored an error.
    let message = text(unsafe { iscp_error_message(error) });
    // SAFETY: as above.
    unsafe { iscp_error_free(error) };
    Err((status, message))
}

fn made(call: impl FnOnce(*mut Handle, *mut Handle) -> Status) -> Result<Handle, Failure> {
    let mut object = null_mut();
    check(|error| call(&raw mut object, error))?;
    Ok(object)
}

type Set = unsafe extern "C" fn(Handle, *const c_char, *const c_char, *mut Handle) -> Status;

fn set_all(options: Handle, set: Set, values: &[(&str, &str)]) {
    for (key, value) in values {
        let (key, value) = (CString::new(*key).unwrap(), CString::new(*value).unwrap());
        // SAFETY: options of this library and strings.
        check(|error| unsafe { set(options, key.as_ptr(), value.as_ptr(), error) }).unwrap();
    }
}

pub(crate) struct Conn(Handle);

impl Conn {
    pub(crate) fn connect(values: &[(&str, &str)]) -> Result<Self, Failure> {
        // SAFETY: handles of this library.
        unsafe {
            let options = iscp_conn_options_new();
            set_all(options, iscp_conn_options_set, values);
            let conn = made(|out, error| iscp_connect_wait(options, LIMIT, out, error));
            iscp_conn_options_free(options);
            conn.map(Self)
        }
    }

    pub(crate) fn protocol_version(&self) -> String {
        // SAFETY: a connection of this library.
        text(unsafe { iscp_conn_protocol_version(self.0) })
    }

    pub(crate) fn send_base_time(&self, persist: bool) {
        let (session, name) = (c"session".as_ptr(), c"edge_rtc".as_ptr());
        // SAFETY: a connection of this library and strings.
        check(|error| unsafe {
            iscp_conn_send_base_time_wait(self.0, session, name, 300, 7, -5, persist, LIMIT, error)
        })
        .unwrap();
    }

    /// Opens an upstream and closes it again.
    pub(crate) fn upstream(&self, values: &[(&str, &str)], close_session: bool) {
        // SAFETY: handles of this library.
        unsafe {
            let options = iscp_upstream_options_new();
            set_all(options, iscp_upstream_options_set, values);
            let up = made(|out, error| iscp_upstream_open_wait(self.0, options, LIMIT, out, error)).unwrap();
            iscp_upstream_options_free(options);
            check(|error| iscp_upstream_close_wait(up, close_session, LIMIT, error)).unwrap();
            iscp_upstream_free(up);
        }
    }

    pub(crate) fn downstream(&self, values: &[(&str, &str)]) -> Down {
        // SAFETY: handles of this library.
        unsafe {
            let options = iscp_downstream_options_new();
            set_all(options, iscp_downstream_options_set, values);
            let down = made(|out, error| iscp_downstream_open_wait(self.0, options, LIMIT, out, error));
            iscp_downstream_options_free(options);
            Down(down.unwrap())
        }
    }
}

impl Drop for Conn {
    fn drop(&mut self) {
        // SAFETY: a connection of this library, freed once.
        unsafe { iscp_conn_free(self.0) }
    }
}

pub(crate) struct Down(Handle);

impl Down {
    /// The filters that each group of the next chunk matched.
    pub(crate) fn next_filters(&self) -> Vec<Vec<u32>> {
        // SAFETY: handles of this library and writable places; the array lives as long as the chunk.
        unsafe {
            let chunk =
                made(|out, error| iscp_downstream_next_chunk_wait(self.0, LIMIT, out, error)).unwrap();
            let groups = (0..iscp_chunk_group_count(chunk)).map(|group| {
                let (mut filters, mut count) = (std::ptr::null(), 0);
                assert_eq!(iscp_chunk_group_filters(chunk, group, &raw mut filters, &raw mut count), 0);
                (0..count).map(|i| *filters.add(i)).collect()
            });
            let groups = groups.collect();
            iscp_chunk_free(chunk);
            groups
        }
    }

    /// Number of the next chunk, or why there is none any more.
    pub(crate) fn next_number(&self) -> Result<u32, Failure> {
        // SAFETY: handles of this library.
        unsafe {
            let chunk = made(|out, error| iscp_downstream_next_chunk_wait(self.0, LIMIT, out, error))?;
            let number = iscp_chunk_sequence_number(chunk);
            iscp_chunk_free(chunk);
            Ok(number)
        }
    }

    pub(crate) fn stat(&self, stat: i32) -> u64 {
        let mut value = 0;
        // SAFETY: a downstream of this library and a writable place.
        assert_eq!(unsafe { iscp_downstream_stat(self.0, stat, &raw mut value) }, 0);
        value
    }

    /// Kind, source, session, QoS and number of filters of the next metadata.
    pub(crate) fn next_metadata(&self) -> (String, String, String, i32, usize) {
        // SAFETY: handles of this library.
        unsafe {
            let metadata =
                made(|out, error| iscp_downstream_next_metadata_wait(self.0, LIMIT, out, error)).unwrap();
            let read = (
                text(iscp_metadata_kind_name(iscp_metadata_kind(metadata))),
                text(iscp_metadata_source_node_id(metadata)),
                text(iscp_metadata_session_id(metadata)),
                iscp_metadata_qos(metadata),
                iscp_metadata_filter_count(metadata),
            );
            iscp_metadata_free(metadata);
            read
        }
    }
}

impl Drop for Down {
    fn drop(&mut self) {
        // SAFETY: a downstream of this library, freed once.
        unsafe { iscp_downstream_free(self.0) }
    }
}

//! The hot path as a C program calls it.

use std::ffi::{CString, c_char, c_void};
use std::hint::black_box;
use std::ptr;
use std::time::Instant;

use crate::row;

unsafe extern "C" {
    fn iscp_version_number() -> u32;
    fn iscp_conn_options_new() -> *mut c_void;
    fn iscp_conn_options_set(
        options: *mut c_void,
        key: *const c_char,
        value: *const c_char,
        error: *mut c_void,
    ) -> i32;
    fn iscp_connect_wait(
        options: *const c_void,
        timeout_ms: i32,
        conn: *mut *mut c_void,
        error: *mut c_void,
    ) -> i32;
    fn iscp_upstream_options_new() -> *mut c_void;
    fn iscp_upstream_options_set(
        options: *mut c_void,
        key: *const c_char,
        value: *const c_char,
        error: *mut c_void,
    ) -> i32;
    fn iscp_upstream_open_wait(
        conn: *mut c_void,
        options: *const c_void,
        timeout_ms: i32,
        upstream: *mut *mut c_void,
        error: *mut c_void,
    ) -> i32;
    fn iscp_upstream_data_id(
        upstream: *mut c_void,
        name: *const c_char,
        kind: *const c_char,
        id: *mut u32,
        error: *mut c_void,
    ) -> i32;
    fn iscp_upstream_write(
        upstream: *mut c_void,
        id: u32,
        elapsed: i64,
        payload: *const u8,
        len: usize,
    ) -> i32;
    fn iscp_upstream_close_wait(
        upstream: *mut c_void,
        session: bool,
        timeout_ms: i32,
        error: *mut c_void,
    ) -> i32;
}

fn text(text: &str) -> CString {
    CString::new(text).expect("no NUL")
}

/// Nanoseconds of a batch of calls at the median.
fn median(batches: usize, calls: usize, mut call: impl FnMut(usize)) -> f64 {
    let mut times: Vec<f64> = (0..batches)
        .map(|batch| {
            let start = Instant::now();
            (0..calls).for_each(|at| call(batch * calls + at));
            start.elapsed().as_secs_f64() * 1e9 / calls as f64
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[batches / 2]
}

/// What `iscp_upstream_write` costs above a call that does nothing.
pub(crate) fn write_cost(url: &str) {
    // SAFETY: the functions are called as include/iscp/iscp.h says, with live handles and strings.
    unsafe {
        let options = iscp_conn_options_new();
        assert_eq!(
            iscp_conn_options_set(options, text("url").as_ptr(), text(url).as_ptr(), ptr::null_mut()),
            0
        );
        let mut conn = ptr::null_mut();
        assert_eq!(iscp_connect_wait(options, -1, &raw mut conn, ptr::null_mut()), 0);
        let options = iscp_upstream_options_new();
        for (key, value) in [("flush_policy", "size"), ("flush_size", "200000"), ("buffer_limit", "67108864")]
        {
            let (key, value) = (text(key), text(value));
            assert_eq!(iscp_upstream_options_set(options, key.as_ptr(), value.as_ptr(), ptr::null_mut()), 0);
        }
        let mut upstream = ptr::null_mut();
        assert_eq!(iscp_upstream_open_wait(conn, options, -1, &raw mut upstream, ptr::null_mut()), 0);
        let mut id = 0;
        let (name, kind) = (text("bench"), text("bytes"));
        let status =
            iscp_upstream_data_id(upstream, name.as_ptr(), kind.as_ptr(), &raw mut id, ptr::null_mut());
        assert_eq!(status, 0);
        let empty = median(2000, 1000, |_| {
            black_box(iscp_version_number());
        });
        let payload = [7; 32];
        let write = median(2000, 1000, |at| {
            assert_eq!(iscp_upstream_write(upstream, id, at as i64, payload.as_ptr(), payload.len()), 0);
        });
        row("iscp_upstream_write above an empty call, median", &format!("{:.1} ns", write - empty), "");
        assert_eq!(iscp_upstream_close_wait(upstream, false, -1, ptr::null_mut()), 0);
    }
}

//! The library as a whole: versions, features, shutting down.

use std::ffi::{CStr, c_char};
use std::time::Instant;

use super::boundary::ffi;
use super::convert;
use super::error::iscp_error_t;
use super::status::iscp_status_t;
use super::{fork, log};
use crate::{client, features};

/// Major version of the header.
pub const ISCP_VERSION_MAJOR: u32 = 0;
/// Minor version of the header.
pub const ISCP_VERSION_MINOR: u32 = 1;
/// Patch version of the header.
pub const ISCP_VERSION_PATCH: u32 = 0;

const VERSION: &CStr = match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
    Ok(version) => version,
    Err(_) => c"",
};

/// Version of the library that is running.
///
/// @return the version, such as "0.1.0"; never NULL
///
/// Thread: any. Blocking: no. Lifetime: static text. Since: 0.1.0.
#[unsafe(no_mangle)]
pub extern "C" fn iscp_version() -> *const c_char {
    VERSION.as_ptr()
}

/// Version of the library that is running, as a number to compare with `ISCP_VERSION_NUMBER`.
///
/// @return major * 10000 + minor * 100 + patch
///
/// Thread: any. Blocking: no. Lifetime: plain value. Since: 0.1.0.
#[unsafe(no_mangle)]
pub extern "C" fn iscp_version_number() -> u32 {
    ISCP_VERSION_MAJOR * 10_000 + ISCP_VERSION_MINOR * 100 + ISCP_VERSION_PATCH
}

/// Highest version of the iSCP protocol that the library speaks.
///
/// @return the version, "3.0.0"; never NULL
///
/// Thread: any. Blocking: no. Lifetime: static text. Since: 0.1.0.
#[unsafe(no_mangle)]
pub extern "C" fn iscp_protocol_version() -> *const c_char {
    PROTOCOL_VERSION.as_ptr()
}

const PROTOCOL_VERSION: &CStr = c"3.0.0";

/// Whether the library was built with a feature.
///
/// @param name a feature: a transport ("websocket", "quic", "webtransport"), an encoding ("protobuf",
///             "json"), or "tls", "compression", "oauth2", "proxy", "multi"
/// @return true if it was; false for everything else, unknown names and NULL included
///
/// Thread: any. Blocking: no. Lifetime: borrows `name` for the call. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_has_feature(name: *const c_char) -> bool {
    ffi!(false; {
        // SAFETY: the caller passes a string.
        let name = unsafe { convert::text(name, "name") }.map_err(|error| error.status())?;
        Ok(features::has(name))
    })
}

/// Closes every connection, waits until they and their callbacks have ended, and stops the library's
/// threads. Connecting again starts them again.
///
/// Not needed before the process exits: the library does nothing at exit, and its threads end with
/// the process. Points that were not flushed are then lost.
///
/// @param timeout_ms milliseconds to wait; -1 for ever
/// @param out_error  receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_TIMEOUT` when something has not ended, in which case the call may be
///         repeated; `ISCP_ERR_IN_CALLBACK` on a thread of the library; `ISCP_ERR_INVALID_ARGUMENT`
///
/// Thread: any but the library's own. Blocking: yes. Lifetime: handles stay valid and must still be
/// freed; their connections are closed. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_shutdown(timeout_ms: i32, out_error: *mut *mut iscp_error_t) -> iscp_status_t {
    ffi!(out_error => {
        let timeout = convert::timeout(timeout_ms)?;
        fork::refuse_in_child("shutdown")?;
        let deadline = timeout.map(|timeout| Instant::now() + timeout);
        client::shutdown(timeout)?;
        log::stop(deadline)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::ConnectOptions;
    use crate::error::Status;
    use crate::ffi::conn_option_table::OPTIONS;
    use crate::ffi::options;

    /// An option for each feature that a build can lack.
    #[test]
    fn what_is_not_built_in_is_unsupported_and_what_is_works() {
        for (feature, key, value) in [
            ("tls", "tls_server_name", "host"),
            ("json", "encoding", "json"),
            ("compression", "compression", "per-message"),
            ("oauth2", "oauth2_token_url", "https://host/token"),
            ("proxy", "proxy", "http://host:1"),
            ("multi", "multi_scheduler", "ecf"),
            ("multi", "path", "interface=eth0"),
            ("quic", "quic_congestion", "bbr"),
            ("quic", "url", "quic://host"),
            ("webtransport", "url", "webtransport://host"),
        ] {
            let name = std::ffi::CString::new(feature).unwrap();
            // SAFETY: a string.
            let built = unsafe { iscp_has_feature(name.as_ptr()) };
            let set = options::set(OPTIONS, &mut ConnectOptions::default(), key, value);
            assert_eq!(set.is_ok(), built, "{feature}: {set:?}");
            if let Err(error) = set {
                assert_eq!(error.status(), Status::Unsupported, "{error}");
                assert!(error.message().contains(feature), "{error}");
            }
        }
        // SAFETY: a string, and NULL, which is taken.
        assert!(!unsafe {
            iscp_has_feature(c"no-such-feature".as_ptr()) || iscp_has_feature(std::ptr::null())
        });
    }

    #[test]
    fn versions_are_those_of_the_manifest() {
        let version = format!("{ISCP_VERSION_MAJOR}.{ISCP_VERSION_MINOR}.{ISCP_VERSION_PATCH}");
        assert_eq!(version, env!("CARGO_PKG_VERSION"));
        assert_eq!(PROTOCOL_VERSION.to_str().unwrap(), crate::core::PROTOCOL_VERSION);
    }
}

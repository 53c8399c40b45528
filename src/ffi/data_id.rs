//! Data ids as text.

use std::ffi::c_char;

use super::boundary::ffi;
use super::convert;
use super::error::iscp_error_t;
use super::options;
use super::status::iscp_status_t;

/// Takes a data id apart that is written as one text, `type:name`.
///
/// Neither part may contain `:`, `#` or `+`, and the name must not be empty. Nothing is copied: the parts are
/// places in the text. The type is not followed by a NUL; the name is, since it ends the text.
///
/// @param text         the data id, such as "string:room/temperature"
/// @param out_type     receives where the type begins, or NULL; NULL on failure
/// @param out_type_len receives the length of the type in bytes, or NULL; 0 on failure
/// @param out_name     receives where the name begins, or NULL; NULL on failure
/// @param out_name_len receives the length of the name in bytes, or NULL; 0 on failure
/// @param out_error    receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_ARGUMENT` for a text of another form; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_INVALID_UTF8`
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: the parts are valid as long as the text.
/// Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_data_id_parse(
    text: *const c_char,
    out_type: *mut *const c_char,
    out_type_len: *mut usize,
    out_name: *mut *const c_char,
    out_name_len: *mut usize,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    ffi!(out_error => {
        // SAFETY: the caller passes places that are writable or NULL, and a string or NULL.
        unsafe {
            for out in [out_type, out_name] {
                convert::set(out, std::ptr::null());
            }
            for out in [out_type_len, out_name_len] {
                convert::set(out, 0);
            }
            let text = convert::text(text, "text")?;
            let (kind, name) = options::data_id_parts(text).map_err(|refusal| refusal.into_argument("text"))?;
            convert::set(out_type, kind.as_ptr().cast());
            convert::set(out_type_len, kind.len());
            convert::set(out_name, name.as_ptr().cast());
            convert::set(out_name_len, name.len());
        }
        Ok(())
    })
}

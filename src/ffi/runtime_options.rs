//! The library's threads, as the application wants them.

use std::ffi::{c_char, c_void};
use std::sync::Arc;

use super::boundary::ffi;
use super::convert::{self, Callback, iscp_release_cb};
use super::error::iscp_error_t;
use super::fork;
use super::handle::{self, handle};
use super::options::{Collected, Refusal, Settings, Spec, number, set_by_key, set_text, set_typed};
use super::status::iscp_status_t;
use crate::client::{self, RuntimeOptions, ThreadHooks, ThreadKind};

/// Settings of the library's threads, collected before `iscp_runtime_configure`, which copies them.
#[allow(non_camel_case_types)]
pub struct iscp_runtime_options_t {
    _opaque: [u8; 0],
}

handle!(iscp_runtime_options_t, b"iscp.rop", "runtime options object", Collected<RuntimeOptions>);

impl Settings for RuntimeOptions {
    type Held = ();

    fn held(&self) {}
}

/// What a thread of the library does: one of the `ISCP_THREAD_…` constants. Later versions may have more.
#[allow(non_camel_case_types)]
pub type iscp_thread_kind_t = i32;

/// Drives every connection; there is one. Its name ends with `-runtime`.
pub const ISCP_THREAD_RUNTIME: iscp_thread_kind_t = 1;
/// Runs the callbacks of a connection, from the first to the last. Its name ends with `-dispatch`.
pub const ISCP_THREAD_DISPATCHER: iscp_thread_kind_t = 2;
/// Asks the system for the addresses of a host name, and ends some seconds later. Its name ends with
/// `-resolve`.
pub const ISCP_THREAD_RESOLVER: iscp_thread_kind_t = 3;
/// Reads points back from a spool. Its name ends with `-spool`.
pub const ISCP_THREAD_SPOOL: iscp_thread_kind_t = 4;
/// Runs the log callback. Its name ends with `-log`.
pub const ISCP_THREAD_LOG: iscp_thread_kind_t = 5;

/// Called on a thread of the library when it starts, or ends.
///
/// `kind` is one of the `ISCP_THREAD_…` constants. What it does to the calling thread, such as setting its
/// priority or attaching a virtual machine, holds for everything that runs on it. Several threads may call it
/// at once.
#[allow(non_camel_case_types)]
pub type iscp_thread_cb = Option<unsafe extern "C" fn(kind: iscp_thread_kind_t, user_data: *mut c_void)>;

type ThreadFunction = unsafe extern "C" fn(iscp_thread_kind_t, *mut c_void);

struct Hooks(Arc<Callback<[Option<ThreadFunction>; 2]>>);

impl Hooks {
    fn call(&self, which: usize, kind: ThreadKind) {
        let kind = match kind {
            ThreadKind::Runtime => ISCP_THREAD_RUNTIME,
            ThreadKind::Dispatcher => ISCP_THREAD_DISPATCHER,
            ThreadKind::Resolver => ISCP_THREAD_RESOLVER,
            ThreadKind::Spool => ISCP_THREAD_SPOOL,
            ThreadKind::Log => ISCP_THREAD_LOG,
        };
        if let Some(function) = self.0.function[which] {
            // SAFETY: the application promised a function of this type.
            unsafe { function(kind, self.0.user_data.0) };
        }
    }
}

impl ThreadHooks for Hooks {
    fn started(&self, kind: ThreadKind) {
        self.call(0, kind);
    }

    fn stopping(&self, kind: ThreadKind) {
        self.call(1, kind);
    }
}

/// Every option that has a value a text can hold.
pub(super) const OPTIONS: &[Spec<RuntimeOptions>] = &[
    Spec {
        key: "thread_name",
        range: "1 to 6 letters, digits, '-', '_' or '.'",
        set: |options, value| {
            let fits = (1..=6).contains(&value.len());
            if !fits || !value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) {
                return Err(format!("{value:?} is no such name").into());
            }
            value.clone_into(&mut options.thread_name);
            Ok(())
        },
    },
    Spec { key: "stack_size", range: "0 or 65536 to 1073741824", set: set_stack_size },
];

fn set_stack_size(options: &mut RuntimeOptions, value: &str) -> Result<(), Refusal> {
    let size = number(value, 0, 1 << 30)?;
    if (1..1 << 16).contains(&size) {
        return Err(format!("{size} bytes are too few").into());
    }
    options.stack_size = size;
    Ok(())
}

/// Makes runtime options with every option at its default.
///
/// There is no option for the number of threads: one drives every connection, however many there are, and
/// callbacks run on one thread for each connection that has any.
///
/// @return new options, to be freed with `iscp_runtime_options_free`; never NULL
///
/// Thread: any. Blocking: no. Lifetime: owned by the caller. Since: 0.1.0.
#[unsafe(no_mangle)]
pub extern "C" fn iscp_runtime_options_new() -> *mut iscp_runtime_options_t {
    ffi!(std::ptr::null_mut(); {
        fork::watch();
        Ok(handle::new(Collected::new(RuntimeOptions::default())))
    })
}

/// Frees options. What was configured with them is not affected. Nothing happens for NULL.
///
/// @param options the options, or NULL
///
/// Thread: any, one at a time. Blocking: no. Lifetime: the options end here. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_runtime_options_free(options: *mut iscp_runtime_options_t) {
    // SAFETY: the caller passes options of this library.
    ffi!((); { unsafe { handle::free(options) }; Ok(()) });
}

/// Sets an option by its name, as the typed setters do: for configuration files and bindings.
///
/// The name is that of the typed setter after `set_`; numbers are decimal.
///
/// @param options   the options
/// @param key       name of the option, such as "thread_name"
/// @param value     its value as text
/// @param out_error receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_UNKNOWN_OPTION` when there is no such option; `ISCP_ERR_INVALID_OPTION`
///         for a value it does not take; `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`,
///         `ISCP_ERR_INVALID_UTF8`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: borrows the texts for the call. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_runtime_options_set(
    options: *mut iscp_runtime_options_t,
    key: *const c_char,
    value: *const c_char,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library and strings.
    ffi!(out_error => { unsafe { set_by_key(options, OPTIONS, key, value) } })
}

/// Sets what the names of the library's threads begin with, as debuggers and `top` show them. Default: iscp.
///
/// What follows is `-runtime`, `-dispatch`, `-resolve`, `-spool` or `-log`.
///
/// @param options     the options
/// @param thread_name 1 to 6 letters, digits, '-', '_' or '.'
/// @param out_error   receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for something else; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_INVALID_UTF8`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: borrows the text for the call. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_runtime_options_set_thread_name(
    options: *mut iscp_runtime_options_t,
    thread_name: *const c_char,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library and a string.
    ffi!(out_error => { unsafe { set_text(options, OPTIONS, "thread_name", thread_name) } })
}

/// Sets how large the stacks of the library's threads are, those of callbacks included. Default: 0, which
/// means two mebibytes.
///
/// @param options    the options
/// @param stack_size bytes, 65536 to 1073741824, or 0
/// @param out_error  receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_runtime_options_set_stack_size(
    options: *mut iscp_runtime_options_t,
    stack_size: usize,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library.
    ffi!(out_error => { unsafe { set_typed(options, OPTIONS, "stack_size", stack_size) } })
}

/// Sets callbacks that every thread of the library calls when it starts and when it ends.
///
/// There they can be given a priority or processors, or be attached to a virtual machine and detached from it.
/// Blocking functions answer `ISCP_ERR_IN_CALLBACK` there.
///
/// @param options   the options
/// @param on_start  called first on each thread, or NULL
/// @param on_stop   called last on each thread, or NULL
/// @param user_data handed to the callbacks
/// @param release   called with `user_data` when neither the options nor the library need it, or NULL: the
///                  library does until other options are configured and its threads have ended
/// @param out_error receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_NULL_ARGUMENT` also when both callbacks are NULL; `ISCP_ERR_BAD_HANDLE`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: `user_data` is needed until `release` is
/// called, also on failure. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_runtime_options_set_thread_callbacks(
    options: *mut iscp_runtime_options_t,
    on_start: iscp_thread_cb,
    on_stop: iscp_thread_cb,
    user_data: *mut c_void,
    release: iscp_release_cb,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    ffi!(out_error => {
        let callback = Callback::new([on_start, on_stop], user_data, release);
        if on_start.is_none() && on_stop.is_none() {
            return Err(convert::null("on_start and on_stop"));
        }
        // SAFETY: the caller passes options of this library.
        let options = unsafe { convert::object(options, "options")? };
        // The former ones are released once the options are unlocked: that may use them.
        let former = options.lock().hooks.replace(Arc::new(Hooks(callback)));
        drop(former);
        Ok(())
    })
}

/// Sets how the library starts its threads. It is possible while none of them runs: before the first
/// connection and the first log callback, and after `iscp_shutdown`.
///
/// @param options   the settings, or NULL for the defaults
/// @param out_error receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_STATE` when a thread of the library runs; `ISCP_ERR_BAD_HANDLE`,
///         `ISCP_ERR_FORKED`
///
/// Thread: any. Blocking: no. Lifetime: `options` may be freed at once. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_runtime_configure(
    options: *const iscp_runtime_options_t,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    ffi!(out_error => {
        fork::refuse_in_child("runtime")?;
        let options = if options.is_null() {
            RuntimeOptions::default()
        } else {
            // SAFETY: the caller passes options of this library.
            unsafe { convert::object(options, "options")? }.lock().clone()
        };
        client::configure(options)
    })
}

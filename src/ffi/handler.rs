//! Long-lived callbacks among the options of a connection or stream.

use std::ffi::c_void;
use std::sync::Arc;

use super::convert::{self, Callback, iscp_release_cb};
use super::handle::Handle;
use super::options::Collected;
use crate::error::Result;

/// Body of a setter of a callback: `store` puts it into the options and gives back what it replaces.
///
/// The pointer is released when the setter fails, and with the last of the options and streams that have the
/// callback otherwise.
///
/// # Safety
/// `options` is a handle of this library or NULL; `release` takes `user_data`.
pub(super) unsafe fn set_handler<T, D, F, R>(
    options: *const T,
    callback: Option<F>,
    user_data: *mut c_void,
    release: iscp_release_cb,
    store: impl FnOnce(&mut D, Arc<Callback<F>>) -> R,
) -> Result<()>
where
    T: Handle<Object = Collected<D>>,
{
    let Some(function) = callback else {
        drop(Callback::new((), user_data, release));
        return Err(convert::null("callback"));
    };
    let callback = Callback::new(function, user_data, release);
    // SAFETY: the caller's promise.
    let options = unsafe { convert::object(options, "options")? };
    // The former one is released once the options are unlocked: it may use them.
    let former = store(&mut options.lock(), callback);
    drop(former);
    Ok(())
}

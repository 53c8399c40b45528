//! Log messages on their way to the application.
//!
//! Events of the library go through a bounded queue to a thread of their own, so that a slow log
//! callback delays nothing and may call anything. What does not fit is counted and reported.

use std::ffi::{c_char, c_void};
use std::fmt::Write as _;
use std::io::Write as _;
use std::str::FromStr;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicI32, AtomicU64};
use std::sync::{Condvar, Mutex, Once, PoisonError};
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use super::boundary::ffi;
use super::convert::{Callback, UserData, c_text, iscp_release_cb};
use super::error::iscp_error_t;
use super::fork;
use super::status::iscp_status_t;
use crate::client::{self, Ending, ThreadKind, wait_until};
use crate::error::{Error, Result, Status};

/// Importance of a log message: one of the `ISCP_LOG_…` constants.
#[allow(non_camel_case_types)]
pub type iscp_log_level_t = i32;

/// Nothing is logged.
pub const ISCP_LOG_OFF: iscp_log_level_t = 0;
/// Something failed and the application may not learn of it otherwise.
pub const ISCP_LOG_ERROR: iscp_log_level_t = 1;
/// Something is not as it should be.
pub const ISCP_LOG_WARN: iscp_log_level_t = 2;
/// Connections and streams that come and go.
pub const ISCP_LOG_INFO: iscp_log_level_t = 3;
/// What helps to find out why something does not work.
pub const ISCP_LOG_DEBUG: iscp_log_level_t = 4;
/// Everything.
pub const ISCP_LOG_TRACE: iscp_log_level_t = 5;

/// Receives log messages.
///
/// Called on the library's log thread, one message at a time. Any function may be called inside,
/// blocking twins excepted.
///
/// `level` is the importance, `target` the part of the library, `message` the text; both texts are
/// valid until the callback returns. `user_data` is as given to `iscp_log_set`.
#[allow(non_camel_case_types)]
pub type iscp_log_cb = Option<
    unsafe extern "C" fn(
        level: iscp_log_level_t,
        target: *const c_char,
        message: *const c_char,
        user_data: *mut c_void,
    ),
>;

type LogFunction = unsafe extern "C" fn(iscp_log_level_t, *const c_char, *const c_char, *mut c_void);

/// Messages that may wait for the log callback.
const QUEUE: usize = 1024;

struct Message {
    level: iscp_log_level_t,
    target: &'static str,
    text: String,
}

struct Sink {
    queue: Sender<Message>,
    thread: Ending,
}

static SINK: Mutex<Option<Sink>> = Mutex::new(None);
static LEVEL: AtomicI32 = AtomicI32::new(ISCP_LOG_OFF);
static LOST: AtomicU64 = AtomicU64::new(0);

/// Sends log messages to a callback, or stops sending them.
///
/// Without a callback the environment variable `ISCP_LOG` (`error`, `warn`, `info`, `debug` or
/// `trace`) sends messages to standard error; it is read when the first connection is made.
///
/// @param callback  receives the messages; NULL stops logging
/// @param level     least important level that is logged, `ISCP_LOG_OFF` … `ISCP_LOG_TRACE`
/// @param user_data handed to the callback
/// @param release   called with `user_data` after the last message, or NULL
/// @param out_error receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_ARGUMENT` for an unknown level; `ISCP_ERR_IN_CALLBACK` on a
///         thread of the library; `ISCP_ERR_RESOURCE` when there is no thread for it
///
/// Thread: any but the library's own. Blocking: until the former callback has returned. Lifetime:
/// `user_data` is needed until `release` is called, also on failure. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_log_set(
    callback: iscp_log_cb,
    level: iscp_log_level_t,
    user_data: *mut c_void,
    release: iscp_release_cb,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    ffi!(out_error => {
        let callback = Callback::new(callback, user_data, release);
        if !(ISCP_LOG_OFF..=ISCP_LOG_TRACE).contains(&level) {
            return Err(Error::new(Status::InvalidArgument, format!("level: {level} instead of 0 to 5")));
        }
        fork::refuse_in_child("log")?;
        if client::on_library_thread() {
            return Err(Error::new(Status::InCallback, "iscp_log_set was called inside a callback"));
        }
        match callback.function {
            Some(function) => start(level, move |message| call(function, callback.user_data, &message)),
            None => stop(None),
        }
    })
}

fn call(function: LogFunction, user_data: UserData, message: &Message) {
    let target = c_text(message.target);
    let text = c_text(&message.text);
    // SAFETY: the application promised a function of this type.
    unsafe { function(message.level, target.as_ptr(), text.as_ptr(), user_data.0) };
}

/// Follows `ISCP_LOG`, once, unless there is a callback.
pub(super) fn follow_environment() {
    static READ: Once = Once::new();
    // What starts logging waits for the thread that runs the log callback, and this may be that thread.
    if client::on_library_thread() {
        return;
    }
    READ.call_once(|| {
        let Ok(value) = std::env::var("ISCP_LOG") else {
            return;
        };
        if SINK.lock().unwrap_or_else(PoisonError::into_inner).is_some() {
            return;
        }
        let level = Level::from_str(&value).map_or(ISCP_LOG_WARN, |level| number(&level));
        let started = start(level, |message| {
            let name = ["OFF", "ERROR", "WARN", "INFO", "DEBUG", "TRACE"][message.level as usize];
            let _ = writeln!(std::io::stderr(), "{name:<5} {}: {}", message.target, message.text);
        });
        if let Err(error) = started {
            let _ = writeln!(std::io::stderr(), "ISCP_LOG: {error}");
        }
    });
}

/// Held while logging is started or stopped, which takes several steps.
struct Control(());

static CONTROLLED: Mutex<bool> = Mutex::new(false);
static RELEASED: Condvar = Condvar::new();
/// Log threads that were told to end; changed by who has control.
static ENDING: Mutex<Vec<Ending>> = Mutex::new(Vec::new());

impl Control {
    fn take(deadline: Option<Instant>) -> Option<Self> {
        let controlled = CONTROLLED.lock().unwrap_or_else(PoisonError::into_inner);
        let mut controlled = wait_until(&RELEASED, controlled, deadline, |controlled| *controlled);
        (!std::mem::replace(&mut *controlled, true)).then(|| Self(()))
    }

    /// Ends the log thread after everything queued was written. Says whether it, and those before it, have ended.
    fn stop_thread(&self, deadline: Option<Instant>) -> bool {
        LEVEL.store(ISCP_LOG_OFF, Relaxed);
        let mut ending = ENDING.lock().unwrap_or_else(PoisonError::into_inner);
        let sink = SINK.lock().unwrap_or_else(PoisonError::into_inner).take();
        ending.extend(sink.map(|Sink { queue, thread }| {
            drop(queue);
            thread
        }));
        let ended = ending.iter().all(|thread| thread.end().wait(deadline));
        *ending = std::mem::take(&mut *ending).into_iter().filter_map(Ending::join).collect();
        ended
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        *CONTROLLED.lock().unwrap_or_else(PoisonError::into_inner) = false;
        RELEASED.notify_one();
    }
}

fn start(level: iscp_log_level_t, write: impl Fn(Message) + Send + 'static) -> Result<()> {
    static SUBSCRIBE: Once = Once::new();
    let Some(control) = Control::take(None) else { return Err(not_ended()) };
    control.stop_thread(None);
    let (queue, messages) = bounded(QUEUE);
    let thread = client::spawn_ending(ThreadKind::Log, move || run(&messages, &write))
        .map_err(|error| Error::new(Status::Resource, format!("log: no thread: {error}")))?;
    *SINK.lock().unwrap_or_else(PoisonError::into_inner) = Some(Sink { queue, thread });
    LEVEL.store(level, Relaxed);
    // A Rust program that has its own subscriber keeps it; it sees the same events.
    SUBSCRIBE.call_once(|| drop(tracing::subscriber::set_global_default(Forward)));
    tracing::callsite::rebuild_interest_cache();
    Ok(())
}

/// Stops logging after everything queued was written.
pub(super) fn stop(deadline: Option<Instant>) -> Result<()> {
    match Control::take(deadline) {
        Some(control) if control.stop_thread(deadline) => Ok(()),
        _ => Err(not_ended()),
    }
}

fn not_ended() -> Error {
    Error::new(Status::Timeout, "log: the log callback has not returned")
}

fn run(messages: &Receiver<Message>, write: &impl Fn(Message)) {
    for message in messages {
        write(message);
        let lost = LOST.swap(0, Relaxed);
        if lost > 0 {
            let text = format!("{lost} log messages were lost: the log callback is too slow");
            write(Message { level: ISCP_LOG_WARN, target: "iscp::log", text });
        }
    }
}

fn number(level: &Level) -> iscp_log_level_t {
    match *level {
        Level::ERROR => ISCP_LOG_ERROR,
        Level::WARN => ISCP_LOG_WARN,
        Level::INFO => ISCP_LOG_INFO,
        Level::DEBUG => ISCP_LOG_DEBUG,
        Level::TRACE => ISCP_LOG_TRACE,
    }
}

/// Forwards the library's own events.
struct Forward;

impl Subscriber for Forward {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event()
            && metadata.target().starts_with("iscp")
            && number(metadata.level()) <= LEVEL.load(Relaxed)
    }

    fn event(&self, event: &Event<'_>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        let metadata = event.metadata();
        let message = Message { level: number(metadata.level()), target: metadata.target(), text: text.0 };
        let sink = SINK.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sink) = &*sink
            && let Err(TrySendError::Full(_)) = sink.queue.try_send(message)
        {
            LOST.fetch_add(1, Relaxed);
        }
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let _ = if field.name() == "message" {
            write!(self.0, "{value:?}")
        } else {
            write!(self.0, " {}={value:?}", field.name())
        };
    }
}

//! What other nodes send to a connection, until the application takes it: calls, or replies.

use std::collections::VecDeque;
use std::os::fd::RawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::options::Handler;
use super::pull::{self, Descriptor};
use crate::error::{Error, Result, Status};
use crate::message::DownstreamCall;

/// Bytes that a call occupies beside its texts and payload.
pub(super) const CALL_OVERHEAD: usize = 256;

/// A bounded queue of calls or of replies. When it is full the newest is refused: the older ones have
/// waited longer, and their senders too.
pub(super) struct Inbox {
    /// For messages: "calls" or "replies".
    what: &'static str,
    state: Mutex<State>,
    arrived: Condvar,
}

struct State {
    calls: VecDeque<DownstreamCall>,
    bytes: usize,
    max_calls: usize,
    max_bytes: usize,
    end: Option<Option<Error>>,
    handler: Option<Arc<Handler<DownstreamCall>>>,
    /// A job that runs the handler is on its way.
    dispatching: bool,
    /// Nobody can take anything any more.
    abandoned: bool,
    descriptor: Descriptor,
    counters: InboxCounters,
}

/// Numbers about the calls, or the replies, that a connection receives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InboxCounters {
    /// How many were received, those that were dropped included.
    pub received: u64,
    /// How many were dropped because too many waited for the application.
    pub dropped: u64,
    /// How many wait for the application.
    pub waiting: u64,
}

impl Inbox {
    pub(super) fn new(what: &'static str, max_calls: usize, max_bytes: usize) -> Self {
        Self {
            what,
            state: Mutex::new(State {
                calls: VecDeque::new(),
                bytes: 0,
                max_calls,
                max_bytes,
                end: None,
                handler: None,
                dispatching: false,
                abandoned: false,
                descriptor: Descriptor::default(),
                counters: InboxCounters::default(),
            }),
            arrived: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // The connection's side.

    /// Queues a call, or drops it when the queue is full. Says whether a dispatch job is needed.
    pub(super) fn push(&self, call: DownstreamCall) -> bool {
        let mut state = self.lock();
        state.counters.received += 1;
        let size = size(&call);
        let full = state.calls.len() >= state.max_calls
            || state.bytes + size > state.max_bytes && !state.calls.is_empty();
        if full || state.abandoned && state.handler.is_none() {
            state.counters.dropped += 1;
            let dropped = state.counters.dropped;
            let waiting = state.calls.len();
            drop(state);
            // A line for each power of two: an application that reads nothing goes on reading nothing.
            if dropped.is_power_of_two() {
                tracing::warn!(
                    "dropped {:?} of node {:?}: {waiting} {} wait for the application; dropped so far: {dropped}",
                    call.name,
                    call.source_node_id,
                    self.what,
                );
            }
            return false;
        }
        state.bytes += size;
        state.calls.push_back(call);
        self.announce(state)
    }

    fn announce(&self, mut state: MutexGuard<'_, State>) -> bool {
        let dispatch = !state.dispatching && state.handler.is_some() && !state.calls.is_empty();
        state.dispatching |= dispatch;
        state.signal();
        drop(state);
        self.arrived.notify_all();
        dispatch
    }

    /// Nothing arrives any more. What is queued stays readable.
    pub(super) fn end(&self, error: Option<Error>) {
        let mut state = self.lock();
        state.end.get_or_insert(error);
        state.signal();
        drop(state);
        self.arrived.notify_all();
    }

    pub(super) fn has_handler(&self) -> bool {
        self.lock().handler.is_some()
    }

    /// Gives up the handler, to be dropped where no lock is held.
    pub(super) fn take_handler(&self) -> impl Send + 'static {
        self.lock().handler.take()
    }

    // The application's side.

    /// Hands every call, queued ones included, to a handler from now on. Says whether a dispatch job is
    /// needed.
    pub(super) fn set_handler(&self, handler: Handler<DownstreamCall>) -> Result<bool> {
        let mut state = self.lock();
        if state.handler.is_some() {
            return Err(self.handler_exists());
        }
        if let Some(end) = &state.end {
            return Err(pull::ended(end.as_ref(), "connection"));
        }
        state.handler = Some(Arc::new(handler));
        Ok(self.announce(state))
    }

    fn handler_exists(&self) -> Error {
        Error::new(Status::InvalidState, format!("connection: {} already go to a handler", self.what))
    }

    /// The next one, waiting at most `timeout`; `None` waits until there is one or the connection ends.
    pub(super) fn next(&self, timeout: Option<Duration>) -> Result<DownstreamCall> {
        let nothing = format!("connection: no {} wait", self.what);
        pull::wait(&self.state, &self.arrived, timeout, &nothing, |state| {
            if state.handler.is_some() {
                return Err(self.handler_exists());
            }
            if let Some(call) = state.take() {
                return Ok(Some(call));
            }
            match &state.end {
                Some(end) => Err(pull::ended(end.as_ref(), "connection")),
                None if state.abandoned => Err(pull::ended(None, "connection")),
                None => Ok(None),
            }
        })
    }

    /// The last handle through which anything could be taken is gone: whoever waits is told.
    pub(super) fn abandon(&self) {
        let mut state = self.lock();
        state.abandoned = true;
        let unread = if state.handler.is_none() {
            state.bytes = 0;
            std::mem::take(&mut state.calls)
        } else {
            VecDeque::new()
        };
        state.signal();
        drop(state);
        drop(unread);
        self.arrived.notify_all();
    }

    /// Runs the handler on what is queued by now. Says whether more has come meanwhile: then another
    /// run is needed, behind the connection's other callbacks.
    pub(super) fn dispatch(&self) -> bool {
        let queued = self.lock().calls.len();
        for _ in 0..queued {
            let mut state = self.lock();
            let Some(handler) = state.handler.clone() else { break };
            let Some(call) = state.take() else { break };
            drop(state);
            if catch_unwind(AssertUnwindSafe(|| handler(call))).is_err() {
                tracing::error!("a handler of {} panicked", self.what);
            }
        }
        let mut state = self.lock();
        state.dispatching = state.handler.is_some() && !state.calls.is_empty();
        state.dispatching
    }

    /// A descriptor that is readable while there is something to take or the connection has ended.
    pub(super) fn pollable(&self) -> Result<RawFd> {
        let mut state = self.lock();
        let descriptor = state.descriptor.open("connection")?;
        state.signal();
        Ok(descriptor)
    }

    pub(super) fn counters(&self) -> InboxCounters {
        let state = self.lock();
        InboxCounters { waiting: state.calls.len() as u64, ..state.counters }
    }
}

impl State {
    fn take(&mut self) -> Option<DownstreamCall> {
        let call = self.calls.pop_front()?;
        self.bytes -= size(&call);
        self.signal();
        Some(call)
    }

    /// Makes the descriptor say what is true. What goes to a handler is not there to be taken.
    fn signal(&self) {
        self.descriptor
            .set(self.handler.is_none() && !self.calls.is_empty() || self.end.is_some() || self.abandoned);
    }
}

fn size(call: &DownstreamCall) -> usize {
    let texts = [&call.call_id, &call.request_call_id, &call.source_node_id, &call.name, &call.kind];
    CALL_OVERHEAD + call.payload.len() + texts.iter().map(|text| text.len()).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(name: &str, payload: usize) -> DownstreamCall {
        DownstreamCall {
            name: name.to_owned(),
            payload: vec![0; payload].into(),
            ..DownstreamCall::default()
        }
    }

    fn names(inbox: &Inbox) -> Vec<String> {
        std::iter::from_fn(|| inbox.next(Some(Duration::ZERO)).ok()).map(|call| call.name).collect()
    }

    #[test]
    fn a_full_inbox_refuses_the_newest_and_counts_it() {
        let by_number = Inbox::new("calls", 2, 1 << 20);
        let by_bytes = Inbox::new("calls", 100, 2 * (CALL_OVERHEAD + 100));
        for inbox in [by_number, by_bytes] {
            for name in ["a", "b", "c"] {
                assert!(!inbox.push(call(name, 80)));
            }
            assert_eq!(inbox.counters(), InboxCounters { received: 3, dropped: 1, waiting: 2 });
            assert_eq!(names(&inbox), ["a", "b"]);
            inbox.push(call("d", 80));
            assert_eq!(names(&inbox), ["d"]);
        }
    }

    #[test]
    fn one_call_larger_than_the_limit_is_taken() {
        let inbox = Inbox::new("calls", 10, 100);
        inbox.push(call("large", 10_000));
        inbox.push(call("next", 0));
        assert_eq!(names(&inbox), ["large"]);
    }

    #[test]
    fn what_is_queued_outlives_the_end() {
        let inbox = Inbox::new("replies", 10, 10_000);
        inbox.push(call("a", 0));
        inbox.end(None);
        assert_eq!(names(&inbox), ["a"]);
        assert_eq!(inbox.next(None).unwrap_err().status(), Status::Closed);
        assert!(inbox.set_handler(Box::new(drop)).is_err());
    }

    #[test]
    fn an_abandoned_inbox_keeps_nothing() {
        let inbox = Inbox::new("calls", 10, 10_000);
        inbox.push(call("a", 0));
        inbox.abandon();
        inbox.push(call("b", 0));
        assert_eq!(inbox.counters(), InboxCounters { received: 2, dropped: 1, waiting: 0 });
        assert_eq!(inbox.next(None).unwrap_err().status(), Status::Closed);
    }
}

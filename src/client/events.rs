//! What happens to a connection and its streams, on its way to the application.

use std::collections::VecDeque;
use std::os::fd::RawFd;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use uuid::Uuid;

use super::options::ConnectionHandler;
use super::pull::{self, Descriptor};
use crate::core::UpstreamEnd;
use crate::error::{Error, Result, Status};

/// What happened to a connection or to a stream of it.
#[derive(Clone, Debug)]
pub enum ConnectionEvent {
    /// The server accepted it for the first time.
    Connected,
    /// It was lost, and why; there will be attempts to make it anew.
    Disconnected(Error),
    /// There will be an attempt to make it anew.
    Reconnecting {
        /// Number of the attempt in this outage, from 1.
        attempt: u32,
        /// How long to wait before it.
        delay: Duration,
        /// Why the connection was lost, or the attempt before failed.
        error: Error,
    },
    /// The server accepted it again. Streams come back afterwards, each with its own event.
    Reconnected,
    /// It ended, and why unless the application closed it. Nothing follows.
    Closed(Option<Error>),
    /// An upstream came back.
    Upstream(StreamEvent),
    /// An upstream ended.
    UpstreamClosed {
        /// Id it had.
        stream_id: Uuid,
        /// How.
        end: UpstreamEnd,
    },
    /// A downstream came back.
    Downstream(StreamEvent),
    /// A downstream ended, and why unless the application closed it.
    DownstreamClosed {
        /// Id it had.
        stream_id: Uuid,
        /// Why.
        error: Option<Error>,
    },
    /// Events that came before the next one and were dropped, because the application did not take them.
    Dropped(u64),
}

/// What happened to a stream whose connection had been lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamEvent {
    /// It goes on.
    Resumed {
        /// Id it has.
        stream_id: Uuid,
    },
    /// The server had forgotten it and opened another in its place.
    Reopened {
        /// Id it had.
        former: Uuid,
        /// Id it has.
        stream_id: Uuid,
    },
}

/// An event, and when it happened.
#[derive(Clone, Debug)]
pub struct Dated {
    /// When.
    pub at: SystemTime,
    /// What.
    pub event: ConnectionEvent,
}

/// A bounded queue of events. When it is full the oldest goes: what holds now is worth more.
pub(super) struct EventQueue {
    state: Mutex<State>,
    arrived: Condvar,
}

struct State {
    events: VecDeque<Dated>,
    limit: usize,
    /// Dropped since one was taken, and the time of the last of them.
    missing: Option<(u64, SystemTime)>,
    dropped: u64,
    /// Set once the connection is gone.
    end: Option<Option<Error>>,
    handler: Option<ConnectionHandler>,
    /// Nobody can take anything any more.
    abandoned: bool,
    descriptor: Descriptor,
}

impl EventQueue {
    /// A queue of at most `limit` events, for a handler or to be read.
    pub(super) fn new(limit: usize, handler: Option<ConnectionHandler>) -> Self {
        Self {
            state: Mutex::new(State {
                events: VecDeque::new(),
                limit,
                missing: None,
                dropped: 0,
                end: None,
                handler,
                abandoned: false,
                descriptor: Descriptor::default(),
            }),
            arrived: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // The connection's side.

    /// Queues an event. Says whether a job is needed that [dispatches](Self::dispatch) one.
    pub(super) fn push(&self, event: ConnectionEvent) -> bool {
        let mut state = self.lock();
        if state.abandoned && state.handler.is_none() {
            return false;
        }
        let displaced = if state.events.len() >= state.limit { state.events.pop_front() } else { None };
        if let Some(Dated { at, .. }) = &displaced {
            state.dropped += 1;
            state.missing = Some((state.missing.map_or(0, |(count, _)| count) + 1, *at));
        }
        state.events.push_back(Dated { at: SystemTime::now(), event });
        state.signal();
        let dispatch = state.handler.is_some() && displaced.is_none();
        drop(state);
        self.arrived.notify_all();
        dispatch
    }

    /// Hands one event to the handler, after a word on those before it that were dropped.
    pub(super) fn dispatch(&self) {
        let mut state = self.lock();
        let Some(handler) = state.handler.clone() else { return };
        let missing = state.take_missing();
        let next = state.take();
        drop(state);
        for event in missing.into_iter().chain(next) {
            handler(event);
        }
    }

    pub(super) fn has_handler(&self) -> bool {
        self.lock().handler.is_some()
    }

    /// Gives up the handler, to be dropped where no lock is held.
    pub(super) fn take_handler(&self) -> impl Send + 'static {
        self.lock().handler.take()
    }

    /// The connection is gone. What is queued stays readable.
    pub(super) fn end(&self, error: Option<Error>) {
        let mut state = self.lock();
        state.end.get_or_insert(error);
        state.signal();
        drop(state);
        self.arrived.notify_all();
    }

    // The application's side.

    /// The next event, waiting at most `timeout`; `None` waits until there is one or the connection ends.
    pub(super) fn next(&self, timeout: Option<Duration>) -> Result<Dated> {
        pull::wait(&self.state, &self.arrived, timeout, "connection: no events wait", |state| {
            if state.handler.is_some() {
                let message = "connection: events already go to a callback";
                return Err(Error::new(Status::InvalidState, message));
            }
            if let Some(event) = state.take_missing().or_else(|| state.take()) {
                return Ok(Some(event));
            }
            match &state.end {
                Some(end) => Err(pull::ended(end.as_ref(), "connection")),
                None if state.abandoned => Err(pull::ended(None, "connection")),
                None => Ok(None),
            }
        })
    }

    /// Waits until the connection is gone, and says why it ended unless the application closed it.
    pub(super) fn wait_closed(&self, timeout: Option<Duration>) -> Result<()> {
        let open = "connection: it is still open";
        pull::wait(&self.state, &self.arrived, timeout, open, |state| match &state.end {
            Some(None) => Ok(Some(())),
            Some(Some(error)) => Err(error.clone()),
            None if state.abandoned => Err(pull::ended(None, "connection")),
            None => Ok(None),
        })
    }

    /// The last handle through which anything could be taken is gone: whoever waits is told.
    pub(super) fn abandon(&self) {
        let mut state = self.lock();
        state.abandoned = true;
        if state.handler.is_none() {
            state.events.clear();
        }
        state.signal();
        drop(state);
        self.arrived.notify_all();
    }

    /// A descriptor that is readable while there is something to take or the connection has ended.
    pub(super) fn pollable(&self) -> Result<RawFd> {
        let mut state = self.lock();
        let descriptor = state.descriptor.open("connection")?;
        state.signal();
        Ok(descriptor)
    }

    /// Events dropped so far because the application did not take them.
    pub(super) fn dropped(&self) -> u64 {
        self.lock().dropped
    }
}

impl State {
    fn take_missing(&mut self) -> Option<Dated> {
        let (count, at) = self.missing.take()?;
        Some(Dated { at, event: ConnectionEvent::Dropped(count) })
    }

    fn take(&mut self) -> Option<Dated> {
        let event = self.events.pop_front()?;
        self.signal();
        Some(event)
    }

    /// Makes the descriptor say what is true. What goes to a handler is not there to be taken.
    fn signal(&self) {
        self.descriptor
            .set(self.handler.is_none() && !self.events.is_empty() || self.end.is_some() || self.abandoned);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc;

    use super::*;

    fn reconnecting(attempt: u32) -> ConnectionEvent {
        let error = Error::new(Status::ConnectionLost, "gone");
        ConnectionEvent::Reconnecting { attempt, delay: Duration::ZERO, error }
    }

    /// Attempts as they are, dropped events as negative numbers.
    fn number(event: &ConnectionEvent) -> i64 {
        match event {
            ConnectionEvent::Reconnecting { attempt, .. } => i64::from(*attempt),
            ConnectionEvent::Dropped(count) => -i64::try_from(*count).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    fn drain(queue: &EventQueue) -> Vec<i64> {
        std::iter::from_fn(|| queue.next(Some(Duration::ZERO)).ok())
            .map(|Dated { event, .. }| number(&event))
            .collect()
    }

    #[test]
    fn a_full_queue_drops_the_oldest_and_says_so() {
        let queue = EventQueue::new(2, None);
        for attempt in 1..=5 {
            assert!(!queue.push(reconnecting(attempt)), "there is no handler");
        }
        assert_eq!(drain(&queue), [-3, 4, 5]);
        assert_eq!(queue.dropped(), 3);
        queue.push(reconnecting(6));
        assert_eq!(drain(&queue), [6]);
    }

    #[test]
    fn a_slow_handler_is_told_what_it_missed_and_gets_one_job_for_each_event() {
        let (sender, told) = mpsc::channel();
        let handler = Arc::new(move |event: Dated| sender.send(number(&event.event)).unwrap());
        let queue = EventQueue::new(2, Some(handler));
        let jobs = (1..=5).filter(|attempt| queue.push(reconnecting(*attempt))).count();
        assert_eq!(jobs, 2);
        assert_eq!(queue.next(None).unwrap_err().status(), Status::InvalidState);
        (0..jobs).for_each(|_| queue.dispatch());
        assert_eq!(told.try_iter().collect::<Vec<_>>(), [-3, 4, 5]);
    }

    #[test]
    fn what_is_queued_outlives_the_end() {
        let queue = EventQueue::new(2, None);
        assert_eq!(queue.wait_closed(Some(Duration::ZERO)).unwrap_err().status(), Status::WouldBlock);
        queue.push(reconnecting(1));
        queue.end(Some(Error::new(Status::ConnectFailed, "gone")));
        assert_eq!(drain(&queue), [1]);
        assert_eq!(queue.next(None).unwrap_err().status(), Status::ConnectFailed);
        assert_eq!(queue.wait_closed(None).unwrap_err().status(), Status::ConnectFailed);
    }

    #[test]
    fn whoever_waits_is_told_when_nobody_can_take_anything_any_more() {
        let queue = EventQueue::new(2, None);
        std::thread::scope(|scope| {
            let waiters =
                [scope.spawn(|| queue.next(None).map(drop)), scope.spawn(|| queue.wait_closed(None))];
            queue.abandon();
            for waiter in waiters {
                assert_eq!(waiter.join().unwrap().unwrap_err().status(), Status::Closed);
            }
        });
        queue.push(reconnecting(1));
        assert!(drain(&queue).is_empty());
    }
}

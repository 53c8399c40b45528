//! End-to-end calls: what the application sends to other nodes, and takes of theirs.

use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use super::completion::Completion;
use super::connection::{Command, Connection};
use super::inbox::{CALL_OVERHEAD, InboxCounters};
use super::options::Handler;
use crate::core::MAX_PAYLOAD;
use crate::error::{Error, Result, Status};
use crate::message::{DownstreamCall, UpstreamCall};

/// Calls of one connection that may be under way: waiting to be sent, for the server or for the reply.
const MAX_CALLS: usize = 65_536;

/// A call that can be sent once.
#[derive(Debug)]
pub struct OutgoingCall(UpstreamCall);

impl OutgoingCall {
    /// A call of a node, with a new id.
    pub fn new(
        destination_node_id: impl Into<String>,
        name: impl Into<String>,
        kind: impl Into<String>,
        payload: impl Into<Bytes>,
    ) -> Self {
        Self(UpstreamCall {
            call_id: Uuid::new_v4().to_string(),
            request_call_id: String::new(),
            destination_node_id: destination_node_id.into(),
            name: name.into(),
            kind: kind.into(),
            payload: payload.into(),
        })
    }

    /// A reply to a call.
    ///
    /// # Errors
    /// `InvalidArgument` for a call without an id or a source, to which nobody can reply.
    pub fn reply(
        call: &DownstreamCall,
        name: impl Into<String>,
        kind: impl Into<String>,
        payload: impl Into<Bytes>,
    ) -> Result<Self> {
        if call.call_id.is_empty() || call.source_node_id.is_empty() {
            let message = "call: it has no id or no source, so nobody can reply to it";
            return Err(Error::new(Status::InvalidArgument, message));
        }
        let mut reply = Self::new(call.source_node_id.as_str(), name, kind, payload);
        reply.0.request_call_id.clone_from(&call.call_id);
        Ok(reply)
    }

    /// Id of the call, which a reply to it names.
    pub fn id(&self) -> &str {
        &self.0.call_id
    }
}

/// What the calls under way occupy.
#[derive(Debug)]
pub(super) struct Outgoing {
    calls: AtomicUsize,
    /// Of those that wait to be sent.
    bytes: AtomicUsize,
    max_bytes: usize,
}

impl Outgoing {
    pub(super) fn new(max_bytes: usize) -> Arc<Self> {
        Arc::new(Self { calls: AtomicUsize::new(0), bytes: AtomicUsize::new(0), max_bytes })
    }

    /// Makes room for a call, which gives it up again when it has been sent and has ended.
    fn admit(self: &Arc<Self>, call: OutgoingCall) -> Result<(Box<UpstreamCall>, Admission)> {
        let OutgoingCall(mut call) = call;
        let texts = [&call.request_call_id, &call.destination_node_id, &call.name, &call.kind];
        let size = call.payload.len() + texts.iter().map(|text| text.len()).sum::<usize>();
        if size > MAX_PAYLOAD {
            let message = format!("payload: a call of {size} bytes; at most {MAX_PAYLOAD} can be sent");
            return Err(Error::new(Status::TooLarge, message));
        }
        let full = |what: String| Err(Error::new(Status::WouldBlock, format!("connection: {what}")));
        let admission = Admission(self.clone());
        if self.calls.fetch_add(1, Relaxed) >= MAX_CALLS {
            return full(format!("{MAX_CALLS} calls are under way"));
        }
        let size = size + CALL_OVERHEAD;
        let waiting = self.bytes.fetch_add(size, Relaxed);
        // Counts until the encoded message has left and its parts are dropped.
        call.payload = Bytes::from_owner(Waiting { payload: call.payload, size, outgoing: self.clone() });
        if waiting > 0 && waiting + size > self.max_bytes {
            return full(format!("{waiting} bytes of calls wait to be sent"));
        }
        Ok((Box::new(call), admission))
    }
}

/// A call under way.
pub(super) struct Admission(Arc<Outgoing>);

impl Drop for Admission {
    fn drop(&mut self) {
        self.0.calls.fetch_sub(1, Relaxed);
    }
}

/// The payload of a call that waits to be sent.
struct Waiting {
    payload: Bytes,
    size: usize,
    outgoing: Arc<Outgoing>,
}

impl AsRef<[u8]> for Waiting {
    fn as_ref(&self) -> &[u8] {
        &self.payload
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.outgoing.bytes.fetch_sub(self.size, Relaxed);
    }
}

impl Connection {
    /// Sends a call or a reply; `done` when the server took it.
    ///
    /// # Errors
    /// `TooLarge`; `WouldBlock` when too much waits to be sent; `Closed`. `done` is then dropped.
    pub fn send_call(&self, call: OutgoingCall, done: Completion<()>) -> Result<()> {
        let (call, admission) = self.shared().outgoing.admit(call)?;
        self.shared().send(Command::SendCall(call, admission, done))
    }

    /// Calls a node and waits for its reply, at most `timeout`, or as long as the options say. A reply
    /// that comes later goes where the replies go that nobody waits for.
    ///
    /// # Errors
    /// As [`Connection::send_call`].
    pub fn call(
        &self,
        call: OutgoingCall,
        timeout: Option<Duration>,
        done: Completion<DownstreamCall>,
    ) -> Result<()> {
        let (call, admission) = self.shared().outgoing.admit(call)?;
        let timeout = timeout.unwrap_or(self.shared().reply_timeout);
        self.shared().send(Command::Call(call, timeout, admission, done))
    }

    /// The next call of another node, waiting at most `timeout`; `None` waits until there is one or the
    /// connection ends.
    ///
    /// # Errors
    /// `Timeout`, or `WouldBlock` for a zero time-out; `Closed` or why the connection ended, once
    /// everything queued was taken; `InvalidState` when there is a handler; `InCallback` unless the
    /// time-out is zero.
    pub fn next_call(&self, timeout: Option<Duration>) -> Result<DownstreamCall> {
        self.shared().calls.next(timeout)
    }

    /// The next reply that no [`Connection::call`] waits for; as [`Connection::next_call`].
    ///
    /// # Errors
    /// As [`Connection::next_call`].
    pub fn next_reply(&self, timeout: Option<Duration>) -> Result<DownstreamCall> {
        self.shared().replies.next(timeout)
    }

    /// Hands every call of other nodes to a handler, those queued already first.
    ///
    /// # Errors
    /// `InvalidState` when there is a handler, `Closed` or why the connection ended.
    pub fn on_call(&self, handler: Handler<DownstreamCall>) -> Result<()> {
        let dispatch = self.shared().calls.set_handler(handler)?;
        self.dispatch_calls(dispatch);
        Ok(())
    }

    /// Hands every reply that no [`Connection::call`] waits for to a handler, those queued already
    /// first.
    ///
    /// # Errors
    /// As [`Connection::on_call`].
    pub fn on_reply(&self, handler: Handler<DownstreamCall>) -> Result<()> {
        let dispatch = self.shared().replies.set_handler(handler)?;
        self.dispatch_calls(dispatch);
        Ok(())
    }

    fn dispatch_calls(&self, wanted: bool) {
        if wanted {
            // A connection that ends meanwhile runs the handlers a last time itself.
            let _ = self.shared().send(Command::DispatchCalls);
        }
    }

    /// A descriptor that polls readable while there is a call to take or the connection has ended. It
    /// belongs to the connection and must not be read or closed.
    ///
    /// # Errors
    /// `Resource` when the system has none.
    pub fn call_pollable(&self) -> Result<RawFd> {
        self.shared().calls.pollable()
    }

    /// As [`Connection::call_pollable`], for replies.
    ///
    /// # Errors
    /// `Resource` when the system has none.
    pub fn reply_pollable(&self) -> Result<RawFd> {
        self.shared().replies.pollable()
    }

    /// Numbers about the calls of other nodes.
    pub fn call_counters(&self) -> InboxCounters {
        self.shared().calls.counters()
    }

    /// Numbers about the replies that no [`Connection::call`] waited for.
    pub fn reply_counters(&self) -> InboxCounters {
        self.shared().replies.counters()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(payload: usize) -> OutgoingCall {
        OutgoingCall::new("n", "n", "t", vec![0; payload])
    }

    #[test]
    fn calls_that_wait_to_be_sent_are_bounded_in_bytes() {
        let outgoing = Outgoing::new(2_000);
        let (first, first_admission) = outgoing.admit(call(1_000)).unwrap();
        let refused = outgoing.admit(call(1_000)).map(drop).unwrap_err();
        assert_eq!(refused.status(), Status::WouldBlock);
        assert_eq!(outgoing.calls.load(Relaxed), 1);
        // Sent, though it has not ended.
        drop(first);
        let second = outgoing.admit(call(1_000)).unwrap();
        drop((first_admission, second));
        assert_eq!((outgoing.calls.load(Relaxed), outgoing.bytes.load(Relaxed)), (0, 0));
        // One larger than the limit is taken when it is alone.
        outgoing.admit(call(10_000)).unwrap();
        let error = outgoing.admit(call(MAX_PAYLOAD)).map(drop).unwrap_err();
        assert_eq!(error.status(), Status::TooLarge);
    }

    #[test]
    fn calls_under_way_are_bounded_in_number() {
        let outgoing = Outgoing::new(usize::MAX);
        let admitted: Vec<_> = (0..MAX_CALLS).map(|_| outgoing.admit(call(0)).unwrap().1).collect();
        assert_eq!(outgoing.admit(call(0)).map(drop).unwrap_err().status(), Status::WouldBlock);
        drop(admitted);
        outgoing.admit(call(0)).unwrap();
    }

    #[test]
    fn a_reply_names_the_call() {
        let call = DownstreamCall {
            call_id: "A".to_owned(),
            source_node_id: "caller".to_owned(),
            ..DownstreamCall::default()
        };
        let OutgoingCall(reply) = OutgoingCall::reply(&call, "n", "t", "x").unwrap();
        assert_eq!((&*reply.request_call_id, &*reply.destination_node_id), ("A", "caller"));
        assert_ne!(reply.call_id, "A");
        for unusable in [
            DownstreamCall { call_id: String::new(), ..call.clone() },
            DownstreamCall { source_node_id: String::new(), ..call },
        ] {
            let refused = OutgoingCall::reply(&unusable, "n", "t", "x").map(drop);
            assert_eq!(refused.unwrap_err().status(), Status::InvalidArgument);
        }
    }
}

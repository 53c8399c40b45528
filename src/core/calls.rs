//! End-to-end calls on their way out, until the server took them and, where that is wanted, until the
//! reply came (docs/protocol/behaviour.md §8).

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::event::{Event, OpId, Output};
use crate::error::{Error, Status};
use crate::message::{DownstreamCall, UpstreamCall, UpstreamCallAck};

/// What a call of this client waits for.
#[derive(Debug)]
struct Pending {
    op: OpId,
    /// For messages: which call it is.
    what: Box<str>,
    /// Of the next thing that must happen.
    deadline: Instant,
    acked: bool,
    /// When the reply must have come and how long that is, if one is waited for.
    reply: Option<(Instant, Duration)>,
}

/// The calls of a connection that have not ended.
#[derive(Debug, Default)]
pub(super) struct Calls {
    by_id: HashMap<Arc<str>, Pending>,
    deadlines: BTreeSet<(Instant, Arc<str>)>,
    unacked: usize,
}

impl Calls {
    /// A call leaves. `reply` is how long to wait for the reply, if one is waited for.
    pub(super) fn begin(
        &mut self,
        op: OpId,
        call: &UpstreamCall,
        response_timeout: Duration,
        reply: Option<Duration>,
        now: Instant,
    ) -> Result<(), Error> {
        let verb = if call.request_call_id.is_empty() { "call" } else { "reply" };
        let what = format!("{verb} {:?} to node {:?}", call.name, call.destination_node_id);
        let id: Arc<str> = call.call_id.as_str().into();
        if self.by_id.contains_key(&id) {
            let message = format!("{what}: a call with the id {id:?} is under way");
            return Err(Error::new(Status::InvalidArgument, message));
        }
        let reply = reply.map(|timeout| (now + timeout, timeout));
        let ack = now + response_timeout;
        let deadline = reply.map_or(ack, |(reply, _)| ack.min(reply));
        self.deadlines.insert((deadline, id.clone()));
        self.by_id.insert(id, Pending { op, what: what.into(), deadline, acked: false, reply });
        self.unacked += 1;
        Ok(())
    }

    /// The server took a call, or did not.
    pub(super) fn handle_ack(&mut self, ack: &UpstreamCallAck, events: &mut Vec<Event>) {
        let success = ack.result_code.is_success();
        let (id, pending) = match self.by_id.get_key_value(ack.call_id.as_str()) {
            Some((id, pending)) if !pending.acked => (id.clone(), pending),
            _ => {
                tracing::debug!("ignored an acknowledgement of call {:?}, which does not wait", ack.call_id);
                return;
            }
        };
        if let (true, Some((reply_at, _))) = (success, pending.reply) {
            self.deadlines.remove(&(pending.deadline, id.clone()));
            self.deadlines.insert((reply_at, id.clone()));
            if let Some(pending) = self.by_id.get_mut(&id) {
                pending.acked = true;
                pending.deadline = reply_at;
            }
            self.unacked -= 1;
        } else if let Some(pending) = self.remove(&id) {
            let outcome = if success {
                Ok(Output::Done)
            } else {
                Err(Error::refused(&pending.what, ack.result_code, &ack.result_string))
            };
            events.push(Event::Done(pending.op, outcome));
        }
    }

    /// A call or a reply of another node arrived. A reply goes to the call that waits for it, even
    /// before its acknowledgement; one that nobody waits for, or no longer, is the application's to see.
    pub(super) fn handle_call(&mut self, call: DownstreamCall, events: &mut Vec<Event>) {
        if call.request_call_id.is_empty() {
            events.push(Event::Call(call));
            return;
        }
        let waiting = self.by_id.get(call.request_call_id.as_str()).is_some_and(|call| call.reply.is_some());
        match waiting.then(|| self.remove(&call.request_call_id)).flatten() {
            Some(pending) => events.push(Event::Done(pending.op, Ok(Output::Reply(Box::new(call))))),
            None => events.push(Event::Reply(call)),
        }
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    pub(super) fn handle_timeout(&mut self, now: Instant, events: &mut Vec<Event>) {
        while let Some((_, id)) = self.deadlines.first().filter(|(at, _)| *at <= now) {
            let id = id.clone();
            let Some(pending) = self.remove(&id) else { return };
            let message = match pending.reply {
                Some((at, timeout)) if at <= now => {
                    format!("{}: no reply within {timeout:?}", pending.what)
                }
                _ => format!("{}: the server did not answer in time", pending.what),
            };
            events.push(Event::Done(pending.op, Err(Error::new(Status::Timeout, message))));
        }
    }

    /// Whether a call has not ended.
    pub(super) fn is_pending(&self, id: &str) -> bool {
        self.by_id.contains_key(id)
    }

    /// The connection was lost. A call that had left, and of which the server has not said that it took it,
    /// ends: whether it arrived is not known, and it must not be carried out twice. One that the server took
    /// waits for its reply, if that will find the way to the next connection.
    pub(super) fn link_lost(
        &mut self,
        error: &Error,
        unsent: &VecDeque<UpstreamCall>,
        replies_find_us: bool,
        events: &mut Vec<Event>,
    ) {
        let unsent: HashSet<&str> = unsent.iter().map(|call| call.call_id.as_str()).collect();
        let ends = |id: &str, call: &Pending| {
            if call.acked { !replies_find_us } else { !unsent.contains(id) }
        };
        let ended =
            self.by_id.iter().filter(|(id, call)| ends(id, call)).map(|(id, call)| (call.op, id.clone()));
        let mut ended: Vec<_> = ended.collect();
        ended.sort_unstable();
        for (op, id) in ended {
            if let Some(call) = self.remove(&id) {
                events.push(Event::Done(op, Err(error.clone().context(&call.what))));
            }
        }
    }

    /// Whether the server has still to say that it took a call.
    pub(super) fn await_server(&self) -> bool {
        self.unacked > 0
    }

    /// Ends every call, in the order in which they began.
    pub(super) fn end(&mut self, reason: &Error, events: &mut Vec<Event>) {
        let mut ops: Vec<_> = std::mem::take(self).by_id.into_values().map(|pending| pending.op).collect();
        ops.sort_unstable();
        events.extend(ops.into_iter().map(|op| Event::Done(op, Err(reason.clone()))));
    }

    fn remove(&mut self, id: &str) -> Option<Pending> {
        let (id, pending) = self.by_id.remove_entry(id)?;
        self.unacked -= usize::from(!pending.acked);
        self.deadlines.remove(&(pending.deadline, id));
        Some(pending)
    }
}

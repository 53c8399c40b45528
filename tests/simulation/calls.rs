//! Calls between nodes: who calls whom, how a call is answered, and what must hold.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use iscp::core::Output;
use iscp::error::{Result, Status};
use iscp::message::{DownstreamCall, UpstreamCall};

use crate::invariants::{OpKind, SessionId};
use crate::plan::{WORK, millis};
use crate::workload::Command;
use crate::world::{Action, Rng, World};

/// A call that an application will make.
#[derive(Clone, Debug)]
pub(crate) struct CallPlan {
    pub(crate) at: Duration,
    to: String,
    payload: Bytes,
    /// How long to wait for the reply; without it only the server's word is waited for.
    reply: Option<Duration>,
}

impl CallPlan {
    pub(crate) fn choose(rng: &mut Rng, to: String) -> Self {
        let len = rng.range(0, 2000);
        let short = millis(rng, 0, 300);
        let patient = Duration::from_secs(20);
        Self {
            at: rng.duration(Duration::ZERO, WORK),
            to,
            payload: (0..len).map(|n| n as u8).collect(),
            reply: rng.chance(70).then(|| *rng.pick(&[patient, patient, short])),
        }
    }
}

/// What happened to the calls.
#[derive(Debug, Default)]
pub(crate) struct CallLedger {
    delivered: BTreeSet<String>,
    replied: BTreeSet<String>,
}

impl World {
    /// The application calls.
    pub(crate) fn call(&mut self, id: SessionId, i: usize) {
        let now = self.instant();
        let plan = self.sessions[id].app.call_plan(i).clone();
        let call = UpstreamCall {
            call_id: format!("{id}-{i}"),
            destination_node_id: plan.to.clone(),
            name: "reverse".to_owned(),
            kind: "bytes".to_owned(),
            payload: plan.payload,
            ..UpstreamCall::default()
        };
        let answer = self.sessions[id].app.config().response_timeout;
        // One that goes to itself has nobody else to depend on.
        let own = plan.to == self.sessions[id].node && plan.reply.is_none_or(|reply| reply.as_secs() > 10);
        let op = self.op(id, OpKind::Call(i), plan.reply.unwrap_or(answer), own);
        match plan.reply {
            Some(timeout) => self.sessions[id].core.call(op, call, timeout, now),
            None => self.sessions[id].core.send_call(op, call, now),
        }
    }

    /// Another node called: the application replies after a while, unless it does not care.
    pub(crate) fn called(&mut self, id: SessionId, call: DownstreamCall) {
        assert!(call.request_call_id.is_empty());
        assert!(self.ledger.calls.delivered.insert(call.call_id.clone()), "{} came twice", call.call_id);
        if call.payload.len() % 10 != 9 {
            let delay = Duration::from_millis(call.payload.len() as u64 % 5 * 50);
            self.after(delay, Action::Command(id, Command::Reply(call)));
        }
    }

    pub(crate) fn reply(&mut self, id: SessionId, call: &DownstreamCall) {
        let now = self.instant();
        let answer = self.sessions[id].app.config().response_timeout;
        let op = self.op(id, OpKind::Other, answer, false);
        let reply = UpstreamCall {
            call_id: format!("reply to {}", call.call_id),
            request_call_id: call.call_id.clone(),
            destination_node_id: call.source_node_id.clone(),
            name: "reversed".to_owned(),
            kind: "bytes".to_owned(),
            payload: call.payload.iter().rev().copied().collect(),
        };
        self.sessions[id].core.send_call(op, reply, now);
    }

    /// A reply reached the caller: with the call that waits for it, or on its own.
    pub(crate) fn replied(&mut self, id: SessionId, reply: &DownstreamCall) {
        let (caller, i) = reply.request_call_id.split_once('-').expect("an id of ours");
        let plan = self.sessions[caller.parse::<usize>().expect("a session")]
            .app
            .call_plan(i.parse().expect("a call"));
        assert_eq!(reply.source_node_id, plan.to);
        assert!(reply.payload.iter().eq(plan.payload.iter().rev()), "another call's reply");
        // Another connection of the node may get what the caller's no longer can.
        assert!(caller == id.to_string() || self.shares_node(id), "the reply went to client {id}");
        assert!(self.ledger.calls.delivered.contains(&reply.request_call_id));
        assert!(self.ledger.calls.replied.insert(reply.request_call_id.clone()), "a second reply");
    }

    /// A call ended.
    pub(crate) fn call_done(&mut self, id: SessionId, i: usize, outcome: &Result<Output>) {
        let waits = self.sessions[id].app.call_plan(i).reply.is_some();
        match outcome {
            Ok(Output::Reply(reply)) if waits => {
                assert_eq!(reply.request_call_id, format!("{id}-{i}"));
                self.replied(id, reply);
            }
            Ok(Output::Done) if !waits => {}
            Err(error) => assert!(
                matches!(error.status(), Status::Refused | Status::Timeout)
                    || self.sessions[id].disturbed
                    || self.sessions[id].app.is_closing(),
                "client {id}: call {i}: {error:?}"
            ),
            other => panic!("client {id}: call {i} yielded {other:?}"),
        }
    }

    /// Whether a call must have succeeded.
    pub(crate) fn call_must_succeed(&self, id: SessionId, i: usize) -> bool {
        let plan = self.sessions[id].app.call_plan(i);
        let answered = plan.reply.is_none() || plan.payload.len() % 10 != 9;
        answered && !self.shares_node(id)
    }

    fn shares_node(&self, id: SessionId) -> bool {
        let node = &self.sessions[id].node;
        self.sessions.iter().filter(|session| session.node == *node).count() > 1
    }
}

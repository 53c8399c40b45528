//! End-to-end calls (docs/protocol/behaviour.md §8, §11.6).

use std::collections::VecDeque;
use std::time::Instant;

use iscp::message::{DownstreamCall, Message, ResultCode, UpstreamCall, UpstreamCallAck};
use tracing::debug;

use super::connection::{Phase, clip};
use super::{Broker, ConnId, outbox};

impl Broker {
    /// Passes a call on and acknowledges it once it stands in the queue of a live connection.
    pub(super) fn upstream_call(&mut self, conn: ConnId, call: UpstreamCall, now: Instant) {
        let call_id = call.call_id.clone();
        let (result_code, result_string) = match self.pass_on(conn, call) {
            Ok(()) => (ResultCode::SUCCEEDED, "OK".to_owned()),
            Err(refusal) => refusal,
        };
        if !result_code.is_success() {
            debug!(conn = conn.0, code = %result_code, reason = %result_string, "call refused");
        }
        let ack = UpstreamCallAck { call_id, result_code, result_string };
        self.answer(conn, Message::UpstreamCallAck(ack), now);
    }

    fn pass_on(&mut self, conn: ConnId, call: UpstreamCall) -> Result<(), (ResultCode, String)> {
        let limits = &self.config.limits;
        if call.call_id.is_empty() {
            return Err((ResultCode::PROTOCOL_ERROR, "call without an id".to_owned()));
        }
        let texts = [&call.call_id, &call.request_call_id, &call.name, &call.kind];
        if call.payload.len() > limits.call_bytes || texts.iter().any(|text| text.len() > limits.name_bytes) {
            let text = format!(
                "call with a payload above {} bytes or a text above {} bytes",
                limits.call_bytes, limits.name_bytes
            );
            return Err((ResultCode::TOO_LARGE_MESSAGE_SIZE, text));
        }
        let (max_calls, max_bytes, max_asked) = (limits.calls, limits.call_queue_bytes, limits.calls_asked);
        let source_node_id =
            self.session(conn).map(|session| session.node_id.to_string()).unwrap_or_default();
        let name = clip(&call.destination_node_id);
        let destination = self.destination(&call.destination_node_id, &call.request_call_id);
        let target = destination.and_then(|target| Some((target, self.connections.get_mut(&target)?)));
        let Some((target, connection)) = target else {
            let text = format!("node {name:?} is not connected");
            return Err((ResultCode::PROCESS_FAILED, text));
        };
        let queue = &mut connection.out.calls;
        if queue.len() >= max_calls || queue.bytes() + call.payload.len() > max_bytes && queue.len() > 0 {
            let text = format!("{} calls already wait for node {name:?}", queue.len());
            return Err((ResultCode::RATE_LIMIT_REACHED, text));
        }
        let asked = call.request_call_id.is_empty().then(|| call.call_id.clone());
        queue.push(DownstreamCall {
            call_id: call.call_id,
            request_call_id: call.request_call_id,
            source_node_id,
            name: call.name,
            kind: call.kind,
            payload: call.payload,
        });
        connection.wake(target, &mut self.ready);
        if let (Some(call_id), Some(session)) = (asked, self.session_mut(conn)) {
            while session.asked.len() >= max_asked.max(1) {
                session.asked.pop_front();
            }
            session.asked.push_back(call_id);
        }
        Ok(())
    }

    /// The connection of a node that takes a call: the newest. A reply goes to the one that asked, as
    /// long as that is connected and its call not forgotten.
    fn destination(&mut self, node_id: &str, request_call_id: &str) -> Option<ConnId> {
        let node = self.nodes.get(self.nodes.find(node_id)?)?;
        let newest = node.connections.last().copied()?;
        if request_call_id.is_empty() {
            return Some(newest);
        }
        for conn in node.connections.iter().rev() {
            if let Some(Phase::Open(session)) =
                self.connections.get_mut(conn).map(|connection| &mut connection.phase)
                && let Some(at) = session.asked.iter().position(|asked| asked == request_call_id)
            {
                session.asked.remove(at);
                return Some(*conn);
            }
        }
        Some(newest)
    }
}

/// Calls that wait for a client to read them.
#[derive(Debug, Default)]
pub(super) struct CallQueue {
    calls: VecDeque<DownstreamCall>,
    /// Of the payloads.
    bytes: usize,
}

impl CallQueue {
    pub(super) fn len(&self) -> usize {
        self.calls.len()
    }

    fn bytes(&self) -> usize {
        self.bytes
    }

    fn push(&mut self, call: DownstreamCall) {
        self.bytes += call.payload.len();
        self.calls.push_back(call);
    }

    pub(super) fn pop(&mut self) -> Option<DownstreamCall> {
        let call = outbox::pop(&mut self.calls)?;
        self.bytes -= call.payload.len();
        Some(call)
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

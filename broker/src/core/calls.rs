//! End-to-end calls (docs/protocol/behaviour.md §8, §11.6).

use std::time::Instant;

use iscp::message::{DownstreamCall, Message, ResultCode, UpstreamCall, UpstreamCallAck};
use tracing::debug;

use super::connection::clip;
use super::{Broker, ConnId};

impl Broker {
    /// Passes a call on and acknowledges it once it stands in the queue of a live connection. The
    /// newest connection of a node takes its calls.
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
        let texts = [&call.call_id, &call.request_call_id, &call.name, &call.kind];
        if call.payload.len() > limits.call_bytes || texts.iter().any(|text| text.len() > limits.name_bytes) {
            let text = format!(
                "call with a payload above {} bytes or a text above {} bytes",
                limits.call_bytes, limits.name_bytes
            );
            return Err((ResultCode::TOO_LARGE_MESSAGE_SIZE, text));
        }
        let source_node_id =
            self.session(conn).map(|session| session.node_id.to_string()).unwrap_or_default();
        let name = clip(&call.destination_node_id);
        let destination = self
            .nodes
            .find(&call.destination_node_id)
            .and_then(|node| self.nodes.get(node))
            .and_then(|node| node.connections.last().copied());
        let target = destination.and_then(|target| Some((target, self.connections.get_mut(&target)?)));
        let Some((target, connection)) = target else {
            let text = format!("node {name:?} is not connected");
            return Err((ResultCode::PROCESS_FAILED, text));
        };
        if connection.out.calls.len() >= limits.calls {
            let text = format!("{} calls already wait for node {name:?}", limits.calls);
            return Err((ResultCode::RATE_LIMIT_REACHED, text));
        }
        connection.out.calls.push_back(DownstreamCall {
            call_id: call.call_id,
            request_call_id: call.request_call_id,
            source_node_id,
            name: call.name,
            kind: call.kind,
            payload: call.payload,
        });
        connection.wake(target, &mut self.ready);
        Ok(())
    }
}

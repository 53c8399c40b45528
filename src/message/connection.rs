//! Messages of the connection itself, and end-to-end calls.

use bytes::Bytes;
use uuid::Uuid;

use super::ResultCode;

/// `ConnectRequest`: the first message of a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectRequest {
    /// Correlation id.
    pub request_id: u32,
    /// Highest protocol version the client speaks.
    pub protocol_version: String,
    /// Node that connects; empty for none.
    pub node_id: String,
    /// Interval of the broker's pings, in seconds; 0 leaves it to the broker.
    pub ping_interval_s: u32,
    /// How long the broker waits for a pong, in seconds; 0 leaves it to the broker.
    pub ping_timeout_s: u32,
    /// Access token; empty for none.
    pub access_token: String,
    /// Project; the nil UUID and `None` both mean none.
    pub project_uuid: Option<Uuid>,
    /// Names an existing connection when reconnecting (protocol 3.0.0).
    pub connection_id: String,
    /// Groups the transports of one multi-connection (protocol 3.0.0).
    pub connection_group_id: String,
    /// How long the broker keeps the connection after a loss, in seconds (protocol 3.0.0).
    pub expiry_interval_s: u32,
}

/// `ConnectResponse`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectResponse {
    /// Id of the request.
    pub request_id: u32,
    /// Version that holds on this connection.
    pub protocol_version: String,
    /// Outcome.
    pub result_code: ResultCode,
    /// Detail.
    pub result_string: String,
    /// Id the broker gave the connection (protocol 3.0.0).
    pub connection_id: String,
    /// Group the broker put it in (protocol 3.0.0).
    pub connection_group_id: String,
}

/// `Disconnect`: the sender ends the connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Disconnect {
    /// Why.
    pub result_code: ResultCode,
    /// Detail.
    pub result_string: String,
}

/// `UpstreamCall`: a call or a reply on its way to the broker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamCall {
    /// The caller's id of the call.
    pub call_id: String,
    /// Empty for a call; for a reply, the id of the call answered.
    pub request_call_id: String,
    /// Node to deliver to.
    pub destination_node_id: String,
    /// The application's name.
    pub name: String,
    /// The application's type.
    pub kind: String,
    /// The application's bytes.
    pub payload: Bytes,
}

/// `UpstreamCallAck`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamCallAck {
    /// The call taken.
    pub call_id: String,
    /// Outcome.
    pub result_code: ResultCode,
    /// Detail.
    pub result_string: String,
}

/// `DownstreamCall`: a call or a reply on its way to its destination.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DownstreamCall {
    /// Id of the `UpstreamCall`.
    pub call_id: String,
    /// Empty for a call; for a reply, the id of the call answered.
    pub request_call_id: String,
    /// Node that called.
    pub source_node_id: String,
    /// The application's name.
    pub name: String,
    /// The application's type.
    pub kind: String,
    /// The application's bytes.
    pub payload: Bytes,
}

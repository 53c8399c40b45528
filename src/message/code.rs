//! Result codes and QoS: the two open enumerations of the protocol.

use std::fmt;

macro_rules! result_codes {
    ($($(#[$doc:meta])* $const:ident = $number:literal, $name:literal;)+) => {
        impl ResultCode {
            $($(#[$doc])* pub const $const: Self = Self($number);)+

            /// Name in the protocol schema, or `None` for an unassigned number.
            pub fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($number => Some($name),)+
                    _ => None,
                }
            }

            /// Every assigned code, in ascending order.
            pub const ALL: &'static [Self] = &[$(Self($number)),+];
        }
    };
}

/// Result code of a response or a disconnect. Open: unassigned numbers are kept as received
/// (docs/protocol/messages.md §3).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ResultCode(pub i32);

result_codes! {
    /// Success; also the code of an orderly disconnect (`NORMAL_CLOSURE`).
    SUCCEEDED = 0, "SUCCEEDED";
    /// The two sides have no protocol version in common.
    INCOMPATIBLE_VERSION = 1, "INCOMPATIBLE_VERSION";
    /// No more data id aliases can be given.
    MAXIMUM_DATA_ID_ALIAS = 2, "MAXIMUM_DATA_ID_ALIAS";
    /// No more upstream aliases can be given.
    MAXIMUM_UPSTREAM_ALIAS = 3, "MAXIMUM_UPSTREAM_ALIAS";
    /// Any other error.
    UNSPECIFIED_ERROR = 64, "UNSPECIFIED_ERROR";
    /// Node id missing.
    NO_NODE_ID = 65, "NO_NODE_ID";
    /// Authentication or authorisation failed.
    AUTH_FAILED = 66, "AUTH_FAILED";
    /// The opening sequence took too long.
    CONNECT_TIMEOUT = 67, "CONNECT_TIMEOUT";
    /// A message could not be understood.
    MALFORMED_MESSAGE = 68, "MALFORMED_MESSAGE";
    /// A message broke the protocol.
    PROTOCOL_ERROR = 69, "PROTOCOL_ERROR";
    /// An acknowledgement came too late.
    ACK_TIMEOUT = 70, "ACK_TIMEOUT";
    /// Bad payload.
    INVALID_PAYLOAD = 71, "INVALID_PAYLOAD";
    /// Bad data id.
    INVALID_DATA_ID = 72, "INVALID_DATA_ID";
    /// Unknown data id alias.
    INVALID_DATA_ID_ALIAS = 73, "INVALID_DATA_ID_ALIAS";
    /// Bad data filter.
    INVALID_DATA_FILTER = 74, "INVALID_DATA_FILTER";
    /// No such stream.
    STREAM_NOT_FOUND = 75, "STREAM_NOT_FOUND";
    /// The stream to resume is still attached elsewhere.
    RESUME_REQUEST_CONFLICT = 76, "RESUME_REQUEST_CONFLICT";
    /// Processing failed.
    PROCESS_FAILED = 77, "PROCESS_FAILED";
    /// QoS not supported.
    DESIRED_QOS_NOT_SUPPORTED = 78, "DESIRED_QOS_NOT_SUPPORTED";
    /// Ping timed out.
    PING_TIMEOUT = 79, "PING_TIMEOUT";
    /// Message too large.
    TOO_LARGE_MESSAGE_SIZE = 80, "TOO_LARGE_MESSAGE_SIZE";
    /// Too many data id aliases.
    TOO_MANY_DATA_ID_ALIASES = 81, "TOO_MANY_DATA_ID_ALIASES";
    /// Too many streams.
    TOO_MANY_STREAMS = 82, "TOO_MANY_STREAMS";
    /// Ack interval too long.
    TOO_LONG_ACK_INTERVAL = 83, "TOO_LONG_ACK_INTERVAL";
    /// Too many downstream filters.
    TOO_MANY_DOWNSTREAM_FILTERS = 84, "TOO_MANY_DOWNSTREAM_FILTERS";
    /// Too many data filters.
    TOO_MANY_DATA_FILTERS = 85, "TOO_MANY_DATA_FILTERS";
    /// Expiry interval too long.
    TOO_LONG_EXPIRY_INTERVAL = 86, "TOO_LONG_EXPIRY_INTERVAL";
    /// Ping timeout too long.
    TOO_LONG_PING_TIMEOUT = 87, "TOO_LONG_PING_TIMEOUT";
    /// Ping interval too short. Go clients cannot decode it: never send it to one of unknown kind.
    TOO_SHORT_PING_INTERVAL = 88, "TOO_SHORT_PING_INTERVAL";
    /// Ping timeout too short.
    TOO_SHORT_PING_TIMEOUT = 89, "TOO_SHORT_PING_TIMEOUT";
    /// Rate limit reached.
    RATE_LIMIT_REACHED = 90, "RATE_LIMIT_REACHED";
    /// Feed id too large (protocol 3.0.0).
    TOO_LARGE_FEED_ID = 91, "TOO_LARGE_FEED_ID";
    /// Too many target nodes (protocol 3.0.0).
    TOO_MANY_TARGET_NODES = 92, "TOO_MANY_TARGET_NODES";
    /// No such feed (protocol 3.0.0).
    FEED_NOT_FOUND = 93, "FEED_NOT_FOUND";
    /// Resume token wrong or missing (protocol 3.0.0).
    INVALID_RESUME_TOKEN = 94, "INVALID_RESUME_TOKEN";
    /// A persisted session belongs to another node.
    NODE_ID_MISMATCH = 128, "NODE_ID_MISMATCH";
    /// No such session.
    SESSION_NOT_FOUND = 129, "SESSION_NOT_FOUND";
    /// Session already closed.
    SESSION_ALREADY_CLOSED = 130, "SESSION_ALREADY_CLOSED";
    /// Session cannot be closed.
    SESSION_CANNOT_CLOSED = 131, "SESSION_CANNOT_CLOSED";
}

impl ResultCode {
    /// Whether this is the one code that means success.
    pub fn is_success(self) -> bool {
        self == Self::SUCCEEDED
    }
}

impl fmt::Display for ResultCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "result code {}", self.0),
        }
    }
}

impl fmt::Debug for ResultCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Quality of service of a stream (docs/protocol/behaviour.md §10).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Qos {
    /// May be lost; datagrams where the transport has them.
    #[default]
    Unreliable,
    /// Kept until acknowledged and sent again after a resume.
    Reliable,
    /// Reliable channel, not sent again.
    Partial,
    /// A number this version of the protocol does not assign.
    Unknown(i32),
}

impl Qos {
    /// Number on the wire.
    pub fn number(self) -> i32 {
        match self {
            Self::Unreliable => 0,
            Self::Reliable => 1,
            Self::Partial => 2,
            Self::Unknown(number) => number,
        }
    }

    /// QoS for a number on the wire.
    pub fn from_number(number: i32) -> Self {
        match number {
            0 => Self::Unreliable,
            1 => Self::Reliable,
            2 => Self::Partial,
            other => Self::Unknown(other),
        }
    }
}

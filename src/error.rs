//! The one error type of the library.

use std::fmt;

use crate::message::ResultCode;

macro_rules! statuses {
    ($($(#[$doc:meta])* $variant:ident = $number:literal, $text:literal;)+) => {
        /// What kind of failure an [`Error`] is. The numbers are those of the C API and never reused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(i32)]
        pub enum Status {
            $($(#[$doc])* $variant = $number,)+
        }

        impl Status {
            /// Every failure status.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// One sentence about the status.
            pub fn text(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }
    };
}

statuses! {
    /// An argument has a value the function does not take.
    InvalidArgument = -1, "an argument has a value the function does not take";
    /// A pointer that must not be NULL is NULL.
    NullArgument = -2, "a pointer that must not be NULL is NULL";
    /// The handle is not, or no longer, a live handle of the type the function takes.
    BadHandle = -3, "not a live handle of the type the function takes";
    /// A text is not valid UTF-8.
    InvalidUtf8 = -4, "a text is not valid UTF-8";
    /// There is no option of this name.
    UnknownOption = -5, "there is no option of this name";
    /// An option's value cannot be used.
    InvalidOption = -6, "an option's value cannot be used";
    /// A value exceeds a limit of the library.
    TooLarge = -7, "a value exceeds a limit of the library";
    /// A blocking function was called on one of the library's threads.
    InCallback = -8, "a blocking function was called inside a callback";
    /// The process was forked; the handle belongs to the parent.
    Forked = -9, "the handle belongs to the parent process";
    /// The library was built without this feature.
    Unsupported = -10, "the library was built without this feature";

    /// The operation would have to wait.
    WouldBlock = -100, "the operation would have to wait";
    /// The time-out passed.
    Timeout = -101, "the time-out passed";
    /// The connection or stream is closed.
    Closed = -102, "the connection or stream is closed";
    /// The operation was cancelled.
    Cancelled = -103, "the operation was cancelled";
    /// A buffer reached its limit.
    Overflow = -104, "a buffer reached its limit";
    /// The operation does not fit the state of the object.
    InvalidState = -105, "the operation does not fit the state of the object";
    /// The sequence numbers of the stream are used up.
    SequenceExhausted = -106, "the sequence numbers of the stream are used up";
    /// Chunks of an upstream are missing, or came in another order than was promised.
    OutOfOrder = -107, "chunks of an upstream are missing or out of order";

    /// The host name was not found.
    Resolve = -200, "the host name was not found";
    /// No connection to the server could be made.
    ConnectFailed = -201, "no connection to the server could be made";
    /// The server refused the transport's handshake.
    Handshake = -202, "the server refused the transport's handshake";
    /// The connection was lost.
    ConnectionLost = -203, "the connection was lost";
    /// The peer stopped answering keep-alive messages.
    KeepAliveTimeout = -204, "the peer stopped answering keep-alive messages";
    /// TLS failed: a certificate is not trusted, or not usable.
    Tls = -205, "TLS failed";
    /// The spool on disk cannot be used.
    Spool = -206, "the spool cannot be used";

    /// The peer sent something that is not a valid message.
    MalformedMessage = -300, "the peer sent something that is not a valid message";
    /// The peer broke the rules of the protocol.
    ProtocolViolation = -301, "the peer broke the rules of the protocol";
    /// The peers have no protocol version in common.
    IncompatibleVersion = -302, "the peers have no protocol version in common";

    /// The server refused the request.
    Refused = -400, "the server refused the request";
    /// The server refused the credentials.
    Unauthorized = -401, "the server refused the credentials";
    /// The server ended the connection.
    Disconnected = -402, "the server ended the connection";
    /// The token source failed.
    TokenFailed = -403, "the token source failed";

    /// A defect of the library; please report it.
    Internal = -900, "a defect of the library";
    /// A panic was caught; please report it.
    Panic = -901, "a panic was caught inside the library";
    /// The system refused a thread, memory or a descriptor.
    Resource = -902, "the system refused a resource";
}

impl Status {
    /// Number of the status in the C API.
    pub fn number(self) -> i32 {
        self as i32
    }
}

/// An error with what the caller needs to act on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    status: Status,
    message: String,
    result: Option<(ResultCode, String)>,
    retriable: bool,
    fatal: bool,
}

/// Result of an operation of the library.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of a kind, with a message that names the culprit.
    pub fn new(status: Status, message: impl Into<String>) -> Self {
        let retriable = matches!(
            status,
            Status::WouldBlock
                | Status::Timeout
                | Status::Resolve
                | Status::ConnectFailed
                | Status::ConnectionLost
                | Status::KeepAliveTimeout
                | Status::Disconnected
        );
        Self { status, message: message.into(), result: None, retriable, fatal: false }
    }

    /// A failing answer of the server to `what`.
    pub fn refused(what: &str, code: ResultCode, detail: &str) -> Self {
        let status = match code {
            ResultCode::AUTH_FAILED => Status::Unauthorized,
            ResultCode::INCOMPATIBLE_VERSION => Status::IncompatibleVersion,
            _ => Status::Refused,
        };
        let mut message = format!("{what}: the server answered {code}");
        if !detail.is_empty() {
            message.push_str(&format!(" ({})", printable(detail.as_bytes())));
        }
        let mut error = Self::new(status, message);
        error.result = Some((code, detail.to_owned()));
        error
    }

    /// Attaches what the server said.
    pub fn with_result(mut self, code: ResultCode, detail: &str) -> Self {
        self.result = Some((code, detail.to_owned()));
        self
    }

    /// Marks the object the error belongs to as unusable from now on.
    pub fn fatal(mut self) -> Self {
        self.fatal = true;
        self
    }

    /// Says that the same call may succeed later, whatever its kind.
    pub fn retriable(mut self) -> Self {
        self.retriable = true;
        self
    }

    /// Puts where it happened in front of the message.
    pub fn context(mut self, place: impl fmt::Display) -> Self {
        self.message = format!("{place}: {}", self.message);
        self
    }

    /// Kind of the failure.
    pub fn status(&self) -> Status {
        self.status
    }

    /// Message that names the culprit.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Result code of the server, if it is the server that refused.
    pub fn result_code(&self) -> Option<ResultCode> {
        self.result.as_ref().map(|(code, _)| *code)
    }

    /// What the server said, if it said something.
    pub fn result_string(&self) -> Option<&str> {
        self.result.as_ref().map(|(_, text)| text.as_str())
    }

    /// Whether the same call may succeed later.
    pub fn is_retriable(&self) -> bool {
        self.retriable
    }

    /// Whether the object the error belongs to can no longer be used.
    pub fn is_fatal(&self) -> bool {
        self.fatal
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// What a peer said, for people: in one line, of bounded length, without anything that a terminal obeys.
pub(crate) fn printable(text: &[u8]) -> String {
    const MOST: usize = 200;
    // A character has 4 bytes at most, so one that is cut here is beyond what is shown.
    let text = String::from_utf8_lossy(&text[..text.len().min(4 * MOST + 4)]);
    let mut shown = String::new();
    for (at, character) in text.chars().enumerate() {
        match character {
            _ if at == MOST => {
                shown.push('…');
                break;
            }
            '"' | '\'' => shown.push(character),
            _ => shown.extend(character.escape_debug()),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_peers_are_in_one_line_and_bounded() {
        assert_eq!(
            printable("node \"a\" \u{1b}[2J\r\nb\u{202e}".as_bytes()),
            "node \"a\" \\u{1b}[2J\\r\\nb\\u{202e}"
        );
        assert_eq!(printable(b"a\xffb"), "a\u{fffd}b");
        let long = "ü".repeat(100_000);
        assert_eq!(printable(long.as_bytes()), format!("{}…", "ü".repeat(200)));
        let error = Error::refused("connect", ResultCode::AUTH_FAILED, &long);
        assert!(error.message().len() < 1000, "{error}");
    }
}

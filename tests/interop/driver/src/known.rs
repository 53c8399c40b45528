//! What is known of the official clients: what they do not have, and what does not work in them. A case that fails
//! is put down to a defect only when it fails in the way that is described here.

use crate::bench::Client;
use crate::table::Case;

/// What a case needs of a client.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Need {
    Transport(&'static str),
    Encoding(&'static str),
    Compression(&'static str),
    Reconnecting,
    SeveralLinks,
}

/// Why a client cannot do something, if it cannot.
pub(crate) fn unsupported(client: &Client, need: &Need) -> Option<&'static str> {
    match (&client.language[..], need) {
        ("rust" | "python", Need::Encoding("json")) => Some("no encoding but protobuf"),
        ("python", Need::Transport("webtransport")) => Some("no WebTransport"),
        ("typescript", Need::Transport("quic")) => Some("no QUIC"),
        ("typescript", Need::Transport("webtransport")) => Some("WebTransport in browsers only"),
        ("go", Need::SeveralLinks) if client.version.starts_with("1.0.") => Some("one link only, before 1.2"),
        ("go", Need::SeveralLinks) => None,
        (_, Need::SeveralLinks) => Some("one link only"),
        ("python", Need::Reconnecting) => Some("it does not reconnect"),
        ("python" | "typescript", Need::Compression(compression)) if *compression != "none" => {
            Some("no compression")
        }
        _ => None,
    }
}

struct Defect {
    language: &'static str,
    /// The versions that begin with this.
    version: &'static str,
    /// Part of the name of the case.
    case: &'static str,
    /// Part of how it fails.
    symptom: &'static str,
    /// What the page says.
    text: &'static str,
}

const DEFECTS: [Defect; 12] = [
    Defect {
        language: "go",
        version: "1.0.",
        case: "context-takeover",
        symptom: "chunk 5",
        text: "once more was sent than the window holds, it keeps the oldest bytes instead of the newest, and \
               messages become unreadable in both directions; fixed in 1.1.0",
    },
    Defect { language: "go", version: "1.0.", case: "QUIC, ", symptom: "connect: Go 1.0", text: ZLIB },
    Defect {
        language: "go",
        version: "1.0.",
        case: "WebTransport, ",
        symptom: "connect: Go 1.0",
        text: ZLIB,
    },
    Defect {
        language: "go",
        version: "1.0.",
        case: "UNRELIABLE",
        symptom: "chunk 1: Go 1.0",
        text: "when the broker's stream reaches its WebTransport library before the answer to the session, no \
               datagram is ever received; fixed in 1.1.0, which has another library",
    },
    Defect {
        language: "go",
        version: "1.0.",
        case: "RELIABLE upstream, nothing is lost",
        symptom: ":, not string:text|",
        text: "it keeps chunks without their payloads, so that what it sends again after a loss is empty",
    },
    Defect {
        language: "rust",
        version: "1.1.2",
        case: "a call to nobody fails",
        symptom: "a call to nobody succeeded",
        text: "sending a call reports success whatever the broker answered",
    },
    Defect {
        language: "python",
        version: "1.0.1",
        case: "QUIC",
        symptom: "Python 1.0.1: no chunk",
        text: "it takes what QUIC hands over at once for one message, and loses messages that come in pieces or \
               together",
    },
    Defect {
        language: "python",
        version: "1.0.1",
        case: "points of 7 MiB",
        symptom: "Python 1.0.1: no chunk",
        text: "it takes no message above 1 MiB, a limit of its WebSocket library that it does not let change",
    },
    Defect {
        language: "python",
        version: "1.0.1",
        case: "call and reply",
        symptom: "Python 1.0.1: no reply",
        text: "replies reach only those who wait with the call",
    },
    Defect {
        language: "typescript",
        version: "0.11.1",
        case: "points of 7 MiB",
        symptom: "TypeScript 0.11.1: no chunk",
        text: "it takes no message above 1 MiB, a limit of its WebSocket library that it does not let change",
    },
    Defect {
        language: "typescript",
        version: "0.11.1",
        case: "RELIABLE upstream, nothing is lost",
        symptom: "no chunk within",
        text: "after a loss it does not send again what was not acknowledged",
    },
    Defect {
        language: "rust",
        version: "1.1.2",
        case: "RELIABLE downstream, nothing is missed",
        symptom: "Rust 1.1.2: no chunk",
        text: "it drops what arrives behind the answer to a resumption before its own task has seen that answer; \
               seldom, and on busy machines",
    },
];

const ZLIB: &str = "compressed messages of QUIC and WebTransport have the zlib format instead of plain DEFLATE, so that \
                    the broker cannot read them; fixed in 1.1.0";

/// The defect of a client that makes a case fail with an error.
pub(crate) fn defect(case: &Case<'_>, error: &str) -> Option<&'static str> {
    let found = DEFECTS.iter().find(|defect| {
        case.clients
            .iter()
            .any(|client| client.language == defect.language && client.version.starts_with(defect.version))
            && case.name().contains(defect.case)
            && error.contains(defect.symptom)
    });
    found.map(|defect| defect.text)
}

//! The parameters a client announces before the first message (docs/protocol/transport.md §1).

use std::fmt;

use crate::encoding::Encoding;

use super::Compression;

/// Bytes of a negotiation that are read at most.
pub(super) const MAX_NEGOTIATION: usize = 8 * 1024;

/// Keys of a negotiation that are read at most. Eight are known.
const MAX_PAIRS: usize = 64;

/// Bytes of an id of [`Group`] at most; a UUID has 36.
const MAX_ID: usize = 256;

/// The key of [`Group::numbered`].
const NUMBERED: &str = "iscp-numbered";

/// Parameters of a connection. The client chooses, the server never answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Negotiation {
    /// Encoding of the messages.
    pub encoding: Encoding,
    /// Compression of the messages.
    pub compression: Compression,
    /// What is on instead if the first message of the client is compressed: some clients announce level
    /// 0 and compress nevertheless (docs/protocol/transport.md §1.6). Never announced.
    pub ambiguous: Compression,
    /// Which other transports it belongs together with, if it is not alone.
    pub group: Option<Group>,
}

/// What makes several transports one connection (docs/protocol/transport.md §7.7).
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Group {
    /// The connection. Who knows it can join: it is a secret.
    pub connection: String,
    /// The transport among those of the connection. A new one takes the place of its namesake.
    pub member: String,
    /// The client numbers its messages and wants those of the server numbered, if the server can do that
    /// (docs/multi-transport.md).
    pub numbered: bool,
}

impl fmt::Debug for Group {
    /// Leaves out the ids.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group").field("numbered", &self.numbered).finish_non_exhaustive()
    }
}

/// Parameters that a server cannot accept, or a client not announce.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NegotiationError(String);

impl NegotiationError {
    fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

impl Negotiation {
    /// What is announced: nothing about compression while it is off
    /// (docs/protocol/transport.md §1.6).
    pub fn pairs(&self) -> Vec<(&'static str, String)> {
        let mut pairs = vec![("enc", self.encoding.name().to_owned())];
        match self.compression {
            Compression::Off => {}
            Compression::PerMessage { level } => {
                pairs.push(("comp", "per-message".to_owned()));
                pairs.push(("clevel", level.to_string()));
            }
            Compression::ContextTakeover { level, window_bits } => {
                pairs.push(("comp", "context-takeover".to_owned()));
                pairs.push(("clevel", level.to_string()));
                pairs.push(("cwinbits", window_bits.to_string()));
            }
        }
        if let Some(group) = &self.group {
            for (key, value) in [("tgid", &group.connection), ("tid", &group.member)] {
                if !value.is_empty() {
                    pairs.push((key, value.clone()));
                }
            }
            if group.numbered {
                pairs.push((NUMBERED, "1".to_owned()));
            }
        }
        pairs
    }

    /// The parameters as the query component of a URL.
    pub fn to_query(&self) -> String {
        form_urlencoded::Serializer::new(String::new()).extend_pairs(self.pairs()).finish()
    }

    /// The parameters in the query component of a request URL.
    ///
    /// # Errors
    /// As [`Negotiation::from_pairs`].
    pub fn from_query(query: &str) -> Result<Self, NegotiationError> {
        if query.len() > MAX_NEGOTIATION {
            return Err(NegotiationError::new("the negotiation is too long"));
        }
        Self::from_pairs(form_urlencoded::parse(query.as_bytes()))
    }

    /// The parameters as the bytes of a stream that ends with them (docs/protocol/transport.md §3.2).
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (key, value) in self.pairs() {
            for text in [key, &value] {
                // The longest come from a negotiation of limited length.
                bytes.extend_from_slice(&(text.len() as u16).to_be_bytes());
                bytes.extend_from_slice(text.as_bytes());
            }
        }
        bytes
    }

    /// The parameters on a stream that ended.
    ///
    /// # Errors
    /// Says what is truncated or no text; otherwise as [`Negotiation::from_pairs`].
    pub fn from_bytes(mut bytes: &[u8]) -> Result<Self, NegotiationError> {
        if bytes.len() > MAX_NEGOTIATION {
            return Err(NegotiationError::new("the negotiation is too long"));
        }
        let mut pairs = Vec::new();
        while !bytes.is_empty() {
            pairs.push((take_text(&mut bytes, "key")?, take_text(&mut bytes, "value")?));
        }
        Self::from_pairs(pairs)
    }

    /// What a server makes of the parameters of a client.
    ///
    /// Follows the rules of docs/protocol/transport.md §1.3 and §1.6: unknown keys are ignored,
    /// `clevel=0` or no `clevel` beside absent `comp` means no compression, whatever else is announced;
    /// a level that does not exist is one the client chose for its own compressor.
    ///
    /// # Errors
    /// Names the key that is empty, given twice, or has a value this server does not support.
    pub fn from_pairs<K: AsRef<str>, V: AsRef<str>>(
        pairs: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Self, NegotiationError> {
        let mut seen: Vec<String> = Vec::new();
        let mut encoding = Encoding::default();
        let mut mode = String::new();
        let mut level = None;
        let mut window_bits = None;
        let mut group = Group::default();
        for (key, value) in pairs {
            let (key, value) = (key.as_ref(), value.as_ref());
            if key.is_empty() {
                return Err(NegotiationError::new("a negotiation key is empty"));
            }
            if seen.len() == MAX_PAIRS {
                return Err(NegotiationError(format!("the negotiation has more than {MAX_PAIRS} keys")));
            }
            if seen.iter().any(|other| other == key) {
                return Err(NegotiationError(format!("negotiation key {key:?} is given twice")));
            }
            seen.push(key.to_owned());
            match key {
                "enc" if value.is_empty() => {}
                "enc" => {
                    encoding = Encoding::from_name(value)
                        .ok_or_else(|| NegotiationError(format!("encoding {value:?} is not supported")))?;
                }
                "comp" => mode = value.to_owned(),
                "clevel" => level = Some(number(key, value)?),
                "cwinbits" => window_bits = Some(number(key, value)?),
                "tgid" | "tid" if value.len() > MAX_ID => {
                    return Err(NegotiationError(format!(
                        "negotiation key {key:?} has more than {MAX_ID} bytes"
                    )));
                }
                "tgid" => value.clone_into(&mut group.connection),
                "tid" => value.clone_into(&mut group.member),
                NUMBERED => group.numbered = value == "1",
                _ => {}
            }
        }
        let named = Self::compression(&mode, level, window_bits)?;
        let (compression, ambiguous) = match level {
            Some(0) => (Compression::Off, named),
            _ => (named, Compression::Off),
        };
        if compression != Compression::Off && !crate::features::has("compression") {
            return Err(NegotiationError::new("compression is not supported"));
        }
        let belongs = !group.connection.is_empty() || !group.member.is_empty();
        Ok(Self { encoding, compression, ambiguous, group: belongs.then_some(group) })
    }

    /// The same for a transport that has no context to take over (docs/protocol/transport.md §6.2).
    #[must_use]
    pub fn without_context(self) -> Self {
        Self {
            compression: self.compression.without_context(),
            ambiguous: self.ambiguous.without_context(),
            ..self
        }
    }

    fn compression(
        mode: &str,
        level: Option<i64>,
        window_bits: Option<i64>,
    ) -> Result<Compression, NegotiationError> {
        if !matches!(mode, "" | "per-message" | "context-takeover") {
            return Err(NegotiationError(format!("compression {mode:?} is not supported")));
        }
        let level = match (mode, level) {
            ("", None | Some(0)) => return Ok(Compression::Off),
            (_, Some(level @ 1..=9)) => level as u8,
            // Whatever is meant for the peer's own compressor.
            _ => Compression::DEFAULT_LEVEL,
        };
        if mode != "context-takeover" {
            return Ok(Compression::PerMessage { level });
        }
        let window_bits = match window_bits {
            None => Compression::MAX_WINDOW_BITS,
            Some(bits @ 0..=15) => bits as u8,
            Some(16..=32) => Compression::MAX_WINDOW_BITS,
            Some(bits) => {
                return Err(NegotiationError(format!("a window of {bits} bits is not supported")));
            }
        };
        Ok(Compression::ContextTakeover { level, window_bits })
    }
}

/// A text behind its length in two bytes.
fn take_text(bytes: &mut &[u8], what: &str) -> Result<String, NegotiationError> {
    let truncated = || NegotiationError(format!("the negotiation ends within a {what}"));
    let (length, rest) = bytes.split_first_chunk::<2>().ok_or_else(truncated)?;
    let (text, rest) = rest.split_at_checked(u16::from_be_bytes(*length).into()).ok_or_else(truncated)?;
    *bytes = rest;
    String::from_utf8(text.to_vec())
        .map_err(|_| NegotiationError(format!("a negotiation {what} is not UTF-8")))
}

/// Exactly `-?[0-9]+`.
fn number(key: &str, value: &str) -> Result<i64, NegotiationError> {
    let digits = value.strip_prefix('-').unwrap_or(value);
    if !digits.is_empty()
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && let Ok(number) = value.parse()
    {
        return Ok(number);
    }
    Err(NegotiationError(format!("negotiation key {key:?}: {value:?} is not a number")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn off() -> Negotiation {
        Negotiation::default()
    }

    #[test]
    fn what_the_official_clients_announce_without_compression_is_accepted() {
        for query in [
            "",
            "enc=proto",
            "clevel=0&comp=context-takeover&cwinbits=0&enc=proto",
            "clevel=0&comp=context-takeover&cwinbits=0&enc=proto&tgid=a&tid=b",
            "enc=proto&something=else",
            "enc=&comp=",
        ] {
            let read = Negotiation::from_query(query).unwrap();
            assert_eq!((read.encoding, read.compression), (off().encoding, Compression::Off), "{query}");
        }
    }

    #[cfg(feature = "compression")]
    #[test]
    fn who_asks_for_compression_gets_what_the_reference_decides() {
        let per_message = |level| Compression::PerMessage { level };
        let context = |level, window_bits| Compression::ContextTakeover { level, window_bits };
        for (query, compression) in [
            ("clevel=6&comp=per-message&cwinbits=0", per_message(6)),
            ("clevel=6&comp=context-takeover&cwinbits=0", context(6, 0)),
            ("clevel=-1&comp=context-takeover&cwinbits=0", context(6, 0)),
            ("comp=context-takeover&clevel=1&cwinbits=9", context(1, 9)),
            ("comp=context-takeover&clevel=9&cwinbits=32", context(9, 15)),
            ("comp=context-takeover&clevel=09", context(9, 15)),
            ("comp=per-message", per_message(6)),
            ("comp=per-message&clevel=12", per_message(6)),
            ("clevel=3", per_message(3)),
        ] {
            let read = Negotiation::from_query(query).unwrap();
            assert_eq!(read.compression, compression, "{query}");
        }
    }

    #[cfg(feature = "compression")]
    #[test]
    fn level_0_is_off_unless_the_first_message_shows_otherwise() {
        let read = |query| Negotiation::from_query(query).unwrap().ambiguous;
        assert_eq!(read("comp=per-message&clevel=0"), Compression::PerMessage { level: 6 });
        assert_eq!(
            read("clevel=0&comp=context-takeover&cwinbits=9"),
            Compression::ContextTakeover { level: 6, window_bits: 9 }
        );
        assert_eq!(read("clevel=0"), Compression::Off);
        assert_eq!(read("comp=per-message&clevel=1"), Compression::Off);
    }

    #[test]
    fn a_server_reads_what_a_client_writes() {
        let mut compressions = vec![Compression::Off];
        if crate::features::has("compression") {
            compressions.push(Compression::PerMessage { level: 1 });
            compressions.push(Compression::ContextTakeover { level: 9, window_bits: 12 });
        }
        for compression in compressions {
            let own = Negotiation { compression, ..off() };
            assert_eq!(Negotiation::from_query(&own.to_query()), Ok(own.clone()));
            assert_eq!(Negotiation::from_bytes(&own.to_bytes()), Ok(own));
        }
        assert_eq!(off().to_bytes(), b"\x00\x03enc\x00\x05proto");
    }

    #[test]
    fn transports_that_belong_together_say_so() {
        let read = |query| Negotiation::from_query(query).unwrap();
        let group = |connection: &str, member: &str, numbered| {
            Some(Group { connection: connection.to_owned(), member: member.to_owned(), numbered })
        };
        for (query, expected) in [
            ("", None),
            ("tgid=&tid=", None),
            ("iscp-numbered=1", None),
            ("tgid=a&tid=b", group("a", "b", false)),
            ("tgid=a", group("a", "", false)),
            ("tid=b", group("", "b", false)),
            ("tgid=a&tid=b&iscp-numbered=1", group("a", "b", true)),
            ("tgid=a&tid=b&iscp-numbered=2", group("a", "b", false)),
        ] {
            assert_eq!(read(query).group, expected, "{query}");
        }
        let own = Negotiation { group: group("a b", "c&d", true), ..off() };
        assert_eq!(read(&own.to_query()), own);
        assert_eq!(Negotiation::from_bytes(&own.to_bytes()).unwrap(), own);
        assert!(!format!("{own:?}").contains("a b"));
        for key in ["tgid", "tid"] {
            let with = |length| Negotiation::from_query(&format!("{key}={}", "x".repeat(length)));
            assert!(with(256).is_ok());
            assert!(with(257).unwrap_err().to_string().contains(key));
        }
    }

    #[test]
    fn unusable_parameters_are_refused_by_name() {
        for (query, culprit) in [
            ("enc=xml", "xml"),
            ("enc=Proto", "Proto"),
            ("enc=proto&enc=proto", "enc"),
            ("=1", "empty"),
            ("comp=zip&clevel=1", "zip"),
            ("clevel=six", "six"),
            ("clevel=", "clevel"),
            ("clevel=%2B6", "+6"),
            ("clevel=-", "-"),
            ("comp=context-takeover&clevel=1&cwinbits=33", "33"),
            ("comp=context-takeover&clevel=1&cwinbits=-1", "-1"),
        ] {
            let error = Negotiation::from_query(query).unwrap_err().to_string();
            assert!(error.contains(culprit), "{query}: {error}");
        }
    }

    #[test]
    fn a_broken_negotiation_stream_is_refused() {
        for (bytes, culprit) in [
            (&b"\x00"[..], "key"),
            (b"\x00\x03en", "key"),
            (b"\x00\x03enc", "value"),
            (b"\x00\x03enc\x00", "value"),
            (b"\x00\x03enc\x00\x05prot", "value"),
            (b"\x00\x00\x00\x00", "empty"),
            (b"\x00\x01\xff\x00\x00", "UTF-8"),
            (b"\x00\x01a\x00\x01\xff", "UTF-8"),
        ] {
            let error = Negotiation::from_bytes(bytes).unwrap_err().to_string();
            assert!(error.contains(culprit), "{bytes:?}: {error}");
        }
        assert_eq!(Negotiation::from_bytes(b""), Ok(off()));
        assert!(Negotiation::from_bytes(&vec![0; MAX_NEGOTIATION + 1]).is_err());
        let many: Vec<_> = (0..65).map(|number| (format!("key{number}"), "")).collect();
        assert!(Negotiation::from_pairs(many).unwrap_err().to_string().contains("64 keys"));
    }
}

//! The parameters a client announces before the first message (docs/protocol/transport.md §1).

use crate::encoding::Encoding;

/// Parameters of a connection. The client chooses, the server never answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Negotiation {
    /// Encoding of the messages.
    pub encoding: Encoding,
}

/// Parameters that a server cannot accept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NegotiationError(String);

impl Negotiation {
    /// The parameters as the query component of a URL.
    pub fn to_query(&self) -> String {
        format!("enc={}", self.encoding.name())
    }

    /// The parameters in the query component of a request URL.
    ///
    /// Follows the rules for servers of docs/protocol/transport.md §1.3 and §1.6: unknown keys are
    /// ignored, `clevel=0` or no `clevel` beside absent `comp` means no compression, whatever else
    /// is announced.
    ///
    /// # Errors
    /// Names the key that is empty, given twice, or has a value this server does not support.
    pub fn from_query(query: &str) -> Result<Self, NegotiationError> {
        let mut seen: Vec<String> = Vec::new();
        let mut encoding = Encoding::default();
        let mut compression = String::new();
        let mut level = None;
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            if key.is_empty() {
                return Err(NegotiationError("a negotiation key is empty".to_owned()));
            }
            if seen.iter().any(|other| *other == key) {
                return Err(NegotiationError(format!("negotiation key {key:?} is given twice")));
            }
            match &*key {
                "enc" if value.is_empty() => {}
                "enc" => {
                    encoding = Encoding::from_name(&value)
                        .ok_or_else(|| NegotiationError(format!("encoding {value:?} is not supported")))?;
                }
                "comp" => compression = value.clone().into_owned(),
                "clevel" => {
                    level = Some(value.parse::<i64>().map_err(|_| {
                        NegotiationError(format!("compression level {value:?} is not a number"))
                    })?);
                }
                _ => {}
            }
            seen.push(key.into_owned());
        }
        let compressed = level.map_or(!compression.is_empty(), |level| level != 0);
        if compressed {
            return Err(NegotiationError("compression is not supported".to_owned()));
        }
        Ok(Self { encoding })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_official_clients_announce_is_accepted() {
        for query in [
            "",
            "enc=proto",
            "clevel=0&comp=context-takeover&cwinbits=0&enc=proto",
            "clevel=0&comp=context-takeover&cwinbits=0&enc=proto&tgid=a&tid=b",
            "enc=proto&something=else",
        ] {
            assert_eq!(Negotiation::from_query(query), Ok(Negotiation::default()), "{query}");
        }
        let own = Negotiation::default();
        assert_eq!(Negotiation::from_query(&own.to_query()), Ok(own));
    }

    #[test]
    fn unusable_parameters_are_refused_by_name() {
        for (query, culprit) in [
            ("enc=xml", "xml"),
            ("enc=Proto", "Proto"),
            ("enc=proto&enc=proto", "enc"),
            ("=1", "empty"),
            ("clevel=6", "compression"),
            ("comp=per-message", "compression"),
            ("clevel=six", "six"),
        ] {
            let error = Negotiation::from_query(query).unwrap_err().to_string();
            assert!(error.contains(culprit), "{query}: {error}");
        }
    }
}

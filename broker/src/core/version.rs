//! Protocol versions (docs/protocol/behaviour.md §11 item 7, docs/protocol/messages.md §13).

/// Version that holds on a connection. Never another than these two: Go refuses what lies outside
/// 2.0.0 ≤ v < 3.1.0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Version {
    V2,
    V3,
}

impl Version {
    /// Text for `ConnectResponse`.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::V2 => "2.0.0",
            Self::V3 => "3.0.0",
        }
    }

    /// Version for a client that announces `text` as the highest it speaks; `None` if there is none
    /// in common. Short forms such as `3.0` are taken; a pre-release lies below its version.
    pub(super) fn for_client(text: &str) -> Option<Self> {
        let text = text.split('+').next()?;
        let (numbers, prerelease) = match text.split_once('-') {
            Some((numbers, _)) => (numbers, true),
            None => (text, false),
        };
        let mut parsed = [0u64; 3];
        for (i, part) in numbers.split('.').enumerate() {
            if part.is_empty() || !part.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            *parsed.get_mut(i)? = part.parse().ok()?;
        }
        match parsed {
            [2, 0, 0] if prerelease => None,
            [2, ..] => Some(Self::V2),
            [3, 0, 0] if prerelease => Some(Self::V2),
            [3, ..] => Some(Self::V3),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_get_the_version_they_can_check() {
        for (text, expected) in [
            ("2.0.0", Some(Version::V2)),
            ("2.1.0", Some(Version::V2)),
            ("2.9", Some(Version::V2)),
            ("3.0.0", Some(Version::V3)),
            ("3.0.7+build", Some(Version::V3)),
            ("3.0", Some(Version::V3)),
            ("3.1.0", Some(Version::V3)),
            ("3.0.0-rc.1", Some(Version::V2)),
            ("1.9.9", None),
            ("4.0.0", None),
            ("", None),
            ("v3.0.0", None),
            ("3.0.0.0", None),
            ("three", None),
            ("99999999999999999999.0.0", None),
        ] {
            assert_eq!(Version::for_client(text), expected, "{text}");
        }
    }
}

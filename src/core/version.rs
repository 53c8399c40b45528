//! Which protocol versions of a server this client accepts.

use semver::Version;

use crate::error::{Error, Status};

/// Accepts 2.0.0 up to, not including, 3.1.0, short forms included, as the official Go client does
/// (docs/protocol/messages.md §13).
pub(super) fn check(version: &str) -> Result<(), Error> {
    let dots = version.split(['-', '+']).next().unwrap_or_default().matches('.').count();
    let padded = format!("{version}{}", ".0".repeat(2_usize.saturating_sub(dots)));
    let accepted = Version::parse(&padded)
        .is_ok_and(|version| version >= Version::new(2, 0, 0) && version < Version::new(3, 1, 0));
    if accepted {
        return Ok(());
    }
    Err(Error::new(
        Status::IncompatibleVersion,
        format!("connect: the server speaks protocol version {version:?}; this client speaks 2.0.0 to 3.0.x"),
    ))
}

/// Whether streams are resumed with tokens (docs/protocol/behaviour.md §9).
pub(super) fn has_resume_tokens(version: &str) -> bool {
    version.split('.').next().is_some_and(|major| major == "3")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_accepted_as_the_go_client_does() {
        for version in ["2.0.0", "2.1.0", "2.9.9", "3.0.0", "3.0.1", "3.0", "3", "3.1.0-rc.1"] {
            assert_eq!(check(version), Ok(()), "{version}");
        }
        for version in ["", "v3.0.0", "1.9.9", "3.1.0", "4.0.0", "text"] {
            assert!(check(version).is_err(), "{version}");
        }
    }
}

//! Which faults there are, and how often.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Faults to inject. The default injects none.
///
/// Times are counted from the beginning of a connection, bytes and datagrams within it, each direction on its
/// own. For UDP, all datagrams from and to one address of a client are a connection.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Faults {
    /// A connection is cut this long after it began.
    pub cut_every: Option<Between<Duration>>,
    /// A TCP connection is cut when one of its directions has carried so many bytes.
    pub cut_after_bytes: Option<Between<Size>>,
    /// How TCP connections are cut.
    pub cut_by: Cut,
    /// This long after a TCP connection began one of its directions ends: its receiver sees the end of the
    /// stream, its sender may go on. After as long again the other one ends.
    pub half_close_every: Option<Between<Duration>>,
    /// This long after a connection began nothing is forwarded in one of its directions any more, but it stays
    /// open. After as long again the other one goes silent.
    pub silence_every: Option<Between<Duration>>,
    /// This long after a connection began, and after every black hole, nothing is forwarded in either direction.
    pub black_hole_every: Option<Between<Duration>>,
    /// How long that lasts. What TCP carries is late then; datagrams are lost. Without it, it lasts as long as the
    /// connection.
    pub black_hole_for: Option<Between<Duration>>,
    /// Everything is this late, in each direction.
    pub delay: Duration,
    /// Besides, everything is late by a time between zero and this, each KiB of TCP by another one, and each
    /// datagram. Datagrams can overtake each other by it.
    pub jitter: Duration,
    /// Bytes per second, in each direction of each connection.
    pub rate: Option<Size>,
    /// Distance of the bytes that are changed in a TCP connection.
    pub corrupt_every_bytes: Option<Between<Size>>,
    /// Datagrams that are lost.
    pub drop: Chance,
    /// Datagrams that come twice.
    pub duplicate: Chance,
    /// Datagrams that are overtaken by up to three later ones.
    pub reorder: Chance,
    /// Datagrams of which a byte is changed.
    pub corrupt: Chance,
}

/// How a TCP connection is cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cut {
    /// With RST: what is on its way is lost, and both ends see an error.
    #[default]
    Reset,
    /// With FIN: both ends see the end of the stream behind what was forwarded.
    Finish,
}

/// Text that is no value of an option.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ParseError(String);

/// What [`Between`] is of.
pub trait Quantity: Copy + PartialOrd {
    /// Reads one value.
    ///
    /// # Errors
    /// Says what is expected.
    fn read(text: &str) -> Result<Self, ParseError>;
    /// Whether it is nothing at all.
    fn is_zero(&self) -> bool;
}

impl Quantity for Duration {
    fn read(text: &str) -> Result<Self, ParseError> {
        humantime::parse_duration(text)
            .map_err(|error| ParseError(format!("{text:?} is not a duration such as 500ms or 2s: {error}")))
    }

    fn is_zero(&self) -> bool {
        Self::is_zero(self)
    }
}

/// A number of bytes. Written with a factor: k, M or G.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

impl FromStr for Size {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (digits, unit) = text.split_at(split);
        let factor = match unit {
            "" => Some(1),
            "k" => Some(1_000),
            "M" => Some(1_000_000),
            "G" => Some(1_000_000_000),
            _ => None,
        };
        factor
            .and_then(|factor| digits.parse::<u64>().ok()?.checked_mul(factor))
            .map(Self)
            .ok_or_else(|| ParseError(format!("{text:?} is not a number of bytes such as 500, 64k or 2M")))
    }
}

impl Quantity for Size {
    fn read(text: &str) -> Result<Self, ParseError> {
        text.parse()
    }

    fn is_zero(&self) -> bool {
        self.0 == 0
    }
}

/// One value, or any of a range. Never zero. Written as `2s` or `1s..3s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Between<T> {
    from: T,
    to: T,
}

impl<T: Quantity> Between<T> {
    /// Any value from `from` up to and including `to`.
    ///
    /// # Errors
    /// The range is empty, or contains zero.
    pub fn new(from: T, to: T) -> Result<Self, ParseError> {
        if from.is_zero() {
            return Err(ParseError("must be above 0".to_owned()));
        }
        if to < from {
            return Err(ParseError("the range is empty".to_owned()));
        }
        Ok(Self { from, to })
    }

    /// Always the same value.
    ///
    /// # Errors
    /// It is zero.
    pub fn exactly(value: T) -> Result<Self, ParseError> {
        Self::new(value, value)
    }

    /// The smallest value.
    pub fn from(&self) -> T {
        self.from
    }

    /// The largest value.
    pub fn to(&self) -> T {
        self.to
    }
}

impl<T: Quantity> FromStr for Between<T> {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let Some((from, to)) = text.split_once("..") else {
            let value = T::read(text)?;
            return Self::exactly(value).map_err(|ParseError(why)| ParseError(format!("{text:?}: {why}")));
        };
        T::read(from)
            .and_then(|from| Self::new(from, T::read(to)?))
            .map_err(|ParseError(why)| ParseError(format!("{text:?}: {why}")))
    }
}

/// A probability, never by default. Written as `2.5%`.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Chance(f64);

impl Chance {
    /// The probability, from 0 to 1.
    pub fn fraction(self) -> f64 {
        self.0
    }
}

impl FromStr for Chance {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        text.strip_suffix('%')
            .and_then(|number| number.parse::<f64>().ok())
            .filter(|percent| (0.0..=100.0).contains(percent))
            .map(|percent| Self(percent / 100.0))
            .ok_or_else(|| ParseError(format!("{text:?} is not a percentage from 0% to 100%")))
    }
}

impl fmt::Display for Chance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0 * 100.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_with_their_units() {
        let seconds = |from, to| Between::new(Duration::from_secs(from), Duration::from_secs(to));
        assert_eq!("2s".parse(), seconds(2, 2));
        assert_eq!("1s..1m".parse(), seconds(1, 60));
        assert_eq!("10k..2M".parse(), Between::new(Size(10_000), Size(2_000_000)));
        assert_eq!("2.5%".parse::<Chance>().unwrap().fraction(), 0.025);
    }

    #[test]
    fn values_without_sense_are_refused_by_name() {
        for text in ["", "2", "s", "-1s", "2s..", "..2s", "3s..2s", "0s", "0s..1s"] {
            let error = text.parse::<Between<Duration>>().unwrap_err().to_string();
            assert!(error.contains(text), "{text}: {error}");
        }
        for text in ["", "k", "-1", "1.5k", "1K", "0", "0..5", "99999999999G", "2..1"] {
            let error = text.parse::<Between<Size>>().unwrap_err().to_string();
            assert!(error.contains(text), "{text}: {error}");
        }
        for text in ["", "%", "1", "-1%", "101%", "NaN%"] {
            assert!(text.parse::<Chance>().unwrap_err().to_string().contains(text), "{text}");
        }
    }
}

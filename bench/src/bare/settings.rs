//! What the harness asks for.

use std::fmt;
use std::str::FromStr;

/// A role, key or value that this program does not know.
#[derive(Debug)]
pub(crate) struct Unsupported(pub(crate) String);

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not supported: {}", self.0)
    }
}

impl std::error::Error for Unsupported {}

/// The keys that mean something to a bare socket.
#[derive(Debug)]
pub(crate) struct Settings {
    /// Whether it is a WebSocket; otherwise it is TCP.
    pub(crate) over_websocket: bool,
    /// `HOST:PORT`.
    pub(crate) address: String,
    /// Bytes of a point.
    pub(crate) payload: usize,
    pub(crate) points: u64,
    /// Points a second; 0 is as fast as they are taken.
    pub(crate) rate: f64,
}

impl Settings {
    pub(crate) fn read(arguments: &[String]) -> Result<Self, Unsupported> {
        let mut settings =
            Self { over_websocket: false, address: String::new(), payload: 32, points: 1, rate: 0.0 };
        for argument in arguments {
            let unsupported = || Unsupported(argument.clone());
            let (key, value) = argument.split_once('=').ok_or_else(unsupported)?;
            match key {
                "url" => {
                    let (scheme, rest) = value.split_once("://").ok_or_else(unsupported)?;
                    settings.over_websocket = match scheme {
                        "ws" => true,
                        "tcp" => false,
                        _ => return Err(unsupported()),
                    };
                    settings.address = rest.trim_end_matches('/').to_owned();
                }
                "payload" => {
                    settings.payload = parse(value).filter(|bytes| *bytes > 0).ok_or_else(unsupported)?
                }
                "points" => {
                    settings.points = parse(value).filter(|points| *points > 0).ok_or_else(unsupported)?
                }
                "rate" => {
                    settings.rate = parse(value).filter(|rate: &f64| *rate >= 0.0).ok_or_else(unsupported)?;
                }
                // A bare socket has neither.
                "session" | "ids" | "qos" | "flush" => {}
                _ => return Err(unsupported()),
            }
        }
        Ok(settings)
    }

    /// Bytes of a message, and how many messages there are: several points in each when they are small.
    pub(crate) fn messages(&self) -> (usize, u64) {
        let points = (crate::MESSAGE / self.payload).max(1);
        (points * self.payload, self.points.div_ceil(points as u64))
    }
}

fn parse<T: FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &[&str]) -> Result<Settings, Unsupported> {
        Settings::read(&arguments.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn small_points_share_a_message_and_large_ones_do_not() {
        let settings = read(&["url=ws://127.0.0.1:1/", "payload=32", "points=1000"]).unwrap();
        assert!(settings.over_websocket);
        assert_eq!(settings.address, "127.0.0.1:1");
        assert_eq!(settings.messages(), (312 * 32, 4));
        let settings = read(&["url=tcp://127.0.0.1:1", "payload=65536", "points=7"]).unwrap();
        assert!(!settings.over_websocket);
        assert_eq!(settings.messages(), (65536, 7));
    }

    #[test]
    fn what_is_not_known_is_refused_by_name() {
        for argument in ["encoding=json", "points=0", "payload=x", "url=quic://a:1", "rate=-1", "word"] {
            assert!(read(&[argument]).unwrap_err().to_string().contains(argument));
        }
    }
}

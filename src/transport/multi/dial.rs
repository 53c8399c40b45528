//! Several paths to a server (docs/multi-transport.md).

use std::str::FromStr;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};
use tracing::{debug, info};
use uuid::Uuid;

use super::{Bundle, Entrance, Joining, Numbering, Scheduler, Settings};
use crate::error::{Error, Status};
use crate::transport::dial::{self, DialOptions};
use crate::transport::socket::SocketOptions;
use crate::transport::{Group, Target, Transport, TransportError};

/// Paths of a connection at most: what servers take (docs/protocol/transport.md §7.7).
pub const MAX_PATHS: usize = 16;

/// How long dialling one may take.
const DIAL_LIMIT: Duration = Duration::from_secs(10);

/// Settings of a connection over several transports.
#[derive(Clone, Debug)]
pub struct MultiOptions {
    /// The transports. None: the connection has one, as usual.
    pub paths: Vec<PathOptions>,
    /// How messages are spread over them.
    pub scheduler: Scheduler,
    /// Pause before a transport is dialled again.
    pub redial_interval: Duration,
    /// Time between two pings of a transport.
    pub ping_interval: Duration,
    /// Silence after a ping that ends a transport.
    pub silence_limit: Duration,
    /// Time without any transport that ends the connection.
    pub grace: Duration,
}

/// One transport of several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PathOptions {
    /// Where to connect to, if not to the address of the connection.
    pub target: Option<Target>,
    /// Where its socket is bound.
    pub socket: SocketOptions,
}

impl PathOptions {
    /// A path of texts, each empty where nothing is prescribed.
    ///
    /// # Errors
    /// Says which text is of another form.
    pub fn new(url: &str, local_address: &str, interface: &str) -> Result<Self, Error> {
        let invalid = |why| Error::new(Status::InvalidOption, why);
        let mut path = Self::default();
        if !url.is_empty() {
            path.target = Some(Target::parse(url)?);
        }
        path.socket.set_local_address(local_address).map_err(invalid)?;
        path.socket.set_interface(interface).map_err(invalid)?;
        Ok(path)
    }
}

impl FromStr for PathOptions {
    type Err = Error;

    /// Reads the words `url=`, `local_address=` and `interface=` with their values, those that are there.
    fn from_str(text: &str) -> Result<Self, Error> {
        let mut parts = [("url", None), ("local_address", None), ("interface", None)];
        for word in text.split_ascii_whitespace() {
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            match parts.iter_mut().find(|(known, _)| *known == name) {
                Some((_, part @ None)) if !value.is_empty() => *part = Some(value),
                _ => {
                    let why = format!("{word:?} is not one of url=, local_address= or interface=, once each");
                    return Err(Error::new(Status::InvalidOption, why));
                }
            }
        }
        let [url, local_address, interface] = parts.map(|(_, part)| part.unwrap_or_default());
        Self::new(url, local_address, interface)
    }
}

impl Default for MultiOptions {
    fn default() -> Self {
        Self {
            paths: Vec::new(),
            scheduler: Scheduler::default(),
            redial_interval: Duration::from_secs(1),
            ping_interval: Duration::from_secs(1),
            silence_limit: Duration::from_secs(10),
            grace: Duration::from_secs(10),
        }
    }
}

impl MultiOptions {
    /// Whether connections have several transports.
    pub fn is_used(&self) -> bool {
        !self.paths.is_empty()
    }

    /// Address and settings of each transport; `None` for a connection with one.
    pub(in crate::transport) fn split(
        &self,
        target: &Target,
        options: &DialOptions,
    ) -> Option<Vec<(Target, DialOptions)>> {
        if !self.is_used() {
            return None;
        }
        let path = |path: &PathOptions| {
            let target = path.target.clone().unwrap_or_else(|| target.clone());
            let multi = Self { paths: Vec::new(), ..self.clone() };
            let socket = SocketOptions { multipath: options.socket.multipath, ..path.socket.clone() };
            (target, DialOptions { socket, multi, ..options.clone() })
        };
        Some(self.paths.iter().map(path).collect())
    }
}

/// What a path is called.
fn name(target: &Target, socket: &SocketOptions) -> String {
    let mut name = target.to_string();
    if let Some(interface) = &socket.interface {
        name.push_str(&format!(" by {interface}"));
    }
    if let Some(address) = socket.local_address {
        name.push_str(&format!(" from {address}"));
    }
    name
}

/// Connects by all paths at once. Done with the first that is connected; the others join when they are.
///
/// # Errors
/// Says why no path could be connected.
pub(in crate::transport) async fn dial(
    paths: Vec<(Target, DialOptions)>,
    options: &MultiOptions,
) -> Result<Box<dyn Transport>, TransportError> {
    let Some((_, first)) = paths.first() else {
        return Err(TransportError::Setting("a connection without a path".to_owned()));
    };
    let (bundle, entrance) = Bundle::new(Settings {
        server: false,
        numbering: Numbering::Undecided,
        scheduler: options.scheduler,
        ping_interval: options.ping_interval,
        silence_limit: options.silence_limit,
        grace: options.grace,
        datagrams: paths.iter().any(|(target, _)| !target.scheme.is_websocket()),
        max_message_size: first.max_message_size,
    });
    let connection = Uuid::new_v4().to_string();
    let count = paths.len();
    let (report, mut reports) = mpsc::channel(count);
    for (index, (target, mut dial)) in paths.into_iter().enumerate() {
        let member = index.to_string();
        dial.negotiation.group = Some(Group { connection: connection.clone(), member, numbered: true });
        let dialler = Dialler {
            name: name(&target, &dial.socket),
            slot: index.to_string(),
            target,
            dial,
            redial_interval: options.redial_interval,
            entrance: entrance.clone(),
        };
        // Ends with the bundle.
        tokio::spawn(dialler.run(report.clone()));
    }
    drop((report, entrance));
    let mut failures = Vec::new();
    while let Some(outcome) = reports.recv().await {
        match outcome {
            Ok(()) => return Ok(Box::new(bundle)),
            Err(error) => failures.push(error),
        }
    }
    Err(combined(failures))
}

/// The failures of all paths as one, which is of the kind of the first.
fn combined(failures: Vec<TransportError>) -> TransportError {
    let why = failures.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    match failures.into_iter().next() {
        Some(TransportError::Resolve(_)) => TransportError::Resolve(why),
        Some(TransportError::Handshake(_)) => TransportError::Handshake(why),
        Some(TransportError::Tls(_)) => TransportError::Tls(why),
        Some(TransportError::Setting(_)) => TransportError::Setting(why),
        Some(TransportError::Lost(_)) => TransportError::Lost(why),
        Some(TransportError::Malformed(_)) => TransportError::Malformed(why),
        Some(TransportError::Connect(_)) | None => TransportError::Connect(why),
    }
}

/// Keeps one path connected.
struct Dialler {
    name: String,
    slot: String,
    target: Target,
    dial: DialOptions,
    redial_interval: Duration,
    entrance: Entrance,
}

impl Dialler {
    /// Dials until the bundle has ended. The outcome of the first attempt is reported.
    async fn run(self, report: mpsc::Sender<Result<(), TransportError>>) {
        let mut report = Some(report);
        loop {
            let connected = tokio::select! {
                biased;
                () = self.entrance.closed() => return,
                connected = timeout(DIAL_LIMIT, dial::one(&self.target, &self.dial)) => connected,
            };
            let connected = connected.unwrap_or_else(|_| {
                Err(TransportError::Connect(format!("{} took longer than {DIAL_LIMIT:?}", self.target)))
            });
            match connected {
                Ok(transport) => {
                    let (gone, lost) = oneshot::channel();
                    let joining =
                        Joining { slot: self.slot.clone(), name: self.name.clone(), transport, gone };
                    if !self.entrance.join(joining).await {
                        return;
                    }
                    info!("path {} is up", self.name);
                    if let Some(report) = report.take() {
                        // Fails when another path was sooner.
                        let _ = report.send(Ok(())).await;
                    }
                    // Its sender sends nothing.
                    let _ = lost.await;
                    info!("path {} is down", self.name);
                }
                Err(error) => {
                    debug!("path {}: {error}", self.name);
                    if let Some(report) = report.take() {
                        let _ = report.send(Err(error)).await;
                    }
                }
            }
            tokio::select! {
                () = self.entrance.closed() => return,
                () = sleep(self.redial_interval) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_read_from_words() {
        let path: PathOptions = "interface=wwan0  url=ws://host:1/x local_address=::1".parse().unwrap();
        assert_eq!(path, PathOptions::new("ws://host:1/x", "::1", "wwan0").unwrap());
        assert_eq!(path.target, Some(Target::parse("ws://host:1/x").unwrap()));
        assert_eq!("".parse(), Ok(PathOptions::default()));
        for (text, culprit) in [
            ("eth0", "eth0"),
            ("interface=", "interface="),
            ("interface=a interface=b", "interface=b"),
            ("device=a", "device"),
            ("interface=a_name_that_is_too_long", "long"),
            ("local_address=host", "host"),
            ("url=ftp://host", "ftp"),
        ] {
            let error = text.parse::<PathOptions>().unwrap_err();
            assert_eq!(error.status(), Status::InvalidOption, "{text}");
            assert!(error.message().contains(culprit), "{text}: {error}");
        }
    }

    #[test]
    fn every_path_has_the_settings_of_the_connection() {
        let target = Target::parse("ws://main:1").unwrap();
        let mut options = DialOptions { max_message_size: 77, ..DialOptions::default() };
        assert!(options.multi.split(&target, &options).is_none());
        options.multi.paths = vec![
            PathOptions::new("", "", "wwan0").unwrap(),
            PathOptions::new("ws://other:2", "", "").unwrap(),
        ];
        let paths = options.multi.split(&target, &options).unwrap();
        let shown: Vec<_> = paths.iter().map(|(target, dial)| name(target, &dial.socket)).collect();
        assert_eq!(shown, [format!("{} by wwan0", paths[0].0), paths[1].0.to_string()]);
        assert!(paths.iter().all(|(_, dial)| dial.max_message_size == 77 && !dial.multi.is_used()));
        assert_eq!((paths[0].0.host.as_str(), paths[1].0.port), ("main", 2));
        assert_eq!(options.targets(&target).len(), 2);
    }
}

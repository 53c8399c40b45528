//! Streams without a connection, and how they find a new one (docs/protocol/behaviour.md §4.4, §9,
//! §11 items 18, 19, 44 to 47, 59, 60).

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use iscp::message::ResultCode;
use tracing::debug;

use super::arena::Key;
use super::connection::{Phase, same_secret};
use super::outbox::Answer;
use super::snapshot::form;
use super::timers::Timer;
use super::version::Version;
use super::{Broker, ConnId};

/// What ties a stream to the client that opened it.
#[derive(Debug)]
pub(super) struct Tie {
    /// The connection that carries the stream; `None` while it is detached.
    pub(super) connection: Option<ConnId>,
    /// Node that opened the stream.
    pub(super) owner: Arc<str>,
    /// The owner has its name from the broker, and a new one on every connection.
    anonymous: bool,
    tokens: Tokens,
    /// How long the stream survives its connection.
    expiry: Duration,
    /// When the client last sent something on the stream.
    last_heard: Instant,
}

impl Tie {
    /// The client used the stream: it knows the newest token.
    pub(super) fn heard(&mut self, now: Instant) {
        self.last_heard = now;
        self.tokens.previous = None;
    }
}

impl Tie {
    /// As it is written into a snapshot, `left` before the stream is given up, and `place` among the detached
    /// ones of its owner.
    pub(super) fn save(&self, left: Duration, place: u32) -> form::Tie {
        form::Tie {
            owner: self.owner.to_string(),
            anonymous: self.anonymous,
            token: self.tokens.newest.clone(),
            previous_token: self.tokens.previous.clone(),
            expiry_ns: form::nanos(self.expiry),
            left_ns: form::nanos(left),
            place,
        }
    }

    /// The tie of a stream without a connection.
    pub(super) fn load(saved: form::Tie, now: Instant) -> Self {
        Self {
            connection: None,
            owner: saved.owner.into(),
            anonymous: saved.anonymous,
            tokens: Tokens { newest: saved.token, previous: saved.previous_token },
            expiry: Duration::from_nanos(saved.expiry_ns),
            last_heard: now,
        }
    }
}

/// Resume tokens of a stream. A client that never saw the answer with the newest one comes with the one
/// before (docs/protocol/behaviour.md §9).
#[derive(Debug)]
struct Tokens {
    /// Empty for a stream of a client that knows no tokens.
    newest: String,
    /// Accepted until the newest was used or the stream carried something.
    previous: Option<String>,
}

impl Tokens {
    fn new(token: String) -> Self {
        Self { newest: token, previous: None }
    }

    fn are_needed(&self) -> bool {
        !self.newest.is_empty()
    }

    fn accept(&self, given: &str) -> bool {
        // Both are compared, so that time tells nothing.
        same_secret(&self.newest, given)
            | self.previous.as_ref().is_some_and(|previous| same_secret(previous, given))
    }

    /// The token for the answer to a resume with `given`. A client that repeats the previous one gets the
    /// same again: whichever of the answers it reads holds good.
    fn renew(&mut self, given: &str, fresh: String) -> String {
        if same_secret(&self.newest, given) || !self.are_needed() {
            self.previous = Some(std::mem::replace(&mut self.newest, fresh));
        }
        self.newest.clone()
    }
}

/// A stream, whichever its direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Stream {
    Upstream(Key),
    Downstream(Key),
}

impl Stream {
    /// Timer that ends the stream while it is detached.
    pub(super) fn expiry(self) -> Timer {
        match self {
            Self::Upstream(key) => Timer::UpstreamExpiry(key),
            Self::Downstream(key) => Timer::DownstreamExpiry(key),
        }
    }
}

/// Streams that wait for their clients.
#[derive(Debug, Default)]
pub(super) struct Detached {
    /// Longest detached first.
    by_owner: HashMap<Arc<str>, VecDeque<Stream>>,
    streams: usize,
    /// What waits in the downstreams among them.
    pub(super) bytes: usize,
}

impl Detached {
    /// Takes a stream in. Returns how many of its owner there are now.
    fn add(&mut self, owner: &Arc<str>, stream: Stream) -> usize {
        let streams = self.by_owner.entry(Arc::clone(owner)).or_default();
        streams.push_back(stream);
        self.streams += 1;
        streams.len()
    }

    pub(super) fn remove(&mut self, owner: &str, stream: Stream) {
        let Some(streams) = self.by_owner.get_mut(owner) else { return };
        let Some(at) = streams.iter().position(|other| *other == stream) else { return };
        streams.remove(at);
        self.streams -= 1;
        if streams.is_empty() {
            self.by_owner.remove(owner);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.streams
    }

    /// The streams of every owner, each with its place among them.
    pub(super) fn places(&self) -> impl Iterator<Item = (Stream, u32)> {
        self.by_owner.values().flat_map(|streams| streams.iter().copied().zip(0..))
    }

    fn oldest(&self, owner: &str) -> Option<Stream> {
        self.by_owner.get(owner)?.front().copied()
    }
}

/// Why a stream is not resumed.
pub(super) type Refusal = (ResultCode, &'static str);

pub(super) const NO_SUCH_STREAM: Refusal = (ResultCode::STREAM_NOT_FOUND, "no such stream");

impl Broker {
    /// The tie of a new stream on a connection, and the token for the answer.
    pub(super) fn tie(&mut self, conn: ConnId, expiry_s: u32, now: Instant) -> Option<(Tie, String)> {
        let session = self.session(conn)?;
        let (owner, anonymous, version) = (Arc::clone(&session.node_id), session.anonymous, session.version);
        let token = self.resume_token(version);
        let tie = Tie {
            connection: Some(conn),
            owner,
            anonymous,
            tokens: Tokens::new(token.clone()),
            expiry: Duration::from_secs(u64::from(expiry_s)),
            last_heard: now,
        };
        Some((tie, token))
    }

    /// Whether a connection may resume a stream with the token it gives.
    ///
    /// A stream with a token goes to whoever has the token and is the same node; a broker-given node name
    /// counts as the same as any other, since such a client cannot keep its name. Below 3.0.0 there are no
    /// tokens, and the node alone decides.
    pub(super) fn check_resume(&self, conn: ConnId, tie: Option<&Tie>, given: &str) -> Result<(), Refusal> {
        let (Some(session), Some(tie)) = (self.session(conn), tie) else {
            return Err(NO_SUCH_STREAM);
        };
        let needs_token = tie.tokens.are_needed();
        if tie.owner != session.node_id && !(needs_token && tie.anonymous && session.anonymous) {
            return Err((ResultCode::STREAM_NOT_FOUND, "the stream belongs to another node"));
        }
        if needs_token && !tie.tokens.accept(given) {
            // Below 3.0.0 clients cannot decode the code (docs/protocol/behaviour.md §0.5).
            let code = match session.version {
                Version::V2 => ResultCode::STREAM_NOT_FOUND,
                Version::V3 => ResultCode::INVALID_RESUME_TOKEN,
            };
            return Err((code, "wrong resume token"));
        }
        if tie.connection == Some(conn) {
            return Ok(());
        }
        if !needs_token && self.is_in_use(tie, session.since) {
            return Err((ResultCode::RESUME_REQUEST_CONFLICT, "the stream is in use on another connection"));
        }
        if session.upstreams.len() + session.downstreams.len() >= self.config.limits.streams_per_connection {
            return Err((ResultCode::TOO_MANY_STREAMS, "too many streams on one connection"));
        }
        Ok(())
    }

    /// Whether the connection of a stream is demonstrably alive for its client, seen from a connection that
    /// exists `since`: the stream carried something on it so much later that this cannot have been under way
    /// when the client gave it up. That it still answers pings proves nothing: TypeScript does so on
    /// connections it has abandoned (docs/protocol/behaviour.md §12.4 T5).
    fn is_in_use(&self, tie: &Tie, since: Instant) -> bool {
        let Some(session) = tie.connection.and_then(|old| self.session(old)) else { return false };
        tie.last_heard > since + session.ping_timeout + self.config.timing.ping_margin
    }

    /// Gives a resumed stream to a connection that [`Broker::check_resume`] found entitled. Returns the token
    /// for the answer.
    pub(super) fn retie(&mut self, conn: ConnId, stream: Stream, given: &str) -> Option<String> {
        let session = self.session(conn)?;
        let (owner, anonymous, version) = (Arc::clone(&session.node_id), session.anonymous, session.version);
        let fresh = self.resume_token(version);
        self.untie(stream);
        let tie = self.tie_mut(stream)?;
        tie.connection = Some(conn);
        tie.owner = owner;
        tie.anonymous = anonymous;
        Some(match version {
            Version::V2 => fresh,
            Version::V3 => tie.tokens.renew(given, fresh),
        })
    }

    fn tie_mut(&mut self, stream: Stream) -> Option<&mut Tie> {
        match stream {
            Stream::Upstream(key) => Some(&mut self.upstreams.get_mut(key)?.tie),
            Stream::Downstream(key) => Some(&mut self.downstreams.get_mut(key)?.tie),
        }
    }

    /// Takes a stream from its connection, which stays as it is otherwise, or out of those that have none.
    fn untie(&mut self, stream: Stream) {
        let Some(tie) = self.tie_mut(stream) else { return };
        let owner = Arc::clone(&tie.owner);
        match tie.connection.take() {
            Some(conn) => {
                debug!(conn = conn.0, ?stream, "stream taken over from its connection");
                self.forget_stream(conn, stream);
            }
            None => self.detached.remove(&owner, stream),
        }
    }

    /// Decides what becomes of a stream that has lost its connection.
    pub(super) fn await_resume(&mut self, stream: Stream, now: Instant) {
        let Some(tie) = self.tie_mut(stream) else { return };
        let expiry = tie.expiry;
        if expiry.is_zero() {
            return self.give_up(stream, now);
        }
        self.keep_detached(stream, expiry, now);
    }

    /// Keeps a stream without a connection for `left`, or the shortest time there is, if there is room.
    pub(super) fn keep_detached(&mut self, stream: Stream, left: Duration, now: Instant) {
        let limits = &self.config.limits;
        let (max, max_of_node) = (limits.detached_streams, limits.detached_streams_per_node.max(1));
        let is_full = self.detached.streams >= max || self.detached.bytes > limits.detached_bytes;
        let min_expiry = self.config.timing.min_expiry;
        if is_full {
            return self.give_up(stream, now);
        }
        let Some(tie) = self.tie_mut(stream) else { return };
        let owner = Arc::clone(&tie.owner);
        self.timers.set(stream.expiry(), now + left.max(min_expiry));
        if self.detached.add(&owner, stream) > max_of_node
            && let Some(oldest) = self.detached.oldest(&owner)
        {
            self.give_up(oldest, now);
        }
    }

    /// Takes a stream out of what a connection has and is about to send.
    fn forget_stream(&mut self, conn: ConnId, stream: Stream) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        match stream {
            Stream::Upstream(key) => {
                connection.out.answers.retain(|answer| !matches!(answer, Answer::Acks(acks) if *acks == key))
            }
            Stream::Downstream(key) => connection.out.turns.retain(|turn| *turn != key),
        }
        if let Phase::Open(session) = &mut connection.phase {
            match stream {
                Stream::Upstream(key) => session.upstreams.retain(|other| *other != key),
                Stream::Downstream(key) => session.downstreams.retain(|_, other| *other != key),
            }
        }
    }

    fn give_up(&mut self, stream: Stream, now: Instant) {
        match stream {
            Stream::Upstream(key) => self.expire_upstream(key, now),
            Stream::Downstream(key) => self.expire_downstream(key, now),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_missed_an_answer_may_repeat_its_token() {
        let mut tokens = Tokens::new("a".to_owned());
        assert!(tokens.accept("a") && !tokens.accept("b") && !tokens.accept(""));
        assert_eq!(tokens.renew("a", "b".to_owned()), "b");
        assert!(tokens.accept("a") && tokens.accept("b"));
        assert_eq!(tokens.renew("a", "c".to_owned()), "b", "the answer it missed, once more");
        assert_eq!(tokens.renew("b", "d".to_owned()), "d");
        assert!(!tokens.accept("a") && tokens.accept("b") && tokens.accept("d"));
    }

    #[test]
    fn a_stream_without_a_token_gets_one_and_may_be_resumed_without_until_it_is_used() {
        let mut tokens = Tokens::new(String::new());
        assert!(!tokens.are_needed());
        assert_eq!(tokens.renew("", "a".to_owned()), "a");
        assert!(tokens.are_needed() && tokens.accept("") && tokens.accept("a"));
        assert_eq!(tokens.renew("a", "b".to_owned()), "b");
        assert!(!tokens.accept(""));
    }

    #[test]
    fn detached_streams_are_known_by_owner_and_age() {
        let mut detached = Detached::default();
        let key = super::super::arena::Arena::default().insert(());
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        assert_eq!(detached.add(&a, Stream::Upstream(key)), 1);
        assert_eq!(detached.add(&a, Stream::Downstream(key)), 2);
        assert_eq!(detached.add(&b, Stream::Upstream(key)), 1);
        assert_eq!(detached.oldest("a"), Some(Stream::Upstream(key)));
        detached.remove("a", Stream::Upstream(key));
        detached.remove("a", Stream::Upstream(key));
        assert_eq!((detached.oldest("a"), detached.streams), (Some(Stream::Downstream(key)), 2));
        detached.remove("a", Stream::Downstream(key));
        assert_eq!(detached.by_owner.len(), 1);
    }
}

//! Several transports as one.

mod sending;
mod transport;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Sleep, sleep_until};
use tracing::debug;

use super::control::Control;
use super::member::{Member, Verdict};
use super::order::{Reorder, SendLog};
use super::scheduler::{Scheduler, Selector};
use crate::transport::{Channel, Received, Transport, TransportError};

/// Members at once; more are turned away.
const MAX_MEMBERS: usize = 16;
/// Transports that wait to be taken in.
const WAITING: usize = MAX_MEMBERS;
/// Messages read before others get their turn.
const READ_TURN: usize = 64;
/// What may come without an acknowledgement: messages, bytes, time.
const OWED: (u64, usize, Duration) = (64, 256 * 1024, Duration::from_millis(25));
/// How long a server waits for a client that closed its last member, but may be about to come back.
const ORDERLY_GRACE: Duration = Duration::from_secs(3);
/// Bytes that may wait for their turn of a peer that has not said who it is.
const STRANGER: usize = 64 * 1024;
/// Owner of messages whose member was gone before they were handed over.
const NOBODY: u64 = 0;

/// Whether messages have numbers, by which those of a lost member are repeated and all are put in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbering {
    /// Of a client: until the server says whether it numbers its messages, one member carries all.
    Undecided,
    /// Of a client whose server does not: a member that is lost is the end, since nobody knows what was lost
    /// with it. Of a server whose client does not: all leaves by one member as long as it lives.
    Off,
    /// Both do. The number tells the connection from others that had the same ids.
    On(u64),
}

/// Settings of a bundle.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whether this is the side that accepts the members.
    pub server: bool,
    /// At the beginning.
    pub numbering: Numbering,
    /// How messages are spread.
    pub scheduler: Scheduler,
    /// Time between two pings of a member.
    pub ping_interval: Duration,
    /// Silence after a ping that ends a member.
    pub silence_limit: Duration,
    /// Time without members that ends the connection.
    pub grace: Duration,
    /// Whether any member may have datagrams.
    pub datagrams: bool,
    /// Largest message of the peer.
    pub max_message_size: usize,
}

/// A transport that is to become a member.
pub struct Joining {
    /// Its place. Who is there already has to leave.
    pub slot: String,
    /// For errors and logs; without secrets.
    pub name: String,
    /// The transport, with its compression.
    pub transport: Box<dyn Transport>,
    /// Dropped when the member is gone, or was not taken in.
    pub gone: oneshot::Sender<Infallible>,
}

/// Where transports join a bundle.
#[derive(Clone)]
pub struct Entrance(mpsc::Sender<Joining>);

impl Entrance {
    /// Lets a transport join. False when the bundle has ended.
    pub async fn join(&self, joining: Joining) -> bool {
        self.0.send(joining).await.is_ok()
    }

    /// Waits until the bundle has ended.
    pub async fn closed(&self) {
        self.0.closed().await;
    }
}

/// Several transports as one.
pub struct Bundle {
    settings: Settings,
    numbering: Numbering,
    entrance: mpsc::Receiver<Joining>,
    members: Vec<Member>,
    last_id: u64,
    selector: Selector,
    /// The member that carries everything where messages have no numbers.
    sticky: Option<u64>,
    /// The member that takes the next message.
    chosen: Option<u64>,
    /// Until when a better member is waited for.
    waiting: Option<Instant>,
    log: SendLog,
    /// A message without a number whose member was gone when it was handed over.
    parked: Option<Bytes>,
    reorder: Reorder,
    /// Messages whose turn has come.
    due: VecDeque<Bytes>,
    /// One that came by datagram.
    datagram: Option<Received>,
    /// Messages and bytes that are not acknowledged, and when they must be.
    owed: (u64, usize),
    owed_at: Option<Instant>,
    /// Typical size of a message that is sent.
    message_size: usize,
    admitted: bool,
    /// The goodbye has begun.
    closing: bool,
    /// What members that are gone had written.
    written: u64,
    /// Since when there are no members, and how the last one ended.
    deserted: Option<(Instant, Ending)>,
    /// How everything ended.
    end: Option<Ending>,
    /// Where reading begins.
    turn: usize,
    timer: Option<(Instant, Pin<Box<Sleep>>)>,
}

/// How a member or all ended: in an orderly way, or not.
type Ending = Result<(), TransportError>;

impl Bundle {
    /// A bundle without members, and where they join it.
    pub fn new(settings: Settings) -> (Self, Entrance) {
        let (sender, entrance) = mpsc::channel(WAITING);
        let bundle = Self {
            numbering: settings.numbering,
            entrance,
            members: Vec::new(),
            last_id: NOBODY,
            selector: Selector::new(settings.scheduler),
            sticky: None,
            chosen: None,
            waiting: None,
            log: SendLog::default(),
            parked: None,
            // Of a stranger, as much as of one who has one transport.
            reorder: Reorder::new(STRANGER),
            due: VecDeque::new(),
            datagram: None,
            owed: (0, 0),
            owed_at: None,
            message_size: 0,
            admitted: false,
            closing: false,
            written: 0,
            deserted: Some((Instant::now(), Err(TransportError::Lost("there was none".to_owned())))),
            end: None,
            turn: 0,
            timer: None,
            settings,
        };
        (bundle, Entrance(sender))
    }

    fn member(&mut self, id: u64) -> Option<&mut Member> {
        self.members.iter_mut().find(|member| member.id == id)
    }

    // Coming and going.

    fn join(&mut self, joining: Joining) {
        let now = Instant::now();
        let namesake = self.members.iter().find(|member| member.slot == joining.slot).map(|member| member.id);
        if namesake.is_none() && self.members.len() >= MAX_MEMBERS {
            debug!("{}: not taken in, there are {MAX_MEMBERS} transports", joining.name);
            return;
        }
        self.last_id += 1;
        let mut member = Member::new(self.last_id, joining, now + self.settings.ping_interval);
        debug!("{}: joins", member.name);
        member.greeted = self.settings.server || self.numbering == Numbering::Off;
        if self.settings.server
            && let Numbering::On(connection) = self.numbering
        {
            member.tell(Control::Hello(connection));
            // What was acknowledged by a lost member may be lost, too.
            member.tell(Control::Received(self.reorder.next()));
            member.ping_now(now);
        }
        if self.admitted {
            member.transport.admit();
        }
        self.members.push(member);
        self.deserted = None;
        if let Some(namesake) = namesake {
            self.lose(namesake, Err(TransportError::Lost("another took its place".to_owned())));
        }
    }

    fn lose(&mut self, id: u64, ending: Ending) {
        let Some(at) = self.members.iter().position(|member| member.id == id) else { return };
        let member = self.members.remove(at);
        self.written += member.transport.bytes_written();
        match &ending {
            Ok(()) => debug!("{}: was closed", member.name),
            Err(error) => debug!("{}: lost: {error}", member.name),
        }
        self.log.lose(id);
        let named = ending.map_err(|error| match error {
            TransportError::Malformed(why) => TransportError::Malformed(format!("{}: {why}", member.name)),
            error => TransportError::Lost(format!("{}: {error}", member.name)),
        });
        if self.members.is_empty() {
            self.deserted = Some((Instant::now(), named.clone()));
            if self.closing {
                self.end.get_or_insert(Ok(()));
            }
        }
        if self.numbering == Numbering::Off && !self.settings.server && !self.closing {
            self.end.get_or_insert(named);
        }
    }

    /// The time after which a bundle without members has ended.
    fn grace(&self, ending: &Ending) -> Duration {
        match ending {
            Ok(()) if self.settings.server => ORDERLY_GRACE.min(self.settings.grace),
            // The server wants it so.
            Ok(()) => Duration::ZERO,
            Err(_) => self.settings.grace,
        }
    }

    // Time.

    /// Does everything but carry messages.
    fn drive(&mut self, cx: &mut Context<'_>) -> Result<(), TransportError> {
        loop {
            while let Poll::Ready(Some(joining)) = self.entrance.poll_recv(cx) {
                self.join(joining);
            }
            self.tick(Instant::now());
            self.poll_controls(cx);
            if let Some(Err(error)) = &self.end {
                return Err(error.clone());
            }
            let Some(at) = self.deadline() else { return Ok(()) };
            let (armed, timer) = self.timer.get_or_insert_with(|| (at, Box::pin(sleep_until(at.into()))));
            if *armed != at {
                *armed = at;
                timer.as_mut().reset(at.into());
            }
            if timer.as_mut().poll(cx).is_pending() {
                return Ok(());
            }
            self.timer = None;
        }
    }

    fn tick(&mut self, now: Instant) {
        let (interval, limit) = (self.settings.ping_interval, self.settings.silence_limit);
        let mut dead = Vec::new();
        for member in &mut self.members {
            match member.tick(now, interval, limit) {
                Verdict::Alive => {}
                Verdict::Suspect => {
                    debug!("{}: silent", member.name);
                    self.log.lose(member.id);
                }
                Verdict::Dead => dead.push(member.id),
            }
        }
        for id in dead {
            self.lose(id, Err(TransportError::Lost(format!("nothing came for {limit:?}"))));
        }
        if self.owed_at.is_some_and(|at| at <= now) {
            self.acknowledge();
        }
        if self.waiting.is_some_and(|until| until <= now) {
            self.waiting = None;
        }
        if let Some((since, ending)) = &self.deserted
            && now >= *since + self.grace(ending)
            && self.end.is_none()
        {
            let ending = ending.clone();
            self.end = Some(ending.map_err(|error| match error {
                error @ TransportError::Malformed(_) => error,
                error => TransportError::Lost(format!("no transport is left: {error}")),
            }));
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let members = self.members.iter().map(|member| member.deadline(self.settings.silence_limit));
        let deserted = match &self.deserted {
            Some((since, ending)) if self.end.is_none() => Some(*since + self.grace(ending)),
            _ => None,
        };
        members.chain(self.owed_at).chain(self.waiting).chain(deserted).min()
    }

    fn poll_controls(&mut self, cx: &mut Context<'_>) {
        let mut lost = Vec::new();
        for member in &mut self.members {
            if let Poll::Ready(Err(error)) = member.poll_control(cx) {
                lost.push((member.id, error));
            }
        }
        for (id, error) in lost {
            self.lose(id, Err(error));
        }
    }

    // Receiving.

    /// Tells the peer what has come.
    fn acknowledge(&mut self) {
        let usable = self.members.iter_mut().filter(|member| member.greeted && !member.suspect);
        // Without one, whoever joins next tells it.
        if let Some(member) = usable.min_by_key(|member| member.path.round_trip()) {
            member.tell(Control::Received(self.reorder.next()));
        }
        (self.owed, self.owed_at) = ((0, 0), None);
    }

    /// Handles the next message of any member; false when none has one.
    fn poll_members(&mut self, cx: &mut Context<'_>) -> bool {
        let count = self.members.len();
        for offset in 0..count {
            let at = (self.turn + offset) % count;
            let member = &mut self.members[at];
            let Poll::Ready(message) = member.transport.poll_recv(cx) else { continue };
            member.heard();
            let id = member.id;
            self.turn = at + 1;
            match message {
                None => self.lose(id, Ok(())),
                Some(Err(error)) => self.lose(id, Err(error)),
                Some(Ok(received)) if received.channel == Channel::Unreliable => {
                    self.datagram = Some(received)
                }
                Some(Ok(received)) => {
                    if let Err(error) = self.receive(id, received.bytes) {
                        self.lose(id, Err(error));
                    }
                }
            }
            return true;
        }
        false
    }

    fn owe(&mut self, messages: u64, bytes: usize) {
        let (most_messages, most_bytes, longest) = OWED;
        self.owed.0 += messages;
        self.owed.1 += bytes;
        let now = Instant::now();
        let at = self.owed_at.get_or_insert(now + longest);
        if self.owed.0 >= most_messages || self.owed.1 >= most_bytes {
            *at = now;
        }
    }

    /// Handles a message that came by the reliable way; what is for the application is due then.
    fn receive(&mut self, id: u64, message: Bytes) -> Result<(), TransportError> {
        let malformed = |why: &str| TransportError::Malformed(why.to_owned());
        let control = Control::parse(&message).map_err(malformed)?;
        let (numbering, server) = (self.numbering, self.settings.server);
        let Some(member) = self.member(id) else { return Ok(()) };
        match control {
            None => match numbering {
                Numbering::On(_) if !member.greeted => {
                    return Err(malformed("the server sends messages without saying that it numbers them"));
                }
                Numbering::On(_) => {
                    let number = member.incoming;
                    member.incoming += 1;
                    let size = message.len();
                    let Some(message) = self.reorder.take(number, message).map_err(malformed)? else {
                        // Should it have come before, the peer does not know that.
                        self.owe(0, 0);
                        return Ok(());
                    };
                    self.due.push_back(message);
                    self.due.extend(std::iter::from_fn(|| self.reorder.due()));
                    self.owe(1, size);
                }
                Numbering::Off => self.due.push_back(message),
                Numbering::Undecided => {
                    self.due.push_back(message);
                    self.numbering = Numbering::Off;
                    for member in &mut self.members {
                        member.greeted = true;
                    }
                    if self.log.has_lost() {
                        let why = "a transport was lost, and the server cannot tell what came by it";
                        self.end = Some(Err(TransportError::Lost(why.to_owned())));
                    }
                    self.log = SendLog::default();
                }
            },
            Some(Control::Ping(number)) => member.tell(Control::Pong(number)),
            Some(Control::Pong(number)) => member.ponged(number, Instant::now()),
            Some(Control::Hello(connection)) if !server => {
                match numbering {
                    Numbering::Undecided => self.numbering = Numbering::On(connection),
                    Numbering::On(known) if known == connection => {}
                    Numbering::On(_) => {
                        let why = "the server has forgotten the connection";
                        self.end = Some(Err(TransportError::Lost(why.to_owned())));
                        return Ok(());
                    }
                    Numbering::Off => return Ok(()),
                }
                let (now, received) = (Instant::now(), self.reorder.next());
                if let Some(member) = self.member(id)
                    && !member.greeted
                {
                    member.greeted = true;
                    member.tell(Control::Received(received));
                    member.ping_now(now);
                }
            }
            Some(Control::Next(number)) if matches!(numbering, Numbering::On(_)) => member.incoming = number,
            Some(Control::Received(below)) if matches!(numbering, Numbering::On(_)) => {
                let now = Instant::now();
                let members = &mut self.members;
                let known = self.log.acknowledge(below, |by, bytes| {
                    if let Some(member) = members.iter_mut().find(|member| member.id == by) {
                        member.path.came(bytes, now);
                    }
                });
                if !known {
                    return Err(malformed("messages are acknowledged that were not sent"));
                }
            }
            Some(Control::Hello(_) | Control::Next(_) | Control::Received(_)) => {}
        }
        Ok(())
    }
}

impl Bundle {
    /// The members that have not gone silent.
    fn serving(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|member| !member.suspect)
    }
}

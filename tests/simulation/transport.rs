//! The transports between the cores: links that come and go.

use std::time::Duration;

use bytes::Bytes;
use iscp::core;
use iscp::encoding::{Encoding, Schema};
use iscp::error::{Error, Status};
use iscp::message::Message;
use iscp_broker::core::{ConnId, PeerInfo};

use crate::invariants::SessionId;
use crate::link::{Parcel, Pipe};
use crate::plan::Plan;
use crate::workload::Application;
use crate::world::{Action, Session, Side, World};

/// How long a client's transport waits for its last messages to leave.
const GOODBYE: Duration = Duration::from_secs(2);

/// Number of a transport, which is that of its connection at the broker too.
pub(crate) type LinkId = usize;

/// One transport of a client.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) session: SessionId,
    /// Indexed by the side that receives.
    to_broker: Pipe,
    to_client: Pipe,
    client_open: bool,
    broker_open: bool,
    stall_check: bool,
    /// When it stopped carrying anything. What still carries something in one direction is found dead later.
    pub(crate) cut_at: Option<Duration>,
}

impl Link {
    fn pipe(&mut self, to: Side) -> &mut Pipe {
        match to {
            Side::Client => &mut self.to_client,
            Side::Broker => &mut self.to_broker,
        }
    }

    /// One direction, or both, carry nothing any more.
    pub(crate) fn cut(&mut self, only: Option<Side>, now: Duration) -> SessionId {
        for side in [Side::Client, Side::Broker] {
            if only.is_none_or(|only| only == side) {
                self.pipe(side).kill();
            }
        }
        if only.is_none() {
            self.cut_at.get_or_insert(now);
        }
        self.session
    }

    pub(crate) fn stall(&mut self, to: Side, until: Duration) -> SessionId {
        self.pipe(to).stall(until);
        self.session
    }
}

impl World {
    pub(crate) fn connect(&mut self, plan: Plan) {
        let id = self.sessions.len();
        self.trace.note(
            self.now,
            format_args!("client {id}"),
            format_args!("connects as {}", plan.config.node_id),
        );
        let now = self.instant();
        let session = Session {
            node: plan.config.node_id.clone(),
            core: core::Connection::new(plan.config.clone(), String::new(), core::OpId(0), now),
            // Time-outs shorter than the link end what they will.
            disturbed: self.down || plan.config.response_timeout < Duration::from_secs(1),
            link: None,
            dialling: false,
            app: Application::new(plan, self.now),
        };
        self.sessions.push(session);
        self.link(id);
        self.pump_client(id);
    }

    /// A new transport for a client.
    fn link(&mut self, id: SessionId) {
        let link = self.links.len();
        let plan = self.sessions[id].app.plan();
        let (to_broker, to_client) = (Pipe::new(plan.to_broker), Pipe::new(plan.to_client));
        self.links.push(Link {
            session: id,
            to_broker,
            to_client,
            client_open: true,
            broker_open: true,
            stall_check: false,
            cut_at: None,
        });
        self.sessions[id].link = Some(link);
        let now = self.instant();
        self.broker.connected(ConnId(link as u64), PeerInfo::default(), now);
        self.plan_disturbances(id, link);
    }

    /// The core wants a transport.
    pub(crate) fn dial(&mut self, id: SessionId) {
        let session = &mut self.sessions[id];
        assert!(session.link.is_none(), "client {id} dials although it has a transport");
        assert!(!std::mem::replace(&mut session.dialling, true), "client {id} dials twice");
        let delay = self.rng.duration(Duration::ZERO, Duration::from_millis(300));
        self.after(delay, Action::Dialled(id));
    }

    pub(crate) fn dialled(&mut self, id: SessionId) {
        let now = self.instant();
        let fails = self.down || self.rng.chance(20);
        let session = &mut self.sessions[id];
        session.dialling = false;
        if session.core.is_closed() {
            return;
        }
        self.trace.note(self.now, format_args!("client {id}"), format_args!("dials, fails: {fails}"));
        if fails {
            session.core.dial_failed(&Error::new(Status::ConnectFailed, "nobody answers"), now);
        } else {
            session.core.transport_established("fresh".to_owned(), false, now);
            self.link(id);
        }
        self.pump_client(id);
    }

    fn send(&mut self, link: LinkId, to: Side, parcel: Parcel) {
        let now = self.now;
        if let Some(at) = self.links[link].pipe(to).send(parcel, now) {
            self.at(at, Action::Depart(link, to));
        }
    }

    pub(crate) fn depart(&mut self, link: LinkId, to: Side) {
        let Self { links, rng, now, .. } = self;
        let (left, next) = links[link].pipe(to).depart(*now, rng);
        if let Some((parcel, at)) = left {
            self.at(at, Action::Arrive(link, to, parcel));
        }
        if let Some(at) = next {
            self.at(at, Action::Depart(link, to));
        }
        match to {
            Side::Broker => self.pump_client(self.links[link].session),
            Side::Client => self.pump_broker_side(link),
        }
    }

    pub(crate) fn arrive(&mut self, link: LinkId, to: Side, parcel: Parcel) {
        if self.links[link].pipe(to).is_dead() {
            return;
        }
        let message = match parcel {
            Parcel::End if to == Side::Client => return self.client_lost(link, "the server closed it"),
            Parcel::End => return self.broker_lost(link),
            Parcel::Message(bytes) => {
                Encoding::Protobuf.decode(bytes).unwrap_or_else(|error| panic!("malformed message: {error}"))
            }
        };
        let now = self.instant();
        let id = self.links[link].session;
        match to {
            Side::Client => {
                let session = &mut self.sessions[id];
                if session.link == Some(link) && !session.core.is_closed() {
                    self.ledger.client_receives(id, &message);
                    session.core.handle_message(message, now);
                    self.pump_client(id);
                }
            }
            Side::Broker => {
                let conn = ConnId(link as u64);
                if self.links[link].broker_open {
                    if !self.broker.is_closing(conn) {
                        self.ledger.broker_receives(id, link, &self.sessions[id].node, &message);
                    }
                    self.broker.handle_message(conn, message, now);
                    if self.broker.is_closing(conn) {
                        self.ledger.broker_left(link);
                    }
                }
            }
        }
    }

    /// The client's transport of a link is gone.
    pub(crate) fn client_lost(&mut self, link: LinkId, why: &str) {
        let id = self.links[link].session;
        if !std::mem::replace(&mut self.links[link].client_open, false)
            || self.sessions[id].link != Some(link)
        {
            return;
        }
        self.sessions[id].link = None;
        let now = self.instant();
        self.sessions[id].core.transport_lost(&Error::new(Status::ConnectionLost, why), now);
        self.pump_client(id);
    }

    /// The client drops its transport.
    pub(crate) fn drop_link(&mut self, id: SessionId) {
        if let Some(link) = self.sessions[id].link.take() {
            self.close_client(link);
        }
    }

    pub(crate) fn close_client(&mut self, link: LinkId) {
        if std::mem::replace(&mut self.links[link].client_open, false) {
            self.send(link, Side::Broker, Parcel::End);
        }
    }

    /// What the driver of a client does in a turn: events, then messages while the transport takes
    /// them.
    pub(crate) fn pump_client(&mut self, id: SessionId) {
        loop {
            let events = self.sessions[id].core.take_events();
            let mut idle = events.is_empty();
            for event in events {
                self.event(id, event);
            }
            let now = self.instant();
            while let Some(link) = self.sessions[id].link.filter(|link| self.links[*link].client_open)
                && self.links[link].to_broker.ready()
            {
                let session = &mut self.sessions[id];
                let Some(message) = session.core.poll_transmit(now) else {
                    if session.core.is_closed() && session.app.ended {
                        self.close_client(link);
                    }
                    break;
                };
                self.trace.note(self.now, format_args!("client {id}"), format_args!("sends {message:?}"));
                // Sending may have ended something.
                idle = false;
                self.ledger.client_sends(id, link, &message);
                let bytes = self.encoded(&message);
                self.send(link, Side::Broker, Parcel::Message(bytes));
            }
            for (stream_id, acknowledged, points) in self.check_flushes.drain(..) {
                self.ledger.flushed(stream_id, acknowledged, points);
            }
            if idle {
                return;
            }
        }
    }

    fn encoded(&mut self, message: &Message) -> Bytes {
        let bytes = Encoding::Protobuf.encode(message, Schema::V3);
        self.trace.mix(&bytes);
        bytes
    }

    /// The core of a client said that it ended.
    pub(crate) fn client_ended(&mut self, id: SessionId) {
        if let Some(link) = self.sessions[id].link {
            self.after(GOODBYE, Action::GiveUpGoodbye(link));
        }
    }

    pub(crate) fn pump_broker(&mut self) {
        let mut ready = Vec::new();
        loop {
            self.broker.take_ready(&mut ready);
            if ready.is_empty() {
                return;
            }
            for conn in ready.drain(..) {
                self.pump_broker_side(conn.0 as LinkId);
            }
        }
    }

    fn pump_broker_side(&mut self, link: LinkId) {
        let conn = ConnId(link as u64);
        let id = self.links[link].session;
        while self.links[link].broker_open && self.links[link].to_client.ready() {
            let Some(message) = self.broker.poll_transmit(conn) else {
                if self.broker.is_closing(conn) {
                    self.send(link, Side::Client, Parcel::End);
                    self.broker_lost(link);
                }
                break;
            };
            self.trace.note(self.now, format_args!("broker {id}"), format_args!("sends {message:?}"));
            self.ledger.broker_sends(id, link, &self.sessions[id].node, &message);
            let bytes = self.encoded(&message);
            self.send(link, Side::Client, Parcel::Message(bytes));
        }
        self.watch_for_stall(link);
    }

    fn watch_for_stall(&mut self, link: LinkId) {
        let limit = self.broker.stall_limit(ConnId(link as u64));
        let end = &mut self.links[link];
        if end.broker_open && !end.to_client.ready() && !end.stall_check {
            end.stall_check = true;
            let departures = end.to_client.departures();
            self.after(limit, Action::StallCheck(link, departures));
        }
    }

    pub(crate) fn stall_check(&mut self, link: LinkId, departures: u64) {
        let end = &mut self.links[link];
        end.stall_check = false;
        if end.to_client.departures() == departures && !end.to_client.ready() {
            self.broker_lost(link);
        } else {
            self.watch_for_stall(link);
        }
    }

    pub(crate) fn broker_lost(&mut self, link: LinkId) {
        if !std::mem::replace(&mut self.links[link].broker_open, false) {
            return;
        }
        if let Some(cut_at) = self.links[link].cut_at {
            let config = self.sessions[self.links[link].session].app.config();
            let timeout = config.ping_timeout;
            // Margin and two prolongations of the broker, and the limit of a stalled socket.
            let limit = config.ping_interval
                + 3 * (timeout + Duration::from_secs(1))
                + timeout
                + 2 * Duration::from_secs(5);
            let took = self.now - cut_at;
            assert!(took <= limit + self.leapt, "the broker noticed a dead link after {took:?}");
        }
        self.trace.note(self.now, format_args!("broker, link {link}"), format_args!("gone"));
        self.ledger.broker_left(link);
        let now = self.instant();
        self.broker.connection_lost(ConnId(link as u64), now);
    }

    /// The broker is gone: its ends of all links with it, as the clients will learn, some of them late.
    pub(crate) fn kill_links(&mut self) {
        for link in 0..self.links.len() {
            let now = self.now;
            if std::mem::replace(&mut self.links[link].broker_open, false) {
                self.links[link].cut(None, now);
                if self.rng.chance(70) {
                    let delay = self.rng.duration(Duration::ZERO, Duration::from_secs(1));
                    self.after(delay, Action::Lost(link, Side::Client));
                }
            }
        }
    }
}

//! Connections over several transports, as the official Go client makes them and as this library does
//! (docs/protocol/transport.md §7.7, docs/multi-transport.md).

mod support;

use std::time::Duration;

use bytes::Bytes;
use iscp::encoding::{Encoding, Schema};
use iscp::message::{Message, Qos, ResultCode, UpstreamOpenRequest};
use iscp::transport::multi::Control;
use iscp_broker::ServerHandle;
use tokio_tungstenite::tungstenite::http::header::AUTHORIZATION;

use support::*;

/// A member of a group as the Go client announces it.
async fn member(server: &ServerHandle, group: &str, member: &str) -> Client {
    let query = format!("clevel=0&comp=context-takeover&cwinbits=0&enc=proto&tgid={group}&tid={member}");
    Client::dial(server, &format!("/api/iscp/connect?{query}")).await.unwrap()
}

/// The next message of either.
async fn next_of(one: &mut Client, other: &mut Client) -> Message {
    tokio::select! {
        message = one.next() => message.unwrap(),
        message = other.next() => message.unwrap(),
    }
}

fn upstream_request(request_id: u32) -> Message {
    Message::UpstreamOpenRequest(UpstreamOpenRequest {
        request_id,
        session_id: "session".to_owned(),
        qos: Qos::Reliable,
        ..UpstreamOpenRequest::default()
    })
}

/// Opens an upstream by one member; its answer comes by either.
async fn open_by(one: &mut Client, other: &mut Client, request_id: u32) -> u32 {
    one.send(upstream_request(request_id)).await;
    match next_of(one, other).await {
        Message::UpstreamOpenResponse(response) => {
            assert_eq!(response.result_code, ResultCode::SUCCEEDED);
            response.stream_id_alias
        }
        other => panic!("{other:?}"),
    }
}

/// The transport is closed, whatever still comes before.
async fn is_closed(client: &mut Client) {
    while client.next_bytes().await.is_ok() {}
}

#[test]
fn transports_of_a_group_are_one_connection() {
    let server = start(|_| {});
    run(async {
        let (mut a, mut b) = (member(&server, "g", "a").await, member(&server, "g", "b").await);
        b.send(connect_request("node", "")).await;
        assert_eq!(next_of(&mut a, &mut b).await.name(), "ConnectResponse");
        let alias = open_by(&mut a, &mut b, 2).await;
        for (number, by_a) in [(1, true), (2, false), (3, true)] {
            let client = if by_a { &mut a } else { &mut b };
            client.send(chunk(alias, number, b"x")).await;
            match next_of(&mut a, &mut b).await {
                Message::UpstreamChunkAck(ack) => assert_eq!(ack.results[0].sequence_number, number),
                other => panic!("{other:?}"),
            }
        }
        // Every member is asked whether it is alive, and may ask.
        for client in [&mut a, &mut b] {
            client.send_bytes(Bytes::from_static(b"\xff\x00\x00\x00\x00\x2amore")).await;
            loop {
                let bytes = client.next_bytes().await.unwrap();
                if !bytes.starts_with(b"\xff\x00") {
                    break assert_eq!(&bytes[..], b"\xff\x01\x00\x00\x00\x2a");
                }
            }
        }
    });
}

#[test]
fn a_member_is_replaced_and_the_connection_goes_on() {
    let server = start(|_| {});
    run(async {
        let (mut a, mut b) = (member(&server, "g", "a").await, member(&server, "g", "b").await);
        a.send(connect_request("node", "")).await;
        assert_eq!(next_of(&mut a, &mut b).await.name(), "ConnectResponse");
        let mut again = member(&server, "g", "a").await;
        is_closed(&mut a).await;
        open_by(&mut again, &mut b, 2).await;
        drop(b);
        // The only one that is left carries all.
        again.send(Message::Ping(4)).await;
        assert_eq!(again.next().await.unwrap(), Message::Pong(4));
        // Also when none was left for a moment.
        drop(again);
        let mut again = member(&server, "g", "c").await;
        assert_eq!(again.ask(Message::Ping(6)).await, Message::Pong(6));
    });
}

#[test]
fn a_transport_without_a_group_comes_back_by_its_own_id() {
    let server = start(|_| {});
    run(async {
        for query in ["tid=only", "tgid=only"] {
            let path = format!("/?{query}");
            let mut first = Client::dial(&server, &path).await.unwrap();
            assert_eq!(first.ask(connect_request("node", "")).await.name(), "ConnectResponse");
            let mut second = Client::dial(&server, &path).await.unwrap();
            is_closed(&mut first).await;
            assert_eq!(second.ask(Message::Ping(2)).await, Message::Pong(2), "{query}");
        }
    });
}

#[test]
fn a_client_that_was_restarted_begins_anew_with_the_ids_it_had() {
    let server = start(|_| {});
    run(async {
        let mut a = member(&server, "g", "a").await;
        assert_eq!(a.ask(connect_request("node", "")).await.name(), "ConnectResponse");
        open_upstream(&mut a, Qos::Reliable).await;
        let mut again = member(&server, "g", "a").await;
        assert_eq!(again.ask(connect_request("node", "")).await.name(), "ConnectResponse");
        is_closed(&mut a).await;
        let stream = open_upstream(&mut again, Qos::Reliable).await;
        assert_eq!(again.ask(chunk(stream.stream_id_alias, 1, b"x")).await.name(), "UpstreamChunkAck");
    });
}

#[test]
fn a_group_that_was_left_for_too_long_is_forgotten() {
    let server = start(|config| config.group_grace = Duration::ZERO);
    run(async {
        let mut a = member(&server, "g", "a").await;
        assert_eq!(a.ask(connect_request("node", "")).await.name(), "ConnectResponse");
        drop(a);
        // The broker has seen the end once it has served somebody else.
        let mut other = Client::connect(&server, "other").await;
        assert_eq!(other.ask(Message::Ping(2)).await, Message::Pong(2));
        let mut a = member(&server, "g", "a").await;
        a.send(upstream_request(2)).await;
        assert_eq!(a.next().await.unwrap().name(), "Disconnect");
    });
}

#[test]
fn a_group_cannot_be_joined_with_other_credentials_or_parameters() {
    let server = start(|_| {});
    run(async {
        let path = "/?enc=proto&tgid=g&tid=";
        let authorized = async |member: &str, token| {
            Client::dial_with(&server, &format!("{path}{member}"), Some((AUTHORIZATION, token))).await
        };
        let path_of = |rest: &str| format!("/?{rest}");
        let mut a = authorized("a", "Bearer one").await.unwrap();
        assert_eq!(a.ask(connect_request("node", "")).await.name(), "ConnectResponse");
        let others = [
            authorized("b", "Bearer two").await,
            authorized("a", "Bearer two").await,
            Client::dial(&server, &path_of("enc=proto&tgid=g&tid=b")).await,
            Client::dial_with(
                &server,
                &path_of("enc=proto&tgid=g&tid=b&iscp-numbered=1"),
                Some((AUTHORIZATION, "Bearer one")),
            )
            .await,
        ];
        for other in others {
            is_closed(&mut other.unwrap()).await;
        }
        let mut b = authorized("b", "Bearer one").await.unwrap();
        open_by(&mut b, &mut a, 2).await;
    });
}

#[test]
fn a_group_has_sixteen_members_at_most() {
    let server = start(|_| {});
    run(async {
        let mut members = Vec::new();
        for number in 0..16 {
            members.push(member(&server, "g", &number.to_string()).await);
        }
        is_closed(&mut member(&server, "g", "16").await).await;
        let mut again = member(&server, "g", "3").await;
        is_closed(&mut members[3]).await;
        again.send(connect_request("node", "")).await;
        assert_eq!(next_of(&mut again, &mut members[0]).await.name(), "ConnectResponse");
    });
}

#[test]
fn a_connection_of_one_transport_answers_its_pings_too() {
    let server = start(|_| {});
    run(async {
        let mut client = Client::connect(&server, "node").await;
        client.send_bytes(Control::Ping(7).encode()).await;
        assert_eq!(client.next_bytes().await.unwrap(), Control::Pong(7).encode());
        assert_eq!(client.ask(Message::Ping(2)).await, Message::Pong(2));
    });
}

/// A member whose messages have numbers.
struct Numbered(Client, u64);

impl Numbered {
    async fn dial(server: &ServerHandle, member: &str) -> (Self, u64) {
        let mut client =
            Client::dial(server, &format!("/?enc=proto&tgid=g&tid={member}&iscp-numbered=1")).await.unwrap();
        let hello = client.next_bytes().await.unwrap();
        let Ok(Some(Control::Hello(connection))) = Control::parse(&hello) else { panic!("{hello:?}") };
        (Self(client, 0), connection)
    }

    async fn tell(&mut self, control: Control) {
        self.0.send_bytes(control.encode()).await;
    }

    async fn send(&mut self, number: u64, message: Message) {
        self.tell(Control::Next(number)).await;
        self.0.send(message).await;
    }

    /// The next message with its number.
    async fn next(&mut self) -> (u64, Message) {
        loop {
            let bytes = self.0.next_bytes().await.unwrap();
            match Control::parse(&bytes).unwrap() {
                Some(Control::Next(next)) => self.1 = next,
                Some(_) => {}
                None => {
                    self.1 += 1;
                    return (self.1 - 1, Encoding::Protobuf.decode(bytes).unwrap());
                }
            }
        }
    }

    /// Waits until everything below a number is acknowledged.
    async fn acknowledged(&mut self, below: u64) {
        loop {
            let bytes = self.0.next_bytes().await.unwrap();
            if Control::parse(&bytes) == Ok(Some(Control::Received(below))) {
                return;
            }
        }
    }
}

#[test]
fn numbered_messages_are_taken_in_order_and_once() {
    let server = start(|_| {});
    run(async {
        let (mut a, connection) = Numbered::dial(&server, "a").await;
        let (mut b, same) = Numbered::dial(&server, "b").await;
        assert_eq!(connection, same);
        // The second message comes before the first, and both come again.
        b.send(1, Message::Ping(2)).await;
        b.send(1, Message::Ping(2)).await;
        a.send(0, connect_request("node", "")).await;
        a.send(2, Message::Ping(4)).await;
        b.send(0, connect_request("node", "")).await;
        let mut got = Vec::new();
        while got.len() < 3 {
            got.push(tokio::select! { next = a.next() => next, next = b.next() => next });
        }
        got.sort_by_key(|(number, _)| *number);
        assert_eq!((got[0].0, got[0].1.name()), (0, "ConnectResponse"));
        assert_eq!(got[1..], [(1, Message::Pong(2)), (2, Message::Pong(4))]);
        tokio::select! { () = a.acknowledged(3) => {} () = b.acknowledged(3) => {} }
    });
}

#[test]
fn what_a_lost_member_carried_comes_by_another() {
    let server = start(|_| {});
    run(async {
        let (mut a, _) = Numbered::dial(&server, "a").await;
        a.send(0, connect_request("node", "")).await;
        assert_eq!(a.next().await.1.name(), "ConnectResponse");
        // Never acknowledged: for all the broker knows it is lost with the member.
        drop(a);
        let (mut b, _) = Numbered::dial(&server, "b").await;
        let (number, message) = b.next().await;
        assert_eq!((number, message.name()), (0, "ConnectResponse"));
        b.tell(Control::Received(1)).await;
        b.send(1, Message::Ping(2)).await;
        assert_eq!(b.next().await.1, Message::Pong(2));
    });
}

#[test]
fn members_that_break_the_rules_are_closed() {
    let server = start(|_| {});
    let stranger = Encoding::Protobuf.encode(&connect_request(&"n".repeat(60_000), ""), Schema::V3);
    run(async {
        for break_it in 0..4 {
            let (mut a, _) = Numbered::dial(&server, "a").await;
            match break_it {
                0 => a.tell(Control::Received(1)).await,
                1 => a.send(1 << 40, Message::Ping(2)).await,
                2 => a.0.send_bytes(Bytes::from_static(b"\xff\x02\0\0\0\0")).await,
                // More than a stranger may leave with the broker.
                _ => {
                    for number in 1..=2 {
                        a.tell(Control::Next(number)).await;
                        a.0.send_bytes(stranger.clone()).await;
                    }
                }
            }
            is_closed(&mut a.0).await;
        }
        // The group is still there: what broke was a transport.
        let (mut a, _) = Numbered::dial(&server, "a").await;
        a.send(0, connect_request("node", "")).await;
        assert_eq!(a.next().await.1.name(), "ConnectResponse");
    });
}

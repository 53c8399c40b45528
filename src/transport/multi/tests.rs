//! Two bundles with pipes between them.

use std::convert::Infallible;
use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::control::Control;
use super::{Bundle, Entrance, Joining, Numbering, Scheduler, Settings};
use crate::transport::{Channel, Received, Transport, TransportError};

/// Longer than anything here takes.
const LIMIT: Duration = Duration::from_secs(20);

/// One end of a pipe. When the other is dropped it is broken.
struct Pipe {
    outgoing: mpsc::UnboundedSender<Bytes>,
    incoming: mpsc::UnboundedReceiver<Bytes>,
    written: u64,
}

impl Pipe {
    fn pair() -> [Self; 2] {
        let ((to_b, b), (to_a, a)) = (mpsc::unbounded_channel(), mpsc::unbounded_channel());
        [(to_b, a), (to_a, b)].map(|(outgoing, incoming)| Self { outgoing, incoming, written: 0 })
    }

    async fn next(&mut self) -> Bytes {
        tokio::time::timeout(LIMIT, self.incoming.recv()).await.expect("in time").expect("a message")
    }

    /// The next message that is none between transports.
    async fn data(&mut self) -> Bytes {
        loop {
            let message = self.next().await;
            if Control::parse(&message) == Ok(None) {
                return message;
            }
        }
    }
}

impl Transport for Pipe {
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Received, TransportError>>> {
        self.incoming.poll_recv(cx).map(|message| {
            Some(match message {
                Some(bytes) => Ok(Received { bytes, channel: Channel::Reliable }),
                None => Err(TransportError::Lost("the pipe broke".to_owned())),
            })
        })
    }

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Poll::Ready(Ok(()))
    }

    fn send(&mut self, message: Bytes) -> Result<(), TransportError> {
        self.written += message.len() as u64;
        self.outgoing.send(message).map_err(|_| TransportError::Lost("the pipe broke".to_owned()))
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Poll::Ready(Ok(()))
    }

    fn bytes_written(&self) -> u64 {
        self.written
    }

    fn poll_close(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Poll::Ready(Ok(()))
    }
}

fn bundle(server: bool, numbering: Numbering) -> (Bundle, Entrance) {
    Bundle::new(Settings {
        server,
        numbering,
        scheduler: Scheduler::RoundRobin,
        ping_interval: Duration::from_secs(3600),
        silence_limit: Duration::from_secs(3600),
        grace: Duration::from_millis(50),
        datagrams: false,
        max_message_size: 1 << 20,
    })
}

async fn join(entrance: &Entrance, slot: &str, transport: Pipe) -> oneshot::Receiver<Infallible> {
    let (gone, lost) = oneshot::channel();
    let (slot, name) = (slot.to_owned(), format!("pipe {slot}"));
    assert!(entrance.join(Joining { slot, name, transport: Box::new(transport), gone }).await);
    lost
}

/// A bundle with two members, and their other ends.
async fn with_two(server: bool, numbering: Numbering) -> (Bundle, Entrance, [Pipe; 2]) {
    let (bundle, entrance) = bundle(server, numbering);
    let ([a, other_a], [b, other_b]) = (Pipe::pair(), Pipe::pair());
    join(&entrance, "a", a).await;
    join(&entrance, "b", b).await;
    (bundle, entrance, [other_a, other_b])
}

/// Does what the task of a connection does, once.
fn turn(bundle: &mut Bundle, cx: &mut Context<'_>) -> Option<Option<Result<Received, TransportError>>> {
    let received = match bundle.poll_recv(cx) {
        Poll::Ready(received) => Some(received),
        Poll::Pending => None,
    };
    let _ = bundle.poll_ready(cx);
    let _ = bundle.poll_flush(cx);
    received
}

async fn receive(bundle: &mut Bundle) -> Option<Result<Bytes, TransportError>> {
    let received = poll_fn(|cx| turn(bundle, cx).map_or(Poll::Pending, Poll::Ready));
    let received = tokio::time::timeout(LIMIT, received).await.expect("in time");
    received.map(|received| received.map(|received| received.bytes))
}

async fn send(bundle: &mut Bundle, message: &'static str) {
    tokio::time::timeout(LIMIT, poll_fn(|cx| bundle.poll_ready(cx))).await.expect("in time").unwrap();
    bundle.send(Bytes::from_static(message.as_bytes())).unwrap();
}

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

fn data(message: &'static str) -> Bytes {
    Bytes::from_static(message.as_bytes())
}

#[test]
fn one_member_carries_all_until_it_is_known_whether_the_server_numbers_messages() {
    run(async {
        let (mut client, _entrance, [mut a, mut b]) = with_two(false, Numbering::Undecided).await;
        send(&mut client, "one").await;
        send(&mut client, "two").await;
        assert_eq!([a.data().await, a.data().await], ["one", "two"]);
        // Of a server that does not, each member gets its turn then.
        a.send(data("answer")).unwrap();
        assert_eq!(receive(&mut client).await, Some(Ok(data("answer"))));
        for message in ["three", "four"] {
            send(&mut client, message).await;
        }
        let mut got = [a.data().await, b.data().await];
        got.sort();
        assert_eq!(got, ["four", "three"]);
        b.send(data("by the other")).unwrap();
        assert_eq!(receive(&mut client).await, Some(Ok(data("by the other"))));
    });
}

#[test]
fn without_numbers_a_lost_member_is_the_end() {
    run(async {
        let (mut client, _entrance, [mut a, b]) = with_two(false, Numbering::Undecided).await;
        send(&mut client, "request").await;
        a.send(data("answer")).unwrap();
        assert_eq!(receive(&mut client).await, Some(Ok(data("answer"))));
        drop(b);
        let error = receive(&mut client).await.unwrap().unwrap_err();
        assert!(matches!(&error, TransportError::Lost(why) if why.contains("pipe b")), "{error:?}");
        // It stays so.
        assert!(receive(&mut client).await.unwrap().is_err());
        // Also when it was lost before the other showed that it has no numbers.
        let (mut client, _entrance, [a, mut b]) = with_two(false, Numbering::Undecided).await;
        send(&mut client, "request").await;
        drop(a);
        b.send(data("answer to something else")).unwrap();
        let mut received = receive(&mut client).await;
        if received == Some(Ok(data("answer to something else"))) {
            received = receive(&mut client).await;
        }
        assert!(received.unwrap().unwrap_err().to_string().contains("cannot tell"));
    });
}

#[test]
fn with_numbers_what_a_lost_member_carried_is_repeated_in_order() {
    run(async {
        let (mut client, _entrance, [mut a, mut b]) = with_two(false, Numbering::Undecided).await;
        send(&mut client, "0").await;
        for member in [&mut a, &mut b] {
            member.send(Control::Hello(7).encode()).unwrap();
        }
        a.send(data("answer")).unwrap();
        assert_eq!(receive(&mut client).await, Some(Ok(data("answer"))));
        for message in ["1", "2", "3", "4"] {
            send(&mut client, message).await;
        }
        // The server has the first two.
        b.send(Control::Received(2).encode()).unwrap();
        drop(a);
        let turns = async {
            loop {
                poll_fn(|cx| {
                    let _ = turn(&mut client, cx);
                    Poll::<()>::Pending
                })
                .await;
            }
        };
        let collect = async {
            let (mut next, mut got) = (0, Vec::new());
            while got.len() < 3 {
                let message = b.next().await;
                match Control::parse(&message).unwrap() {
                    Some(Control::Next(number)) => next = number,
                    Some(_) => {}
                    None => {
                        if next >= 2 {
                            got.push((next, message));
                        }
                        next += 1;
                    }
                }
            }
            got.sort();
            got
        };
        let got = tokio::select! { got = collect => got, () = turns => Vec::new() };
        assert_eq!(got, [(2, data("2")), (3, data("3")), (4, data("4"))]);
    });
}

#[test]
fn another_connection_with_the_same_ids_is_not_joined() {
    run(async {
        let (mut client, _entrance, [mut a, mut b]) = with_two(false, Numbering::Undecided).await;
        a.send(Control::Hello(7).encode()).unwrap();
        a.send(data("answer")).unwrap();
        assert_eq!(receive(&mut client).await, Some(Ok(data("answer"))));
        b.send(Control::Hello(8).encode()).unwrap();
        let error = receive(&mut client).await.unwrap().unwrap_err().to_string();
        assert!(error.contains("forgotten"), "{error}");
    });
}

#[test]
fn a_server_without_numbers_keeps_to_one_member_as_long_as_it_lives() {
    run(async {
        let (mut server, _entrance, [mut a, mut b]) = with_two(true, Numbering::Off).await;
        for message in ["one", "two", "three"] {
            send(&mut server, message).await;
        }
        assert_eq!([a.data().await, a.data().await, a.data().await], ["one", "two", "three"]);
        drop(a);
        b.send(data("x")).unwrap();
        while receive(&mut server).await != Some(Ok(data("x"))) {}
        send(&mut server, "four").await;
        assert_eq!(b.data().await, "four");
    });
}

#[test]
fn without_members_nothing_is_taken_and_it_ends_in_time() {
    run(async {
        for (server, numbering) in
            [(true, Numbering::Off), (true, Numbering::On(1)), (false, Numbering::Undecided)]
        {
            let (mut bundle, entrance, members) = with_two(server, numbering).await;
            assert!(poll_fn(|cx| Poll::Ready(turn(&mut bundle, cx))).await.is_none());
            assert!(!bundle.is_deserted());
            let begun = Instant::now();
            drop(members);
            let error = receive(&mut bundle).await.unwrap().unwrap_err().to_string();
            assert!(error.contains("no transport is left"), "{error}");
            assert!(bundle.is_deserted() && begun.elapsed() >= Duration::from_millis(50));
            drop(bundle);
            entrance.closed().await;
        }
    });
}

#[test]
fn who_brought_a_member_learns_that_it_is_gone() {
    run(async {
        let (mut bundle, entrance) = bundle(true, Numbering::On(1));
        let ([one, other_one], [two, mut other_two]) = (Pipe::pair(), Pipe::pair());
        let first = join(&entrance, "slot", one).await;
        let second = join(&entrance, "slot", two).await;
        assert!(poll_fn(|cx| Poll::Ready(turn(&mut bundle, cx))).await.is_none());
        // The second took the place of the first.
        assert!(first.await.is_err());
        assert!(other_one.outgoing.is_closed());
        assert_eq!(Control::parse(&other_two.next().await), Ok(Some(Control::Hello(1))));
        drop(bundle);
        assert!(second.await.is_err());
    });
}

//! UDP: datagrams from and to one address of a client are a flow, which counts as a connection.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::sleep_until;

use crate::conductor::{Conductor, Control, Mode};
use crate::datagrams::DatagramLine;
use crate::proxy::{MAX_CONNECTIONS, Shared};
use crate::report::{Direction, Fault};
use crate::tcp::at;

/// A flow of which nothing came for this long is forgotten.
const IDLE_LIMIT: Duration = Duration::from_secs(60);
/// Datagrams of a client that wait for its flow.
const WAITING: usize = 256;
/// Larger than any datagram.
const READ_SIZE: usize = 1 << 16;

/// Forwards datagrams until the task is dropped.
pub(crate) async fn serve(shared: &Arc<Shared>, socket: UdpSocket, wanted: &watch::Receiver<Control>) {
    let socket = Arc::new(socket);
    let mut flows = HashMap::<SocketAddr, mpsc::Sender<Bytes>>::new();
    let mut tasks = JoinSet::new();
    let mut number = 0;
    let mut buffer = vec![0; READ_SIZE];
    loop {
        tokio::select! {
            Some(ended) = tasks.join_next() => {
                if let Ok(client) = ended {
                    flows.remove(&client);
                }
            }
            received = socket.recv_from(&mut buffer) => {
                // What fails is the datagram before.
                let Ok((length, client)) = received else { continue };
                let datagram = Bytes::copy_from_slice(&buffer[..length]);
                if let Some(flow) = flows.get(&client) {
                    // What comes faster than it is handled is lost.
                    let _ = flow.try_send(datagram);
                    continue;
                }
                if wanted.borrow().refuse {
                    continue;
                }
                number += 1;
                if flows.len() >= MAX_CONNECTIONS {
                    shared.report(number, None, None, Fault::Refuse);
                    continue;
                }
                let (sender, datagrams) = mpsc::channel(WAITING);
                let _ = sender.try_send(datagram);
                flows.insert(client, sender);
                let shared = Arc::clone(shared);
                let flow = Flow { front: Arc::clone(&socket), client, number, datagrams };
                tasks.spawn(flow.run(shared, wanted.clone()));
            }
        }
    }
}

/// A socket for the server alone.
async fn connect(to: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = match to {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(to).await?;
    Ok(socket)
}

struct Flow {
    front: Arc<UdpSocket>,
    client: SocketAddr,
    number: u64,
    datagrams: mpsc::Receiver<Bytes>,
}

impl Flow {
    /// Forwards until nothing comes any more; gives the address of the client.
    async fn run(mut self, shared: Arc<Shared>, mut control: watch::Receiver<Control>) -> SocketAddr {
        let _counted = shared.count();
        let begun = Instant::now();
        let number = self.number;
        let back = match connect(shared.to[0]).await {
            Ok(back) => back,
            Err(error) => {
                let why = format!("{}: {error}", shared.config.to);
                shared.report(number, None, None, Fault::Unreachable(why));
                return self.client;
            }
        };
        let (faults, seed) = (&shared.config.faults, shared.config.seed);
        let mut conductor = Conductor::new(faults, seed, number, *control.borrow_and_update());
        let mut lines = Direction::BOTH.map(|side| DatagramLine::new(faults, seed, number, side));
        let mut buffer = vec![0; READ_SIZE];
        let mut heard = begun;
        let mut mode = Ok(Mode::default());
        loop {
            let now = begun.elapsed();
            if mode.is_ok() {
                mode = conductor.update(now, &control.borrow_and_update(), |side, fault| {
                    shared.report(number, side, None, fault);
                });
            }
            for (direction, line) in Direction::BOTH.into_iter().zip(&mut lines) {
                if mode.map_or(true, |mode| mode.stops(direction)) {
                    line.clear();
                }
                while let Some(datagram) = line.due(now) {
                    // What the system does not take is lost, as anywhere else.
                    let _ = match direction {
                        Direction::Up => back.send(&datagram).await,
                        Direction::Down => self.front.send_to(&datagram, self.client).await,
                    };
                }
            }
            let next =
                lines.iter().filter_map(DatagramLine::next).chain(conductor.next().filter(|_| mode.is_ok()));
            let next = next.min().map(|next| begun + next);
            let (direction, datagram) = tokio::select! {
                changed = control.changed() => {
                    if changed.is_err() {
                        return self.client;
                    }
                    continue;
                }
                () = at(next) => continue,
                () = sleep_until((heard + IDLE_LIMIT).into()) => return self.client,
                datagram = self.datagrams.recv() => match datagram {
                    Some(datagram) => (Direction::Up, datagram),
                    None => return self.client,
                },
                received = back.recv(&mut buffer) => match received {
                    Ok(length) => (Direction::Down, Bytes::copy_from_slice(&buffer[..length])),
                    // The server's host said that nobody listens: the client does not get to know that.
                    Err(_) => continue,
                },
            };
            heard = Instant::now();
            if mode.is_ok_and(|mode| !mode.stops(direction)) {
                lines[direction.index()].take(begun.elapsed(), &datagram, |offset, fault| {
                    shared.report(number, Some(direction), Some(offset), fault);
                });
            }
        }
    }
}

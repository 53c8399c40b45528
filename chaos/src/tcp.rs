//! TCP connections.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until, timeout};

use crate::conductor::{Conductor, Control, Mode};
use crate::faults::Cut;
use crate::proxy::{self, MAX_CONNECTIONS, Shared};
use crate::report::{Direction, Fault};
use crate::stream::StreamLine;

/// Bytes read at a time.
const READ_SIZE: usize = 16 * 1024;
/// How long the server may take to accept a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// How long connections that are cut by FIN, or whose last direction is silent, stay for what may still come.
const LINGER: Duration = Duration::from_secs(10);
/// How long the connections may take to end with the proxy.
const STOP_LIMIT: Duration = Duration::from_millis(500);
/// Pause after the system refused to accept a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why a connection ends.
#[derive(Clone, Copy, Debug)]
enum End {
    /// Both directions came to their end.
    Orderly,
    /// One of the peers broke it.
    Broken,
    Cut(Cut),
}

/// Forwards connections until the task is dropped.
pub(crate) async fn serve(
    shared: &Arc<Shared>,
    address: SocketAddr,
    listener: TcpListener,
    wanted: &watch::Receiver<Control>,
) {
    let mut control = wanted.clone();
    let mut listener = Some(listener);
    // Holds the port while nobody listens.
    let mut placeholder = None;
    let mut connections = JoinSet::new();
    let mut number = 0;
    loop {
        let Control { refuse, stop, .. } = *control.borrow_and_update();
        if stop {
            drop(listener);
            // What is cut already is not waited for longer.
            let _ = timeout(STOP_LIMIT, connections.join_all()).await;
            return;
        }
        if refuse && listener.take().is_some() {
            placeholder = proxy::bind(address).ok();
            shared.set_refusing(true);
        }
        if !refuse && listener.is_none() {
            let socket = placeholder.take().map_or_else(|| proxy::bind(address), Ok);
            listener = socket.and_then(proxy::listen_on).ok();
            if listener.is_some() {
                shared.set_refusing(false);
            }
        }
        tokio::select! {
            biased;
            changed = control.changed() => {
                if changed.is_err() {
                    return;
                }
            }
            Some(_) = connections.join_next() => {}
            accepted = accept(listener.as_ref()) => match accepted {
                Ok(client) => {
                    number += 1;
                    if connections.len() >= MAX_CONNECTIONS {
                        shared.report(number, None, None, Fault::Refuse);
                        reset(client);
                        continue;
                    }
                    let connection = Connection { shared: Arc::clone(shared), number, begun: Instant::now() };
                    connections.spawn(connection.run(client, control.clone()));
                }
                Err(_) => sleep(ACCEPT_PAUSE).await,
            }
        }
    }
}

async fn accept(listener: Option<&TcpListener>) -> io::Result<TcpStream> {
    match listener {
        Some(listener) => listener.accept().await.map(|(stream, _)| stream),
        None => std::future::pending().await,
    }
}

/// Closes with RST.
fn reset(stream: TcpStream) {
    // A socket that cannot is broken already.
    let _ = stream.set_zero_linger();
}

struct Connection {
    shared: Arc<Shared>,
    number: u64,
    begun: Instant,
}

impl Connection {
    async fn run(self, mut client: TcpStream, mut control: watch::Receiver<Control>) {
        let _counted = self.shared.count();
        let mut server = None;
        let (mode, modes) = watch::channel(Mode::default());
        let ended = [(); 2].map(|()| watch::channel(false).0);
        let end = tokio::select! {
            biased;
            cut = self.conduct(&mut control, &mode) => End::Cut(cut),
            end = self.forward(&mut client, &mut server, &modes, &ended) => end,
        };
        match end {
            End::Orderly => {}
            End::Broken | End::Cut(Cut::Reset) => {
                [Some(client), server].into_iter().flatten().for_each(reset);
            }
            End::Cut(Cut::Finish) => {
                tokio::join!(finish(Some(client)), finish(server));
            }
        }
    }

    /// Follows the schedule and the commands until they cut the connection.
    async fn conduct(&self, control: &mut watch::Receiver<Control>, mode: &watch::Sender<Mode>) -> Cut {
        let config = &self.shared.config;
        let since = *control.borrow_and_update();
        let mut conductor = Conductor::new(&config.faults, config.seed, self.number, since);
        loop {
            let wanted = *control.borrow_and_update();
            if wanted.stop {
                return Cut::Reset;
            }
            let updated = conductor.update(self.begun.elapsed(), &wanted, |direction, fault| {
                self.shared.report(self.number, direction, None, fault);
            });
            match updated {
                Ok(updated) => {
                    mode.send_if_modified(|mode| std::mem::replace(mode, updated) != updated);
                }
                Err(cut) => return cut,
            }
            let next = conductor.next().map(|next| self.begun + next);
            tokio::select! {
                changed = control.changed() => if changed.is_err() {
                    return Cut::Reset;
                },
                () = at(next) => {}
            }
        }
    }

    async fn forward(
        &self,
        client: &mut TcpStream,
        server: &mut Option<TcpStream>,
        modes: &watch::Receiver<Mode>,
        ended: &[watch::Sender<bool>; 2],
    ) -> End {
        // Fails when there is nobody left who could change it.
        let _ = modes.clone().wait_for(|mode| !mode.held).await;
        let server = match timeout(CONNECT_LIMIT, TcpStream::connect(&self.shared.to[..])).await {
            Ok(Ok(connected)) => server.insert(connected),
            failed => {
                let why = failed.map_or_else(
                    |_| "timed out".to_owned(),
                    |failed| match failed {
                        Ok(_) => String::new(),
                        Err(error) => error.to_string(),
                    },
                );
                let to = &self.shared.config.to;
                self.shared.report(self.number, None, None, Fault::Unreachable(format!("{to}: {why}")));
                return End::Broken;
            }
        };
        for stream in [&*client, &*server] {
            // Its failure costs time alone.
            let _ = stream.set_nodelay(true);
        }
        let (client_reads, client_writes) = client.split();
        let (server_reads, server_writes) = server.split();
        let up = Pump::new(self, Direction::Up, client_reads, server_writes, modes.clone(), ended);
        let down = Pump::new(self, Direction::Down, server_reads, client_writes, modes.clone(), ended);
        match tokio::try_join!(up.run(), down.run()) {
            Ok(_) => End::Orderly,
            Err(end) => end,
        }
    }
}

/// Waits for a time, if there is one.
pub(crate) async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time.into()).await,
        None => std::future::pending().await,
    }
}

/// Closes with FIN, and takes what the peer sends until it does so too: closing before would reset.
async fn finish(stream: Option<TcpStream>) {
    let Some(mut stream) = stream else { return };
    let linger = async {
        stream.shutdown().await?;
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await
    };
    // A peer that breaks the connection has ended it, too.
    let _ = timeout(LINGER, linger).await;
}

/// One direction of a connection.
struct Pump<'a> {
    connection: &'a Connection,
    direction: Direction,
    reader: ReadHalf<'a>,
    writer: WriteHalf<'a>,
    line: StreamLine,
    modes: watch::Receiver<Mode>,
    /// Tells the other direction that this one is at its end.
    ended: &'a watch::Sender<bool>,
    other_ended: watch::Receiver<bool>,
}

impl<'a> Pump<'a> {
    fn new(
        connection: &'a Connection,
        direction: Direction,
        reader: ReadHalf<'a>,
        writer: WriteHalf<'a>,
        modes: watch::Receiver<Mode>,
        ended: &'a [watch::Sender<bool>; 2],
    ) -> Self {
        let config = &connection.shared.config;
        Self {
            connection,
            direction,
            reader,
            writer,
            line: StreamLine::new(&config.faults, config.seed, connection.number, direction),
            modes,
            ended: &ended[direction.index()],
            other_ended: ended[direction.opposite().index()].subscribe(),
        }
    }

    fn report(&self, offset: u64, fault: Fault) {
        let Connection { shared, number, .. } = self.connection;
        shared.report(*number, Some(self.direction), Some(offset), fault);
    }

    /// Forwards until the sender has ended its direction, or the connection ends.
    async fn run(mut self) -> Result<(), End> {
        let begun = self.connection.begun;
        let cut_by = self.connection.shared.config.faults.cut_by;
        let mut buffer = vec![0; READ_SIZE];
        let (mut input_ended, mut output_ended) = (false, false);
        loop {
            let mode = *self.modes.borrow_and_update();
            let stopped = mode.stops(self.direction);
            let finished = mode.finished[self.direction.index()];
            if self.line.is_empty() && !stopped {
                if self.line.is_cut() {
                    self.report(self.line.offset(), Fault::Cut(cut_by));
                    return Err(End::Cut(cut_by));
                }
                if (input_ended || finished) && !output_ended {
                    output_ended = true;
                    self.writer.shutdown().await.map_err(|_| End::Broken)?;
                    self.ended.send_replace(true);
                }
                if input_ended {
                    return Ok(());
                }
            }
            let now = begun.elapsed();
            let due = self.line.due(now).cloned();
            let next = self.line.next().map(|next| begun + next);
            let reads = !stopped && !input_ended && (finished || self.line.has_room());
            tokio::select! {
                changed = self.modes.changed() => changed.map_err(|_| End::Broken)?,
                written = self.writer.write(due.as_deref().unwrap_or_default()), if !stopped && due.is_some() => {
                    self.line.written(written.map_err(|_| End::Broken)?);
                }
                () = at(next), if !stopped && due.is_none() => {}
                read = self.reader.read(&mut buffer), if reads => match read {
                    Ok(0) => input_ended = true,
                    Ok(_) if finished => {}
                    Ok(read) => {
                        let Connection { shared, number, .. } = self.connection;
                        self.line.take(now, &buffer[..read], |offset, fault| {
                            shared.report(*number, Some(self.direction), Some(offset), fault);
                        });
                    }
                    Err(_) => return Err(End::Broken),
                },
                // Nobody can see the end of a silent direction.
                () = over(&mut self.other_ended), if mode.silent[self.direction.index()] => {
                    return Err(End::Broken);
                }
            }
        }
    }
}

/// Waits until the other direction has been at its end for a while.
async fn over(ended: &mut watch::Receiver<bool>) {
    if ended.wait_for(|ended| *ended).await.is_ok() {
        sleep(LINGER).await;
    } else {
        std::future::pending().await
    }
}

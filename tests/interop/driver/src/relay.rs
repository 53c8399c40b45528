//! A relay of TCP connections that records them and can cut them.

use std::io::{Cursor, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Message, WebSocket};

use crate::peer::LIMIT;

/// Who sent what is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From {
    Client,
    Broker,
}

/// One message that was seen.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    pub(crate) from: From,
    /// Milliseconds since the relay began.
    pub(crate) at: u128,
    pub(crate) bytes: Vec<u8>,
}

/// What was read at once: by whom it was sent, when, and the bytes.
type Part = (From, u128, Vec<u8>);

struct Link {
    client: TcpStream,
    broker: TcpStream,
    recording: Arc<Mutex<Vec<Part>>>,
}

/// A relay in front of one address.
pub(crate) struct Relay {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

struct State {
    links: Vec<Link>,
    open: bool,
    attempts: usize,
}

impl Relay {
    /// Relays connections to HOST:PORT.
    pub(crate) fn start(target: &str) -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("relay: {error}");
        let listener = TcpListener::bind("127.0.0.1:0").map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let state = Arc::new(Mutex::new(State { links: Vec::new(), open: true, attempts: 0 }));
        let (shared, target, start) = (state.clone(), target.to_owned(), Instant::now());
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let mut state = shared.lock().unwrap();
                state.attempts += 1;
                // One that is not taken is closed here.
                let broker = if state.open { TcpStream::connect(&target).ok() } else { None };
                if let Some(link) = broker.and_then(|broker| Link::start(client, broker, start).ok()) {
                    state.links.push(link);
                }
            }
        });
        Ok(Self { address, state })
    }

    /// The address of the relay in place of that of the broker.
    pub(crate) fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// Resets every connection; as long as the relay is shut, new ones are closed at once.
    pub(crate) fn cut(&self, stay_shut: bool) {
        let mut state = self.state.lock().unwrap();
        state.open = !stay_shut;
        for link in &state.links {
            // It may be closed already.
            drop(link.client.shutdown(Shutdown::Both));
            drop(link.broker.shutdown(Shutdown::Both));
        }
    }

    /// Lets connections through again.
    pub(crate) fn open(&self) {
        self.state.lock().unwrap().open = true;
    }

    /// How often somebody connected.
    pub(crate) fn attempts(&self) -> usize {
        self.state.lock().unwrap().attempts
    }

    /// How many connections were let through.
    pub(crate) fn connections(&self) -> usize {
        self.state.lock().unwrap().links.len()
    }

    /// Waits until something holds of the relay.
    pub(crate) fn wait_for(&self, condition: impl Fn(&Self) -> bool, what: &str) -> Result<(), String> {
        let deadline = Instant::now() + LIMIT;
        while !condition(self) {
            if Instant::now() > deadline {
                return Err(format!("relay: no {what} within {LIMIT:?}"));
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// What the client asked for when it connected: the path and the parameters.
    pub(crate) fn request(&self, connection: usize) -> Result<String, String> {
        let parts = self.parts(connection);
        let sent: Vec<u8> =
            parts.into_iter().filter(|part| part.0 == From::Client).flat_map(|part| part.2).collect();
        let head = String::from_utf8_lossy(&sent);
        let request = head.lines().next().and_then(|line| line.split(' ').nth(1));
        request.map(str::to_owned).ok_or_else(|| "no HTTP request came".to_owned())
    }

    fn parts(&self, connection: usize) -> Vec<Part> {
        self.state.lock().unwrap().links[connection].recording.lock().unwrap().clone()
    }

    /// The binary messages of a connection, without what the WebSocket adds.
    pub(crate) fn messages(&self, connection: usize) -> Vec<Recorded> {
        let parts = self.parts(connection);
        let mut messages = [unframe(&parts, From::Client), unframe(&parts, From::Broker)].concat();
        messages.sort_by_key(|message| message.0);
        messages.into_iter().map(|(_, message)| message).collect()
    }
}

impl Link {
    fn start(client: TcpStream, broker: TcpStream, start: Instant) -> std::io::Result<Self> {
        client.set_nodelay(true)?;
        broker.set_nodelay(true)?;
        let recording = Arc::new(Mutex::new(Vec::new()));
        for (from, mut source, mut sink) in [
            (From::Client, client.try_clone()?, broker.try_clone()?),
            (From::Broker, broker.try_clone()?, client.try_clone()?),
        ] {
            let recording = recording.clone();
            thread::spawn(move || {
                let mut buffer = vec![0; 65536];
                while let Ok(length @ 1..) = source.read(&mut buffer) {
                    let bytes = buffer[..length].to_vec();
                    recording.lock().unwrap().push((from, start.elapsed().as_millis(), bytes));
                    if sink.write_all(&buffer[..length]).is_err() {
                        break;
                    }
                }
                drop(sink.shutdown(Shutdown::Write));
            });
        }
        Ok(Self { client, broker, recording })
    }
}

/// The messages of one direction, with the index of the part that completed each.
fn unframe(parts: &[Part], from: From) -> Vec<(usize, Recorded)> {
    let mut messages = Vec::new();
    let mut stream: Vec<u8> = Vec::new();
    let mut taken = 0;
    for (index, (_, at, bytes)) in parts.iter().enumerate().filter(|(_, part)| part.0 == from) {
        stream.extend_from_slice(bytes);
        let Some(head) = stream.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        // Whatever is complete by now; the frames of clients are masked, so that a server reads them.
        let role = if from == From::Client { Role::Server } else { Role::Client };
        let framed = Half(Cursor::new(stream[head + 4..].to_vec()));
        let config = WebSocketConfig::default().max_message_size(None).max_frame_size(None);
        let mut socket = WebSocket::from_raw_socket(framed, role, Some(config));
        let mut complete = 0;
        while let Ok(message) = socket.read() {
            if let Message::Binary(bytes) = message {
                complete += 1;
                if complete > taken {
                    taken = complete;
                    messages.push((index, Recorded { from, at: *at, bytes: bytes.to_vec() }));
                }
            }
        }
    }
    messages
}

/// Reads what was recorded; what the WebSocket answers goes nowhere.
struct Half(Cursor<Vec<u8>>);

impl Read for Half {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Half {
    fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
        Ok(buffer.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

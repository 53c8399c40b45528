//! A server that answers as it is told and remembers what it was sent.

use std::net::TcpListener;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use iscp::encoding::{Encoding, Schema};
use iscp::message::{
    ConnectResponse, DownstreamChunkAckComplete, DownstreamOpenResponse, Message, Reply, UpstreamOpenResponse,
};
use tokio_tungstenite::tungstenite::{Message as Frame, accept};
use uuid::Uuid;

/// Longer than anything takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(20);

/// Id of every stream of the server.
pub(crate) const STREAM: Uuid = Uuid::from_u128(0x1234_5678_9abc_4def_8123_4567_89ab_cdef);

/// A server for one connection.
pub(crate) struct ScriptedServer {
    pub(crate) url: String,
    received: mpsc::Receiver<Message>,
}

impl ScriptedServer {
    /// Answers like a server of a protocol version, and then with what `more` says.
    pub(crate) fn start(
        version: &'static str,
        mut more: impl FnMut(&Message) -> Vec<Message> + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        let (sender, received) = mpsc::channel();
        thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut socket = accept(stream).unwrap();
            while let Ok(frame) = socket.read() {
                let Frame::Binary(bytes) = frame else { continue };
                let message = Encoding::Protobuf.decode(bytes).unwrap();
                let answers = usual(version, &message).into_iter().chain(more(&message));
                for answer in answers {
                    let bytes = Encoding::Protobuf.encode(&answer, Schema::V3);
                    // A client that has what it wants may be gone.
                    let _ = socket.send(Frame::Binary(bytes));
                }
                // Nobody may want to know any more.
                let _ = sender.send(message);
            }
        });
        Self { url, received }
    }

    /// The next message of a kind; others are skipped.
    pub(crate) fn expect<T>(&self, wanted: impl Fn(Message) -> Option<T>) -> T {
        loop {
            let message = self.received.recv_timeout(LIMIT).expect("the message");
            if let Some(found) = wanted(message) {
                return found;
            }
        }
    }
}

/// What every server answers.
fn usual(version: &str, message: &Message) -> Option<Message> {
    let reply = |request_id| Reply { request_id, ..Reply::default() };
    Some(match message {
        Message::ConnectRequest(request) => Message::ConnectResponse(ConnectResponse {
            request_id: request.request_id,
            protocol_version: version.to_owned(),
            ..ConnectResponse::default()
        }),
        Message::Ping(id) => Message::Pong(*id),
        Message::UpstreamOpenRequest(request) => Message::UpstreamOpenResponse(UpstreamOpenResponse {
            request_id: request.request_id,
            stream_id: STREAM,
            stream_id_alias: 1,
            resume_token: "token of the stream".to_owned(),
            ..UpstreamOpenResponse::default()
        }),
        Message::UpstreamCloseRequest(request) => Message::UpstreamCloseResponse(reply(request.request_id)),
        Message::UpstreamMetadata(metadata) => Message::UpstreamMetadataAck(reply(metadata.request_id)),
        Message::DownstreamOpenRequest(request) => Message::DownstreamOpenResponse(DownstreamOpenResponse {
            request_id: request.request_id,
            stream_id: STREAM,
            resume_token: "token of the stream".to_owned(),
            ..DownstreamOpenResponse::default()
        }),
        Message::DownstreamCloseRequest(request) => {
            Message::DownstreamCloseResponse(reply(request.request_id))
        }
        Message::DownstreamChunkAck(ack) => Message::DownstreamChunkAckComplete(DownstreamChunkAckComplete {
            stream_id_alias: ack.stream_id_alias,
            ack_id: ack.ack_id,
            ..DownstreamChunkAckComplete::default()
        }),
        _ => return None,
    })
}

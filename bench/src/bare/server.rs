//! The servers of the bare clients: what they send is answered, or only counted.

use std::error::Error;
use std::io;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::accept_hdr_async;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};

use crate::settings::Unsupported;

/// First byte of a TCP client to which everything goes back.
pub(crate) const ECHO: u8 = b'e';
/// First byte of a TCP client that is told at the end how many bytes came.
pub(crate) const SINK: u8 = b's';

/// Serves until the process is ended.
pub(crate) async fn serve(kind: &str) -> Result<(), Box<dyn Error>> {
    let over_websocket = match kind {
        "ws" => true,
        "tcp" => false,
        _ => return Err(Unsupported(format!("server {kind:?}")).into()),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening {kind}://{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            // The client sees the end of its connection, and says so.
            if over_websocket {
                let _ = serve_ws(stream).await;
            } else {
                let _ = serve_tcp(stream).await;
            }
        });
    }
}

async fn serve_ws(stream: TcpStream) -> Result<(), tokio_tungstenite::tungstenite::Error> {
    let mut echo = false;
    // The type of the error is that of the callback in tungstenite.
    #[allow(clippy::result_large_err)]
    let note_path = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        echo = request.uri().path() == "/echo";
        Ok(response)
    };
    let mut socket = accept_hdr_async(stream, note_path).await?;
    while let Some(message) = socket.next().await {
        let message = message?;
        if echo {
            socket.send(message).await?;
        } else if message.is_ping() {
            // The answer has been queued.
            socket.flush().await?;
        }
    }
    Ok(())
}

async fn serve_tcp(mut stream: TcpStream) -> io::Result<()> {
    let echo = stream.read_u8().await? == ECHO;
    let mut buffer = vec![0; 256 << 10];
    let mut total = 0_u64;
    loop {
        let read = stream.read(&mut buffer).await?;
        total += read as u64;
        match (read, echo) {
            (0, true) => return Ok(()),
            (0, false) => return stream.write_u64(total).await,
            (_, true) => stream.write_all(&buffer[..read]).await?,
            (_, false) => {}
        }
    }
}

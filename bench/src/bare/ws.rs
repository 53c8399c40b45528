//! A bare WebSocket client: one task, tungstenite as it comes.

use std::error::Error;
use std::time::Instant;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::measure;
use crate::settings::Settings;

async fn dial(settings: &Settings, path: &str) -> Result<WebSocketStream<TcpStream>, Box<dyn Error>> {
    let stream = TcpStream::connect(&settings.address).await?;
    stream.set_nodelay(true)?;
    Ok(client_async(format!("ws://{}/{path}", settings.address), stream).await?.0)
}

/// Sends messages, and a ping behind them, of which the answer says that all were read.
pub(crate) async fn publish(settings: &Settings) -> Result<(), Box<dyn Error>> {
    let (size, count) = settings.messages();
    let payload = Bytes::from(vec![7; size]);
    let mut socket = dial(settings, "sink").await?;
    println!("ready");
    let (cpu, start) = (measure::cpu_s()?, Instant::now());
    for _ in 0..count {
        socket.feed(Message::Binary(payload.clone())).await?;
    }
    socket.send(Message::Ping(Bytes::new())).await?;
    match socket.next().await {
        Some(Ok(Message::Pong(_))) => {}
        other => return Err(format!("{other:?} instead of a pong").into()),
    }
    measure::print_throughput(settings, start, cpu)
}

/// Sends messages that come back, one at a time.
pub(crate) async fn ping_pong(settings: &Settings) -> Result<(), Box<dyn Error>> {
    let payload = Bytes::from(vec![7; settings.payload]);
    let mut socket = dial(settings, "echo").await?;
    let mut samples = Vec::new();
    println!("ready");
    let begin = Instant::now();
    for n in 0..settings.points {
        let start = measure::pace(settings, begin, n);
        socket.send(Message::Binary(payload.clone())).await?;
        socket.next().await.ok_or("the server has closed")??;
        samples.push(start.elapsed());
    }
    measure::print_latency(samples);
    Ok(())
}

//! A bare TCP client: one task that writes to a socket.

use std::error::Error;
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::measure;
use crate::server::{ECHO, SINK};
use crate::settings::Settings;

async fn dial(settings: &Settings, mode: u8) -> Result<TcpStream, Box<dyn Error>> {
    let mut stream = TcpStream::connect(&settings.address).await?;
    stream.set_nodelay(true)?;
    stream.write_all(&[mode]).await?;
    Ok(stream)
}

/// Writes, and waits until the server has read to the end.
pub(crate) async fn publish(settings: &Settings) -> Result<(), Box<dyn Error>> {
    let (size, count) = settings.messages();
    let payload = vec![7; size];
    let mut stream = dial(settings, SINK).await?;
    println!("ready");
    let (cpu, start) = (measure::cpu_s()?, Instant::now());
    for _ in 0..count {
        stream.write_all(&payload).await?;
    }
    stream.shutdown().await?;
    let read = stream.read_u64().await?;
    let sent = size as u64 * count;
    if read != sent {
        return Err(format!("the server has read {read} bytes of {sent}").into());
    }
    measure::print_throughput(settings, start, cpu)
}

/// Writes what comes back, one at a time.
pub(crate) async fn ping_pong(settings: &Settings) -> Result<(), Box<dyn Error>> {
    let payload = vec![7; settings.payload];
    let mut answer = payload.clone();
    let mut stream = dial(settings, ECHO).await?;
    let mut samples = Vec::new();
    println!("ready");
    let begin = Instant::now();
    for n in 0..settings.points {
        let start = measure::pace(settings, begin, n);
        stream.write_all(&payload).await?;
        stream.read_exact(&mut answer).await?;
        samples.push(start.elapsed());
    }
    measure::print_latency(samples);
    Ok(())
}

//! What the same work costs without the library.

use std::sync::Mutex;
use std::time::Instant;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use iscp::message::PointsBuf;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, accept_async, client_async};

use crate::latency::Percentiles;
use crate::process;

/// Seconds to encode a 32-byte point into a buffer behind a mutex.
pub(crate) fn encode_under_lock() -> f64 {
    const COUNT: u32 = 5_000_000;
    let run = Mutex::new(PointsBuf::default());
    let start = Instant::now();
    for i in 0..COUNT {
        let mut run = run.lock().expect("no panic under the lock");
        run.push(i64::from(i), &[7; 32]);
        if run.len() == 10_000 {
            run.take();
        }
    }
    start.elapsed().as_secs_f64() / f64::from(COUNT)
}

/// Answers an empty message to every small message and to every thousandth large one.
pub(crate) fn serve_echo() {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
    let url = format!("ws://{}", listener.local_addr().expect("its address"));
    std::thread::spawn(move || process::announce(&url));
    runtime.block_on(async {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            let mut socket = accept_async(stream).await.expect("a WebSocket");
            let mut large = 0_u32;
            while let Some(Ok(message)) = socket.next().await {
                large += u32::from(message.len() > 1024);
                if message.len() <= 1024 || large.is_multiple_of(1000) {
                    let _ = socket.send(Message::Binary(Bytes::from_static(b"ack"))).await;
                }
            }
        }
    });
}

async fn dial(url: &str) -> WebSocketStream<TcpStream> {
    let stream = TcpStream::connect(url.trim_start_matches("ws://")).await.expect("the helper");
    let _ = stream.set_nodelay(true);
    client_async(url, stream).await.expect("a WebSocket").0
}

/// Payload bytes a second of a bare WebSocket sender; `count` is a multiple of 1000.
pub(crate) fn bare_throughput(url: &str, size: usize, count: usize) -> f64 {
    let payload = Bytes::from(vec![7; size]);
    Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(async {
        let mut socket = dial(url).await;
        let start = Instant::now();
        for sent in 1..=count {
            socket.feed(Message::Binary(payload.clone())).await.expect("sent");
            if sent % 1000 == 0 {
                socket.flush().await.expect("sent");
                socket.next().await.expect("answered").expect("answered");
            }
        }
        (size * count) as f64 / start.elapsed().as_secs_f64()
    })
}

/// Round trips of a small message over a bare WebSocket.
pub(crate) fn ping_pong(url: &str, count: usize) -> Percentiles {
    Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(async {
        let mut socket = dial(url).await;
        let mut samples = Vec::with_capacity(count);
        for _ in 0..count {
            let start = Instant::now();
            socket.send(Message::Binary(Bytes::from_static(&[7; 64]))).await.expect("sent");
            socket.next().await.expect("answered").expect("answered");
            samples.push(start.elapsed());
        }
        Percentiles::of(samples)
    })
}

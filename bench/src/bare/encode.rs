//! The floor of a write: a point encoded to protobuf into a buffer behind a mutex.

use std::error::Error;
use std::hint::black_box;
use std::sync::Mutex;
use std::time::Instant;

use serde_json::json;

use crate::settings::Settings;

fn varint(buffer: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        buffer.push(value as u8 | 0x80);
        value >>= 7;
    }
    buffer.push(value as u8);
}

/// A data point as a field of its chunk, docs/protocol/messages.md: the time and the payload.
fn encode(buffer: &mut Vec<u8>, length: usize, time: u64, payload: &[u8]) {
    buffer.push(0x12);
    varint(buffer, length as u64);
    buffer.push(0x08);
    varint(buffer, time);
    buffer.push(0x12);
    varint(buffer, payload.len() as u64);
    buffer.extend_from_slice(payload);
}

/// Prints nanoseconds of a point.
pub(crate) fn run(settings: &Settings) -> Result<(), Box<dyn Error>> {
    let payload = vec![7; settings.payload];
    let buffer = Mutex::new(Vec::with_capacity(1 << 20));
    let full = (1 << 20) - settings.payload - 64;
    let start = Instant::now();
    for time in 0..settings.points {
        let mut buffer = buffer.lock().map_err(|_| "a thread panicked")?;
        let length = settings.payload + 12;
        encode(&mut buffer, length, time, black_box(&payload));
        if buffer.len() > full {
            black_box(buffer.as_slice());
            buffer.clear();
        }
    }
    let each = start.elapsed().as_secs_f64() * 1e9 / settings.points as f64;
    println!("{}", json!({ "points": settings.points, "encode_ns": each }));
    Ok(())
}

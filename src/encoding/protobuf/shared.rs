//! What a message shares with the frame that it came in.
//!
//! As long as a payload lives, so does its frame. Queues count payloads: a frame full of fields that nobody
//! reads would make them hold far more than they are allowed to.

use bytes::{Bytes, BytesMut};

use crate::message::{Message, StreamChunk};

/// Frames up to this size may be kept whatever they consist of.
const SMALL: usize = 1024;

/// Copies what `message` shares with a frame of `frame` bytes if that is less than half of it.
pub(super) fn release(message: &mut Message, frame: usize) {
    if frame <= SMALL {
        return;
    }
    match message {
        Message::UpstreamChunk(message) => release_points(&mut message.chunk, frame),
        Message::DownstreamChunk(message) => release_points(&mut message.chunk, frame),
        Message::UpstreamCall(message) => release_payload(&mut message.payload, frame),
        Message::DownstreamCall(message) => release_payload(&mut message.payload, frame),
        // Made of texts and numbers.
        _ => {}
    }
}

fn release_points(chunk: &mut StreamChunk, frame: usize) {
    let bytes = chunk.groups.iter().map(|group| group.points.as_bytes().len()).sum();
    if bytes >= frame / 2 {
        return;
    }
    // All of them in one allocation.
    let mut room = BytesMut::with_capacity(bytes);
    for group in &mut chunk.groups {
        group.points = group.points.copy_into(&mut room);
    }
}

fn release_payload(payload: &mut Bytes, frame: usize) {
    if payload.len() < frame / 2 {
        *payload = Bytes::copy_from_slice(payload);
    }
}

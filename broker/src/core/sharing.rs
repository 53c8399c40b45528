//! One form of a chunk for many readers.
//!
//! Readers with the same filters and aliases, which most clients of one kind have, get the same message. It is
//! made for the first of them, encoded once, and its bytes are what all of them send. The points in it are those of
//! the frame that the chunk came in.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;
use iscp::encoding::{Encoding, Schema};
use iscp::message::{DownstreamChunk, Message};

use super::routing::Routed;

/// Forms of one chunk that are kept; further readers get their own.
const MAX_FORMS: usize = 4;
/// Bytes of chunks of which forms are kept, the newest. A reader that comes later gets its own.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// A message to a client.
#[derive(Clone, Debug)]
pub enum Outgoing {
    /// One for this client.
    Own(Message),
    /// One that other clients get as well.
    Shared(Arc<SharedChunk>),
}

/// A chunk as several clients get it.
#[derive(Debug)]
pub struct SharedChunk {
    message: Message,
    /// In every encoding that was asked for.
    encoded: Mutex<Vec<(Encoding, Schema, Bytes)>>,
}

impl Outgoing {
    /// The message.
    pub fn message(&self) -> &Message {
        match self {
            Self::Own(message) => message,
            Self::Shared(shared) => &shared.message,
        }
    }

    /// The message, for somebody who keeps it.
    pub fn into_message(self) -> Message {
        match self {
            Self::Own(message) => message,
            Self::Shared(shared) => shared.message.clone(),
        }
    }

    /// The message in bytes. Those of a shared one are made once.
    pub fn encode(&self, encoding: Encoding, schema: Schema) -> Bytes {
        let shared = match self {
            Self::Own(message) => return encoding.encode(message, schema),
            Self::Shared(shared) => shared,
        };
        // Whoever waits for it wants the same bytes, nearly always.
        let mut encoded = shared.encoded.lock().unwrap_or_else(PoisonError::into_inner);
        let known = encoded.iter().find(|known| (known.0, known.1) == (encoding, schema));
        if let Some((_, _, bytes)) = known {
            return bytes.clone();
        }
        let bytes = encoding.encode(&shared.message, schema);
        encoded.push((encoding, schema, bytes.clone()));
        bytes
    }
}

/// The forms of a chunk, and who may still want one.
#[derive(Debug, Default)]
pub(super) struct Forms {
    /// Downstreams in which the chunk was queued and that have not taken it so far. Those that ended are counted too.
    pub(super) takers: usize,
    forms: Vec<Form>,
}

#[derive(Debug)]
struct Form {
    /// Which groups of the chunk it has; `None` for all.
    selection: Option<Box<[u32]>>,
    chunk: Arc<SharedChunk>,
}

impl Forms {
    /// The form with these groups for which `fits` holds.
    pub(super) fn find(
        &self,
        selection: Option<&[u32]>,
        mut fits: impl FnMut(&DownstreamChunk) -> bool,
    ) -> Option<Outgoing> {
        let form = self.forms.iter().find(|form| {
            form.selection.as_deref() == selection
                && matches!(&form.chunk.message, Message::DownstreamChunk(chunk) if fits(chunk))
        })?;
        Some(Outgoing::Shared(Arc::clone(&form.chunk)))
    }

    /// Whether there is somebody for whom a form is kept, and room for one.
    pub(super) fn wants_more(&self) -> bool {
        self.takers > 0 && self.forms.len() < MAX_FORMS
    }

    /// Keeps a form.
    pub(super) fn keep(&mut self, selection: Option<&[u32]>, chunk: DownstreamChunk) -> Outgoing {
        let chunk =
            Arc::new(SharedChunk { message: Message::DownstreamChunk(chunk), encoded: Mutex::default() });
        self.forms.push(Form { selection: selection.map(Into::into), chunk: Arc::clone(&chunk) });
        Outgoing::Shared(chunk)
    }

    /// Drops what nobody will ask for.
    pub(super) fn tidy(&mut self) {
        if self.takers == 0 {
            self.forms = Vec::new();
        }
    }
}

impl Routed {
    /// The forms of the chunk.
    pub(super) fn forms(&self) -> MutexGuard<'_, Forms> {
        self.forms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Chunks of which forms are kept, for as long as there is room: a reader that falls behind must not keep the forms
/// that all others had.
#[derive(Debug, Default)]
pub(super) struct Recent {
    chunks: VecDeque<(Weak<Routed>, usize)>,
    bytes: usize,
}

impl Recent {
    /// A form of this chunk is kept from now on. No forms may be locked.
    pub(super) fn push(&mut self, chunk: &Arc<Routed>) {
        self.chunks.push_back((Arc::downgrade(chunk), chunk.bytes));
        self.bytes += chunk.bytes;
        while let Some((oldest, bytes)) = self.chunks.front()
            && self.chunks.len() > 1
        {
            if let Some(oldest) = oldest.upgrade() {
                let mut kept = oldest.forms();
                if self.bytes <= MAX_BYTES && !kept.forms.is_empty() {
                    return;
                }
                kept.forms = Vec::new();
            }
            self.bytes -= bytes;
            self.chunks.pop_front();
        }
    }
}

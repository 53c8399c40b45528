//! A bundle as any other transport.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;

use super::{Bundle, NOBODY, Numbering, READ_TURN};
use crate::transport::multi::member::Member;
use crate::transport::multi::order::UNACKED_LIMIT;
use crate::transport::path::Path;
use crate::transport::{Channel, Received, Transport, TransportError};

impl Transport for Bundle {
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Received, TransportError>>> {
        let mut idle = false;
        for _ in 0..READ_TURN {
            if let Some(bytes) = self.due.pop_front() {
                return Poll::Ready(Some(Ok(Received { bytes, channel: Channel::Reliable })));
            }
            if self.end.is_none() && !self.poll_members(cx) {
                // What came before may want an answer, or something done in time.
                if let Err(error) = self.drive(cx) {
                    return Poll::Ready(Some(Err(error)));
                }
                if idle && self.end.is_none() {
                    return Poll::Pending;
                }
                idle = true;
            }
            match &self.end {
                Some(Err(error)) => return Poll::Ready(Some(Err(error.clone()))),
                Some(Ok(())) => return Poll::Ready(None),
                None => {}
            }
            if let Some(datagram) = self.datagram.take() {
                return Poll::Ready(Some(Ok(datagram)));
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        self.drive(cx)?;
        if self.poll_lost(cx).is_pending() || (self.keeps() && !self.log.has_room()) {
            return Poll::Pending;
        }
        let next = self.log.next();
        if let Some(id) = self.chosen.take()
            && let Some(member) = self.member(id)
            && member.greeted
            && !member.suspect
            && matches!(member.poll_ready_for(cx, next), Poll::Ready(Ok(())))
        {
            self.chosen = Some(id);
            return Poll::Ready(Ok(()));
        }
        match self.poll_member(cx, next, self.message_size) {
            Poll::Ready(id) => {
                self.chosen = Some(id);
                Poll::Ready(Ok(()))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn send(&mut self, message: Bytes) -> Result<(), TransportError> {
        self.message_size = (self.message_size * 7 + message.len()) / 8;
        let id = self.chosen.take().unwrap_or(NOBODY);
        if self.keeps() {
            self.log.push(id, message.clone());
            if !self.hand_over(id, message) {
                // It may have been gone for long.
                self.log.lose(id);
            }
        } else if !self.hand_over(id, message.clone()) {
            self.parked = Some(message);
        }
        Ok(())
    }

    fn send_unreliable(&mut self, message: Bytes) -> Result<bool, TransportError> {
        let numbered = matches!(self.numbering, Numbering::On(_));
        let usable = |member: &&mut Member| {
            member.takes_datagrams(numbered) && member.transport.datagram_limit() >= message.len()
        };
        let fastest = self.members.iter_mut().filter(usable).min_by_key(|member| member.path.round_trip());
        if let Some(member) = fastest {
            let id = member.id;
            let sent = member.transport.send_unreliable(message);
            return Ok(sent.unwrap_or_else(|error| {
                self.lose(id, Err(error));
                false
            }));
        }
        if self.chosen.is_none() {
            return Ok(false);
        }
        self.send(message).map(|()| true)
    }

    fn datagram_limit(&self) -> usize {
        let numbered = matches!(self.numbering, Numbering::On(_));
        let usable = self.members.iter().filter(|member| member.takes_datagrams(numbered));
        usable.map(|member| member.transport.datagram_limit()).max().unwrap_or(0)
    }

    fn has_datagrams(&self) -> bool {
        self.settings.datagrams
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        self.drive(cx)?;
        let repeating = self.poll_lost(cx).is_pending();
        let mut lost = Vec::new();
        let (mut flushed, mut stuck) = (false, false);
        for member in &mut self.members {
            match member.transport.poll_flush(cx) {
                Poll::Ready(Ok(())) => flushed |= !member.suspect,
                Poll::Ready(Err(error)) => lost.push((member.id, error)),
                Poll::Pending => stuck = true,
            }
        }
        if !lost.is_empty() {
            // What was lost is repeated at once.
            cx.waker().wake_by_ref();
        }
        for (id, error) in lost {
            self.lose(id, Err(error));
        }
        // One that takes nothing must not hold up the others: it goes on whenever it can.
        if (stuck && !flushed) || repeating || self.log.has_lost() {
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    fn bytes_written(&self) -> u64 {
        let members = self.members.iter().map(|member| member.transport.bytes_written());
        self.written + members.sum::<u64>()
    }

    fn paths(&self) -> usize {
        self.serving().count()
    }

    fn describe(&self) -> Vec<Arc<Path>> {
        self.serving().flat_map(|member| member.transport.describe()).collect()
    }

    fn path_stamp(&self) -> u64 {
        self.serving().fold(1, |stamp, member| stamp.wrapping_mul(31).wrapping_add(member.id))
    }

    fn is_deserted(&self) -> bool {
        self.members.is_empty()
    }

    fn admit(&mut self) {
        self.admitted = true;
        self.reorder.allow(UNACKED_LIMIT.saturating_add(self.settings.max_message_size));
        for member in &mut self.members {
            member.transport.admit();
        }
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        if !self.members.is_empty() && self.end.is_none() {
            self.drive(cx)?;
            if !self.closing && self.poll_lost(cx).is_pending() && !self.members.is_empty() {
                return Poll::Pending;
            }
        }
        // Nobody joins any more.
        self.entrance.close();
        self.closing = true;
        let mut lost = Vec::new();
        // They stay for what the peers may still send: closing before it is read would break the connection.
        for member in self.members.iter_mut().filter(|member| !member.closed) {
            match member.transport.poll_close(cx) {
                Poll::Ready(Ok(())) => member.closed = true,
                Poll::Ready(Err(error)) => lost.push((member.id, error)),
                Poll::Pending => {}
            }
        }
        for (id, error) in lost {
            self.lose(id, Err(error));
        }
        if self.members.is_empty() {
            self.end.get_or_insert(Ok(()));
        }
        if self.members.iter().all(|member| member.closed) { Poll::Ready(Ok(())) } else { Poll::Pending }
    }
}

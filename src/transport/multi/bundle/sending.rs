//! Which member of a bundle takes a message.

use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;

use super::{Bundle, Numbering};
use crate::transport::multi::member::Member;
use crate::transport::multi::scheduler::{Candidate, Choice};

impl Bundle {
    /// Whether messages are kept until they are acknowledged.
    pub(super) fn keeps(&self) -> bool {
        self.numbering != Numbering::Off
    }

    /// The member that takes a message of about this size now, with this number.
    pub(super) fn poll_member(&mut self, cx: &mut Context<'_>, number: u64, bytes: usize) -> Poll<u64> {
        // Everyone can turn out not to be ready after all, once.
        for _ in 0..=self.members.len() {
            let mut lost = Vec::new();
            let mut ready = Vec::new();
            let now = Instant::now();
            let healthy = self.members.iter().any(|member| self.may_carry(member) && !member.suspect);
            let (keeps, sticky) = (self.keeps(), self.numbering == Numbering::Undecided);
            let allowed: Vec<u64> = self
                .members
                .iter()
                .filter(|member| self.may_carry(member))
                // Where nothing is repeated a suspect is better than nobody.
                .filter(|member| !member.suspect || (!healthy && (!keeps || sticky)))
                .map(|member| member.id)
                .collect();
            for member in self.members.iter_mut().filter(|member| allowed.contains(&member.id)) {
                match member.poll_ready(cx) {
                    Poll::Ready(Ok(())) => ready.push(member.id),
                    Poll::Ready(Err(error)) => lost.push((member.id, error)),
                    Poll::Pending => {}
                }
            }
            for (id, error) in lost {
                self.lose(id, Err(error));
            }
            let choice = match self.single(&allowed, &ready) {
                Some(choice) => choice,
                None => {
                    let candidates: Vec<_> = self
                        .members
                        .iter()
                        .filter(|member| allowed.contains(&member.id))
                        .map(|member| Candidate {
                            id: member.id,
                            ready: ready.contains(&member.id),
                            path: &member.path,
                        })
                        .collect();
                    self.selector.choose(&candidates, bytes, now)
                }
            };
            let id = match choice {
                Choice::Member(id) => id,
                Choice::Until(until) => {
                    self.waiting = Some(until);
                    // Arms the timer, on which an error is found too.
                    let _ = self.drive(cx);
                    return Poll::Pending;
                }
                Choice::Nobody => return Poll::Pending,
            };
            let numbered = matches!(self.numbering, Numbering::On(_));
            let Some(member) = self.member(id) else { continue };
            match if numbered { member.poll_ready_for(cx, number) } else { Poll::Ready(Ok(())) } {
                Poll::Ready(Ok(())) => return Poll::Ready(id),
                Poll::Ready(Err(error)) => self.lose(id, Err(error)),
                Poll::Pending => {}
            }
        }
        Poll::Pending
    }

    fn may_carry(&self, member: &Member) -> bool {
        match self.numbering {
            Numbering::On(_) => member.greeted,
            Numbering::Off => true,
            // Whatever was sent must not be continued elsewhere before it is known how.
            Numbering::Undecided => self.log.is_empty() || self.sticky == Some(member.id),
        }
    }

    /// The choice where one member carries everything.
    fn single(&mut self, allowed: &[u64], ready: &[u64]) -> Option<Choice> {
        let single = match self.numbering {
            Numbering::On(_) => false,
            Numbering::Off => self.settings.server,
            Numbering::Undecided => true,
        };
        if !single {
            return None;
        }
        if self.sticky.is_none_or(|sticky| !allowed.contains(&sticky)) {
            let ready = self.members.iter().filter(|member| ready.contains(&member.id));
            let fastest = ready.min_by_key(|member| member.path.round_trip());
            self.sticky = fastest.map(|member| member.id).or(self.sticky);
        }
        Some(match self.sticky {
            Some(sticky) if ready.contains(&sticky) => Choice::Member(sticky),
            _ => Choice::Nobody,
        })
    }

    /// Hands a message to a member.
    pub(super) fn hand_over(&mut self, id: u64, message: Bytes) -> bool {
        let Some(member) = self.member(id) else { return false };
        let size = message.len();
        match member.transport.send(message) {
            Ok(()) => {
                member.outgoing += 1;
                member.path.sent(size, Instant::now());
                if !self.keeps()
                    && let Some(member) = self.member(id)
                {
                    // Nobody will say that it came.
                    member.path.unacked = 0;
                }
                true
            }
            Err(error) => {
                self.lose(id, Err(error));
                false
            }
        }
    }

    /// Sends what was lost with a member again; ready when nothing is left of it.
    pub(super) fn poll_lost(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if matches!(self.numbering, Numbering::On(_)) {
            while let Some((number, message)) = self.log.first_lost() {
                let Poll::Ready(id) = self.poll_member(cx, number, message.len()) else {
                    return Poll::Pending;
                };
                // First, so that it is lost again if the member is.
                self.log.resent(number, id);
                self.hand_over(id, message);
            }
        }
        if let Some(message) = self.parked.take() {
            match self.poll_member(cx, 0, message.len()) {
                Poll::Ready(id) if self.hand_over(id, message.clone()) => {}
                _ => {
                    self.parked = Some(message);
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(())
    }
}

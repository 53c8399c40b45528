//! One direction of a TCP connection: what becomes of its bytes, and when. Without sockets and clocks.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};

use crate::faults::{Between, Faults, Size};
use crate::random::{Purpose, Random};
use crate::report::{Direction, Fault};

/// Bytes between two values of the jitter.
const JITTER_BLOCK: u64 = 1024;
/// Bytes that wait for their time at most, where no rate says less.
const QUEUE: usize = 1 << 20;
/// The least that may wait.
const LEAST_QUEUE: usize = 4096;
/// How long bytes of a limited rate wait for each other beside the delay.
const THROTTLE_QUEUE: Duration = Duration::from_millis(250);
/// Bytes of a limited rate leave together in parts of a second this small.
const PIECES_PER_SECOND: u64 = 50;

#[derive(Debug)]
pub(crate) struct StreamLine {
    delay: Duration,
    jitter: Duration,
    rate: Option<u64>,
    jitter_random: Random,
    /// The block to which the jitter belongs.
    jittered: Option<(u64, Duration)>,
    corrupt: Option<(Between<Size>, Random)>,
    corrupt_at: u64,
    cut_at: Option<u64>,
    /// Bytes taken.
    offset: u64,
    queue: VecDeque<(Duration, Bytes)>,
    queued: usize,
    limit: usize,
    /// When a limited rate has carried everything before.
    free_at: Duration,
    last_due: Duration,
}

impl StreamLine {
    pub(crate) fn new(faults: &Faults, seed: u64, connection: u64, direction: Direction) -> Self {
        let random = |purpose| Random::new(seed, connection, purpose, direction as u64);
        let mut corrupt = faults.corrupt_every_bytes.map(|every| (every, random(Purpose::Corrupt)));
        let rate = faults.rate.map(|rate| rate.0.max(1));
        let limit = rate.map_or(QUEUE, |rate| {
            let wait = faults.delay + faults.jitter + THROTTLE_QUEUE;
            ((rate as f64 * wait.as_secs_f64()) as usize).clamp(LEAST_QUEUE, QUEUE)
        });
        Self {
            delay: faults.delay,
            jitter: faults.jitter,
            rate,
            jitter_random: random(Purpose::Jitter),
            jittered: None,
            corrupt_at: corrupt.as_mut().map_or(0, |(every, random)| random.size(*every) - 1),
            corrupt,
            cut_at: faults.cut_after_bytes.map(|at| random(Purpose::CutBytes).size(at)),
            offset: 0,
            queue: VecDeque::new(),
            queued: 0,
            limit,
            free_at: Duration::ZERO,
            last_due: Duration::ZERO,
        }
    }

    /// Bytes taken so far.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Whether more may be taken.
    pub(crate) fn has_room(&self) -> bool {
        self.queued < self.limit && !self.is_cut()
    }

    /// Whether nothing more passes: what was taken is the last.
    pub(crate) fn is_cut(&self) -> bool {
        self.cut_at.is_some_and(|at| self.offset >= at)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Takes bytes that came. What goes wrong with them is told with its offset.
    pub(crate) fn take(&mut self, now: Duration, bytes: &[u8], mut report: impl FnMut(u64, Fault)) {
        let left = self.cut_at.map_or(u64::MAX, |at| at.saturating_sub(self.offset));
        let bytes = &bytes[..bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX))];
        let mut bytes = BytesMut::from(bytes);
        if let Some((every, random)) = &mut self.corrupt {
            while let Some(byte) = bytes.get_mut((self.corrupt_at - self.offset) as usize) {
                // Any value but the one that it has.
                *byte ^= 1 + random.up_to(254) as u8;
                report(self.corrupt_at, Fault::Corrupt);
                self.corrupt_at += random.size(*every);
            }
        }
        let mut bytes = bytes.freeze();
        let most = self.rate.map_or(usize::MAX, |rate| (rate / PIECES_PER_SECOND).max(1) as usize);
        while !bytes.is_empty() {
            let block_end = JITTER_BLOCK - self.offset % JITTER_BLOCK;
            let length = if self.jitter.is_zero() { usize::MAX } else { block_end as usize };
            let piece = bytes.split_to(bytes.len().min(most).min(length));
            self.push(now, piece);
        }
    }

    fn push(&mut self, now: Duration, piece: Bytes) {
        let mut due = now;
        if let Some(rate) = self.rate {
            self.free_at = self.free_at.max(now) + Duration::from_secs_f64(piece.len() as f64 / rate as f64);
            due = self.free_at;
        }
        due += self.delay + self.jitter_here();
        // Bytes do not overtake each other.
        self.last_due = self.last_due.max(due);
        self.offset += piece.len() as u64;
        self.queued += piece.len();
        self.queue.push_back((self.last_due, piece));
    }

    /// The jitter of the bytes at the present offset.
    fn jitter_here(&mut self) -> Duration {
        if self.jitter.is_zero() {
            return Duration::ZERO;
        }
        let block = self.offset / JITTER_BLOCK;
        match self.jittered {
            Some((at, jitter)) if at == block => jitter,
            _ => {
                // Pieces end with their blocks: none is skipped.
                let jitter = self.jitter_random.at_most(self.jitter);
                self.jittered = Some((block, jitter));
                jitter
            }
        }
    }

    /// When the next bytes leave.
    pub(crate) fn next(&self) -> Option<Duration> {
        self.queue.front().map(|(due, _)| *due)
    }

    /// The next bytes, if it is time.
    pub(crate) fn due(&self, now: Duration) -> Option<&Bytes> {
        self.queue.front().filter(|(due, _)| *due <= now).map(|(_, bytes)| bytes)
    }

    /// So many of them have left.
    pub(crate) fn written(&mut self, count: usize) {
        let Some((_, bytes)) = self.queue.front_mut() else { return };
        bytes.advance(count);
        self.queued -= count;
        if bytes.is_empty() {
            self.queue.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(faults: &Faults, seed: u64) -> StreamLine {
        StreamLine::new(faults, seed, 1, Direction::Up)
    }

    /// Sends zeros in chunks; what comes out, the faults, and when each byte is due.
    fn run(faults: &Faults, seed: u64, chunk: usize) -> (Vec<u8>, Vec<(u64, Fault)>, Vec<Duration>) {
        let mut line = line(faults, seed);
        let (mut out, mut reported, mut times) = (Vec::new(), Vec::new(), Vec::new());
        for chunk in vec![0; 50_000].chunks(chunk) {
            line.take(Duration::ZERO, chunk, |offset, fault| reported.push((offset, fault)));
            while let Some(due) = line.next() {
                let bytes = line.due(due).unwrap().clone();
                times.extend(std::iter::repeat_n(due, bytes.len()));
                out.extend_from_slice(&bytes);
                line.written(bytes.len());
            }
        }
        (out, reported, times)
    }

    #[test]
    fn the_seed_decides_whatever_the_size_of_the_chunks() {
        let faults = Faults {
            corrupt_every_bytes: Some("1k..9k".parse().unwrap()),
            cut_after_bytes: Some("20k..49k".parse().unwrap()),
            jitter: Duration::from_millis(50),
            ..Faults::default()
        };
        let whole = run(&faults, 1, 50_000);
        assert_eq!(whole, run(&faults, 1, 1));
        assert_eq!(whole, run(&faults, 1, 1500));
        assert_ne!(whole, run(&faults, 2, 1500));
        let (out, reported, times) = whole;
        assert!((20_000..=49_000).contains(&out.len()), "{}", out.len());
        let changed: Vec<_> = (0..).zip(&out).filter(|(_, byte)| **byte != 0).map(|(at, _)| at).collect();
        let reported: Vec<_> = reported.into_iter().map(|(offset, _)| offset).collect();
        assert_eq!(changed, reported);
        assert!(changed.len() >= 2);
        assert!(times.is_sorted() && times.first() != times.last());
        assert!(*times.last().unwrap() <= Duration::from_millis(50));
    }

    #[test]
    fn bytes_are_as_late_and_as_slow_as_they_should_be() {
        let faults = Faults { delay: Duration::from_secs(1), rate: Some(Size(10_000)), ..Faults::default() };
        let (out, _, times) = run(&faults, 1, 50_000);
        assert_eq!(out.len(), 50_000);
        assert_eq!(*times.last().unwrap(), Duration::from_secs(6));
        let middle = times[25_000].as_secs_f64();
        assert!((3.4..3.6).contains(&middle), "{middle}");
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut slow = line(&Faults { rate: Some(Size(1000)), ..Faults::default() }, 1);
        let mut late = line(&Faults { delay: Duration::from_secs(9), ..Faults::default() }, 1);
        for line in [&mut slow, &mut late] {
            while line.has_room() {
                line.take(Duration::ZERO, &[0; 1000], |_, _| {});
            }
        }
        assert_eq!(slow.offset(), 5000);
        assert!(late.offset() >= QUEUE as u64 && late.offset() < QUEUE as u64 + 1000);
    }
}

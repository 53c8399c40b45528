//! One direction of a UDP flow: what becomes of its datagrams, and when. Without sockets and clocks.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use crate::faults::Faults;
use crate::random::{Purpose, Random};
use crate::report::{Direction, Fault};

/// Bytes that wait for their time at most: more are lost, as in a router.
const QUEUE: usize = 1 << 20;
/// How long those of a limited rate wait for each other beside the delay.
const THROTTLE_QUEUE: Duration = Duration::from_millis(250);
/// Datagrams that overtake another one at most.
const OVERTAKING: u64 = 3;
/// How long a datagram waits for them.
const OVERTAKING_LIMIT: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(crate) struct DatagramLine {
    faults: Faults,
    random: Random,
    /// Datagrams taken.
    count: u64,
    /// By the time at which they leave, and their order.
    queue: BTreeMap<(Duration, u64), Bytes>,
    queued: usize,
    /// Order of what was put into the queue last.
    last: u64,
    /// Overtaken ones: after which datagram they leave.
    held: Vec<Held>,
    /// When a limited rate has carried everything before.
    free_at: Duration,
}

#[derive(Debug)]
struct Held {
    after: u64,
    limit: Duration,
    late: Duration,
    bytes: Bytes,
}

impl DatagramLine {
    pub(crate) fn new(faults: &Faults, seed: u64, connection: u64, direction: Direction) -> Self {
        Self {
            faults: faults.clone(),
            random: Random::new(seed, connection, Purpose::Datagrams, direction as u64),
            count: 0,
            queue: BTreeMap::new(),
            queued: 0,
            last: 0,
            held: Vec::new(),
            free_at: Duration::ZERO,
        }
    }

    /// Takes a datagram that came. What goes wrong with it is told with its number.
    pub(crate) fn take(&mut self, now: Duration, datagram: &[u8], mut report: impl FnMut(u64, Fault)) {
        let number = self.count;
        self.count += 1;
        // All of it is drawn for every datagram: the fate of one does not change that of the others.
        let drop = self.random.chance(self.faults.drop);
        let duplicate = self.random.chance(self.faults.duplicate);
        let reorder = self.random.chance(self.faults.reorder);
        let corrupt = self.random.chance(self.faults.corrupt);
        let overtaking = 1 + self.random.up_to(OVERTAKING - 1);
        let (place, change) = (self.random.next(), 1 + self.random.up_to(254) as u8);
        let late = [(); 2].map(|()| self.faults.delay + self.random.at_most(self.faults.jitter));

        if drop {
            report(number, Fault::Drop);
        } else {
            let mut bytes = BytesMut::from(datagram);
            if corrupt && !bytes.is_empty() {
                report(number, Fault::Corrupt);
                let at = (place % bytes.len() as u64) as usize;
                bytes[at] ^= change;
            }
            let bytes = bytes.freeze();
            if duplicate {
                report(number, Fault::Duplicate);
                self.push(now, late[1], bytes.clone());
            }
            if reorder {
                report(number, Fault::Reorder);
                let (after, limit) = (number + overtaking, now + OVERTAKING_LIMIT);
                self.held.push(Held { after, limit, late: late[0], bytes });
            } else {
                self.push(now, late[0], bytes);
            }
        }
        self.release(now, |held| held.after <= number);
    }

    fn release(&mut self, now: Duration, which: impl Fn(&Held) -> bool) {
        for held in self.held.extract_if(.., |held| which(held)).collect::<Vec<_>>() {
            self.push(now, held.late, held.bytes);
        }
    }

    fn push(&mut self, now: Duration, late: Duration, bytes: Bytes) {
        let mut due = now;
        if let Some(rate) = self.faults.rate {
            let free_at = self.free_at.max(now);
            if free_at > now + THROTTLE_QUEUE {
                return;
            }
            self.free_at = free_at + Duration::from_secs_f64(bytes.len() as f64 / rate.0.max(1) as f64);
            due = self.free_at;
        }
        if self.queued + bytes.len() > QUEUE {
            return;
        }
        self.queued += bytes.len();
        self.last += 1;
        self.queue.insert((due + late, self.last), bytes);
    }

    /// When something is to be done.
    pub(crate) fn next(&self) -> Option<Duration> {
        let held = self.held.iter().map(|held| held.limit).min();
        let queued = self.queue.first_key_value().map(|((due, _), _)| *due);
        held.into_iter().chain(queued).min()
    }

    /// The next datagram, if it is time.
    pub(crate) fn due(&mut self, now: Duration) -> Option<Bytes> {
        self.release(now, |held| held.limit <= now);
        let first = self.queue.first_entry().filter(|first| first.key().0 <= now)?;
        let bytes = first.remove();
        self.queued -= bytes.len();
        Some(bytes)
    }

    /// Forgets what waits.
    pub(crate) fn clear(&mut self) {
        self.queue.clear();
        self.held.clear();
        self.queued = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::Size;

    fn chance(text: &str) -> crate::Chance {
        text.parse().unwrap()
    }

    /// Sends datagrams that hold their number; those that come out, and the faults.
    fn run(faults: &Faults, seed: u64, pause: Duration) -> (Vec<Vec<u8>>, Vec<(u64, Fault)>) {
        let mut line = DatagramLine::new(faults, seed, 1, Direction::Down);
        let (mut out, mut reported) = (Vec::new(), Vec::new());
        let mut now = Duration::ZERO;
        for number in 0..2000u16 {
            line.take(now, &number.to_be_bytes(), |number, fault| reported.push((number, fault)));
            while let Some(datagram) = line.due(now) {
                out.push(datagram.to_vec());
            }
            now += pause;
        }
        while let Some(next) = line.next() {
            out.extend(line.due(next).map(|datagram| datagram.to_vec()));
        }
        (out, reported)
    }

    #[test]
    fn the_seed_decides_whatever_the_timing() {
        let faults = Faults {
            drop: chance("2%"),
            duplicate: chance("3%"),
            reorder: chance("4%"),
            corrupt: chance("5%"),
            ..Faults::default()
        };
        let first = run(&faults, 1, Duration::ZERO);
        assert_eq!(first, run(&faults, 1, Duration::from_millis(3)));
        assert_ne!(first, run(&faults, 2, Duration::ZERO));
        for fault in [Fault::Drop, Fault::Duplicate, Fault::Reorder, Fault::Corrupt] {
            let count = first.1.iter().filter(|(_, other)| *other == fault).count();
            assert!((15..160).contains(&count), "{fault}: {count}");
        }
    }

    #[test]
    fn each_fault_does_what_it_says() {
        let sent: Vec<_> = (0..2000u16).map(|number| number.to_be_bytes().to_vec()).collect();
        let sorted = |mut datagrams: Vec<Vec<u8>>| {
            datagrams.sort();
            datagrams
        };
        let only = |set: &dyn Fn(&mut Faults)| {
            let mut faults = Faults::default();
            set(&mut faults);
            let (out, reported) = run(&faults, 3, Duration::from_millis(1));
            (out, reported.len())
        };
        assert_eq!(only(&|_| {}), (sent.clone(), 0));
        let (out, count) = only(&|faults| faults.drop = chance("10%"));
        assert!(count > 100 && out.len() == sent.len() - count && out.is_sorted());
        let (out, count) = only(&|faults| faults.duplicate = chance("10%"));
        assert!(count > 100 && out.len() == sent.len() + count && out.is_sorted());
        let (out, count) = only(&|faults| faults.reorder = chance("10%"));
        assert!(count > 100 && !out.is_sorted() && sorted(out) == sent);
        let (out, count) = only(&|faults| faults.corrupt = chance("10%"));
        assert_eq!(out.iter().zip(&sent).filter(|(got, sent)| got != sent).count(), count);
        let (out, _) = only(&|faults| faults.jitter = Duration::from_millis(5));
        assert!(!out.is_sorted() && sorted(out) == sent);
        let (out, _) = only(&|faults| faults.delay = Duration::from_millis(5));
        assert_eq!(out, sent);
    }

    #[test]
    fn what_is_too_fast_is_lost() {
        let faults = Faults { rate: Some(Size(1000)), ..Faults::default() };
        let (out, _) = run(&faults, 1, Duration::from_millis(1));
        // 2 s at 1000 bytes a second, and what waits at the end.
        assert!((1000..1150).contains(&out.len()), "{}", out.len());
        let (out, _) = run(&faults, 1, Duration::from_millis(2));
        assert_eq!(out.len(), 2000);
    }

    #[test]
    fn an_overtaken_datagram_does_not_wait_for_ever() {
        let faults = Faults { reorder: chance("100%"), ..Faults::default() };
        let mut line = DatagramLine::new(&faults, 1, 1, Direction::Up);
        line.take(Duration::ZERO, b"x", |_, _| {});
        assert_eq!(line.due(Duration::ZERO), None);
        let next = line.next().unwrap();
        assert_eq!(line.due(next).unwrap(), "x");
        assert_eq!(line.next(), None);
    }
}

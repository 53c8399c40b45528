//! Those who wait for the outcome of single points.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::completion::Completion;
use super::dispatcher::Dispatcher;
use crate::error::{Error, Result, Status};

/// Writes of one upstream whose outcome may be awaited at a time, those included whose callback has not returned.
pub const MAX_AWAITED: usize = 65_536;

/// The completions of an upstream's points, by the numbers that the write buffer gives them.
#[derive(Default)]
pub(super) struct Awaited {
    waiting: Mutex<BTreeMap<u64, (Completion<()>, Place)>>,
    places: Arc<AtomicUsize>,
}

/// One of [`MAX_AWAITED`], until whoever waits was told.
pub(super) struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Awaited {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, (Completion<()>, Place)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for one more.
    ///
    /// # Errors
    /// `WouldBlock` when there is none.
    pub(super) fn admit(&self) -> Result<Place> {
        let place = Place(self.places.clone());
        if self.places.fetch_add(1, Relaxed) >= MAX_AWAITED {
            let text = format!("write: {MAX_AWAITED} writes wait for their acknowledgement already");
            return Err(Error::new(Status::WouldBlock, text));
        }
        Ok(place)
    }

    /// Waits for the outcome of a point. Called under the lock of the buffer that the point is in, so that the
    /// outcome cannot come first.
    pub(super) fn insert(&self, number: u64, done: Completion<()>, place: Place) {
        self.lock().insert(number, (done, place));
    }

    /// Nobody waits for a point any more. False when the outcome was told.
    pub(super) fn withdraw(&self, number: u64) -> bool {
        self.lock().remove(&number).is_some()
    }

    /// Tells the outcome of points.
    pub(super) fn settle(&self, numbers: &[u64], outcome: &Result<()>, dispatcher: &Dispatcher) {
        for number in numbers {
            let waiting = self.lock().remove(number);
            if let Some((done, place)) = waiting {
                done.holding(place).complete(outcome.clone(), dispatcher);
            }
        }
    }

    /// Tells everybody who still waits that the stream has ended.
    pub(super) fn end(&self, error: &Error, dispatcher: &Dispatcher) {
        for (done, place) in std::mem::take(&mut *self.lock()).into_values() {
            done.holding(place).complete(Err(error.clone()), dispatcher);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);

    #[test]
    fn a_place_is_taken_until_the_callback_has_returned() {
        let (awaited, dispatcher) = (Awaited::default(), Dispatcher::new());
        let (go, gate) = mpsc::channel::<()>();
        let (told, outcomes) = mpsc::channel();
        for number in 0..MAX_AWAITED as u64 {
            let told = told.clone();
            let done = Completion::call(move |outcome: Result<()>| {
                let _ = told.send((number, outcome.map_err(|error| error.status())));
            });
            awaited.insert(number, done, awaited.admit().unwrap());
        }
        assert_eq!(awaited.admit().map(drop).unwrap_err().status(), Status::WouldBlock);
        dispatcher.post(move || {
            let _ = gate.recv_timeout(LIMIT);
        });
        awaited.settle(&[3, 5], &Ok(()), &dispatcher);
        assert!(awaited.admit().is_err(), "their callbacks wait behind another");
        go.send(()).unwrap();
        assert_eq!(outcomes.recv_timeout(LIMIT).unwrap(), (3, Ok(())));
        assert_eq!(outcomes.recv_timeout(LIMIT).unwrap(), (5, Ok(())));
        awaited.end(&Error::new(Status::Closed, "closed"), &dispatcher);
        let rest: Vec<_> = (2..MAX_AWAITED).map(|_| outcomes.recv_timeout(LIMIT).unwrap()).collect();
        assert!(
            rest.iter().all(|(number, outcome)| ![3, 5].contains(number) && *outcome == Err(Status::Closed))
        );
        let (idle, last) = mpsc::channel();
        dispatcher.post(move || idle.send(()).unwrap());
        last.recv_timeout(LIMIT).unwrap();
        assert!(awaited.admit().is_ok());
    }
}

//! The thread on which a connection's callbacks run, one at a time and in order.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use crossbeam_channel::{Receiver, Sender, unbounded};

use super::runtime;
use super::threads::ThreadKind;

type Job = Box<dyn FnOnce() + Send>;

/// Hands jobs to a connection's dispatcher thread. The thread starts with the first job and ends
/// when the last dispatcher is dropped and every job has run.
#[derive(Clone)]
pub(super) struct Dispatcher {
    jobs: Sender<Job>,
    /// The thread's end of the queue, until there is a thread.
    idle: Arc<Mutex<Option<Receiver<Job>>>>,
}

impl Dispatcher {
    pub(super) fn new() -> Self {
        // Bounded by what feeds it: one job per operation of the application and at most one per
        // stream and kind of event, since streams queue their own events.
        let (jobs, receiver) = unbounded();
        Self { jobs, idle: Arc::new(Mutex::new(Some(receiver))) }
    }

    pub(super) fn post(&self, job: impl FnOnce() + Send + 'static) {
        self.post_job(Box::new(job));
    }

    /// Apart from [`Self::post`], so that it is in the library once and not for every kind of job.
    #[inline(never)]
    fn post_job(&self, job: Job) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(receiver) = idle.take() {
            let jobs = receiver.clone();
            if let Err(error) = runtime::spawn_thread(ThreadKind::Dispatcher, move || run(&jobs)) {
                tracing::error!("no dispatcher thread, callbacks wait for the next attempt: {error}");
                *idle = Some(receiver);
            }
        }
        drop(idle);
        let _ = self.jobs.send(job);
    }
}

fn run(jobs: &Receiver<Job>) {
    for job in jobs {
        if catch_unwind(AssertUnwindSafe(job)).is_err() {
            tracing::error!("a callback panicked");
        }
    }
}

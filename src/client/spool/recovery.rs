//! Delivers what an earlier process left.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError, mpsc};
use std::time::Duration;

use super::kept::{Deferred, Kept};
use super::pump::Pump;
use super::{SpoolOutcome, spool_error};
use crate::client::completion::Completion;
use crate::client::connection::{Command, Shared};
use crate::client::runtime::spawn_thread;
use crate::client::threads::ThreadKind;
use crate::core::{OpenedUpstream, RestoredChunk, RestoredStream, RestoredUpstream, UpstreamConfig};
use crate::error::{Error, Result, Status};
use crate::message::Points;
use crate::spool::{Damage, Journal, Leftover, SpoolError};

/// Longer than any outage: the connection decides when it is given up.
const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// Starts a thread that delivers what is left, stream by stream.
pub(in crate::client) fn recover(shared: &Arc<Shared>) {
    let Some(side) = &shared.spool else { return };
    let leftovers = std::mem::take(&mut *side.leftovers.lock().unwrap_or_else(PoisonError::into_inner));
    if leftovers.is_empty() {
        return;
    }
    let shared = shared.clone();
    let started = spawn_thread(ThreadKind::Spool, move || {
        for leftover in leftovers {
            let outcome = deliver(&shared, leftover);
            // After the end of the connection nobody is told anything.
            let _ = shared.send(Command::Recovered(Box::new(outcome)));
        }
    });
    if let Err(error) = started {
        tracing::error!("spool: cannot start a thread: {error}");
    }
}

fn deliver(shared: &Arc<Shared>, leftover: Leftover) -> SpoolOutcome {
    let Leftover { journal, damage } = leftover;
    let former = journal.attachment().map(|attachment| attachment.stream_id).unwrap_or_default();
    let mut outcome = SpoolOutcome {
        session_id: journal.stream().session_id.clone(),
        former,
        stream_id: former,
        points: 0,
        missing_points: damage.missing_points,
        error: None,
    };
    let waiting = journal.written() - journal.settled() - damage.missing_points;
    tracing::info!("spool: {waiting} points of session {} are to be delivered", outcome.session_id);
    match send(shared, journal, damage, &mut outcome) {
        Ok(()) => {
            outcome.points = waiting;
            if let Some(side) = &shared.spool {
                side.counters.recovered_points.fetch_add(waiting, Relaxed);
            }
            tracing::info!("spool: they were delivered");
        }
        Err(error) => {
            tracing::warn!("spool: they stay there: {error}");
            outcome.error = Some(error);
        }
    }
    outcome
}

fn send(shared: &Arc<Shared>, journal: Journal, damage: Damage, outcome: &mut SpoolOutcome) -> Result<()> {
    let stream = journal.stream().clone();
    let restored = restore(&journal, damage).map_err(|error| spool_error(&error))?;
    let kept = Arc::new(Kept::new(journal, super::SpoolFull::Refuse));
    kept.lock().backlog = true;
    let config = UpstreamConfig {
        session_id: stream.session_id,
        ack_interval: Duration::from_millis(stream.ack_interval_ms.into()),
        expiry_interval: Duration::from_secs(stream.expiry_interval_s.into()),
        qos: stream.qos,
        persist: stream.persist,
        reopen: true,
        close_timeout: FOR_EVER,
        keeper: Some(kept.clone()),
        ..UpstreamConfig::default()
    };
    let (done, opened) = completion();
    shared.send(Command::RestoreUpstream(Box::new(config), Box::new(restored), done))?;
    let OpenedUpstream { key, buffer, .. } = wait(&opened)?;
    let (done, closed) = completion();
    let deadline = std::time::Instant::now() + FOR_EVER;
    kept.lock().deferred.push(Deferred::Close { close_session: false, deadline, done });
    let pump = Pump { shared: shared.clone(), key, buffer: buffer.clone(), kept };
    pump.run();
    let delivered = wait(&closed);
    outcome.stream_id = buffer.identity().stream_id;
    delivered
}

fn completion<T: Send + 'static>() -> (Completion<T>, mpsc::Receiver<Result<T>>) {
    let (sender, receiver) = mpsc::channel();
    // Nobody waits any longer only when the process ends.
    (Completion::call(move |outcome| drop(sender.send(outcome))), receiver)
}

fn wait<T>(receiver: &mpsc::Receiver<Result<T>>) -> Result<T> {
    let closed = || Error::new(Status::Closed, "the connection was closed before everything was delivered");
    receiver.recv().unwrap_or_else(|_| Err(closed()))
}

/// What the core needs to go on where the earlier process stopped.
fn restore(journal: &Journal, damage: Damage) -> Result<RestoredUpstream, SpoolError> {
    let data_ids = journal.data_ids().to_vec();
    let anew = |data_ids| RestoredUpstream { data_ids, stream: None, next_point: journal.settled() };
    let (last_sequence_number, next_point) = journal.last_cut();
    // A chunk with other points under a number that the server has would be taken for the one it has. So none is sent
    // on the former stream when points are missing, or perhaps the number of the last one.
    let certain = damage.missing_points == 0 && journal.knows_all_chunks();
    let Some(attachment) = journal.attachment().filter(|_| certain) else {
        return Ok(anew(data_ids));
    };
    if next_point < journal.settled() || next_point > journal.written() {
        return Ok(anew(data_ids));
    }
    let mut chunks = Vec::new();
    for cut in journal.cuts() {
        let mut runs: Vec<(u32, Vec<(i64, bytes::Bytes)>)> = Vec::new();
        for run in journal.runs(cut.first_point..cut.end)? {
            let points = run.points.iter().map(|point| (point.elapsed_time, point.payload));
            match runs.iter_mut().find(|(id, _)| *id == run.data_id) {
                Some((_, all)) => all.extend(points),
                None => runs.push((run.data_id, points.collect())),
            }
        }
        let runs: Vec<(u32, Points)> =
            runs.into_iter().map(|(id, points)| (id, points.into_iter().collect())).collect();
        if runs.iter().map(|(_, points)| points.len() as u64).sum::<u64>() != cut.end - cut.first_point {
            return Ok(anew(data_ids));
        }
        chunks.push(RestoredChunk {
            sequence_number: cut.sequence_number,
            first_point: cut.first_point,
            end: cut.end,
            runs,
        });
    }
    let stream = RestoredStream {
        stream_id: attachment.stream_id,
        resume_token: attachment.resume_token.clone(),
        last_sequence_number,
        total_points: next_point.saturating_sub(attachment.first_point),
        chunks,
    };
    Ok(RestoredUpstream { data_ids, stream: Some(stream), next_point })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{DataId, Qos};
    use crate::spool::{Attachment, Spool, SpoolConfig, StreamDescription, SyncPolicy};

    /// What is sent of a journal that a process left in the start `left` of the system and another finds in `found`.
    fn restored(left: &str, found: &str) -> RestoredUpstream {
        let dir = std::env::temp_dir().join(format!("iscp-recovery-{}", uuid::Uuid::new_v4()));
        let open = |boot_id| {
            let config = SpoolConfig { dir: dir.clone(), limit: 1 << 20, sync: SyncPolicy::Disk };
            Spool::open_since(config, boot_id).unwrap()
        };
        {
            let stream = StreamDescription { qos: Qos::Reliable, ..StreamDescription::default() };
            let mut journal = open(left).0.create(stream).unwrap();
            journal.declare(&DataId::new("a", "t")).unwrap();
            journal.attach(Attachment::default()).unwrap();
            for number in 0..4 {
                let points = std::iter::once((number, b"payload")).collect();
                journal.append(0, &points).unwrap().unwrap().sync().unwrap();
            }
            journal.cut(1, 1).unwrap();
            journal.cut(2, 3).unwrap();
            journal.settle(1).unwrap();
        }
        let (_, mut leftovers) = open(found);
        let Leftover { journal, damage } = leftovers.remove(0);
        let restored = restore(&journal, damage).unwrap();
        std::fs::remove_dir_all(dir).unwrap();
        restored
    }

    #[test]
    fn after_a_crash_the_stream_goes_on_behind_its_last_chunk() {
        let restored = restored("boot", "boot");
        let stream = restored.stream.expect("a stream to resume");
        assert_eq!((stream.last_sequence_number, restored.next_point), (2, 3));
        assert_eq!(stream.chunks.iter().map(|chunk| chunk.sequence_number).collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn after_a_power_cut_everything_is_sent_on_another_stream() {
        // Chunk 3 may have been sent, and the disk knows nothing of it.
        let restored = restored("boot", "another boot");
        assert!(restored.stream.is_none());
        assert_eq!(restored.next_point, 1);
    }
}

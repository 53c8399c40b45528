use std::fs;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::*;
use crate::message::{DataId, Points};

/// A directory that is removed in the end.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        Self(std::env::temp_dir().join(format!("iscp-spool-{}", Uuid::new_v4())))
    }

    fn open(&self) -> (Spool, Vec<Leftover>) {
        self.open_limited(1 << 20)
    }

    fn open_limited(&self, limit: u64) -> (Spool, Vec<Leftover>) {
        Spool::open(SpoolConfig { dir: self.0.clone(), limit, sync: SyncPolicy::Process }).unwrap()
    }

    fn only_journal(&self) -> Leftover {
        let (_, mut leftovers) = self.open();
        assert_eq!(leftovers.len(), 1);
        leftovers.remove(0)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn description() -> StreamDescription {
    StreamDescription {
        node_id: "node".into(),
        project_uuid: Some(Uuid::from_u128(7)),
        session_id: "session".into(),
        expiry_interval_s: 60,
        ack_interval_ms: 100,
        qos: Qos::Reliable,
        persist: true,
    }
}

fn attachment(stream: u128, first_point: u64) -> Attachment {
    let stream_id = Uuid::from_u128(stream);
    Attachment { stream_id, alias: 3, resume_token: "token".into(), first_point }
}

/// A point that tells its number.
fn point(number: u64) -> Points {
    [(number as i64 * 10, format!("payload of {number}"))].into_iter().collect()
}

/// Numbers of the points from `from`, whose content is checked.
fn numbers(journal: &Journal, from: u64) -> Vec<u64> {
    let mut cursor = Cursor::new(from);
    let mut numbers = Vec::new();
    while let Some(run) = journal.read(&mut cursor).unwrap() {
        for (at, read) in run.points.iter().enumerate() {
            let number = run.first_point + at as u64;
            assert_eq!(point(number).iter().next(), Some(read));
            numbers.push(number);
        }
    }
    numbers
}

fn write(journal: &mut Journal, points: std::ops::Range<u64>) {
    for number in points {
        journal.append(0, &point(number)).unwrap();
    }
}

#[test]
fn the_last_chunk_is_only_known_as_long_as_the_system_runs() {
    let dir = Dir::new();
    let open = |boot_id| {
        let config = SpoolConfig { dir: dir.0.clone(), limit: 1 << 20, sync: SyncPolicy::Disk };
        Spool::open_since(config, boot_id).unwrap()
    };
    {
        let (spool, _) = open("first");
        let mut journal = spool.create(description()).unwrap();
        journal.declare(&DataId::new("a", "t")).unwrap();
        journal.attach(attachment(1, 0)).unwrap();
        journal.append(0, &point(0)).unwrap().expect("something to wait for").sync().unwrap();
        journal.cut(1, 1).unwrap();
        assert!(journal.knows_all_chunks());
    }
    let known =
        |boot_id| open(boot_id).1.iter().map(|leftover| leftover.journal.knows_all_chunks()).collect();
    let known: [Vec<bool>; 3] = [known("first"), known("second"), known("")];
    assert_eq!(known, [[true], [false], [false]]);
    // What the first process of the second start writes does not make it known.
    {
        let (_, mut leftovers) = open("second");
        write(&mut leftovers[0].journal, 1..2);
    }
    let known = |boot_id| open(boot_id).1[0].journal.knows_all_chunks();
    assert!(known("first") && !known("second"));
    {
        let (_, mut leftovers) = open("second");
        leftovers[0].journal.attach(attachment(2, 0)).unwrap();
    }
    assert!(known("second"));
}

#[test]
fn after_the_disk_failed_what_is_written_goes_to_another_file() {
    let dir = Dir::new();
    {
        let (spool, _) = dir.open();
        let mut journal = spool.create(description()).unwrap();
        journal.declare(&DataId::new("a", "t")).unwrap();
        write(&mut journal, 0..2);
        journal.abandon_segment();
        journal.cut(1, 2).unwrap();
        write(&mut journal, 2..3);
    }
    let Leftover { journal, damage } = dir.only_journal();
    assert_eq!(damage, Damage::default());
    assert_eq!(numbers(&journal, 0), [0, 1, 2]);
    assert_eq!(journal.last_cut(), (1, 2));
    assert_eq!(segments(&dir.0.join(journal.id().to_string())), 2);
}

fn segments(dir: &Path) -> usize {
    fs::read_dir(dir).unwrap().count()
}

#[test]
fn a_journal_is_read_again_as_it_was() {
    let dir = Dir::new();
    {
        let (spool, leftovers) = dir.open();
        assert!(leftovers.is_empty());
        let mut journal = spool.create(description()).unwrap();
        assert_eq!(journal.declare(&DataId::new("a", "t")).unwrap(), 0);
        journal.attach(attachment(1, 0)).unwrap();
        write(&mut journal, 0..3);
        assert_eq!(journal.declare(&DataId::new("b", "t")).unwrap(), 1);
        journal.append(1, &point(3)).unwrap();
        for (sequence_number, end) in [(1, 1), (2, 3), (3, 4)] {
            journal.cut(sequence_number, end).unwrap();
        }
        journal.settle(1).unwrap();
    }
    let Leftover { journal, damage } = dir.only_journal();
    assert_eq!(damage, Damage::default());
    assert_eq!((journal.stream(), journal.attachment()), (&description(), Some(&attachment(1, 0))));
    assert_eq!(journal.data_ids(), [DataId::new("a", "t"), DataId::new("b", "t")]);
    assert_eq!((journal.settled(), journal.written(), journal.last_cut()), (1, 4, (3, 4)));
    let cut = |sequence_number, first_point, end| Cut { sequence_number, first_point, end };
    assert_eq!(journal.cuts().collect::<Vec<_>>(), [cut(2, 1, 3), cut(3, 3, 4)]);
    assert_eq!(numbers(&journal, 0), [0, 1, 2, 3]);
    assert_eq!(numbers(&journal, 2), [2, 3]);
    let mut cursor = Cursor::new(3);
    assert_eq!(journal.read(&mut cursor).unwrap().unwrap().data_id, 1);
}

#[test]
fn it_goes_on_in_new_files_after_a_restart_with_another_stream() {
    let dir = Dir::new();
    {
        let (spool, _) = dir.open();
        let mut journal = spool.create(description()).unwrap();
        journal.declare(&DataId::new("a", "t")).unwrap();
        journal.attach(attachment(1, 0)).unwrap();
        write(&mut journal, 0..5);
        journal.cut(1, 4).unwrap();
    }
    {
        let mut journal = dir.only_journal().journal;
        journal.attach(attachment(2, 0)).unwrap();
        write(&mut journal, 5..7);
        assert_eq!(journal.last_cut(), (0, 0));
        journal.cut(1, 6).unwrap();
        journal.settle(6).unwrap();
    }
    let Leftover { journal, damage } = dir.only_journal();
    assert_eq!(damage, Damage::default());
    assert_eq!((journal.settled(), journal.last_cut()), (6, (1, 6)));
    assert_eq!(journal.attachment(), Some(&attachment(2, 0)));
    assert_eq!(numbers(&journal, journal.settled()), [6]);
}

#[test]
fn what_is_said_of_points_of_an_earlier_process_survives_too() {
    let dir = Dir::new();
    {
        let (spool, _) = dir.open();
        let mut journal = spool.create(description()).unwrap();
        journal.declare(&DataId::new("a", "t")).unwrap();
        journal.attach(attachment(1, 0)).unwrap();
        write(&mut journal, 0..5);
        journal.cut(1, 2).unwrap();
    }
    {
        let mut journal = dir.only_journal().journal;
        journal.attach(Attachment { resume_token: "another".into(), ..attachment(1, 0) }).unwrap();
        journal.cut(2, 4).unwrap();
        journal.settle(2).unwrap();
    }
    let Leftover { journal, damage } = dir.only_journal();
    assert_eq!(damage, Damage::default());
    assert_eq!(journal.attachment().map(|attachment| attachment.resume_token.as_str()), Some("another"));
    assert_eq!((journal.settled(), journal.last_cut()), (2, (2, 4)));
    assert_eq!(journal.cuts().collect::<Vec<_>>(), [Cut { sequence_number: 2, first_point: 2, end: 4 }]);
    assert_eq!(numbers(&journal, 0), [0, 1, 2, 3, 4]);
}

/// Whatever a crash left of the last write: everything before it is there, and nothing else.
#[test]
fn a_file_may_end_at_any_byte() {
    let dir = Dir::new();
    let mut ends = Vec::new();
    let file = {
        let (spool, _) = dir.open();
        let mut journal = spool.create(description()).unwrap();
        journal.declare(&DataId::new("a", "t")).unwrap();
        for number in 0..6 {
            journal.append(0, &point(number)).unwrap();
            ends.push(journal.bytes() as usize);
        }
        dir.0.join(journal.id().to_string()).join("00000001.seg")
    };
    let whole = fs::read(&file).unwrap();
    assert_eq!(whole.len(), *ends.last().unwrap());
    for length in 0..=whole.len() {
        fs::write(&file, &whole[..length]).unwrap();
        let kept = ends.iter().filter(|end| **end <= length).count() as u64;
        let (_, mut leftovers) = dir.open();
        assert_eq!(leftovers.len(), usize::from(kept > 0), "{length} bytes");
        let Some(Leftover { mut journal, damage }) = leftovers.pop() else {
            // A journal that holds no point is removed.
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            continue;
        };
        assert_eq!(damage.torn_bytes == 0, ends.contains(&length), "{length} bytes");
        assert_eq!(numbers(&journal, 0), (0..kept).collect::<Vec<_>>());
        // And it is not in the way of what comes next.
        write(&mut journal, kept..kept + 1);
        assert_eq!(numbers(&journal, 0), (0..=kept).collect::<Vec<_>>());
        fs::remove_file(file.with_file_name("00000002.seg")).unwrap();
    }
}

#[test]
fn damage_in_the_middle_costs_the_rest_of_its_file_only_and_is_counted() {
    let dir = Dir::new();
    let folder = {
        let (spool, _) = dir.open_limited(16 << 10);
        let mut journal = spool.create(description()).unwrap();
        journal.declare(&DataId::new("a", "t")).unwrap();
        write(&mut journal, 0..100);
        dir.0.join(journal.id().to_string())
    };
    assert!(segments(&folder) > 3);
    let second = folder.join("00000002.seg");
    let whole = fs::read(&second).unwrap();
    for at in (0..whole.len()).step_by(7) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x20;
        fs::write(&second, &bytes).unwrap();
        let Leftover { journal, damage } = dir.only_journal();
        let found = numbers(&journal, 0);
        assert!(damage.torn_bytes > 0 && damage.missing_points > 0, "byte {at}: {damage:?}");
        assert_eq!(found.len() as u64 + damage.missing_points, 100, "byte {at}");
        assert!(found.is_sorted() && found.last() == Some(&99));
    }
}

#[test]
fn what_is_settled_gives_its_room_back() {
    let dir = Dir::new();
    let (spool, _) = dir.open_limited(64 << 10);
    let mut journal = spool.create(description()).unwrap();
    journal.declare(&DataId::new("a", "t")).unwrap();
    let mut cursor = Cursor::new(0);
    // Many times what fits, one after the other.
    for number in 0..20_000 {
        journal.append(0, &point(number)).unwrap();
        if number % 100 == 99 {
            let mut last = 0;
            while let Some(run) = journal.read(&mut cursor).unwrap() {
                last = run.end();
            }
            assert_eq!(last, number + 1);
            journal.settle(number - 20).unwrap();
            assert!(spool.used() <= 64 << 10);
        }
    }
    assert_eq!(spool.used(), journal.bytes());
    let folder = dir.0.join(journal.id().to_string());
    let on_disk = |folder: &Path| -> u64 {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
    };
    assert_eq!(journal.bytes(), on_disk(&folder));
    journal.remove().unwrap();
    assert_eq!((spool.used(), folder.exists()), (0, false));
}

#[test]
fn a_full_spool_takes_no_more_until_something_is_settled_or_dropped() {
    let dir = Dir::new();
    let (spool, _) = dir.open_limited(32 << 10);
    let mut journal = spool.create(description()).unwrap();
    journal.declare(&DataId::new("a", "t")).unwrap();
    let mut written = 0;
    while journal.append(0, &point(written)).is_ok() {
        written += 1;
    }
    assert!(matches!(journal.append(0, &point(written)), Err(SpoolError::Full)));
    assert_eq!(numbers(&journal, 0), (0..written).collect::<Vec<_>>());
    // Bookkeeping goes on.
    journal.cut(1, 10).unwrap();
    let mut cursor = Cursor::new(0);
    journal.read(&mut cursor).unwrap();
    let dropped = journal.drop_oldest().unwrap();
    assert!(dropped.start == 0 && dropped.end > 10, "{dropped:?}");
    journal.append(0, &point(written)).unwrap();
    // Who was reading goes on behind the gap.
    assert_eq!(journal.read(&mut cursor).unwrap().unwrap().first_point, dropped.end);
    assert_eq!(numbers(&journal, 0), (dropped.end..=written).collect::<Vec<_>>());
    journal.settle(written).unwrap();
    assert_eq!(numbers(&journal, 0).last(), Some(&written));
    // The newest points are never dropped.
    while !journal.drop_oldest().unwrap().is_empty() {}
    assert_eq!(numbers(&journal, journal.settled()), [written]);
}

#[test]
fn one_process_uses_a_spool_at_a_time() {
    let dir = Dir::new();
    let (spool, _) = dir.open();
    let config = SpoolConfig { dir: dir.0.clone(), limit: 1 << 20, sync: SyncPolicy::Disk };
    let error = Spool::open(config.clone()).unwrap_err();
    assert!(error.to_string().contains(dir.0.to_str().unwrap()), "{error}");
    drop(spool);
    let (spool, _) = Spool::open(config).unwrap();
    let mut journal = spool.create(description()).unwrap();
    journal.declare(&DataId::new("a", "t")).unwrap();
    write(&mut journal, 0..10);
    assert_eq!(numbers(&journal, 0).len(), 10);
}

#[test]
fn a_journal_of_which_everything_is_settled_is_removed() {
    let dir = Dir::new();
    {
        let (spool, _) = dir.open();
        let mut journal = spool.create(description()).unwrap();
        journal.declare(&DataId::new("a", "t")).unwrap();
        write(&mut journal, 0..10);
        journal.settle(10).unwrap();
    }
    let (spool, leftovers) = dir.open();
    assert!(leftovers.is_empty());
    assert_eq!((spool.used(), segments(&dir.0)), (0, 1));
}

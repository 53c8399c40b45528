//! What one upstream keeps on disk.

use std::collections::VecDeque;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use uuid::Uuid;

use super::cursor::{Cursor, Run};
use super::directory::Shared;
use super::record::{self, Attached, Body, CutRecord, Start, encode};
use super::segment::{self, Segment, Unsynced, Writer};
use super::{Attachment, SpoolError, StreamDescription, SyncPolicy};
use crate::message::{DataId, Points};

/// A chunk that was made of the points before `end` that no earlier one has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Number of the chunk.
    pub sequence_number: u32,
    /// Its first point.
    pub first_point: u64,
    /// The point after its last one.
    pub end: u64,
}

/// What was unreadable when a journal was read again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Damage {
    /// Bytes behind the last whole record of a file. A crash in the middle of a write leaves some, and nobody was
    /// told that they were safe.
    pub torn_bytes: u64,
    /// Points that are missing between others.
    pub missing_points: u64,
}

/// The points of an upstream that are not settled: delivered, or given up and reported.
#[derive(Debug)]
pub struct Journal {
    shared: Arc<Shared>,
    id: Uuid,
    dir: PathBuf,
    stream: StreamDescription,
    attachment: Option<Attachment>,
    /// When the attachment was written: from one start of the system to the next.
    attached_in: String,
    data_ids: Vec<DataId>,
    /// The last one is the one being written, if there is a writer.
    segments: VecDeque<Segment>,
    writer: Option<Writer>,
    next_segment: u32,
    written: u64,
    settled: u64,
    cuts: VecDeque<Cut>,
    last_chunk: u32,
    last_cut: u64,
}

impl Journal {
    pub(super) fn create(shared: Arc<Shared>, stream: StreamDescription) -> Result<Self, SpoolError> {
        let id = Uuid::new_v4();
        let dir = shared.dir.join(id.to_string());
        fs::create_dir(&dir).map_err(SpoolError::at(&dir))?;
        Ok(Self::empty(shared, id, dir, stream))
    }

    fn empty(shared: Arc<Shared>, id: Uuid, dir: PathBuf, stream: StreamDescription) -> Self {
        Self {
            shared,
            id,
            dir,
            stream,
            attachment: None,
            attached_in: String::new(),
            data_ids: Vec::new(),
            segments: VecDeque::new(),
            writer: None,
            next_segment: 1,
            written: 0,
            settled: 0,
            cuts: VecDeque::new(),
            last_chunk: 0,
            last_cut: 0,
        }
    }

    /// Reads what an earlier process left. Nothing is appended to its files.
    pub(super) fn open(shared: Arc<Shared>, id: Uuid, dir: PathBuf) -> Result<(Self, Damage), SpoolError> {
        let mut journal = Self::empty(shared, id, dir, StreamDescription::default());
        let mut damage = Damage::default();
        let mut gaps = Vec::new();
        for number in segment::list(&journal.dir)? {
            journal.next_segment = number.saturating_add(1);
            let end = journal.written;
            damage.torn_bytes += journal.load(number)?;
            gaps.extend(journal.segments.back().map(|segment| end..segment.first_point));
        }
        // Where files are gone because all in them was settled, nothing is missing.
        damage.missing_points =
            gaps.iter().map(|gap| gap.end.saturating_sub(gap.start.max(journal.settled))).sum();
        journal.cuts.retain(|cut| cut.end > journal.settled);
        Ok((journal, damage))
    }

    /// Takes over what a segment holds. Returns how many bytes behind the last whole record it has.
    fn load(&mut self, number: u32) -> Result<u64, SpoolError> {
        let mut first_point = None;
        let mut last_cut = None;
        let mut points = 0;
        // Every segment repeats the table of data ids.
        let mut data_ids = Vec::new();
        let path = segment::path(&self.dir, number);
        let (bytes, torn) = segment::scan(&path, |body| match body {
            Body::Start(start) => {
                self.settled = self.settled.max(start.settled);
                first_point = Some(start.first_point);
                last_cut = Some((start.last_chunk, start.last_cut));
            }
            Body::Stream(stream) => self.stream = stream.into(),
            Body::Attached(attached) => {
                self.attached_in.clone_from(&attached.boot_id);
                self.note_attachment(attached.into());
            }
            Body::DataId(id) => data_ids.push(id.into()),
            Body::Points(run) => points += Points::from_wire(run.points).map_or(0, |run| run.len() as u64),
            Body::Cut(cut) => {
                // The file before this one may be gone, or have lost its end.
                (self.last_chunk, self.last_cut) =
                    last_cut.take().unwrap_or((self.last_chunk, self.last_cut));
                self.note_cut(cut.sequence_number, cut.end);
            }
            Body::Settled(settled) => self.settled = self.settled.max(settled),
        })?;
        (self.last_chunk, self.last_cut) = last_cut.unwrap_or((self.last_chunk, self.last_cut));
        self.shared.use_bytes(bytes);
        if data_ids.len() > self.data_ids.len() {
            self.data_ids = data_ids;
        }
        // Without a beginning the file holds nothing that could be understood; it goes away with the journal.
        let first_point = first_point.unwrap_or(self.written);
        self.written = first_point + points;
        self.segments.push_back(Segment { number, first_point, points, bytes });
        Ok(torn)
    }

    /// Name of the journal in its spool.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// The stream the points belong to.
    pub fn stream(&self) -> &StreamDescription {
        &self.stream
    }

    /// The stream on which they were last sent.
    pub fn attachment(&self) -> Option<&Attachment> {
        self.attachment.as_ref()
    }

    /// Whether the last chunk the journal knows is the last that was made. Records of chunks survive the process, but
    /// nobody waits until they are on disk: when the system itself went down since, the last ones may be missing.
    pub fn knows_all_chunks(&self) -> bool {
        !self.attached_in.is_empty() && self.attached_in == self.shared.boot_id
    }

    /// Data ids of the points.
    pub fn data_ids(&self) -> &[DataId] {
        &self.data_ids
    }

    /// Number of the point that is written next.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Number of the first point that is not settled.
    pub fn settled(&self) -> u64 {
        self.settled
    }

    /// Chunks with points that are not settled, in order.
    pub fn cuts(&self) -> impl Iterator<Item = Cut> + '_ {
        self.cuts.iter().copied()
    }

    /// Number of the last chunk that was made, and the point after its last one.
    pub fn last_cut(&self) -> (u32, u64) {
        (self.last_chunk, self.last_cut)
    }

    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// Takes a data id into the table and returns its position.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn declare(&mut self, data_id: &DataId) -> Result<u32, SpoolError> {
        if self.writer.is_some() {
            let mut records = Vec::new();
            encode(Body::DataId(data_id.into()), &mut records);
            self.append_record(&records)?;
        }
        self.data_ids.push(data_id.clone());
        Ok(u32::try_from(self.data_ids.len() - 1).expect("an upstream has fewer data ids"))
    }

    /// Keeps points, which from now on survive the process. Where they have to survive a power cut too, the caller
    /// waits for what is given back, under no lock.
    ///
    /// # Errors
    /// `Full`, or what the system says; then nothing is kept.
    pub fn append(&mut self, data_id: u32, points: &Points) -> Result<Option<Unsynced>, SpoolError> {
        self.append_all(&[(data_id, points.clone())])
    }

    /// Keeps several runs of points, all of them or none.
    ///
    /// # Errors
    /// As [`Journal::append`].
    pub fn append_all(&mut self, runs: &[(u32, Points)]) -> Result<Option<Unsynced>, SpoolError> {
        let size: usize = runs.iter().map(|(_, points)| points.as_bytes().len() + 32).sum();
        let mut records = Vec::with_capacity(size);
        let mut count = 0;
        for (data_id, points) in runs {
            let run = record::Run { data_id: *data_id, points: points.as_bytes().clone() };
            encode(Body::Points(run), &mut records);
            count += points.len() as u64;
        }
        self.shared.reserve(records.len() as u64)?;
        let fresh = self.writer.as_ref().is_none_or(|writer| writer.length() >= self.shared.segment_bytes);
        if fresh {
            self.begin_segment().inspect_err(|_| self.shared.release(records.len() as u64))?;
        }
        let (Some(writer), Some(segment)) = (&mut self.writer, self.segments.back_mut()) else {
            unreachable!("there is a writer, and it has a segment");
        };
        writer.append(&records).inspect_err(|_| self.shared.release(records.len() as u64))?;
        segment.bytes = writer.length();
        segment.points += count;
        self.written += count;
        Ok(matches!(self.shared.sync, SyncPolicy::Disk).then(|| writer.unsynced()))
    }

    /// The disk has failed to take what was written last: what is written next goes to another file.
    pub fn abandon_segment(&mut self) {
        self.writer = None;
    }

    fn begin_segment(&mut self) -> Result<(), SpoolError> {
        let writer = Writer::create(&self.dir, self.next_segment, &self.head())?;
        let (number, bytes) = (self.next_segment, writer.length());
        self.shared.use_bytes(bytes);
        self.segments.push_back(Segment { number, first_point: self.written, points: 0, bytes });
        self.next_segment += 1;
        self.writer = Some(writer);
        Ok(())
    }

    /// What every segment begins with.
    fn head(&self) -> Vec<u8> {
        let mut head = Vec::new();
        let start = Start {
            first_point: self.written,
            settled: self.settled,
            last_chunk: self.last_chunk,
            last_cut: self.last_cut,
        };
        encode(Body::Start(start), &mut head);
        encode(Body::Stream((&self.stream).into()), &mut head);
        if let Some(attachment) = &self.attachment {
            encode(Body::Attached(Attached::new(attachment, &self.attached_in)), &mut head);
        }
        for data_id in &self.data_ids {
            encode(Body::DataId(data_id.into()), &mut head);
        }
        head
    }

    /// A record other than points. They are small and few, and taken even by a full spool: without them what it holds
    /// could not be settled.
    fn append_record(&mut self, records: &[u8]) -> Result<(), SpoolError> {
        if self.writer.is_none() && !self.segments.is_empty() {
            // The files of an earlier process, or one that the disk failed to take.
            self.begin_segment()?;
        }
        let (Some(writer), Some(segment)) = (&mut self.writer, self.segments.back_mut()) else {
            // There are no points about which it could say something; the head of the first segment will say it.
            return Ok(());
        };
        writer.append(records)?;
        segment.bytes = writer.length();
        self.shared.use_bytes(records.len() as u64);
        Ok(())
    }

    /// The server opened or resumed the stream on which the points are sent from now on.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn attach(&mut self, attachment: Attachment) -> Result<(), SpoolError> {
        let mut records = Vec::new();
        self.attached_in.clone_from(&self.shared.boot_id);
        encode(Body::Attached(Attached::new(&attachment, &self.attached_in)), &mut records);
        self.note_attachment(attachment);
        self.append_record(&records)
    }

    fn note_attachment(&mut self, attachment: Attachment) {
        if self.attachment.as_ref().is_none_or(|last| last.stream_id != attachment.stream_id) {
            // Chunks of another stream are counted from 1 again.
            self.cuts.clear();
            self.last_chunk = 0;
            self.last_cut = attachment.first_point;
        }
        self.attachment = Some(attachment);
    }

    /// A chunk is about to be sent: the points before `end` that no chunk had before.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn cut(&mut self, sequence_number: u32, end: u64) -> Result<(), SpoolError> {
        let mut records = Vec::new();
        encode(Body::Cut(CutRecord { sequence_number, end }), &mut records);
        self.append_record(&records)?;
        self.note_cut(sequence_number, end);
        Ok(())
    }

    fn note_cut(&mut self, sequence_number: u32, end: u64) {
        if sequence_number <= self.last_chunk {
            // The first chunk of another stream.
            self.cuts.clear();
        }
        self.cuts.push_back(Cut { sequence_number, first_point: self.last_cut, end });
        self.last_chunk = sequence_number;
        self.last_cut = end;
    }

    /// All points before `end` are settled. Segments that hold nothing else are removed.
    ///
    /// # Errors
    /// When it cannot be written; it is settled all the same as long as the process lives.
    pub fn settle(&mut self, end: u64) -> Result<(), SpoolError> {
        if end <= self.settled {
            return Ok(());
        }
        self.settled = end;
        while self.cuts.front().is_some_and(|cut| cut.end <= end) {
            self.cuts.pop_front();
        }
        if self.written <= end && self.bytes() >= self.shared.segment_bytes / 8 {
            // Nothing is left, and not little room taken: begin anew with the next point.
            self.writer = None;
        }
        while let Some(oldest) = self.segments.front()
            && oldest.end() <= end
            && (self.segments.len() > 1 || self.writer.is_none())
        {
            self.remove_oldest()?;
        }
        let mut records = Vec::new();
        encode(Body::Settled(end), &mut records);
        self.append_record(&records)
    }

    fn remove_oldest(&mut self) -> Result<(), SpoolError> {
        let Some(oldest) = self.segments.pop_front() else { return Ok(()) };
        self.shared.release(oldest.bytes);
        let path = segment::path(&self.dir, oldest.number);
        fs::remove_file(&path).map_err(SpoolError::at(&path))
    }

    /// Gives up the oldest segment to make room, unless it is the only one. Returns the points that were not settled
    /// in it and are settled now.
    ///
    /// # Errors
    /// What the system says.
    pub fn drop_oldest(&mut self) -> Result<Range<u64>, SpoolError> {
        let Some(oldest) = self.segments.front().filter(|_| self.segments.len() > 1).copied() else {
            return Ok(self.settled..self.settled);
        };
        let dropped = self.settled.max(oldest.first_point)..oldest.end().max(self.settled);
        self.settle(dropped.end)?;
        Ok(dropped)
    }

    /// Reads the next run at a cursor; `None` behind the last point written.
    ///
    /// # Errors
    /// What the system says.
    pub fn read(&self, cursor: &mut Cursor) -> Result<Option<Run>, SpoolError> {
        cursor.read(&self.dir, self.segments.iter().copied())
    }

    /// The points of a range, as far as they are there.
    ///
    /// # Errors
    /// What the system says.
    pub fn runs(&self, range: Range<u64>) -> Result<Vec<Run>, SpoolError> {
        let mut cursor = Cursor::new(range.start);
        let mut runs = Vec::new();
        while let Some(mut run) = self.read(&mut cursor)?.filter(|run| run.first_point < range.end) {
            if run.end() > range.end {
                let left = usize::try_from(range.end - run.first_point).unwrap_or(usize::MAX);
                run.points =
                    run.points.iter().take(left).map(|point| (point.elapsed_time, point.payload)).collect();
            }
            runs.push(run);
        }
        Ok(runs)
    }

    /// Removes the journal with everything in it.
    ///
    /// # Errors
    /// What the system says.
    pub fn remove(self) -> Result<(), SpoolError> {
        self.shared.release(self.bytes());
        remove_dir(&self.dir)
    }
}

pub(super) fn remove_dir(dir: &Path) -> Result<(), SpoolError> {
    fs::remove_dir_all(dir).map_err(SpoolError::at(dir))
}

//! Reading points back.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use super::SpoolError;
use super::record::{Body, HEAD, MAGIC, MAX_RECORD, decode};
use super::segment::{self, Segment};
use crate::message::Points;

/// Points of one data id that were written one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Position of the data id in [`Journal::data_ids`](super::Journal::data_ids).
    pub data_id: u32,
    /// Number of the first point.
    pub first_point: u64,
    /// The points.
    pub points: Points,
}

impl Run {
    /// Number of the point after the last one.
    pub fn end(&self) -> u64 {
        self.first_point + self.points.len() as u64
    }
}

/// A place in a journal, from which [`Journal::read`](super::Journal::read) goes on.
#[derive(Debug)]
pub struct Cursor {
    next: u64,
    place: Option<Place>,
}

#[derive(Debug)]
struct Place {
    segment: u32,
    file: File,
    offset: u64,
    /// Number of the next point in the file.
    point: u64,
}

impl Cursor {
    /// Before the point `next`.
    pub fn new(next: u64) -> Self {
        Self { next, place: None }
    }

    /// Number of the point that is read next; a later one if this one is gone.
    pub fn next_point(&self) -> u64 {
        self.next
    }

    /// Reads the next run, if there is one before the end of `segments`, the last of which may be growing.
    pub(super) fn read(
        &mut self,
        dir: &Path,
        segments: impl Iterator<Item = Segment> + Clone,
    ) -> Result<Option<Run>, SpoolError> {
        loop {
            let Some(segment) = segments.clone().find(|segment| segment.end() > self.next) else {
                return Ok(None);
            };
            // Points before the segment are gone: settled, dropped or damaged.
            self.next = self.next.max(segment.first_point);
            let place = match &mut self.place {
                Some(place) if place.segment == segment.number => place,
                place => place.insert(Place::open(dir, &segment)?),
            };
            let Some(run) = place.read(dir, segment.bytes)? else {
                // What the segment should still have is unreadable. Those who count see the gap.
                self.next = segment.end();
                continue;
            };
            if run.end() <= self.next {
                continue;
            }
            let skipped = usize::try_from(self.next - run.first_point).unwrap_or(usize::MAX);
            self.next = run.end();
            if skipped == 0 {
                return Ok(Some(run));
            }
            let points = run.points.iter().skip(skipped).map(|point| (point.elapsed_time, point.payload));
            let points = points.collect();
            return Ok(Some(Run { points, first_point: run.first_point + skipped as u64, ..run }));
        }
    }
}

impl Place {
    fn open(dir: &Path, segment: &Segment) -> Result<Self, SpoolError> {
        let path = segment::path(dir, segment.number);
        let file = File::open(&path).map_err(SpoolError::at(&path))?;
        Ok(Self { segment: segment.number, file, offset: MAGIC.len() as u64, point: segment.first_point })
    }

    /// The next run in the first `bytes` of the file.
    fn read(&mut self, dir: &Path, bytes: u64) -> Result<Option<Run>, SpoolError> {
        let path = segment::path(dir, self.segment);
        while self.offset + HEAD as u64 <= bytes {
            let mut record = vec![0; HEAD];
            self.file.seek(SeekFrom::Start(self.offset)).map_err(SpoolError::at(&path))?;
            self.file.read_exact(&mut record).map_err(SpoolError::at(&path))?;
            let length = u32::from_le_bytes([record[0], record[1], record[2], record[3]]);
            if length as usize > MAX_RECORD || self.offset + HEAD as u64 + u64::from(length) > bytes {
                return Ok(None);
            }
            record.resize(HEAD + length as usize, 0);
            self.file.read_exact(&mut record[HEAD..]).map_err(SpoolError::at(&path))?;
            let Some((body, length)) = decode(&record) else { return Ok(None) };
            self.offset += length as u64;
            if let Body::Points(run) = body
                && let Ok(points) = Points::from_wire(run.points)
            {
                let first_point = self.point;
                self.point += points.len() as u64;
                return Ok(Some(Run { data_id: run.data_id, first_point, points }));
            }
        }
        Ok(None)
    }
}

//! Standard input, line by line.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::failure::Failure;

/// Bytes read at a time.
const READ_SIZE: usize = 1 << 16;

/// What a read found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// There may be more to read.
    More,
    /// The input has ended.
    End,
    /// There was another reason to stop.
    Stopped,
}

/// Reads lines of bounded length.
#[derive(Debug)]
pub(crate) struct Lines {
    input: File,
    chunk: Vec<u8>,
    /// Beginning of a line whose end was not read yet.
    partial: Vec<u8>,
    /// Whether the end of a line that is too long was not read yet.
    skipping: bool,
    limit: usize,
    number: u64,
}

impl Lines {
    /// Standard input, with lines of at most `limit` bytes.
    pub(crate) fn stdin(limit: usize) -> Result<Self, Failure> {
        // Read past the buffer of the standard library, which poll would not see.
        let input = io::stdin().as_fd().try_clone_to_owned().map_err(|error| cannot_read(&error))?;
        Ok(Self {
            input: input.into(),
            chunk: vec![0; READ_SIZE],
            partial: Vec::new(),
            skipping: false,
            limit,
            number: 0,
        })
    }

    /// Waits until there is input, or until one of the descriptors in `stop` polls readable, and hands over
    /// the lines that were completed: the number of each, from 1, and its text without the newline. The
    /// text is missing where a line is too long.
    pub(crate) fn read(
        &mut self,
        stop: &[BorrowedFd<'_>],
        mut line: impl FnMut(u64, Option<&[u8]>) -> Result<(), Failure>,
    ) -> Result<Input, Failure> {
        if !wait(self.input.as_fd(), stop).map_err(|error| cannot_read(&error))? {
            return Ok(Input::Stopped);
        }
        let read = match self.input.read(&mut self.chunk) {
            Ok(read) => read,
            Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => {
                return Ok(Input::More);
            }
            Err(error) => return Err(cannot_read(&error)),
        };
        if read == 0 {
            if !self.partial.is_empty() {
                self.number += 1;
                line(self.number, Some(&self.partial))?;
            }
            return Ok(Input::End);
        }
        let mut rest = &self.chunk[..read];
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (text, after) = (&rest[..end], &rest[end + 1..]);
            rest = after;
            if std::mem::take(&mut self.skipping) {
                continue;
            }
            self.number += 1;
            let is_short = self.partial.len() + text.len() <= self.limit;
            if self.partial.is_empty() {
                line(self.number, is_short.then_some(text))?;
            } else {
                self.partial.extend_from_slice(text);
                line(self.number, is_short.then_some(&self.partial))?;
                self.partial.clear();
                self.partial.shrink_to(READ_SIZE);
            }
        }
        if self.skipping {
            return Ok(Input::More);
        }
        self.partial.extend_from_slice(rest);
        if self.partial.len() > self.limit {
            self.partial = Vec::new();
            self.skipping = true;
            self.number += 1;
            line(self.number, None)?;
        }
        Ok(Input::More)
    }
}

/// The bytes that a line of hexadecimal digits stands for, white space aside.
pub(crate) fn hex_bytes(line: &[u8]) -> Result<Vec<u8>, String> {
    let digits: Vec<u8> = line.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    hex::decode(&digits).map_err(|error| match error {
        hex::FromHexError::InvalidHexCharacter { c, .. } => format!("{c:?} is not a hexadecimal digit"),
        hex::FromHexError::OddLength => "an odd number of hexadecimal digits".to_owned(),
        error => error.to_string(),
    })
}

fn cannot_read(error: &dyn std::error::Error) -> Failure {
    Failure::new(format!("cannot read standard input: {error}"))
}

/// Waits until the input can be read; false when another descriptor comes first.
fn wait(input: BorrowedFd<'_>, stop: &[BorrowedFd<'_>]) -> Result<bool, Errno> {
    let others = stop.iter().copied();
    let mut waiting: Vec<_> =
        others.chain([input]).map(|descriptor| PollFd::new(descriptor, PollFlags::POLLIN)).collect();
    loop {
        match poll(&mut waiting, PollTimeout::NONE) {
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error),
            Ok(_) => break,
        }
    }
    Ok(!waiting[..stop.len()].iter().any(|descriptor| descriptor.any().unwrap_or(true)))
}

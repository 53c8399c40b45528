//! `iscp codec`.

use std::io::{self, BufWriter, ErrorKind, Write};

use iscp::encoding::{Encoding, RawMessage, Schema};

use crate::args::{CodecArgs, Form};
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::lines::{Input, Lines, hex_bytes};

/// Longest line that is read. Twice what servers take for a message leaves room for its digits.
const LONGEST_LINE: usize = 64 << 20;

/// Converts the messages on standard input.
pub(crate) fn run(args: &CodecArgs, interrupt: &Interrupt) -> Result<(), Failure> {
    let to = args.to.unwrap_or_else(|| args.from.other());
    let mut lines = Lines::stdin(LONGEST_LINE)?;
    let mut output = BufWriter::new(io::stdout().lock());
    let mut bad_lines = false;
    loop {
        let mut written = Ok(());
        let input = lines.read(&[interrupt.fd()], |number, line| {
            if written.is_ok() {
                written = match convert(line, args.from, to) {
                    Ok(text) => output.write_all(&text),
                    Err(error) => {
                        bad_lines = true;
                        // On a terminal the error stands where the line would.
                        let flushed = output.flush();
                        Failure::new(format!("line {number}: {error}")).report();
                        flushed
                    }
                };
            }
            Ok(())
        })?;
        // Whoever reads may be waiting for the answer to the last line.
        match written.and_then(|()| output.flush()) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::BrokenPipe => break,
            Err(error) => return Err(Failure::new(format!("cannot write to standard output: {error}"))),
        }
        if input != Input::More {
            break;
        }
    }
    if bad_lines { Err(Failure::reported()) } else { Ok(()) }
}

/// A line in the other form, with its newline; nothing for a blank one.
fn convert(line: Option<&[u8]>, from: Form, to: Form) -> Result<Vec<u8>, String> {
    let line = line.ok_or_else(|| format!("longer than {LONGEST_LINE} bytes"))?;
    if line.trim_ascii().is_empty() {
        return Ok(Vec::new());
    }
    let bytes = match from {
        Form::ProtoHex => hex_bytes(line)?,
        Form::Json => line.to_vec(),
    };
    let message = RawMessage::decode(from.encoding(), bytes.into()).map_err(|error| {
        // There is only this one line, whatever its number.
        error.to_string().replace(" at line 1 column ", " at column ")
    })?;
    let bytes = message.encode(to.encoding(), Schema::V3);
    let mut text = match to {
        Form::ProtoHex => hex::encode(bytes).into_bytes(),
        Form::Json => bytes.into(),
    };
    text.push(b'\n');
    Ok(text)
}

impl Form {
    fn other(self) -> Self {
        match self {
            Self::ProtoHex => Self::Json,
            Self::Json => Self::ProtoHex,
        }
    }

    fn encoding(self) -> Encoding {
        match self {
            Self::ProtoHex => Encoding::Protobuf,
            Self::Json => Encoding::Json,
        }
    }
}

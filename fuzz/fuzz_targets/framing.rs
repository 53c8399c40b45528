//! Messages on a stream, behind their lengths.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| iscp_fuzz::framing(bytes));

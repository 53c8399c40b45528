//! Datagrams, lost, repeated and reordered.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| iscp_fuzz::segments(bytes));

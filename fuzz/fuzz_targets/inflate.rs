//! Compressed messages in every mode.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| iscp_fuzz::inflate(bytes));

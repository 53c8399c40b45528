//! Messages on a byte stream that is cut anywhere.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| iscp_fuzz::framing(bytes));

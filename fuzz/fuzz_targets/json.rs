//! Messages in the encoding Json.
#![no_main]

use iscp::encoding::Encoding;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| iscp_fuzz::message(Encoding::Json, bytes));

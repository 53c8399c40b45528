//! What a client announces before the first message, as a query and as a stream.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| iscp_fuzz::negotiation(bytes));

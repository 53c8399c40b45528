//! What is promised when things go wrong, over real sockets: RELIABLE points arrive once and in order, whatever
//! happens to connections, broker and process.
//!
//! An ordinary run is short. `ISCP_RELIABILITY=full` runs each test as long as docs/reliability.md says, and prints
//! figures; `ISCP_RELIABILITY_SEED=N` chooses other outages.

mod attempts;
mod idle;
mod outages;
mod restarts;
mod slow_reader;
mod spool;
mod support;

//! What is tried with every client.

pub(crate) mod calls;
pub(crate) mod data;
pub(crate) mod metadata;
pub(crate) mod multi;
pub(crate) mod resume;
pub(crate) mod samples;
pub(crate) mod session;
pub(crate) mod tokens;
pub(crate) mod wire;

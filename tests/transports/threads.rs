//! The broker on several threads: what goes over QUIC and WebTransport goes there as well.

mod api;
#[cfg(feature = "multi")]
mod multi;
#[allow(dead_code, reason = "part of it is for the other tests of transports")]
mod support;
mod webtransport;

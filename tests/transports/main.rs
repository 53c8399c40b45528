//! QUIC and WebTransport over real sockets: the client against the broker, and either against a peer of
//! bytes.

mod api;
#[cfg(feature = "multi")]
mod multi;
mod outages;
mod raw_client;
mod raw_server;
mod support;
mod webtransport;

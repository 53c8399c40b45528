//! QUIC and WebTransport over real sockets: the client against the broker, and either against a peer of
//! bytes.

mod api;
mod outages;
mod raw_client;
mod raw_server;
mod support;
mod webtransport;

//! The way to the server and what is shown to it: TLS, proxies, tokens. Everything on loopback.

mod header_tokens;
mod oauth2;
mod proxy;
mod refusals;
mod support;
mod tls;

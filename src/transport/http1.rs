//! What every HTTP exchange of the library needs.

use std::error::Error;
use std::future::{Future, poll_fn};
use std::pin::pin;

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;

use super::dial::Stream;

/// The sender of requests over a connection, and the connection, which [`drive`] takes. Of an answer's headers
/// `max_headers` bytes are read at most.
///
/// # Errors
/// The connection is lost already.
pub(crate) async fn handshake(
    stream: Stream,
    max_headers: usize,
) -> hyper::Result<(http1::SendRequest<String>, http1::Connection<TokioIo<Stream>, String>)> {
    // All exchanges share the types of stream and body, so that hyper is in the library once.
    http1::Builder::new().max_buf_size(max_headers).handshake(TokioIo::new(stream)).await
}

/// Runs an exchange over a connection that must be driven meanwhile.
pub(crate) async fn drive<T>(connection: impl Future, exchange: impl Future<Output = T>) -> T {
    let (mut connection, mut exchange) = (pin!(connection), pin!(exchange));
    let mut driving = true;
    poll_fn(|cx| {
        // How it ended, the exchange hears.
        driving = driving && connection.as_mut().poll(cx).is_pending();
        exchange.as_mut().poll(cx)
    })
    .await
}

/// What went wrong, with the cause, which hyper keeps apart.
pub(crate) fn describe(error: &hyper::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(&format!(": {inner}"));
        cause = inner.source();
    }
    text
}

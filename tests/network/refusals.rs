//! What servers say when they do not want, as it is shown.

use iscp::error::Status;
use tokio_tungstenite::tungstenite;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use crate::support::{HttpServer, broker, fails, options, serve};

#[test]
fn the_text_of_a_refusal_is_shown_in_one_line_and_bounded() {
    let broker = broker(|_| {});
    let mut options = options(&broker);
    let body = format!("\u{1b}[2Jno {}\nmore", "x".repeat(1000));
    let length = body.len();
    let answer = format!("HTTP/1.1 403 Forbidden\r\nContent-Length: {length}\r\n\r\n{body}");
    let server = HttpServer::start(&[&answer]);
    options.url = format!("ws://{}", server.address);
    let error = fails(&options, Status::Handshake, &["403", "\\u{1b}[2Jno xxx"]);
    assert!(!error.message().contains(['\n', '\u{1b}']) && error.message().len() < 600, "{error}");
}

#[test]
fn the_text_of_a_close_is_shown_in_one_line() {
    let address = serve(|stream| {
        let mut socket = tungstenite::accept(stream).unwrap();
        socket.close(Some(CloseFrame { code: 1008.into(), reason: "not\r\n\u{1b}[2Jyou".into() })).unwrap();
        while socket.read().is_ok() {}
    });
    let broker = broker(|_| {});
    let mut options = options(&broker);
    options.url = format!("ws://{address}");
    fails(&options, Status::ConnectionLost, &["1008: not\\r\\n\\u{1b}[2Jyou"]);
}

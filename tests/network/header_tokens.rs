//! Tokens in a header of the handshake, and the sources of tokens in general.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use http::HeaderName;
use iscp::client::{TokenRequest, TokenSource};
use iscp::error::Status;
use std::sync::Arc;

use crate::support::{HttpServer, broker, connects, fails, header, options};

fn callback(answer: impl Fn(TokenRequest) + Send + Sync + 'static) -> TokenSource {
    TokenSource::Callback(Arc::new(answer))
}

#[test]
fn a_header_token_lets_in_with_and_without_its_scheme_word() {
    let broker = broker(|config| config.tokens = vec!["secret".to_owned()]);
    let mut options = options(&broker);
    for token in ["secret", "Bearer secret"] {
        options.header_token = TokenSource::Static(token.to_owned());
        connects(&options);
    }
    options.header_token = TokenSource::Static("guess".to_owned());
    fails(&options, Status::Unauthorized, &[]);
    options.header_token = callback(|request| request.resolve("secret".to_owned()));
    connects(&options);
}

#[test]
fn the_header_has_the_name_and_the_value_that_were_set() {
    let server = HttpServer::start(&["HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"]);
    let broker = broker(|_| {});
    let mut options = options(&broker);
    options.url = format!("ws://{}", server.address);
    fails(&options, Status::Handshake, &["401"]);
    options.header_token = TokenSource::Static("Bearer a b".to_owned());
    fails(&options, Status::Handshake, &["401"]);
    options.header_token_name = HeaderName::from_static("x-gateway-token");
    fails(&options, Status::Handshake, &["401"]);
    let [none, standard, custom] = &server.requests()[..] else { panic!() };
    assert_eq!(header(none, "authorization"), None);
    assert_eq!(header(standard, "authorization"), Some("Bearer a b"));
    assert_eq!(
        (header(custom, "authorization"), header(custom, "x-gateway-token")),
        (None, Some("Bearer a b"))
    );
}

#[test]
fn a_header_of_the_handshake_is_refused_at_once() {
    let broker = broker(|_| {});
    let mut options = options(&broker);
    options.header_token = TokenSource::Static("secret".to_owned());
    for name in ["host", "upgrade", "connection", "sec-websocket-key", "wt-available-protocols"] {
        options.header_token_name = HeaderName::from_static(name);
        fails(&options, Status::InvalidOption, &["header token", name]);
    }
}

#[test]
fn a_token_that_no_header_takes_is_refused() {
    let broker = broker(|_| {});
    let mut options = options(&broker);
    options.header_token = callback(|request| request.resolve("line\nbreak".to_owned()));
    let error = fails(&options, Status::TokenFailed, &["header"]);
    assert!(!error.message().contains("break"), "{error}");
}

#[test]
fn both_sources_are_asked_at_every_connect() {
    let broker = broker(|config| config.tokens = vec!["secret".to_owned()]);
    let mut options = options(&broker);
    let (asked, questions) = mpsc::channel();
    for (source, name) in [(&mut options.header_token, "header"), (&mut options.token, "access")] {
        let asked = asked.clone();
        *source = callback(move |request| {
            asked.send(name).unwrap();
            // Later, from somewhere else.
            thread::spawn(move || request.resolve("secret".to_owned()));
        });
    }
    connects(&options);
    connects(&options);
    assert_eq!(questions.try_iter().collect::<Vec<_>>(), ["header", "access", "header", "access"]);
}

#[test]
fn sources_fail_by_saying_so_by_silence_and_by_panic() {
    let broker = broker(|_| {});
    for access in [true, false] {
        let mut options = options(&broker);
        let mut set = |source: TokenSource| {
            let place = if access { &mut options.token } else { &mut options.header_token };
            *place = source;
            options.clone()
        };
        let what = if access { "access token" } else { "header token" };
        let refusing = set(callback(|request| request.reject("out of tokens")));
        let error = fails(&refusing, Status::TokenFailed, &[what, "out of tokens"]);
        assert!(!error.is_retriable());
        fails(&set(callback(drop)), Status::TokenFailed, &[what, "dropped"]);
        let (keep, _kept) = mpsc::channel();
        let mut silent = set(callback(move |request| keep.send(request).unwrap()));
        silent.token_timeout = Duration::from_millis(100);
        let error = fails(&silent, Status::TokenFailed, &[what, "100ms"]);
        assert!(error.is_retriable());
    }
}

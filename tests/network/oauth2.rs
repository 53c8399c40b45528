//! Access tokens from an OAuth2 server.

use std::io::{Read, Write};
use std::mem::forget;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use iscp::client::{Completion, ConnectOptions, Connection, OAuth2Settings, TokenSource};
use iscp::error::Status;
use iscp_broker::core::TokenCheck;
use iscp_broker::{OAuth2Config, ServerConfig};

use crate::support::{
    Authority, HttpServer, LIMIT, broker, closed_port, connects, fails, header, json, log, options, serve,
    start_log,
};

const SECRET: &str = "s3cr3t+/ ";

fn set(options: &mut ConnectOptions, change: impl FnOnce(&mut OAuth2Settings)) {
    options.oauth2.set(|settings| {
        settings.client_id = "id:1".to_owned();
        settings.client_secret = SECRET.to_owned();
        change(settings);
    });
}

fn with_endpoint(options: &mut ConnectOptions, server: &HttpServer) {
    set(options, |settings| settings.token_url = format!("http://{}/token", server.address));
}

/// A token that the brokers of these tests take.
fn token(more: &str) -> String {
    json("200 OK", &format!(r#"{{"access_token":"secret","token_type":"Bearer"{more}}}"#))
}

fn with_token(config: &mut ServerConfig) {
    config.tokens = vec!["secret".to_owned()];
}

fn with_oauth2(config: &mut ServerConfig) {
    config.oauth2 = Some(OAuth2Config {
        clients: vec![("id:1".to_owned(), SECRET.to_owned())],
        ..OAuth2Config::default()
    });
}

#[test]
fn the_broker_takes_tokens_of_its_own_endpoint() {
    start_log();
    let broker = broker(with_oauth2);
    let mut options = options(&broker);
    fails(&options, Status::Unauthorized, &[]);
    let url = broker.token_url().unwrap().to_owned();
    set(&mut options, |settings| settings.token_url.clone_from(&url));
    connects(&options);
    set(&mut options, |settings| settings.client_secret = "gu3ss3d-s3cr3t".to_owned());
    let error = fails(&options, Status::TokenFailed, &[&url, "invalid_client", "401"]);
    assert!(!error.is_retriable(), "{error}");
    for shown in [error.to_string(), format!("{error:?}"), format!("{options:?}"), log()] {
        assert!(!shown.contains("gu3ss3d"), "{shown}");
    }
    assert!(log().contains(&url), "{}", log());
}

/// Takes one token.
#[derive(Debug)]
struct Takes(&'static str);

impl TokenCheck for Takes {
    fn accepts(&self, token: &str, _: Instant) -> bool {
        token == self.0
    }
}

#[test]
fn a_check_of_ones_own_is_asked_beside_the_endpoint() {
    let broker = broker(|config| {
        with_oauth2(config);
        config.core.token_check = Some(Arc::new(Takes("own")));
    });
    let mut options = options(&broker);
    for (token, taken) in [("own", true), ("other", false)] {
        options.token = TokenSource::Static(token.to_owned());
        if taken {
            connects(&options);
        } else {
            fails(&options, Status::Unauthorized, &[]);
        }
    }
    options.token = TokenSource::None;
    set(&mut options, |settings| settings.token_url = broker.token_url().unwrap().to_owned());
    connects(&options);
}

#[test]
fn an_endpoint_on_another_host_is_verified_even_if_the_server_is_not() {
    let ca = Authority::new("ca");
    let broker = broker(|config| {
        config.tls = Some(ca.server(&["localhost", "127.0.0.1"]).identity());
        with_oauth2(config);
    });
    let mut options = options(&broker);
    options.dial.tls.insecure = true;
    set(&mut options, |settings| settings.token_url = broker.token_url().unwrap().to_owned());
    connects(&options);
    options.url = options.url.replace("127.0.0.1", "localhost");
    // Forgets the token.
    set(&mut options, |_| {});
    fails(&options, Status::TokenFailed, &["127.0.0.1", "server's certificate", "unknown issuer"]);
    ca.trust(&mut options);
    connects(&options);
}

#[test]
fn the_endpoint_of_the_broker_refuses_what_is_no_question_for_a_token() {
    let broker = broker(with_oauth2);
    let url = broker.token_url().unwrap();
    let address = url.strip_prefix("http://").unwrap().split('/').next().unwrap();
    let path = "/api/auth/oauth2/token";
    for (request, status, part) in [
        (format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"), "405", "allow: POST"),
        (
            "POST /token HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".to_owned(),
            "404",
            path,
        ),
        (
            format!("POST {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"),
            "400",
            "invalid_request",
        ),
        (
            format!(
                "POST {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 20000\r\n\r\n{}",
                "x".repeat(20_000)
            ),
            "413",
            "too long",
        ),
        ("nonsense\r\n\r\n".to_owned(), "400", ""),
    ] {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.contains(part), "{answer}");
    }
}

#[test]
fn the_endpoint_is_verified_as_the_server_is() {
    let ca = Authority::new("ca");
    let broker = broker(|config| {
        config.tls = Some(ca.server(&["127.0.0.1"]).identity());
        with_oauth2(config);
    });
    let mut options = options(&broker);
    let url = broker.token_url().unwrap().to_owned();
    assert!(url.starts_with("https://127.0.0.1:") && url.ends_with("/api/auth/oauth2/token"), "{url}");
    set(&mut options, |settings| settings.token_url.clone_from(&url));
    fails(&options, Status::TokenFailed, &[&url, "server's certificate", "unknown issuer"]);
    ca.trust(&mut options);
    connects(&options);
    options.dial.tls.ca = None;
    options.dial.tls.insecure = true;
    // A token that is still good would need no endpoint.
    options.oauth2.set(|_| {});
    connects(&options);
}

#[test]
fn the_request_is_that_of_the_standard() {
    let server = HttpServer::start(&[&token("")]);
    let broker = broker(with_token);
    let mut options = options(&broker);
    with_endpoint(&mut options, &server);
    connects(&options);
    options.oauth2.set(|settings| settings.scope = "read  write".to_owned());
    connects(&options);
    let [plain, scoped] = &server.requests()[..] else { panic!() };
    assert!(plain.starts_with("POST /token HTTP/1.1\r\n"), "{plain}");
    assert_eq!(header(plain, "host"), Some(server.address.to_string().as_str()));
    assert_eq!(header(plain, "content-type"), Some("application/x-www-form-urlencoded"));
    // "id%3A1:s3cr3t%2B%2F+".
    assert_eq!(header(plain, "authorization"), Some("Basic aWQlM0ExOnMzY3IzdCUyQiUyRis="));
    assert!(plain.ends_with("\r\n\r\ngrant_type=client_credentials"), "{plain}");
    assert!(scoped.ends_with("grant_type=client_credentials&scope=read+write"), "{scoped}");
}

#[test]
fn a_token_is_used_again_while_it_is_good() {
    let broker = broker(with_token);
    // A quarter of a short life, a minute of a long one, are kept back; nothing is known without an end.
    for (life, questions) in [(r#","expires_in":3600"#, 1), (r#","expires_in":0"#, 3), ("", 3)] {
        let server = HttpServer::start(&[&token(life)]);
        let mut options = options(&broker);
        with_endpoint(&mut options, &server);
        for _ in 0..3 {
            connects(&options);
        }
        assert_eq!(server.requests().len(), questions, "{life}");
    }
}

#[test]
fn connections_that_begin_together_ask_once() {
    let broker = broker(with_token);
    let server = HttpServer::start(&[&token(r#","expires_in":3600"#)]);
    let mut options = options(&broker);
    with_endpoint(&mut options, &server);
    let waiting: Vec<_> = (0..4)
        .map(|node| {
            let mut options = options.clone();
            options.config.node_id = format!("node-{node}");
            let (done, waiter) = Completion::waiter().unwrap();
            Connection::connect(options, done).unwrap();
            waiter
        })
        .collect();
    for waiter in waiting {
        waiter.wait(Some(LIMIT)).unwrap();
    }
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn a_token_that_the_server_does_not_take_is_not_used_again() {
    let broker = broker(with_token);
    let stale = json("200 OK", r#"{"access_token":"stale","token_type":"bearer","expires_in":3600}"#);
    let server = HttpServer::start(&[&stale, &token(r#","expires_in":3600"#)]);
    let mut options = options(&broker);
    with_endpoint(&mut options, &server);
    fails(&options, Status::Unauthorized, &["AUTH_FAILED"]);
    connects(&options);
    connects(&options);
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn refusals_and_nonsense_of_the_endpoint_are_told_apart() {
    let broker = broker(with_token);
    let long = format!(r#"{{"access_token":"{}"}}"#, "x".repeat(100_000));
    let endless = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(100_000));
    for (answer, culprits, retriable) in [
        (
            json("401 Unauthorized", r#"{"error":"invalid_client","error_description":"no such\nclient"}"#),
            &["invalid_client", "no such client", "401"][..],
            false,
        ),
        (json("400 Bad Request", r#"{"error":"invalid_scope"}"#), &["invalid_scope", "400"], false),
        (json("404 Not Found", "<html>secret"), &["404", "no token"], false),
        (json("503 Service Unavailable", "try later"), &["503", "no token"], true),
        (json("500 Internal Server Error", ""), &["500", "empty"], true),
        (json("200 OK", "secret"), &["200", "no token"], false),
        (json("200 OK", r#"{"access_token":7}"#), &["200", "access_token"], false),
        (json("200 OK", r#"{"access_token":"","token_type":"bearer"}"#), &["empty"], false),
        (token("").replace("application/json", "text/html"), &["Content-Type"], false),
        (
            "HTTP/1.1 302 Found\r\nLocation: http://else/\r\nContent-Length: 0\r\n\r\n".to_owned(),
            &["302"],
            false,
        ),
        (json("200 OK", &long), &["longer than 65536 bytes"], false),
        (endless, &["no answer"], true),
        ("220 mail.example ESMTP\r\n\r\n".to_owned(), &["no answer"], true),
        (String::new(), &["no answer"], true),
    ] {
        let server = HttpServer::start(&[&answer]);
        let mut options = options(&broker);
        with_endpoint(&mut options, &server);
        let error = fails(&options, Status::TokenFailed, &[&server.address.to_string()]);
        for culprit in culprits {
            assert!(error.message().contains(culprit), "no {culprit:?} in: {error}");
        }
        assert_eq!(error.is_retriable(), retriable, "{error}");
        for secret in [SECRET, "secret", "\n"] {
            assert!(!error.message().contains(secret), "{error}");
        }
    }
}

#[test]
fn an_endpoint_that_cannot_be_reached_or_is_silent_is_not_waited_for() {
    let broker = broker(with_token);
    let mut options = options(&broker);
    let (_taken, closed) = closed_port();
    set(&mut options, |settings| settings.token_url = format!("http://{closed}/token"));
    assert!(fails(&options, Status::TokenFailed, &[&closed.to_string(), "refused"]).is_retriable());
    set(&mut options, |settings| settings.token_url = "http://no-such-host.invalid/token".to_owned());
    fails(&options, Status::TokenFailed, &["no-such-host.invalid"]);
    // Silent from the beginning, and in the middle of an answer.
    let silent = serve(forget);
    let stuck = serve(|mut stream| {
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{");
        forget(stream);
    });
    for address in [silent, stuck] {
        set(&mut options, |settings| settings.token_url = format!("http://{address}/token"));
        options.token_timeout = Duration::from_millis(100);
        assert!(fails(&options, Status::TokenFailed, &["access token", "100ms"]).is_retriable());
    }
}

#[test]
fn what_is_missing_or_too_much_is_said_at_once() {
    let broker = broker(|_| {});
    let mut options = options(&broker);
    options.oauth2.set(|settings| settings.token_url = "https://host/token".to_owned());
    fails(&options, Status::InvalidOption, &["oauth2_client_id"]);
    options.oauth2.set(|settings| settings.client_id = "id".to_owned());
    fails(&options, Status::InvalidOption, &["oauth2_client_secret"]);
    set(&mut options, |settings| settings.token_url.clear());
    fails(&options, Status::InvalidOption, &["oauth2_token_url"]);
    for (url, culprit) in [
        ("host", "https://"),
        ("ftp://host/token", "https://"),
        ("https://user:pass@host/token", "password"),
        ("https:///token", "oauth2_token_url"),
    ] {
        set(&mut options, |settings| settings.token_url = url.to_owned());
        fails(&options, Status::InvalidOption, &[culprit]);
    }
    set(&mut options, |settings| settings.token_url = "https://host/token".to_owned());
    options.token = TokenSource::Static("token".to_owned());
    fails(&options, Status::InvalidOption, &["access token", "OAuth2"]);
}

#[test]
fn the_secret_is_not_shown() {
    let broker = broker(|_| {});
    let mut options = options(&broker);
    set(&mut options, |_| {});
    for shown in [format!("{options:?}"), format!("{:?}", options.oauth2)] {
        assert!(!shown.contains("s3cr3t"), "{shown}");
    }
}

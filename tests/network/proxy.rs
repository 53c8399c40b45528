//! WebSockets through an HTTP proxy.

use std::io::{self, Write};
use std::mem::forget;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use iscp::client::ConnectOptions;
use iscp::error::Status;
use iscp::transport::proxy::Proxy;
use iscp_broker::OAuth2Config;

use crate::support::{
    Authority, HttpServer, broker, closed_port, connects, fails, header, options, read_head, serve,
};

/// A proxy that connects to where it is asked, and the requests it gets.
fn tunnel() -> (SocketAddr, Receiver<String>) {
    let (seen, requests) = channel();
    let address = serve(move |mut client| {
        let head = read_head(&mut client);
        let destination = head.split(' ').nth(1).unwrap().to_owned();
        seen.send(head).unwrap();
        thread::spawn(move || {
            let Ok(server) = TcpStream::connect(destination) else {
                let _ = client.write_all(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n");
                return;
            };
            // What the server says first is behind the answer in the same packet.
            client.write_all(b"HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n").unwrap();
            let (mut from_client, mut to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            thread::spawn(move || {
                let _ = io::copy(&mut from_client, &mut to_server);
                let _ = to_server.shutdown(Shutdown::Write);
            });
            let (mut from_server, mut to_client) = (server, client);
            let _ = io::copy(&mut from_server, &mut to_client);
            let _ = to_client.shutdown(Shutdown::Write);
        });
    });
    (address, requests)
}

fn through(options: &mut ConnectOptions, proxy: SocketAddr) {
    options.dial.proxy = Some(Proxy::parse(&format!("http://user:p%40ss@{proxy}")).unwrap());
}

#[test]
fn a_connection_goes_through_the_proxy() {
    let broker = broker(|_| {});
    let (proxy, requests) = tunnel();
    let mut options = options(&broker);
    options.dial.proxy = Some(Proxy::parse(&format!("http://{proxy}")).unwrap());
    connects(&options);
    let server = options.url.strip_prefix("ws://").unwrap();
    let request = requests.recv().unwrap();
    assert!(request.starts_with(&format!("CONNECT {server} HTTP/1.1\r\n")), "{request}");
    assert_eq!(header(&request, "host"), Some(server));
    assert_eq!(header(&request, "proxy-authorization"), None);
    through(&mut options, proxy);
    connects(&options);
    // "user:p@ss".
    assert_eq!(header(&requests.recv().unwrap(), "proxy-authorization"), Some("Basic dXNlcjpwQHNz"));
}

#[test]
fn the_proxy_finds_the_server_and_tls_goes_through_it() {
    let ca = Authority::new("ca");
    let broker = broker(|config| {
        config.tls = Some(ca.server(&["localhost", "127.0.0.1"]).identity());
        config.oauth2 = Some(OAuth2Config {
            clients: vec![("id".to_owned(), "pw".to_owned())],
            ..OAuth2Config::default()
        });
    });
    let (proxy, requests) = tunnel();
    let mut options = options(&broker);
    through(&mut options, proxy);
    options.oauth2.set(|settings| {
        settings.token_url = broker.token_url().unwrap().to_owned();
        settings.client_id = "id".to_owned();
        settings.client_secret = "pw".to_owned();
    });
    // The proxy resolves the name.
    options.url = options.url.replace("127.0.0.1", "localhost");
    fails(&options, Status::TokenFailed, &["unknown issuer"]);
    ca.trust(&mut options);
    connects(&options);
    let requests: Vec<_> = requests.try_iter().collect();
    assert_eq!(requests.len(), 3, "{requests:?}");
    assert!(requests[1].starts_with("CONNECT 127.0.0.1:"), "{}", requests[1]);
    assert!(requests[2].starts_with("CONNECT localhost:"), "{}", requests[2]);
}

#[test]
fn what_the_proxy_answers_is_told() {
    let broker = broker(|_| {});
    let mut options = options(&broker);
    let server = options.url.strip_prefix("ws://").unwrap().to_owned();
    for (answer, status, culprits, retriable) in [
        (
            "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
            Status::Handshake,
            &["user and password", "407"][..],
            false,
        ),
        (
            "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno",
            Status::Handshake,
            &[&server, "403"],
            false,
        ),
        (
            "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n",
            Status::ConnectFailed,
            &[&server, "502"],
            true,
        ),
        ("220 mail.example ESMTP\r\n\r\n", Status::Handshake, &["no answer"], false),
        ("", Status::Handshake, &["no answer"], false),
    ] {
        let proxy = HttpServer::start(&[answer]).address;
        through(&mut options, proxy);
        let error = fails(&options, status, &["proxy", &proxy.to_string()]);
        for culprit in culprits {
            assert!(error.message().contains(culprit), "no {culprit:?} in: {error}");
        }
        assert_eq!(error.is_retriable(), retriable, "{error}");
        assert!(!error.message().contains("p@ss") && !error.message().contains("dXNlcj"), "{error}");
    }
    let endless = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(100_000));
    through(&mut options, HttpServer::start(&[&endless]).address);
    fails(&options, Status::Handshake, &["proxy"]);
}

#[test]
fn a_proxy_that_cannot_be_reached_or_is_silent_is_named() {
    let broker = broker(|_| {});
    let mut options = options(&broker);
    let (_taken, closed) = closed_port();
    through(&mut options, closed);
    fails(&options, Status::ConnectFailed, &["proxy", &closed.to_string(), "refused"]);
    options.dial.proxy = Some(Proxy::parse("http://no-such-proxy.invalid:1").unwrap());
    fails(&options, Status::Resolve, &["proxy", "no-such-proxy.invalid"]);
    let silent = serve(forget);
    through(&mut options, silent);
    options.connect_timeout = Duration::from_millis(100);
    fails(&options, Status::Timeout, &["proxy", &silent.to_string(), "100ms"]);
}

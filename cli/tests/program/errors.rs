//! What goes wrong is said in one line.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal::SIGKILL;
use tokio::net::TcpSocket;
use tokio_tungstenite::tungstenite;

use crate::support::{Broker, Finished, Program, run};

/// Runs both clients against a server that does something with every connection.
fn against(server: impl Fn(TcpStream) + Send + 'static, check: impl Fn(Finished, &str)) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            server(stream.unwrap());
        }
    });
    clients(&url, &["--connect-timeout", "0.5"], check);
}

fn clients(url: &str, options: &[&str], check: impl Fn(Finished, &str)) {
    let publish = ["pub", "--url", url, "--node", "n"];
    check(run(&[&publish, options].concat(), b"x\n"), url);
    let subscribe = ["sub", "--url", url, "--node", "n", "--source", "n"];
    check(run(&[&subscribe, options].concat(), b""), url);
}

#[test]
fn a_refused_port_is_named() {
    // Taken, so that nobody else listens there, but not listening.
    let taken = TcpSocket::new_v4().unwrap();
    taken.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let address = taken.local_addr().unwrap();
    clients(&format!("ws://{address}"), &[], |finished, url| {
        finished.failed(&[url, "refused"]);
    });
}

#[test]
fn a_bad_url_is_named() {
    for (url, culprit) in [
        ("nonsense", "scheme"),
        ("http://127.0.0.1:1", "http"),
        ("ws://127.0.0.1:99999", "port"),
        ("ws://", "url"),
        ("ws://no-such-host.invalid:1", "no-such-host.invalid"),
    ] {
        clients(url, &[], |finished, _| finished.failed(&[url, culprit]));
    }
}

#[test]
fn an_http_server_is_recognised() {
    let answer = b"HTTP/1.1 404 Not Found\r\nContent-Length: 12\r\n\r\nno\x1b[2Jthing\r\n";
    against(
        move |mut stream| {
            read_request(&mut stream);
            stream.write_all(answer).unwrap();
        },
        |finished, url| {
            finished.failed(&[url, "404"]);
            assert!(!finished.stderr.contains('\x1b'));
        },
    );
}

#[test]
fn a_server_of_another_kind_is_recognised() {
    against(
        |mut stream| {
            read_request(&mut stream);
            stream.write_all(b"220 mail.example ESMTP\r\n\r\n").unwrap();
        },
        |finished, url| finished.failed(&[url]),
    );
}

/// Up to the empty line, so that closing the connection does not reset it.
fn read_request(stream: &mut TcpStream) {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() > 0 {
        request.push(byte[0]);
    }
}

#[test]
fn a_silent_server_is_not_waited_for() {
    let start = Instant::now();
    against(
        // Held open for as long as the test runs.
        std::mem::forget,
        |finished, url| finished.failed(&[url, "took longer than 500ms"]),
    );
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_silent_token_endpoint_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/token", listener.local_addr().unwrap());
    let secret = ["--oauth2-client-id", "id", "--oauth2-client-secret", "s3cr3t", "--connect-timeout", "0.5"];
    clients("ws://127.0.0.1:1", &[&["--oauth2-url", &url], &secret[..]].concat(), |finished, _| {
        finished.failed(&["access token", "500ms"]);
    });
}

#[test]
fn secrets_in_the_wrong_place_are_not_shown() {
    let key = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG\n";
    let [cert, key] = ["cert", "key"].map(|what| format!("--client-{what}={key}"));
    for (url, options, culprit) in [
        ("ws://user:s3cr3t@host:1", &[][..], "ws://…@host:1"),
        ("ws://host:1/?token=s3cr3t", &[], "ws://host:1/"),
        ("ws://host:1", &["--proxy", "ftp://user:s3cr3t@host"], "--proxy"),
        ("ws://host:1", &[&cert, &key], "--client-cert: this is PEM text"),
        ("ws://host:1", &["--header-token", "s3cr3t", "--header-token-name", "Host"], "header token"),
    ] {
        clients(url, options, |finished, _| {
            finished.failed(&[culprit]);
            assert!(!finished.stderr.contains("cr3t") && !finished.stderr.contains("MII"), "{finished:?}");
        });
    }
}

#[test]
fn a_websocket_server_without_iscp_is_not_waited_for() {
    against(
        |stream| std::mem::forget(tungstenite::accept(stream).unwrap()),
        |finished, url| finished.failed(&[url, "500ms"]),
    );
    against(
        |stream| {
            let mut socket = tungstenite::accept(stream).unwrap();
            let _ = socket.send(tungstenite::Message::text("hello"));
            std::mem::forget(socket);
        },
        |finished, url| finished.failed(&[url]),
    );
}

#[test]
fn a_broker_that_dies_ends_the_subscriber() {
    let broker = Broker::start();
    let args = ["sub", "--url", &broker.url, "--node", "s", "--source", "pub"];
    let subscriber = Program::start(&args);
    // It prints what arrives, so its stream is open.
    let mut publisher = Program::start(&broker.publisher(&[]));
    let mut lines = 0;
    while !subscriber.has_output() {
        lines += 1;
        assert!(lines < 6000, "nothing arrives");
        publisher.write(b"x\n");
        thread::sleep(Duration::from_millis(10));
    }
    broker.program.signal(SIGKILL);
    subscriber.finish().failed(&[&broker.url]);
    // Standard input is still open.
    publisher.wait().failed(&[&broker.url]);
}

#[test]
fn a_broker_that_dies_ends_the_publisher_in_the_middle_of_its_input() {
    let broker = Broker::start();
    let subscriber = broker.subscribe(&[]);
    let mut publisher = Program::start(&broker.publisher(&[]));
    let mut stdin = publisher.take_stdin();
    let writer = thread::spawn(move || while stdin.write_all(b"x\n").is_ok() {});
    subscriber.wait_for_output("x\n");
    broker.program.signal(SIGKILL);
    publisher.wait().failed(&[&broker.url]);
    writer.join().unwrap();
}

#[test]
fn a_bad_hex_line_is_named_and_what_came_before_is_delivered() {
    for (bad, why) in [("zz", "'z'"), ("123", "odd")] {
        let broker = Broker::start();
        let subscriber = broker.subscribe(&["--json"]);
        let input = format!("61\n62\n{bad}\n63\n");
        run(&broker.publisher(&["--hex"]), input.as_bytes()).failed(&["standard input, line 3", why]);
        let output = String::from_utf8(subscriber.wait_for_output("upstream_normal_close")).unwrap();
        assert!(output.contains("\"payload\":\"b\""), "{output}");
        assert!(output.contains("\"total_data_points\":2"), "{output}");
    }
}

#[test]
fn a_line_that_is_too_long_is_named() {
    let broker = Broker::start();
    let mut input = b"short\n".to_vec();
    input.resize((15 << 20) + 100, b'x');
    run(&broker.publisher(&[]), &input).failed(&["standard input, line 2", "longer"]);
}

#[test]
fn a_wrong_command_line_has_status_2() {
    let subscribe = ["sub", "--url", "ws://h", "--node", "n", "--source", "n"];
    for (args, culprit) in [
        (vec![], "Usage"),
        (vec!["nonsense"], "nonsense"),
        (vec!["pub", "--node", "n"], "--url"),
        (vec!["sub", "--url", "ws://h", "--node", "n"], "--source"),
        ([&subscribe[..], &["--filter", "a:b:c"]].concat(), "a:b:c"),
        ([&subscribe[..], &["--filter", "name"]].concat(), "name"),
        ([&subscribe[..], &["--count", "0"]].concat(), "--count"),
        ([&subscribe[..], &["--qos", "best"]].concat(), "best"),
        ([&subscribe[..], &["--connect-timeout", "0"]].concat(), "--connect-timeout"),
        (vec!["broker", "--token", ""], "--token"),
        (vec!["broker", "--min-expiry", "0"], "--min-expiry"),
        (vec!["broker", "--hold-for", "-1"], "not a number of seconds"),
        (vec!["broker", "--tls-cert", "c.pem"], "--tls-key"),
        (vec!["broker", "--tls-cert", "c.pem", "--tls-key", "k.pem", "--self-signed"], "--self-signed"),
        (vec!["broker", "--self-signed-pem", "c.pem"], "--self-signed"),
        (vec!["broker", "--oauth2-client", "a:b"], "--oauth2-dev"),
        (vec!["broker", "--oauth2-dev", "--oauth2-client", "a"], "--oauth2-client"),
        (vec!["broker", "--oauth2-dev", "--oauth2-token-lifetime", "0"], "--oauth2-token-lifetime"),
        ([&subscribe[..], &["--client-cert", "c.pem"]].concat(), "--client-key"),
        ([&subscribe[..], &["--insecure", "--ca", "c.pem"]].concat(), "--ca"),
        ([&subscribe[..], &["--encoding", "xml"]].concat(), "--encoding"),
        ([&subscribe[..], &["--compression", "zip"]].concat(), "--compression"),
        ([&subscribe[..], &["--local-address", "host"]].concat(), "--local-address"),
        ([&subscribe[..], &["--oauth2-url", "https://h"]].concat(), "--oauth2-client-id"),
        ([&subscribe[..], &["--header-token-name", "a b"]].concat(), "--header-token-name"),
    ] {
        let finished = run(&args, b"");
        assert_eq!(finished.code, Some(2), "{args:?}: {finished:?}");
        assert!(finished.stderr.contains(culprit), "{args:?}: {}", finished.stderr);
    }
}

#[test]
fn a_bad_log_filter_is_named() {
    let program = Program::start_with(&["broker", "--ws", "127.0.0.1:0"], |command| {
        command.env("ISCP_LOG", "iscp=loud");
    });
    program.finish().failed(&["ISCP_LOG", "iscp=loud"]);
}

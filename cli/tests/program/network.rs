//! TLS, tokens and the way to the server on the command line.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use sha2::{Digest, Sha256};

use crate::support::{Broker, Program, run};

/// A file of a test, in whose name the test stands.
fn file(name: &str, content: &str) -> String {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, content).unwrap();
    path.into_os_string().into_string().unwrap()
}

/// A broker with a self-signed certificate, and the file clients take as their CA.
fn self_signed(name: &str, options: &[&str]) -> (Broker, String, Vec<String>) {
    let pem = file(name, "");
    let args = ["--wss", "127.0.0.1:0", "--self-signed", "--self-signed-pem", &pem];
    let lines = if options.contains(&"--oauth2-dev") { 3 } else { 2 };
    let (broker, printed) = Broker::start_printing(&[&args, options].concat(), lines);
    assert!(broker.url.starts_with("wss://127.0.0.1:"), "{}", broker.url);
    (broker, pem, printed)
}

#[test]
fn a_self_signed_broker_is_trusted_by_its_certificate() {
    let (broker, pem, printed) = self_signed("trusted.pem", &[]);
    let subscriber = broker.subscribe(&["--ca", &pem]);
    broker.publish(&["--ca", &pem], b"through TLS\n");
    subscriber.wait_for_output("through TLS\n");
    let url = broker.url.replace("127.0.0.1", "localhost");
    run(&["pub", "--url", &url, "--node", "n", "--ca", &pem], b"x\n").quiet_success();
    // What is printed is what a client could compute of the certificate.
    let text = fs::read_to_string(&pem).unwrap();
    let der =
        STANDARD.decode(text.lines().filter(|line| !line.starts_with('-')).collect::<String>()).unwrap();
    let pairs: Vec<_> = Sha256::digest(&der).iter().map(|byte| format!("{byte:02X}")).collect();
    assert_eq!(printed, [format!("certificate SHA-256 {}", pairs.join(":"))]);
    assert!(!text.contains("PRIVATE"));
}

#[test]
fn an_untrusted_broker_is_refused_unless_everything_is_taken() {
    let (broker, _, _) = self_signed("untrusted.pem", &[]);
    let (_other, other_pem, _) = self_signed("other.pem", &[]);
    run(&broker.publisher(&[]), b"x\n").failed(&[&broker.url, "unknown issuer"]);
    run(&broker.publisher(&["--ca", &other_pem]), b"x\n").failed(&[&broker.url, "server's certificate"]);
    let insecure = run(&broker.publisher(&["--insecure", "-v"]), b"x\n");
    assert_eq!(insecure.code, Some(0), "{insecure:?}");
    assert!(insecure.stderr.contains("NOT verified"), "{}", insecure.stderr);
}

#[test]
fn the_name_in_the_certificate_counts() {
    let (broker, pem, _) = self_signed("names.pem", &["--self-signed-name", "broker.example"]);
    broker.publish(&["--ca", &pem, "--server-name", "broker.example"], b"x\n");
    let wrong = run(&broker.publisher(&["--ca", &pem, "--server-name", "wrong.example"]), b"x\n");
    wrong.failed(&["wrong.example", "broker.example", "localhost"]);
}

/// A CA, and a certificate with its key for a name and a purpose, as PEM texts.
fn issue(purpose: ExtendedKeyUsagePurpose) -> (String, String, String) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_key = KeyPair::generate().unwrap();
    let ca = params.self_signed(&ca_key).unwrap().pem();
    let issuer = Issuer::new(params, ca_key);
    let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    params.extended_key_usages.push(purpose);
    let key = KeyPair::generate().unwrap();
    (ca, params.signed_by(&key, &issuer).unwrap().pem(), key.serialize_pem())
}

#[test]
fn certificates_of_both_sides_come_from_files() {
    let (ca, cert, key) = issue(ExtendedKeyUsagePurpose::ServerAuth);
    let (client_ca, client_cert, client_key) = issue(ExtendedKeyUsagePurpose::ClientAuth);
    let [ca, cert, key] = [("ca", ca), ("cert", cert), ("key", key)]
        .map(|(name, content)| file(&format!("files-{name}.pem"), &content));
    let [client_ca, client_cert, client_key] =
        [("ca", client_ca), ("cert", client_cert), ("key", client_key)]
            .map(|(name, content)| file(&format!("files-client-{name}.pem"), &content));
    let tls = ["--wss", "127.0.0.1:0", "--tls-cert", &cert, "--tls-key", &key, "--tls-client-ca", &client_ca];
    let (broker, _) = Broker::start_printing(&tls, 1);
    broker.publish(&["--ca", &ca, "--client-cert", &client_cert, "--client-key", &client_key], b"x\n");
    run(&broker.publisher(&["--ca", &ca]), b"x\n").failed(&["demands a client certificate"]);
    for (options, culprits) in [
        (
            ["--client-cert", &client_cert, "--client-key", &key],
            ["client's certificate and key", "does not belong"],
        ),
        (["--client-cert", &client_key, "--client-key", &client_key], ["--client-cert", "no certificate"]),
        (["--client-cert", &client_cert, "--client-key", "absent.pem"], ["--client-key", "absent.pem"]),
        (["--client-cert", &client_cert, "--client-key", &client_cert], ["--client-key", "no private key"]),
    ] {
        run(&broker.publisher(&options), b"x\n").failed(&culprits);
    }
}

#[test]
fn what_is_wrong_with_a_certificate_of_the_broker_is_named_by_its_flag() {
    let (_, cert, key) = issue(ExtendedKeyUsagePurpose::ServerAuth);
    let (_, _, other) = issue(ExtendedKeyUsagePurpose::ServerAuth);
    let [cert, key, other] = [("cert", cert), ("key", key), ("other", other)]
        .map(|(name, content)| file(&format!("flags-{name}.pem"), &content));
    let wss = ["broker", "--wss", "127.0.0.1:0"];
    let ws = ["broker", "--ws", "127.0.0.1:0"];
    for (broker, options, culprits) in [
        (wss, &[][..], &["--wss", "--tls-cert", "--self-signed"][..]),
        (ws, &["--self-signed"], &["nothing uses the certificate", "--wss"]),
        (wss, &["--tls-cert", &cert, "--tls-key", &other], &["--tls-key", &other, "does not belong", &cert]),
        (wss, &["--tls-cert", &key, "--tls-key", &key], &["--tls-cert", &key, "no certificate"]),
        (wss, &["--tls-cert", &cert, "--tls-key", &cert], &["--tls-key", &cert, "no private key"]),
        (wss, &["--tls-cert", "absent.pem", "--tls-key", &key], &["--tls-cert", "absent.pem"]),
        (wss, &["--self-signed", "--tls-client-ca", &key], &["--tls-client-ca", &key, "no certificate"]),
        (wss, &["--self-signed", "--self-signed-name", "a b"], &["--self-signed-name", "a b"]),
        (wss, &["--self-signed", "--self-signed-pem", "/"], &["--self-signed-pem"]),
        (wss, &["--self-signed", "--oauth2-dev", "--oauth2-listen", "host"], &["cannot listen on host"]),
    ] {
        run(&[&broker[..], options].concat(), b"").failed(culprits);
    }
}

#[test]
fn a_broker_listens_at_every_address() {
    let pem = file("addresses.pem", "");
    let addresses = ["--wss", "127.0.0.1:0", "--ws", "127.0.0.1:0", "--ws", "[::1]:0", "--self-signed"];
    let (broker, printed) =
        Broker::start_printing(&[&addresses[..], &["--self-signed-pem", &pem]].concat(), 4);
    let urls: Vec<_> = printed[..2].iter().map(|line| line.strip_prefix("listening ").unwrap()).collect();
    assert!(urls[0].starts_with("ws://[::1]:") && urls[1].starts_with("wss://127.0.0.1:"), "{printed:?}");
    let subscriber = broker.subscribe(&[]);
    for (url, line) in [(broker.url.as_str(), "one\n"), (urls[0], "two\n"), (urls[1], "three\n")] {
        let args = ["pub", "--url", url, "--node", "pub", "--ca", &pem];
        run(&args, line.as_bytes()).quiet_success();
        subscriber.wait_for_output(line);
    }
}

#[test]
fn quic_is_served_and_takes_no_proxy() {
    let pem = file("quic.pem", "");
    let quic = ["--quic", "127.0.0.1:0", "--self-signed", "--self-signed-pem", &pem];
    let (broker, _) = Broker::start_printing(&quic, 2);
    assert!(broker.url.starts_with("quic://127.0.0.1:"), "{}", broker.url);
    let subscriber = broker.subscribe(&["--ca", &pem, "--local-address", "127.0.0.1", "--interface", "lo"]);
    broker.publish(&["--ca", &pem], b"by QUIC\n");
    subscriber.wait_for_output("by QUIC\n");
    run(&broker.publisher(&[]), b"x\n").failed(&[&broker.url, "server's certificate", "unknown issuer"]);
    run(&broker.publisher(&["--ca", &pem, "--proxy", "http://proxy:1"]), b"x\n")
        .failed(&[&broker.url, "prox"]);
    run(&broker.publisher(&["--ca", &pem, "--header-token", "a"]), b"x\n").failed(&[&broker.url, "header"]);
    run(&["broker", "--quic", "127.0.0.1:0"], b"").failed(&["--quic", "--tls-cert", "--self-signed"]);
}

#[test]
fn webtransport_is_served_takes_header_tokens_and_no_proxy() {
    let pem = file("webtransport.pem", "");
    let options =
        ["--webtransport", "127.0.0.1:0", "--self-signed", "--self-signed-pem", &pem, "--token", "a"];
    let (broker, _) = Broker::start_printing(&options, 2);
    assert!(broker.url.starts_with("webtransport://127.0.0.1:"), "{}", broker.url);
    let subscriber = broker.subscribe(&["--ca", &pem, "--token", "a"]);
    broker.publish(&["--ca", &pem, "--header-token", "Bearer a"], b"by WebTransport\n");
    subscriber.wait_for_output("by WebTransport\n");
    run(&broker.publisher(&["--ca", &pem]), b"x\n").failed(&[&broker.url, "AUTH_FAILED"]);
    run(&broker.publisher(&[]), b"x\n").failed(&[&broker.url, "unknown issuer"]);
    run(&broker.publisher(&["--ca", &pem, "--proxy", "http://proxy:1"]), b"x\n")
        .failed(&[&broker.url, "prox"]);
    run(&["broker", "--webtransport", "127.0.0.1:0"], b"").failed(&["--webtransport", "--tls-cert"]);
}

#[test]
fn a_client_gets_its_token_from_the_brokers_own_endpoint() {
    let dev = ["--oauth2-dev", "--oauth2-client", "me:my secret"];
    let (broker, pem, printed) = self_signed("oauth2.pem", &dev);
    let url = printed[0].strip_prefix("listening ").unwrap();
    assert!(url.starts_with("https://127.0.0.1:") && url.ends_with("/api/auth/oauth2/token"), "{url}");
    let client = ["--ca", &pem, "--oauth2-url", url, "--oauth2-client-id", "me", "--oauth2-client-secret"];
    broker.publish(&[&client[..], &["my secret"]].concat(), b"x\n");
    let wrong = run(&broker.publisher(&[&client[..], &["guess"]].concat()), b"x\n");
    wrong.failed(&[url, "invalid_client"]);
    assert!(!wrong.stderr.contains("guess"));
    run(&broker.publisher(&["--ca", &pem]), b"x\n").failed(&["AUTH_FAILED"]);
    // Without TLS, with the client that is there by default, and the secret from the environment.
    let (broker, printed) =
        Broker::start_printing(&["--ws", "127.0.0.1:0", "--oauth2-dev", "--token", "fixed"], 2);
    let url = printed[0].strip_prefix("listening ").unwrap();
    let args = broker.publisher(&["--oauth2-url", url, "--oauth2-client-id", "iscp-dev"]);
    let program = Program::start_with(&args, |command| {
        // A token of the environment is for when nothing else is said.
        command.env("ISCP_OAUTH2_CLIENT_SECRET", "iscp-dev-secret").env("ISCP_TOKEN", "another");
    });
    program.finish().quiet_success();
    broker.publish(&["--token", "fixed"], b"x\n");
}

#[test]
fn a_token_may_come_in_a_header() {
    let broker = Broker::start_with(&["--token", "secret"]);
    broker.publish(&["--header-token", "Bearer secret"], b"x\n");
    let elsewhere = ["--header-token", "secret", "--header-token-name", "X-Token"];
    run(&broker.publisher(&elsewhere), b"x\n").failed(&["AUTH_FAILED"]);
}

#[test]
fn messages_travel_in_every_encoding_and_compression() {
    let broker = Broker::start();
    let subscriber = broker.subscribe(&["--encoding", "json", "--compression", "per-message"]);
    for (line, options) in [
        ("a\n", ["--encoding", "json", "--compression", "none"]),
        ("b\n", ["--encoding", "proto", "--compression", "per-message:9"]),
        ("c\n", ["--encoding", "json", "--compression", "context-takeover:1:9"]),
    ] {
        broker.publish(&options, line.as_bytes());
        subscriber.wait_for_output(line);
    }
}

#[test]
fn the_way_to_the_server_can_be_chosen() {
    let broker = Broker::start();
    broker.publish(&["--local-address", "127.0.0.1", "--interface", "lo"], b"x\n");
    for (option, value, culprit) in [
        ("--local-address", "192.0.2.1", "192.0.2.1"),
        ("--local-address", "::1", "::1"),
        ("--interface", "no-such-if", "no-such-if"),
    ] {
        run(&broker.publisher(&[option, value]), b"x\n").failed(&[&broker.url, culprit]);
    }
    broker.publish(&["--multipath-tcp"], b"y\n");
    let without_tcp = broker.publisher(&["--multipath-tcp", "--path", "url=quic://127.0.0.1:1"]);
    run(&without_tcp, b"x\n").failed(&["Multipath TCP", "quic"]);
}

#[test]
fn a_proxy_is_used_and_its_password_is_not_shown() {
    let broker = Broker::start();
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = proxy.local_addr().unwrap();
    let refuse = |mut stream: TcpStream| {
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n");
    };
    thread::spawn(move || proxy.incoming().for_each(|stream| refuse(stream.unwrap())));
    let url = format!("http://user:secret@{address}");
    let finished = run(&broker.publisher(&["-vvv", "--proxy", &url]), b"x\n");
    assert_eq!(finished.code, Some(1));
    assert!(
        finished.stderr.contains("407") && finished.stderr.contains(&address.to_string()),
        "{}",
        finished.stderr
    );
    assert!(!finished.stderr.contains("secret"), "{}", finished.stderr);
    let finished = run(&broker.publisher(&["--proxy", "socks5://user:secret@host:1"]), b"x\n");
    assert!(!finished.stderr.contains("secret"));
    finished.failed(&["--proxy", "socks5"]);
    // That of the environment, with its exceptions.
    for (exceptions, code) in [("", 1), ("127.0.0.1", 0)] {
        let program = Program::start_with(&broker.publisher(&["--proxy", "env"]), |command| {
            command.env("HTTP_PROXY", &url).env("NO_PROXY", exceptions);
        });
        assert_eq!(program.finish().code, Some(code), "{exceptions:?}");
    }
}

#[test]
fn tokens_and_secrets_stand_in_no_log() {
    let dev = ["--ws", "127.0.0.1:0", "--oauth2-dev", "--oauth2-client", "me:hidden-one", "-vvv"];
    let (broker, printed) = Broker::start_printing(&[&dev[..], &["--token", "hidden-two"]].concat(), 2);
    let url = printed[0].strip_prefix("listening ").unwrap();
    let mut texts = Vec::new();
    for credentials in [
        &["--token", "hidden-two"][..],
        &["--token", "hidden-three"],
        &["--header-token", "hidden-two"],
        &["--oauth2-url", url, "--oauth2-client-id", "me", "--oauth2-client-secret", "hidden-one"],
        &["--oauth2-url", url, "--oauth2-client-id", "me", "--oauth2-client-secret", "hidden-four"],
    ] {
        let finished = run(&broker.publisher(&[&["-vvv"], credentials].concat()), b"x\n");
        // It logs, and all the way.
        assert!(finished.stderr.contains("127.0.0.1"), "{}", finished.stderr);
        texts.push(finished.stderr);
    }
    broker.program.signal(nix::sys::signal::Signal::SIGTERM);
    let finished = broker.program.wait();
    assert!(finished.stderr.contains("a token was issued"), "{}", finished.stderr);
    texts.push(finished.stderr);
    for text in texts {
        // In Base64 the secret would be a part of "me:hidden-…".
        assert!(!text.contains("hidden") && !text.contains("bWU6aGlkZGVu"), "{text}");
    }
}

#[test]
fn a_connection_takes_several_paths() {
    let broker = Broker::start();
    let subscriber = broker.subscribe(&["--count", "1"]);
    // The address of the connection itself is of no use, that of a path is.
    let url = format!("url={}", broker.url);
    let paths = ["--path", "local_address=127.0.0.2", "--path", &url, "--scheduler", "ecf"];
    let args = ["pub", "-vv", "--url", "ws://127.0.0.1:1", "--node", "pub"];
    let finished = run(&[&args[..], &paths].concat(), b"hello\n");
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert!(finished.stderr.contains("is up"), "{}", finished.stderr);
    assert_eq!(subscriber.wait().stdout, b"hello\n");
    for (path, culprit) in [("eth0", "eth0"), ("url=ftp://x", "ftp")] {
        let finished = run(&broker.publisher(&["--path", path]), b"");
        assert!(finished.code == Some(2) && finished.stderr.contains(culprit), "{finished:?}");
    }
    let finished = run(&broker.publisher(&["--scheduler", "fastest"]), b"");
    assert!(finished.code == Some(2) && finished.stderr.contains("round-robin"), "{finished:?}");
}

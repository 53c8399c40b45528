//! wss, with verification on unless a test is about turning it off.

use std::io::Write;

use iscp::error::Status;
use iscp::transport::tls::{TlsOptions, certificates, private_key};
use rustls_pki_types::ServerName;

use crate::support::{Authority, Certificate, broker, connects, fails, options, read_head, serve};

#[test]
fn a_certificate_of_the_given_ca_is_taken() {
    let ca = Authority::new("ca");
    let broker = broker(|config| config.tls = Some(ca.server(&["127.0.0.1"]).identity()));
    let mut options = options(&broker);
    ca.trust(&mut options);
    connects(&options);
    options.url = options.url.replace("wss://127.0.0.1", "wss://localhost");
    fails(&options, Status::Tls, &["localhost", "127.0.0.1"]);
}

#[test]
fn a_self_signed_certificate_is_taken_as_its_own_ca() {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let own = Certificate { cert: made.cert.pem(), key: made.signing_key.serialize_pem() };
    let broker = broker(|config| config.tls = Some(own.identity()));
    let mut options = options(&broker);
    options.dial.tls.ca = Some(certificates(own.cert.as_bytes()).unwrap());
    connects(&options);
}

#[test]
fn an_unknown_issuer_is_refused() {
    let (ca, other) = (Authority::new("ca"), Authority::new("other"));
    let broker = broker(|config| config.tls = Some(ca.server(&["127.0.0.1"]).identity()));
    let mut options = options(&broker);
    let url = options.url.clone();
    // The authorities of the system do not know it either.
    fails(&options, Status::Tls, &[&url, "server's certificate", "unknown issuer"]);
    other.trust(&mut options);
    fails(&options, Status::Tls, &[&url, "server's certificate", "given CA", "unknown issuer"]);
}

#[test]
fn a_wrong_name_is_refused_and_the_names_of_the_certificate_are_told() {
    let ca = Authority::new("ca");
    let broker =
        broker(|config| config.tls = Some(ca.server(&["broker.example", "*.other.example"]).identity()));
    let mut options = options(&broker);
    ca.trust(&mut options);
    fails(&options, Status::Tls, &["server's certificate", "127.0.0.1", "broker.example", "*.other.example"]);
    for name in ["broker.example", "a.other.example"] {
        options.dial.tls.server_name = Some(ServerName::try_from(name).unwrap());
        connects(&options);
    }
    options.dial.tls.server_name = Some(ServerName::try_from("wrong.example").unwrap());
    fails(&options, Status::Tls, &["wrong.example", "broker.example"]);
}

#[test]
fn an_expired_certificate_is_refused() {
    let ca = Authority::new("ca");
    let broker = broker(|config| config.tls = Some(ca.expired(&["127.0.0.1"]).identity()));
    let mut options = options(&broker);
    ca.trust(&mut options);
    fails(&options, Status::Tls, &["server's certificate", "expired"]);
}

#[test]
fn a_client_certificate_is_shown_when_it_is_demanded() {
    let (ca, clients, others) = (Authority::new("ca"), Authority::new("clients"), Authority::new("others"));
    let identity = ca.server(&["127.0.0.1"]).identity().require_clients(clients.pem.as_bytes()).unwrap();
    let broker = broker(|config| config.tls = Some(identity));
    let mut options = options(&broker);
    ca.trust(&mut options);
    fails(&options, Status::Tls, &["demands a client certificate"]);
    others.client().show(&mut options);
    fails(&options, Status::Tls, &["refuses the client's certificate"]);
    // Made for servers, not for clients.
    clients.server(&["client"]).show(&mut options);
    fails(&options, Status::Tls, &["refuses the client's certificate"]);
    clients.client().show(&mut options);
    connects(&options);
}

#[test]
fn half_a_client_certificate_and_a_wrong_key_are_refused_at_once() {
    let ca = Authority::new("ca");
    let broker = broker(|config| config.tls = Some(ca.server(&["127.0.0.1"]).identity()));
    let (one, other) = (ca.client(), ca.client());
    let mut options = options(&broker);
    ca.trust(&mut options);
    one.show(&mut options);
    options.dial.tls.key = None;
    fails(&options, Status::InvalidOption, &["key", "missing"]);
    other.show(&mut options);
    options.dial.tls.chain = None;
    fails(&options, Status::InvalidOption, &["certificate", "missing"]);
    options.dial.tls.chain = Some(certificates(one.cert.as_bytes()).unwrap());
    fails(&options, Status::InvalidOption, &["key does not belong to the certificate"]);
}

#[test]
fn without_verification_every_certificate_is_taken() {
    let ca = Authority::new("ca");
    let broker = broker(|config| config.tls = Some(ca.expired(&["elsewhere.example"]).identity()));
    let mut options = options(&broker);
    fails(&options, Status::Tls, &[]);
    options.dial.tls.insecure = true;
    connects(&options);
}

#[test]
fn a_server_without_tls_is_recognised() {
    let address = serve(|mut stream| {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        // Until the client has closed too: unread bytes would reset the connection.
        read_head(&mut stream);
    });
    let ca = Authority::new("ca");
    let broker = broker(|config| config.tls = Some(ca.server(&["127.0.0.1"]).identity()));
    let mut options = options(&broker);
    options.url = format!("wss://{address}");
    fails(&options, Status::Tls, &[&options.url.clone(), "does not speak TLS"]);
    options.url = format!("wss://{}", serve(drop));
    fails(&options, Status::Tls, &[&options.url.clone()]);
}

#[test]
fn what_is_no_certificate_and_no_key_is_said() {
    let made = rcgen::generate_simple_self_signed(["host".to_owned()]).unwrap();
    let (cert, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let broken = key.replacen("MI", "!!", 1);
    for text in [
        "",
        "nonsense",
        &key,
        &cert.replacen("MI", "!!", 1),
        &cert[..200],
        &format!("{cert}{}", &cert[..200]),
    ] {
        let why = certificates(text.as_bytes()).unwrap_err();
        assert!(why.contains("certificate"), "{text}: {why}");
    }
    for text in ["", "nonsense", &cert, &broken, &key[..100]] {
        let why = private_key(text.as_bytes()).unwrap_err();
        assert!(why.contains("private key"), "{text}: {why}");
        assert!(key.lines().filter(|line| line.len() > 40).all(|line| !why.contains(line)), "{why}");
    }
    assert_eq!(certificates(format!("{cert}{key}{cert}").as_bytes()).unwrap().len(), 2);
}

#[test]
fn keys_are_not_shown() {
    let ca = Authority::new("ca");
    let client = ca.client();
    let mut tls =
        TlsOptions { chain: Some(certificates(client.cert.as_bytes()).unwrap()), ..TlsOptions::default() };
    let key = private_key(client.key.as_bytes()).unwrap();
    let bytes = format!("{:?}", &key.secret_der()[..8]);
    tls.key = Some(std::sync::Arc::new(key));
    let shown = format!("{tls:?}");
    assert!(shown.contains("key: true") && !shown.contains(bytes.trim_matches(['[', ']'])), "{shown}");
    let identity = format!("{:?}", ca.server(&["host"]).identity());
    assert!(!identity.contains("key") && !identity.contains("Pkcs8"), "{identity}");
}

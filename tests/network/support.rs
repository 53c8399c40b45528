//! Brokers, certificates and servers that say what a test wants.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, Once};
use std::thread;
use std::time::Duration;

use iscp::client::{ConnectOptions, Connection};
use iscp::error::{Error, Status};
use iscp::transport::Scheme;
use iscp::transport::tls::{certificates, private_key};
use iscp_broker::{Listener, Server, ServerConfig, ServerHandle, TlsIdentity};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};

/// Nothing here takes nearly as long; only a failure waits for it.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// What the library has logged at whatever level, in every test so far.
static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct LogWriter;

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOG.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Collects the log from now on.
pub(crate) fn start_log() {
    static START: Once = Once::new();
    START.call_once(|| {
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(|| LogWriter).init();
    });
}

/// The log since [`start_log`].
pub(crate) fn log() -> String {
    String::from_utf8(LOG.lock().unwrap().clone()).unwrap()
}

/// A broker with TLS if it has a certificate.
pub(crate) fn broker(adjust: impl FnOnce(&mut ServerConfig)) -> ServerHandle {
    let mut config = ServerConfig::default();
    adjust(&mut config);
    let scheme = if config.tls.is_some() { Scheme::Wss } else { Scheme::Ws };
    config.listeners = vec![Listener::new(scheme, ([127, 0, 0, 1], 0))];
    Server::start(config).unwrap()
}

/// Options for a broker of [`broker`].
pub(crate) fn options(broker: &ServerHandle) -> ConnectOptions {
    ConnectOptions {
        url: broker.endpoints()[0].to_string(),
        connect_timeout: LIMIT,
        token_timeout: LIMIT,
        ..ConnectOptions::default()
    }
}

#[track_caller]
pub(crate) fn connects(options: &ConnectOptions) {
    Connection::connect_wait(options.clone(), Some(LIMIT)).unwrap();
}

/// Fails with a status and a message that contains texts.
#[track_caller]
pub(crate) fn fails(options: &ConnectOptions, status: Status, culprits: &[&str]) -> Error {
    let Err(error) = Connection::connect_wait(options.clone(), Some(LIMIT)) else {
        panic!("it connected");
    };
    assert_eq!(error.status(), status, "{error}");
    for culprit in culprits {
        assert!(error.message().contains(culprit), "no {culprit:?} in: {error}");
    }
    error
}

/// A certificate with its key, as PEM texts.
#[derive(Clone)]
pub(crate) struct Certificate {
    pub(crate) cert: String,
    pub(crate) key: String,
}

impl Certificate {
    /// Who a broker is.
    pub(crate) fn identity(&self) -> TlsIdentity {
        TlsIdentity::from_pem(self.cert.as_bytes(), self.key.as_bytes()).unwrap()
    }

    /// Shows it to servers that ask.
    pub(crate) fn show(&self, options: &mut ConnectOptions) {
        options.dial.tls.chain = Some(certificates(self.cert.as_bytes()).unwrap());
        options.dial.tls.key = Some(Arc::new(private_key(self.key.as_bytes()).unwrap()));
    }
}

/// An authority that issues certificates.
pub(crate) struct Authority {
    pub(crate) pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// A certificate for servers of these names.
    pub(crate) fn server(&self, names: &[&str]) -> Certificate {
        self.issue(names, ExtendedKeyUsagePurpose::ServerAuth, |_| {})
    }

    /// One that has ended.
    pub(crate) fn expired(&self, names: &[&str]) -> Certificate {
        self.issue(names, ExtendedKeyUsagePurpose::ServerAuth, |params| {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2021, 1, 1);
        })
    }

    /// A certificate for a client.
    pub(crate) fn client(&self) -> Certificate {
        self.issue(&["client"], ExtendedKeyUsagePurpose::ClientAuth, |_| {})
    }

    fn issue(
        &self,
        names: &[&str],
        purpose: ExtendedKeyUsagePurpose,
        adjust: impl FnOnce(&mut CertificateParams),
    ) -> Certificate {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.extended_key_usages.push(purpose);
        adjust(&mut params);
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap().pem();
        Certificate { cert, key: key.serialize_pem() }
    }

    /// Trusts this authority alone.
    pub(crate) fn trust(&self, options: &mut ConnectOptions) {
        options.dial.tls.ca = Some(certificates(self.pem.as_bytes()).unwrap());
    }
}

/// A server without TLS that does something with each connection, for as long as the test runs.
pub(crate) fn serve(mut peer: impl FnMut(TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            peer(stream.unwrap());
        }
    });
    address
}

/// An HTTP server that remembers what it is asked and answers by a list, whose last answer stays.
#[derive(Clone)]
pub(crate) struct HttpServer {
    pub(crate) address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
}

impl HttpServer {
    pub(crate) fn start(answers: &[&str]) -> Self {
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (seen, mut answers) =
            (requests.clone(), answers.iter().map(|answer| (*answer).to_owned()).collect::<Vec<_>>());
        let address = serve(move |mut stream| {
            let request = read_request(&mut stream);
            if request.is_empty() {
                return;
            }
            seen.lock().unwrap().push(request);
            let answer = if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() };
            // The client may have seen enough.
            let _ = stream.write_all(answer.as_bytes());
        });
        Self { address, requests }
    }

    /// Head and body of every request so far.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

/// A request with its body, if its length is given.
pub(crate) fn read_request(stream: &mut TcpStream) -> String {
    let mut request = read_head(stream);
    let length = header(&request, "content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    if stream.read_exact(&mut body).is_ok() {
        request.push_str(&String::from_utf8(body).unwrap());
    }
    request
}

/// Up to the empty line, or what came before the end.
pub(crate) fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// A header of a request, by its name in lower case.
pub(crate) fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(found, _)| found.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
}

/// An answer with a body of JSON.
pub(crate) fn json(status: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}")
}

/// A port at which nobody listens, and that nobody else takes while the test runs.
pub(crate) fn closed_port() -> (socket2::Socket, SocketAddr) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}

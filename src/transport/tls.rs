//! TLS for clients: whom to trust, and who we are (docs/protocol/transport.md §9).

use std::fmt;
use std::io;
use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

use super::TransportError;
use super::dial::Stream;
use super::path::TlsFacts;

/// Settings of TLS. The default trusts what the system trusts.
#[derive(Clone, Default)]
pub struct TlsOptions {
    /// Certificates to trust instead of those of the system.
    pub ca: Option<Vec<CertificateDer<'static>>>,
    /// What to show a server that asks who we are: the certificate, then those that lead to a trusted
    /// one.
    pub chain: Option<Vec<CertificateDer<'static>>>,
    /// Key of the certificate.
    pub key: Option<Arc<PrivateKeyDer<'static>>>,
    /// Name the certificate must be for, unless it is the host of the address.
    pub server_name: Option<ServerName<'static>>,
    /// Takes any certificate.
    pub insecure: bool,
}

impl fmt::Debug for TlsOptions {
    /// Leaves out the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsOptions")
            .field("ca", &self.ca.as_ref().map(Vec::len))
            .field("chain", &self.chain.as_ref().map(Vec::len))
            .field("key", &self.key.is_some())
            .field("server_name", &self.server_name)
            .field("insecure", &self.insecure)
            .finish()
    }
}

impl TlsOptions {
    /// Finds what would fail whatever the server: half of a client certificate, or a key of another.
    ///
    /// # Errors
    /// Says what does not fit.
    pub fn check(&self) -> Result<(), TransportError> {
        if self.chain.is_none() && self.key.is_none() {
            return Ok(());
        }
        configure(self, Arc::new(RootCertStore::empty())).map(drop)
    }
}

/// A certificate with its chain, and its key.
pub struct Identity {
    /// The certificate, then those that lead to a trusted one.
    pub chain: Vec<CertificateDer<'static>>,
    /// Key of the certificate.
    pub key: PrivateKeyDer<'static>,
}

impl Identity {
    /// Reads an identity from PEM texts, which may be the same.
    ///
    /// # Errors
    /// Says what is missing or broken.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, String> {
        Ok(Self { chain: certificates(chain)?, key: private_key(key)? })
    }
}

/// The certificates in a PEM text.
///
/// # Errors
/// Says what is broken; a text without certificate is an error.
pub fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| format!("certificate: {error}"))?;
    if certificates.is_empty() {
        return Err("there is no certificate in the PEM text".to_owned());
    }
    for certificate in &certificates {
        check_certificate(certificate)?;
    }
    Ok(certificates)
}

/// Whether something in a PEM text that calls itself a certificate is one.
fn check_certificate(certificate: &CertificateDer<'_>) -> Result<(), String> {
    RootCertStore::empty()
        .add(certificate.clone().into_owned())
        .map_err(|_| "certificate: the PEM text holds something else".to_owned())
}

/// The first private key in a PEM text.
///
/// # Errors
/// Says what is broken; a text without key is an error.
pub fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    let key = PrivateKeyDer::from_pem_slice(pem).map_err(|error| match error {
        rustls_pki_types::pem::Error::NoItemsFound => {
            "there is no private key in the PEM text (keys with a password are not supported)".to_owned()
        }
        error => format!("private key: {error}"),
    })?;
    ring::sign::any_supported_type(&key).map_err(|error| format!("private key: {error}"))?;
    Ok(key)
}

/// A name as it stands in certificates.
///
/// # Errors
/// It is neither a DNS name nor an IP address.
pub fn server_name_of(name: &str) -> Result<ServerName<'static>, String> {
    ServerName::try_from(name.to_owned()).map_err(|_| "neither a DNS name nor an IP address".to_owned())
}

/// Name to verify the certificate of `host` against. Warns when it is not verified.
///
/// # Errors
/// The host is neither a DNS name nor an IP address.
pub fn server_name(options: &TlsOptions, host: &str) -> Result<ServerName<'static>, TransportError> {
    if options.insecure {
        tracing::warn!("TLS: the certificate of {host} is NOT verified; anybody can pretend to be {host}");
    }
    match &options.server_name {
        Some(name) => Ok(name.clone()),
        None => ServerName::try_from(host.to_owned())
            .map_err(|error| TransportError::Setting(format!("{host}: no name for TLS: {error}"))),
    }
}

/// Configuration of a client that offers `alpn`.
///
/// # Errors
/// A certificate cannot be used, or the system has no trusted ones.
pub fn client_config(options: &TlsOptions, alpn: &[&[u8]]) -> Result<ClientConfig, TransportError> {
    let roots = if options.insecure { Arc::new(RootCertStore::empty()) } else { roots(options)? };
    let mut config = configure(options, roots)?;
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Ok(config)
}

fn configure(options: &TlsOptions, roots: Arc<RootCertStore>) -> Result<ClientConfig, TransportError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| TransportError::Tls(format!("TLS: {error}")))?;
    let builder = if options.insecure {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(TakeAny::new(&provider)))
    } else {
        builder.with_root_certificates(roots)
    };
    let half = |missing: &str| TransportError::Setting(format!("TLS: the client's {missing} is missing"));
    match (&options.chain, &options.key) {
        (None, None) => Ok(builder.with_no_client_auth()),
        (Some(_), None) => Err(half("key, which belongs to its certificate,")),
        (None, Some(_)) => Err(half("certificate, which belongs to its key,")),
        (Some(chain), Some(key)) => {
            builder.with_client_auth_cert(chain.clone(), key.clone_key()).map_err(|error| {
                TransportError::Setting(format!(
                    "TLS: the client's certificate and key: {}",
                    describe_identity(&error)
                ))
            })
        }
    }
}

/// Why a certificate and a key are no identity.
pub fn describe_identity(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InconsistentKeys(_) => "the key does not belong to the certificate".to_owned(),
        error => error.to_string(),
    }
}

/// Speaks TLS on a connected stream to `host`.
///
/// # Errors
/// Says whose certificate is refused, and why.
pub async fn connect(
    options: &TlsOptions,
    host: &str,
    alpn: &[&[u8]],
    stream: Stream,
) -> Result<(Stream, TlsFacts), TransportError> {
    let name = server_name(options, host)?;
    let config = Arc::new(client_config(options, alpn)?);
    let stream = tokio_rustls::TlsConnector::from(config).connect(name, stream).await.map_err(|error| {
        failure(options, &error).unwrap_or_else(|| {
            let why = if error.kind() == io::ErrorKind::UnexpectedEof {
                "the server closed the connection in the middle of the handshake; it may speak no TLS on this port".to_owned()
            } else {
                error.to_string()
            };
            TransportError::Tls(format!("TLS: {why}"))
        })
    })?;
    let session = stream.get_ref().1;
    let facts = TlsFacts {
        version: session.protocol_version().map_or("", version_name).to_owned(),
        cipher: session
            .negotiated_cipher_suite()
            .map(|suite| format!("{:?}", suite.suite()))
            .unwrap_or_default(),
        alpn: String::from_utf8_lossy(session.alpn_protocol().unwrap_or_default()).into_owned(),
    };
    // One type with and without TLS: everything above it is in the library once.
    Ok((Box::new(stream), facts))
}

fn version_name(version: rustls::ProtocolVersion) -> &'static str {
    match version {
        rustls::ProtocolVersion::TLSv1_2 => "TLSv1.2",
        rustls::ProtocolVersion::TLSv1_3 => "TLSv1.3",
        _ => "TLS",
    }
}

/// What of an I/O error is the fault of TLS. A server that speaks TLS 1.3 refuses the client's
/// certificate only after the handshake.
pub fn failure(options: &TlsOptions, error: &io::Error) -> Option<TransportError> {
    let error = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    Some(TransportError::Tls(format!("TLS: {}", describe(options, error))))
}

/// Says whose certificate is not taken, and why.
pub fn describe(options: &TlsOptions, error: &rustls::Error) -> String {
    use rustls::Error as E;
    match error {
        E::InvalidCertificate(CertificateError::UnknownIssuer) => {
            let trusted = if options.ca.is_some() { "of the given CA" } else { "that the system trusts" };
            format!("the server's certificate is refused: its issuer is none {trusted} (unknown issuer)")
        }
        E::InvalidCertificate(CertificateError::NotValidForNameContext { expected, presented }) => {
            let names = if presented.is_empty() { "no name".to_owned() } else { presented.join(", ") };
            format!(
                "the server's certificate is refused: it is not for {:?} but for {names}",
                expected.to_str()
            )
        }
        E::InvalidCertificate(error) => format!("the server's certificate is refused: {error}"),
        E::AlertReceived(alert) => describe_alert(options, *alert),
        E::InvalidMessage(_) => format!("the server does not speak TLS: {error}"),
        error => error.to_string(),
    }
}

fn describe_alert(options: &TlsOptions, alert: AlertDescription) -> String {
    use AlertDescription as A;
    let ours = match alert {
        A::CertificateRequired => true,
        A::BadCertificate
        | A::UnsupportedCertificate
        | A::CertificateRevoked
        | A::CertificateExpired
        | A::CertificateUnknown
        | A::UnknownCA
        | A::AccessDenied
        | A::DecryptError => options.chain.is_some(),
        _ => false,
    };
    match (ours, options.chain.is_some()) {
        (true, true) => format!("the server refuses the client's certificate: {alert:?}"),
        (true, false) => {
            "the server demands a client certificate, and none is set (CertificateRequired)".to_owned()
        }
        (false, _) => format!("the server refuses: {alert:?}"),
    }
}

fn roots(options: &TlsOptions) -> Result<Arc<RootCertStore>, TransportError> {
    let Some(ca) = &options.ca else { return system_roots() };
    let mut roots = RootCertStore::empty();
    for certificate in ca {
        roots
            .add(certificate.clone())
            .map_err(|error| TransportError::Tls(format!("TLS CA certificate: {error}")))?;
    }
    Ok(Arc::new(roots))
}

/// The certificates that the system trusts. Read once: they are many, and read from files.
fn system_roots() -> Result<Arc<RootCertStore>, TransportError> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    if let Some(roots) = ROOTS.get() {
        return Ok(roots.clone());
    }
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found.errors.first().map(|error| format!(": {error}")).unwrap_or_default();
        return Err(TransportError::Tls(format!("TLS: the system has no trusted certificates{why}")));
    }
    Ok(ROOTS.get_or_init(|| Arc::new(roots)).clone())
}

/// Takes every certificate; still insists that the server holds its key.
#[derive(Debug)]
struct TakeAny {
    algorithms: WebPkiSupportedAlgorithms,
}

impl TakeAny {
    fn new(provider: &CryptoProvider) -> Self {
        Self { algorithms: provider.signature_verification_algorithms }
    }
}

impl ServerCertVerifier for TakeAny {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

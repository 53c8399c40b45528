//! TLS for clients: whom to trust, and who we are (docs/protocol/transport.md §9).

use std::fmt;
use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

use super::TransportError;

/// Settings of TLS. The default trusts what the system trusts.
#[derive(Clone, Default)]
pub struct TlsOptions {
    /// Certificates to trust instead of those of the system.
    pub ca: Option<Vec<CertificateDer<'static>>>,
    /// What to show a server that asks who we are.
    pub identity: Option<Arc<Identity>>,
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
            .field("identity", &self.identity.is_some())
            .field("server_name", &self.server_name)
            .field("insecure", &self.insecure)
            .finish()
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
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| format!("private key: {error}"))?;
        Ok(Self { chain: certificates(chain)?, key })
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
    Ok(certificates)
}

/// Name to verify the certificate of `host` against.
///
/// # Errors
/// The host is neither a DNS name nor an IP address.
pub fn server_name(options: &TlsOptions, host: &str) -> Result<ServerName<'static>, TransportError> {
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
    let tls = |what: &str, error: &dyn fmt::Display| TransportError::Tls(format!("{what}: {error}"));
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| tls("TLS", &error))?;
    let builder = if options.insecure {
        tracing::warn!("TLS: the server's certificate is NOT verified; anybody can pretend to be the server");
        builder.dangerous().with_custom_certificate_verifier(Arc::new(TakeAny::new(&provider)))
    } else {
        builder.with_root_certificates(roots(options)?)
    };
    let mut config = match options.identity.as_deref() {
        None => builder.with_no_client_auth(),
        Some(identity) => builder
            .with_client_auth_cert(identity.chain.clone(), identity.key.clone_key())
            .map_err(|error| tls("TLS client certificate", &error))?,
    };
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Ok(config)
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

//! TLS of the server's side.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use iscp::transport::tls::{Identity, certificates, describe_identity};
use rustls::crypto::ring;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::CertificateDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::StartError;

/// How long, and for how many bytes, a client that was refused is still listened to.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: u64 = 64 * 1024;

/// Who the server is, and which clients it takes.
#[derive(Clone)]
pub struct TlsIdentity {
    identity: Arc<Identity>,
    client_ca: Option<Vec<CertificateDer<'static>>>,
}

impl fmt::Debug for TlsIdentity {
    /// Leaves out the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsIdentity").field("client_ca", &self.client_ca.is_some()).finish_non_exhaustive()
    }
}

impl TlsIdentity {
    /// Reads a certificate with its chain, and its key, from PEM texts.
    ///
    /// # Errors
    /// Says what is missing or broken, or that the two do not belong together.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, StartError> {
        let identity = Identity::from_pem(chain, key).map_err(StartError::Certificate)?;
        let identity = Self { identity: Arc::new(identity), client_ca: None };
        identity.server_config(&[])?;
        Ok(identity)
    }

    /// Takes only clients with a certificate that one of those in a PEM text vouches for.
    ///
    /// # Errors
    /// Says what is missing or broken.
    pub fn require_clients(mut self, ca: &[u8]) -> Result<Self, StartError> {
        self.client_ca = Some(certificates(ca).map_err(StartError::Certificate)?);
        Ok(self)
    }

    /// Whether clients without a certificate are refused.
    pub(super) fn demands_clients(&self) -> bool {
        self.client_ca.is_some()
    }

    /// Configuration of a server that speaks `alpn`. Clients that name no protocol are taken by
    /// transports that can do without (docs/protocol/transport.md §9).
    pub(super) fn server_config(&self, alpn: &[&[u8]]) -> Result<ServerConfig, StartError> {
        let unusable = |error: &dyn fmt::Display| StartError::Certificate(error.to_string());
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| unusable(&error))?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(ca) => {
                let mut roots = RootCertStore::empty();
                for certificate in ca {
                    roots.add(certificate.clone()).map_err(|error| unusable(&error))?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                    .build()
                    .map_err(|error| unusable(&error))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder
            .with_single_cert(self.identity.chain.clone(), self.identity.key.clone_key())
            .map_err(|error| StartError::Certificate(describe_identity(&error)))?;
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        Ok(config)
    }
}

/// Speaks TLS on a connected stream. A client that is refused gets the time to read why: closing a socket
/// with unread data would discard it.
pub(super) async fn accept(acceptor: &TlsAcceptor, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
    let (error, mut stream) = match acceptor.accept(stream).into_fallible().await {
        Ok(stream) => return Ok(stream),
        Err(failed) => failed,
    };
    let linger = async {
        stream.shutdown().await?;
        tokio::io::copy(&mut stream.take(LINGER_BYTES), &mut tokio::io::sink()).await
    };
    let _ = tokio::time::timeout(LINGER, linger).await;
    Err(error)
}

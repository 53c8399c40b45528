//! TLS of the server's side.

use std::fmt;
use std::sync::Arc;

use iscp::transport::tls::{Identity, certificates};
use rustls::crypto::ring;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::CertificateDer;

use super::StartError;

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
    /// Says what is missing or broken.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, StartError> {
        let identity = Identity::from_pem(chain, key).map_err(StartError::Certificate)?;
        Ok(Self { identity: Arc::new(identity), client_ca: None })
    }

    /// Takes only clients with a certificate that one of those in a PEM text vouches for.
    ///
    /// # Errors
    /// Says what is missing or broken.
    pub fn require_clients(mut self, ca: &[u8]) -> Result<Self, StartError> {
        self.client_ca = Some(certificates(ca).map_err(StartError::Certificate)?);
        Ok(self)
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
            .map_err(|error| unusable(&error))?;
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        Ok(config)
    }
}

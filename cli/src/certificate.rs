//! The certificate of the broker: from files, or made on the spot.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use iscp::transport::tls::{certificates, private_key, server_name_of};
use iscp_broker::TlsIdentity;
use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair};
use sha2::{Digest, Sha256};

use crate::args::CertificateArgs;
use crate::connect_args::{read, refused};
use crate::failure::Failure;

/// How long a self-signed certificate is valid: longer than anybody tries something out.
const VALID: Duration = Duration::from_secs(365 * 24 * 3600);
/// How far the clocks of clients may be behind.
const CLOCK_MARGIN: Duration = Duration::from_secs(24 * 3600);

/// A certificate that is ready for use.
pub(crate) struct Prepared {
    pub(crate) identity: TlsIdentity,
    /// SHA-256 of a self-signed certificate, for clients that want to compare.
    pub(crate) fingerprint: Option<String>,
}

/// The certificate that the command line asks for, if it does.
pub(crate) fn prepare(args: &CertificateArgs) -> Result<Option<Prepared>, Failure> {
    let prepared = match (&args.tls_cert, &args.tls_key) {
        (Some(cert), Some(key)) => Some(load(cert, key)?),
        _ if args.self_signed => Some(make(args)?),
        _ => None,
    };
    let Some(mut prepared) = prepared else { return Ok(None) };
    let demand =
        |pem: &[u8]| prepared.identity.clone().require_clients(pem).map_err(|error| error.to_string());
    if let Some(identity) = read("--tls-client-ca", args.tls_client_ca.as_deref(), demand)? {
        prepared.identity = identity;
    }
    Ok(Some(prepared))
}

fn load(cert: &Path, key: &Path) -> Result<Prepared, Failure> {
    let keep = |pem: &[u8]| Ok(pem.to_vec());
    // Both are checked alone first, so that the error names the one that is wrong.
    let chain = read("--tls-cert", Some(cert), |pem| {
        certificates(pem)?;
        keep(pem)
    })?;
    let secret = read("--tls-key", Some(key), |pem| {
        private_key(pem)?;
        keep(pem)
    })?;
    let identity = TlsIdentity::from_pem(&chain.unwrap_or_default(), &secret.unwrap_or_default())
        .map_err(|error| refused("--tls-key", key.display(), &format!("{error}, {}", cert.display())))?;
    Ok(Prepared { identity, fingerprint: None })
}

fn make(args: &CertificateArgs) -> Result<Prepared, Failure> {
    let failed = |error: rcgen::Error| Failure::new(format!("--self-signed: {error}"));
    let mut names: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into();
    if let Some(host) = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok())
        && server_name_of(&host).is_ok()
    {
        names.push(host);
    }
    for name in &args.self_signed_name {
        server_name_of(name).map_err(|why| refused("--self-signed-name", name, &why))?;
        names.push(name.clone());
    }
    names.sort();
    names.dedup();
    let mut params = CertificateParams::new(names).map_err(failed)?;
    params.distinguished_name = DistinguishedName::new();
    // A name of its own: a client that trusts an earlier certificate then hears that the issuer is unknown,
    // rather than that a signature is wrong.
    let name = format!("iscp broker, self-signed {}", uuid::Uuid::new_v4().simple());
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
    let now = SystemTime::now();
    params.not_before = (now - CLOCK_MARGIN).into();
    params.not_after = (now + VALID).into();
    let key = KeyPair::generate().map_err(failed)?;
    let certificate = params.self_signed(&key).map_err(failed)?;
    let pem = certificate.pem();
    if let Some(path) = &args.self_signed_pem {
        fs::write(path, &pem).map_err(|error| refused("--self-signed-pem", path.display(), &error))?;
    }
    let identity = TlsIdentity::from_pem(pem.as_bytes(), key.serialize_pem().as_bytes())
        .map_err(|error| Failure::new(format!("--self-signed: {error}")))?;
    Ok(Prepared { identity, fingerprint: Some(fingerprint(certificate.der())) })
}

/// SHA-256 as other programs show it: pairs of digits with colons.
fn fingerprint(der: &[u8]) -> String {
    let pairs: Vec<_> = Sha256::digest(der).iter().map(|byte| format!("{byte:02X}")).collect();
    pairs.join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_written_as_openssl_does() {
        let shown = fingerprint(b"abc");
        assert!(
            shown.starts_with("BA:78:16:BF:") && shown.ends_with(":15:AD") && shown.len() == 95,
            "{shown}"
        );
    }
}

//! Why a connection did not come about, or ended.

use quinn::{ConnectionError, TransportErrorCode};

use crate::transport::dial::DialOptions;
use crate::transport::{TransportError, reason, tls};

/// Code of an orderly close in HTTP/3 (RFC 9114 §8.1).
const H3_NO_ERROR: u64 = 0x100;

pub(in crate::transport) fn closed() -> TransportError {
    TransportError::Lost("the connection is closed".to_owned())
}

/// The alert behind a code of QUIC, if it stands for one (RFC 9001 §4.8).
fn alert(code: TransportErrorCode) -> Option<u8> {
    u8::try_from(u64::from(code).checked_sub(0x100)?).ok()
}

/// Why a connection ended; `None` for an orderly end.
pub(in crate::transport) fn describe_end(error: ConnectionError) -> Option<TransportError> {
    Some(match error {
        ConnectionError::LocallyClosed => return None,
        ConnectionError::ApplicationClosed(close)
            if matches!(close.error_code.into_inner(), 0 | H3_NO_ERROR) =>
        {
            return None;
        }
        ConnectionError::ApplicationClosed(close) => TransportError::Lost(format!(
            "the peer closed the connection with code {}{}",
            close.error_code,
            reason(&close.reason)
        )),
        ConnectionError::ConnectionClosed(close) if alert(close.error_code).is_some() => {
            TransportError::Tls(format!("the peer refused the TLS handshake{}", reason(&close.reason)))
        }
        ConnectionError::TimedOut => {
            TransportError::Lost("nothing came from the peer for too long".to_owned())
        }
        other => TransportError::Lost(other.to_string()),
    })
}

/// What a server said that answered a handshake, or else in a text why there was no answer.
pub(super) fn refusal(
    options: &DialOptions,
    alpn: &[u8],
    error: &ConnectionError,
) -> Result<TransportError, String> {
    const NO_APPLICATION_PROTOCOL: u8 = 120;
    const CONNECTION_REFUSED: u64 = 2;
    Ok(match error {
        ConnectionError::ConnectionClosed(close) => match alert(close.error_code) {
            Some(NO_APPLICATION_PROTOCOL) => TransportError::Handshake(format!(
                "the server does not speak {:?} over QUIC",
                String::from_utf8_lossy(alpn)
            )),
            Some(alert) => {
                let alert = rustls::Error::AlertReceived(alert.into());
                TransportError::Tls(format!("TLS: {}", tls::describe(&options.tls, &alert)))
            }
            None if u64::from(close.error_code) == CONNECTION_REFUSED => {
                TransportError::Handshake("the server refuses the connection".to_owned())
            }
            None => TransportError::Handshake(error.to_string()),
        },
        ConnectionError::TransportError(failure) if alert(failure.code).is_some() => {
            // What the library has left of the error that TLS found.
            let why = failure.reason.strip_prefix("invalid peer certificate: ");
            TransportError::Tls(match why {
                Some("UnknownIssuer") => {
                    let unknown = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
                    format!("TLS: {}", tls::describe(&options.tls, &unknown))
                }
                Some(why) => format!("TLS: the server's certificate is refused: {why}"),
                None => format!("TLS: {}", failure.reason),
            })
        }
        ConnectionError::TimedOut => return Err("no answer".to_owned()),
        ConnectionError::VersionMismatch => {
            TransportError::Handshake("the server does not speak version 1 of QUIC".to_owned())
        }
        other => return Err(other.to_string()),
    })
}

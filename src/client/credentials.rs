//! What shows the server who we are, gathered anew before every attempt to connect.

use std::future::Future;
use std::mem::take;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use tokio::time::timeout;

use super::dispatcher::Dispatcher;
#[cfg(feature = "oauth2")]
use super::oauth2::OAuth2;
use super::options::ConnectOptions;
use super::token::TokenSource;
use crate::error::{Error, Result, Status};
use crate::transport::dial::DialOptions;
use crate::transport::{Scheme, Target};

const ACCESS_TOKEN: &str = "access token";
const HEADER_TOKEN: &str = "header token";

/// The sources of a connection's tokens.
pub(super) struct Credentials {
    token: TokenSource,
    header_token: TokenSource,
    header_token_name: HeaderName,
    #[cfg(feature = "oauth2")]
    oauth2: OAuth2,
}

/// Whether the header token may go into a header of this name.
///
/// # Errors
/// The header makes a request a handshake of WebSocket or WebTransport, or one of HTTP at all.
pub(crate) fn check_header_token_name(name: &HeaderName) -> Result<(), String> {
    const PREFIXES: [&str; 2] = ["sec-websocket-", "sec-webtransport-"];
    const NAMES: [&str; 11] = [
        "connection",
        "content-length",
        "host",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "wt-available-protocols",
        "wt-protocol",
    ];
    if PREFIXES.iter().any(|prefix| name.as_str().starts_with(prefix)) || NAMES.contains(&name.as_str()) {
        return Err(format!("the handshake itself uses the header {name}"));
    }
    Ok(())
}

/// Finds what cannot work together.
pub(super) fn check(options: &ConnectOptions, target: &Target) -> Result<()> {
    let invalid = |why: String| Err(Error::new(Status::InvalidOption, format!("connect: {why}")));
    #[cfg(feature = "oauth2")]
    if options.oauth2.is_set() {
        if !matches!(options.token, TokenSource::None) {
            return invalid(
                "there is an access token or a token callback, and an OAuth2 server too".to_owned(),
            );
        }
        if let Err(why) = options.oauth2.check() {
            return invalid(why);
        }
    }
    if let Err(why) = check_header_token_name(&options.header_token_name) {
        return invalid(format!("name of the header token: {why}"));
    }
    if !matches!(options.header_token, TokenSource::None)
        && let Some(target) = options.dial.targets(target).iter().find(|target| target.scheme == Scheme::Quic)
    {
        return invalid(format!("{target}: QUIC has no headers, so there is no place for the header token"));
    }
    Ok(())
}

impl Credentials {
    /// Takes the sources out of the options, so that the application's callbacks are dropped where it is
    /// expected.
    pub(super) fn take(options: &mut ConnectOptions) -> Self {
        Self {
            token: take(&mut options.token),
            header_token: take(&mut options.header_token),
            header_token_name: options.header_token_name.clone(),
            #[cfg(feature = "oauth2")]
            oauth2: take(&mut options.oauth2),
        }
    }

    /// Whether the application is asked.
    pub(super) fn are_asked_for(&self) -> bool {
        [&self.token, &self.header_token].iter().any(|source| matches!(source, TokenSource::Callback(_)))
    }

    /// The access token, empty when there is none; that of the header goes into the options.
    pub(super) async fn gather(
        &self,
        target: &Target,
        dial: &mut DialOptions,
        limit: Duration,
        dispatcher: &Dispatcher,
    ) -> Result<String> {
        let header = self.header_token.token(HEADER_TOKEN, dispatcher);
        if let Some(token) = within(limit, HEADER_TOKEN, header).await? {
            let mut value = HeaderValue::from_str(&token).map_err(|_| {
                let why = format!("{HEADER_TOKEN}: it has characters that no HTTP header takes");
                Error::new(Status::TokenFailed, why)
            })?;
            value.set_sensitive(true);
            dial.headers.insert(self.header_token_name.clone(), value);
        }
        #[cfg(feature = "oauth2")]
        if self.oauth2.is_set() {
            return within(limit, ACCESS_TOKEN, self.oauth2.token(target, dial)).await;
        }
        let _ = target;
        let token = self.token.token(ACCESS_TOKEN, dispatcher);
        Ok(within(limit, ACCESS_TOKEN, token).await?.unwrap_or_default())
    }

    /// The server did not take an access token that was [gathered](Self::gather).
    #[cfg(feature = "oauth2")]
    pub(super) fn refused(&self, token: &str) {
        self.oauth2.forget(token);
    }
}

async fn within<T>(limit: Duration, what: &str, source: impl Future<Output = Result<T>>) -> Result<T> {
    timeout(limit, source).await.unwrap_or_else(|_| {
        let why = format!("{what}: its source took longer than {limit:?}");
        Err(Error::new(Status::TokenFailed, why).retriable())
    })
}

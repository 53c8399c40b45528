//! Access tokens from an OAuth2 server, by client credentials (RFC 6749 §4.4; docs/protocol/behaviour.md
//! §1.4).

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use http::header::HOST;
use http::{StatusCode, Uri};
use http_body_util::{BodyExt, Limited};
use oauth2::basic::BasicClient;
use oauth2::{
    AsyncHttpClient, ClientId, ClientSecret, HttpRequest, HttpResponse, RequestTokenError, Scope,
    TokenResponse, TokenUrl,
};
use tokio::sync::Mutex;

use crate::error::{Error, Result, Status};
use crate::transport::dial::{self, DialOptions, Stream};
use crate::transport::http1::{describe, drive, handshake};
use crate::transport::{Target, TransportError, redacted, tls};

/// Bytes of an answer that are read at most, of its headers and of the rest each.
const MAX_ANSWER: usize = 64 * 1024;

/// A token is not used any more when less than this is left of its life, or a quarter of it if that is
/// less: it must still be valid when the server looks at it.
const MARGIN: Duration = Duration::from_secs(60);

/// What the server says about an error is quoted up to this length.
const MAX_QUOTE: usize = 200;

/// How to get a token.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct OAuth2Settings {
    /// Address of the token endpoint.
    pub token_url: String,
    /// Id of the client.
    pub client_id: String,
    /// Secret of the client.
    pub client_secret: String,
    /// Scopes to ask for, separated by spaces.
    pub scope: String,
}

impl fmt::Debug for OAuth2Settings {
    /// Leaves out the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OAuth2Settings")
            .field("token_url", &redacted(&self.token_url))
            .field("client_id", &self.client_id)
            .field("client_secret", &!self.client_secret.is_empty())
            .field("scope", &self.scope)
            .finish()
    }
}

/// An OAuth2 server and the token it gave last. Clones share the token, so that a connection that comes
/// back does not ask again.
#[derive(Clone, Default)]
pub struct OAuth2 {
    settings: OAuth2Settings,
    cache: Arc<Cache>,
}

/// The token that the server gave last.
#[derive(Default)]
struct Cache {
    /// Held while the server is asked, so that connections that begin together ask once.
    asking: Mutex<()>,
    token: std::sync::Mutex<Option<Cached>>,
}

impl Cache {
    fn lock(&self) -> MutexGuard<'_, Option<Cached>> {
        self.token.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The token, if it is still good for a while.
    fn get(&self) -> Option<String> {
        let cached = self.lock();
        let Cached { token, until } = cached.as_ref()?;
        (Instant::now() < until.0 && SystemTime::now() < until.1).then(|| token.clone())
    }
}

impl fmt::Debug for OAuth2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.settings.fmt(f)
    }
}

struct Cached {
    token: String,
    /// Both clocks decide: one stops while the system sleeps, the other can be set.
    until: (Instant, SystemTime),
}

impl OAuth2 {
    /// The settings.
    pub fn settings(&self) -> &OAuth2Settings {
        &self.settings
    }

    /// Changes settings; tokens that were got with others are forgotten.
    pub fn set(&mut self, change: impl FnOnce(&mut OAuth2Settings)) {
        change(&mut self.settings);
        self.cache = Arc::default();
    }

    /// Whether there is an OAuth2 server.
    pub fn is_set(&self) -> bool {
        self.settings != OAuth2Settings::default()
    }

    /// Finds what is missing.
    ///
    /// # Errors
    /// Names the option.
    pub fn check(&self) -> Result<(), String> {
        let OAuth2Settings { token_url, client_id, client_secret, scope: _ } = &self.settings;
        for (name, value) in [
            ("oauth2_token_url", token_url),
            ("oauth2_client_id", client_id),
            ("oauth2_client_secret", client_secret),
        ] {
            if value.is_empty() {
                return Err(format!("OAuth2: the option {name} is missing"));
            }
        }
        check_url(token_url).map_err(|why| format!("option oauth2_token_url: {why}"))
    }

    /// Whether a text is the address of a token endpoint.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn check_url(text: &str) -> Result<(), String> {
        check_url(text)
    }

    /// A token that is still good for a while. `target` is the server it is for.
    pub(super) async fn token(&self, target: &Target, dial: &DialOptions) -> Result<String> {
        let _asking = self.cache.asking.lock().await;
        if let Some(token) = self.cache.get() {
            return Ok(token);
        }
        *self.cache.lock() = None;
        // Counted from before the question: how long the answer was under way is unknown.
        let asked = (Instant::now(), SystemTime::now());
        let (token, life) = self.ask(target, dial).await?;
        tracing::info!("access token from {}, good for {life:?}", self.settings.token_url);
        // One without a known end may have ended the next time.
        if let Some(use_for) = life.map(|life| life - MARGIN.min(life / 4))
            && let Some(until) = asked.0.checked_add(use_for).zip(asked.1.checked_add(use_for))
        {
            *self.cache.lock() = Some(Cached { token: token.clone(), until });
        }
        Ok(token)
    }

    /// Forgets a token that the server did not take, unless it was replaced since.
    pub(super) fn forget(&self, refused: &str) {
        self.cache.lock().take_if(|cached| cached.token == refused);
    }

    async fn ask(&self, target: &Target, dial: &DialOptions) -> Result<(String, Option<Duration>)> {
        let OAuth2Settings { token_url, client_id, client_secret, scope } = &self.settings;
        let failed = |why: String| {
            Error::new(Status::TokenFailed, format!("access token: OAuth2 server {token_url}: {why}"))
        };
        let url = TokenUrl::new(token_url.clone()).map_err(|error| failed(error.to_string()))?;
        let client = BasicClient::new(ClientId::new(client_id.clone()))
            .set_client_secret(ClientSecret::new(client_secret.clone()))
            .set_token_uri(url);
        let http = Http { target: target.clone(), options: dial.clone(), status: AtomicU16::new(0) };
        let scopes = scope.split_ascii_whitespace().map(|scope| Scope::new(scope.to_owned()));
        let answer = client.exchange_client_credentials().add_scopes(scopes).request_async(&http).await;
        let status = StatusCode::from_u16(http.status.load(Relaxed)).unwrap_or_default();
        let may_recover = status.is_server_error();
        let failed = |why| if may_recover { failed(why).retriable() } else { failed(why) };
        let answer = answer.map_err(|error| match error {
            RequestTokenError::ServerResponse(refusal) => {
                let about = refusal.error_description().map(|text| format!(": {}", quote(text)));
                let error = quote(refusal.error().as_ref());
                failed(format!("it refuses with {error}{} (HTTP {status})", about.unwrap_or_default()))
            }
            RequestTokenError::Request(error) => unreachable(&error, failed(error.to_string())),
            // The answer itself may hold a token, and is not quoted.
            RequestTokenError::Parse(error, _) => {
                failed(format!("its answer, HTTP {status}, holds no token: {}", quote(&error.to_string())))
            }
            RequestTokenError::Other(why) => {
                failed(format!("its answer, HTTP {status}, holds no token: {}", quote(&why)))
            }
        })?;
        let token = answer.access_token().secret().clone();
        if token.is_empty() {
            return Err(failed("the token it gave is empty".to_owned()));
        }
        Ok((token, answer.expires_in()))
    }
}

/// Whether the server may be reached later.
fn unreachable(cause: &TransportError, error: Error) -> Error {
    match cause {
        TransportError::Resolve(_) | TransportError::Connect(_) | TransportError::Lost(_) => {
            error.retriable()
        }
        _ => error,
    }
}

fn check_url(text: &str) -> Result<(), String> {
    let shown = redacted(text);
    let uri: Uri = text.parse().map_err(|error| format!("{shown:?}: {error}"))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(format!("{shown:?} does not begin with https:// or http://"));
    }
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err(
            "user and password do not belong here, but the id and secret into their own options".to_owned()
        );
    }
    if uri.host().is_none_or(|host| host.is_empty() || host == "[]") {
        return Err(format!("{shown:?} has no host"));
    }
    TokenUrl::new(text.to_owned()).map_err(|error| format!("{shown:?}: {error}")).map(drop)
}

/// A text of the server, of bounded length and in one line.
fn quote(text: &str) -> String {
    text.chars().take(MAX_QUOTE).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Brings a request to the server.
struct Http {
    target: Target,
    options: DialOptions,
    /// Of the answer; 0 before it.
    status: AtomicU16,
}

impl<'c> AsyncHttpClient<'c> for Http {
    type Error = TransportError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, TransportError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(async move {
            let response = self.send(request).await?;
            self.status.store(response.status().as_u16(), Relaxed);
            Ok(response)
        })
    }
}

impl Http {
    /// Sends a request and reads the answer. Redirects are not followed: they would carry the secret to
    /// somewhere else.
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, TransportError> {
        let uri = request.uri();
        let secure = uri.scheme_str() == Some("https");
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let (stream, _) = dial::stream(&host, port, secure, &self.options).await?;
        if !secure {
            tracing::warn!(
                "OAuth2: {host}:{port} gets the client's secret without TLS; anybody on the way can read it"
            );
            return exchange(request, stream).await;
        }
        let mut settings = self.options.tls.clone();
        if !host.eq_ignore_ascii_case(&self.target.host) {
            // Both are about the other server. Whoever gives up knowing that one does not mean to show the
            // secret to anybody who answers here.
            settings.server_name = None;
            settings.insecure = false;
        }
        let (stream, _) = tls::connect(&settings, &host, &[b"http/1.1"], stream).await?;
        exchange(request, stream).await
    }
}

async fn exchange(request: HttpRequest, stream: Stream) -> Result<HttpResponse, TransportError> {
    let lost = |error: hyper::Error| TransportError::Lost(format!("no answer: {}", describe(&error)));
    let (mut head, body) = request.into_parts();
    if let Some(authority) = head.uri.authority().map(|authority| authority.as_str().to_owned()) {
        let host = http::HeaderValue::from_str(&authority)
            .map_err(|error| TransportError::Setting(error.to_string()))?;
        head.headers.insert(HOST, host);
    }
    let path = head.uri.path_and_query().cloned();
    head.uri = path.map_or_else(|| Uri::from_static("/"), Uri::from);
    // A form, which is ASCII.
    let body = String::from_utf8(body).map_err(|error| TransportError::Setting(error.to_string()))?;
    let (mut sender, connection) = handshake(stream, MAX_ANSWER).await.map_err(lost)?;
    let request = http::Request::from_parts(head, body);
    drive(connection, async {
        let (head, body) = sender.send_request(request).await.map_err(lost)?.into_parts();
        if head.status.is_redirection() {
            let why = format!("it answered HTTP {}, and redirects are not followed", head.status);
            return Err(TransportError::Handshake(why));
        }
        let body = Limited::new(body, MAX_ANSWER).collect().await.map_err(|error| {
            match error.downcast::<hyper::Error>() {
                Ok(error) => lost(*error),
                Err(_) => TransportError::Malformed(format!("its answer is longer than {MAX_ANSWER} bytes")),
            }
        })?;
        Ok(HttpResponse::from_parts(head, body.to_bytes().into()))
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn knowing(token: &str) -> OAuth2 {
        let later = Duration::from_secs(60);
        let oauth2 = OAuth2::default();
        let until = (Instant::now() + later, SystemTime::now() + later);
        *oauth2.cache.lock() = Some(Cached { token: token.to_owned(), until });
        oauth2
    }

    #[test]
    fn international_names_of_servers_are_written_in_ascii() {
        assert_eq!(check_url("https://xn--bcher-kva.example:8443/token"), Ok(()));
        let error = check_url("https://b\u{fc}cher.example/token").unwrap_err();
        assert!(error.contains("b\u{fc}cher.example"), "{error}");
    }

    #[test]
    fn only_the_token_that_was_refused_is_forgotten_and_at_once() {
        let oauth2 = knowing("fresh");
        // Somebody asks for another meanwhile.
        let asking = oauth2.cache.asking.try_lock().unwrap();
        oauth2.forget("stale");
        assert_eq!(oauth2.cache.get().as_deref(), Some("fresh"));
        oauth2.forget("fresh");
        assert_eq!(oauth2.cache.get(), None);
        drop(asking);
    }
}

//! A token endpoint for development: it gives the clients it knows access tokens by their credentials
//! (RFC 6749 §4.4), and the broker takes those until they end. It stores nothing.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::header::{
    ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue, WWW_AUTHENTICATE,
};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use percent_encoding::percent_decode_str;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tracing::{debug, info, warn};

use super::{ServerConfig, StartError, driver, tls};
use crate::core::{Environment, SystemEnvironment, TokenCheck, same_secret};

/// Path of the endpoint, that of intdash servers (docs/protocol/behaviour.md §1.4).
const PATH: &str = "/api/auth/oauth2/token";
/// Bytes of a request's form that are read at most, and of its headers.
const MAX_FORM: usize = 16 * 1024;
/// Connections at one time.
const MAX_CONNECTIONS: usize = 256;
/// How long one connection may last, all its requests included.
const CONNECTION_LIMIT: Duration = Duration::from_secs(30);
/// Tokens that are valid at one time.
const MAX_TOKENS: usize = 10_000;

/// Settings of a token endpoint.
#[derive(Clone)]
pub struct OAuth2Config {
    /// Addresses of which the first that can be had is taken; port 0 takes a free one.
    pub addresses: Vec<SocketAddr>,
    /// Ids of clients and their secrets.
    pub clients: Vec<(String, String)>,
    /// How long a token is valid, in whole seconds. Default 1 h.
    pub token_lifetime: Duration,
}

impl Default for OAuth2Config {
    fn default() -> Self {
        Self {
            addresses: vec![([127, 0, 0, 1], 0).into()],
            clients: Vec::new(),
            token_lifetime: Duration::from_secs(3600),
        }
    }
}

impl fmt::Debug for OAuth2Config {
    /// Leaves out the secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OAuth2Config")
            .field("addresses", &self.addresses)
            .field("clients", &self.clients.iter().map(|(id, _)| id).collect::<Vec<_>>())
            .field("token_lifetime", &self.token_lifetime)
            .finish()
    }
}

/// The tokens that are valid, and when each ends.
#[derive(Default)]
struct Issued(Mutex<HashMap<String, Instant>>);

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Issued")
    }
}

impl TokenCheck for Issued {
    fn accepts(&self, token: &str, now: Instant) -> bool {
        // Looked up by a keyed hash, so that time tells nothing of tokens that resemble this one.
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(token).is_some_and(|end| now < *end)
    }
}

impl Issued {
    /// A new token; `None` when too many are valid.
    fn issue(&self, lifetime: Duration, now: Instant) -> Option<String> {
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.retain(|_, end| now < *end);
        if tokens.len() >= MAX_TOKENS {
            return None;
        }
        let random = [SystemEnvironment.random(), SystemEnvironment.random()].concat();
        let token = URL_SAFE_NO_PAD.encode(random);
        tokens.insert(token.clone(), now + lifetime);
        Some(token)
    }
}

/// An endpoint that has its address.
pub(super) struct TokenEndpoint {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<TlsAcceptor>,
    desk: Arc<Desk>,
}

impl TokenEndpoint {
    /// Listens at the first address that can be had, with TLS if the server has a certificate.
    pub(super) fn open(oauth2: &OAuth2Config, server: &ServerConfig) -> Result<Self, StartError> {
        if oauth2.clients.iter().any(|(id, secret)| id.is_empty() || secret.is_empty()) {
            return Err(StartError::EmptyClient);
        }
        let tls = match &server.tls {
            None => None,
            Some(identity) => Some(TlsAcceptor::from(Arc::new(identity.server_config(&[b"http/1.1"])?))),
        };
        let (address, listener) = driver::first(&oauth2.addresses, driver::listen)?;
        let desk = Desk {
            clients: oauth2.clients.clone(),
            lifetime: Duration::from_secs(oauth2.token_lifetime.as_secs()),
            issued: Arc::default(),
        };
        Ok(Self { listener, address, tls, desk: Arc::new(desk) })
    }

    pub(super) fn url(&self) -> String {
        format!("{}://{}{PATH}", if self.tls.is_some() { "https" } else { "http" }, self.address)
    }

    /// Knows the tokens.
    pub(super) fn issued(&self) -> Arc<dyn TokenCheck> {
        self.desk.issued.clone()
    }

    /// Serves clients for ever.
    pub(super) async fn run(self) {
        let mut connections = JoinSet::new();
        loop {
            let (stream, address) = driver::accept(&self.listener).await;
            while connections.try_join_next().is_some() {}
            if connections.len() >= MAX_CONNECTIONS {
                warn!(%address, "too many connections to the token endpoint");
                continue;
            }
            let (tls, desk) = (self.tls.clone(), Arc::clone(&self.desk));
            connections.spawn(async move {
                let served = timeout(CONNECTION_LIMIT, async {
                    match tls {
                        None => serve(stream, desk).await,
                        Some(tls) => match tls::accept(&tls, stream).await {
                            Ok(stream) => serve(stream, desk).await,
                            Err(error) => debug!(%address, %error, "token endpoint: TLS handshake failed"),
                        },
                    }
                });
                if served.await.is_err() {
                    debug!(%address, "token endpoint: the connection took too long");
                }
            });
        }
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, desk: Arc<Desk>) {
    let service = service_fn(|request| {
        let desk = Arc::clone(&desk);
        async move { Ok::<_, Infallible>(desk.answer(request).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .max_buf_size(MAX_FORM)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = served.await {
        debug!(%error, "token endpoint: connection lost");
    }
}

/// Who gives tokens to whom.
struct Desk {
    clients: Vec<(String, String)>,
    lifetime: Duration,
    issued: Arc<Issued>,
}

impl Desk {
    async fn answer(&self, request: Request<Incoming>) -> Response<String> {
        if request.uri().path() != PATH {
            return text(StatusCode::NOT_FOUND, format!("the token endpoint is {PATH}\n"));
        }
        if request.method() != Method::POST {
            let mut response =
                text(StatusCode::METHOD_NOT_ALLOWED, "a token is asked for with POST\n".to_owned());
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
            return response;
        }
        let (head, body) = request.into_parts();
        let Ok(body) = Limited::new(body, MAX_FORM).collect().await else {
            return refusal(StatusCode::PAYLOAD_TOO_LARGE, "invalid_request", "the form is too long");
        };
        let form: Vec<_> = form_urlencoded::parse(&body.to_bytes()).into_owned().collect();
        self.grant(&head.headers, &form)
    }

    fn grant(&self, headers: &HeaderMap, form: &[(String, String)]) -> Response<String> {
        let field = |name: &str| form.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let Some(grant_type) = field("grant_type") else {
            return refusal(StatusCode::BAD_REQUEST, "invalid_request", "grant_type is missing");
        };
        if grant_type != "client_credentials" {
            let why = "only client_credentials is supported";
            return refusal(StatusCode::BAD_REQUEST, "unsupported_grant_type", why);
        }
        let given = basic(headers).or_else(|| {
            Some((field("client_id")?.to_owned(), field("client_secret").unwrap_or_default().to_owned()))
        });
        let Some((id, _)) = given.filter(|(id, secret)| self.knows(id, secret)) else {
            info!("token endpoint: client id or secret is wrong");
            let mut response =
                refusal(StatusCode::UNAUTHORIZED, "invalid_client", "client id or secret is wrong");
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"iscp\""));
            return response;
        };
        let Some(token) = self.issued.issue(self.lifetime, Instant::now()) else {
            return text(StatusCode::SERVICE_UNAVAILABLE, "too many tokens are valid\n".to_owned());
        };
        info!(client = %id.escape_debug(), "token endpoint: a token was issued");
        let answer =
            json!({ "access_token": token, "token_type": "Bearer", "expires_in": self.lifetime.as_secs() });
        respond(StatusCode::OK, "application/json", answer.to_string())
    }

    /// Every client is compared, and in full, so that time tells nothing.
    fn knows(&self, id: &str, secret: &str) -> bool {
        self.clients.iter().fold(false, |found, (known_id, known_secret)| {
            found | (same_secret(known_id, id) & same_secret(known_secret, secret))
        })
    }
}

/// Id and secret in the header `Authorization`, both form-encoded (RFC 6749 §2.3.1).
fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let (scheme, encoded) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (id, secret) = decoded.split_once(':')?;
    let plain = |text: &str| {
        let spaces = text.replace('+', " ");
        percent_decode_str(&spaces).decode_utf8().ok().map(|text| text.into_owned())
    };
    Some((plain(id)?, plain(secret)?))
}

/// An error as RFC 6749 §5.2 has it.
fn refusal(status: StatusCode, error: &str, description: &str) -> Response<String> {
    let answer = json!({ "error": error, "error_description": description });
    respond(status, "application/json", answer.to_string())
}

fn text(status: StatusCode, text: String) -> Response<String> {
    respond(status, "text/plain; charset=utf-8", text)
}

fn respond(status: StatusCode, kind: &'static str, body: String) -> Response<String> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn desk() -> Desk {
        Desk {
            clients: vec![("one".to_owned(), "s+c:r%t ä".to_owned()), ("two".to_owned(), "2".to_owned())],
            lifetime: Duration::from_secs(60),
            issued: Arc::default(),
        }
    }

    fn ask(desk: &Desk, authorization: Option<&str>, form: &str) -> (u16, serde_json::Value) {
        let mut headers = HeaderMap::new();
        if let Some(value) = authorization {
            headers.insert(AUTHORIZATION, value.parse().unwrap());
        }
        let form: Vec<_> = form_urlencoded::parse(form.as_bytes()).into_owned().collect();
        let response = desk.grant(&headers, &form);
        (response.status().as_u16(), serde_json::from_str(response.body()).unwrap())
    }

    #[test]
    fn credentials_are_taken_from_header_and_form() {
        let desk = desk();
        let encoded: String = form_urlencoded::byte_serialize("s+c:r%t ä".as_bytes()).collect();
        let header = format!("Basic {}", STANDARD.encode(format!("one:{encoded}")));
        let grant = "grant_type=client_credentials";
        for (header, form) in [
            (Some(header.as_str()), grant.to_owned()),
            (None, format!("{grant}&client_id=two&client_secret=2")),
            (None, format!("{grant}&client_id=one&client_secret={encoded}")),
        ] {
            let (status, answer) = ask(&desk, header, &form);
            assert_eq!(
                (status, &answer["token_type"], &answer["expires_in"]),
                (200, &"Bearer".into(), &60.into())
            );
            let token = answer["access_token"].as_str().unwrap();
            assert!(token.len() > 40 && desk.issued.accepts(token, Instant::now()), "{token}");
        }
    }

    #[test]
    fn refusals_are_those_of_the_standard() {
        let desk = desk();
        let crossed = format!("Basic {}", STANDARD.encode("one:2"));
        for (header, form, status, error) in [
            (None, "", 400, "invalid_request"),
            (None, "grant_type=password", 400, "unsupported_grant_type"),
            (None, "grant_type=client_credentials", 401, "invalid_client"),
            (None, "grant_type=client_credentials&client_id=two", 401, "invalid_client"),
            (None, "grant_type=client_credentials&client_id=two&client_secret=3", 401, "invalid_client"),
            (Some(crossed.as_str()), "grant_type=client_credentials", 401, "invalid_client"),
            (Some("Basic %"), "grant_type=client_credentials", 401, "invalid_client"),
        ] {
            let (got, answer) = ask(&desk, header, form);
            assert_eq!((got, answer["error"].as_str().unwrap()), (status, error), "{header:?} {form}");
        }
    }

    #[test]
    fn a_token_ends_and_their_number_is_limited() {
        let issued = Issued::default();
        let (now, life) = (Instant::now(), Duration::from_secs(60));
        let token = issued.issue(life, now).unwrap();
        assert!(issued.accepts(&token, now + life - Duration::from_millis(1)));
        assert!(!issued.accepts(&token, now + life));
        assert!(!issued.accepts("", now));
        for _ in 1..MAX_TOKENS {
            assert!(issued.issue(life, now).is_some());
        }
        assert!(issued.issue(life, now).is_none());
        assert!(issued.issue(life, now + life).is_some());
    }
}

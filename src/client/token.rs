//! Where access tokens come from.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::dispatcher::Dispatcher;
use crate::error::{Error, Status};

/// Source of the access token of a connection. Asked before every attempt to connect.
#[derive(Clone, Default)]
pub enum TokenSource {
    /// No token.
    #[default]
    None,
    /// Always the same.
    Static(String),
    /// Whatever the application answers. Called on the connection's dispatcher thread.
    Callback(Arc<dyn Fn(TokenRequest) + Send + Sync>),
}

impl TokenSource {
    /// The token, or why there is none; `what` for the error. Bounded by whoever waits.
    pub(super) async fn token(&self, what: &str, dispatcher: &Dispatcher) -> Result<Option<String>, Error> {
        match self {
            Self::None => Ok(None),
            Self::Static(token) => Ok(Some(token.clone())),
            Self::Callback(source) => {
                let (request, answer) = TokenRequest::new();
                let source = source.clone();
                dispatcher.post(move || source(request));
                let panicked =
                    || Error::new(Status::TokenFailed, format!("{what}: the token source panicked"));
                answer.await.map_err(|_| panicked())?.map(Some).map_err(|error| error.context(what))
            }
        }
    }
}

/// A question for a token, to be answered once, now or later, from any thread.
pub struct TokenRequest(Option<oneshot::Sender<Result<String, Error>>>);

impl TokenRequest {
    pub(super) fn new() -> (Self, oneshot::Receiver<Result<String, Error>>) {
        let (sender, receiver) = oneshot::channel();
        (Self(Some(sender)), receiver)
    }

    /// The token.
    pub fn resolve(self, token: String) {
        self.answer(Ok(token));
    }

    /// There is no token, and why.
    pub fn reject(self, reason: &str) {
        self.answer(Err(Error::new(Status::TokenFailed, format!("token source: {reason}"))));
    }

    fn answer(mut self, answer: Result<String, Error>) {
        if let Some(sender) = self.0.take() {
            // Nobody listens any more when the connection was closed or the time-out passed.
            let _ = sender.send(answer);
        }
    }
}

impl Drop for TokenRequest {
    fn drop(&mut self) {
        if let Some(sender) = self.0.take() {
            let reason = "token source: the request was dropped without an answer";
            let _ = sender.send(Err(Error::new(Status::TokenFailed, reason)));
        }
    }
}

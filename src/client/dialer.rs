//! Establishes transports, each time with fresh credentials.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::credentials::Credentials;
use super::dispatcher::Dispatcher;
use super::options::ConnectOptions;
use crate::error::{Error, Result, Status};
use crate::transport::dial::{DialOptions, dial};
use crate::transport::{Target, Transport, TransportError};

/// A transport, and the access token to introduce ourselves with.
pub(super) struct Established {
    pub(super) transport: Box<dyn Transport>,
    pub(super) token: String,
}

/// Knows the way to the server and who we are.
pub(super) struct Dialer {
    target: Target,
    options: DialOptions,
    token_timeout: Duration,
    connect_timeout: Duration,
    credentials: Credentials,
    dispatcher: Dispatcher,
}

impl Dialer {
    /// Takes the sources of tokens out of the options.
    pub(super) fn new(target: Target, options: &mut ConnectOptions, dispatcher: Dispatcher) -> Arc<Self> {
        Arc::new(Self {
            target,
            options: options.dial.clone(),
            token_timeout: options.token_timeout,
            connect_timeout: options.connect_timeout,
            credentials: Credentials::take(options),
            dispatcher,
        })
    }

    /// One attempt, bounded by the time-outs of the options.
    pub(super) async fn establish(self: Arc<Self>) -> Result<Established> {
        let Self { target, dispatcher, .. } = &*self;
        let mut options = self.options.clone();
        let token = self.credentials.gather(target, &mut options, self.token_timeout, dispatcher).await?;
        let limit = self.connect_timeout;
        let transport = timeout(limit, dial(target, &options))
            .await
            .map_err(|_| {
                let way = options.way(target);
                Error::new(Status::Timeout, format!("connect: {target} took longer than {limit:?}{way}"))
            })?
            .map_err(|error| transport_error(&error).context("connect"))?;
        Ok(Established { transport, token })
    }

    /// Whether the application is asked for tokens.
    pub(super) fn asks_application(&self) -> bool {
        self.credentials.are_asked_for()
    }

    /// The server did not take an access token.
    #[cfg(feature = "oauth2")]
    pub(super) fn refused(&self, token: &str) {
        self.credentials.refused(token);
    }
}

pub(super) fn transport_error(error: &TransportError) -> Error {
    let status = match error {
        TransportError::Resolve(_) => Status::Resolve,
        TransportError::Connect(_) => Status::ConnectFailed,
        TransportError::Handshake(_) => Status::Handshake,
        TransportError::Tls(_) => Status::Tls,
        TransportError::Setting(_) => Status::InvalidOption,
        TransportError::Lost(_) => Status::ConnectionLost,
        TransportError::Malformed(_) => Status::MalformedMessage,
    };
    Error::new(status, error.to_string())
}

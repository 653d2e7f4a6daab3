//! Between step (7) and the client's answer: the upstream has answered or failed, and the client has been sent nothing of it.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::response;
use tokio::io::{AsyncRead, AsyncWrite};

use super::answer::{Client, Refusal};
use super::config::GatewayConfig;
use super::established::{Established, Negotiated};
use crate::error::Error;
use crate::exchange::Admission;
use crate::handshake::{Declined, Switched};
use crate::header::rules::PreparedRules;
use crate::telemetry::{self, Parent};
use crate::tunnel::{Label, Listing, Tap, Timer, Tunnel};

/// A final answer of the upstream's, which the client has not been sent yet: [`Incoming::ask`](super::Incoming::ask).
///
/// Interim responses have been sent. Dropping it closes both connections.
#[must_use = "the client waits for its answer"]
pub struct Answered<S, U> {
    pub(super) client: Client<S>,
    pub(super) answer: Final<U>,
    pub(super) listing: Option<Box<Listing>>,
    pub(super) label: Option<Label>,
    pub(super) parent: Parent,
    pub(super) tap: Option<Tap>,
    pub(super) config: Arc<GatewayConfig>,
    // Last: its place is free when its connections are closed.
    pub(super) admission: Admission,
}

/// A client whose upgrade no upstream has answered, or that has left: [`Incoming::ask`](super::Incoming::ask).
///
/// Dropping it closes the client's connection.
#[must_use = "the client waits for its answer"]
pub struct Unanswered<S> {
    pub(super) client: Client<S>,
    pub(super) error: Error,
    // Last: its place is free when its connection is closed.
    pub(super) admission: Admission,
}

pub(super) enum Final<U> {
    Declined(Box<Declined>, U, Bytes),
    Switched(Box<Switched>, U, Bytes, Timer),
}

impl<U> Final<U> {
    /// What is reported of it.
    pub(super) fn observed(&self) {
        if let Final::Declined(declined, ..) = self {
            telemetry::declined(declined.status().as_u16());
        }
    }
}

impl<S, U> fmt::Debug for Answered<S, U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answered")
            .field("status", &self.head().status)
            .finish_non_exhaustive()
    }
}

impl<S> fmt::Debug for Unanswered<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unanswered")
            .field("error", &self.error)
            .finish_non_exhaustive()
    }
}

impl<S, U> Answered<S, U> {
    /// The head that the client is sent if nothing else is said: that of the upstream's answer, ready for this hop. Where the body of a
    /// declined upgrade ends with the upstream's connection, it is sent with `Transfer-Encoding: chunked` besides.
    pub fn head(&self) -> &response::Parts {
        match &self.answer {
            Final::Declined(declined, ..) => declined.response(),
            Final::Switched(switched, ..) => switched.response(),
        }
    }

    /// Applies rules for responses to the head, after those of the gateway. For what is known only when the upstream has
    /// answered, such as its address or its status.
    ///
    /// Rules cannot touch what the proxy has set itself: the connection, the framing and the handshake.
    pub fn apply(&mut self, rules: &PreparedRules) {
        match &mut self.answer {
            Final::Declined(declined, ..) => declined.apply(rules),
            Final::Switched(switched, ..) => switched.apply(rules),
        }
    }

    /// The client's connection, for an answer of the caller's own in place of the upstream's, whose connection is closed.
    ///
    /// The request has been read from it. What the client has sent behind the request is dropped: it may be of the other
    /// protocol. Danger: for the same reason no other request may be read from it, and the answer is the last one on it (RFC
    /// 9931).
    #[must_use]
    pub fn into_client(self) -> S {
        self.client.stream
    }
}

impl<S, U> Answered<S, U>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    U: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    /// Sends the client the answer: a 101, behind which the tunnel waits to be run, or another one, whole.
    ///
    /// # Errors
    ///
    /// The answer cannot be written, or the upstream's body ends before it is complete.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes both connections.
    pub async fn relay(self) -> Result<Negotiated<S, U>, Error> {
        self.send().await.inspect_err(|error| {
            error.observed();
        })
    }

    async fn send(self) -> Result<Negotiated<S, U>, Error> {
        // First, to be dropped last: its place is free when its connections are closed, whatever happens before.
        let Answered {
            admission,
            mut client,
            answer,
            listing,
            label,
            parent,
            tap,
            config,
        } = self;
        match answer {
            Final::Declined(declined, upstream, early) => {
                // Boxed, as all that is rare: it would set the size of what is common.
                let limit = config.upgrade.read_timeout;
                let relayed = Box::pin(client.relay(*declined, upstream, early, limit, admission));
                relayed.await.map(Negotiated::Declined)
            }
            Final::Switched(switched, upstream, from_upstream, timer) => {
                let tap = config.upgrade.agreed(tap, &switched);
                let websocket = config.upgrade.websocket_of(&switched, tap.as_ref());
                let is_framed = websocket.is_some();
                let watched = config.upgrade.list(&switched, listing, label, false, is_framed);
                // From here on not one more byte of HTTP goes to this client.
                let (response, protocol) = switched.into_head();
                client.send_head(&response).await?;
                let mut tunnel = Tunnel::new(client.stream, upstream)
                    .config(config.upgrade.tunnel.clone())
                    .websocket(websocket)
                    .tap(tap)
                    .leftovers(client.early.freeze(), from_upstream);
                tunnel.watched(watched);
                tunnel.parent(parent.speaking(&protocol));
                tunnel.timer(timer);
                Ok(Negotiated::Switched(Established::new(
                    protocol, tunnel, admission,
                )))
            }
        }
    }
}

impl<S> Unanswered<S> {
    /// What has failed, and on which side.
    pub fn error(&self) -> &Error {
        &self.error
    }

    /// The client's connection, for an answer of the caller's own: as [`Answered::into_client`], dangers included. A client
    /// that has left is answered by nobody: see [`Error::side`].
    #[must_use]
    pub fn into_client(self) -> (S, Error) {
        (self.client.stream, self.error)
    }
}

impl<S> Unanswered<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    /// Answers 502, 503 or 504 where an answer is possible ([`Error::status`]), and closes.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connection.
    pub async fn refuse(self) -> Error {
        let Unanswered {
            admission,
            client,
            error,
        } = self;
        if let Some(status) = error.status() {
            // The client may be gone too; the upstream's failure is the news.
            let _ = Box::pin(client.refuse(Refusal::of(status, &error), admission)).await;
        }
        error
    }
}

//! Law: steps (1) to (3) of the walk: a request head within its deadline and limits, and what it is.

use std::sync::Arc;

use http::uri::PathAndQuery;
use http::{Method, Uri, request};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use super::answer::{self, Client};
use super::config::GatewayConfig;
use crate::error::{Cause, Error, Phase};
use crate::handshake::{Rejection, UpgradeRequest};
use crate::head::{HeadScan, request_from_head};
use crate::header::Hop;
use crate::tunnel::Rewind;
use crate::{Side, wire};

/// Takes connections as far as step (3), so that the caller chooses the upstream. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Acceptor {
    config: Arc<GatewayConfig>,
}

/// What a connection turned out to ask for.
#[derive(Debug)]
pub enum Accepted<S> {
    /// An upgrade that the policy allows, to be proxied or refused.
    Upgrade(Box<Incoming<S>>),
    /// Not an upgrade. The stream reads from the head's first byte on.
    Ordinary(Box<request::Parts>, Rewind<S>),
    /// Refused, answered and closed.
    Rejected(Rejection),
    /// Closed by the client, or by the header deadline, without one byte.
    Closed,
}

/// An upgrade request, and the client that waits for its answer.
#[derive(Debug)]
pub struct Incoming<S> {
    pub(super) client: Client<S>,
    pub(super) request: UpgradeRequest,
    pub(super) head: Box<request::Parts>,
    pub(super) hop: Hop,
    pub(super) config: Arc<GatewayConfig>,
}

impl Acceptor {
    /// An acceptor with this configuration.
    pub fn new(config: GatewayConfig) -> Self {
        Acceptor {
            config: Arc::new(config),
        }
    }

    /// Reads one request head and decides what it is. A request that must be refused has been answered and its
    /// connection closed when this returns.
    ///
    /// # Errors
    ///
    /// The client's stream fails or ends within the head, or its answer cannot be written.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connection.
    pub async fn accept<S>(&self, stream: S, hop: impl Into<Hop>) -> Result<Accepted<S>, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.read(Client::new(stream, self.config.send_timeout), hop.into())
            .await
    }

    /// Goes on with a connection that has carried a request before: what follows it, and then the stream.
    ///
    /// The next head may take until the keep-alive deadline to begin, and from then on until the header deadline.
    ///
    /// # Errors
    ///
    /// As [`accept`](Acceptor::accept).
    ///
    /// # Cancel safety
    ///
    /// As [`accept`](Acceptor::accept).
    pub async fn resume<S>(&self, stream: Rewind<S>, hop: impl Into<Hop>) -> Result<Accepted<S>, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let (stream, early) = stream.into_parts();
        let mut client = Client::new(stream, self.config.send_timeout);
        client.early.extend_from_slice(&early);
        drop(early);
        if client.early.is_empty() {
            let read = wire::read_some(&mut client.stream, &mut client.early, usize::MAX);
            match timeout(self.config.keep_alive_timeout, read).await {
                Ok(Ok(count)) if count > 0 => {}
                // A kept connection that ends between two requests, in whatever way, has done nothing wrong.
                _ => return Ok(Accepted::Closed),
            }
        }
        self.read(client, hop.into()).await
    }

    /// Refuses an ordinary request that came from [`accept`](Acceptor::accept): answers and closes.
    ///
    /// # Errors
    ///
    /// The answer cannot be written.
    pub async fn reject<S>(
        &self,
        stream: Rewind<S>,
        head: &request::Parts,
        rejection: Rejection,
    ) -> Result<Rejection, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut client = Client::new(stream.into_parts().0, self.config.send_timeout);
        client.head_only = head.method == Method::HEAD;
        client
            .refuse(answer::Refusal::from(&rejection))
            .await
            .map(|()| rejection)
    }

    async fn read<S>(&self, mut client: Client<S>, hop: Hop) -> Result<Accepted<S>, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let read = timeout(self.config.header_timeout, self.read_head(&mut client)).await;
        let head = match read {
            Ok(Ok(Some(head))) => head,
            Ok(Ok(None)) => return Ok(Accepted::Closed),
            Ok(Err(HeadFailure::Stream(cause))) => {
                return Err(Error::new(Phase::RequestHead, Side::Downstream, cause));
            }
            Ok(Err(HeadFailure::Rejected(rejection))) => return client.reject(rejection).await,
            Err(_) if client.early.is_empty() => return Ok(Accepted::Closed),
            Err(_) => return client.reject(Rejection::HeadTimeout).await,
        };
        if head.method == Method::CONNECT {
            return client.reject(Rejection::Connect).await;
        }
        client.head_only = head.method == Method::HEAD;
        match UpgradeRequest::parse(&head, &self.config.policy) {
            Ok(Some(request)) => {
                // The head has been taken in; what is left in the buffer is the client's early data.
                let config = self.config.clone();
                client.forget_head();
                Ok(Accepted::Upgrade(Box::new(Incoming {
                    client,
                    request,
                    head,
                    hop,
                    config,
                })))
            }
            Ok(None) => Ok(Accepted::Ordinary(head, client.rewind())),
            Err(rejection) => client.reject(rejection).await,
        }
    }

    async fn read_head<S>(&self, client: &mut Client<S>) -> Result<Option<Box<request::Parts>>, HeadFailure>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut scan = HeadScan::request();
        loop {
            let end = scan
                .advance(&client.early, &self.config.request_limits)
                .map_err(Rejection::from)?;
            if let Some(end) = end {
                client.head_length = end;
                let head = bytes::Bytes::copy_from_slice(&client.early[..end]);
                return Ok(Some(Box::new(
                    request_from_head(head, &scan).map_err(Rejection::from)?,
                )));
            }
            match wire::read_some(&mut client.stream, &mut client.early, usize::MAX).await {
                Ok(0) if client.early.is_empty() => return Ok(None),
                Ok(0) => return Err(HeadFailure::Stream(Cause::Closed)),
                Ok(_) => {}
                Err(error) => return Err(HeadFailure::Stream(Cause::Io(error))),
            }
        }
    }
}

enum HeadFailure {
    Stream(Cause),
    Rejected(Rejection),
}

impl From<Rejection> for HeadFailure {
    fn from(rejection: Rejection) -> Self {
        HeadFailure::Rejected(rejection)
    }
}

impl<S> Incoming<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    /// The client's request head, as it came.
    pub fn head(&self) -> &request::Parts {
        &self.head
    }

    /// The upgrade that it asks for.
    pub fn request(&self) -> &UpgradeRequest {
        &self.request
    }

    /// The hop that it came over.
    pub fn hop(&self) -> Hop {
        self.hop
    }

    /// Replaces the target that goes upstream: a route that replaces a prefix.
    pub fn set_target(&mut self, target: PathAndQuery) {
        self.head.uri = Uri::from(target);
    }

    /// Refuses the upgrade: answers and closes.
    ///
    /// # Errors
    ///
    /// The answer cannot be written.
    pub async fn reject(self, rejection: Rejection) -> Result<Rejection, Error> {
        self.client
            .refuse(answer::Refusal::from(&rejection))
            .await
            .map(|()| rejection)
    }
}

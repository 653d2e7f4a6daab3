//! Ordinary requests: on a client's raw connection, which comes back with what follows the request, or from a server of hyper's.

mod answer_body;
mod answered;
mod asked;
mod asking;
mod call;
mod client;
mod connection;
mod destination;
mod downstream;
mod forward;
mod idle;
mod last_hop;
mod one_request;
mod passage;
mod serve;
mod source;
mod unread;
mod upload;
mod wait;

use std::fmt;
use std::sync::Arc;

use http::{Request, Response, StatusCode};
use http_body::Body;
use hyper::rt::Executor;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::connect::{Connect, TcpConnect};
use crate::error::Error;
use crate::exchange;
use crate::handshake::Rejection;
use crate::header::{Forwarding, Hop};
use crate::http1::RequestHead;
use crate::service::BoxError;
use crate::service::body::ProxyBody;
use crate::service::config::RelayConfig;
use crate::service::tasks::{Task, Tasks};
use crate::telemetry::Kind;
use crate::tunnel::Rewind;
pub(super) use answer_body::Frames;
pub use destination::Destination;
use forward::Route;
pub(super) use forward::{Forwarder, rejected};
pub use one_request::{ClientBody, answer_one};
use source::Named;
pub(super) use source::Sources;

/// How relaying one request has ended.
#[derive(Debug)]
#[non_exhaustive]
pub struct Relayed<S> {
    /// The status that the client was sent, if it was sent any.
    pub status: Option<StatusCode>,
    /// Why the status is one of the proxy's own, if it is: what has failed.
    pub failure: Option<Arc<Error>>,
    /// Why the status is one of the proxy's own, if it is: what of the request was refused.
    pub rejection: Option<Rejection>,
    /// How many bytes the client's stream has taken for it: heads, interim ones too, body and framing.
    pub bytes_sent: u64,
    /// How many of them stand behind the head of the final response.
    pub body_bytes_sent: u64,
    /// How many bytes of the request's body the kernel has moved to the upstream without a copy in this program (Linux, between
    /// plain sockets, in bulk). The others were copied.
    pub spliced_from_downstream: u64,
    /// As [`spliced_from_downstream`](Self::spliced_from_downstream), of the response's body. They are among the
    /// [`body_bytes_sent`](Self::body_bytes_sent).
    pub spliced_from_upstream: u64,
    /// The connection with what follows the request, if it can go on. Hand it to
    /// [`Acceptor::resume`](crate::gateway::Acceptor::resume).
    pub stream: Option<Rewind<S>>,
}

/// Relays ordinary requests, with one pool of upstream connections. Cheap to clone.
///
/// Each goes to its [`Destination`], or all of them where a connector leads. What there is to be chosen by such a connector,
/// above all by a [`Group`](crate::upstream::Group), is chosen for each request; and a server that fails is followed by
/// another, under the same conditions as for an upgrade ([`Retry`](crate::upstream::Retry)).
///
/// The pool's connections belong to the tokio runtime in which [`serve`](Relay::serve) is called: a program with several
/// runtimes wants a relay in each.
pub struct Relay<C: Connect + 'static = TcpConnect> {
    forwarder: Arc<Forwarder<C>>,
    forwarding: Forwarding,
}

impl<C: Connect + 'static> Clone for Relay<C> {
    fn clone(&self) -> Self {
        Relay {
            forwarder: self.forwarder.clone(),
            forwarding: self.forwarding.clone(),
        }
    }
}

impl<C: Connect + 'static> fmt::Debug for Relay<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay")
            .field("sources", &self.forwarder.sources)
            .finish_non_exhaustive()
    }
}

impl Relay {
    /// A relay with an empty pool, to the [destinations](Destination::new) of the requests.
    #[must_use]
    pub fn new(config: RelayConfig) -> Self {
        Relay::by(
            Sources::Named(Named::new(Tasks::default(), config.keeping())),
            config,
        )
    }
}

impl<C: Connect + 'static> Relay<C> {
    /// A relay with an empty pool, to where a connector leads. Of a [`Destination`] it takes all but the authority.
    ///
    /// Connections are [kept for a while](RelayConfig::idle_timeout) after a request, for others that go to the [same upstream](Connect::pool_key). How TLS is
    /// spoken is the connector's business, and not that of [`RelayConfig::tls`](RelayConfig::tls).
    ///
    /// ```
    /// use switchover::service::{Relay, RelayConfig};
    /// use switchover::upstream::{Group, Server};
    ///
    /// let group = Group::of([Server::to("10.0.0.1:8000"), Server::to("10.0.0.2:8000")]);
    /// let relay = Relay::through(group, RelayConfig::default());
    /// ```
    pub fn through(connect: C, config: RelayConfig) -> Self {
        Relay::by(
            Sources::through(Arc::new(connect), Tasks::default(), &config),
            config,
        )
    }

    fn by(sources: Sources<C>, config: RelayConfig) -> Self {
        Relay {
            forwarder: Arc::new(Forwarder {
                sources,
                config,
                tasks: Tasks::default(),
            }),
            forwarding: Forwarding::default(),
        }
    }

    /// With this value for what the origin is sent beside the client's own fields: that of the gateway whose ordinary requests
    /// these are. Default [`Forwarding::default`].
    #[must_use]
    pub fn forwarding(mut self, forwarding: Forwarding) -> Self {
        self.forwarding = forwarding;
        self
    }

    /// What runs the tasks beside requests: the one that closes connections which have waited too long, and those that hold a
    /// client of hyper's server to its deadline. Default: `tokio::spawn` in the runtime that serves the request. The relay begins
    /// with an empty pool.
    #[must_use]
    pub fn executor(self, executor: impl Executor<Task> + Send + Sync + 'static) -> Self {
        let (tasks, config) = (Tasks::on(executor), self.forwarder.config.clone());
        Relay {
            forwarder: Arc::new(Forwarder {
                sources: self.forwarder.sources.on(tasks.clone(), &config),
                config,
                tasks,
            }),
            forwarding: self.forwarding,
        }
    }

    /// The response to a request that an HTTP server of the caller's has taken in, such as hyper's for HTTP/2.
    ///
    /// The request is held to the rules of the crate's own parser first
    /// ([`check_request`](crate::http1::check_request)): 400 or 501 otherwise, with the
    /// [`Rejection`](crate::handshake::Rejection) in the response's extensions. Where the upstream fails, it is 502 or
    /// 504, with the [`Error`] there, in an `Arc`. Interim responses end here, unless the server is the crate's own
    /// (`Http2Server`).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up the request.
    pub async fn respond<B>(
        &self,
        request: Request<B>,
        destination: Destination,
        hop: Hop,
    ) -> Response<ProxyBody>
    where
        B: Body + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let forwarding = &self.forwarding;
        self.forwarder
            .respond(request, destination, hop, forwarding)
            .await
    }

    /// Relays the one request at the start of `stream`, whose head is `head`, and its response.
    ///
    /// A request that asks for an upgrade which the policy does not allow goes up without it, and the connection
    /// closes after the response, whatever the client has sent behind it (RFC 9931).
    ///
    /// # Errors
    ///
    /// The client's stream fails, or the response breaks off after its head has been sent; how much went out by then is
    /// recorded in a [`Trace`](crate::connect::Trace). What goes wrong before is answered 400, 502 or 504, and recorded in
    /// [`Relayed::failure`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the client's connection and gives up the request.
    pub async fn serve<S>(
        &self,
        stream: Rewind<S>,
        head: &RequestHead,
        destination: Destination,
        hop: Hop,
    ) -> Result<Relayed<S>, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let (config, forwarding) = (&self.forwarder.config, &self.forwarding);
        let route = Route {
            forwarding,
            destination: &destination,
            hop,
        };
        let observed = exchange::observed(Kind::Request, head, head.version(), hop);
        // Boxed before it is passed on: it is large, and moved at each hand.
        let serving = Box::pin(async {
            match &self.forwarder.sources {
                Sources::Named(named) => serve::serve(named, config, stream, head, route).await,
                Sources::Through(through) => serve::serve(through, config, stream, head, route).await,
            }
        });
        let end = |served: &Result<Relayed<S>, Error>| match served {
            Ok(relayed) => {
                let failure = relayed.failure.as_ref().map(|error| Error::reason(error).name());
                let error = failure.or(relayed.rejection.as_ref().map(Rejection::name));
                (relayed.status.map(|status| status.as_u16()), error)
            }
            Err(error) => (None, Some(error.reason().name())),
        };
        observed.run(serving, end).await
    }
}

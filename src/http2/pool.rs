//! Which connection a tunnel goes on: the oldest with room for it, and a new one where none has; one at a time, for
//! however many tunnels start at once.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use hyper::rt::Executor;
use hyper_util::rt::TokioExecutor;

use super::config::Http2Config;
use super::driver::{Settled, settle};
use super::link::{Link, Member, NoPlace, Place};
use super::stream::Http2Stream;
use crate::connect::{Connect, ConnectError, ConnectRequest, Pooling};
use crate::handshake::extended_connect::to_connect;

/// What drives one connection, until it has failed or is not used any more.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Connects to an HTTP/2 upstream: each connection carries many tunnels (RFC 8441).
///
/// The inner connector makes the connections, and is asked only when another one is needed, with whichever request needs
/// it. Connections are shared only where its [pooling](Connect::pooling) is [`Pooling::Shared`]: all of them lead to the same upstream.
/// Another gets a connection for each tunnel. For several upstreams, have an `Http2Connect` for each. Over
/// TLS, the inner connector has to offer `h2` alone by ALPN, as `tls::TlsConnect::http2` does.
///
/// Its own pooling is [`Pooling::Never`]: a stream carries one request, and none after it.
///
/// Gateways share the connections if they share the connector, in an [`Arc`]. When it is dropped, connections end with
/// their last tunnel.
///
/// ```
/// use std::sync::Arc;
/// use switchover::{Gateway, TcpConnect};
/// use switchover::http2::{Http2Config, Http2Connect};
///
/// let connect = Http2Connect::new(TcpConnect::to("chat.internal:9000")).config(Http2Config::default().max_tunnels(32));
/// let connect = Arc::new(connect);
/// let one = Gateway::builder(connect.clone()).build();
/// let another = Gateway::builder(connect).build();
/// ```
///
/// # Errors
///
/// Those of the inner connector; [`ConnectError::Http2`] if the upstream does not speak HTTP/2,
/// [`ConnectError::NoExtendedConnect`] if it has not enabled the extended CONNECT protocol, and
/// [`ConnectError::Unsuited`] for a request that is no WebSocket upgrade. The client gets a 502.
///
/// # Cancel safety
///
/// Dropping the future of `connect` gives up a connection that is being made, and leaves alone those that exist. Tunnels
/// that wait for the same connection go on to make it themselves.
pub struct Http2Connect<C> {
    inner: C,
    config: Http2Config,
    executor: Arc<dyn Executor<Task> + Send + Sync>,
    members: Mutex<Vec<Member>>,
    /// Held by the task that makes a connection.
    turn: tokio::sync::Mutex<()>,
}

impl<C> fmt::Debug for Http2Connect<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http2Connect")
            .field("config", &self.config)
            .field("members", &self.members)
            .finish_non_exhaustive()
    }
}

impl<C: Connect> Http2Connect<C> {
    /// Over what the inner connector connects to, with the default [configuration](Http2Config), on tokio.
    pub fn new(inner: C) -> Self {
        Http2Connect {
            inner,
            config: Http2Config::default(),
            executor: Arc::new(TokioExecutor::new()),
            members: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
        }
    }

    /// Sets how connections are shared and kept.
    #[must_use]
    pub fn config(mut self, config: Http2Config) -> Self {
        self.config = config;
        self
    }

    /// What runs the one task that each connection needs. Default: [`tokio::spawn`].
    ///
    /// The tasks need tokio's timers.
    #[must_use]
    pub fn executor(mut self, executor: impl Executor<Task> + Send + Sync + 'static) -> Self {
        self.executor = Arc::new(executor);
        self
    }

    /// A place on a connection that exists. Forgets those that are of no use any more.
    fn place(&self) -> Option<Place> {
        let mut found = None;
        let mut members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        members.retain(|member| {
            if found.is_some() {
                return true;
            }
            let place = member.place();
            let closed = matches!(place, Err(NoPlace::Closed));
            found = place.ok();
            !closed
        });
        found
    }

    async fn place_or_connect(&self, request: ConnectRequest<'_>) -> Result<Place, ConnectError> {
        if self.inner.pooling() != Pooling::Shared {
            // The member retires at once, and the connection ends with its one tunnel.
            return self.open(request).await.map(|(_member, place)| place);
        }
        if let Some(place) = self.place() {
            return Ok(place);
        }
        let _turn = self.turn.lock().await;
        if let Some(place) = self.place() {
            return Ok(place);
        }
        let (member, place) = self.open(request).await?;
        let mut members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        members.push(member);
        Ok(place)
    }

    /// A new connection, and a place on it.
    async fn open(&self, request: ConnectRequest<'_>) -> Result<(Member, Place), ConnectError> {
        let stream = self.inner.connect(request).await?;
        let Settled { sender, driver } = settle(stream, &self.config).await?;
        let link = Link::new(sender, self.config.max_tunnels, driver.driven(&self.config));
        let member = Member::new(link.clone());
        self.executor
            .execute(Box::pin(driver.run(link, self.config.clone())));
        // An upstream that allows no stream at all, or has changed its mind already. The member retires then.
        let place = member.place().map_err(|why| {
            let why = match why {
                NoPlace::Full => "it allows no streams",
                NoPlace::Closed => "it has closed it at once",
            };
            ConnectError::Http2(io::Error::new(io::ErrorKind::ConnectionRefused, why))
        })?;
        Ok((member, place))
    }
}

impl<C: Connect> Connect for Http2Connect<C> {
    type Stream = Http2Stream;

    async fn connect(&self, request: ConnectRequest<'_>) -> Result<Http2Stream, ConnectError> {
        // The stream translates what is written to it. What it would refuse is refused here, where it has a name.
        let translated = to_connect(request.head().clone(), self.config.scheme.clone());
        translated.map_err(|error| ConnectError::Unsuited(error.into()))?;
        let place = self.place_or_connect(request).await?;
        Ok(Http2Stream::new(place, self.config.scheme.clone()))
    }
}

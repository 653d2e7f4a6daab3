//! How a connection to an upstream is made: the seam for discovery, pools and groups of a caller's own.
//!
//! Must not know HTTP, beyond the head that is about to be sent, by which a connector may choose.
//!
//! # A discovery connector
//!
//! A connector with a choice of upstreams needs [`Connect`] alone. Where it also takes part in retries, it begins each attempt in
//! the request's [`Attempts`], skips upstreams that were tried, and learns how each attempt ended ([`Candidate`]). Where its
//! connections may be pooled, it returns a [`PoolKey`] for each upstream.
//!
//! ```
//! use std::sync::Arc;
//! use std::sync::atomic::{AtomicBool, Ordering};
//!
//! use switchover::connect::{
//!     AttemptEnd, Candidate, Connect, ConnectError, ConnectRequest, AttemptOutcome, TcpConnect, UpstreamId,
//! };
//! use tokio::net::TcpStream;
//!
//! /// An instance that a registry has returned.
//! struct Instance {
//!     id: UpstreamId,
//!     address: String,
//!     failed: AtomicBool,
//! }
//!
//! impl Candidate for Instance {
//!     fn id(&self) -> UpstreamId {
//!         self.id
//!     }
//!
//!     fn name(&self) -> Option<&str> {
//!         Some(&self.address)
//!     }
//!
//!     fn attempt_ended(&self, ended: AttemptEnd) -> bool {
//!         let failed = matches!(ended.outcome, AttemptOutcome::Failed | AttemptOutcome::TimedOut);
//!         self.failed.store(failed, Ordering::Relaxed);
//!         // One more instance, no third.
//!         failed && ended.attempts < 2
//!     }
//! }
//!
//! struct Discovery(Vec<Arc<Instance>>);
//!
//! impl Connect for Discovery {
//!     type Stream = TcpStream;
//!
//!     async fn connect(&self, request: ConnectRequest<'_>) -> Result<TcpStream, ConnectError> {
//!         let is_tried = |instance: &Instance| request.attempts().is_some_and(|made| made.contains(instance.id));
//!         let mut untried = self.0.iter().filter(|instance| !is_tried(instance));
//!         let healthy = untried.clone().find(|instance| !instance.failed.load(Ordering::Relaxed));
//!         let instance = healthy.or(untried.next()).ok_or(ConnectError::NoUpstream)?;
//!         if let Some(attempts) = request.attempts() {
//!             attempts.begin(instance.clone());
//!         }
//!         TcpConnect::to(&instance.address).connect(request).await
//!     }
//! }
//! ```

mod address;
mod attempts;
mod boxed;
mod dial;
mod error;
mod shortage;
mod staggered;
mod tcp;
mod trace;
#[cfg(unix)]
mod unix;

pub use address::AddressError;
pub use attempts::{AttemptEnd, AttemptOutcome, Attempts, Candidate, UpstreamId};
pub use boxed::AnyConnect;
pub use error::ConnectError;
pub use shortage::Shortage;
pub use tcp::TcpConnect;
pub(crate) use tcp::resolve;
pub use trace::{Attempt, Trace};
#[cfg(unix)]
pub use unix::UnixConnect;

use std::future::Future;
use std::sync::Arc;

use http::request::Parts;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use crate::header::Hop;
use crate::http1::RequestHead;

/// Step (5) of the walk: makes a connection to an upstream.
///
/// The caller bounds the time; a connector need not. Dropping the future must give up the attempt.
///
/// A connector that tries several addresses in turn shares that time among them: it bounds each attempt by itself, or
/// one address that swallows everything takes the turn of all others.
///
/// ```
/// use switchover::connect::{Connect, ConnectError, ConnectRequest, TcpConnect};
/// use tokio::net::TcpStream;
///
/// /// One upstream for each room.
/// struct ByRoom(Vec<TcpConnect>);
///
/// impl Connect for ByRoom {
///     type Stream = TcpStream;
///
///     async fn connect(&self, request: ConnectRequest<'_>) -> Result<TcpStream, ConnectError> {
///         let room = request.head().uri.path().len() % self.0.len();
///         self.0[room].connect(request).await
///     }
/// }
/// ```
pub trait Connect: Send + Sync {
    /// The connection.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Connects for the request that is about to be sent.
    fn connect(
        &self,
        request: ConnectRequest<'_>,
    ) -> impl Future<Output = Result<Self::Stream, ConnectError>> + Send;

    /// Which of its connections may carry each other's requests, for a caller that pools idle ones (`service::ReverseProxy`).
    /// Default [`Pooling::Never`].
    ///
    /// Danger: a connector that chooses by the request and returns [`Pooling::Shared`] sends requests to the wrong upstream.
    fn pooling(&self) -> Pooling {
        Pooling::Never
    }

    /// The host and port to which all of its connections lead: the `Host` of a request of HTTP/1.0 that has none, where no rule has
    /// another ([`HeaderRules::upstream`](crate::header::HeaderRules::upstream)). Default: not known.
    fn authority(&self) -> Option<&str> {
        None
    }

    /// Chooses the upstream of a request without connecting, and returns the key of its pooled connections; `None` where the
    /// request gets a connection of its own. A request that is then made [with this key](ConnectRequest::pooled) must be connected
    /// to that upstream.
    ///
    /// Default: [`PoolKey::SHARED`] where [`pooling`](Connect::pooling) is [`Pooling::Shared`], and `None` otherwise. A connector
    /// around another passes the call on, unless its own connections differ by something more.
    fn pool_key(&self, request: ConnectRequest<'_>) -> impl Future<Output = Option<PoolKey>> + Send {
        let _ = request;
        std::future::ready((self.pooling() == Pooling::Shared).then_some(PoolKey::SHARED))
    }
}

/// Which connections of a connector may carry each other's requests ([`Connect::pooling`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Pooling {
    /// None: each connection belongs to one request.
    Never,
    /// All: they lead to the same upstream, whatever the request.
    Shared,
    /// Those with the same [`PoolKey`], which [`Connect::pool_key`] returns for each request.
    Keyed,
}

/// Where a pooled connection belongs: connections with the same key lead to the same upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PoolKey(u64);

impl PoolKey {
    /// The key of a connector whose connections all lead to the same upstream.
    pub const SHARED: PoolKey = PoolKey(0);

    /// The key with this number. The number means something to its connector alone.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        PoolKey(number)
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// What a connector may choose by.
#[derive(Clone, Copy, Debug)]
pub struct ConnectRequest<'a> {
    head: Head<'a>,
    hop: Hop,
    attempts: Option<&'a Attempts>,
    deadline: Option<Instant>,
    pool_key: Option<PoolKey>,
    is_ordinary: bool,
}

/// The head of the request. Most connectors do not look at it.
#[derive(Clone, Copy, Debug)]
enum Head<'a> {
    Parts(&'a Parts),
    Lines(&'a RequestHead),
}

impl<'a> ConnectRequest<'a> {
    /// A request with the head that is about to be sent and the hop that it came over.
    pub fn new(head: &'a Parts, hop: Hop) -> Self {
        ConnectRequest::with(Head::Parts(head), hop)
    }

    /// As [`new`](ConnectRequest::new), with a head of which [`Parts`] are made if a connector wants them.
    pub(crate) fn of_lines(head: &'a RequestHead, hop: Hop) -> Self {
        ConnectRequest::with(Head::Lines(head), hop)
    }

    fn with(head: Head<'a>, hop: Hop) -> Self {
        ConnectRequest {
            head,
            hop,
            attempts: None,
            deadline: None,
            pool_key: None,
            is_ordinary: false,
        }
    }

    /// The same, with a record of what has been tried for it. Default: none, and how the request went on after the
    /// connection is reported to nobody.
    #[must_use]
    pub fn tracked(mut self, attempts: &'a Attempts) -> Self {
        self.attempts = Some(attempts);
        self
    }

    /// The same, with the moment at which the caller gives up connecting. Default: not known.
    #[must_use]
    pub fn until(mut self, deadline: Instant) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// The same, to the upstream of this key, which [`Connect::pool_key`] has returned.
    #[must_use]
    pub fn pooled(mut self, key: PoolKey) -> Self {
        self.pool_key = Some(key);
        self
    }

    /// The same, of a request that is no upgrade. Its connection is no tunnel.
    #[cfg_attr(not(feature = "hyper"), allow(dead_code))]
    pub(crate) fn ordinary(mut self) -> Self {
        self.is_ordinary = true;
        self
    }

    /// Whether it is no upgrade. One that a caller has made may be.
    pub(crate) fn is_ordinary(&self) -> bool {
        self.is_ordinary
    }

    /// The head that is about to be sent upstream.
    #[must_use]
    pub fn head(&self) -> &'a Parts {
        match self.head {
            Head::Parts(parts) => parts,
            Head::Lines(lines) => lines.parts(),
        }
    }

    /// The same request, of which the attempts and the key are not the connector's business.
    pub(crate) fn of_its_own(self) -> Self {
        ConnectRequest {
            attempts: None,
            pool_key: None,
            ..self
        }
    }

    /// The hop that the request came over, with the client's address.
    #[must_use]
    pub fn hop(&self) -> Hop {
        self.hop
    }

    /// What has been tried for the request.
    #[must_use]
    pub fn attempts(&self) -> Option<&'a Attempts> {
        self.attempts
    }

    /// When the caller gives up connecting.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// The key that was chosen for it. Only a connector that has returned a [key](Connect::pool_key) receives one.
    #[must_use]
    pub fn pool_key(&self) -> Option<PoolKey> {
        self.pool_key
    }
}

impl<C: Connect> Connect for Arc<C> {
    type Stream = C::Stream;

    fn connect(
        &self,
        request: ConnectRequest<'_>,
    ) -> impl Future<Output = Result<Self::Stream, ConnectError>> + Send {
        C::connect(self, request)
    }

    fn pooling(&self) -> Pooling {
        C::pooling(self)
    }

    fn authority(&self) -> Option<&str> {
        C::authority(self)
    }

    fn pool_key(&self, request: ConnectRequest<'_>) -> impl Future<Output = Option<PoolKey>> + Send {
        C::pool_key(self, request)
    }
}

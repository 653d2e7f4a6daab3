//! Floor 2: how an upstream connection is made. The seam for discovery, pools and groups of one's own.
//!
//! Knows no HTTP beyond the head that is about to be sent, which a connector may choose by.

mod attempts;
mod error;
mod shortage;
mod staggered;
mod tcp;
mod trace;

pub use attempts::{Attempts, Outcome, SoFar, Tried};
pub use error::ConnectError;
pub use shortage::Shortage;
pub use tcp::TcpConnect;
pub(crate) use tcp::resolve;
pub use trace::{Trace, Try};

use std::future::Future;
use std::sync::Arc;

use http::request::Parts;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use crate::header::Hop;

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

    /// Whether all its connections lead to the same place, whatever the request. Then one that was made for a request
    /// may carry another after it, and whoever relays ordinary requests keeps idle ones
    /// (`service::ReverseProxy`). Default: no.
    ///
    /// Danger: a connector that chooses by the request and says yes sends requests to the wrong place.
    fn is_uniform(&self) -> bool {
        false
    }

    /// Chooses where a request goes, without connecting: for whoever keeps connections, and wants one that leads there
    /// (`service::ReverseProxy`). A request that is then [at](ConnectRequest::at) the place chosen must be connected to it.
    ///
    /// Default: [`Place::ONLY`] where [`is_uniform`](Connect::is_uniform), and otherwise `None`: each request has a
    /// connection of its own. A connector around another passes this on, if it keeps its own connections apart by nothing
    /// but that.
    fn choose(&self, request: ConnectRequest<'_>) -> impl Future<Output = Option<Place>> + Send {
        let _ = request;
        std::future::ready(self.is_uniform().then_some(Place::ONLY))
    }
}

/// One of the places that the connections of a connector lead to. Those that lead to the same place may carry each other's
/// requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place(u64);

impl Place {
    /// The place of a connector that has one.
    pub const ONLY: Place = Place(0);

    /// The place with this number, which means something to its connector only.
    pub const fn new(number: u64) -> Self {
        Place(number)
    }

    /// The number.
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// What a connector may choose by.
#[derive(Clone, Copy, Debug)]
pub struct ConnectRequest<'a> {
    head: &'a Parts,
    hop: Hop,
    attempts: Option<&'a Attempts>,
    deadline: Option<Instant>,
    place: Option<Place>,
}

impl<'a> ConnectRequest<'a> {
    /// A request with the head that is about to be sent and the hop that it came over.
    pub fn new(head: &'a Parts, hop: Hop) -> Self {
        ConnectRequest {
            head,
            hop,
            attempts: None,
            deadline: None,
            place: None,
        }
    }

    /// The same, with a record of what has been tried for it. Default: none, and how the request went on after the
    /// connection is told to nobody.
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

    /// The same, to a place that was [chosen](Connect::choose) before.
    #[must_use]
    pub fn at(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }

    /// The head that is about to be sent upstream.
    pub fn head(&self) -> &'a Parts {
        self.head
    }

    /// The hop that the request came over, with the client's address.
    pub fn hop(&self) -> Hop {
        self.hop
    }

    /// What has been tried for the request.
    pub fn attempts(&self) -> Option<&'a Attempts> {
        self.attempts
    }

    /// When the caller gives up connecting.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// The place that was chosen for it. Only a connector that has [chosen](Connect::choose) one will see it.
    pub fn place(&self) -> Option<Place> {
        self.place
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

    fn is_uniform(&self) -> bool {
        C::is_uniform(self)
    }

    fn choose(&self, request: ConnectRequest<'_>) -> impl Future<Output = Option<Place>> + Send {
        C::choose(self, request)
    }
}

//! Floor 2: how an upstream connection is made. The seam for discovery, pools and groups of one's own.
//!
//! Knows no HTTP beyond the head that is about to be sent, which a connector may choose by.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use http::request::Parts;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

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
}

/// What a connector may choose by.
#[derive(Clone, Copy, Debug)]
pub struct ConnectRequest<'a> {
    head: &'a Parts,
    hop: Hop,
}

impl<'a> ConnectRequest<'a> {
    /// A request with the head that is about to be sent and the hop that it came over.
    pub fn new(head: &'a Parts, hop: Hop) -> Self {
        ConnectRequest { head, hop }
    }

    /// The head that is about to be sent upstream.
    pub fn head(&self) -> &'a Parts {
        self.head
    }

    /// The hop that the request came over, with the client's address.
    pub fn hop(&self) -> Hop {
        self.hop
    }
}

/// Why there is no upstream connection. The answer to the client is 502, or 504 where an address was given up for time.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The name does not resolve.
    #[error("the name {name} does not resolve: {source}")]
    Resolve {
        /// Host and port as configured.
        name: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// Nobody accepts connections at any address that the name has.
    #[error("no connection to {name}: {source}")]
    Failed {
        /// Host and port as configured.
        name: String,
        /// The error of the last address tried. [`TimedOut`](io::ErrorKind::TimedOut) is answered 504.
        source: io::Error,
    },
    /// The upstream does not speak HTTP/2, or its connection has failed before it had said how it does.
    #[error("no HTTP/2 connection to the upstream, which may speak HTTP/1.1 only: {0}")]
    Http2(#[source] io::Error),
    /// The upstream speaks HTTP/2 and takes no extended CONNECT (RFC 8441, section 3).
    #[error(
        "the upstream's HTTP/2 does not enable the extended CONNECT protocol (SETTINGS_ENABLE_CONNECT_PROTOCOL)"
    )]
    NoExtendedConnect,
    /// The connector does not lead anywhere that this request could go.
    #[error("the request cannot go to this upstream: {0}")]
    Unsuited(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The connection stands, but the peer does not speak TLS on it as it has to, or its certificate is not accepted.
    #[error("no TLS with {name}: {source}. {hint}")]
    Tls {
        /// The name that the peer was asked for, and that its certificate has to be for.
        name: String,
        /// What has failed.
        source: io::Error,
        /// What to change.
        hint: &'static str,
    },
    /// There is no upstream to connect to at all.
    #[error("there is no upstream to connect to")]
    NoUpstream,
}

impl ConnectError {
    pub(crate) fn is_for_time(&self) -> bool {
        matches!(self, ConnectError::Failed { source, .. } if source.kind() == io::ErrorKind::TimedOut)
    }
}

/// Connects over TCP, with `TCP_NODELAY` set: a tunnel carries messages, and must not hold one back for the next.
///
/// A name is resolved anew for each connection, and all its addresses are tried in turn. A literal address is not
/// resolved at all.
#[derive(Clone, Debug)]
pub struct TcpConnect {
    name: Arc<str>,
    address: Option<SocketAddr>,
}

impl TcpConnect {
    /// To a host and port: `127.0.0.1:9000`, `[::1]:9000`, `chat.internal:9000`.
    pub fn to(name: impl AsRef<str>) -> Self {
        TcpConnect {
            name: Arc::from(name.as_ref()),
            address: name.as_ref().parse().ok(),
        }
    }

    /// Host and port as given.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Connects, whatever the request.
    ///
    /// # Errors
    ///
    /// The name does not resolve, or no address accepts.
    pub async fn stream(&self) -> Result<TcpStream, ConnectError> {
        let failed = |source| ConnectError::Failed {
            name: self.name.to_string(),
            source,
        };
        let stream = match self.address {
            Some(address) => TcpStream::connect(address).await.map_err(failed)?,
            None => {
                let resolved = tokio::net::lookup_host(&*self.name).await;
                let resolve = |source| ConnectError::Resolve {
                    name: self.name.to_string(),
                    source,
                };
                let addresses: Vec<SocketAddr> = resolved.map_err(resolve)?.collect();
                TcpStream::connect(&addresses[..]).await.map_err(failed)?
            }
        };
        stream.set_nodelay(true).map_err(failed)?;
        Ok(stream)
    }
}

impl Connect for TcpConnect {
    type Stream = TcpStream;

    async fn connect(&self, _request: ConnectRequest<'_>) -> Result<TcpStream, ConnectError> {
        self.stream().await
    }

    fn is_uniform(&self) -> bool {
        true
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
}

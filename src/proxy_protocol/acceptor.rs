//! This file reads what a balancer reports about a client: within a deadline, and from trusted balancers alone. A peer that must
//! send a header and does not is closed.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::AsyncRead;
use tokio::time::timeout;

use crate::header::{Hop, TrustedProxies};
use crate::proxy_protocol::{self, Parsed, ProxyHeader, ProxyHeaderError, Tlvs};
use crate::tunnel::Rewind;
use crate::wire;

/// `PP2_TYPE_SSL`, and the bit in its first byte that says that the client has spoken TLS.
const TLS: u8 = 0x20;
const CLIENT_SPOKE_TLS: u8 = 0x01;

/// Reads the PROXY protocol header, version 1 or 2, that connections from balancers begin with. Cheap to clone.
///
/// Nothing is guessed: a peer that is trusted must send a header, and is closed if it does not; a peer that is not trusted is
/// closed before it is read, unless it [may connect directly](ProxyProtocolAcceptor::allow_direct).
///
/// The [module](super) has an example.
#[derive(Clone, Debug)]
pub struct ProxyProtocolAcceptor {
    balancers: TrustedProxies,
    direct: bool,
    header_timeout: Duration,
}

/// A connection of which it is known whose it is.
#[derive(Debug)]
#[non_exhaustive]
pub struct Proxied<S> {
    /// What follows the header. A plain socket behind these bytes is spliced as it would be without.
    pub stream: Rewind<S>,
    /// The hop with the client as its peer, and with the address that the client has connected to; and over TLS, if the
    /// balancer says so.
    pub hop: Hop,
    /// What the balancer has said; `None` for a peer that has connected directly.
    pub header: Option<ProxyHeader>,
}

/// Why a connection has no header that counts. It is closed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyAcceptError {
    /// The peer is not one of the balancers.
    #[error("the peer is none of the balancers that may connect here")]
    Untrusted,
    /// The header was not there within the deadline.
    #[error("no PROXY protocol header within {0:?}")]
    TimedOut(Duration),
    /// What came is no header.
    #[error("{0}. Balancers must send the PROXY protocol here")]
    Invalid(ProxyHeaderError),
    /// The peer has closed before it has said anything, as some health checks do. Nothing is wrong with that.
    #[error("closed without a byte")]
    Closed,
    /// The connection has failed, or ended within the header.
    #[error("the connection has failed before its PROXY protocol header was whole: {0}")]
    Io(io::Error),
}

impl From<ProxyHeaderError> for ProxyAcceptError {
    fn from(error: ProxyHeaderError) -> Self {
        ProxyAcceptError::Invalid(error)
    }
}

impl From<io::Error> for ProxyAcceptError {
    fn from(error: io::Error) -> Self {
        ProxyAcceptError::Io(error)
    }
}

impl ProxyAcceptError {
    /// In a word, for logs and metrics: `untrusted`, `timed-out`, `invalid`, `closed`, `io`. None of them changes in a minor
    /// version.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            ProxyAcceptError::Untrusted => "untrusted",
            ProxyAcceptError::TimedOut(_) => "timed-out",
            ProxyAcceptError::Invalid(_) => "invalid",
            ProxyAcceptError::Closed => "closed",
            ProxyAcceptError::Io(_) => "io",
        }
    }
}

impl ProxyProtocolAcceptor {
    /// For connections from these balancers.
    ///
    /// Danger: each of them may claim to speak for any client. Name the balancers, not the network that clients are in.
    #[must_use]
    pub fn new(balancers: TrustedProxies) -> Self {
        ProxyProtocolAcceptor {
            balancers,
            direct: false,
            header_timeout: Duration::from_secs(10),
        }
    }

    /// Whether other peers may connect without a header, as the clients that they are. Default no.
    ///
    /// A header from one of those is not read: it is the first bytes of a request, and refused as such.
    #[must_use]
    pub fn allow_direct(mut self, allow: bool) -> Self {
        self.direct = allow;
        self
    }

    /// How long a balancer may take for the header. Default 10 seconds.
    #[must_use]
    pub fn header_timeout(mut self, limit: Duration) -> Self {
        self.header_timeout = limit;
        self
    }

    /// Reads the header of a connection that has just been accepted. `hop` is the peer's address, or more.
    ///
    /// For a connection of the balancer's own (`LOCAL`) or for a client of which it knows nothing (`UNKNOWN`), the hop stays what
    /// it is.
    ///
    /// # Errors
    ///
    /// [`ProxyAcceptError`]; the connection is closed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connection.
    pub async fn accept<S>(&self, stream: S, hop: impl Into<Hop>) -> Result<Proxied<S>, ProxyAcceptError>
    where
        S: AsyncRead + Unpin,
    {
        let hop = hop.into();
        if self.balancers.trusts(&hop) {
            let limit = self.header_timeout;
            let read = timeout(limit, read(stream, hop)).await;
            return read.unwrap_or(Err(ProxyAcceptError::TimedOut(limit)));
        }
        match self.direct {
            true => Ok(Proxied {
                stream: Rewind::new(stream, bytes::Bytes::new()),
                hop,
                header: None,
            }),
            false => Err(ProxyAcceptError::Untrusted),
        }
    }
}

async fn read<S: AsyncRead + Unpin>(mut stream: S, hop: Hop) -> Result<Proxied<S>, ProxyAcceptError> {
    let mut buffer = BytesMut::new();
    loop {
        match proxy_protocol::parse(&buffer)? {
            Parsed::Partial => {}
            Parsed::Complete {
                header,
                tlvs,
                consumed,
            } => {
                let hop = hop_of(hop, &header, tlvs);
                return Ok(Proxied {
                    // A copy of its own: a few bytes must not hold on to the whole buffer.
                    stream: Rewind::new(stream, bytes::Bytes::copy_from_slice(&buffer[consumed..])),
                    hop,
                    header: Some(header),
                });
            }
        }
        // No header is longer than what the parser takes for one, so neither is the buffer.
        match wire::read_some(&mut stream, &mut buffer, usize::MAX).await {
            Ok(0) if buffer.is_empty() => return Err(ProxyAcceptError::Closed),
            Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn hop_of(own: Hop, header: &ProxyHeader, tlvs: Tlvs<'_>) -> Hop {
    let Some(client) = header.source() else {
        return own;
    };
    let hop = Hop::from(client);
    let hop = match header.destination() {
        Some(address) => hop.at(address),
        None => hop,
    };
    let spoke_tls = tlvs
        .get(TLS)
        .and_then(<[u8]>::first)
        .is_some_and(|bits| bits & CLIENT_SPOKE_TLS != 0);
    hop.tls(spoke_tls)
}

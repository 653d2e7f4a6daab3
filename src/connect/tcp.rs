//! How a host and port become a TCP connection: resolved for each connection, all addresses tried, none of them for too
//! long alone.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpStream, lookup_host};

use super::{Connect, ConnectError, ConnectRequest, Pooling, Shortage, staggered};

/// Connects over TCP, with `TCP_NODELAY` set: a tunnel carries messages, and must not hold one back for the next.
///
/// A name is resolved for each connection. Its addresses are tried in turn, IPv6 and IPv4 alternating; each has 250
/// milliseconds before the next is tried beside it, and the first to accept is taken (RFC 8305). A name that resolves no
/// longer is an error from the next connection on. A literal address is not resolved at all.
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
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Connects, whatever the request.
    ///
    /// # Errors
    ///
    /// The name does not resolve, or no address accepts.
    pub async fn stream(&self) -> Result<TcpStream, ConnectError> {
        let connected = match self.address {
            Some(address) => TcpStream::connect(address).await,
            // Boxed: a literal address must not cost what this does.
            None => Box::pin(self.resolved()).await?,
        };
        let connected = connected.and_then(|stream| {
            stream.set_nodelay(true)?;
            Ok(stream)
        });
        connected.map_err(|source| ConnectError::Failed {
            name: self.name.to_string(),
            error: source,
        })
    }

    async fn resolved(&self) -> Result<io::Result<TcpStream>, ConnectError> {
        let addresses = resolve(&self.name).await?;
        Ok(match addresses[..] {
            [address] => TcpStream::connect(address).await,
            _ => staggered::connect(addresses, TcpStream::connect).await,
        })
    }
}

/// The addresses of a host and port: one at least.
pub(crate) async fn resolve(name: &str) -> Result<Vec<SocketAddr>, ConnectError> {
    let resolved = lookup_host(name).await.and_then(|addresses| {
        let addresses: Vec<SocketAddr> = addresses.collect();
        match addresses.is_empty() {
            true => Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address")),
            false => Ok(addresses),
        }
    });
    resolved.map_err(|source| ConnectError::Resolve {
        name: name.to_owned(),
        error: Shortage::behind(source),
    })
}

impl Connect for TcpConnect {
    type Stream = TcpStream;

    async fn connect(&self, _request: ConnectRequest<'_>) -> Result<TcpStream, ConnectError> {
        self.stream().await
    }

    fn pooling(&self) -> Pooling {
        Pooling::Shared
    }
}

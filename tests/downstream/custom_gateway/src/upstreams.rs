//! Which upstream a request goes to: by its path, and the next one where a connection fails.

use std::time::Duration;

use http::request::Parts;
use switchover::connect::{Connect, ConnectError, ConnectRequest, TcpConnect};
use switchover::route::{RouteError, Routes};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The gateway bounds the connecting as a whole (`GatewayConfig::connect_timeout`). A single address that swallows
/// everything must not use all of that up, or the next one never has its turn.
const ATTEMPT: Duration = Duration::from_secs(1);

/// A table of paths, each with the addresses that serve it.
#[derive(Debug, Default)]
pub struct Upstreams {
    routes: Routes<Vec<TcpConnect>>,
}

impl Upstreams {
    /// Adds a path, and the addresses that are tried for it, in this order.
    ///
    /// # Errors
    ///
    /// `prefix` is not a path, or was added before.
    pub fn path(mut self, prefix: &str, addresses: &[&str]) -> Result<Self, RouteError> {
        let connects = addresses.iter().map(TcpConnect::to).collect();
        self.routes.add(prefix.parse()?, connects)?;
        Ok(self)
    }

    /// The addresses for a request. `None` is nothing that a `Connect` could tell the client as a 404: see who calls this
    /// before it connects.
    pub fn find(&self, head: &Parts) -> Option<&[TcpConnect]> {
        let found = self.routes.find(None, head.uri.path()).ok()?;
        Some(found.value)
    }
}

impl Connect for Upstreams {
    type Stream = TcpStream;

    async fn connect(&self, request: ConnectRequest<'_>) -> Result<TcpStream, ConnectError> {
        let mut failure = ConnectError::NoUpstream;
        for upstream in self.find(request.head()).unwrap_or_default() {
            match timeout(ATTEMPT, upstream.stream()).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => failure = error,
                Err(late) => {
                    failure = ConnectError::Failed {
                        name: upstream.name().to_owned(),
                        error: late.into(),
                    }
                }
            }
        }
        Err(failure)
    }
}

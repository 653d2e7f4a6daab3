//! How a location connects to a server of its group: over TLS or not, and for how long.

use std::io;
use std::time::{Duration, Instant};

use switchover::connect::{Connect, ConnectError, ConnectRequest, Pooling, TcpConnect};
use switchover::tls::{TlsClientConfig, TlsConfigError, TlsConnect};
use switchover::tunnel::AnyStream;
use switchover::upstream::{Group, ServerConnector};
use tokio::time::timeout;

use super::metered::Metered;
use super::peer::Peer;
use super::tries;

/// The servers of an `upstream`, as a location goes to them.
pub(crate) type Leading = Group<Peer, Route>;

/// How TLS is spoken with all servers of a group.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    config: TlsClientConfig,
    /// The name that certificates have to be for.
    name: String,
}

/// How a location connects.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub(crate) tls: Option<Tls>,
    /// For each server, its TLS included.
    pub(crate) connect_timeout: Duration,
    /// Whether its bytes are counted.
    pub(crate) is_metered: bool,
}

impl Tls {
    /// # Errors
    ///
    /// The name can be in no certificate.
    pub(crate) fn new(config: TlsClientConfig, name: String) -> Result<Tls, TlsConfigError> {
        TlsConnect::new(TcpConnect::to("none:0"), &name, config.clone())?;
        Ok(Tls { config, name })
    }
}

impl Route {
    /// In plain text, with a wait that is nobody's.
    pub(crate) fn plain() -> Route {
        Route {
            tls: None,
            connect_timeout: Duration::from_secs(60),
            is_metered: false,
        }
    }

    async fn reach(&self, peer: &Peer, request: ConnectRequest<'_>) -> Result<AnyStream, ConnectError> {
        let Some(tls) = &self.tls else {
            return peer.connect(request).await;
        };
        let unsuited = |error| ConnectError::Unsuited(Box::new(error));
        let connect = TlsConnect::new(peer.clone(), &tls.name, tls.config.clone()).map_err(unsuited)?;
        // Boxed: connecting in plain text must not cost what this does.
        Box::pin(connect.connect(request)).await.map(AnyStream::new)
    }
}

impl ServerConnector<Peer> for Route {
    type Stream = AnyStream;

    async fn connect(&self, peer: &Peer, request: ConnectRequest<'_>) -> Result<AnyStream, ConnectError> {
        let since = Instant::now();
        let connected = timeout(self.connect_timeout, self.reach(peer, request)).await;
        let stream = connected.unwrap_or_else(|_| {
            Err(ConnectError::Failed {
                name: peer.name(),
                error: io::ErrorKind::TimedOut.into(),
            })
        })?;
        tries::connected(since.elapsed());
        Ok(match self.is_metered {
            true => AnyStream::new(Metered::new(stream)),
            false => stream,
        })
    }

    fn pooling(&self, _: &Peer) -> Pooling {
        Pooling::Shared
    }
}

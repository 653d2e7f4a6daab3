//! Law: what a service is told by whoever mounts it: how upgrades are carried, who the peer is, what runs the tunnel's
//! task, and who hears of its end.

use std::fmt;
use std::sync::Arc;

use http::request::Parts;
use hyper::rt::Executor;

use super::tasks::{Task, Tasks};
use super::tunnels::Tunnels;
use crate::UpgradeConfig;
use crate::error::Error;
use crate::header::{Hop, Protocol};
use crate::tunnel::Traffic;

/// How a tunnel that a service opened has ended.
#[derive(Debug)]
#[non_exhaustive]
pub struct Ended {
    /// What both sides spoke.
    pub protocol: Protocol,
    /// The hop that the request came over.
    pub hop: Hop,
    /// Whether the client's stream was taken back from the HTTP server, and all that was the server's freed. If not, bytes
    /// went through the server's own stream and its buffers: over HTTP/2 always, and where the stream's type is not
    /// known to this crate.
    pub taken_back: bool,
    /// Whether it was a plain socket, whose bulk may be spliced. TLS is not, taken back or not.
    pub plain: bool,
    /// How much it carried, for how long, and why it ended; or which side failed.
    pub result: Result<Traffic, Error>,
}

/// Configures [`UpgradeService`](super::UpgradeService), [`UpgradeLayer`](super::UpgradeLayer) and
/// [`ReverseProxy`](super::ReverseProxy). Cheap to clone.
///
/// ```
/// use switchover::UpgradeConfig;
/// use switchover::header::Hop;
/// use switchover::service::ServiceConfig;
/// use switchover::tunnel::Cap;
///
/// let config = ServiceConfig::default()
///     .upgrade(UpgradeConfig::default().cap(Cap::new(10_000)))
///     .hop(|parts| parts.extensions.get().copied().unwrap_or(Hop::unknown()))
///     .on_end(|ended| println!("{}: {:?}", ended.protocol, ended.result));
/// ```
#[derive(Clone, Default)]
pub struct ServiceConfig {
    pub(super) upgrade: UpgradeConfig,
    hop: Option<Arc<HopOf>>,
    pub(super) tasks: Tasks,
    pub(super) tunnels: Tunnels,
    on_end: Option<Arc<OnEnd>>,
}

type HopOf = dyn Fn(&Parts) -> Hop + Send + Sync;
pub(super) type OnEnd = dyn Fn(Ended) + Send + Sync;

impl ServiceConfig {
    /// The policy, deadlines, limits and caps. Default [`UpgradeConfig::default`].
    #[must_use]
    pub fn upgrade(mut self, upgrade: UpgradeConfig) -> Self {
        self.upgrade = upgrade;
        self
    }

    /// Where a request came from, as the origin is told, and as the cap for each peer counts. Default: a [`Hop`] or
    /// [`SocketAddr`](std::net::SocketAddr) among the request's extensions, else [`Hop::unknown`].
    ///
    /// A server puts the address where it likes; axum's `ConnectInfo` is read with
    /// `|parts| parts.extensions.get::<ConnectInfo<SocketAddr>>().map_or(Hop::unknown(), |peer| peer.0.into())`.
    #[must_use]
    pub fn hop(mut self, hop: impl Fn(&Parts) -> Hop + Send + Sync + 'static) -> Self {
        self.hop = Some(Arc::new(hop));
        self
    }

    /// What runs the one task of each tunnel: hyper hands over a connection only when the service's response has been
    /// written, so the tunnel cannot run within the request. A [`ReverseProxy`](super::ReverseProxy) has its upstream
    /// connections there too. Default: `tokio::spawn` in the runtime that serves the request.
    ///
    /// Danger: a task that is dropped unfinished closes its tunnel.
    #[must_use]
    pub fn executor(mut self, executor: impl Executor<Task> + Send + Sync + 'static) -> Self {
        self.tasks = Tasks::on(executor);
        self
    }

    /// Counts and drains the tunnels. Default: one of its own, which nobody sees.
    #[must_use]
    pub fn tunnels(mut self, tunnels: Tunnels) -> Self {
        self.tunnels = tunnels;
        self
    }

    /// Is told how each tunnel has ended, within its task: it must not block. Default: nobody is.
    #[must_use]
    pub fn on_end(mut self, on_end: impl Fn(Ended) + Send + Sync + 'static) -> Self {
        self.on_end = Some(Arc::new(on_end));
        self
    }

    pub(super) fn hop_of(&self, parts: &Parts) -> Hop {
        let found = || {
            let address = || {
                parts
                    .extensions
                    .get::<std::net::SocketAddr>()
                    .copied()
                    .map(Hop::from)
            };
            parts.extensions.get::<Hop>().copied().or_else(address)
        };
        match &self.hop {
            Some(hop) => hop(parts),
            None => found().unwrap_or(Hop::unknown()),
        }
    }

    pub(super) fn end_listener(&self) -> Option<Arc<OnEnd>> {
        self.on_end.clone()
    }
}

impl fmt::Debug for ServiceConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceConfig")
            .field("upgrade", &self.upgrade)
            .field("tunnels", &self.tunnels)
            .finish_non_exhaustive()
    }
}

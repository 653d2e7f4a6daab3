//! The settings of a service: how upgrades are carried, who the peer is, which executor runs the task of a tunnel, and which
//! functions are called about it.

use std::fmt;
use std::sync::Arc;

use http::request::Parts;
use hyper::rt::Executor;

use super::report::{Ended, Started};
use crate::exchange::{UpgradeConfig, upgrade_setters};
use crate::handshake::Rejection;
use crate::header::{Forwarding, Hop};
use crate::http1::HeadLimits;
use crate::service::peer;
use crate::service::tasks::{Task, Tasks};

/// Configures [`UpgradeService`](crate::service::UpgradeService), [`UpgradeLayer`](crate::service::UpgradeLayer) and
/// [`ReverseProxy`](crate::service::ReverseProxy). Cheap to clone.
///
/// ```
/// use switchover::header::Hop;
/// use switchover::service::ServiceConfig;
/// use switchover::tunnel::Cap;
///
/// let config = ServiceConfig::default()
///     .cap(Cap::new(10_000))
///     .hop(|parts| parts.extensions.get().copied().unwrap_or(Hop::unknown()))
///     .on_end(|ended| println!("{}: {:?}", ended.protocol, ended.result));
/// ```
#[derive(Clone, Default)]
pub struct ServiceConfig {
    pub(super) upgrade: UpgradeConfig,
    pub(super) request_limits: HeadLimits,
    pub(in crate::service) forwarding: Forwarding,
    hop: Option<Arc<HopOf>>,
    pub(in crate::service) tasks: Tasks,
    on_start: Option<Arc<OnStart>>,
    on_end: Option<Arc<OnEnd>>,
}

type HopOf = dyn Fn(&Parts) -> Hop + Send + Sync;
type OnStart = dyn Fn(Started<'_>) + Send + Sync;
type OnEnd = dyn Fn(Ended) + Send + Sync;

/// The functions that are called when a tunnel starts and ends.
#[derive(Clone)]
pub(super) struct Listeners {
    on_start: Option<Arc<OnStart>>,
    on_end: Option<Arc<OnEnd>>,
}

impl Listeners {
    pub(super) fn started(&self, started: Started<'_>) {
        if let Some(on_start) = &self.on_start {
            on_start(started);
        }
    }

    pub(super) fn ended(&self, ended: Ended) {
        if let Some(on_end) = &self.on_end {
            on_end(ended);
        }
    }
}

impl ServiceConfig {
    /// The limits on the head of an upgrade request, over HTTP/1.1 and HTTP/2 alike: 414 or 431 beyond them. Default
    /// [`HeadLimits::default`]. The server has limits of its own, which come first.
    #[must_use]
    pub fn request_limits(mut self, limits: HeadLimits) -> Self {
        self.request_limits = limits;
        self
    }

    /// All that concerns the upgrades themselves, at once. Default [`UpgradeConfig::default`]. It replaces what the setters that are
    /// named after its own have set before.
    #[must_use]
    pub fn upgrade(mut self, upgrade: UpgradeConfig) -> Self {
        self.upgrade = upgrade;
        self
    }

    upgrade_setters!(upgrade);

    /// What the origin is sent beside the client's own fields, with upgrades and with ordinary requests. Default
    /// [`Forwarding::default`].
    #[must_use]
    pub fn forwarding(mut self, forwarding: Forwarding) -> Self {
        self.forwarding = forwarding;
        self
    }

    /// Where a request came from, for the fields that the origin receives and for the cap for each peer. Default: the first of
    /// these among the request's extensions:
    ///
    /// 1. a [`Hop`], which can also say that the client came over TLS;
    /// 2. a [`SocketAddr`](std::net::SocketAddr);
    /// 3. with the feature `axum`, `ConnectInfo` of either, which
    ///    `axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>())` puts there, or `MockConnectInfo`;
    /// 4. the address of a Unix socket (tokio's, the standard library's, or `ConnectInfo` of either), whose peer is
    ///    [unknown](Hop::unknown).
    ///
    /// Where none of them is there, a request that would go upstream is refused with
    /// [`Rejection::PeerUnknown`](crate::handshake::Rejection::PeerUnknown), 500: a proxy that sends its origins `unknown`, and
    /// whose cap for each peer counts nobody, would be noticed by no one. A service that has no use for addresses says so:
    /// `.hop(|_| Hop::unknown())`.
    ///
    /// In a test without a server (`router.oneshot(request)`) the layer `MockConnectInfo(address)` of axum names the peer. A request
    /// whose peer is known by that layer alone may leave out its `Host`, which is then that of a whole target, or `localhost`: no client sends such a request.
    /// From a client a request without `Host` is a 400. An upgrade needs a server: without one it is refused with
    /// [`Rejection::NoUpgradeHere`](crate::handshake::Rejection::NoUpgradeHere).
    #[must_use]
    pub fn hop(mut self, hop: impl Fn(&Parts) -> Hop + Send + Sync + 'static) -> Self {
        self.hop = Some(Arc::new(hop));
        self
    }

    /// What runs the one task of each tunnel: hyper hands over a connection only when the service's response has been
    /// written, so the tunnel cannot run within the request. A [`ReverseProxy`](crate::service::ReverseProxy) has its upstream
    /// connections there too. Default: `tokio::spawn` in the runtime that serves the request.
    ///
    /// Danger: a task that is dropped unfinished closes its tunnel.
    #[must_use]
    pub fn executor(mut self, executor: impl Executor<Task> + Send + Sync + 'static) -> Self {
        self.tasks = Tasks::on(executor);
        self
    }

    /// Is called when a tunnel starts, within its task: it must not block. Default: nothing is called.
    ///
    /// What has not become a tunnel is reported by its response: a status of the upstream's, or one of the proxy's own with the
    /// reason in the extensions.
    #[must_use]
    pub fn on_start(mut self, on_start: impl Fn(Started<'_>) + Send + Sync + 'static) -> Self {
        self.on_start = Some(Arc::new(on_start));
        self
    }

    /// Is called when a tunnel has ended, with its result, within its task: it must not block. Default: nothing is called.
    #[must_use]
    pub fn on_end(mut self, on_end: impl Fn(Ended) + Send + Sync + 'static) -> Self {
        self.on_end = Some(Arc::new(on_end));
        self
    }

    pub(in crate::service) fn hop_of(&self, parts: &Parts) -> Result<Hop, Rejection> {
        match &self.hop {
            Some(hop) => Ok(hop(parts)),
            None => peer::hop(&parts.extensions).ok_or(Rejection::PeerUnknown),
        }
    }

    pub(super) fn listeners(&self) -> Option<Listeners> {
        let anyone = self.on_start.is_some() || self.on_end.is_some();
        anyone.then(|| Listeners {
            on_start: self.on_start.clone(),
            on_end: self.on_end.clone(),
        })
    }
}

impl fmt::Debug for ServiceConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceConfig")
            .field("upgrade", &self.upgrade)
            .finish_non_exhaustive()
    }
}

//! Law: the deadlines and limits of a gateway, and their defaults.

use std::sync::Arc;
use std::time::Duration;

use super::Gateway;
use crate::connect::Connect;
use crate::exchange::ExchangeConfig;
use crate::handshake::HandshakePolicy;
use crate::head::HeadLimits;
use crate::tunnel::{Cap, PeerCap, TunnelConfig};

/// Everything about a gateway but its upstream.
///
/// ```
/// use std::time::Duration;
/// use switchover::gateway::{Acceptor, GatewayConfig};
///
/// let config = GatewayConfig::default().header_timeout(Duration::from_secs(5));
/// let acceptor = Acceptor::new(config);
/// ```
#[derive(Clone, Debug)]
pub struct GatewayConfig {
    pub(super) policy: HandshakePolicy,
    pub(super) tunnel: Arc<TunnelConfig>,
    pub(super) request_limits: HeadLimits,
    pub(super) header_timeout: Duration,
    pub(super) keep_alive_timeout: Duration,
    pub(super) send_timeout: Duration,
    pub(super) read_timeout: Duration,
    pub(super) cap: Option<Cap>,
    pub(super) peer_cap: Option<PeerCap>,
    pub(super) exchange: ExchangeConfig,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        GatewayConfig {
            policy: HandshakePolicy::default(),
            tunnel: Arc::default(),
            request_limits: HeadLimits::default(),
            header_timeout: Duration::from_secs(30),
            keep_alive_timeout: Duration::from_secs(75),
            send_timeout: Duration::from_secs(60),
            read_timeout: Duration::from_secs(60),
            cap: None,
            peer_cap: None,
            exchange: ExchangeConfig {
                connect_timeout: Duration::from_secs(10),
                handshake_timeout: Duration::from_secs(60),
                limits: HeadLimits::default(),
            },
        }
    }
}

impl GatewayConfig {
    /// What is let through. Default [`HandshakePolicy::default`].
    #[must_use]
    pub fn policy(mut self, policy: HandshakePolicy) -> Self {
        self.policy = policy;
        self
    }

    /// The deadlines of the tunnel. Default [`TunnelConfig::default`].
    #[must_use]
    pub fn tunnel(mut self, tunnel: impl Into<Arc<TunnelConfig>>) -> Self {
        self.tunnel = tunnel.into();
        self
    }

    /// The limits on the client's request head: 414 or 431 beyond them. Default [`HeadLimits::default`].
    #[must_use]
    pub fn request_limits(mut self, limits: HeadLimits) -> Self {
        self.request_limits = limits;
        self
    }

    /// The limits on the upstream's response head: 502 beyond them. Default [`HeadLimits::default`].
    #[must_use]
    pub fn response_limits(mut self, limits: HeadLimits) -> Self {
        self.exchange.limits = limits;
        self
    }

    /// How long a client may take for its request head, from accept to the empty line; then 408, or just a close
    /// if not one byte has come. Default 30 seconds.
    ///
    /// It also bounds how long a connection that says nothing is kept.
    #[must_use]
    pub fn header_timeout(mut self, limit: Duration) -> Self {
        self.header_timeout = limit;
        self
    }

    /// How long a connection that has carried a request may wait for the next one to begin; then it closes. Default
    /// 75 seconds, as nginx.
    #[must_use]
    pub fn keep_alive_timeout(mut self, limit: Duration) -> Self {
        self.keep_alive_timeout = limit;
        self
    }

    /// How long connecting to the upstream may take; then 504. Default 10 seconds.
    #[must_use]
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.exchange.connect_timeout = limit;
        self
    }

    /// How long the upstream may take from the connection to the head of its answer; then 504. Disarmed by the 101:
    /// it never ends a tunnel. Default 60 seconds.
    #[must_use]
    pub fn handshake_timeout(mut self, limit: Duration) -> Self {
        self.exchange.handshake_timeout = limit;
        self
    }

    /// How long a response may wait for the client to take its next bytes: a refusal, a declined upgrade's body,
    /// the 101. Default 60 seconds.
    #[must_use]
    pub fn send_timeout(mut self, limit: Duration) -> Self {
        self.send_timeout = limit;
        self
    }

    /// How long a declined upgrade's body may wait for the upstream's next bytes. Default 60 seconds.
    #[must_use]
    pub fn read_timeout(mut self, limit: Duration) -> Self {
        self.read_timeout = limit;
        self
    }

    /// How many upgrades may be on their way or tunnelled at the same time. Default: none, no cap.
    ///
    /// One beyond it is refused with [`Rejection::TooManyTunnels`](crate::handshake::Rejection::TooManyTunnels), 503,
    /// before any upstream has heard of it. One within it keeps its place from its request head until its tunnel has
    /// ended, or it has failed, been declined or given up.
    ///
    /// Gateways that share a [`Cap`] count together. Ordinary requests are not counted.
    ///
    /// A tunnel needs two file descriptors: too high, and they run out first, for everyone.
    #[must_use]
    pub fn cap(mut self, cap: impl Into<Option<Cap>>) -> Self {
        self.cap = cap.into();
        self
    }

    /// How many of them may be one peer's, by the address of its [`Hop`](crate::header::Hop). Default: none, no cap.
    ///
    /// One beyond it is refused with
    /// [`Rejection::TooManyTunnelsOfPeer`](crate::handshake::Rejection::TooManyTunnelsOfPeer), 429. A hop without an
    /// address is not counted.
    ///
    /// Behind another proxy all clients have that proxy's address, unless the caller gives the hop another.
    #[must_use]
    pub fn peer_cap(mut self, cap: impl Into<Option<PeerCap>>) -> Self {
        self.peer_cap = cap.into();
        self
    }
}

/// Builds a [`Gateway`].
#[derive(Clone, Debug)]
pub struct Builder<C> {
    config: GatewayConfig,
    connect: C,
}

impl<C: Connect> Builder<C> {
    pub(super) fn new(connect: C) -> Self {
        Builder {
            config: GatewayConfig::default(),
            connect,
        }
    }

    /// All of the configuration at once.
    #[must_use]
    pub fn config(mut self, config: GatewayConfig) -> Self {
        self.config = config;
        self
    }

    /// What is let through: [`GatewayConfig::policy`].
    #[must_use]
    pub fn policy(mut self, policy: HandshakePolicy) -> Self {
        self.config = self.config.policy(policy);
        self
    }

    /// The deadlines of the tunnel: [`GatewayConfig::tunnel`].
    #[must_use]
    pub fn tunnel(mut self, tunnel: impl Into<Arc<TunnelConfig>>) -> Self {
        self.config = self.config.tunnel(tunnel);
        self
    }

    /// The gateway.
    pub fn build(self) -> Gateway<C> {
        Gateway::new(self.config, self.connect)
    }
}

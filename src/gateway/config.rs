//! The deadlines and limits of a gateway, and their defaults.

use std::time::Duration;

use super::Gateway;
use crate::connect::Connect;
use crate::exchange::{UpgradeConfig, upgrade_setters};
use crate::header::Forwarding;
use crate::http1::HeadLimits;

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
    pub(super) upgrade: UpgradeConfig,
    pub(super) forwarding: Forwarding,
    pub(super) request_limits: HeadLimits,
    pub(super) header_timeout: Duration,
    pub(super) keep_alive_timeout: Duration,
    pub(super) send_timeout: Duration,
    pub(super) early_half_close: bool,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        GatewayConfig {
            upgrade: UpgradeConfig::default(),
            forwarding: Forwarding::default(),
            request_limits: HeadLimits::default(),
            header_timeout: Duration::from_secs(30),
            keep_alive_timeout: Duration::from_secs(75),
            send_timeout: Duration::from_secs(60),
            early_half_close: false,
        }
    }
}

impl GatewayConfig {
    /// All that concerns the upgrades themselves, at once. Default [`UpgradeConfig::default`]. It replaces what the setters that are
    /// named after its own have set before.
    #[must_use]
    pub fn upgrade(mut self, upgrade: UpgradeConfig) -> Self {
        self.upgrade = upgrade;
        self
    }

    upgrade_setters!(upgrade);

    /// What the origin is sent beside the client's own fields. Default [`Forwarding::default`].
    ///
    /// A [`Relay`](crate::service::Relay) for the ordinary requests of the same listener is given the same value.
    #[must_use]
    pub fn forwarding(mut self, forwarding: Forwarding) -> Self {
        self.forwarding = forwarding;
        self
    }

    /// The limits on the client's request head: 414 or 431 beyond them. Default [`HeadLimits::default`].
    #[must_use]
    pub fn request_limits(mut self, limits: HeadLimits) -> Self {
        self.request_limits = limits;
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

    /// How long a response may wait for the client to take its next bytes: a refusal, a declined upgrade's body,
    /// the 101. Default 60 seconds.
    #[must_use]
    pub fn send_timeout(mut self, limit: Duration) -> Self {
        self.send_timeout = limit;
        self
    }

    /// Whether a client that has ended its write side before the answer to its upgrade still gets it: the 101 and what the
    /// upstream sends after it, or the answer that declines. The end is passed on behind the switch. Default false: such a
    /// client has left, and its upstream is freed.
    ///
    /// nginx has `proxy_ignore_client_abort` for it. An end of the write side cannot be distinguished from a connection that is closed
    /// as a whole, so with this the upstream of a client that has left is kept until it answers, or until the
    /// [handshake deadline](UpgradeConfig::handshake_timeout).
    ///
    /// Through the other door it is the HTTP server that decides: hyper's `http1::Builder::half_close`.
    #[must_use]
    pub fn allow_early_half_close(mut self, allow: bool) -> Self {
        self.early_half_close = allow;
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

    /// All of the configuration at once. It replaces what the other setters have set before.
    #[must_use]
    pub fn config(mut self, config: GatewayConfig) -> Self {
        self.config = config;
        self
    }

    upgrade_setters!(config);

    /// What the origin is sent beside the client's own fields: [`GatewayConfig::forwarding`].
    #[must_use]
    pub fn forwarding(mut self, forwarding: Forwarding) -> Self {
        self.config = self.config.forwarding(forwarding);
        self
    }

    /// The gateway.
    pub fn build(self) -> Gateway<C> {
        Gateway::new(self.config, self.connect)
    }
}

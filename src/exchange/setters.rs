//! The setters of [`UpgradeConfig`](crate::UpgradeConfig), repeated by the configurations that have one within: all of them, and alike.

/// Within the `impl` of a type whose field of this name is an `UpgradeConfig`, or has these setters itself.
macro_rules! upgrade_setters {
    ($inner:ident) => {
        /// What is let through: [`UpgradeConfig::policy`](crate::UpgradeConfig::policy).
        #[must_use]
        pub fn policy(mut self, policy: crate::handshake::HandshakePolicy) -> Self {
            self.$inner = self.$inner.policy(policy);
            self
        }

        /// The deadlines of the tunnel: [`UpgradeConfig::tunnel`](crate::UpgradeConfig::tunnel).
        #[must_use]
        pub fn tunnel(mut self, tunnel: impl Into<std::sync::Arc<crate::tunnel::TunnelConfig>>) -> Self {
            self.$inner = self.$inner.tunnel(tunnel);
            self
        }

        /// Whether tunnels of WebSocket know their frames: [`UpgradeConfig::websocket`](crate::UpgradeConfig::websocket).
        #[must_use]
        pub fn websocket(mut self, websocket: impl Into<Option<crate::tunnel::WebSocketConfig>>) -> Self {
            self.$inner = self.$inner.websocket(websocket);
            self
        }

        /// Who decides about the messages of an upgrade: [`UpgradeConfig::tap`](crate::UpgradeConfig::tap).
        #[must_use]
        pub fn tap(
            mut self,
            choose: impl Fn(&http::request::Parts, crate::header::Hop) -> Option<crate::tunnel::Tap>
            + Send
            + Sync
            + 'static,
        ) -> Self {
            self.$inner = self.$inner.tap(choose);
            self
        }

        /// The limits on the upstream's response head: [`UpgradeConfig::response_limits`](crate::UpgradeConfig::response_limits).
        #[must_use]
        pub fn response_limits(mut self, limits: crate::http1::HeadLimits) -> Self {
            self.$inner = self.$inner.response_limits(limits);
            self
        }

        /// How long connecting to the upstream may take: [`UpgradeConfig::connect_timeout`](crate::UpgradeConfig::connect_timeout).
        #[must_use]
        pub fn connect_timeout(mut self, limit: std::time::Duration) -> Self {
            self.$inner = self.$inner.connect_timeout(limit);
            self
        }

        /// How long the upstream may take for its answer: [`UpgradeConfig::handshake_timeout`](crate::UpgradeConfig::handshake_timeout).
        #[must_use]
        pub fn handshake_timeout(mut self, limit: std::time::Duration) -> Self {
            self.$inner = self.$inner.handshake_timeout(limit);
            self
        }

        /// How long a body may make its reader wait: [`UpgradeConfig::read_timeout`](crate::UpgradeConfig::read_timeout).
        #[must_use]
        pub fn read_timeout(mut self, limit: std::time::Duration) -> Self {
            self.$inner = self.$inner.read_timeout(limit);
            self
        }

        /// How many upgrades there may be at the same time: [`UpgradeConfig::cap`](crate::UpgradeConfig::cap).
        #[must_use]
        pub fn cap(mut self, cap: impl Into<Option<crate::tunnel::Cap>>) -> Self {
            self.$inner = self.$inner.cap(cap);
            self
        }

        /// How many of them may be one peer's: [`UpgradeConfig::peer_cap`](crate::UpgradeConfig::peer_cap).
        #[must_use]
        pub fn peer_cap(mut self, cap: impl Into<Option<crate::tunnel::PeerCap>>) -> Self {
            self.$inner = self.$inner.peer_cap(cap);
            self
        }

        /// Where tunnels are listed: [`UpgradeConfig::tunnels`](crate::UpgradeConfig::tunnels).
        #[must_use]
        pub fn tunnels(mut self, tunnels: impl Into<Option<crate::tunnel::Tunnels>>) -> Self {
            self.$inner = self.$inner.tunnels(tunnels);
            self
        }
    };
}

pub(crate) use upgrade_setters;

//! The settings that both doors share: which upgrades are allowed, how many, and how long each of their steps may take.

use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;

use super::outgoing::Outgoing;
use super::taps::Taps;
use crate::handshake::{HandshakePolicy, Switched};
use crate::header::Hop;
use crate::http1::HeadLimits;
use crate::tunnel::{Cap, Label, Listing, PeerCap, Tap, TunnelConfig, Tunnels, Watched, WebSocketConfig};

/// The policy, deadlines, limits and caps of the upgrades that a proxy carries, whichever door they come through.
///
/// ```
/// use std::time::Duration;
/// use switchover::{HandshakePolicy, TunnelConfig, UpgradeConfig};
/// use switchover::gateway::GatewayConfig;
///
/// let upgrade = UpgradeConfig::default()
///     .policy(HandshakePolicy::default().allow_subprotocol("chat.v2"))
///     .tunnel(TunnelConfig::default().idle_timeout(Duration::from_secs(75)))
///     .handshake_timeout(Duration::from_secs(10));
/// let config = GatewayConfig::default().upgrade(upgrade);
/// ```
#[derive(Clone, Debug)]
pub struct UpgradeConfig {
    pub(crate) policy: HandshakePolicy,
    pub(crate) tunnel: Arc<TunnelConfig>,
    websocket: Option<WebSocketConfig>,
    pub(super) taps: Option<Taps>,
    pub(crate) connect_timeout: Duration,
    pub(crate) handshake_timeout: Duration,
    pub(crate) read_timeout: Duration,
    pub(crate) response_limits: HeadLimits,
    pub(super) cap: Option<Cap>,
    pub(super) peer_cap: Option<PeerCap>,
    pub(crate) tunnels: Option<Tunnels>,
}

impl Default for UpgradeConfig {
    fn default() -> Self {
        UpgradeConfig {
            policy: HandshakePolicy::default(),
            tunnel: Arc::default(),
            websocket: None,
            taps: None,
            connect_timeout: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(60),
            read_timeout: Duration::from_secs(60),
            response_limits: HeadLimits::default(),
            cap: None,
            peer_cap: None,
            tunnels: None,
        }
    }
}

impl UpgradeConfig {
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

    /// Tunnels that carry WebSocket know their frames: what that gives is said at
    /// [`Tunnel::websocket`](crate::tunnel::Tunnel::websocket). Default: `None`, they carry bytes.
    ///
    /// Of no effect on any other protocol. Frames may have the reserved bits set that the extensions agreed on need
    /// ([`Switched::reserved_bits`]), unless the configuration names others.
    #[must_use]
    pub fn websocket(mut self, websocket: impl Into<Option<WebSocketConfig>>) -> Self {
        self.websocket = websocket.into();
        self
    }

    /// Has this choose who decides about the messages of an upgrade, by the head of the client's request and the client's
    /// [`Hop`]: [`Tunnel::tap`](crate::tunnel::Tunnel::tap). Default: nobody decides.
    ///
    /// It is called before the origin is asked, once for each upgrade. An upgrade with a tap offers the origin those extensions only
    /// that its [`Compression`](crate::tunnel::Compression) allows: by default none, so that nothing is compressed. Of no effect if
    /// both sides agree on another protocol than WebSocket.
    ///
    /// ```
    /// use switchover::UpgradeConfig;
    /// use switchover::tunnel::{Decision, MessageHead, MessageTap, Tap};
    ///
    /// struct OnlyText;
    ///
    /// impl MessageTap for OnlyText {
    ///     fn decide(&mut self, head: &MessageHead) -> Decision {
    ///         if head.is_text() { Decision::Pass } else { Decision::Drop }
    ///     }
    /// }
    ///
    /// let config = UpgradeConfig::default()
    ///     .tap(|head, _hop| head.uri.path().starts_with("/chat").then(|| Tap::new(OnlyText)));
    /// ```
    #[must_use]
    pub fn tap(mut self, choose: impl Fn(&Parts, Hop) -> Option<Tap> + Send + Sync + 'static) -> Self {
        self.taps = Some(Taps::new(choose));
        self
    }

    /// How the tunnel after this switch is to know its frames, if it is to.
    pub(crate) fn websocket_of(&self, switched: &Switched, tap: Option<&Tap>) -> Option<WebSocketConfig> {
        let config = self.websocket.clone().or(tap.map(|_| WebSocketConfig::default()));
        let config = config.filter(|_| switched.protocol().is_websocket())?;
        if config.allowed_reserved_bits().is_some() {
            return Some(config);
        }
        let bits = switched.reserved_bits();
        let config = config.reserved_bits(bits);
        // Another extension may use the same bit in frames of its own.
        Some(config.permessage_deflate(bits == [true, false, false]))
    }

    /// How long connecting to the upstream may take; then 504. Default 10 seconds.
    ///
    /// The servers of a [group](crate::upstream::Group) share it.
    #[must_use]
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.connect_timeout = limit;
        self
    }

    /// How long the upstream may take from the connection to the head of its answer; then 504. Disarmed by the 101:
    /// it never ends a tunnel. Default 60 seconds.
    ///
    /// Each server of a [group](crate::upstream::Group) that is asked has it again, in full: how often that may be, and for how long,
    /// is for its [`Retry`](crate::upstream::Retry) to say.
    #[must_use]
    pub fn handshake_timeout(mut self, limit: Duration) -> Self {
        self.handshake_timeout = limit;
        self
    }

    /// How long a declined upgrade's body may wait for the upstream's next bytes, and a request's body, where the
    /// policy allows one, for the client's. Default 60 seconds.
    #[must_use]
    pub fn read_timeout(mut self, limit: Duration) -> Self {
        self.read_timeout = limit;
        self
    }

    /// The limits on the upstream's response head: 502 beyond them. Default [`HeadLimits::default`].
    #[must_use]
    pub fn response_limits(mut self, limits: HeadLimits) -> Self {
        self.response_limits = limits;
        self
    }

    /// How many upgrades may be on their way or tunnelled at the same time. Default: none, no cap.
    ///
    /// One beyond it is refused with [`Rejection::TooManyTunnels`](crate::handshake::Rejection::TooManyTunnels), 503,
    /// before any upstream is asked. One within it keeps its place from its request head until its tunnel has
    /// ended, or it has failed, been declined or given up.
    ///
    /// Whatever shares a [`Cap`] counts together. Ordinary requests are not counted.
    ///
    /// A tunnel needs two file descriptors: too high, and they run out first, for everyone.
    #[must_use]
    pub fn cap(mut self, cap: impl Into<Option<Cap>>) -> Self {
        self.cap = cap.into();
        self
    }

    /// How many of them may be one client's: the peer's by the address of its [`Hop`](crate::header::Hop), or the client's behind
    /// proxies that the `Forwarding` [trusts](crate::header::ForwardedRules::trusted). Default: none, no cap.
    ///
    /// One beyond it is refused with
    /// [`Rejection::PeerLimit`](crate::handshake::Rejection::PeerLimit), 429. A hop without an
    /// address is not counted.
    ///
    /// Behind a proxy that is not trusted all clients have that proxy's address, unless the caller gives the hop another.
    #[must_use]
    pub fn peer_cap(mut self, cap: impl Into<Option<PeerCap>>) -> Self {
        self.peer_cap = cap.into();
        self
    }

    /// Where tunnels are listed, to be seen and ended by others. Default: none, they are in no registry.
    ///
    /// A tunnel that a service has opened is labelled with the [`Label`] among the request's extensions, if there is one. It is in
    /// the registry from the answer of the upstream on, and begins to run when the server has sent the client its own.
    ///
    /// From the start of its [drain](Tunnels::drain) on upgrades are refused with
    /// [`Rejection::Draining`](crate::handshake::Rejection::Draining), 503.
    #[must_use]
    pub fn tunnels(mut self, tunnels: impl Into<Option<Tunnels>>) -> Self {
        self.tunnels = tunnels.into();
        self
    }

    /// What a registry says of the tunnel of this upgrade, if there is a registry. Boxed: mostly there is none.
    pub(crate) fn listing(&self, outgoing: &Outgoing) -> Option<Box<Listing>> {
        self.tunnels.as_ref().map(|_| Box::new(outgoing.listing()))
    }

    /// Lists the tunnel of an upgrade that both sides have agreed on. `is_signalled`: it listens for the registry's drain by itself.
    pub(crate) fn list(
        &self,
        switched: &Switched,
        listing: Option<Box<Listing>>,
        label: Option<Label>,
        is_signalled: bool,
        is_framed: bool,
    ) -> Option<Watched> {
        let tunnels = self.tunnels.as_ref()?;
        let protocol = switched.protocol();
        let mut listing = match protocol.version() {
            None => listing?.protocol(protocol.name()),
            Some(_) => listing?.protocol(protocol.to_string()),
        };
        if let Some(label) = label {
            listing = listing.label(label);
        }
        if is_signalled {
            listing = listing.signalled();
        }
        Some(tunnels.list(listing, is_framed))
    }
}

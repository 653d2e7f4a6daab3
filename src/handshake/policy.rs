//! Law: what a proxy lets through. Strict by default, each leniency a switch with a name.

use crate::header::{ForwardedRules, HeaderRules, Protocol, Protocols};

use super::Origin;

/// What the handshake check allows.
///
/// ```
/// use switchover::handshake::HandshakePolicy;
/// use switchover::header::Protocol;
///
/// let policy = HandshakePolicy::default()
///     .allow(Protocol::WEBSOCKET)
///     .allow_origin("https://example.com".parse().unwrap())
///     .allow_subprotocol("chat.v2");
/// assert!(policy.protocols().contains(&Protocol::WEBSOCKET));
/// ```
#[derive(Clone, Debug)]
pub struct HandshakePolicy {
    protocols: Protocols,
    origins: Vec<Origin>,
    missing_origin: bool,
    subprotocols: Vec<String>,
    request_body: bool,
    incomplete_handshakes: bool,
    forwarded: ForwardedRules,
    rules: HeaderRules,
}

impl Default for HandshakePolicy {
    /// WebSocket only, any origin, any subprotocol, no request body, no incomplete handshakes, forwarding fields replaced.
    fn default() -> Self {
        HandshakePolicy {
            protocols: [Protocol::WEBSOCKET].into_iter().collect(),
            origins: Vec::new(),
            missing_origin: false,
            subprotocols: Vec::new(),
            request_body: false,
            incomplete_handshakes: true,
            forwarded: ForwardedRules::default(),
            rules: HeaderRules::default(),
        }
    }
}

impl HandshakePolicy {
    /// Allows one more protocol in `Upgrade`. WebSocket is allowed from the start.
    ///
    /// Protocols that are not allowed are never forwarded: a request that names only such ones is treated as if it
    /// had no `Upgrade` (RFC 9110, section 7.8). Danger: `h2c` opens a tunnel in which the origin takes further
    /// requests that no rule of the proxy sees.
    #[must_use]
    pub fn allow(mut self, protocol: Protocol) -> Self {
        self.protocols.add(protocol);
        self
    }

    /// Allows these protocols and no others.
    #[must_use]
    pub fn allow_only(mut self, protocols: impl IntoIterator<Item = Protocol>) -> Self {
        self.protocols = Protocols::default();
        for protocol in protocols {
            self.protocols.add(protocol);
        }
        self
    }

    /// Adds an origin to the allow-list. Default: no list, every origin and none at all.
    ///
    /// With a list, an upgrade whose `Origin` is not on it, or that has none, is refused with 403. Browsers do not
    /// apply CORS to WebSockets: this list is what keeps other sites' pages out (RFC 6455, section 10.2).
    #[must_use]
    pub fn allow_origin(mut self, origin: Origin) -> Self {
        self.origins.push(origin);
        self
    }

    /// With an origin allow-list: whether a request without `Origin` passes too. Default false.
    ///
    /// Only browsers send it always; programs that are not browsers may leave it out.
    #[must_use]
    pub fn allow_missing_origin(mut self, allow: bool) -> Self {
        self.missing_origin = allow;
        self
    }

    /// Adds a subprotocol to the allow-list. Default: no list, every subprotocol. Compared exactly, by case too.
    ///
    /// With a list, only the allowed ones are forwarded, and a request that offers none of them but others is
    /// refused with 400.
    #[must_use]
    pub fn allow_subprotocol(mut self, name: impl Into<String>) -> Self {
        self.subprotocols.push(name.into());
        self
    }

    /// Whether an upgrade request may have a body, which is then forwarded before the tunnel starts. Default false:
    /// refused with 400.
    ///
    /// RFC 9110 permits a body; no WebSocket client sends one, and what follows a head is where requests have been
    /// smuggled.
    #[must_use]
    pub fn allow_request_body(mut self, allow: bool) -> Self {
        self.request_body = allow;
        self
    }

    /// Whether a WebSocket handshake that has lost its upgrade is refused, with 426 and a word on what is missing: a GET
    /// with a `Sec-WebSocket-Key` in HTTP/1.0, or without `Upgrade`, or without the connection option `upgrade`. Default
    /// false: it is the ordinary request that is left of it (RFC 9110, section 7.8).
    ///
    /// It comes from a proxy in front that does not carry upgrades, and no origin can answer it with what the client
    /// waits for (RFC 6455, section 4.2.1); here is who can say so. Where WebSocket is not
    /// [allowed](HandshakePolicy::allow_only), it passes all the same.
    #[must_use]
    pub fn refuse_incomplete_handshakes(mut self, refuse: bool) -> Self {
        self.incomplete_handshakes = !refuse;
        self
    }

    /// What the origin is told about the client. Default [`ForwardedRules::default`].
    #[must_use]
    pub fn forwarded(mut self, rules: ForwardedRules) -> Self {
        self.forwarded = rules;
        self
    }

    /// Which fields are set, added and removed, on upgrade requests and on their answers: the 101, and those that
    /// decline. Default [`HeaderRules::default`].
    ///
    /// What depends on the route is set on [`UpgradeRequest`](super::UpgradeRequest::set_header_rules) instead.
    #[must_use]
    pub fn header_rules(mut self, rules: HeaderRules) -> Self {
        self.rules = rules;
        self
    }

    /// The allowed protocols.
    pub fn protocols(&self) -> &Protocols {
        &self.protocols
    }

    /// What the origin is told about the client.
    pub fn forwarded_rules(&self) -> &ForwardedRules {
        &self.forwarded
    }

    pub(super) fn rules(&self) -> &HeaderRules {
        &self.rules
    }

    pub(super) fn allows_request_body(&self) -> bool {
        self.request_body
    }

    pub(super) fn allows_incomplete_handshakes(&self) -> bool {
        self.incomplete_handshakes || !self.protocols.contains(&Protocol::WEBSOCKET)
    }

    pub(super) fn allows_missing_origin(&self) -> bool {
        self.missing_origin || self.origins.is_empty()
    }

    pub(super) fn allows_origin(&self, origin: &[u8]) -> bool {
        let parsed = || {
            std::str::from_utf8(origin)
                .ok()
                .and_then(|text| text.parse().ok())
        };
        self.origins.is_empty() || parsed().is_some_and(|origin| self.origins.contains(&origin))
    }

    pub(super) fn restricts_subprotocols(&self) -> bool {
        !self.subprotocols.is_empty()
    }

    pub(super) fn allows_subprotocol(&self, name: &[u8]) -> bool {
        !self.restricts_subprotocols() || self.subprotocols.iter().any(|allowed| allowed.as_bytes() == name)
    }
}

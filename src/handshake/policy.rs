//! What a proxy lets through. Strict by default, each leniency a switch with a name.
//!
//! Must not know how a request is checked; that is `request.rs`.

#[cfg(feature = "hyper")]
use http::header::{HeaderMap, SEC_WEBSOCKET_VERSION, UPGRADE};
use http::request::Parts;

use crate::header::{Protocol, Protocols};
use crate::http1::AnyRequest;

use super::allowed_origins::AllowedOrigins;
use super::{OriginPattern, Rejection};

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
    any_protocol: bool,
    origins: AllowedOrigins,
    subprotocols: Vec<String>,
    strict_subprotocols: bool,
    request_body: RequestBody,
    incomplete_handshakes: bool,
}

/// Which upgrade requests may have a body.
#[derive(Clone, Copy, Debug, Default)]
enum RequestBody {
    /// All but WebSocket handshakes.
    #[default]
    ByProtocol,
    Allowed,
    Refused,
}

impl Default for HandshakePolicy {
    /// WebSocket only and without a request body, any origin, any subprotocol in whatever syntax, incomplete handshakes
    /// relayed.
    fn default() -> Self {
        HandshakePolicy {
            protocols: [Protocol::WEBSOCKET].into_iter().collect(),
            any_protocol: false,
            origins: AllowedOrigins::default(),
            subprotocols: Vec::new(),
            strict_subprotocols: false,
            request_body: RequestBody::default(),
            incomplete_handshakes: true,
        }
    }
}

impl HandshakePolicy {
    /// Allows every protocol in `Upgrade` but HTTP itself: `h2c`, `h2`, their drafts (`h2c-14`) and `HTTP` of any
    /// version are forwarded only where [`allow`](HandshakePolicy::allow) names them.
    ///
    /// All else is as in [`HandshakePolicy::default`]. For a proxy in front of origins whose protocols are not known to its
    /// operator. Danger: an origin that takes requests within a protocol that is not known here takes them past all rules
    /// of the proxy.
    ///
    /// ```
    /// use switchover::handshake::HandshakePolicy;
    ///
    /// let policy = HandshakePolicy::any_protocol();
    /// assert!(policy.allows(&"tcp".parse().unwrap()));
    /// assert!(!policy.allows(&"h2c".parse().unwrap()));
    /// ```
    #[must_use]
    pub fn any_protocol() -> Self {
        HandshakePolicy {
            any_protocol: true,
            ..HandshakePolicy::default()
        }
    }

    /// Allows one more protocol in `Upgrade`. WebSocket is allowed from the start.
    ///
    /// Protocols that are not allowed are never forwarded: a request that names only such ones is treated as if it
    /// had no `Upgrade` (RFC 9110, section 7.8). Danger: `h2c` opens a tunnel in which the origin takes further
    /// requests that no rule of the proxy sees. Nor does an origin that keeps to RFC 7540 switch to it, because the field
    /// `HTTP2-Settings` ends at this hop.
    #[must_use]
    pub fn allow(mut self, protocol: Protocol) -> Self {
        self.protocols.add(protocol);
        self
    }

    /// Allows these protocols and no others.
    #[must_use]
    pub fn allow_only(mut self, protocols: impl IntoIterator<Item = Protocol>) -> Self {
        self.any_protocol = false;
        self.protocols = Protocols::default();
        for protocol in protocols {
            self.protocols.add(protocol);
        }
        self
    }

    /// Adds an origin, or a pattern of origins, to the allow-list. Default: no list, every origin and none at all.
    ///
    /// With a list, an upgrade whose `Origin` is not on it, or that has none, is refused with 403. Browsers do not
    /// apply CORS to WebSockets: this list is what keeps other sites' pages out (RFC 6455, section 10.2).
    #[must_use]
    pub fn allow_origin(mut self, origin: OriginPattern) -> Self {
        self.origins.add(origin);
        self
    }

    /// Allows an origin where this function says so, besides those of the allow-list. Default: none. A later one takes
    /// the place of an earlier one.
    ///
    /// The function is given the value of `Origin` and the request, for rules that a list cannot have: an origin whose host
    /// is that of `Host`, or one that a database knows. It runs for each upgrade and must not block. A request without
    /// `Origin`, or with several, does not come to it.
    ///
    /// ```
    /// use switchover::handshake::HandshakePolicy;
    ///
    /// let same_host = HandshakePolicy::default().allow_origin_if(|origin, request| {
    ///     let host = request.headers.get("host").and_then(|host| host.to_str().ok());
    ///     origin.split_once("://").map(|(_, authority)| authority) == host
    /// });
    /// ```
    #[must_use]
    pub fn allow_origin_if(mut self, allows: impl Fn(&str, &Parts) -> bool + Send + Sync + 'static) -> Self {
        self.origins.allow_if(allows);
        self
    }

    /// With an origin allow-list: whether a request without `Origin` passes too. Default false.
    ///
    /// Only browsers send it always; programs that are not browsers may leave it out.
    #[must_use]
    pub fn allow_missing_origin(mut self, allow: bool) -> Self {
        self.origins.allow_missing(allow);
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

    /// Whether the subprotocols that a client offers must be different tokens (RFC 6455, section 4.1, item 10); those that are
    /// not are refused with 400. Default false: they go on as they came, whatever their syntax.
    ///
    /// Clients in use offer names such as `SPDY/3.1+portforward.k8s.io` or `name:variant`, an empty field, or a name twice,
    /// and their servers know them. What the server selects must be one of those offered in either case, byte for byte.
    #[must_use]
    pub fn require_subprotocol_tokens(mut self, require: bool) -> Self {
        self.strict_subprotocols = require;
        self
    }

    /// Whether an upgrade request may have a body, which is then forwarded before the tunnel starts; else it is refused
    /// with 400. Default: a WebSocket handshake may not, and a request for other protocols only may.
    ///
    /// RFC 9110 permits a body, and protocols use it (`docker exec` is a POST with `Upgrade: tcp`). No WebSocket client
    /// sends one. Danger: what follows a head is where requests have been smuggled.
    #[must_use]
    pub fn allow_request_body(mut self, allow: bool) -> Self {
        self.request_body = match allow {
            true => RequestBody::Allowed,
            false => RequestBody::Refused,
        };
        self
    }

    /// Whether a WebSocket handshake that has lost its upgrade is refused, with 426 and a word on what is missing: a GET
    /// with a `Sec-WebSocket-Key` in HTTP/1.0, or without `Upgrade`, or without the connection option `upgrade`. Default
    /// false: it is the ordinary request that is left of it (RFC 9110, section 7.8).
    ///
    /// It comes from a proxy in front that does not carry upgrades, and no origin can answer it with what the client
    /// waits for (RFC 6455, section 4.2.1). This proxy is the first that can say so. Where WebSocket is not
    /// [allowed](HandshakePolicy::allow_only), it passes all the same.
    #[must_use]
    pub fn refuse_incomplete_handshakes(mut self, refuse: bool) -> Self {
        self.incomplete_handshakes = !refuse;
        self
    }

    /// The protocols that are allowed by name. [`allows`](HandshakePolicy::allows) also knows of
    /// [`any_protocol`](HandshakePolicy::any_protocol).
    #[must_use]
    pub fn protocols(&self) -> &Protocols {
        &self.protocols
    }

    /// Whether a protocol is allowed in `Upgrade`.
    #[must_use]
    pub fn allows(&self, protocol: &Protocol) -> bool {
        self.protocols.contains(protocol) || self.any_protocol && !protocol.is_http()
    }

    pub(super) fn allows_request_body(&self, protocols: &Protocols) -> bool {
        match self.request_body {
            RequestBody::ByProtocol => !protocols.contains(&Protocol::WEBSOCKET),
            RequestBody::Allowed => true,
            RequestBody::Refused => false,
        }
    }

    /// Makes a 426 name what is allowed, where that is not WebSocket (RFC 9110, section 15.5.22).
    #[cfg(feature = "hyper")]
    pub(crate) fn name_in_426(&self, headers: &mut HeaderMap) {
        use crate::http1::AnyFields;

        if headers.contains_key(UPGRADE) && !self.allows(&Protocol::WEBSOCKET) {
            headers.take_out(&SEC_WEBSOCKET_VERSION);
            headers.insert(UPGRADE, self.protocols.to_value());
        }
    }

    pub(super) fn allows_incomplete_handshakes(&self) -> bool {
        self.incomplete_handshakes || !self.allows(&Protocol::WEBSOCKET)
    }

    pub(super) fn check_origin(&self, head: &impl AnyRequest) -> Result<(), Rejection> {
        self.origins.check(head)
    }

    pub(super) fn requires_subprotocol_tokens(&self) -> bool {
        self.strict_subprotocols
    }

    pub(super) fn restricts_subprotocols(&self) -> bool {
        !self.subprotocols.is_empty()
    }

    pub(super) fn allows_subprotocol(&self, name: &[u8]) -> bool {
        !self.restricts_subprotocols() || self.subprotocols.iter().any(|allowed| allowed.as_bytes() == name)
    }
}

//! How the proxy itself refuses a request: status, required fields, the reason, and what to change.

use http::header::{
    ALLOW, CONNECTION, CONTENT_TYPE, HeaderMap, HeaderValue, SEC_WEBSOCKET_VERSION, UPGRADE,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{Response, StatusCode};

use super::extended_connect::MalformedConnect;
use crate::header::ProtocolError;
use crate::header::hop_by_hop::TooManyOptions;
use crate::http1::HeadError;
use crate::token::MAX_ELEMENTS;
use crate::websocket::KeyError;

/// A request that the proxy refuses by itself, before any upstream is asked.
///
/// The `Display` text is the reason; [`hint`](Rejection::hint) says what to change.
///
/// ```
/// use switchover::handshake::Rejection;
///
/// let rejection = Rejection::VersionUnsupported;
/// assert_eq!(rejection.status(), 426);
/// assert_eq!(rejection.headers()["sec-websocket-version"], "13");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
    /// The head is not a valid HTTP/1.1 request head.
    #[error("the request head is invalid: {0}")]
    Head(HeadError),
    /// No whole request head within the header deadline.
    #[error("the request head did not arrive in time")]
    HeadTimeout,
    /// CONNECT, which asks for a forward proxy.
    #[error("CONNECT is not served here")]
    Connect,
    /// TRACE, which hands an origin's client what proxies have added to its request (RFC 9110, section 9.3.8).
    #[error("TRACE is not served here")]
    Trace,
    /// A malformed extended CONNECT (RFC 8441).
    #[error("the extended CONNECT is malformed: {0}")]
    ExtendedConnect(MalformedConnect),
    /// An extended CONNECT to a protocol that is not served (RFC 9220, section 3).
    #[error("the :protocol of the extended CONNECT is not served here")]
    ProtocolUnknown,
    /// A CONNECT of HTTP/2, which may ask for a WebSocket (RFC 8441), in a program that is built without the feature `http2`.
    #[error("a CONNECT of HTTP/2, and WebSocket over HTTP/2 is not compiled into this proxy")]
    Http2Connect,
    /// More connection options than anyone needs.
    #[error(transparent)]
    ConnectionOptions(#[from] TooManyOptions),
    /// An `Upgrade` field that is not a list of protocols.
    #[error("the Upgrade field is invalid: {0}")]
    Upgrade(ProtocolError),
    /// An upgrade request with a body.
    #[error("an upgrade request with a body")]
    Body,
    /// A WebSocket handshake in an HTTP/1.0 request, in which `Upgrade` means nothing (RFC 9110, section 7.8).
    #[error("a WebSocket handshake in an HTTP/1.0 request")]
    HandshakeInHttp10,
    /// A WebSocket handshake, or a connection option `upgrade`, without a protocol in `Upgrade`.
    #[error("the request asks for an upgrade, and no Upgrade field names a protocol")]
    UpgradeMissing,
    /// An `Upgrade` that is served here, without the connection option `upgrade`.
    #[error("the request names a protocol in Upgrade, and no Connection field has the option upgrade")]
    ConnectionOptionMissing,
    /// An `Upgrade` that names none of the protocols that are allowed, where nothing else is served.
    #[error("none of the protocols in the Upgrade field is allowed here")]
    ProtocolNotAllowed,
    /// A WebSocket handshake that is not a GET (RFC 6455, section 4.1).
    #[error("a WebSocket handshake is a GET")]
    Method,
    /// No `Sec-WebSocket-Key`.
    #[error("the Sec-WebSocket-Key field is missing")]
    KeyMissing,
    /// More than one `Sec-WebSocket-Key`.
    #[error("the Sec-WebSocket-Key field is repeated")]
    KeyRepeated,
    /// A `Sec-WebSocket-Key` that is not 16 bytes in base64.
    #[error("the Sec-WebSocket-Key field is invalid: {0}")]
    KeyInvalid(KeyError),
    /// No `Sec-WebSocket-Version`.
    #[error("the Sec-WebSocket-Version field is missing")]
    VersionMissing,
    /// More than one `Sec-WebSocket-Version`.
    #[error("the Sec-WebSocket-Version field is repeated")]
    VersionRepeated,
    /// A WebSocket version other than 13 (RFC 6455, section 4.4).
    #[error("the WebSocket version is not 13")]
    VersionUnsupported,
    /// More subprotocols than [`MAX_ELEMENTS`].
    #[error("the Sec-WebSocket-Protocol field offers more than {MAX_ELEMENTS} subprotocols")]
    TooManySubprotocols,
    /// A `Sec-WebSocket-Protocol` that is not a list of different tokens, where the policy
    /// [requires it](super::HandshakePolicy::require_subprotocol_tokens).
    #[error("the Sec-WebSocket-Protocol field is not a list of different tokens")]
    SubprotocolInvalid,
    /// None of the subprotocols offered is allowed.
    #[error("none of the offered subprotocols is allowed")]
    SubprotocolNotAllowed,
    /// More extensions than [`MAX_ELEMENTS`].
    #[error("the Sec-WebSocket-Extensions field offers more than {MAX_ELEMENTS} extensions")]
    TooManyExtensions,
    /// A `Sec-WebSocket-Extensions` that is not a list of extensions.
    #[error("the Sec-WebSocket-Extensions field is not a list of extensions")]
    ExtensionInvalid,
    /// No `Origin`, where an allow-list wants one.
    #[error("the Origin field is missing")]
    OriginMissing,
    /// An `Origin` that is not on the allow-list, or more than one.
    #[error("the Origin is not allowed")]
    OriginNotAllowed,
    /// No route leads anywhere for this host and path.
    #[error("there is no route for this host and path")]
    NoRoute,
    /// The path can be read in more than one way, and not all of them lead to the same route
    /// ([`PathReading`](crate::route::PathReading)).
    #[error("the path can be read in more than one way")]
    AmbiguousPath,
    /// As many tunnels as the proxy may carry are open. The answer has no `Retry-After`: nobody knows when one of them
    /// will end.
    #[error("as many tunnels as allowed are open")]
    TooManyTunnels,
    /// This peer has as many tunnels as one peer may have.
    #[error("as many tunnels as one peer may have are open")]
    PeerLimit,
    /// A request whose body is larger than it may be.
    #[error("the request's body is larger than the limit of {limit} bytes")]
    BodyTooLarge {
        /// The most bytes that a body may have.
        limit: u64,
    },
    /// No upgrade, where nothing else is served.
    #[error("this resource is served only over an upgraded connection")]
    UpgradeRequired,
    /// The proxy is about to end, and opens no more tunnels.
    #[error("the proxy is about to end")]
    Draining,
    /// The HTTP server has not given the service the address of the peer.
    #[error("the proxy has not been given the address of the peer")]
    PeerUnknown,
    /// The HTTP server under the proxy does not let go of its connections.
    #[error("the server here does not offer upgrades")]
    NoUpgradeHere,
}

impl From<HeadError> for Rejection {
    fn from(error: HeadError) -> Self {
        Rejection::Head(error)
    }
}

impl From<MalformedConnect> for Rejection {
    fn from(error: MalformedConnect) -> Self {
        Rejection::ExtendedConnect(error)
    }
}

impl From<ProtocolError> for Rejection {
    fn from(error: ProtocolError) -> Self {
        Rejection::Upgrade(error)
    }
}

impl From<KeyError> for Rejection {
    fn from(error: KeyError) -> Self {
        Rejection::KeyInvalid(error)
    }
}

impl Rejection {
    /// In a word, for logs and metrics: the variant in lower case with hyphens, such as `origin-not-allowed`, and of
    /// [`Rejection::Head`] the name of its [`HeadError`]. None of them changes in a minor version.
    pub const fn name(&self) -> &'static str {
        match self {
            Rejection::Head(error) => error.name(),
            Rejection::HeadTimeout => "head-timeout",
            Rejection::Connect => "connect",
            Rejection::Trace => "trace",
            Rejection::ExtendedConnect(_) => "extended-connect",
            Rejection::ProtocolUnknown => "protocol-unknown",
            Rejection::Http2Connect => "http2-connect",
            Rejection::ConnectionOptions(_) => "connection-options",
            Rejection::Upgrade(_) => "upgrade",
            Rejection::Body => "body",
            Rejection::HandshakeInHttp10 => "handshake-in-http10",
            Rejection::UpgradeMissing => "upgrade-missing",
            Rejection::ConnectionOptionMissing => "connection-option-missing",
            Rejection::ProtocolNotAllowed => "protocol-not-allowed",
            Rejection::Method => "method",
            Rejection::KeyMissing => "key-missing",
            Rejection::KeyRepeated => "key-repeated",
            Rejection::KeyInvalid(_) => "key-invalid",
            Rejection::VersionMissing => "version-missing",
            Rejection::VersionRepeated => "version-repeated",
            Rejection::VersionUnsupported => "version-unsupported",
            Rejection::TooManySubprotocols => "too-many-subprotocols",
            Rejection::SubprotocolInvalid => "subprotocol-invalid",
            Rejection::SubprotocolNotAllowed => "subprotocol-not-allowed",
            Rejection::TooManyExtensions => "too-many-extensions",
            Rejection::ExtensionInvalid => "extension-invalid",
            Rejection::OriginMissing => "origin-missing",
            Rejection::OriginNotAllowed => "origin-not-allowed",
            Rejection::NoRoute => "no-route",
            Rejection::AmbiguousPath => "ambiguous-path",
            Rejection::TooManyTunnels => "too-many-tunnels",
            Rejection::PeerLimit => "peer-limit",
            Rejection::BodyTooLarge { .. } => "body-too-large",
            Rejection::UpgradeRequired => "upgrade-required",
            Rejection::Draining => "draining",
            Rejection::PeerUnknown => "peer-unknown",
            Rejection::NoUpgradeHere => "no-upgrade-here",
        }
    }

    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        match self {
            Rejection::Head(error) => error.status(),
            Rejection::HeadTimeout => StatusCode::REQUEST_TIMEOUT,
            Rejection::Connect | Rejection::ProtocolUnknown | Rejection::Http2Connect => {
                StatusCode::NOT_IMPLEMENTED
            }
            Rejection::Method | Rejection::Trace => StatusCode::METHOD_NOT_ALLOWED,
            Rejection::VersionUnsupported
            | Rejection::UpgradeRequired
            | Rejection::HandshakeInHttp10
            | Rejection::UpgradeMissing
            | Rejection::ConnectionOptionMissing
            | Rejection::ProtocolNotAllowed => StatusCode::UPGRADE_REQUIRED,
            Rejection::NoUpgradeHere | Rejection::PeerUnknown => StatusCode::INTERNAL_SERVER_ERROR,
            Rejection::OriginMissing | Rejection::OriginNotAllowed => StatusCode::FORBIDDEN,
            Rejection::NoRoute => StatusCode::NOT_FOUND,
            Rejection::TooManyTunnels | Rejection::Draining => StatusCode::SERVICE_UNAVAILABLE,
            Rejection::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            // RFC 6585, section 4. Not 503, by which a balancer would take the whole gateway for overloaded.
            Rejection::PeerLimit => StatusCode::TOO_MANY_REQUESTS,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// The fields that the status requires, besides those that every answer has.
    pub fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        match self {
            Rejection::Method => {
                headers.insert(ALLOW, HeaderValue::from_static("GET"));
            }
            // RFC 9110, section 15.5.6: a 405 has the field. What the origin makes of each of these is its own affair.
            Rejection::Trace => {
                let others = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
                headers.insert(ALLOW, others);
            }
            // RFC 6455, section 4.4: the versions that would do.
            Rejection::VersionMissing | Rejection::VersionRepeated => {
                headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            }
            // RFC 9110, section 15.5.22: a 426 names the protocol, as a connection option too.
            _ if self.status() == StatusCode::UPGRADE_REQUIRED => {
                headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
                headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
                headers.insert(CONNECTION, HeaderValue::from_static("close, upgrade"));
            }
            _ => {}
        }
        headers
    }

    /// One sentence for the operator of the client or of the proxy: what to change.
    pub fn hint(&self) -> &'static str {
        match self {
            Rejection::Head(error) => error.hint(),
            Rejection::HeadTimeout => "Send the whole head at once, or raise the header deadline.",
            Rejection::Connect => "Use a forward proxy for CONNECT; this one serves origins of its own.",
            Rejection::Trace => "Use another method, or allow this one with RelayConfig::allow_trace.",
            Rejection::ExtendedConnect(_) => {
                "Send :scheme, :authority and :path, and no field of an HTTP/1.1 connection (RFC 8441, section 4)."
            }
            Rejection::ProtocolUnknown => {
                "Ask for `websocket`, the only protocol that goes by extended CONNECT here."
            }
            Rejection::Http2Connect => {
                "Build the proxy with switchover's feature `http2`, or do not enable the extended CONNECT protocol in the server."
            }
            Rejection::ConnectionOptions(_) => "Send only the connection options that this hop needs.",
            Rejection::Upgrade(_) => "Send a list of protocols, as in `Upgrade: websocket`.",
            Rejection::Body => {
                "Send the upgrade request without a body, or allow bodies with HandshakePolicy::allow_request_body."
            }
            Rejection::BodyTooLarge { .. } => {
                "Send less, or raise the limit on the bodies of requests: RelayConfig::max_request_body."
            }
            Rejection::HandshakeInHttp10 => {
                "Speak HTTP/1.1 to this proxy; an nginx in front needs `proxy_http_version 1.1`."
            }
            Rejection::UpgradeMissing => {
                "Send `Upgrade: websocket`; an nginx in front needs `proxy_set_header Upgrade $http_upgrade`, and one for Connection."
            }
            Rejection::ConnectionOptionMissing => {
                "Send `Connection: Upgrade`; an nginx in front needs `proxy_set_header Connection \"upgrade\"`."
            }
            Rejection::ProtocolNotAllowed => {
                "Ask for a protocol that is served here, or allow this one with HandshakePolicy::allow."
            }
            Rejection::Method => {
                "Open the WebSocket with GET; a proxy in between may have changed the method."
            }
            Rejection::KeyMissing | Rejection::VersionMissing => {
                "Use a WebSocket client, not a plain HTTP one; a proxy in front may also have removed the field."
            }
            Rejection::KeyRepeated | Rejection::VersionRepeated => {
                "Send the field once; a proxy in front may have added its own."
            }
            Rejection::KeyInvalid(_) => "Send 16 random bytes in base64, 24 characters.",
            Rejection::VersionUnsupported => "Use a client that speaks version 13, the one of RFC 6455.",
            Rejection::TooManySubprotocols | Rejection::TooManyExtensions => {
                "Offer only what the client can use; a client in order offers a few."
            }
            Rejection::SubprotocolInvalid => {
                "Offer each subprotocol once, as a token, or let others pass with HandshakePolicy::require_subprotocol_tokens."
            }
            Rejection::SubprotocolNotAllowed => {
                "Offer an allowed subprotocol, or allow it with HandshakePolicy::allow_subprotocol."
            }
            Rejection::ExtensionInvalid => {
                "Offer extensions as tokens with parameters (RFC 6455, section 9.1)."
            }
            Rejection::OriginMissing => {
                "Send an Origin, or let programs without one in with HandshakePolicy::allow_missing_origin."
            }
            Rejection::OriginNotAllowed => {
                "Open the page from an allowed origin, or add its origin with HandshakePolicy::allow_origin."
            }
            Rejection::NoRoute => "Ask for a host and path that a route names, or add a route for this one.",
            Rejection::AmbiguousPath => {
                "Send a path without dot segments, empty segments, encoded slashes, backslashes and semicolons."
            }
            Rejection::TooManyTunnels => "Try again later, or raise the cap on tunnels.",
            Rejection::UpgradeRequired => {
                "Ask for an upgrade here, as a WebSocket client does; a proxy in front may have removed the Upgrade or Connection field, as nginx does without proxy_http_version 1.1 and two proxy_set_header."
            }
            Rejection::Draining => "Try again; another instance will answer.",
            Rejection::PeerUnknown => {
                "Serve the axum app with into_make_service_with_connect_info::<SocketAddr>() and switchover's feature `axum`, put a SocketAddr or a Hop among the request's extensions, or say where it is with ServiceConfig::hop."
            }
            Rejection::NoUpgradeHere => {
                "Serve connections with upgrades: axum::serve, hyper-util's serve_connection_with_upgrades, or hyper's with_upgrades."
            }
            Rejection::PeerLimit => {
                "Close a connection, or raise the cap on the tunnels of one peer; behind a proxy all clients are one peer."
            }
        }
    }

    /// The whole answer: a short text with the reason and the hint, and `Connection: close`.
    ///
    /// The text repeats nothing that the client sent. There is no `Content-Length`: HTTP libraries set it by themselves,
    /// and a caller that writes bytes may leave it out, because the connection closes after them. An answer to a HEAD has no body.
    pub fn into_response(self) -> Response<String> {
        let mut response = last_response(self.status(), format!("{self}\n{}\n", self.hint()));
        response.headers_mut().extend(self.headers());
        response
    }
}

/// A response of the proxy's own, after which the connection closes.
pub(crate) fn last_response(status: StatusCode, text: String) -> Response<String> {
    let mut response = Response::new(text);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

//! What an upgrade request is, and which ones are refused (RFC 9110, section 7.8; RFC 6455, section 4.2.1).
//!
//! Cheap refusals come first. Must not know the upstream.

use std::collections::HashSet;

use http::header::{
    EXPECT, HeaderValue, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::request::Parts;
use http::{Method, Version};

use super::{HandshakePolicy, Rejection, Repeated, bytes, extension_names, single, subprotocol_names};
use crate::header::connection::{check_option_count, has_option};
use crate::header::{Protocol, Protocols, max_forwards};
#[cfg(feature = "gateway")]
use crate::http1::RequestHead;
use crate::http1::{AnyFields, AnyRequest, BodyLength, HeadError, check_host};
use crate::token::{self, MAX_ELEMENTS};
use crate::websocket::SecWebSocketKey;

/// The proof that a request asks for an upgrade that the policy allows.
#[derive(Clone, Debug)]
pub struct UpgradeRequest {
    pub(super) protocols: Protocols,
    pub(super) body: BodyLength,
    pub(super) offer: Option<WebSocketOffer>,
    pub(super) expects_continue: bool,
}

impl UpgradeRequest {
    /// Offers the origin only the extensions whose names are chosen. What is not offered must not be selected.
    #[cfg(feature = "gateway")]
    pub(crate) fn offer_extensions(
        &mut self,
        fields: &mut impl AnyFields,
        is_chosen: impl Fn(&[u8]) -> bool,
    ) {
        let Some(offer) = &mut self.offer else { return };
        let names_chosen = |element: &&[u8]| {
            let end = token::unquoted(element, b';').unwrap_or(element.len());
            is_chosen(token::trim_ows(&element[..end]))
        };
        let elements = offer
            .extensions
            .iter()
            .flat_map(|line| token::elements(line.as_bytes()));
        let chosen: Vec<&[u8]> = elements.filter(names_chosen).collect();
        let chosen = HeaderValue::from_bytes(&chosen.join(&b", "[..]));
        offer.extensions = chosen.into_iter().filter(|line| !line.is_empty()).collect();
        fields.take_out(&SEC_WEBSOCKET_EXTENSIONS);
        if let Some(line) = offer.extensions.first() {
            fields.set(SEC_WEBSOCKET_EXTENSIONS, line.clone());
        }
    }
}

/// What a WebSocket client offers, and the answer is measured by.
#[derive(Clone, Debug)]
pub(super) struct WebSocketOffer {
    pub(super) key: SecWebSocketKey,
    pub(super) subprotocols: Vec<HeaderValue>,
    pub(super) extensions: Vec<HeaderValue>,
}

/// Whether a request asks for a protocol switch at all: HTTP/1.1, an `Upgrade` field, and the connection option
/// `upgrade` on any `Connection` line (RFC 9110, section 7.8).
///
/// A connection on which a client has asked for one must close after an answer other than 101: what follows on it
/// may already be the other protocol (RFC 9931).
pub fn wants_upgrade(parts: &Parts) -> bool {
    asks_for_upgrade(parts)
}

/// As [`wants_upgrade`], whatever holds the head.
pub(crate) fn asks_for_upgrade(head: &impl AnyRequest) -> bool {
    let fields = head.fields();
    head.version() == Version::HTTP_11 && fields.contains(&UPGRADE) && has_option(fields, "upgrade")
}

/// Whether `Upgrade` names anything. An empty field is what some proxies make of one that they do not pass on.
fn names_a_protocol(fields: &impl AnyFields) -> bool {
    let mut elements = fields.lines(&UPGRADE).flat_map(token::unquoted_elements);
    elements.next().is_some()
}

/// What a request that is no upgrade lacks of the WebSocket handshake that its key says it is. `Upgrade` and
/// `Connection` end at every hop, so a proxy in front that does not know of upgrades drops them and leaves the rest.
///
/// RFC 6455, section 4.2.1: a server that does not find items 1, 3 and 4 in a handshake "MUST stop processing" it.
/// `Upgrade` in an HTTP/1.0 request is ignored all the same (RFC 9110, section 7.8): it is the key that is refused.
fn lost_upgrade(head: &impl AnyRequest) -> Option<Rejection> {
    let fields = head.fields();
    if *head.method() != Method::GET || !fields.contains(&SEC_WEBSOCKET_KEY) {
        return None;
    }
    match head.version() {
        Version::HTTP_10 => Some(Rejection::HandshakeInHttp10),
        Version::HTTP_11 if !names_a_protocol(fields) => Some(Rejection::UpgradeMissing),
        Version::HTTP_11 if has_option(fields, "upgrade") => None,
        // A request for another protocol has lost no handshake.
        Version::HTTP_11 => Protocols::named_by(fields)
            .is_ok_and(|protocols| protocols.contains(&Protocol::WEBSOCKET))
            .then_some(Rejection::ConnectionOptionMissing),
        // In HTTP/2 a handshake has another form (RFC 8441), and the key means nothing.
        _ => None,
    }
}

/// Why a request that [`UpgradeRequest::parse`] takes for an ordinary one cannot be served where only upgrades are.
#[cfg(feature = "hyper")]
pub(crate) fn not_an_upgrade(parts: &Parts, policy: &HandshakePolicy) -> Rejection {
    let headers = &parts.headers;
    let has_key = parts.method == Method::GET
        && headers.contains_key(SEC_WEBSOCKET_KEY)
        && policy.allows(&Protocol::WEBSOCKET);
    let has_option = has_option(headers, "upgrade");
    match (parts.version, names_a_protocol(headers)) {
        (Version::HTTP_10, named) if has_key || named => Rejection::HandshakeInHttp10,
        (Version::HTTP_11, false) if has_key || has_option => Rejection::UpgradeMissing,
        (Version::HTTP_11, true) => match Protocols::of(headers) {
            Err(error) => error.into(),
            Ok(named) if named.iter().any(|protocol| policy.allows(protocol)) => {
                Rejection::ConnectionOptionMissing
            }
            Ok(_) => Rejection::ProtocolNotAllowed,
        },
        _ => Rejection::UpgradeRequired,
    }
}

impl UpgradeRequest {
    /// Step (3) of the walk: decides whether a request is an upgrade.
    ///
    /// `Ok(None)` is an ordinary request: it asks for no upgrade, or only for protocols that are not allowed, which
    /// a server may ignore (RFC 9110, section 7.8). See [`wants_upgrade`] for what the latter means for the
    /// connection.
    ///
    /// # Errors
    ///
    /// A request that asks for an allowed upgrade and breaks a rule of it; and a WebSocket handshake that has lost its
    /// upgrade on the way, where the policy [refuses it](HandshakePolicy::refuse_incomplete_handshakes).
    pub fn parse(parts: &Parts, policy: &HandshakePolicy) -> Result<Option<Self>, Rejection> {
        Self::parse_with(parts, policy, || {
            check_host(parts.version, &parts.headers)?;
            Ok(BodyLength::of_request(parts)?)
        })
    }

    /// As [`parse`](UpgradeRequest::parse), of a head whose `Host` and framing have been checked by those who have read it.
    #[cfg(feature = "gateway")]
    pub(crate) fn parse_checked(
        head: &RequestHead,
        body: BodyLength,
        policy: &HandshakePolicy,
    ) -> Result<Option<Self>, Rejection> {
        // With neither it asks for no upgrade, and has lost none.
        if !head.fields().contains(&UPGRADE) && !head.fields().contains(&SEC_WEBSOCKET_KEY) {
            return Ok(None);
        }
        Self::parse_with(head, policy, || Ok(body))
    }

    fn parse_with(
        head: &impl AnyRequest,
        policy: &HandshakePolicy,
        body: impl FnOnce() -> Result<BodyLength, HeadError>,
    ) -> Result<Option<Self>, Rejection> {
        let fields = head.fields();
        let protocols = match asks_for_upgrade(head) {
            true => Protocols::named_by(fields)?.filtered(|protocol| policy.allows(protocol)),
            false => Protocols::default(),
        };
        // Whoever answers it, it is not the origin, and no other protocol.
        if !protocols.is_empty() && max_forwards::ends_here(head.method(), fields) {
            return Ok(None);
        }
        if protocols.is_empty() {
            return match policy.allows_incomplete_handshakes() {
                true => Ok(None),
                false => lost_upgrade(head).map_or(Ok(None), Err),
            };
        }
        if *head.method() == Method::TRACE {
            return Err(Rejection::Trace);
        }
        check_option_count(fields)?;
        let body = body()?;
        policy.check_origin(head)?;
        let offer = match protocols.contains(&Protocol::WEBSOCKET) {
            true => Some(WebSocketOffer::parse(head, policy)?),
            false => None,
        };
        if body != BodyLength::None && !policy.allows_request_body(&protocols) {
            return Err(Rejection::Body);
        }
        let mut expectations = fields.lines(&EXPECT);
        let expects_continue = expectations.any(|value| value.eq_ignore_ascii_case(b"100-continue"));
        Ok(Some(UpgradeRequest {
            protocols,
            body,
            offer,
            expects_continue,
        }))
    }

    /// The protocols asked for that are allowed, in the client's order of preference.
    #[must_use]
    pub fn protocols(&self) -> &Protocols {
        &self.protocols
    }

    /// The length of the request's body: none, unless the policy allows one.
    #[must_use]
    pub fn body_length(&self) -> BodyLength {
        self.body
    }
}

impl WebSocketOffer {
    /// The items of RFC 6455, section 4.2.1 that the caller has not checked yet.
    fn parse(head: &impl AnyRequest, policy: &HandshakePolicy) -> Result<Self, Rejection> {
        let fields = head.fields();
        // 1: "An HTTP/1.1 or higher GET request".
        if *head.method() != Method::GET {
            return Err(Rejection::Method);
        }
        // 6: "A |Sec-WebSocket-Version| header field, with a value of 13."
        let version =
            single(fields, &SEC_WEBSOCKET_VERSION).map_err(|Repeated| Rejection::VersionRepeated)?;
        if version.ok_or(Rejection::VersionMissing)? != b"13" {
            return Err(Rejection::VersionUnsupported);
        }
        // 5: a key "that, when decoded, is 16 bytes in length".
        let key = single(fields, &SEC_WEBSOCKET_KEY).map_err(|Repeated| Rejection::KeyRepeated)?;
        let key = SecWebSocketKey::parse(key.ok_or(Rejection::KeyMissing)?)?;

        let subprotocols = allowed_subprotocols(fields.values(&SEC_WEBSOCKET_PROTOCOL), policy)?;
        let extensions = fields.values(&SEC_WEBSOCKET_EXTENSIONS);
        let (mut count, mut are_tokens) = (0, true);
        for name in extension_names(bytes(&extensions)) {
            count += 1;
            if count > MAX_ELEMENTS {
                return Err(Rejection::TooManyExtensions);
            }
            are_tokens &= token::is_token(name);
        }
        if !are_tokens {
            return Err(Rejection::ExtensionInvalid);
        }
        Ok(WebSocketOffer {
            key,
            subprotocols,
            extensions,
        })
    }
}

/// The subprotocols to forward: the client's own lines, or one line with those that the policy allows.
fn allowed_subprotocols(
    offered: Vec<HeaderValue>,
    policy: &HandshakePolicy,
) -> Result<Vec<HeaderValue>, Rejection> {
    let names: Vec<&[u8]> = subprotocol_names(bytes(&offered))
        .take(MAX_ELEMENTS + 1)
        .collect();
    if names.len() > MAX_ELEMENTS {
        return Err(Rejection::TooManySubprotocols);
    }
    if policy.requires_subprotocol_tokens() && !offered.is_empty() && !are_different_tokens(&names) {
        return Err(Rejection::SubprotocolInvalid);
    }
    if !policy.restricts_subprotocols() || names.is_empty() {
        return Ok(offered);
    }
    let allowed: Vec<&[u8]> = names
        .into_iter()
        .filter(|name| policy.allows_subprotocol(name))
        .collect();
    if allowed.is_empty() {
        return Err(Rejection::SubprotocolNotAllowed);
    }
    HeaderValue::from_bytes(&allowed.join(&b", "[..]))
        .map(|line| vec![line])
        .map_err(|_| Rejection::SubprotocolInvalid)
}

/// RFC 6455, section 4.1, item 10: "The elements that comprise this value MUST be non-empty strings with characters in the
/// range U+0021 to U+007E not including separator characters … and MUST all be unique strings."
fn are_different_tokens(names: &[&[u8]]) -> bool {
    let different: HashSet<&[u8]> = names.iter().copied().collect();
    !names.is_empty() && different.len() == names.len() && names.iter().all(|name| token::is_token(name))
}

//! This file decides whether a client's extended CONNECT is an upgrade request or malformed, and how it is answered.

use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, TE,
    TRANSFER_ENCODING, UPGRADE,
};
use http::uri::PathAndQuery;
use http::{Method, StatusCode, Uri, Version, request, response};

use super::{PROTOCOL, value};
use crate::handshake::{BadSwitch, Rejection, Switched};
use crate::header::{Protocol, cookie, hop_by_hop};
use crate::http1::{AnyFields, BodyLength, HeadError, HeadLimits, HostError, check_request_unlimited};
use crate::token;
use crate::websocket::SecWebSocketKey;

/// What is wrong with an extended CONNECT (RFC 8441, section 4; RFC 9113, section 8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MalformedConnect {
    /// A `:protocol` in a request that is not a CONNECT.
    #[error(":protocol stands in a CONNECT only")]
    Method,
    /// No `:scheme`, or one that is neither `http` nor `https` (RFC 8441, section 5).
    #[error("the :scheme is neither http nor https")]
    Scheme,
    /// No `:authority`.
    #[error("the :authority is missing")]
    Authority,
    /// No `:path`, or one that does not begin with a slash.
    #[error("the :path is not a path")]
    Path,
    /// A field that belongs to an HTTP/1.1 connection (RFC 9113, section 8.2.2).
    #[error(
        "a field of an HTTP/1.1 connection: Connection, Upgrade, Transfer-Encoding, Keep-Alive or Proxy-Connection"
    )]
    ConnectionSpecific,
    /// A `TE` with anything else than `trailers` (RFC 9113, section 8.2.2).
    #[error("TE holds something else than trailers")]
    Te,
    /// A field value with white space at an end of it (RFC 9113, section 8.2.1).
    #[error("a field value begins or ends with white space")]
    FieldValue,
}

/// Makes of a client's extended CONNECT the HTTP/1.1 upgrade request that means the same.
///
/// `protocol` is the value of `:protocol`. `key` is the `Sec-WebSocket-Key` that the upstream gets: 16 random bytes, new
/// for each request ([`SecWebSocketKey::generate`]). Of the client's own fields, `Sec-WebSocket-Key` and
/// `Sec-WebSocket-Accept` are dropped, for they mean nothing in an extended CONNECT (RFC 8441, section 5); the other
/// `Sec-WebSocket-*` stay as they are, and crumbs of `Cookie` become one line.
///
/// Whether the upgrade is let through is not decided here. Where the policy does not allow WebSocket, `parse` returns
/// `None`, and [`Rejection::ProtocolUnknown`] is the answer: there is no ordinary request in a CONNECT.
///
/// # Errors
///
/// [`Rejection::Connect`] in HTTP/1.1, [`Rejection::ProtocolUnknown`] for another protocol,
/// [`Rejection::ExtendedConnect`], [`Rejection::Head`] and [`Rejection::Body`] for a malformed request.
pub fn to_upgrade(
    mut parts: request::Parts,
    protocol: &str,
    key: SecWebSocketKey,
) -> Result<request::Parts, Rejection> {
    if parts.version < Version::HTTP_2 {
        return Err(Rejection::Connect);
    }
    // A `HeaderMap` cannot hold as many fields as an HTTP/2 request may have.
    let limit = HeadLimits::default().max_fields(usize::MAX).fields();
    if parts.headers.len() > limit {
        return Err(HeadError::TooManyFields { limit }.into());
    }
    if parts.method != Method::CONNECT {
        return Err(MalformedConnect::Method.into());
    }
    // RFC 9220, section 3: 501 to an unknown protocol.
    if !protocol.eq_ignore_ascii_case(PROTOCOL) {
        return Err(Rejection::ProtocolUnknown);
    }
    let path = target_path(&parts)?;
    check_fields(&parts.headers)?;
    // RFC 9110, section 9.3.6: it has no content. RFC 9113, section 8.1.1: what follows is counted against a length that it has, even 0.
    BodyLength::of_request(&parts).map_err(HeadError::from)?;
    if parts.headers.contains_key(CONTENT_LENGTH) {
        return Err(Rejection::Body);
    }
    check_request_unlimited(&mut parts)?;

    let mut headers = HeaderMap::with_capacity(parts.headers.len() + 4);
    // RFC 9110, section 7.2: the first field of a request should be Host. The check has made it of :authority.
    headers.extend(parts.headers.get(HOST).map(|host| (HOST, host.clone())));
    let taken = [HOST, CONTENT_LENGTH, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_ACCEPT];
    parts.headers.keep_only(|name| !taken.contains(name));
    headers.extend(parts.headers);
    cookie::join_crumbs(&mut headers);
    let connection = if headers.contains_key(TE) {
        "upgrade, te"
    } else {
        "upgrade"
    };
    headers.insert(CONNECTION, HeaderValue::from_static(connection));
    headers.insert(UPGRADE, Protocol::WEBSOCKET.to_value());
    headers.insert(SEC_WEBSOCKET_KEY, value(key.as_str()));

    parts.method = Method::GET;
    parts.uri = Uri::from(path);
    parts.version = Version::HTTP_11;
    parts.headers = headers;
    Ok(parts)
}

/// The answer to an extended CONNECT whose upgrade the upstream has agreed to: 200, and the tunnel after it.
///
/// `Sec-WebSocket-Protocol` and `Sec-WebSocket-Extensions` stay, all else of the switch goes (RFC 8441, section 5).
pub fn to_success(switched: Switched) -> response::Parts {
    let (mut parts, _) = switched.into_response();
    parts.status = StatusCode::OK;
    parts.headers.take_out(&SEC_WEBSOCKET_ACCEPT);
    without_connection(parts)
}

/// Any other answer, as HTTP/2 and HTTP/3 have it: interim, declined, or a [`Rejection`]'s. The status stays, the fields
/// of an HTTP/1.1 connection go (RFC 9113, section 8.2.2).
///
/// Its body is framed by the stream: a proxy that relays a chunked one sends the content of its chunks.
///
/// A 426 keeps its status and its `Sec-WebSocket-Version`, and loses its `Upgrade`. RFC 9110, section 15.5.22 wants the
/// field there and RFC 9113 forbids it; the version is what a WebSocket client needs to know.
///
/// # Errors
///
/// [`BadSwitch::Success`] for a 2xx: an upstream that answers an upgrade request with a page has declined, and a client
/// that has sent CONNECT would take it for the tunnel (RFC 9110, section 9.3.6). [`BadSwitch::InHttp2`] for a 101, which
/// only [`to_success`] may turn into an answer. The client gets a 502.
pub fn to_response(parts: response::Parts) -> Result<response::Parts, BadSwitch> {
    match parts.status {
        StatusCode::SWITCHING_PROTOCOLS => Err(BadSwitch::InHttp2),
        status if status.is_success() => Err(BadSwitch::Success),
        _ => Ok(without_connection(parts)),
    }
}

/// RFC 9113, section 8.2.2: a proxy that makes HTTP/2 of HTTP/1.1 removes what belongs to the connection.
fn without_connection(mut parts: response::Parts) -> response::Parts {
    if hop_by_hop::strip(&mut parts.headers).is_err() {
        // What `judge` and `Rejection` make has no nominations that could be too many.
        parts.headers.keep_only(|name| !hop_by_hop::is_fixed(name));
    }
    parts.version = Version::HTTP_2;
    parts
}

/// RFC 8441, section 4: an extended CONNECT has `:scheme`, `:path` and `:authority`, all three.
fn target_path(parts: &request::Parts) -> Result<PathAndQuery, Rejection> {
    let uri = &parts.uri;
    let path = uri.path_and_query().filter(|path| path.as_str().starts_with('/'));
    if let (None, None, Some(path)) = (uri.scheme(), uri.authority(), path) {
        // A server lets in none without them: a layer in front has replaced the URI. Host may still say for whom it is.
        return match parts.headers.contains_key(HOST) {
            true => Ok(path.clone()),
            false => Err(HeadError::from(HostError::NoAuthority).into()),
        };
    }
    let scheme = uri.scheme_str().unwrap_or_default();
    if !["http", "https"]
        .iter()
        .any(|known| scheme.eq_ignore_ascii_case(known))
    {
        return Err(MalformedConnect::Scheme.into());
    }
    if uri.authority().is_none() {
        return Err(MalformedConnect::Authority.into());
    }
    path.cloned().ok_or(MalformedConnect::Path.into())
}

/// RFC 9113, sections 8.2.1 and 8.2.2.
fn check_fields(headers: &HeaderMap) -> Result<(), MalformedConnect> {
    let of_http_1 = [CONNECTION, UPGRADE, TRANSFER_ENCODING];
    let also_of_http_1 = ["keep-alive", "proxy-connection"];
    if of_http_1.iter().any(|name| headers.contains_key(name))
        || also_of_http_1.iter().any(|name| headers.contains_key(*name))
    {
        return Err(MalformedConnect::ConnectionSpecific);
    }
    if !headers
        .get_all(TE)
        .iter()
        .all(|value| value.as_bytes().eq_ignore_ascii_case(b"trailers"))
    {
        return Err(MalformedConnect::Te);
    }
    match headers.values().all(|value| token::is_trimmed(value.as_bytes())) {
        true => Ok(()),
        false => Err(MalformedConnect::FieldValue),
    }
}

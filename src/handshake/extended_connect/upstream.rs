//! This file makes an extended CONNECT of an upgrade request, and the answer to one into an answer that can be judged.

use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    UPGRADE,
};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Method, StatusCode, Uri, Version, request, response};

use super::value;
use crate::handshake::{BadSwitch, Repeated, single, wants_upgrade};
use crate::header::{Protocol, Protocols, hop_by_hop};
use crate::http1::{BodyLength, HostError, check_host};
use crate::websocket::SecWebSocketKey;

/// Why a request cannot go on as an extended CONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotConnectable {
    /// It asks for no upgrade to WebSocket.
    #[error("the request asks for no upgrade to WebSocket")]
    NoWebSocket,
    /// Its `Sec-WebSocket-Key` is not there once, or is none.
    #[error("the request has no valid Sec-WebSocket-Key")]
    Key,
    /// It has a body, and the stream of an extended CONNECT carries the tunnel alone.
    #[error("the request has a body")]
    Body,
    /// Its `Host` makes no `:authority`.
    #[error(transparent)]
    Host(#[from] HostError),
    /// More connection options than anyone needs.
    #[error(transparent)]
    ConnectionOptions(#[from] hop_by_hop::TooManyOptions),
}

/// An extended CONNECT that has been made of an upgrade request, and not been answered.
#[derive(Clone, Copy, Debug)]
pub struct PendingConnect {
    key: SecWebSocketKey,
}

/// Makes of an HTTP/1.1 upgrade request the extended CONNECT that means the same: CONNECT, an absolute URI with `Host`
/// as its authority, no field of an HTTP/1.1 connection, no `Sec-WebSocket-Key`. `:protocol` is [`PROTOCOL`](super::PROTOCOL).
///
/// `scheme` is `http` or `https`, which stand for `ws` and `wss` (RFC 8441, section 5).
///
/// Meant for what [`forward`](crate::handshake::UpgradeRequest::forward) has made. Of several protocols in `Upgrade`, WebSocket is
/// the one that is asked for.
///
/// # Errors
///
/// The request is no WebSocket handshake without a body.
pub fn to_connect(
    mut parts: request::Parts,
    scheme: Scheme,
) -> Result<(request::Parts, PendingConnect), NotConnectable> {
    let protocols = Protocols::of(&parts.headers).map_err(|_| NotConnectable::NoWebSocket)?;
    if parts.method != Method::GET || !wants_upgrade(&parts) || !protocols.contains(&Protocol::WEBSOCKET) {
        return Err(NotConnectable::NoWebSocket);
    }
    if BodyLength::of_request(&parts) != Ok(BodyLength::None) {
        return Err(NotConnectable::Body);
    }
    let key = single(&parts.headers, &SEC_WEBSOCKET_KEY).map_err(|Repeated| NotConnectable::Key)?;
    let key = key.and_then(|key| SecWebSocketKey::parse(key).ok());
    let pending = PendingConnect {
        key: key.ok_or(NotConnectable::Key)?,
    };
    check_host(parts.version, &parts.headers)?;
    let uri = absolute(&parts, scheme).ok_or(HostError::Invalid)?;

    let taken = [HOST, CONTENT_LENGTH, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_ACCEPT];
    hop_by_hop::strip_and(&mut parts.headers, |name| taken.contains(name))?;
    parts.method = Method::CONNECT;
    parts.uri = uri;
    parts.version = Version::HTTP_2;
    Ok((parts, pending))
}

impl PendingConnect {
    /// Makes of an answer to the extended CONNECT the one that the upgrade request would have got: of a 2xx the 101 with
    /// the right `Sec-WebSocket-Accept`; any other status stays.
    ///
    /// It still has to be [judged](crate::handshake::PendingUpgrade::judge): a subprotocol that was not offered is as wrong here.
    ///
    /// # Errors
    ///
    /// [`BadSwitch::InHttp2`] for a 101, which HTTP/2 and HTTP/3 do not have (RFC 9113, section 8.6).
    pub fn to_switch(&self, mut parts: response::Parts) -> Result<response::Parts, BadSwitch> {
        if parts.status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(BadSwitch::InHttp2);
        }
        let success = parts.status.is_success();
        // RFC 9110, section 9.3.6: a client ignores Content-Length in a 2xx to a CONNECT.
        let also = |name: &HeaderName| success && (name == CONTENT_LENGTH || name == SEC_WEBSOCKET_ACCEPT);
        hop_by_hop::strip_and(&mut parts.headers, also)?;
        if success {
            let headers = &mut parts.headers;
            parts.status = StatusCode::SWITCHING_PROTOCOLS;
            headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
            headers.insert(UPGRADE, Protocol::WEBSOCKET.to_value());
            headers.insert(SEC_WEBSOCKET_ACCEPT, value(self.key.accept().as_str()));
        }
        parts.version = Version::HTTP_11;
        Ok(parts)
    }
}

/// The target of an upgrade request as `:scheme`, `:authority` and `:path`.
fn absolute(parts: &request::Parts, scheme: Scheme) -> Option<Uri> {
    let authority = Authority::try_from(parts.headers.get(HOST)?.as_bytes()).ok()?;
    let path = parts.uri.path_and_query().map_or("/", PathAndQuery::as_str);
    // RFC 9113, section 8.3.1: ":path" is not empty, and "/" where the URI has no path, a query or not.
    let path = match path.starts_with('/') {
        true => PathAndQuery::try_from(path),
        false => PathAndQuery::try_from(format!("/{path}")),
    };
    let mut uri = http::uri::Parts::default();
    uri.scheme = Some(scheme);
    uri.authority = Some(authority);
    uri.path_and_query = Some(path.ok()?);
    Uri::from_parts(uri).ok()
}

//! A client asks for an upgrade in one of two forms, and is answered in the same form: an HTTP/1.1 upgrade, or an extended CONNECT of
//! HTTP/2 (RFC 8441).

//!
//! The second form is there with the feature `http2` only: hyper has no name for it otherwise.

#[cfg(feature = "http2")]
use std::hash::{BuildHasher, RandomState};

use http::request::Parts;
use http::{Method, Response, Version, response};
#[cfg(feature = "http2")]
use hyper::ext::Protocol;

use super::body::ProxyBody;
#[cfg(feature = "http2")]
use crate::handshake::extended_connect;
use crate::handshake::{
    self, BadSwitch, Declined, HandshakePolicy, Rejection, Switched, UpgradeRequest, wants_upgrade,
};
use crate::http1::HeadLimits;

/// How the client asks, and wants to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// `Upgrade`, and a 101.
    Upgrade,
    /// `:protocol`, and a 200.
    #[cfg(feature = "http2")]
    Connect,
}

impl Dialect {
    pub(super) fn version(self) -> Version {
        match self {
            Dialect::Upgrade => Version::HTTP_11,
            #[cfg(feature = "http2")]
            Dialect::Connect => Version::HTTP_2,
        }
    }

    /// In which form a request asks for an upgrade, whether it may have it or not.
    pub(super) fn of(parts: &Parts) -> Option<Self> {
        #[cfg(feature = "http2")]
        if parts.extensions.get::<Protocol>().is_some() {
            return Some(Dialect::Connect);
        }
        wants_upgrade(parts).then_some(Dialect::Upgrade)
    }

    /// The answer to an upgrade that both sides have agreed to.
    pub(super) fn switched(self, switched: Switched) -> response::Parts {
        match self {
            Dialect::Upgrade => switched.into_response().0,
            #[cfg(feature = "http2")]
            Dialect::Connect => extended_connect::to_success(switched),
        }
    }

    /// The upstream's own answer.
    pub(super) fn declined(self, declined: Declined) -> Result<response::Parts, BadSwitch> {
        match self {
            Dialect::Upgrade => Ok(declined.into_response()),
            #[cfg(feature = "http2")]
            Dialect::Connect => extended_connect::to_response(declined.into_response()),
        }
    }

    /// The proxy's own answer.
    pub(super) fn own(self, response: Response<ProxyBody>) -> Response<ProxyBody> {
        match self {
            Dialect::Upgrade => response,
            #[cfg(feature = "http2")]
            Dialect::Connect => {
                let (parts, body) = response.into_parts();
                match extended_connect::to_response(parts) {
                    Ok(parts) => Response::from_parts(parts, body),
                    // None of the proxy's own answers is a success; one that was could not be distinguished from a tunnel.
                    Err(_) => {
                        let mut response = Response::new(body);
                        *response.status_mut() = http::StatusCode::BAD_GATEWAY;
                        response
                    }
                }
            }
        }
    }

    /// The upgrade that a request asks for in this form, as an HTTP/1.1 request. None, with the request as it came, if it
    /// asks for nothing that the policy allows.
    pub(super) fn read(
        self,
        parts: Parts,
        policy: &HandshakePolicy,
        limits: &HeadLimits,
    ) -> Result<(Parts, Option<UpgradeRequest>), Rejection> {
        match self {
            Dialect::Upgrade => {
                let upgrade = UpgradeRequest::parse(&parts, policy)?;
                if upgrade.is_some() {
                    limits.check(&parts)?;
                }
                Ok((parts, upgrade))
            }
            #[cfg(feature = "http2")]
            Dialect::Connect if !is_allowed(&parts, policy) => Ok((parts, None)),
            #[cfg(feature = "http2")]
            Dialect::Connect => limits
                .check(&parts)
                .map_err(Rejection::from)
                .and_then(|()| translated(parts, policy))
                .map(|(parts, upgrade)| (parts, Some(upgrade))),
        }
    }
}

/// Whether an extended CONNECT asks for what the policy allows. Only WebSocket has a meaning in this form.
#[cfg(feature = "http2")]
fn is_allowed(parts: &Parts, policy: &HandshakePolicy) -> bool {
    let protocol = parts.extensions.get::<Protocol>().map_or("", Protocol::as_str);
    protocol.eq_ignore_ascii_case(extended_connect::PROTOCOL)
        && policy.allows(&crate::header::Protocol::WEBSOCKET)
}

/// The upgrade that an extended CONNECT asks for, as an HTTP/1.1 request.
#[cfg(feature = "http2")]
fn translated(mut parts: Parts, policy: &HandshakePolicy) -> Result<(Parts, UpgradeRequest), Rejection> {
    let protocol = parts.extensions.remove::<Protocol>();
    let protocol = protocol.as_ref().map_or("", Protocol::as_str);
    let parts = extended_connect::to_upgrade(
        parts,
        protocol,
        crate::websocket::SecWebSocketKey::generate(nonce()),
    )?;
    let upgrade = UpgradeRequest::parse(&parts, policy)?.ok_or(Rejection::ProtocolUnknown)?;
    Ok((parts, upgrade))
}

/// Why a request that is no allowed upgrade cannot be served where only those are.
pub(super) fn not_an_upgrade(parts: &Parts, policy: &HandshakePolicy) -> Rejection {
    match parts.method {
        Method::CONNECT => refused_connect(parts),
        _ => handshake::not_an_upgrade(parts, policy),
    }
}

/// Why a CONNECT that is no allowed upgrade is not served.
pub(super) fn refused_connect(parts: &Parts) -> Rejection {
    match Dialect::of(parts) {
        #[cfg(feature = "http2")]
        Some(Dialect::Connect) => Rejection::ProtocolUnknown,
        // Whether it was an extended one nobody can see here.
        #[cfg(not(feature = "http2"))]
        _ if parts.version == Version::HTTP_2 => Rejection::Http2Connect,
        _ => Rejection::Connect,
    }
}

/// Random bytes of the standard library's: seeded by the system and not to be guessed, which is all that RFC 6455,
/// section 4.1 asks of a nonce.
#[cfg(feature = "http2")]
fn nonce() -> [u8; 16] {
    let mut nonce = [0; 16];
    for half in nonce.chunks_exact_mut(8) {
        half.copy_from_slice(&RandomState::new().hash_one(0u8).to_ne_bytes());
    }
    nonce
}

//! Floor 3: the decisions. What is an upgrade, what is asked of the origin, and whether its answer is a switch.
//! Pure, on `http` types, no IO.
//!
//! The steps are types, each made from the one before and by nothing else:
//!
//! ```text
//! UpgradeRequest::parse  ->  UpgradeRequest::forward  ->  PendingUpgrade::judge  ->  Switched
//! ```
//!
//! ```
//! use switchover::handshake::{HandshakePolicy, UpgradeRequest, Verdict};
//! use switchover::header::{Forwarding, Hop};
//!
//! let (request, ()) = http::Request::get("/chat")
//!     .header("host", "example.com")
//!     .header("connection", "Upgrade")
//!     .header("upgrade", "websocket")
//!     .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
//!     .header("sec-websocket-version", "13")
//!     .body(())
//!     .unwrap()
//!     .into_parts();
//! let policy = HandshakePolicy::default();
//! let upgrade = UpgradeRequest::parse(&request, &policy).unwrap().expect("an upgrade");
//! let (_outgoing, pending) = upgrade.forward(request, Hop::unknown(), &Forwarding::default());
//!
//! // … send `_outgoing` to the origin, read the head of its answer …
//! let (answer, ()) = http::Response::builder()
//!     .status(101)
//!     .header("connection", "upgrade")
//!     .header("upgrade", "websocket")
//!     .header("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
//!     .body(())
//!     .unwrap()
//!     .into_parts();
//! assert!(matches!(pending.judge(answer), Ok(Verdict::Switched(_))));
//! ```

mod allowed_origins;
mod bad_switch;
pub mod extended_connect;
mod forward;
mod origin;
mod policy;
mod rejection;
mod request;
mod verdict;

pub use allowed_origins::{OriginPattern, OriginPatternError};
pub use bad_switch::BadSwitch;
pub use origin::{Origin, OriginError};
pub use policy::HandshakePolicy;
pub use rejection::Rejection;
#[cfg(feature = "gateway")]
pub(crate) use rejection::last_response;
#[cfg(feature = "hyper")]
pub(crate) use request::asks_for_upgrade;
#[cfg(feature = "hyper")]
pub(crate) use request::not_an_upgrade;
pub use request::{UpgradeRequest, wants_upgrade};
#[cfg(feature = "gateway")]
pub(crate) use verdict::Judged;
pub use verdict::{Declined, PendingUpgrade, Switched, Verdict};

use http::header::{HeaderName, HeaderValue};

use crate::http1::AnyFields;
use crate::token;

/// A field that may be there once: its value, or whether it is repeated.
fn single<'a>(fields: &'a impl AnyFields, name: &HeaderName) -> Result<Option<&'a [u8]>, Repeated> {
    let mut lines = fields.lines(name);
    match (lines.next(), lines.next()) {
        (_, Some(_)) => Err(Repeated),
        (value, None) => Ok(value),
    }
}

struct Repeated;

/// The names in `Sec-WebSocket-Extensions` lines, without parameters (RFC 6455, section 9.1).
fn extension_names<'a>(lines: impl Iterator<Item = &'a [u8]>) -> impl Iterator<Item = &'a [u8]> {
    lines.flat_map(token::elements).map(|element| {
        let end = token::unquoted(element, b';').unwrap_or(element.len());
        token::trim_ows(&element[..end])
    })
}

/// The elements of `Sec-WebSocket-Protocol` lines (RFC 6455, section 11.3.4). No quoted-string may stand in them, so every
/// comma separates.
fn subprotocol_names<'a>(lines: impl Iterator<Item = &'a [u8]>) -> impl Iterator<Item = &'a [u8]> {
    lines.flat_map(token::unquoted_elements)
}

/// The bytes of each of these values.
fn bytes(values: &[HeaderValue]) -> impl Iterator<Item = &[u8]> {
    values.iter().map(HeaderValue::as_bytes)
}

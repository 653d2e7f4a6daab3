//! A WebSocket handshake is the same one in HTTP/1.1, as an upgrade (RFC 6455, section 4), and in HTTP/2 and HTTP/3, as an
//! extended CONNECT (RFC 8441; RFC 9220). This module translates heads. It must not know connections.
//!
//! The decisions stay where they are: what a client asks by extended CONNECT becomes the upgrade request that
//! [`UpgradeRequest::parse`](super::UpgradeRequest::parse) decides about, and what a server answers to one becomes the
//! 101 that [`PendingUpgrade::judge`](super::PendingUpgrade::judge) judges.
//!
//! | client | upstream | the walk |
//! |---|---|---|
//! | HTTP/2 or 3 | HTTP/1.1 | [`to_upgrade`], `parse`, `forward`, `judge`, [`to_success`] or [`to_response`] |
//! | HTTP/1.1 | HTTP/2 or 3 | `parse`, `forward`, [`to_connect`], [`PendingConnect::to_switch`], `judge` |
//! | HTTP/2 or 3 | HTTP/2 or 3 | all of them, in this order |
//!
//! `http` has no type for `:protocol`, so it is an argument of its own. Nothing depends on the version of HTTP but that
//! there is no extended CONNECT before HTTP/2; what is made for the newer side says [`http::Version::HTTP_2`].
//!
//! ```
//! use http::Version;
//! use switchover::handshake::{HandshakePolicy, UpgradeRequest, extended_connect};
//! use switchover::websocket::SecWebSocketKey;
//!
//! // From an HTTP/3 library, with `:protocol` beside it.
//! let (request, ()) = http::Request::connect("https://example.com/chat")
//!     .version(Version::HTTP_3)
//!     .header("sec-websocket-version", "13")
//!     .header("sec-websocket-protocol", "chat")
//!     .body(())
//!     .unwrap()
//!     .into_parts();
//! let key = SecWebSocketKey::generate(*b"the sample nonce");
//! let request = extended_connect::to_upgrade(request, "websocket", key).unwrap();
//! assert_eq!((request.method.as_str(), request.uri.to_string()), ("GET", "/chat".to_owned()));
//! assert_eq!(request.headers["host"], "example.com");
//!
//! let upgrade = UpgradeRequest::parse(&request, &HandshakePolicy::default()).unwrap();
//! assert!(upgrade.is_some());
//! ```

mod downstream;
mod upstream;

pub use downstream::{MalformedConnect, to_response, to_success, to_upgrade};
pub use upstream::{NotConnectable, PendingConnect, to_connect};

use http::HeaderValue;

/// The `:protocol` of a WebSocket.
pub const PROTOCOL: &str = "websocket";

/// Base64, which is valid in every value.
fn value(base64: &str) -> HeaderValue {
    HeaderValue::from_str(base64).unwrap_or(HeaderValue::from_static(""))
}

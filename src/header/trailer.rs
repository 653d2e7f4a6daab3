//! Which fields a trailer section may hold when it goes on.
//!
//! RFC 9110, section 6.5.1: a recipient that merges trailer fields into the head acts on them as if they had been there, when
//! routing, framing and access were decided without them. What decides any of that ends here; the rest goes on. The same rule
//! holds for requests and for responses.
//!
//! ```
//! use http::HeaderMap;
//! use switchover::header::trailer;
//!
//! let mut trailers = HeaderMap::new();
//! trailers.insert("content-length", "5".parse().unwrap());
//! trailers.insert("grpc-status", "0".parse().unwrap());
//! trailer::strip(&mut trailers);
//! assert_eq!(trailers.len(), 1);
//! assert!(trailers.contains_key("grpc-status"));
//! ```

use http::header::{HeaderMap, HeaderName};

use super::forwarded::is_forwarding_field;
use super::hop_by_hop;
use crate::http1::AnyFields;

/// Fields that end here in a trailer section, besides those that end at this hop in a head
/// ([`hop_by_hop::FIXED`]), those that begin with `If-` or `Sec-`, and what proxies say of a client.
pub const FORBIDDEN: [&str; 31] = [
    // Framing and routing.
    "host",
    "content-length",
    "trailer",
    "max-forwards",
    "via",
    // How the content is processed.
    "content-encoding",
    "content-location",
    "content-range",
    "content-type",
    // What a request asks for, and in whose name.
    "authorization",
    "cookie",
    "expect",
    "origin",
    "proxy",
    "range",
    "referer",
    "user-agent",
    // What a response decides.
    "accept-ranges",
    "age",
    "cache-control",
    "date",
    "expires",
    "location",
    "pragma",
    "proxy-status",
    "retry-after",
    "set-cookie",
    "strict-transport-security",
    "vary",
    "warning",
    "www-authenticate",
];

/// Whether a field of a trailer section goes on.
pub fn is_allowed(name: &HeaderName) -> bool {
    let text = name.as_str();
    !(FORBIDDEN.contains(&text)
        || hop_by_hop::is_fixed(name)
        || is_forwarding_field(name)
        || ["if-", "sec-"].iter().any(|prefix| text.starts_with(prefix)))
}

/// Removes what must not go on. The order of the others stays.
pub fn strip(trailers: &mut HeaderMap) {
    trailers.keep_only(is_allowed);
}

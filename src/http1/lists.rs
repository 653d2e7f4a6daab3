//! How long the lists of a request may be that each proxy on its way reads or adds to.
//!
//! `Connection`, `Upgrade` and the lists of a WebSocket handshake have the same bound, where they are read.

use http::header::{FORWARDED, HeaderMap, HeaderName, TE, TRAILER, VIA};

use super::HeadError;
use crate::token::{self, MAX_ELEMENTS};

const LISTS: [HeaderName; 5] = [
    FORWARDED,
    TE,
    TRAILER,
    VIA,
    HeaderName::from_static("x-forwarded-for"),
];

/// Checks that no list has more than [`MAX_ELEMENTS`] elements over all its lines. Two proxies that send each other the same
/// request come to that number (RFC 9110, section 7.6.3: `Via` is for "avoiding request loops").
pub(super) fn check_request_lists(headers: &HeaderMap) -> Result<(), HeadError> {
    // By the fields that are there, which costs less than to look for each of these.
    for field in headers.keys().filter(|field| LISTS.contains(field)) {
        let lines = headers.get_all(field).iter();
        let mut elements = lines.flat_map(|line| token::unquoted_elements(line.as_bytes()));
        if elements.nth(MAX_ELEMENTS).is_some() {
            return Err(HeadError::TooManyElements { field: field.clone() });
        }
    }
    Ok(())
}

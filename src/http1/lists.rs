//! How long the lists of a request may be that each proxy on its way reads or adds to.
//!
//! `Connection`, `Upgrade` and the lists of a WebSocket handshake have the same bound, where they are read.

use http::header::{FORWARDED, HeaderName, TE, TRAILER, VIA};

use super::HeadError;
use super::any_fields::AnyFields;
use crate::token::{self, MAX_ELEMENTS};

pub(super) const LISTS: [HeaderName; 5] = [
    FORWARDED,
    TE,
    TRAILER,
    VIA,
    HeaderName::from_static("x-forwarded-for"),
];

/// Checks that no list has more than [`MAX_ELEMENTS`] elements over all its lines. Two proxies that send each other the same
/// request come to that number (RFC 9110, section 7.6.3: `Via` is for "avoiding request loops").
pub(super) fn check_request_lists(fields: &impl AnyFields) -> Result<(), HeadError> {
    if !fields.has_any(&LISTS) {
        return Ok(());
    }
    for field in &LISTS {
        let mut elements = fields.lines(field).flat_map(token::unquoted_elements);
        if elements.nth(MAX_ELEMENTS).is_some() {
            return Err(HeadError::TooManyElements { field: field.clone() });
        }
    }
    Ok(())
}

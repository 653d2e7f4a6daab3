//! What the two ends of this program have agreed on: how the origin says that it is one, and how it reports what arrived.

use http::request::Parts;
use http::response;
use switchover::http1::{HeadLimits, Parsed, parse_request};

/// A field of each answer of the origin's.
pub(crate) const FIELD: &str = "switchover-doctor";

/// What stands before the request head that has arrived: in the first text frame, or in the body of an answer without a
/// switch.
pub(crate) const MARK: &str = "switchover doctor: the head that has arrived\n";

/// What the origin says when the other direction has ended, to show that this one has not.
pub(crate) const STILL_OPEN: &[u8] = b"switchover doctor: this direction is still open";

pub(crate) fn is_doctor(response: &response::Parts) -> bool {
    response.headers.contains_key(FIELD)
}

/// The head that has arrived, from the text of a frame or of a body.
pub(crate) fn arrived(text: &[u8]) -> Option<Parts> {
    let at = text
        .windows(MARK.len())
        .position(|window| window == MARK.as_bytes())?;
    match parse_request(&text[at + MARK.len()..], &HeadLimits::default()) {
        Ok(Parsed::Complete { parts, .. }) => Some(parts),
        _ => None,
    }
}

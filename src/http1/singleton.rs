//! Which fields may stand in a message once only, beside `Host` and the framing, which have rules of their own.
//!
//! Two readers of a repeated field differ: one takes the first line, one the last, one joins them to a value that none of
//! the lines is. Where the value decides who somebody is, what is asked for, or what a body is, a proxy that has checked
//! one reading has not checked the other. RFC 9110, section 5.3 forbids the sender of a field that is no list to repeat it.
//!
//! Lists are not here: their lines are one value by RFC 9110, section 5.2. `If-Match` and `If-None-Match` are lists, and are
//! here all the same: nobody sends them in several lines, and recipients read only one. `Cookie` is not here: clients of
//! HTTP/2 split it (RFC 9113, section 8.2.3), and some of HTTP/1.1 do.

use http::header::{self, HeaderName};

use super::HeadError;
use super::any_fields::AnyFields;

/// Fields of a request that are refused when they are repeated, whatever their values.
const OF_A_REQUEST: [HeaderName; 16] = [
    header::AUTHORIZATION,
    header::CONTENT_LOCATION,
    header::CONTENT_RANGE,
    header::CONTENT_TYPE,
    header::DATE,
    header::FROM,
    header::IF_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_NONE_MATCH,
    header::IF_RANGE,
    header::IF_UNMODIFIED_SINCE,
    header::MAX_FORWARDS,
    header::ORIGIN,
    header::RANGE,
    header::REFERER,
    header::USER_AGENT,
];

/// Fields of a response that are refused when they are repeated with different values. What else servers repeat, browsers
/// read alike; where a client is sent, and which part of a resource it has, they do not.
const OF_A_RESPONSE: [HeaderName; 2] = [header::CONTENT_RANGE, header::LOCATION];

/// Checks that a request has each of its singletons once.
pub(super) fn check_request_singletons(fields: &impl AnyFields) -> Result<(), HeadError> {
    check(fields, &OF_A_REQUEST, |_, _| false)
}

/// Checks that a response has one value of each of its singletons.
pub(super) fn check_response_singletons(fields: &impl AnyFields) -> Result<(), HeadError> {
    check(fields, &OF_A_RESPONSE, |one, other| one == other)
}

fn check(
    fields: &impl AnyFields,
    singletons: &[HeaderName],
    may_stand_beside: fn(&[u8], &[u8]) -> bool,
) -> Result<(), HeadError> {
    // Most heads repeat nothing.
    if fields.repeats_nothing() {
        return Ok(());
    }
    let is_repeated = |name: &&HeaderName| {
        let mut lines = fields.lines(name);
        let first = lines.next();
        first.is_some_and(|first| lines.any(|other| !may_stand_beside(first, other)))
    };
    match singletons.iter().find(is_repeated) {
        Some(field) => Err(HeadError::RepeatedField { field: field.clone() }),
        None => Ok(()),
    }
}

//! Parses a head whole, byte by byte, and with a tail behind it; the three must agree.

use std::fmt::Debug;

use http::{request, response};
use switchover::http1::{HeadError, HeadLimits, Parsed, parse_request, parse_response};

/// A parser of one kind of head.
type Parser<T> = fn(&[u8], &HeadLimits) -> Result<Parsed<T>, HeadError>;

/// What stands behind a head in a buffer: a head itself, a frame, rubbish.
const TAILS: [&[u8]; 4] = [
    b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
    b"\r\n",
    b"\x81\x85\x01\x02\x03\x04hello",
    b"\0\n\xff",
];

/// A request head, or why it is none. A head that never ends is a panic.
pub(crate) fn request(head: impl AsRef<[u8]>) -> Result<request::Parts, HeadError> {
    request_within(head, &HeadLimits::default())
}

pub(crate) fn request_within(
    head: impl AsRef<[u8]>,
    limits: &HeadLimits,
) -> Result<request::Parts, HeadError> {
    three_ways(head.as_ref(), limits, parse_request, |parts| {
        format!(
            "{} {} {:?} {:?}",
            parts.method, parts.uri, parts.version, parts.headers
        )
    })
}

/// A response head, or why it is none. A head that never ends is a panic.
pub(crate) fn response(head: impl AsRef<[u8]>) -> Result<response::Parts, HeadError> {
    response_within(head, &HeadLimits::default())
}

pub(crate) fn response_within(
    head: impl AsRef<[u8]>,
    limits: &HeadLimits,
) -> Result<response::Parts, HeadError> {
    three_ways(head.as_ref(), limits, parse_response, |parts| {
        format!("{} {:?} {:?}", parts.status, parts.version, parts.headers)
    })
}

fn three_ways<T: Debug>(
    head: &[u8],
    limits: &HeadLimits,
    parse: Parser<T>,
    describe: fn(&T) -> String,
) -> Result<T, HeadError> {
    let comparable = |parsed: Result<Parsed<T>, HeadError>| match parsed {
        Ok(Parsed::Partial) => panic!("no end found in {}", head.escape_ascii()),
        Ok(Parsed::Complete { parts, consumed }) => Ok((describe(&parts), consumed)),
        Err(error) => Err(error),
    };
    let whole = comparable(parse(head, limits));

    // Each prefix is parsed from its start, so a very long head grows by more than one byte at a time.
    let step = 1 + head.len() / 2_000;
    let lengths = (0..head.len()).step_by(step).chain([head.len()]);
    let mut prefixes = lengths.map(|length| parse(&head[..length], limits));
    let first_known = prefixes.find(|parsed| !matches!(parsed, Ok(Parsed::Partial)));
    let by_byte = comparable(first_known.unwrap_or(Ok(Parsed::Partial)));
    assert_eq!(by_byte, whole, "byte by byte: {}", head.escape_ascii());

    for tail in TAILS {
        let with_tail = comparable(parse(&[head, tail].concat(), limits));
        assert_eq!(
            with_tail,
            whole,
            "followed by {}: {}",
            tail.escape_ascii(),
            head.escape_ascii()
        );
    }
    match parse(head, limits)? {
        Parsed::Complete { parts, .. } => Ok(parts),
        Parsed::Partial => unreachable!("found complete above"),
    }
}

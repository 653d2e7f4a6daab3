//! Heads and chunked bodies: a head that is accepted is accepted again as it is written, and how the bytes are cut changes nothing.

use switchover::http1::{
    BodyLength, ChunkedError, ChunkedScanner, HeadError, HeadLimits, HeadScan, Parsed, encode_request,
    encode_response, parse_request, parse_response,
};

use super::pieces;

/// Where a scan that sees the bytes piece by piece finds the end, or the first error.
fn scanned(mut scan: HeadScan, data: &[u8], limits: &HeadLimits) -> Result<Option<usize>, HeadError> {
    let mut seen = 0;
    for piece in pieces(data) {
        seen += piece.len();
        if let Some(end) = scan.advance(&data[..seen], limits)? {
            return Ok(Some(end));
        }
    }
    Ok(None)
}

/// The end of the head by both ways of reading it: they agree, on errors too.
fn agree(whole: Result<Option<usize>, HeadError>, cut: Result<Option<usize>, HeadError>) {
    match (&whole, &cut) {
        (Ok(one), Ok(other)) => assert_eq!(one, other, "the end depends on how the bytes are cut"),
        (Err(one), Err(other)) => assert_eq!(
            one.name(),
            other.name(),
            "the error depends on how the bytes are cut"
        ),
        _ => panic!("whole {whole:?}, in pieces {cut:?}"),
    }
}

pub(crate) fn request(data: &[u8]) {
    let limits = HeadLimits::default();
    agree(
        HeadScan::request().advance(data, &limits),
        scanned(HeadScan::request(), data, &limits),
    );
    let Ok(Parsed::Complete { parts, consumed }) = parse_request(data, &limits) else {
        return;
    };
    assert!(consumed <= data.len() && parts.headers.len() <= limits.fields());
    let length = BodyLength::of_request(&parts).expect("the framing was checked");
    let mut written = Vec::new();
    encode_request(&parts, &mut written);
    // What is written has the method, the fields and the framing of what was read, and one reading. CONNECT and `OPTIONS *`
    // have a target that a request for an origin does not have.
    if parts
        .uri
        .path_and_query()
        .is_none_or(|target| !target.as_str().starts_with(['/', '?']))
    {
        return;
    }
    match parse_request(&written, &limits) {
        Ok(Parsed::Complete {
            parts: again,
            consumed,
        }) => {
            assert_eq!(consumed, written.len());
            assert_eq!(again.method, parts.method);
            assert_eq!(again.headers, parts.headers);
            assert_eq!(BodyLength::of_request(&again).unwrap(), length);
        }
        // HTTP/1.0 permits what HTTP/1.1 does not: a request without Host. The spelling of spaces may make a head longer.
        Err(_) if parts.version < http::Version::HTTP_11 || written.len() > consumed => {}
        other => panic!("{other:?} for {}", written.escape_ascii()),
    }
}

pub(crate) fn response(data: &[u8]) {
    let limits = HeadLimits::default();
    agree(
        HeadScan::response().advance(data, &limits),
        scanned(HeadScan::response(), data, &limits),
    );
    let Ok(Parsed::Complete { parts, consumed }) = parse_response(data, &limits) else {
        return;
    };
    assert!(consumed <= data.len() && parts.headers.len() <= limits.fields());
    let mut written = Vec::new();
    encode_response(&parts, &mut written);
    match parse_response(&written, &limits) {
        Ok(Parsed::Complete {
            parts: again,
            consumed,
        }) => {
            assert_eq!(consumed, written.len());
            assert_eq!((again.status, &again.headers), (parts.status, &parts.headers));
        }
        Err(_) if written.len() > consumed => {}
        other => panic!("{other:?} for {}", written.escape_ascii()),
    }
}

/// How much of the bytes is body, and whether the body is complete.
fn body(pieces: &[&[u8]]) -> Result<(usize, bool), ChunkedError> {
    let (mut scanner, mut taken) = (ChunkedScanner::default(), 0);
    for piece in pieces {
        let of_piece = scanner.advance(piece)?;
        taken += of_piece;
        assert!(of_piece == piece.len() || scanner.is_complete());
    }
    Ok((taken, scanner.is_complete()))
}

pub(crate) fn chunked(data: &[u8]) {
    let whole = body(&[data]);
    assert_eq!(
        whole,
        body(&pieces(data)),
        "the body depends on how the bytes are cut"
    );
    if let Ok((taken, true)) = whole {
        assert_eq!(
            body(&[&data[..taken]]),
            Ok((taken, true)),
            "the body ends where it ends without a tail"
        );
        assert_ne!(
            body(&[&data[..taken - 1]]),
            Ok((taken - 1, true)),
            "nothing shorter is the body"
        );
    }
}

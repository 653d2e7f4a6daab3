//! RFC 9112, section 7.1: where a body ends, for every cut of its bytes in two, and with other bytes behind it.

use switchover::http1::{BodyLength, BodyScanner, ChunkedError};

/// Where the body ends, or why it cannot: found whole, for every cut in two, and with a tail.
fn end(length: BodyLength, body: &[u8]) -> Result<Option<usize>, ChunkedError> {
    let scan = |pieces: &[&[u8]]| {
        let mut scanner = BodyScanner::new(length);
        let mut total = 0;
        for piece in pieces {
            total += scanner.advance(piece)?;
        }
        Ok(scanner.is_complete().then_some(total))
    };
    let whole = scan(&[body]);
    for at in 0..=body.len() {
        let (first, second) = body.split_at(at);
        assert_eq!(
            scan(&[first, second]),
            whole,
            "cut at {at}: {}",
            body.escape_ascii()
        );
    }
    if let Ok(Some(_)) = whole {
        for tail in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\r\n", b"\x81\x05hello", b"\n"] {
            assert_eq!(
                scan(&[&[body, tail].concat()]),
                whole,
                "tail {}",
                tail.escape_ascii()
            );
        }
    }
    whole
}

#[test]
fn chunked_bodies_that_end() {
    for body in [
        "0\r\n\r\n",
        "000\r\n\r\n",
        "5\r\nhello\r\n0\r\n\r\n",
        "a\r\n0\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n",
        "0A\r\n0123456789\r\n0\r\n\r\n",
        "1;a\r\nx\r\n1;a=b;c=\"d;e\"\r\ny\r\n0;last\r\n\r\n",
        "5 ;a=b\r\nhello\r\n0\t\r\n\r\n",
        "0\r\nTrailer: x\r\n\r\n",
        "0\r\nA:\r\nB: \u{e9}\t\r\n\r\n",
    ] {
        assert_eq!(
            end(BodyLength::Chunked, body.as_bytes()),
            Ok(Some(body.len())),
            "{body:?}"
        );
    }
}

#[test]
fn chunked_bodies_that_are_cut_short() {
    let body = b"5;a=b\r\nhello\r\n0\r\nTrailer: x\r\n\r\n";
    for length in 0..body.len() {
        assert_eq!(
            end(BodyLength::Chunked, &body[..length]),
            Ok(None),
            "{length} bytes"
        );
    }
}

#[test]
fn chunked_bodies_that_are_refused() {
    for body in [
        "\r\n0\r\n\r\n",
        " 0\r\n\r\n",
        "0 0\r\n\r\n",
        "0\t\n\r\n",
        "+0\r\n\r\n",
        "-0\r\n\r\n",
        "0x0\r\n\r\n",
        "g\r\n",
        ";a\r\n",
        "\u{660}\r\n",
        "5_0\r\n",
        "5,\r\n",
        "5\n",
        "5\r",
        "5\rX",
        "5;a\n",
        "5;a\rb",
        "5;a\u{0}",
        "5\r\nhelloX",
        "5\r\nhello\n",
        "5\r\nhello\rX",
        "5\r\nhello0\r\n",
        "1\r\nab\r\n",
        "10000000000000000\r\n",
        "fffffffffffffffff\r\n",
        "0\r\n\n",
        "0\r\n\rX",
        "0\r\n A: b\r\n",
        "0\r\nA : b\r\n",
        "0\r\nA\r\n",
        "0\r\nA: b\n",
        "0\r\nA: b\r\n c\r\n",
        "0\r\nA: \u{0}\r\n",
        "0\r\nA: b\rc\r\n",
    ] {
        // "5\r" alone is sound so far.
        if body == "5\r" {
            assert_eq!(end(BodyLength::Chunked, body.as_bytes()), Ok(None));
            continue;
        }
        assert!(end(BodyLength::Chunked, body.as_bytes()).is_err(), "{body:?}");
    }
}

#[test]
fn bodies_with_other_framings() {
    assert_eq!(end(BodyLength::None, b""), Ok(Some(0)));
    assert_eq!(end(BodyLength::Exactly(5), b"hello"), Ok(Some(5)));
    assert_eq!(end(BodyLength::Exactly(6), b"hello"), Ok(None));
    assert_eq!(end(BodyLength::Exactly(u64::MAX), b"hello"), Ok(None));
    assert_eq!(end(BodyLength::UntilClose, b"0\r\n\r\n"), Ok(None));
    assert!(BodyScanner::new(BodyLength::UntilClose).may_end_here());
    assert!(!BodyScanner::new(BodyLength::Chunked).may_end_here());
}

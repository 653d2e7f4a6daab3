//! RFC 9112, section 5, and RFC 9110, section 5: names, colons, values, folding.

use switchover::http1::{HeadError, encode_request};

use crate::parsed::{request, response};

fn request_with(lines: &str) -> Result<http::request::Parts, HeadError> {
    request(format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n"))
}

#[test]
fn field_lines_without_a_valid_name() {
    for line in [
        "Transfer-Encoding : chunked",
        "Transfer-Encoding\t: chunked",
        "Content-Length : 5",
        "X : y",
        ": y",
        ":",
        "X",
        "X y",
        "X y: z",
        "X(y): z",
        "X@: z",
        "X/y: z",
        "X[y]: z",
        "X\"y\": z",
        "\u{e9}: z",
        "X\u{a0}: z",
        "X,Y: z",
        "X;Y: z",
        "X=Y",
        "{X}: y",
    ] {
        let lines = format!("{line}\r\n");
        assert_eq!(
            request_with(&lines).unwrap_err(),
            HeadError::FieldName,
            "{line:?}"
        );
        assert_eq!(HeadError::FieldName.status(), 400);
        let error = response(format!("HTTP/1.1 200 OK\r\n{lines}\r\n")).unwrap_err();
        assert_eq!(error, HeadError::FieldName, "{line:?} in a response");
    }
}

#[test]
fn folded_lines() {
    for lines in [
        "X: y\r\n z\r\n",
        "X: y\r\n\tz\r\n",
        "X: y\r\n \r\n",
        "X:\r\n y\r\n",
        "Transfer-Encoding:\r\n chunked\r\n",
        "Transfer-Encoding: chunked\r\n , identity\r\n",
        "Content-Length: 1\r\n 0\r\n",
    ] {
        let error = request_with(lines).unwrap_err();
        assert!(
            matches!(error, HeadError::LineFolding { .. }),
            "{lines:?}: {error}"
        );
        assert_eq!(error.status(), 400);
        let error = response(format!("HTTP/1.1 200 OK\r\n{lines}\r\n")).unwrap_err();
        assert!(
            matches!(error, HeadError::LineFolding { .. }),
            "{lines:?} in a response: {error}"
        );
    }
}

#[test]
fn values_as_they_come_out() {
    let cases: &[(&str, &[u8])] = &[
        ("X:y", b"y"),
        ("X: y", b"y"),
        ("X:\t y \t", b"y"),
        ("X:", b""),
        ("X:  ", b""),
        ("X: a\tb  c", b"a\tb  c"),
        ("X: :", b":"),
        ("X: \u{e9}\u{20ac}", "\u{e9}\u{20ac}".as_bytes()),
        ("X: \"a, b\"", b"\"a, b\""),
        ("X: \u{a0}y\u{a0}", "\u{a0}y\u{a0}".as_bytes()),
    ];
    for (line, expected) in cases {
        let parts = request_with(&format!("{line}\r\n")).unwrap();
        assert_eq!(parts.headers["x"].as_bytes(), *expected, "{line:?}");
        let parts = response(format!("HTTP/1.1 200 OK\r\n{line}\r\n\r\n")).unwrap();
        assert_eq!(parts.headers["x"].as_bytes(), *expected, "{line:?} in a response");
    }
}

#[test]
fn every_byte_beyond_ascii_passes_in_a_value() {
    for byte in 0x80..=0xff {
        let head = [&b"GET / HTTP/1.1\r\nHost: a\r\nX: "[..], &[byte], b"\r\n\r\n"].concat();
        assert_eq!(request(&head).unwrap().headers["x"].as_bytes(), [byte]);
    }
}

#[test]
fn repeated_fields_keep_their_order_and_number() {
    let parts = request_with("X: 1\r\nY: 2\r\nx: 3\r\nX: 1\r\n").unwrap();
    let values: Vec<_> = parts.headers.get_all("x").iter().collect();
    assert_eq!(values, ["1", "3", "1"]);
    let mut encoded = Vec::new();
    encode_request(&parts, &mut encoded);
    let expected = "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\nX: 3\r\nX: 1\r\nY: 2\r\n\r\n";
    assert_eq!(String::from_utf8(encoded).unwrap(), expected);
}

#[test]
fn a_head_written_and_read_again_is_the_same() {
    let lines =
        "Sec-WebSocket-Key: k\r\nX-Odd_name!: \u{e9}\ty\r\nX-Empty: \r\nSet-Cookie: a\r\nSet-Cookie: b\r\n";
    let first = request_with(lines).unwrap();
    let mut encoded = Vec::new();
    encode_request(&first, &mut encoded);
    let second = request(&encoded).unwrap();
    assert_eq!(first.headers, second.headers);
    assert_eq!((first.method, first.uri), (second.method, second.uri));
}

//! RFC 9112, sections 6.1 to 6.3: how long a body is, and which framings are refused.

use http::Method;
use switchover::http1::{BodyLength, FramingError, HeadError};

use crate::parsed::{request, response};

/// The length of the body of a request with these field lines.
fn of_request(version: &str, lines: &str) -> Result<BodyLength, HeadError> {
    let parts = request(format!("POST / {version}\r\nHost: a\r\n{lines}\r\n"))?;
    Ok(BodyLength::of_request(&parts).expect("checked by the parser"))
}

/// The length of the body of the response with these lines to a request with the method.
fn of_response(method: &Method, head: &str) -> Result<BodyLength, HeadError> {
    let parts = response(format!("{head}\r\n"))?;
    Ok(BodyLength::of_response(&parts, method).expect("checked by the parser"))
}

/// Lines that no message may have.
const AMBIGUOUS: [(&str, FramingError); 43] = [
    (
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        FramingError::Both,
    ),
    (
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        FramingError::Both,
    ),
    (
        "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
        FramingError::Both,
    ),
    (
        "Content-Length: 5\r\nTransfer-Encoding: identity\r\n",
        FramingError::Both,
    ),
    ("Content-Length: 5\r\nTransfer-Encoding:\r\n", FramingError::Both),
    (
        "Content-Length: x\r\nTransfer-Encoding: chunked\r\n",
        FramingError::Both,
    ),
    ("Transfer-Encoding:\r\n", FramingError::InvalidCoding),
    ("Transfer-Encoding: ,\r\n", FramingError::InvalidCoding),
    (
        "Transfer-Encoding: chunked, chunked\r\n",
        FramingError::InvalidCoding,
    ),
    (
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        FramingError::InvalidCoding,
    ),
    (
        "Transfer-Encoding: chunked\r\ntransfer-encoding: identity\r\n",
        FramingError::InvalidCoding,
    ),
    (
        "Transfer-Encoding: chunked, identity\r\n",
        FramingError::InvalidCoding,
    ),
    (
        "Transfer-Encoding: chunked, gzip\r\n",
        FramingError::InvalidCoding,
    ),
    ("Transfer-Encoding: identity\r\n", FramingError::InvalidCoding),
    ("Transfer-Encoding: gzip\r\n", FramingError::InvalidCoding),
    ("Transfer-Encoding: xchunked\r\n", FramingError::InvalidCoding),
    ("Transfer-Encoding: chunkedx\r\n", FramingError::InvalidCoding),
    ("Transfer-Encoding: chunked;q=1\r\n", FramingError::InvalidCoding),
    ("Transfer-Encoding: chunked;\r\n", FramingError::InvalidCoding),
    ("Transfer-Encoding: \"chunked\"\r\n", FramingError::InvalidCoding),
    ("Transfer-Encoding: 'chunked'\r\n", FramingError::InvalidCoding),
    ("Transfer-Encoding: chunked\u{b}\r\n", FramingError::InvalidCoding),
    (
        "Transfer-Encoding: \u{a0}chunked\r\n",
        FramingError::InvalidCoding,
    ),
    ("Transfer-Encoding: c hunked\r\n", FramingError::InvalidCoding),
    (
        "Transfer-Encoding: chunked chunked\r\n",
        FramingError::InvalidCoding,
    ),
    (
        "Transfer-Encoding: \u{212a}chunked\r\n",
        FramingError::InvalidCoding,
    ),
    (
        "Transfer-Encoding: chun\u{212a}ed\r\n",
        FramingError::InvalidCoding,
    ),
    (
        "Transfer-Encoding: gzip, chunked\r\n",
        FramingError::UnknownCoding,
    ),
    (
        "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
        FramingError::UnknownCoding,
    ),
    (
        "Transfer-Encoding: identity, chunked\r\n",
        FramingError::UnknownCoding,
    ),
    (
        "Transfer-Encoding: cow\r\nTransfer-Encoding: chunked\r\n",
        FramingError::UnknownCoding,
    ),
    ("Content-Length:\r\n", FramingError::InvalidLength),
    ("Content-Length: +5\r\n", FramingError::InvalidLength),
    ("Content-Length: -5\r\n", FramingError::InvalidLength),
    ("Content-Length: 5, 5\r\n", FramingError::InvalidLength),
    ("Content-Length: 5,\r\n", FramingError::InvalidLength),
    ("Content-Length: 0x5\r\n", FramingError::InvalidLength),
    ("Content-Length: 5.0\r\n", FramingError::InvalidLength),
    ("Content-Length: 5 5\r\n", FramingError::InvalidLength),
    ("Content-Length: 1e3\r\n", FramingError::InvalidLength),
    ("Content-Length: \u{665}\r\n", FramingError::InvalidLength),
    (
        "Content-Length: 18446744073709551616\r\n",
        FramingError::InvalidLength,
    ),
    (
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        FramingError::RepeatedLength,
    ),
];

#[test]
fn framings_that_are_refused_in_a_request() {
    for (lines, expected) in AMBIGUOUS {
        let error = of_request("HTTP/1.1", lines).unwrap_err();
        match error {
            HeadError::ControlByte { .. } if lines.contains('\u{b}') => {}
            _ => assert_eq!(error, HeadError::Framing(expected), "{lines:?}"),
        }
        let status = if expected == FramingError::UnknownCoding {
            501
        } else {
            400
        };
        assert_eq!(error.status(), status, "{lines:?}");
    }
}

#[test]
fn framings_that_are_refused_in_a_response() {
    for status in ["200 OK", "204 No Content", "304 Not Modified", "500 no"] {
        for (lines, expected) in AMBIGUOUS {
            let error = of_response(&Method::GET, &format!("HTTP/1.1 {status}\r\n{lines}")).unwrap_err();
            match error {
                HeadError::ControlByte { .. } if lines.contains('\u{b}') => {}
                _ => assert_eq!(error, HeadError::Framing(expected), "{status} {lines:?}"),
            }
        }
    }
}

#[test]
fn the_same_length_twice_in_a_request() {
    let lines = "Content-Length: 5\r\nContent-Length: 5\r\n";
    let expected = HeadError::Framing(FramingError::RepeatedLength);
    assert_eq!(of_request("HTTP/1.1", lines).unwrap_err(), expected);
}

#[test]
fn a_transfer_coding_in_http_1_0() {
    let expected = HeadError::Framing(FramingError::CodingInHttp10);
    for value in ["chunked", "identity", ""] {
        let line = format!("Transfer-Encoding: {value}\r\n");
        assert_eq!(of_request("HTTP/1.0", &line).unwrap_err(), expected, "{value:?}");
        let error = of_response(&Method::GET, &format!("HTTP/1.0 200 OK\r\n{line}")).unwrap_err();
        assert_eq!(error, expected, "{value:?} in a response");
    }
}

#[test]
fn request_bodies() {
    let cases = [
        ("", BodyLength::None),
        ("Content-Length: 0\r\n", BodyLength::None),
        ("Content-Length: 00\r\n", BodyLength::None),
        ("Content-Length: 5\r\n", BodyLength::Exactly(5)),
        ("Content-Length: 0005\r\n", BodyLength::Exactly(5)),
        (
            "Content-Length: 18446744073709551615\r\n",
            BodyLength::Exactly(u64::MAX),
        ),
        ("Transfer-Encoding: chunked\r\n", BodyLength::Chunked),
        ("Transfer-Encoding: CHUNKED\r\n", BodyLength::Chunked),
        ("Transfer-Encoding: , chunked ,\r\n", BodyLength::Chunked),
        ("Transfer-Encoding:\tchunked\r\n", BodyLength::Chunked),
    ];
    for (lines, expected) in cases {
        assert_eq!(of_request("HTTP/1.1", lines), Ok(expected), "{lines:?}");
    }
}

#[test]
fn response_bodies() {
    let (get, head) = (&Method::GET, &Method::HEAD);
    let cases = [
        (get, "HTTP/1.1 200 OK\r\n", BodyLength::UntilClose),
        (get, "HTTP/1.0 200 OK\r\n", BodyLength::UntilClose),
        (get, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n", BodyLength::None),
        (
            get,
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n",
            BodyLength::Exactly(5),
        ),
        (
            get,
            "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n",
            BodyLength::Exactly(5),
        ),
        (
            get,
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n",
            BodyLength::Exactly(5),
        ),
        (
            get,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n",
            BodyLength::Chunked,
        ),
        (
            head,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n",
            BodyLength::None,
        ),
        (head, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", BodyLength::None),
        (head, "HTTP/1.1 200 OK\r\n", BodyLength::None),
        (get, "HTTP/1.1 204 No Content\r\n", BodyLength::None),
        (
            get,
            "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n",
            BodyLength::None,
        ),
        (
            get,
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n",
            BodyLength::None,
        ),
        (
            get,
            "HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n",
            BodyLength::None,
        ),
        (
            get,
            "HTTP/1.1 101 Switching Protocols\r\nTransfer-Encoding: chunked\r\n",
            BodyLength::None,
        ),
        (
            get,
            "HTTP/1.1 426 Upgrade Required\r\nContent-Length: 5\r\n",
            BodyLength::Exactly(5),
        ),
    ];
    for (method, lines, expected) in cases {
        assert_eq!(of_response(method, lines), Ok(expected), "{method} {lines:?}");
    }
}

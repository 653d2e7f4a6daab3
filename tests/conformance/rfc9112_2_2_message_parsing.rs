//! RFC 9112, section 2.2: lines end with CRLF, no bare CR, nothing before the start line but empty lines.

use switchover::http1::{HeadError, RequestLineError};

use crate::parsed::{request, response};

#[test]
fn request_lines_that_do_not_end_with_crlf() {
    let cases: &[(&str, HeadError)] = &[
        (
            "GET / HTTP/1.1\nHost: a\r\n\r\n",
            HeadError::BareLineFeed { offset: 14 },
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\n\r\n",
            HeadError::BareLineFeed { offset: 23 },
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\n\n",
            HeadError::BareLineFeed { offset: 25 },
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\n\n",
            HeadError::BareLineFeed { offset: 23 },
        ),
        (
            "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            HeadError::BareLineFeed { offset: 0 },
        ),
        (
            "GET / HTTP/1.1\rHost: a\r\n\r\n",
            HeadError::BareCarriageReturn { offset: 14 },
        ),
        (
            "GET / HTTP/1.1\r\r\nHost: a\r\n\r\n",
            HeadError::BareCarriageReturn { offset: 14 },
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\r\n\r\n",
            HeadError::BareCarriageReturn { offset: 23 },
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\n\r\r\n",
            HeadError::BareCarriageReturn { offset: 25 },
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n",
            HeadError::BareCarriageReturn { offset: 23 },
        ),
        (
            "\rGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            HeadError::BareCarriageReturn { offset: 0 },
        ),
        // A smuggled field behind a bare CR, which some recipients take for the end of a line.
        (
            "GET / HTTP/1.1\r\nHost: a\r\nX: y\rTransfer-Encoding: chunked\r\n\r\n",
            HeadError::BareCarriageReturn { offset: 29 },
        ),
    ];
    for (head, expected) in cases {
        assert_eq!(request(head).unwrap_err(), *expected, "{head:?}");
        assert_eq!(expected.status(), 400);
    }
}

#[test]
fn response_lines_that_do_not_end_with_crlf() {
    let cases: &[(&str, HeadError)] = &[
        ("HTTP/1.1 200 OK\n\r\n", HeadError::BareLineFeed { offset: 15 }),
        (
            "HTTP/1.1 200 OK\r\nA: b\n\r\n",
            HeadError::BareLineFeed { offset: 21 },
        ),
        (
            "HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n",
            HeadError::BareCarriageReturn { offset: 21 },
        ),
        (
            "HTTP/1.1 200 O\rK\r\n\r\n",
            HeadError::BareCarriageReturn { offset: 14 },
        ),
        ("HTTP/1.1 200 OK\r\n\n", HeadError::BareLineFeed { offset: 17 }),
    ];
    for (head, expected) in cases {
        assert_eq!(response(head).unwrap_err(), *expected, "{head:?}");
    }
}

#[test]
fn every_control_byte_at_every_place_of_a_request() {
    let good = b"GET / HTTP/1.1\r\nHost: a\r\nX-Field: value\r\n\r\n";
    let places = [
        (0, "method"),
        (4, "target"),
        (9, "version"),
        (18, "name"),
        (33, "value"),
    ];
    for control in (0..=0x1f).chain([0x7f]).filter(|byte| !b"\t\r\n".contains(byte)) {
        for (offset, place) in places {
            let mut head = good.to_vec();
            head[offset] = control;
            let expected = HeadError::ControlByte {
                offset,
                byte: control,
            };
            assert_eq!(
                request(&head).unwrap_err(),
                expected,
                "0x{control:02x} in the {place}"
            );
        }
    }
}

#[test]
fn every_control_byte_in_a_response() {
    let good = b"HTTP/1.1 200 OK\r\nX-Field: value\r\n\r\n";
    for control in (0..=0x1f).chain([0x7f]).filter(|byte| !b"\t\r\n".contains(byte)) {
        for offset in [0, 7, 10, 14, 18, 28] {
            let mut head = good.to_vec();
            head[offset] = control;
            let expected = HeadError::ControlByte {
                offset,
                byte: control,
            };
            assert_eq!(
                response(&head).unwrap_err(),
                expected,
                "0x{control:02x} at {offset}"
            );
        }
    }
}

/// RFC 8446, section 5.1: what a peer sends first that takes the port for one of the other kind.
#[test]
fn a_record_of_tls_instead_of_a_head() {
    let records: [&[u8]; 5] = [
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
        b"\x16\x03\x03\0\x7a\x02",
        b"\x15\x03\x01\0\x02\x02\x46",
        b"\x15\x03\x03\0\x02\x02\x32",
        b"\x16\x03",
    ];
    for record in records {
        assert_eq!(request(record).unwrap_err(), HeadError::Tls, "{record:?}");
        assert_eq!(response(record).unwrap_err(), HeadError::Tls, "{record:?}");
    }
    for (bytes, byte) in [
        (b"\x16\x02\x01", 0x16),
        (b"\x14\x03\x03", 0x14),
        (b"\x15\x15\x03", 0x15),
    ] {
        let expected = HeadError::ControlByte { offset: 0, byte };
        assert_eq!(request(bytes).unwrap_err(), expected);
        assert_eq!(response(bytes).unwrap_err(), expected);
    }
    assert_eq!(HeadError::Tls.status(), 400);
}

#[test]
fn empty_lines_before_a_request_line() {
    for lines in ["\r\n", "\r\n\r\n", "\r\n\r\n\r\n\r\n"] {
        let parts = request(format!("{lines}GET /a HTTP/1.1\r\nHost: a\r\n\r\n")).unwrap();
        assert_eq!(parts.uri, "/a", "{lines:?}");
    }
}

#[test]
fn an_empty_line_before_a_status_line() {
    assert_eq!(
        response("\r\nHTTP/1.1 200 OK\r\n\r\n").unwrap_err(),
        HeadError::StartLine
    );
}

#[test]
fn white_space_before_the_start_line_or_between_it_and_the_first_field() {
    for head in [
        " GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "\tGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "\r\n GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        let leading = HeadError::RequestLine(RequestLineError::LeadingWhiteSpace);
        assert_eq!(request(head).unwrap_err(), leading, "{head:?}");
    }
    for head in [
        "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
        "GET / HTTP/1.1\r\n\tHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\n \r\nHost: a\r\n\r\n",
    ] {
        assert_eq!(
            request(head).unwrap_err(),
            HeadError::LineFolding { offset: 16 },
            "{head:?}"
        );
    }
}

#[test]
fn bytes_that_are_another_protocol() {
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f",
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n\r\n",
        b"EHLO example.com\r\n\r\n",
    ] {
        assert!(request(bytes).is_err(), "{}", bytes.escape_ascii());
        assert!(response(bytes).is_err(), "{}", bytes.escape_ascii());
    }
}

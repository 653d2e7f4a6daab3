//! RFC 9112, section 4: version, one space, three digits, a space, perhaps a reason.

use switchover::http1::HeadError;

use crate::parsed::response;

#[test]
fn status_lines_that_are_refused() {
    for line in [
        "HTTP/1.1",
        "HTTP/1.1 ",
        "HTTP/1.1 20",
        "HTTP/1.1 20 OK",
        "HTTP/1.1 2000",
        "HTTP/1.1 2000 OK",
        "HTTP/1.1 20x OK",
        "HTTP/1.1 x00 OK",
        "HTTP/1.1 +20 OK",
        "HTTP/1.1 -20 OK",
        "HTTP/1.1 0x2 OK",
        "HTTP/1.1 000 OK",
        "HTTP/1.1 099 OK",
        "HTTP/1.1  200 OK",
        "HTTP/1.1\t200 OK",
        "HTTP/1.1 200\tOK",
        "HTTP/1.1200 OK",
        "HTTP/1.1 200OK",
        "200 OK",
        "GET / HTTP/1.1",
        "HTTP/1.1 \u{0661}01 OK",
    ] {
        let error = response(format!("{line}\r\nContent-Length: 0\r\n\r\n")).unwrap_err();
        assert!(
            matches!(error, HeadError::StartLine | HeadError::Version),
            "{line:?}: {error}"
        );
    }
}

#[test]
fn status_lines_that_pass() {
    let cases = [
        ("HTTP/1.1 200 OK", 200),
        ("HTTP/1.1 200 ", 200),
        ("HTTP/1.1 101 Switching Protocols", 101),
        ("HTTP/1.1 299 any words\tat all", 299),
        ("HTTP/1.1 404 \u{e9}\u{e9}", 404),
        ("HTTP/1.0 500 no", 500),
        ("HTTP/1.1 599 x", 599),
    ];
    for (line, status) in cases {
        assert_eq!(
            response(format!("{line}\r\n\r\n")).unwrap().status,
            status,
            "{line:?}"
        );
    }
}

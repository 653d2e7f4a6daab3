//! RFC 9112, section 3: method, one space, target, one space, version.

use switchover::handshake::Rejection;
use switchover::http1::{HeadError, RequestLineError, TargetError};

use crate::parsed::request;

#[test]
fn what_is_wrong_with_a_request_line_is_named() {
    use HeadError::{RequestLine as Line, Target};
    use RequestLineError::*;
    let cases = [
        (" GET / HTTP/1.1", Line(LeadingWhiteSpace)),
        ("\tGET / HTTP/1.1", Line(LeadingWhiteSpace)),
        (" / HTTP/1.1", Line(LeadingWhiteSpace)),
        ("GET / HTTP/1.1 ", Line(TrailingWhiteSpace)),
        ("GET / HTTP/1.1\t", Line(TrailingWhiteSpace)),
        ("GET / ", Line(TrailingWhiteSpace)),
        ("GET ", Line(NoTarget)),
        ("GET  / HTTP/1.1", Line(Separator)),
        ("GET /  HTTP/1.1", Line(Separator)),
        ("GET\t/ HTTP/1.1", Line(Separator)),
        ("GET /\tHTTP/1.1", Line(Separator)),
        ("GET\t/\tHTTP/1.1", Line(Separator)),
        ("GET / \tHTTP/1.1", Line(NoVersion)),
        ("G@T / HTTP/1.1", Line(Method)),
        ("GET/ HTTP/1.1", Line(Method)),
        ("/ HTTP/1.1", Line(Method)),
        ("G\u{c9}T / HTTP/1.1", Line(Method)),
        ("/", Line(Method)),
        ("GET", Line(NoTarget)),
        ("GET HTTP/1.1", Line(NoTarget)),
        ("GET  HTTP/1.1", Line(NoTarget)),
        ("GET /", Line(NoVersion)),
        ("GET / a", Line(NoVersion)),
        ("GET / 1.1", Line(NoVersion)),
        ("GET / HTTP/ 1.1", Line(NoVersion)),
        ("GET /HTTP/1.1", Line(NoVersion)),
        ("GET / http/1.1", Line(Version)),
        ("GET / HTTP/1.10", Line(Version)),
        ("GET / HTTP/11", Line(Version)),
        ("GET / HTTP/1", Line(Version)),
        ("GET / HTTP", Line(Version)),
        ("GET / HTTP/a.b", Line(Version)),
        ("GET / HTTPS/1.1", Line(Version)),
        ("GET / HTTP/1.1\u{a0}", Line(Version)),
        ("GET / HTTP/2.0", HeadError::Version),
        ("GET / HTTP/1.2", HeadError::Version),
        ("GET / HTTP/0.9", HeadError::Version),
        ("GET / HTTP/9.9", HeadError::Version),
        ("PRI * HTTP/2.0", HeadError::Version),
        ("GET /a b HTTP/1.1", Target(TargetError::WhiteSpace)),
        ("GET /a  b c HTTP/1.1", Target(TargetError::WhiteSpace)),
        ("GET /a\tb HTTP/1.1", Target(TargetError::WhiteSpace)),
        ("GET /a b HTTP/2.0", Target(TargetError::WhiteSpace)),
        ("GET / HTTP/1.1 HTTP/1.1", Target(TargetError::WhiteSpace)),
        ("GET /a#b HTTP/1.1", Target(TargetError::Fragment)),
        ("GET /\u{a0} HTTP/1.1", Target(TargetError::InvalidByte)),
        ("GET \u{a0}/ HTTP/1.1", Target(TargetError::InvalidByte)),
        ("GET a HTTP/1.1", Target(TargetError::Form)),
    ];
    for (line, expected) in cases {
        let status = if expected == HeadError::Version { 505 } else { 400 };
        let error = request(format!("{line}\r\nHost: a\r\n\r\n")).unwrap_err();
        assert_eq!(error, expected, "{line:?}");
        assert_eq!(error.status(), status, "{line:?}");
        let text = Rejection::Head(error).to_string();
        let names = match expected {
            Target(_) => "target",
            HeadError::Version => "version",
            _ => "request line",
        };
        assert!(text.contains(names), "{line:?}: {text}");
    }
}

#[test]
fn control_bytes_in_a_request_line() {
    for (line, name) in [
        ("GET /\0 HTTP/1.1", "control-byte"),
        ("G\x7fT / HTTP/1.1", "control-byte"),
        ("GET /\x0b HTTP/1.1", "control-byte"),
        ("GET / HTTP/1.1\r", "bare-carriage-return"),
        ("GET /\rHTTP/1.1", "bare-carriage-return"),
        ("GET /\nHTTP/1.1", "bare-line-feed"),
    ] {
        let error = request(format!("{line}\r\nHost: a\r\n\r\n")).unwrap_err();
        assert_eq!((error.name(), error.status().as_u16()), (name, 400), "{line:?}");
    }
}

#[test]
fn methods_that_are_not_tokens() {
    for method in ["G@T", "GET:", "G(T", "\"GET\"", "G\u{c9}T", "GET,", "{GET}"] {
        let error = request(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n")).unwrap_err();
        assert_eq!(
            error,
            HeadError::RequestLine(RequestLineError::Method),
            "{method:?}"
        );
    }
}

#[test]
fn methods_keep_their_case() {
    for method in [
        "GET",
        "get",
        "Get",
        "M-SEARCH",
        "BASELINE-CONTROL",
        "x!#$%&'*+-.^_`|~",
    ] {
        let parts = request(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n")).unwrap();
        assert_eq!(parts.method.as_str(), method);
    }
}

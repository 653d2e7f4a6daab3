//! RFC 9112, section 3: method, one space, target, one space, version.

use switchover::head::HeadError;

use crate::parsed::request;

#[test]
fn request_lines_with_other_white_space() {
    for line in [
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        "GET / HTTP/1.1 ",
        "GET / HTTP/1.1\t",
        "GET\t/ HTTP/1.1",
        "GET /\tHTTP/1.1",
        "GET / HTTP/ 1.1",
        "GET / a HTTP/1.1",
        "GET/ HTTP/1.1",
        "GET /HTTP/1.1",
        "GET \u{a0}/ HTTP/1.1",
        "GET /\u{a0}HTTP/1.1",
    ] {
        let error = request(format!("{line}\r\nHost: a\r\n\r\n")).unwrap_err();
        assert!([400, 505].contains(&error.status().as_u16()), "{line:?}: {error}");
    }
}

#[test]
fn methods_that_are_not_tokens() {
    for method in ["G@T", "GET:", "G(T", "\"GET\"", "G\u{c9}T", "GET,", "{GET}"] {
        let error = request(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n")).unwrap_err();
        assert_eq!(error, HeadError::StartLine, "{method:?}");
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

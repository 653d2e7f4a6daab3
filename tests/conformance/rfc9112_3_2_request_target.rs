//! RFC 9112, section 3.2: the forms of a request target, and `Host`.

use switchover::http1::{
    HeadError, HostError, TargetError, check_request, encode_request, host_name, validate_host,
};
use switchover::route::HostPattern;

use crate::parsed::request;

fn target_error(line: &str) -> TargetError {
    match request(format!("{line} HTTP/1.1\r\nHost: a\r\n\r\n")) {
        Err(HeadError::Target(error)) => error,
        other => panic!("{line:?}: {other:?}"),
    }
}

#[test]
fn targets_that_no_method_may_use() {
    let cases = [
        ("GET /a#b", TargetError::Fragment),
        ("GET /#", TargetError::Fragment),
        ("GET #", TargetError::Fragment),
        ("GET http://a/#b", TargetError::Fragment),
        ("GET example.com", TargetError::Form),
        ("GET example.com:80", TargetError::Form),
        ("GET example.com/path", TargetError::Form),
        ("GET ?query", TargetError::Form),
        ("GET ../a", TargetError::Form),
        ("GET ftp://a/", TargetError::Form),
        ("GET file:///etc/passwd", TargetError::Form),
        ("GET javascript:alert(1)", TargetError::Form),
        ("GET http:/a", TargetError::Form),
        ("GET http:a", TargetError::Form),
        ("GET http:///a", TargetError::Authority),
        ("GET http://", TargetError::Authority),
        ("GET http://user@a/", TargetError::Authority),
        ("GET http://user:password@a/", TargetError::Authority),
        ("GET http://@a/", TargetError::Authority),
        ("GET http://a:80:80/", TargetError::Authority),
        ("GET http://a:b/", TargetError::Authority),
        ("GET http://a:65536/", TargetError::Authority),
        ("GET http://[::1/", TargetError::Authority),
        ("GET http://?a", TargetError::Authority),
        ("GET http://:80/", TargetError::Authority),
        ("GET http://a../", TargetError::Authority),
        ("GET http://./", TargetError::Authority),
        ("GET http://a..b?c", TargetError::Authority),
        ("GET http//a/", TargetError::Form),
        ("GET ://a/", TargetError::Form),
        ("GET a?http://b", TargetError::Form),
        ("OPTIONS *?a", TargetError::Form),
        ("GET http://a b/", TargetError::WhiteSpace),
        ("GET *", TargetError::Method),
        ("POST *", TargetError::Method),
        ("OPTIONS **", TargetError::Form),
        ("CONNECT /", TargetError::Authority),
        ("CONNECT a", TargetError::Authority),
        ("CONNECT http://a/", TargetError::Authority),
        ("CONNECT user@a:80", TargetError::Authority),
        ("CONNECT a:0x50", TargetError::Authority),
        ("CONNECT a:80/path", TargetError::Authority),
    ];
    for (line, expected) in cases {
        assert_eq!(target_error(line), expected, "{line:?}");
    }
}

#[test]
fn bytes_beyond_ascii_in_a_target() {
    assert_eq!(target_error("GET /\u{e9}"), TargetError::InvalidByte);
    let error = request(b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n").unwrap_err();
    assert_eq!(error, HeadError::Target(TargetError::InvalidByte));
}

#[test]
fn the_target_goes_on_as_it_came() {
    for target in [
        "/",
        "//",
        "//evil.example/a",
        "/a/../b",
        "/%2e%2e/%00?%zz",
        "/?",
        "/?a=b&c=d?e",
        "/a;b=c,d",
        "/~user",
        "/a%20b",
        "/[a]{b}|\\^`\"<>",
    ] {
        let head = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        let Ok(parts) = request(&head) else {
            // Unwise characters may be refused; what is not refused must not be changed.
            assert!(target.contains('{'), "{target:?}");
            continue;
        };
        let mut encoded = Vec::new();
        encode_request(&parts, &mut encoded);
        assert_eq!(String::from_utf8(encoded).unwrap(), head);
    }
}

#[test]
fn an_absolute_target_replaces_host_and_is_sent_on_as_a_path() {
    let cases = [
        ("http://inner.example/a?b", "inner.example", "/a?b"),
        ("HTTP://Inner.Example:8080/a", "Inner.Example:8080", "/a"),
        ("ws://inner.example/a", "inner.example", "/a"),
        ("https://inner.example", "inner.example", "/"),
        ("http://inner.example?b", "inner.example", "/?b"),
        ("http://inner.example?", "inner.example", "/?"),
        ("http://inner.example:80?b=/c", "inner.example:80", "/?b=/c"),
        ("http://inner.example:?b", "inner.example:", "/?b"),
        ("http://inner.example/?b", "inner.example", "/?b"),
        ("http://inner.example//b", "inner.example", "//b"),
        ("HTTPS://inner.example.", "inner.example.", "/"),
        ("WS://[2001:db8::1]?b", "[2001:db8::1]", "/?b"),
        ("wss://[2001:db8::1]:9/a", "[2001:db8::1]:9", "/a"),
    ];
    for (target, host, path) in cases {
        let parts = request(format!("GET {target} HTTP/1.1\r\nHost: outer.example\r\n\r\n")).unwrap();
        assert_eq!(parts.uri.path_and_query().unwrap().as_str(), path, "{target:?}");
        assert_eq!(parts.headers["host"], host, "{target:?}");
        assert_eq!(parts.headers.get_all("host").iter().count(), 1, "{target:?}");
        let mut encoded = Vec::new();
        encode_request(&parts, &mut encoded);
        assert!(
            encoded.starts_with(format!("GET {path} HTTP/1.1\r\n").as_bytes()),
            "{target:?}"
        );
    }
}

#[test]
fn options_for_a_whole_server() {
    for (target, sent) in [
        ("*", "*"),
        ("http://a", "*"),
        ("http://a:80", "*"),
        ("http://a/", "/"),
        ("http://a?b", "/?b"),
        ("http://a?", "/?"),
    ] {
        let parts = request(format!("OPTIONS {target} HTTP/1.1\r\nHost: a\r\n\r\n")).unwrap();
        let mut encoded = Vec::new();
        encode_request(&parts, &mut encoded);
        assert!(
            encoded.starts_with(format!("OPTIONS {sent} HTTP/1.1\r\n").as_bytes()),
            "{target:?}: {}",
            encoded.escape_ascii()
        );
    }
}

#[test]
fn host_fields_that_are_refused() {
    let cases: &[(&str, HostError)] = &[
        ("", HostError::Missing),
        ("Hosts: a\r\n", HostError::Missing),
        ("Host: a\r\nHost: a\r\n", HostError::Repeated),
        ("Host: a\r\nX: y\r\nhost: b\r\n", HostError::Repeated),
        ("Host: a\r\nHost:\r\n", HostError::Repeated),
        ("Host:\r\n", HostError::Invalid),
        ("Host: \t \r\n", HostError::Invalid),
        ("Host: a b\r\n", HostError::Invalid),
        ("Host: a, b\r\n", HostError::Invalid),
        ("Host: a,b\r\n", HostError::Invalid),
        ("Host: user@a\r\n", HostError::Invalid),
        ("Host: a/b\r\n", HostError::Invalid),
        ("Host: http://a\r\n", HostError::Invalid),
        ("Host: a?b\r\n", HostError::Invalid),
        ("Host: a#b\r\n", HostError::Invalid),
        ("Host: a\\b\r\n", HostError::Invalid),
        ("Host: a:80:80\r\n", HostError::Invalid),
        ("Host: a:b\r\n", HostError::Invalid),
        ("Host: a:-1\r\n", HostError::Invalid),
        ("Host: a:+80\r\n", HostError::Invalid),
        ("Host: a:65536\r\n", HostError::Invalid),
        ("Host: a:0000080\r\n", HostError::Invalid),
        ("Host: :80\r\n", HostError::Invalid),
        ("Host: ::1\r\n", HostError::Invalid),
        ("Host: [::1\r\n", HostError::Invalid),
        ("Host: [::1]a\r\n", HostError::Invalid),
        ("Host: [::1]:80]:81\r\n", HostError::Invalid),
        ("Host: [a]\r\n", HostError::Invalid),
        ("Host: [::1%25eth0]\r\n", HostError::Invalid),
        ("Host: a%\r\n", HostError::Invalid),
        ("Host: a%0\r\n", HostError::Invalid),
        ("Host: a%gg\r\n", HostError::Invalid),
        ("Host: .\r\n", HostError::Invalid),
        ("Host: ..\r\n", HostError::Invalid),
        ("Host: .:80\r\n", HostError::Invalid),
        ("Host: .a\r\n", HostError::Invalid),
        ("Host: a..\r\n", HostError::Invalid),
        ("Host: a..:80\r\n", HostError::Invalid),
        ("Host: a..b\r\n", HostError::Invalid),
        ("Host: a.%2e\r\n", HostError::Invalid),
        ("Host: a%2E.b\r\n", HostError::Invalid),
        ("Host: %2E\r\n", HostError::Invalid),
        ("Host: \u{e9}\r\n", HostError::Invalid),
        ("Host: \"a\"\r\n", HostError::Invalid),
        ("Host: a\tb\r\n", HostError::Invalid),
    ];
    for (fields, expected) in cases {
        let error = request(format!("GET / HTTP/1.1\r\n{fields}\r\n")).unwrap_err();
        assert_eq!(error, HeadError::Host(*expected), "{fields:?}");
        assert_eq!(error.status(), 400);
        // The authority of the target does not make up for it, unless the field is empty.
        if fields.trim_end() == "Host:" {
            continue;
        }
        let error = request(format!("GET http://a/ HTTP/1.1\r\n{fields}\r\n")).unwrap_err();
        assert_eq!(error, HeadError::Host(*expected), "absolute: {fields:?}");
    }
}

#[test]
fn host_fields_that_pass() {
    for host in [
        "a",
        "A.Example",
        "a.",
        "a.:80",
        "a.b.",
        "a%2E",
        "a:80",
        "a:",
        "127.0.0.1:1",
        "[::1]",
        "[2001:db8::1]:65535",
        "a_b",
        "%41",
    ] {
        let parts = request(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).unwrap();
        assert_eq!(parts.headers["host"], host);
    }
}

/// A rule on a name holds for every way to write the name.
#[test]
fn names_that_are_the_same() {
    for (host, name) in [
        ("admin.example", "admin.example"),
        ("admin.example.", "admin.example"),
        ("ADMIN.example.:443", "admin.example"),
        ("admin%2Eexample", "admin.example"),
        ("%61dmin.example%2e", "admin.example"),
        ("%41DMIN.example", "admin.example"),
        ("a%2Fb", "a%2fb"),
        ("[::1]", "[::1]"),
        ("[0:0:0:0::0001]:80", "[::1]"),
        ("[2001:DB8::1]", "[2001:db8::1]"),
        ("127.0.0.1.", "127.0.0.1"),
    ] {
        assert!(validate_host(host.as_bytes()).is_ok(), "{host:?}");
        assert_eq!(host_name(host), name, "{host:?}");
        let pattern: HostPattern = name.replace("%2f", "%2F").parse().unwrap();
        assert!(pattern.matches(host), "{host:?}");
    }
}

#[test]
fn http_1_0_without_host() {
    assert!(request("GET / HTTP/1.0\r\n\r\n").is_ok());
    let error = request("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n").unwrap_err();
    assert_eq!(error, HeadError::Host(HostError::Repeated));
}

/// Section 3.2.2: a proxy ignores the `Host` beside a target that names the authority. Section 3.2 has it empty where a client knows of
/// no authority.
#[test]
fn an_empty_host_beside_an_absolute_target() {
    let parts = request("GET http://a:1/ HTTP/1.1\r\nHost:\r\n\r\n").unwrap();
    assert_eq!(parts.headers["host"], "a:1");
    let uri = "http://a:1/".parse::<http::Uri>().unwrap();
    let (mut parts, ()) = http::Request::get(uri)
        .header("host", "")
        .body(())
        .unwrap()
        .into_parts();
    check_request(&mut parts).unwrap();
    assert_eq!(parts.headers["host"], "a:1");
}

/// `http` has no value for them, and a proxy that encodes them changes what was asked for.
#[test]
fn characters_that_no_uri_has_are_refused_where_they_cannot_go_on_as_they_came() {
    for (target, passes) in [
        ("/\"{}", true),
        ("/<", false),
        ("/>", false),
        ("/?a=\"", false),
        ("/?a=<", false),
        ("/?a=>", false),
        ("/?a={|}", true),
    ] {
        let read = request(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(read.is_ok(), passes, "{target}");
    }
}

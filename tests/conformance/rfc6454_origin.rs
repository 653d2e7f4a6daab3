//! RFC 6454: an origin is scheme, host and port, all three; and RFC 6455, section 10.2: who may open a socket.

use switchover::handshake::{
    HandshakePolicy, Origin, OriginPattern, OriginPatternError, Rejection, UpgradeRequest,
};

use crate::parsed::request;

fn head(origin_lines: &str) -> String {
    format!(
        "GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{origin_lines}\r\n"
    )
}

fn judge(policy: &HandshakePolicy, origin_lines: &str) -> Result<(), Rejection> {
    let mut parts = request(head("")).unwrap();
    // Not by the parser: it refuses two of them, which another may not.
    for line in origin_lines.lines() {
        let value = line.split_once(':').unwrap().1.trim();
        parts.headers.append("origin", value.parse().unwrap());
    }
    UpgradeRequest::parse(&parts, policy).map(|upgrade| assert!(upgrade.is_some()))
}

fn allow(origin: &str) -> HandshakePolicy {
    HandshakePolicy::default().allow_origin(origin.parse().unwrap())
}

#[test]
fn origins_that_are_on_the_list() {
    let policy = allow("https://example.com").allow_origin("http://[::1]:8080".parse().unwrap());
    for origin in [
        "https://example.com",
        "https://EXAMPLE.com",
        "HTTPS://example.com",
        "https://example.com:443",
        "wss://example.com",
        "http://[::1]:8080",
    ] {
        assert_eq!(
            judge(&policy, &format!("Origin: {origin}\r\n")),
            Ok(()),
            "{origin}"
        );
    }
}

#[test]
fn origins_that_are_not_on_the_list() {
    let policy = allow("https://example.com");
    for origin in [
        "http://example.com",
        "https://example.com:444",
        "https://example.com.evil.example",
        "https://evil-example.com",
        "https://evil.example/https://example.com",
        "https://sub.example.com",
        "https://example.com@evil.example",
        "https://example.com/",
        "https://example.com#",
        "https://example.com?",
        "https://example.co",
        "null",
        "",
        "example.com",
        "//example.com",
        "https:example.com",
        "https://",
        "file://",
        "https://example.com, null",
        "https://example.com https://evil.example",
        "https://example.com.",
        "https://\u{e9}xample.com",
        "https://*",
        "https://example.com:",
        "https://example.com:0443x",
        "javascript://example.com",
    ] {
        let judged = judge(&policy, &format!("Origin: {origin}\r\n"));
        assert_eq!(judged, Err(Rejection::OriginNotAllowed), "{origin:?}");
    }
    assert_eq!(Rejection::OriginNotAllowed.status(), 403);
}

#[test]
fn an_origin_twice() {
    // The parser refuses such a head by itself; another may not.
    let mut parts = request(head("Origin: https://example.com\r\n")).unwrap();
    parts
        .headers
        .append("origin", "https://example.com".parse().unwrap());
    let judged = UpgradeRequest::parse(&parts, &allow("https://example.com"));
    assert_eq!(judged.unwrap_err(), Rejection::OriginNotAllowed);
}

#[test]
fn no_origin_at_all() {
    let policy = allow("https://example.com");
    assert_eq!(judge(&policy, ""), Err(Rejection::OriginMissing));
    assert_eq!(Rejection::OriginMissing.status(), 403);
    assert_eq!(judge(&policy.allow_missing_origin(true), ""), Ok(()));
}

#[test]
fn any_origin_without_a_list() {
    for lines in [
        "",
        "Origin: null\r\n",
        "Origin: https://anyone.example\r\n",
        "Origin: not an origin\r\n",
    ] {
        assert_eq!(judge(&HandshakePolicy::default(), lines), Ok(()), "{lines:?}");
    }
}

#[test]
fn origins_are_shown_without_their_default_port() {
    for (text, shown) in [
        ("HTTPS://A.example:443", "https://a.example"),
        ("ws://a:80", "http://a"),
        ("http://a:8080", "http://a:8080"),
        ("chrome-extension://abc", "chrome-extension://abc"),
        ("http://[::1]", "http://[::1]"),
    ] {
        assert_eq!(text.parse::<Origin>().unwrap().to_string(), shown);
    }
}

#[test]
fn patterns_and_what_looks_like_what_they_allow() {
    let cases: &[(&str, &[&str], &[&str])] = &[
        (
            "https://*.example.com",
            &[
                "https://app.example.com",
                "https://APP.Example.com",
                "https://app.example.com:443",
                "wss://app.example.com",
                "https://xn--bcher-kva.example.com",
            ],
            &[
                "https://example.com",
                "https://evil-example.com",
                "https://evilexample.com",
                "https://example.com.evil.com",
                "https://app.example.com.evil.com",
                "https://a.b.example.com",
                "https://.example.com",
                "https://..example.com",
                "https://*.example.com",
                "http://app.example.com",
                "https://app.example.com:8443",
                "https://app.example.com.",
                "https://app.example.com/",
                "https://app.example.com@evil.com",
                "https://evil.com#.example.com",
                "https://evil.com?.example.com",
                "https://evil.com/.example.com",
                "https://evil.com:80.example.com",
                "null",
            ],
        ),
        (
            "http://*.localhost:3000",
            &["http://app.localhost:3000", "ws://app.localhost:3000"],
            &[
                "http://app.localhost",
                "http://localhost:3000",
                "http://app.localhost:30000",
            ],
        ),
        (
            "null",
            &["null"],
            &["Null", "", "file://", "https://null", "null, null"],
        ),
        (
            "file://",
            &["file://", "FILE://"],
            &["null", "file:///", "file://host", "file:", "https://file"],
        ),
        (
            "chrome-extension://abcdef",
            &["chrome-extension://abcdef"],
            &["chrome-extension://abcdeg", "https://abcdef"],
        ),
    ];
    for (pattern, allowed, refused) in cases {
        let policy = allow(pattern);
        let judged = |origin: &str| judge(&policy, &format!("Origin: {origin}\r\n"));
        for origin in *allowed {
            assert_eq!(judged(origin), Ok(()), "{pattern}: {origin}");
        }
        for origin in *refused {
            assert_eq!(
                judged(origin),
                Err(Rejection::OriginNotAllowed),
                "{pattern}: {origin}"
            );
        }
        assert_eq!(judge(&policy, ""), Err(Rejection::OriginMissing), "{pattern}");
        assert_eq!(pattern.parse::<OriginPattern>().unwrap().to_string(), *pattern);
    }
}

#[test]
fn texts_that_are_no_patterns() {
    for text in [
        "*",
        "https://*",
        "https://*:443",
        "https://app*.example.com",
        "https://*app.example.com",
        "https://app.*.com",
        "https://*.*.example.com",
        "https://example.com:*",
        "*://example.com",
        "https://*example.com",
    ] {
        let refused = text.parse::<OriginPattern>();
        assert_eq!(refused, Err(OriginPatternError::Wildcard), "{text}");
        assert!(text.parse::<Origin>().is_err(), "{text}");
    }
    for text in [
        "",
        "example.com",
        "*.example.com",
        "https://",
        "https://*.",
        "https://*.example.com/",
        "https://example.com/chat",
        "file:///tmp",
        "file",
        "NULL",
        "https://user@example.com",
        "https://*.user@example.com",
    ] {
        assert!(text.parse::<OriginPattern>().is_err(), "{text}");
    }
}

#[test]
fn origins_by_a_function_of_the_callers() {
    let same_host = HandshakePolicy::default().allow_origin_if(|origin, request| {
        let host = request.headers.get("host").and_then(|host| host.to_str().ok());
        origin.split_once("://").map(|(_, authority)| authority) == host
    });
    let both = same_host
        .clone()
        .allow_origin("https://example.com".parse().unwrap());
    for (origin, by_function, by_both) in [
        ("Origin: https://a\r\n", Ok(()), Ok(())),
        (
            "Origin: https://b\r\n",
            Err(Rejection::OriginNotAllowed),
            Err(Rejection::OriginNotAllowed),
        ),
        (
            "Origin: https://example.com\r\n",
            Err(Rejection::OriginNotAllowed),
            Ok(()),
        ),
        (
            "Origin: https://a\r\nOrigin: https://a\r\n",
            Err(Rejection::OriginNotAllowed),
            Err(Rejection::OriginNotAllowed),
        ),
        (
            "Origin: https://\u{e9}\r\n",
            Err(Rejection::OriginNotAllowed),
            Err(Rejection::OriginNotAllowed),
        ),
        ("", Err(Rejection::OriginMissing), Err(Rejection::OriginMissing)),
    ] {
        assert_eq!(judge(&same_host, origin), by_function, "{origin:?}");
        assert_eq!(judge(&both, origin), by_both, "{origin:?}");
    }
    assert_eq!(judge(&same_host.allow_missing_origin(true), ""), Ok(()));
}

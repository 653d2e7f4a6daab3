//! RFC 6454: an origin is scheme, host and port, all three; and RFC 6455, section 10.2: who may open a socket.

use switchover::handshake::{HandshakePolicy, Origin, Rejection, UpgradeRequest};

use crate::parsed::request;

fn judge(policy: &HandshakePolicy, origin_lines: &str) -> Result<(), Rejection> {
    let head = format!(
        "GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{origin_lines}\r\n"
    );
    UpgradeRequest::parse(&request(head).unwrap(), policy).map(|upgrade| assert!(upgrade.is_some()))
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
    let twice = "Origin: https://example.com\r\nOrigin: https://example.com\r\n";
    assert_eq!(
        judge(&allow("https://example.com"), twice),
        Err(Rejection::OriginNotAllowed)
    );
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

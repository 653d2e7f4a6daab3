//! RFC 6455, section 4.2.1: what a server demands of the client's handshake, one thing changed at a time.

use switchover::handshake::{HandshakePolicy, Rejection, UpgradeRequest};
use switchover::header::Hop;

use crate::parsed::request;

const GOOD: &str = "GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const VERSION: &str = "Sec-WebSocket-Version: 13\r\n";

/// The good request with a part of it replaced.
fn changed(part: &str, by: &str) -> String {
    assert!(GOOD.contains(part), "{part:?}");
    GOOD.replacen(part, by, 1)
}

fn judge(head: &str, policy: &HandshakePolicy) -> Result<Option<UpgradeRequest>, Rejection> {
    UpgradeRequest::parse(&request(head).unwrap(), policy)
}

fn refused(part: &str, by: &str) -> Rejection {
    match judge(&changed(part, by), &HandshakePolicy::default()) {
        Err(rejection) => rejection,
        Ok(upgrade) => panic!("{by:?} for {part:?}: {upgrade:?}"),
    }
}

#[test]
fn the_good_request_and_harmless_variations() {
    for (part, by) in [
        ("GET", "GET"),
        ("websocket", "WebSocket"),
        ("websocket", "WEBSOCKET"),
        ("Connection: Upgrade", "Connection: keep-alive, Upgrade"),
        (
            "Connection: Upgrade",
            "Connection: keep-alive\r\nConnection: upgrade",
        ),
        ("Host: a", "Host: a\r\nOrigin: null"),
        ("Host: a", "Host: a\r\nContent-Length: 0"),
        ("/chat", "ws://b/chat"),
        (
            VERSION,
            "Sec-WebSocket-Version:13\r\nSec-WebSocket-Protocol: a, b\r\n",
        ),
        (
            VERSION,
            "Sec-WebSocket-Version: 13 \r\nSec-WebSocket-Extensions: permessage-deflate; x=\"1,2\"\r\n",
        ),
    ] {
        let judged = judge(&changed(part, by), &HandshakePolicy::default());
        assert!(matches!(judged, Ok(Some(_))), "{by:?} for {part:?}: {judged:?}");
    }
}

#[test]
fn methods_other_than_get() {
    for method in ["POST", "HEAD", "PUT", "OPTIONS", "get", "Get"] {
        let rejection = refused("GET", method);
        assert_eq!(
            (rejection.clone(), rejection.status().as_u16()),
            (Rejection::Method, 405),
            "{method}"
        );
        assert_eq!(rejection.headers()["allow"], "GET");
    }
}

/// Items 1, 3 and 4: what a proxy in front drops that does not know of upgrades.
#[test]
fn handshakes_that_have_lost_their_upgrade_on_the_way() {
    let cases = [
        (
            "HTTP/1.1",
            "HTTP/1.0",
            Rejection::HandshakeInHttp10,
            "proxy_http_version",
        ),
        (
            "Upgrade: websocket\r\nConnection: Upgrade",
            "Connection: close",
            Rejection::UpgradeMissing,
            "proxy_set_header Upgrade",
        ),
        (
            "Upgrade: websocket\r\n",
            "",
            Rejection::UpgradeMissing,
            "$http_upgrade",
        ),
        (
            "Connection: Upgrade",
            "Connection: close",
            Rejection::ConnectionOptionMissing,
            "proxy_set_header Connection",
        ),
        (
            "Connection: Upgrade",
            "Connection: no-upgrade",
            Rejection::ConnectionOptionMissing,
            "Connection: Upgrade",
        ),
    ];
    for (part, by, expected, hint) in cases {
        let strict = HandshakePolicy::default().refuse_incomplete_handshakes(true);
        let rejection = judge(&changed(part, by), &strict).unwrap_err();
        assert_eq!(rejection, expected, "{by:?}");
        assert!(rejection.hint().contains(hint), "{}", rejection.hint());
        let response = rejection.into_response();
        assert_eq!(response.status(), 426);
        assert_eq!(response.headers()["upgrade"], "websocket");
        assert_eq!(response.headers()["connection"], "close, upgrade");

        for policy in [
            HandshakePolicy::default(),
            HandshakePolicy::default().allow_only(["echo/2".parse().unwrap()]),
        ] {
            let judged = judge(&changed(part, by), &policy);
            assert!(matches!(judged, Ok(None)), "{by:?}: {judged:?}");
        }
    }
}

#[test]
fn requests_that_only_look_like_a_lost_handshake() {
    let strict = HandshakePolicy::default().refuse_incomplete_handshakes(true);
    let lost = changed("Upgrade: websocket\r\n", "");
    for (part, by) in [(KEY, ""), ("GET", "POST"), ("GET", "HEAD"), ("GET", "OPTIONS")] {
        let judged = judge(&lost.replacen(part, by, 1), &strict);
        assert!(matches!(judged, Ok(None)), "{by:?}: {judged:?}");
    }
    // RFC 8441, section 5: in HTTP/2 a handshake is a CONNECT, and the key means nothing.
    let mut parts = request(&lost).unwrap();
    parts.version = http::Version::HTTP_2;
    let judged = UpgradeRequest::parse(&parts, &strict);
    assert!(matches!(judged, Ok(None)), "{judged:?}");
}

#[test]
fn versions_other_than_13() {
    for version in [
        "12", "8", "0", "14", "013", "13, 8", "8, 13", "13.0", "thirteen", "",
    ] {
        let rejection = refused(VERSION, &format!("Sec-WebSocket-Version: {version}\r\n"));
        assert_eq!(
            (rejection.clone(), rejection.status().as_u16()),
            (Rejection::VersionUnsupported, 426)
        );
        let headers = rejection.headers();
        assert_eq!(headers["sec-websocket-version"], "13");
        assert_eq!(headers["upgrade"], "websocket");
        assert_eq!(headers["connection"], "close, upgrade");
    }
}

#[test]
fn a_version_that_is_missing_or_repeated() {
    let missing = refused(VERSION, "");
    let repeated = refused(VERSION, &format!("{VERSION}{VERSION}"));
    assert_eq!(
        (missing.clone(), missing.status().as_u16()),
        (Rejection::VersionMissing, 400)
    );
    assert_eq!(
        (repeated.clone(), repeated.status().as_u16()),
        (Rejection::VersionRepeated, 400)
    );
}

#[test]
fn keys_that_are_not_16_bytes_in_base64() {
    for key in [
        "",
        "dGhlIHNhbXBsZSBub25jZQ",
        "dGhlIHNhbXBsZSBub25jZQ=",
        "dGhlIHNhbXBsZSBub25jZQ===",
        "dGhlIHNhbXBsZSBub25j",
        "dGhlIHNhbXBsZSBub25jZWE=",
        "dGhlIHNhbXBsZSBub25jZWFi",
        "dGhlIHNhbXBsZSBub25jZ\t==",
        "dGhl IHNhbXBsZSBub25jZQ==",
        "dGhlIHNhbXBsZSBub25j*Q==",
        "dGhlIHNhbXBsZSBub25jZ_==",
        "\"dGhlIHNhbXBsZSBub25jZQ==\"",
        "========================",
        "dGhlIHNhbXBsZSBub25jZQ==, x",
    ] {
        let rejection = refused(KEY, &format!("Sec-WebSocket-Key: {key}\r\n"));
        assert!(
            matches!(rejection, Rejection::KeyInvalid(_)),
            "{key:?}: {rejection}"
        );
        assert_eq!(rejection.status(), 400);
    }
}

#[test]
fn a_key_that_is_missing_or_repeated() {
    assert_eq!(refused(KEY, ""), Rejection::KeyMissing);
    assert_eq!(refused(KEY, &format!("{KEY}{KEY}")), Rejection::KeyRepeated);
    assert_eq!(Rejection::KeyMissing.status(), 400);
    assert_eq!(Rejection::KeyRepeated.status(), 400);
}

#[test]
fn subprotocols_that_are_no_list_of_different_tokens() {
    for lines in [
        "Sec-WebSocket-Protocol:\r\n",
        "Sec-WebSocket-Protocol: ,\r\n",
        "Sec-WebSocket-Protocol: a b\r\n",
        "Sec-WebSocket-Protocol: a, a\r\n",
        "Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: a\r\n",
        "Sec-WebSocket-Protocol: a/b\r\n",
        "Sec-WebSocket-Protocol: \"a\"\r\n",
        "Sec-WebSocket-Protocol: a, \u{e9}\r\n",
    ] {
        assert_eq!(
            refused(VERSION, &format!("{VERSION}{lines}")),
            Rejection::SubprotocolInvalid,
            "{lines:?}"
        );
    }
}

#[test]
fn extensions_that_are_no_list() {
    for value in ["a b", "a/b", "; x=1", "a, (b)", "\"a\""] {
        let lines = format!("{VERSION}Sec-WebSocket-Extensions: {value}\r\n");
        assert_eq!(refused(VERSION, &lines), Rejection::ExtensionInvalid, "{value:?}");
    }
}

#[test]
fn bodies() {
    for lines in ["Content-Length: 1\r\n", "Transfer-Encoding: chunked\r\n"] {
        assert_eq!(
            refused(VERSION, &format!("{VERSION}{lines}")),
            Rejection::Body,
            "{lines:?}"
        );
    }
}

#[test]
fn a_request_with_websocket_beside_another_protocol_keeps_to_the_rules() {
    let policy = HandshakePolicy::default().allow("echo".parse().unwrap());
    let head = changed("websocket", "echo, websocket").replacen(KEY, "", 1);
    assert_eq!(judge(&head, &policy).unwrap_err(), Rejection::KeyMissing);
}

#[test]
fn what_goes_upstream_of_a_handshake() {
    let policy = HandshakePolicy::default().allow_subprotocol("b");
    let lines = format!(
        "{VERSION}Sec-WebSocket-Protocol: a, b\r\nSec-WebSocket-Extensions: x\r\nSec-WebSocket-Extensions: y; z\r\n"
    );
    let parts = request(changed(VERSION, &lines)).unwrap();
    let upgrade = UpgradeRequest::parse(&parts, &policy).unwrap().unwrap();
    let (outgoing, _) = upgrade.forward(parts, Hop::unknown());
    let all = |name: &str| -> Vec<_> { outgoing.headers.get_all(name).iter().cloned().collect() };
    assert_eq!(all("sec-websocket-protocol"), ["b"]);
    assert_eq!(all("sec-websocket-extensions"), ["x", "y; z"]);
    assert_eq!(all("sec-websocket-key"), ["dGhlIHNhbXBsZSBub25jZQ=="]);
    assert_eq!(all("sec-websocket-version"), ["13"]);
    assert_eq!(all("connection"), ["upgrade"]);
    assert_eq!(all("upgrade"), ["websocket"]);
    assert_eq!(
        (&outgoing.method, outgoing.uri.path()),
        (&http::Method::GET, "/chat")
    );
}

#[test]
fn subprotocols_of_which_none_is_allowed() {
    let policy = HandshakePolicy::default().allow_subprotocol("chat");
    let offering = |value: &str| changed(VERSION, &format!("{VERSION}Sec-WebSocket-Protocol: {value}\r\n"));
    for value in ["Chat", "chat2", "a, b"] {
        assert_eq!(
            judge(&offering(value), &policy).unwrap_err(),
            Rejection::SubprotocolNotAllowed,
            "{value}"
        );
    }
    assert!(judge(GOOD, &policy).is_ok(), "none offered");
}

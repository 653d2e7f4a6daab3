//! RFC 6455, section 4.2.1: what a server demands of the client's handshake, one thing changed at a time.

use switchover::handshake::{HandshakePolicy, Rejection, UpgradeRequest};
use switchover::header::{Forwarding, Hop, ProtocolError};
use switchover::token::MAX_ELEMENTS;

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
        (
            "Upgrade: websocket",
            "Upgrade:",
            Rejection::UpgradeMissing,
            "Upgrade: websocket",
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
    // Another protocol was asked for, with the connection option or without it.
    for (part, by) in [
        ("Upgrade: websocket", "Upgrade: foo/1"),
        (
            "Upgrade: websocket\r\nConnection: Upgrade",
            "Upgrade: foo/1\r\nConnection: close",
        ),
    ] {
        let judged = judge(&changed(part, by), &strict);
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

/// `Sec-WebSocket-Protocol` lines that are no list of different tokens, and that clients in use send all the same.
const LOOSE_OFFERS: [&str; 14] = [
    "Sec-WebSocket-Protocol: SPDY/3.1+portforward.k8s.io\r\n",
    "Sec-WebSocket-Protocol: graphql:v2, graphql\r\n",
    "Sec-WebSocket-Protocol: v1.chat, token=YWJj==\r\n",
    "Sec-WebSocket-Protocol:\r\n",
    "Sec-WebSocket-Protocol: ,\r\n",
    "Sec-WebSocket-Protocol: a, , b\r\n",
    "Sec-WebSocket-Protocol: a b\r\n",
    "Sec-WebSocket-Protocol: a, a\r\n",
    "Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: a\r\n",
    "Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: b:c\r\n",
    "Sec-WebSocket-Protocol: a/b\r\n",
    "Sec-WebSocket-Protocol: \"a\"\r\n",
    "Sec-WebSocket-Protocol: \"a, b\r\n",
    "Sec-WebSocket-Protocol: a, \u{e9}\r\n",
];

#[test]
fn loose_subprotocol_offers_go_on_as_they_came() {
    for lines in LOOSE_OFFERS {
        let parts = request(changed(VERSION, &format!("{VERSION}{lines}"))).unwrap();
        let offered: Vec<_> = parts
            .headers
            .get_all("sec-websocket-protocol")
            .iter()
            .cloned()
            .collect();
        let upgrade = UpgradeRequest::parse(&parts, &HandshakePolicy::default());
        let (outgoing, _) = upgrade
            .unwrap()
            .unwrap()
            .forward(parts, Hop::unknown(), &Forwarding::default());
        let forwarded: Vec<_> = outgoing
            .headers
            .get_all("sec-websocket-protocol")
            .iter()
            .cloned()
            .collect();
        assert_eq!(forwarded, offered, "{lines:?}");
    }
}

#[test]
fn subprotocol_offers_by_the_strict_rule() {
    let strict = HandshakePolicy::default().require_subprotocol_tokens(true);
    let judged = |lines: &str| judge(&changed(VERSION, &format!("{VERSION}{lines}")), &strict);
    for lines in LOOSE_OFFERS {
        // An empty list element and a second line are allowed by RFC 9110, section 5.6.1 and RFC 6455, section 11.3.4.
        let expected = match lines.contains("a, , b") {
            true => None,
            false => Some(Rejection::SubprotocolInvalid),
        };
        assert_eq!(judged(lines).err(), expected, "{lines:?}");
    }
    for lines in [
        "",
        "Sec-WebSocket-Protocol: a, b\r\n",
        "Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: b\r\n",
    ] {
        assert!(judged(lines).is_ok(), "{lines:?}");
    }
}

#[test]
fn an_allow_list_of_subprotocols_that_are_no_tokens() {
    let policy = HandshakePolicy::default().allow_subprotocol("SPDY/3.1+portforward.k8s.io");
    let lines = format!("{VERSION}Sec-WebSocket-Protocol: x:y, SPDY/3.1+portforward.k8s.io, , x\r\n");
    let parts = request(changed(VERSION, &lines)).unwrap();
    let upgrade = UpgradeRequest::parse(&parts, &policy).unwrap().unwrap();
    let (outgoing, _) = upgrade.forward(parts, Hop::unknown(), &Forwarding::default());
    assert_eq!(
        outgoing.headers["sec-websocket-protocol"],
        "SPDY/3.1+portforward.k8s.io"
    );
}

#[test]
fn lists_with_more_elements_than_anyone_needs() {
    let list = |count: usize| -> String {
        let names: Vec<String> = (0..count).map(|index| format!("n{index}")).collect();
        names.join(", ")
    };
    let strict = HandshakePolicy::default().require_subprotocol_tokens(true);
    for policy in [HandshakePolicy::default(), strict] {
        for (name, expected) in [
            ("Sec-WebSocket-Protocol", Rejection::TooManySubprotocols),
            ("Sec-WebSocket-Extensions", Rejection::TooManyExtensions),
        ] {
            let judged = |count: usize| {
                let one_line = format!("{VERSION}{name}: {}\r\n", list(count));
                let two_lines = format!("{VERSION}{name}: first\r\n{name}: {}\r\n", list(count - 1));
                let one = judge(&changed(VERSION, &one_line), &policy).err();
                assert_eq!(one, judge(&changed(VERSION, &two_lines), &policy).err(), "{name}");
                one
            };
            assert_eq!(judged(MAX_ELEMENTS), None, "{name}");
            assert_eq!(judged(MAX_ELEMENTS + 1), Some(expected.clone()), "{name}");
            assert_eq!(expected.status(), 400);
        }
        let upgrades = changed("websocket", &format!("{}, websocket", list(MAX_ELEMENTS)));
        let rejection = judge(&upgrades, &policy).unwrap_err();
        assert_eq!(rejection, Rejection::Upgrade(ProtocolError::TooMany));
        assert_eq!(rejection.status(), 400);
    }
}

/// What costs little is looked at first: the reason names it, whatever else is wrong.
#[test]
fn an_origin_that_is_not_allowed_is_refused_before_the_handshake_is_read() {
    let policy = HandshakePolicy::default().allow_origin("https://example.com".parse().unwrap());
    for lines in [
        "Sec-WebSocket-Protocol: a, a\r\n",
        "Sec-WebSocket-Extensions: a b\r\n",
        "Content-Length: 5\r\n",
    ] {
        let head = changed(VERSION, lines);
        assert_eq!(
            judge(&head, &policy).unwrap_err(),
            Rejection::OriginMissing,
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
    let beside_another = HandshakePolicy::default().allow("echo".parse().unwrap());
    let allowing = HandshakePolicy::default().allow_request_body(true);
    for lines in ["Content-Length: 1\r\n", "Transfer-Encoding: chunked\r\n"] {
        let head = changed(VERSION, &format!("{VERSION}{lines}"));
        for (head, policy) in [
            (head.clone(), &HandshakePolicy::default()),
            (head.clone(), &HandshakePolicy::any_protocol()),
            (head.replacen("websocket", "echo, websocket", 1), &beside_another),
        ] {
            assert_eq!(judge(&head, policy).unwrap_err(), Rejection::Body, "{lines:?}");
        }
        assert!(judge(&head, &allowing).is_ok(), "{lines:?}");
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
    let (outgoing, _) = upgrade.forward(parts, Hop::unknown(), &Forwarding::default());
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

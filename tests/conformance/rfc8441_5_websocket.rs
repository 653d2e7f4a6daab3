//! RFC 8441, section 5: the WebSocket handshake by extended CONNECT, from either side, and its answers.

use http::uri::Scheme;
use http::{Method, Version, response};
use proptest::prelude::*;
use switchover::handshake::extended_connect::{
    NotConnectable, PROTOCOL, to_connect, to_response, to_success, to_upgrade,
};
use switchover::handshake::{BadSwitch, HandshakePolicy, PendingUpgrade, Rejection, UpgradeRequest, Verdict};
use switchover::header::{ForwardedRules, Forwarding, Hop};
use switchover::http1::HostError;

use crate::parsed::request;
use crate::rfc8441_4_extended_connect::{EXAMPLE, connect, key, lines};

const UPGRADE: &str = "GET /chat?a=b HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: http://example.com\r\n\
    Sec-WebSocket-Protocol: chat, superchat\r\nSec-WebSocket-Version: 13\r\n\r\n";

fn answer(status: u16, fields: &[(&str, &str)]) -> response::Parts {
    let mut answer = http::Response::builder().status(status).version(Version::HTTP_2);
    for (name, value) in fields {
        answer = answer.header(*name, *value);
    }
    answer.body(()).unwrap().into_parts().0
}

/// Without the fields about the client, which have tests of their own.
fn silent() -> Forwarding {
    let silent = ForwardedRules::default()
        .forwarded(false)
        .x_forwarded(false)
        .without_via();
    Forwarding::default().forwarded(silent)
}

/// An upgrade request as it goes upstream, and what judges the answer.
fn forwarded(head: &str) -> (http::request::Parts, PendingUpgrade) {
    let parts = request(head).unwrap();
    let upgrade = UpgradeRequest::parse(&parts, &HandshakePolicy::default())
        .unwrap()
        .unwrap();
    upgrade.forward(parts, Hop::unknown(), &silent())
}

#[test]
fn the_version_is_checked_as_in_http_1() {
    type Case<'a> = (&'a [(&'a str, &'a str)], Option<Rejection>);
    let cases: &[Case<'_>] = &[
        (&[("sec-websocket-version", "13")], None),
        (&[], Some(Rejection::VersionMissing)),
        (
            &[("sec-websocket-version", "8")],
            Some(Rejection::VersionUnsupported),
        ),
        (
            &[("sec-websocket-version", "13"), ("sec-websocket-version", "13")],
            Some(Rejection::VersionRepeated),
        ),
    ];
    for (fields, expected) in cases {
        let upgrade = to_upgrade(connect("https://a/", fields), PROTOCOL, key()).unwrap();
        let parsed = UpgradeRequest::parse(&upgrade, &HandshakePolicy::default());
        match expected {
            None => assert!(parsed.unwrap().is_some(), "{fields:?}"),
            Some(rejection) => assert_eq!(parsed.unwrap_err(), *rejection, "{fields:?}"),
        }
    }
}

#[test]
fn the_origin_and_the_subprotocols_are_checked_as_in_http_1() {
    let policy = HandshakePolicy::default()
        .allow_origin("http://www.example.com".parse().unwrap())
        .allow_subprotocol("superchat");
    let upgrade = to_upgrade(connect("https://a/", EXAMPLE), PROTOCOL, key()).unwrap();
    let request = UpgradeRequest::parse(&upgrade, &policy).unwrap().unwrap();
    let (forwarded, _) = request.forward(upgrade, Hop::unknown(), &silent());
    assert_eq!(forwarded.headers["sec-websocket-protocol"], "superchat");

    let foreign = connect(
        "https://a/",
        &[
            ("sec-websocket-version", "13"),
            ("origin", "https://evil.example"),
        ],
    );
    let upgrade = to_upgrade(foreign, PROTOCOL, key()).unwrap();
    assert_eq!(
        UpgradeRequest::parse(&upgrade, &policy).unwrap_err(),
        Rejection::OriginNotAllowed
    );
}

#[test]
fn a_policy_without_websocket_leaves_nothing_to_serve() {
    let upgrade = to_upgrade(connect("https://a/", EXAMPLE), PROTOCOL, key()).unwrap();
    let policy = HandshakePolicy::default().allow_only(["echo/2".parse().unwrap()]);
    assert!(UpgradeRequest::parse(&upgrade, &policy).unwrap().is_none());
}

#[test]
fn key_and_accept_of_the_client_mean_nothing() {
    let mut fields = EXAMPLE.to_vec();
    fields.extend([
        ("sec-websocket-key", "AQIDBAUGBwgJCgsMDQ4PEA=="),
        ("sec-websocket-key", "twice"),
        ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        ("sec-websocket-other", "kept"),
    ]);
    let upgrade = to_upgrade(connect("https://a/", &fields), PROTOCOL, key()).unwrap();
    let keys: Vec<_> = upgrade.headers.get_all("sec-websocket-key").iter().collect();
    assert_eq!(keys, [key().as_str()]);
    assert!(!upgrade.headers.contains_key("sec-websocket-accept"));
    assert_eq!(upgrade.headers["sec-websocket-other"], "kept");
}

#[test]
fn a_switch_becomes_a_200() {
    let upgrade = to_upgrade(connect("https://a/", EXAMPLE), PROTOCOL, key()).unwrap();
    let request = UpgradeRequest::parse(&upgrade, &HandshakePolicy::default())
        .unwrap()
        .unwrap();
    let (_, pending) = request.forward(upgrade, Hop::unknown(), &silent());
    let switch = crate::parsed::response(
        "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade, X-Secret\r\nX-Secret: 1\r\nX-Kept: 2\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: chat\r\n\
         Sec-WebSocket-Extensions: permessage-deflate\r\nContent-Length: 0\r\n\r\n",
    );
    let Ok(Verdict::Switched(switched)) = pending.judge(switch.unwrap()) else {
        panic!("no switch")
    };
    let success = to_success(switched);
    assert_eq!((success.status.as_u16(), success.version), (200, Version::HTTP_2));
    assert_eq!(
        lines(&success.headers),
        [
            ("x-kept", "2"),
            ("sec-websocket-protocol", "chat"),
            ("sec-websocket-extensions", "permessage-deflate")
        ]
    );
}

#[test]
fn declined_interim_and_refused_answers_keep_their_status() {
    let of_http_1 = [
        "connection",
        "upgrade",
        "transfer-encoding",
        "keep-alive",
        "proxy-connection",
    ];
    for status in [103, 301, 401, 403, 404, 426, 503] {
        let head = format!(
            "HTTP/1.1 {status} x\r\nConnection: close, upgrade\r\nUpgrade: websocket\r\nKeep-Alive: timeout=5\r\n\
             Sec-WebSocket-Version: 13\r\nX-Kept: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
        );
        let (_, pending) = forwarded(UPGRADE);
        let ready = match pending.judge(crate::parsed::response(head).unwrap()).unwrap() {
            Verdict::Interim { response, .. } => response.unwrap(),
            Verdict::Declined(declined) => declined.into_response(),
            Verdict::Switched(_) => panic!("{status}"),
        };
        let response = to_response(ready).unwrap();
        assert_eq!(
            (response.status.as_u16(), response.version),
            (status, Version::HTTP_2)
        );
        for name in of_http_1 {
            assert!(!response.headers.contains_key(name), "{status} {name}");
        }
        assert_eq!(
            (
                &response.headers["x-kept"],
                &response.headers["sec-websocket-version"]
            ),
            (&"1".parse().unwrap(), &"13".parse().unwrap())
        );
    }
    let (parts, text) = Rejection::VersionUnsupported.into_response().into_parts();
    let response = to_response(parts).unwrap();
    assert_eq!(
        (
            response.status.as_u16(),
            &response.headers["sec-websocket-version"]
        ),
        (426, &"13".parse().unwrap())
    );
    assert!(
        !response.headers.contains_key("upgrade")
            && !response.headers.contains_key("connection")
            && !text.is_empty()
    );
}

#[test]
fn an_answer_that_a_client_would_take_for_the_tunnel_is_none() {
    for status in [200, 201, 204, 206, 299] {
        let (_, pending) = forwarded(UPGRADE);
        let head = format!("HTTP/1.1 {status} x\r\nContent-Length: 0\r\n\r\n");
        let Ok(Verdict::Declined(declined)) = pending.judge(crate::parsed::response(head).unwrap()) else {
            panic!("{status}")
        };
        assert_eq!(
            to_response(declined.into_response()).unwrap_err(),
            BadSwitch::Success,
            "{status}"
        );
    }
    assert_eq!(to_response(answer(101, &[])).unwrap_err(), BadSwitch::InHttp2);
}

#[test]
fn an_upgrade_request_becomes_an_extended_connect() {
    let (upgrade, _) = forwarded(UPGRADE);
    let (connect, _) = to_connect(upgrade, Scheme::HTTPS).unwrap();
    assert_eq!(
        (&connect.method, connect.uri.to_string(), connect.version),
        (
            &Method::CONNECT,
            "https://server.example.com/chat?a=b".to_owned(),
            Version::HTTP_2
        )
    );
    assert_eq!(
        lines(&connect.headers),
        [
            ("origin", "http://example.com"),
            ("sec-websocket-protocol", "chat, superchat"),
            ("sec-websocket-version", "13")
        ]
    );
}

#[test]
fn targets_of_an_extended_connect() {
    for (target, host, uri) in [
        ("/", "a", "http://a/"),
        ("/x?y", "a:81", "http://a:81/x?y"),
        ("http://b/x", "a", "http://b/x"),
        ("http://b?x", "a", "http://b/?x"),
        ("//x", "[::1]", "http://[::1]//x"),
    ] {
        let head = UPGRADE
            .replacen("/chat?a=b", target, 1)
            .replacen("server.example.com", host, 1);
        let (connect, _) = to_connect(forwarded(&head).0, Scheme::HTTP).unwrap();
        assert_eq!(connect.uri.to_string(), uri, "{target}");
    }
}

#[test]
fn requests_that_no_extended_connect_can_carry() {
    for (part, by, expected) in [
        ("Upgrade: websocket\r\n", "", NotConnectable::NoWebSocket),
        ("Upgrade: websocket", "Upgrade: h2c", NotConnectable::NoWebSocket),
        ("Upgrade: websocket", "Upgrade: (", NotConnectable::NoWebSocket),
        ("Connection: Upgrade\r\n", "", NotConnectable::NoWebSocket),
        ("HTTP/1.1", "HTTP/1.0", NotConnectable::NoWebSocket),
        ("GET", "POST", NotConnectable::NoWebSocket),
        (
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
            "",
            NotConnectable::Key,
        ),
        ("dGhlIHNhbXBsZSBub25jZQ==", "short", NotConnectable::Key),
        (
            "Sec-WebSocket-Key:",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Key:",
            NotConnectable::Key,
        ),
        ("Origin:", "Content-Length: 5\r\nOrigin:", NotConnectable::Body),
        (
            "Origin:",
            "Transfer-Encoding: chunked\r\nOrigin:",
            NotConnectable::Body,
        ),
    ] {
        let parts = request(UPGRADE.replacen(part, by, 1)).unwrap();
        assert_eq!(
            to_connect(parts, Scheme::HTTP).unwrap_err(),
            expected,
            "{part:?} by {by:?}"
        );
    }
    let mut parts = request(UPGRADE).unwrap();
    parts.headers.remove("host");
    let error = to_connect(parts, Scheme::HTTP).unwrap_err();
    assert_eq!(error, NotConnectable::Host(HostError::Missing));
}

#[test]
fn a_success_becomes_the_101_that_answers_the_key() {
    for status in [200, 201, 204, 299] {
        let (upgrade, pending) = forwarded(UPGRADE);
        let (_, connect) = to_connect(upgrade, Scheme::HTTP).unwrap();
        let fields = [
            ("sec-websocket-protocol", "superchat"),
            ("sec-websocket-accept", "not this one"),
            ("content-length", "0"),
            ("x-kept", "1"),
        ];
        let switch = connect.to_switch(answer(status, &fields)).unwrap();
        assert_eq!((switch.status.as_u16(), switch.version), (101, Version::HTTP_11));
        let Ok(Verdict::Switched(switched)) = pending.judge(switch) else {
            panic!("{status}")
        };
        assert_eq!(switched.subprotocol().unwrap(), "superchat");
        let headers = &switched.response().headers;
        assert_eq!(headers["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert!(headers.contains_key("x-kept") && !headers.contains_key("content-length"));
    }
}

#[test]
fn what_a_success_may_not_select_is_no_switch() {
    for (name, value, expected) in [
        (
            "sec-websocket-protocol",
            "other",
            BadSwitch::SubprotocolNotOffered,
        ),
        (
            "sec-websocket-extensions",
            "x-other",
            BadSwitch::ExtensionNotOffered,
        ),
    ] {
        let (upgrade, pending) = forwarded(UPGRADE);
        let (_, connect) = to_connect(upgrade, Scheme::HTTP).unwrap();
        let switch = connect.to_switch(answer(200, &[(name, value)])).unwrap();
        assert_eq!(pending.judge(switch).unwrap_err(), expected);
    }
}

#[test]
fn other_answers_stay_what_they_are() {
    let (_, connect) = to_connect(forwarded(UPGRADE).0, Scheme::HTTP).unwrap();
    for status in [100, 103, 199, 300, 302, 400, 403, 426, 501, 599] {
        let fields = [
            ("content-length", "5"),
            ("sec-websocket-version", "13"),
            ("x-kept", "1"),
        ];
        let translated = connect.to_switch(answer(status, &fields)).unwrap();
        assert_eq!(
            (translated.status.as_u16(), translated.version),
            (status, Version::HTTP_11)
        );
        assert_eq!(lines(&translated.headers), fields);
    }
    let bad = connect.to_switch(answer(
        101,
        &[("upgrade", "websocket"), ("connection", "upgrade")],
    ));
    assert_eq!(bad.unwrap_err(), BadSwitch::InHttp2);
}

proptest! {
    /// Whatever a client asks by extended CONNECT arrives as it was asked, through both translations.
    #[test]
    fn there_and_back(
        path in "/[a-z0-9/%._~-]{0,20}(\\?[a-z0-9=&]{0,10})?",
        host in "[a-z][a-z0-9-]{0,8}(\\.[a-z0-9-]{1,8}){0,2}\\.?(:[1-9][0-9]{0,3})?",
        tls: bool,
        fields in prop::collection::vec(("x-[a-z]{1,8}", "([!-~]([ -~]{0,20}[!-~])?)?"), 0..8),
        nonce: [u8; 16],
    ) {
        let scheme = if tls { Scheme::HTTPS } else { Scheme::HTTP };
        let mut asked = connect(&format!("{scheme}://{host}{path}"), EXAMPLE);
        for (name, value) in &fields {
            let name: http::HeaderName = name.parse().unwrap();
            asked.headers.append(name, value.parse().unwrap());
        }
        let key = switchover::websocket::SecWebSocketKey::generate(nonce);
        let upgrade = to_upgrade(asked.clone(), PROTOCOL, key).unwrap();
        let request = UpgradeRequest::parse(&upgrade, &HandshakePolicy::default()).unwrap().unwrap();
        let (forwarded, pending) = request.forward(upgrade, Hop::unknown(), &silent());
        let mut bytes = Vec::new();
        switchover::http1::encode_request(&forwarded, &mut bytes);
        let (again, connect) = to_connect(crate::parsed::request(bytes).unwrap(), scheme).unwrap();
        prop_assert_eq!(&again.uri, &asked.uri);
        prop_assert_eq!(&again.headers, &asked.headers);

        let switch = connect.to_switch(answer(200, &[("sec-websocket-protocol", "chat")])).unwrap();
        let Ok(Verdict::Switched(switched)) = pending.judge(switch) else { panic!("no switch") };
        let success = to_success(switched);
        prop_assert_eq!(success.status.as_u16(), 200);
        prop_assert_eq!(lines(&success.headers), [("sec-websocket-protocol", "chat")]);
    }
}

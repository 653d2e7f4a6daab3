//! RFC 8441, section 4: which requests are an extended CONNECT, and what each becomes.

use http::{Method, Version, request};
use switchover::handshake::Rejection;
use switchover::handshake::extended_connect::{MalformedConnect, to_upgrade};
use switchover::http1::{FramingError, HeadError, HostError, TargetError};
use switchover::websocket::SecWebSocketKey;

use crate::parsed::request;

/// An extended CONNECT as an HTTP/2 or HTTP/3 library hands it over.
pub(crate) fn connect(uri: &str, fields: &[(&str, &str)]) -> request::Parts {
    let mut request = http::Request::connect(uri).version(Version::HTTP_2);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

pub(crate) fn key() -> SecWebSocketKey {
    SecWebSocketKey::generate(*b"the sample nonce")
}

/// The example of section 5.1.
pub(crate) const EXAMPLE: &[(&str, &str)] = &[
    ("sec-websocket-protocol", "chat, superchat"),
    ("sec-websocket-extensions", "permessage-deflate"),
    ("sec-websocket-version", "13"),
    ("origin", "http://www.example.com"),
];

/// The fields of a head as they would be sent, in order.
pub(crate) fn lines(headers: &http::HeaderMap) -> Vec<(&str, &str)> {
    let lines = headers.iter();
    lines
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
        .collect()
}

#[test]
fn the_example_becomes_the_upgrade_request_of_rfc_6455() {
    let upgrade = to_upgrade(
        connect("https://server.example.com/chat?a=b", EXAMPLE),
        "websocket",
        key(),
    )
    .unwrap();
    assert_eq!(
        (&upgrade.method, upgrade.uri.to_string(), upgrade.version),
        (&Method::GET, "/chat?a=b".to_owned(), Version::HTTP_11)
    );
    assert_eq!(
        lines(&upgrade.headers),
        [
            ("host", "server.example.com"),
            ("sec-websocket-protocol", "chat, superchat"),
            ("sec-websocket-extensions", "permessage-deflate"),
            ("sec-websocket-version", "13"),
            ("origin", "http://www.example.com"),
            ("connection", "upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ]
    );
    // As bytes it is a head that our own parser takes, and reads back the same.
    let mut bytes = Vec::new();
    switchover::http1::encode_request(&upgrade, &mut bytes);
    let parsed = request(&bytes).unwrap();
    assert_eq!(parsed.headers, upgrade.headers);
}

#[test]
fn targets_and_the_path_and_host_that_they_give() {
    for (uri, path, host) in [
        ("https://a/", "/", "a"),
        ("http://a/", "/", "a"),
        ("HTTPS://a/", "/", "a"),
        ("https://a:444/b/c?d=%2F&e", "/b/c?d=%2F&e", "a:444"),
        ("https://[::1]:9//x/../y", "//x/../y", "[::1]:9"),
    ] {
        let upgrade = to_upgrade(connect(uri, EXAMPLE), "websocket", key()).unwrap();
        assert_eq!(
            (upgrade.uri.to_string().as_str(), &upgrade.headers["host"]),
            (path, &host.parse().unwrap()),
            "{uri}"
        );
    }
}

/// A layer in front that replaces the URI by a path leaves no authority. Host says for whom the request is, where it is there.
#[test]
fn a_path_that_a_layer_has_put_in_place_of_the_target() {
    let mut request = connect("/other?x", EXAMPLE);
    request.headers.insert("host", "a:1".parse().unwrap());
    let upgrade = to_upgrade(request, "websocket", key()).unwrap();
    assert_eq!(
        (upgrade.uri.to_string().as_str(), &upgrade.headers["host"]),
        ("/other?x", &"a:1".parse().unwrap())
    );
}

#[test]
fn targets_that_are_none() {
    let cases: &[(&str, Rejection)] = &[
        // CONNECT without :scheme and :path is a CONNECT to a host and port, however it came to a :protocol.
        ("a:443", MalformedConnect::Scheme.into()),
        // A path alone is what a layer in front has made of it.
        ("/chat", HeadError::from(HostError::NoAuthority).into()),
        ("*", MalformedConnect::Scheme.into()),
        ("wss://a/chat", MalformedConnect::Scheme.into()),
        ("ftp://a/chat", MalformedConnect::Scheme.into()),
        ("https://a?chat", MalformedConnect::Path.into()),
        (
            "https://user@a/chat",
            HeadError::from(TargetError::Authority).into(),
        ),
        (
            "https://user:pass@a/chat",
            HeadError::from(TargetError::Authority).into(),
        ),
        (
            "https://a:99999/chat",
            HeadError::from(TargetError::Authority).into(),
        ),
    ];
    for (uri, expected) in cases {
        let rejection = to_upgrade(connect(uri, EXAMPLE), "websocket", key()).unwrap_err();
        assert_eq!(
            (&rejection, rejection.status().as_u16()),
            (expected, 400),
            "{uri}"
        );
    }
    for path in ["*", "chat", "http://b/"] {
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some("https".parse().unwrap());
        parts.authority = Some("a".parse().unwrap());
        let Ok(path) = path.parse() else { continue };
        parts.path_and_query = Some(path);
        let mut request = connect("https://a/", EXAMPLE);
        request.uri = http::Uri::from_parts(parts).unwrap();
        let uri = request.uri.clone();
        let rejection = to_upgrade(request, "websocket", key()).unwrap_err();
        assert_eq!(rejection, MalformedConnect::Path.into(), "{uri:?}");
    }
}

#[test]
fn protocols_by_name() {
    for (protocol, status) in [
        ("websocket", 0),
        ("WebSocket", 0),
        ("", 501),
        ("websocket ", 501),
        ("websocket/13", 501),
        ("websocket, h2c", 501),
        ("h2c", 501),
        ("connect-udp", 501),
        ("webtransport", 501),
    ] {
        let upgrade = to_upgrade(connect("https://a/", EXAMPLE), protocol, key());
        match upgrade {
            Ok(upgrade) => assert_eq!(
                (status, &upgrade.headers["upgrade"]),
                (0, &"websocket".parse().unwrap())
            ),
            Err(rejection) => assert_eq!(
                (&rejection, rejection.status().as_u16()),
                (&Rejection::ProtocolUnknown, status),
                "{protocol:?}"
            ),
        }
    }
}

#[test]
fn methods_and_versions_that_have_no_protocol() {
    for method in [Method::GET, Method::POST, Method::OPTIONS] {
        let mut request = connect("https://a/", EXAMPLE);
        request.method = method;
        let rejection = to_upgrade(request, "websocket", key()).unwrap_err();
        assert_eq!(rejection, MalformedConnect::Method.into());
    }
    for version in [Version::HTTP_10, Version::HTTP_11] {
        let mut request = connect("https://a/", EXAMPLE);
        request.version = version;
        let rejection = to_upgrade(request, "websocket", key()).unwrap_err();
        assert_eq!(
            (&rejection, rejection.status().as_u16()),
            (&Rejection::Connect, 501)
        );
    }
}

#[test]
fn a_host_beside_the_authority() {
    let with = |hosts: &[&str]| {
        let mut request = connect("https://a:1/", EXAMPLE);
        for host in hosts {
            request.headers.append("host", host.parse().unwrap());
        }
        to_upgrade(request, "websocket", key())
    };
    for same in ["a:1", "A:1", "a.:1"] {
        let upgrade = with(&[same]).unwrap();
        assert_eq!(
            lines(&upgrade.headers)[0],
            ("host", "a:1"),
            "the authority's spelling, first and once"
        );
        assert_eq!(upgrade.headers.get_all("host").iter().count(), 1);
    }
    for (hosts, expected) in [
        (&["b:1"][..], HostError::Differs),
        (&["a"], HostError::Differs),
        (&[""], HostError::Invalid),
        (&["a.:1", "a:1"], HostError::Repeated),
        (&["a..:1"], HostError::Invalid),
        (&["a:1", "a:1"], HostError::Repeated),
    ] {
        let rejection = with(hosts).unwrap_err();
        assert_eq!(rejection, HeadError::from(expected).into(), "{hosts:?}");
    }
}

#[test]
fn bodies() {
    let with = |length: &str| {
        let mut request = connect("https://a/", EXAMPLE);
        request.headers.insert("content-length", length.parse().unwrap());
        to_upgrade(request, "websocket", key())
    };
    // RFC 9113, section 8.1.1: the first byte of the tunnel would be one too many.
    assert_eq!(with("0").unwrap_err(), Rejection::Body);
    assert_eq!(with("5").unwrap_err(), Rejection::Body);
    let rejection = with("x").unwrap_err();
    assert_eq!(rejection, HeadError::from(FramingError::InvalidLength).into());
}

#[test]
fn more_fields_than_a_head_may_have() {
    let mut request = connect("https://a/", EXAMPLE);
    for _ in 0..30_000 {
        request.headers.append("cookie", "a=1".parse().unwrap());
    }
    let rejection = to_upgrade(request, "websocket", key()).unwrap_err();
    assert_eq!(rejection.status(), 431);
}

#[test]
fn what_each_rejection_says() {
    for rejection in [
        Rejection::ProtocolUnknown,
        MalformedConnect::Scheme.into(),
        MalformedConnect::ConnectionSpecific.into(),
    ] {
        let response = rejection.clone().into_response();
        assert!(
            response.body().contains(&rejection.to_string()) && response.body().contains(rejection.hint())
        );
    }
}

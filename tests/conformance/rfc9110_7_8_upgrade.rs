//! RFC 9110, section 7.8: when a request asks for another protocol, and which ones are forwarded.

use switchover::handshake::{HandshakePolicy, Rejection, UpgradeRequest, wants_upgrade};
use switchover::header::{Forwarding, Hop, Protocol, Protocols};

use crate::parsed::request;

/// A request with the protocol `echo`, which has no rules of its own.
fn policy() -> HandshakePolicy {
    HandshakePolicy::default().allow("echo/2".parse().unwrap())
}

/// The `Upgrade` values that go upstream, none if the request is an ordinary one.
fn forwarded(start: &str, lines: &str) -> Result<Option<String>, Rejection> {
    let parts = request(format!("{start}\r\nHost: a\r\n{lines}\r\n")).unwrap();
    let Some(upgrade) = UpgradeRequest::parse(&parts, &policy())? else {
        return Ok(None);
    };
    let (outgoing, _pending) = upgrade.forward(parts, Hop::unknown(), &Forwarding::default());
    let values: Vec<_> = outgoing.headers.get_all("upgrade").iter().collect();
    assert_eq!(outgoing.headers.get_all("connection").iter().count(), 1);
    assert_eq!(outgoing.headers["connection"], "upgrade");
    assert_eq!(values.len(), 1, "{lines:?}");
    Ok(Some(values[0].to_str().unwrap().to_owned()))
}

#[test]
fn requests_that_ask_for_no_upgrade() {
    let cases = [
        ("GET / HTTP/1.1", ""),
        ("GET / HTTP/1.1", "Upgrade: echo/2\r\n"),
        ("GET / HTTP/1.1", "Connection: upgrade\r\n"),
        ("GET / HTTP/1.1", "Connection: no-upgrade\r\nUpgrade: echo/2\r\n"),
        ("GET / HTTP/1.1", "Connection: keep-alive\r\nUpgrade: echo/2\r\n"),
        (
            "GET / HTTP/1.1",
            "Connection: upgrade-insecure-requests\r\nUpgrade: echo/2\r\n",
        ),
        (
            "GET / HTTP/1.1",
            "Proxy-Connection: upgrade\r\nUpgrade: echo/2\r\n",
        ),
        ("GET / HTTP/1.0", "Connection: upgrade\r\nUpgrade: echo/2\r\n"),
        ("GET / HTTP/1.0", "Connection: upgrade\r\nUpgrade: websocket\r\n"),
    ];
    for (start, lines) in cases {
        let parts = request(format!("{start}\r\nHost: a\r\n{lines}\r\n")).unwrap();
        assert!(!wants_upgrade(&parts), "{start} {lines:?}");
        assert_eq!(forwarded(start, lines), Ok(None), "{start} {lines:?}");
    }
}

#[test]
fn protocols_that_are_not_allowed() {
    for value in [
        "h2c",
        "H2C",
        "h2",
        "TLS/1.0",
        "HTTP/2.0",
        "echo",
        "echo/1",
        "echo/2.0",
        "xecho/2",
        "websockets",
        "websocket/13",
        "web socket",
        "h2c, h2",
        "",
    ] {
        let lines = format!("Connection: upgrade\r\nUpgrade: {value}\r\n");
        let ordinary = forwarded("GET / HTTP/1.1", &lines);
        match value {
            "web socket" => assert!(matches!(ordinary, Err(Rejection::Upgrade(_))), "{value:?}"),
            _ => assert_eq!(ordinary, Ok(None), "{value:?}"),
        }
    }
}

#[test]
fn only_allowed_protocols_go_upstream() {
    let cases = [
        ("Upgrade: echo/2\r\n", "echo/2"),
        ("Upgrade: ECHO/2\r\n", "ECHO/2"),
        ("Upgrade: h2c, echo/2\r\n", "echo/2"),
        ("Upgrade: echo/2, h2c\r\n", "echo/2"),
        ("Upgrade: echo/2,H2C,echo/2\r\n", "echo/2"),
        ("Upgrade: h2c\r\nUpgrade: echo/2\r\n", "echo/2"),
        ("Upgrade: echo/2\r\nX: y\r\nupgrade: h2c\r\n", "echo/2"),
        ("Upgrade:\r\nUpgrade: , echo/2 ,\r\n", "echo/2"),
    ];
    for (lines, expected) in cases {
        let lines = format!("Connection: upgrade, http2-settings\r\nHTTP2-Settings: AAMAAABk\r\n{lines}");
        let upgrade = forwarded("POST / HTTP/1.1", &lines).unwrap();
        assert_eq!(upgrade.as_deref(), Some(expected), "{lines:?}");
    }
}

#[test]
fn upgrade_fields_that_are_no_list_of_protocols() {
    for value in [
        "echo/2, (x)",
        "echo/",
        "/2",
        "echo/2/3",
        "echo 2",
        "echo/2;q=1",
        "\"echo/2\"",
        "echo/2, \u{e9}",
    ] {
        let lines = format!("Connection: upgrade\r\nUpgrade: {value}\r\n");
        let rejection = forwarded("GET / HTTP/1.1", &lines).unwrap_err();
        assert!(
            matches!(rejection, Rejection::Upgrade(_)),
            "{value:?}: {rejection}"
        );
        assert_eq!(rejection.status(), 400);
    }
}

#[test]
fn protocols_are_compared_by_name_without_case_and_by_version_with_it() {
    let parse = |text: &str| text.parse::<Protocol>().unwrap();
    assert_eq!(parse("WebSocket"), Protocol::WEBSOCKET);
    assert_eq!(parse("IRC/6.9"), parse("irc/6.9"));
    assert_ne!(parse("irc/a"), parse("irc/A"));
    assert_ne!(parse("irc"), parse("irc/6.9"));
}

/// `docker exec` is a POST with a body: methods and bodies are the business of a protocol that the operator has allowed.
#[test]
fn methods_and_bodies_of_other_protocols_than_websocket() {
    for start in ["GET / HTTP/1.1", "POST / HTTP/1.1", "PUT / HTTP/1.1"] {
        for lines in ["", "Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n"] {
            let lines = format!("Connection: upgrade\r\nUpgrade: echo/2\r\n{lines}");
            let upgrade = forwarded(start, &lines);
            assert_eq!(upgrade, Ok(Some("echo/2".to_owned())), "{start} {lines:?}");

            let parts = request(format!("{start}\r\nHost: a\r\n{lines}\r\n")).unwrap();
            let refused = UpgradeRequest::parse(&parts, &policy().allow_request_body(false)).err();
            let expected = lines.contains("-").then_some(Rejection::Body);
            assert_eq!(refused, expected, "{start} {lines:?}");
        }
    }
}

#[test]
fn any_protocol_but_http() {
    let judged = |policy: &HandshakePolicy, value: &str| {
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: {value}\r\n\r\n");
        let parts = request(head).unwrap();
        let upgrade = UpgradeRequest::parse(&parts, policy).unwrap()?;
        let (outgoing, _) = upgrade.forward(parts, Hop::unknown(), &Forwarding::default());
        Some(outgoing.headers["upgrade"].to_str().unwrap().to_owned())
    };
    let any = HandshakePolicy::any_protocol();
    for (value, expected) in [
        ("tcp", Some("tcp")),
        ("SPDY/3.1", Some("SPDY/3.1")),
        ("echo, h2c, Echo, echo/2", Some("echo, echo/2")),
        ("h2c", None),
        ("H2C", None),
        ("h2c-14", None),
        ("h2", None),
        ("HTTP/2.0", None),
        ("http/3", None),
        ("h2o", Some("h2o")),
        ("httpx", Some("httpx")),
    ] {
        assert_eq!(judged(&any, value).as_deref(), expected, "{value}");
    }
    let named = any.clone().allow("h2c".parse().unwrap());
    assert_eq!(judged(&named, "h2c").as_deref(), Some("h2c"), "by its name");
    let only = any.allow_only(["tcp".parse().unwrap()]);
    assert_eq!(judged(&only, "echo"), None, "a later list replaces it");
}

#[test]
fn parts_that_another_parser_let_through() {
    // What hyper accepts and this crate does not must not pass by way of ready-made parts.
    let build = |lines: &[(&str, &str)]| {
        let mut builder = http::Request::post("/");
        for (name, value) in lines {
            builder = builder.header(*name, *value);
        }
        builder.body(()).unwrap().into_parts().0
    };
    let upgrade = [("connection", "upgrade"), ("upgrade", "echo/2")];
    for extra in [
        &[][..],
        &[("host", "a"), ("host", "a")],
        &[("host", "a b")],
        &[("host", "a"), ("transfer-encoding", "chunked, chunked")],
        &[
            ("host", "a"),
            ("transfer-encoding", "chunked"),
            ("content-length", "5"),
        ],
        &[("host", "a"), ("content-length", "5"), ("content-length", "5")],
    ] {
        let parts = build(&[&upgrade, extra].concat());
        let rejection = UpgradeRequest::parse(&parts, &policy()).unwrap_err();
        assert!(matches!(rejection, Rejection::Head(_)), "{extra:?}: {rejection}");
    }
}

#[test]
fn a_list_without_protocols_is_empty() {
    let headers = request("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: ,\r\n\r\n")
        .unwrap()
        .headers;
    assert!(Protocols::of(&headers).unwrap().is_empty());
}

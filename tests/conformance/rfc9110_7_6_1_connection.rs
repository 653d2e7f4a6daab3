//! RFC 9110, section 7.6.1: connection options, and the fields that end at this hop.

use http::HeaderMap;
use switchover::header::hop_by_hop::{self, TooManyOptions};
use switchover::header::{ConnectionMap, ConnectionOptions};

use crate::parsed::request;

fn fields(lines: &str) -> HeaderMap {
    request(format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n"))
        .unwrap()
        .headers
}

fn names(headers: &HeaderMap) -> Vec<&str> {
    headers
        .keys()
        .map(|name| name.as_str())
        .filter(|name| *name != "host")
        .collect()
}

#[test]
fn the_option_upgrade() {
    let cases = [
        ("Connection: upgrade\r\n", true),
        ("Connection: UPGRADE\r\n", true),
        ("Connection: keep-alive, Upgrade\r\n", true),
        ("Connection: keep-alive\r\nConnection: Upgrade\r\n", true),
        (
            "Connection:\r\nConnection: close\r\nConnection: , upgrade ,\r\n",
            true,
        ),
        ("Connection:\tupgrade\t,x\r\n", true),
        ("", false),
        ("Connection:\r\n", false),
        ("Connection: no-upgrade\r\n", false),
        ("Connection: Upgrade-Insecure-Requests\r\n", false),
        ("Connection: xupgrade\r\n", false),
        ("Connection: upgrade;q=1\r\n", false),
        ("Connection: up grade\r\n", false),
        ("Connection: keep-alive upgrade\r\n", false),
        ("Connection: \"upgrade\"\r\n", false),
        ("Connection: upgrade\u{e9}\r\n", false),
        ("Connection: upgra\u{212a}de\r\n", false),
        ("Proxy-Connection: upgrade\r\n", false),
    ];
    for (lines, expected) in cases {
        assert_eq!(
            ConnectionOptions::of(&fields(lines)).contains("upgrade"),
            expected,
            "{lines:?}"
        );
    }
}

#[test]
fn fields_that_end_here_without_being_nominated() {
    // A CGI program takes `Proxy` for HTTP_PROXY (CVE-2016-5385).
    for name in hop_by_hop::FIXED.into_iter().chain(["proxy"]) {
        if name == "transfer-encoding" {
            continue;
        }
        let mut headers = fields(&format!(
            "X-Before: 1\r\n{name}: x\r\n{name}: y\r\nX-After: 2\r\n"
        ));
        hop_by_hop::strip(&mut headers).unwrap();
        assert_eq!(names(&headers), ["x-before", "x-after"], "{name}");
    }
}

#[test]
fn nominated_fields_by_where_they_are_nominated() {
    for connection in [
        "Connection: x-secret\r\n",
        "Connection: X-SECRET\r\n",
        "Connection: close, x-secret\r\n",
        "Connection: close\r\nConnection: x-secret\r\n",
        "Connection:\r\nConnection: ,,x-secret,\r\n",
        "Connection: keep-alive\r\nX: y\r\nconnection: upgrade, X-Secret\r\n",
        "Connection: \tx-secret\t\r\n",
    ] {
        let mut headers = fields(&format!(
            "{connection}X-Secret: 1\r\nX-Kept: 2\r\nx-secret: 3\r\n"
        ));
        hop_by_hop::strip(&mut headers).unwrap();
        assert!(!headers.contains_key("x-secret"), "{connection:?}");
        assert!(headers.contains_key("x-kept"), "{connection:?}");
        assert!(!headers.contains_key("connection"), "{connection:?}");
    }
}

#[test]
fn nominations_that_remove_nothing() {
    let others = [
        "x-forwarded-for",
        "x-forwarded-anything",
        "sec-websocket-key",
        "access-control-allow-origin",
    ];
    for name in hop_by_hop::PROTECTED.into_iter().chain(others) {
        if ["transfer-encoding", "content-length", "host"].contains(&name) {
            continue;
        }
        let mut headers = fields(&format!("Connection: {name}\r\n{name}: x\r\n"));
        hop_by_hop::strip(&mut headers).unwrap();
        assert_eq!(headers[name], "x", "{name}");
    }
    let mut headers = fields("Connection: host, content-length\r\nContent-Length: 5\r\n");
    hop_by_hop::strip(&mut headers).unwrap();
    assert_eq!(
        (&headers["host"], &headers["content-length"]),
        (&"a".parse().unwrap(), &"5".parse().unwrap())
    );
}

#[test]
fn te_is_kept_for_trailers_alone() {
    let cases = [
        ("TE: trailers\r\n", true),
        ("TE: Trailers\r\nConnection: TE\r\n", true),
        ("TE: gzip;q=0.5, trailers\r\n", true),
        ("TE: gzip\r\nTE: trailers\r\n", true),
        ("TE: gzip\r\n", false),
        ("TE: xtrailers\r\n", false),
        ("TE:\r\n", false),
    ];
    for (lines, expected) in cases {
        let mut headers = fields(lines);
        assert_eq!(
            hop_by_hop::strip(&mut headers).unwrap().trailers,
            expected,
            "{lines:?}"
        );
        let kept: Vec<_> = headers.get_all("te").iter().collect();
        let only: &[&str] = if expected { &["trailers"] } else { &[] };
        assert_eq!(kept, only, "{lines:?}");
    }
}

#[test]
fn more_options_than_the_limit() {
    let options = |count: usize| vec!["x-a"; count].join(",");
    let mut headers = fields(&format!(
        "Connection: {}\r\nX-A: 1\r\n",
        options(hop_by_hop::MAX_OPTIONS)
    ));
    assert!(hop_by_hop::strip(&mut headers).is_ok());
    let mut headers = fields(&format!(
        "Connection: {}\r\nX-A: 1\r\n",
        options(hop_by_hop::MAX_OPTIONS + 1)
    ));
    assert_eq!(hop_by_hop::strip(&mut headers), Err(TooManyOptions));
    assert!(headers.contains_key("x-a"), "nothing removed");
}

#[test]
fn the_connection_map_by_what_upgrade_says() {
    let cases = [
        ("", Some("close")),
        ("Upgrade:\r\n", Some("close")),
        ("Upgrade: websocket\r\n", Some("upgrade")),
        ("Upgrade:\r\nUpgrade: anything\r\n", Some("upgrade")),
    ];
    for (lines, expected) in cases {
        let mut headers = fields(&format!("Connection: a\r\nConnection: b\r\n{lines}"));
        ConnectionMap::default().apply(&mut headers);
        let values: Vec<_> = headers.get_all("connection").iter().collect();
        assert_eq!(values, expected.as_slice(), "{lines:?}");
    }
    let mut headers = fields("Connection: a\r\nConnection: b\r\n");
    ConnectionMap::keep_alive().apply(&mut headers);
    assert!(!headers.contains_key("connection"));
}

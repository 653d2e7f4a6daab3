//! nginx, `proxy_set_header`, `proxy_hide_header`, `add_header`, `underscores_in_headers`: what rules do to a message,
//! and what they may not touch.

use http::request::Parts;
use http::{HeaderMap, StatusCode};
use switchover::header::rules::{
    HeaderRules, HostRule, RuleError, Statuses, TemplateError, Underscores, Variables,
};
use switchover::header::{ForwardedRules, Hop, hop_by_hop};

use crate::parsed::request;

fn hop() -> Hop {
    Hop::from("198.51.100.7:4711".parse::<std::net::SocketAddr>().unwrap()).at_port(80)
}

fn client(lines: &str) -> Parts {
    request(format!(
        "GET /chat?x=1 HTTP/1.1\r\nHost: A.example:80\r\n{lines}\r\n"
    ))
    .unwrap()
}

/// What becomes of the request, by the order that the doors keep.
fn applied(rules: &HeaderRules, lines: &str) -> HeaderMap {
    let mut parts = client(lines);
    let prepared = rules.prepare(&Variables::new(&parts, &hop()));
    hop_by_hop::strip(&mut parts.headers).unwrap();
    ForwardedRules::default().apply(&mut parts.headers, &hop());
    prepared.apply_to_request(&mut parts.headers);
    parts.headers
}

fn all(headers: &HeaderMap, name: &str) -> Vec<String> {
    let values = headers.get_all(name).iter();
    values
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        .collect()
}

#[test]
fn proxy_set_header_replaces_all_lines_and_an_empty_value_removes_them() {
    let rules = HeaderRules::default()
        .set_on_request("X-Set", "$remote_addr")
        .and_then(|rules| rules.set_on_request("X-Empty", "$http_none"))
        .and_then(|rules| rules.set_on_request("X-Nothing", ""))
        .and_then(|rules| rules.set_on_request("X-NginX-Proxy", "true"))
        .and_then(|rules| rules.add_on_request("X-More", "b"))
        .and_then(|rules| rules.add_on_request("X-More", "$http_none"))
        .and_then(|rules| rules.add_on_request("X-More", "c"))
        .and_then(|rules| rules.remove_on_request("X-Gone"))
        .and_then(|rules| rules.set_on_request("Origin", "http://backend"))
        .unwrap();
    let headers = applied(
        &rules,
        "X-Set: 1\r\nX-Set: 2\r\nX-Empty: 1\r\nX-Nothing: 1\r\nX-More: a\r\nX-Gone: 1\r\nX-Gone: 2\r\n\
         X-Kept: 1\r\nOrigin: https://a.example\r\n",
    );
    let expected: &[(&str, &[&str])] = &[
        ("x-set", &["198.51.100.7"]),
        ("x-empty", &[]),
        ("x-nothing", &[]),
        ("x-nginx-proxy", &["true"]),
        ("x-more", &["a", "b", "c"]),
        ("x-gone", &[]),
        ("x-kept", &["1"]),
        ("origin", &["http://backend"]),
        ("host", &["A.example:80"]),
    ];
    for (name, values) in expected {
        assert_eq!(all(&headers, name), *values, "{name}");
    }
}

#[test]
fn rules_come_after_the_forwarding_fields_and_see_what_the_client_has_sent() {
    let rules = HeaderRules::default()
        .set_on_request("X-Forwarded-For", "$proxy_add_x_forwarded_for")
        .and_then(|rules| rules.set_on_request("X-Real-IP", "$remote_addr:$remote_port"))
        .and_then(|rules| rules.set_on_request("X-Was", "$http_x_real_ip $http_connection"))
        .and_then(|rules| rules.remove_on_request("Via"))
        .unwrap();
    let lines =
        "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 7.7.7.7\r\nX-Real-IP: 6.6.6.6\r\nConnection: x-y\r\n";
    let headers = applied(&rules, lines);
    assert_eq!(
        all(&headers, "x-forwarded-for"),
        ["6.6.6.6, 7.7.7.7, 198.51.100.7"]
    );
    assert_eq!(all(&headers, "x-real-ip"), ["198.51.100.7:4711"]);
    assert_eq!(all(&headers, "x-was"), ["6.6.6.6 x-y"]);
    assert!(all(&headers, "via").is_empty());
}

#[test]
fn a_client_cannot_nominate_away_what_a_rule_sets() {
    let rules = HeaderRules::default().set_on_request("X-User", "alice").unwrap();
    for nominated in ["x-user", "X-USER, close", "keep-alive, x-user, upgrade"] {
        let headers = applied(&rules, &format!("X-User: mallory\r\nConnection: {nominated}\r\n"));
        assert_eq!(all(&headers, "x-user"), ["alice"], "{nominated}");
    }
}

#[test]
fn the_host_is_the_clients_unless_chosen_otherwise() {
    let cases = [
        ("$http_host", "A.example:80"),
        ("$host", "a.example"),
        ("$host:$server_port", "a.example:80"),
        ("$proxy_host", "backend:9000"),
        ("fixed.example", "fixed.example"),
        ("$http_x_host", "x.example"),
        // What is no host is not sent.
        ("$http_none", "A.example:80"),
        ("$http_x_bad", "A.example:80"),
    ];
    for (rule, expected) in cases {
        let rules = HeaderRules::default()
            .host(rule.parse().unwrap())
            .upstream("backend:9000");
        let headers = applied(&rules, "X-Host: x.example\r\nX-Bad: a b/c\r\n");
        assert_eq!(all(&headers, "host"), [expected], "{rule}");
        assert_eq!(all(&headers, "x-forwarded-host"), ["A.example:80"], "{rule}");
    }
    let without = HeaderRules::default().host(HostRule::Upstream);
    assert_eq!(all(&applied(&without, ""), "host"), ["A.example:80"]);
    for bad in ["a b", "user@a", "a/b", "[::1"] {
        assert_eq!(bad.parse::<HostRule>(), Err(RuleError::InvalidHost), "{bad}");
    }
}

#[test]
fn what_the_proxy_owns_is_refused_by_name() {
    let owned = [
        "Connection",
        "Upgrade",
        "Transfer-Encoding",
        "Content-Length",
        "TE",
        "Keep-Alive",
        "Proxy-Connection",
        "Proxy-Authorization",
        "HTTP2-Settings",
        "Expect",
        "Sec-WebSocket-Key",
        "Sec-WebSocket-Version",
        "Sec-WebSocket-Accept",
        "sec-websocket-protocol",
        "SEC-WEBSOCKET-EXTENSIONS",
    ];
    let rules = HeaderRules::default;
    for name in owned {
        let refused = Err(RuleError::Owned(name.to_owned()));
        assert_eq!(rules().set_on_request(name, "x"), refused, "{name}");
        assert_eq!(rules().add_on_request(name, "x"), refused, "{name}");
        assert_eq!(
            rules().set_on_response(name, "x", Statuses::Always),
            refused,
            "{name}"
        );
        assert_eq!(
            rules().add_on_response(name, "x", Statuses::Usual),
            refused,
            "{name}"
        );
        assert_eq!(rules().remove_on_response(name), refused, "{name}");
        // An offer may be withheld.
        let offer = name.to_ascii_lowercase().ends_with("protocol") || name.ends_with("EXTENSIONS");
        assert_eq!(rules().remove_on_request(name).is_ok(), offer, "{name}");
        assert_eq!(rules().set_on_request(name, "").is_ok(), offer, "{name}");
    }
    assert_eq!(rules().set_on_request("host", "x"), Err(RuleError::Host));
    assert_eq!(rules().remove_on_request("Host"), Err(RuleError::Host));
    for name in ["", "a b", "a:", "\u{e9}"] {
        assert_eq!(
            rules().set_on_request(name, "x"),
            Err(RuleError::Name(name.to_owned()))
        );
    }
    let unknown = RuleError::Value(TemplateError::UnknownVariable("remote_user".to_owned()));
    assert_eq!(rules().set_on_request("X-A", "$remote_user"), Err(unknown));
    assert_eq!(
        rules().set_on_request("X-A", "a\r\nX-B: c"),
        Err(RuleError::Value(TemplateError::InvalidByte))
    );
    let reported = rules().set_on_request("Sec-WebSocket-Key", "x").unwrap_err();
    assert_eq!(reported.to_string(), "Sec-WebSocket-Key is set by the proxy");
}

#[test]
fn add_header_and_its_statuses() {
    let rules = HeaderRules::default()
        .add_on_response("X-Usual", "$host", Statuses::Usual)
        .and_then(|rules| rules.add_on_response("X-Always", "$http_x_asked", Statuses::Always))
        .and_then(|rules| rules.add_on_response("X-Empty", "$http_none", Statuses::Always))
        .and_then(|rules| rules.set_on_response("X-Set", "ours", Statuses::Usual))
        .and_then(|rules| rules.remove_on_response("X-Powered-By"))
        .unwrap();
    let parts = client("X-Asked: yes\r\n");
    for (status, usual, always) in [
        (100, false, false),
        (101, false, true),
        (103, false, false),
        (200, true, true),
        (201, true, true),
        (202, false, true),
        (204, true, true),
        (206, true, true),
        (300, false, true),
        (301, true, true),
        (302, true, true),
        (303, true, true),
        (304, true, true),
        (305, false, true),
        (307, true, true),
        (308, true, true),
        (404, false, true),
        (426, false, true),
        (502, false, true),
    ] {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("x-usual", "theirs"),
            ("x-set", "theirs"),
            ("x-powered-by", "them"),
        ] {
            headers.insert(name, value.parse().unwrap());
        }
        let status = StatusCode::from_u16(status).unwrap();
        rules.apply_to_response(&mut headers, status, &Variables::new(&parts, &hop()));
        let expected_usual: &[&str] = if usual {
            &["theirs", "a.example"]
        } else {
            &["theirs"]
        };
        assert_eq!(all(&headers, "x-usual"), expected_usual, "{status}");
        assert_eq!(
            all(&headers, "x-set"),
            [if usual { "ours" } else { "theirs" }],
            "{status}"
        );
        assert_eq!(all(&headers, "x-always").len(), usize::from(always), "{status}");
        assert_eq!(headers.contains_key("x-powered-by"), !always, "{status}");
        assert!(!headers.contains_key("x-empty"), "{status}");
    }
}

#[test]
fn ignore_invalid_headers() {
    let lines = "X.User: mallory\r\nX.Set: theirs\r\nX!#$%&'*+^`|~: 1\r\nX-User7: 1\r\nX_User: 1\r\n";
    for only in [false, true] {
        let rules = HeaderRules::default()
            .underscores(Underscores::Keep)
            .only_plain_names(only)
            .set_on_request("X.Set", "ours")
            .unwrap();
        let headers = applied(&rules, lines);
        for (name, is_plain) in [
            ("x.user", false),
            ("x!#$%&'*+^`|~", false),
            ("x-user7", true),
            ("x_user", true),
            ("host", true),
        ] {
            assert_eq!(headers.contains_key(name), is_plain || !only, "{only} {name}");
        }
        assert_eq!(all(&headers, "x.set"), ["ours"], "{only}");
    }
}

#[test]
fn underscores_in_headers() {
    let lines = "X_User: mallory\r\nX-User_Id: 7\r\nContent_Length: 5\r\nSec_WebSocket-Key: k\r\nApi_Key: 1\r\n\
                 X_Forwarded_For: 6.6.6.6\r\nX-Under-Score: 1\r\nX_Added: 1\r\n";
    let rules = |underscores| {
        HeaderRules::default()
            .underscores(underscores)
            .set_on_request("X-User", "alice")
            .and_then(|rules| rules.remove_on_request("X-User-Id"))
            .and_then(|rules| rules.set_on_request("X_Under_Score", "2"))
            .and_then(|rules| rules.add_on_request("X-Added", "2"))
            .unwrap()
    };
    let cases: &[(Underscores, &[&str])] = &[
        (Underscores::DropLookAlikes, &["api_key", "x_added"]),
        (Underscores::DropAll, &[]),
        (
            Underscores::Keep,
            &[
                "x_user",
                "x-user_id",
                "content_length",
                "sec_websocket-key",
                "api_key",
                "x-under-score",
                "x_added",
            ],
        ),
    ];
    let clients = [
        "x_user",
        "x-user_id",
        "content_length",
        "sec_websocket-key",
        "api_key",
        "x_forwarded_for",
        "x-under-score",
        "x_added",
    ];
    for (underscores, kept) in cases {
        let headers = applied(&rules(*underscores), lines);
        for name in clients {
            assert_eq!(
                headers.contains_key(name),
                kept.contains(&name),
                "{underscores:?} {name}"
            );
        }
        assert_eq!(all(&headers, "x-user"), ["alice"]);
        assert_eq!(all(&headers, "x_under_score"), ["2"]);
    }
}

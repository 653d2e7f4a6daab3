//! RFC 7239 and its forerunners: what the origin learns about the client, and that a client cannot forge it.

use http::{HeaderMap, Version};
use switchover::header::{ForwardedRules, Hop, Inbound, InvalidViaName};

use crate::parsed::request;

/// What becomes of a request with these lines.
fn applied(rules: &ForwardedRules, hop: &Hop, lines: &str) -> HeaderMap {
    let host = if lines.starts_with("Host:") {
        ""
    } else {
        "Host: a.example\r\n"
    };
    let mut headers = request(format!("GET / HTTP/1.1\r\n{host}{lines}\r\n"))
        .unwrap()
        .headers;
    rules.apply(&mut headers, hop);
    headers
}

fn all(headers: &HeaderMap, name: &str) -> Vec<String> {
    let values = headers.get_all(name).iter();
    values
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        .collect()
}

fn peer(address: &str) -> Hop {
    Hop::from(address.parse::<std::net::IpAddr>().unwrap())
}

/// Claims that a client may make about itself.
const CLAIMS: &str = "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 7.7.7.7\r\nX-Forwarded-Proto: https\r\n\
    X-Forwarded-Host: evil.example\r\nX-Forwarded-Port: 1\r\nX-Forwarded-Ssl: on\r\nX-Forwarded: yes\r\n\
    X-Real-IP: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\nX_Forwarded_For: 6.6.6.6\r\nX-Forwarded_For: 6.6.6.6\r\n\
    X_Real_IP: 6.6.6.6\r\n";

#[test]
fn claims_of_a_client_are_replaced() {
    let headers = applied(&ForwardedRules::default(), &peer("192.0.2.1"), CLAIMS);
    let expected = [
        ("x-forwarded-for", "192.0.2.1"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "a.example"),
        ("x-real-ip", "192.0.2.1"),
        ("forwarded", "for=192.0.2.1;host=a.example;proto=http"),
        ("via", "1.1 switchover"),
    ];
    for (name, value) in expected {
        assert_eq!(all(&headers, name), [value], "{name}");
    }
    assert_eq!(
        headers.len(),
        expected.len() + 1,
        "nothing but these and Host: {headers:?}"
    );
}

#[test]
fn claims_go_even_where_nothing_is_set() {
    let rules = ForwardedRules::default()
        .x_forwarded(false)
        .forwarded(false)
        .without_via();
    let headers = applied(&rules, &peer("192.0.2.1"), CLAIMS);
    assert_eq!(headers.len(), 1, "Host alone: {headers:?}");
}

#[test]
fn claims_of_a_trusted_proxy_grow_by_one_element() {
    let rules = ForwardedRules::default().inbound(Inbound::Append);
    let headers = applied(&rules, &peer("192.0.2.1"), CLAIMS);
    assert_eq!(all(&headers, "x-forwarded-for"), ["6.6.6.6, 7.7.7.7, 192.0.2.1"]);
    let element = "for=6.6.6.6, for=192.0.2.1;host=a.example;proto=http";
    assert_eq!(all(&headers, "forwarded"), [element]);
    assert_eq!(all(&headers, "x-forwarded-proto"), ["https"]);
    assert_eq!(all(&headers, "x-real-ip"), ["6.6.6.6"]);
    assert!(
        headers.keys().all(|name| !name.as_str().contains('_')),
        "look-alikes are never trusted"
    );
}

/// What is not closed would swallow what the proxy adds.
#[test]
fn elements_of_a_trusted_proxy_that_are_none() {
    let rules = ForwardedRules::default().inbound(Inbound::Append);
    let own = "for=192.0.2.1;host=a.example;proto=http";
    for (lines, expected) in [
        (&["for=\"[::1]\""][..], format!("for=\"[::1]\", {own}")),
        (&["for=\"6.6.6.6"], own.to_owned()),
        (&["for=\"6.6.6.6", "for=7.7.7.7"], format!("for=7.7.7.7, {own}")),
        (&["for=\"6.6.6.6\\\""], own.to_owned()),
        (&[""], own.to_owned()),
        (&["", "for=7.7.7.7", " "], format!("for=7.7.7.7, {own}")),
    ] {
        let claims: String = lines
            .iter()
            .map(|line| format!("Forwarded: {line}\r\n"))
            .collect();
        let headers = applied(&rules, &peer("192.0.2.1"), &claims);
        assert_eq!(all(&headers, "forwarded"), [expected], "{lines:?}");
    }
    let headers = applied(&rules, &peer("192.0.2.1"), "X-Forwarded-For:\r\n");
    assert_eq!(all(&headers, "x-forwarded-for"), ["192.0.2.1"]);
}

#[test]
fn claims_that_are_trusted_stay_as_they_came() {
    let rules = ForwardedRules::default().inbound(Inbound::Trust);
    let headers = applied(&rules, &peer("192.0.2.1"), "X-Forwarded-For: 6.6.6.6\r\n");
    assert_eq!(all(&headers, "x-forwarded-for"), ["6.6.6.6"]);
    assert_eq!(
        all(&headers, "x-forwarded-proto"),
        ["http"],
        "what is missing is set"
    );
}

#[test]
fn elements_by_address_and_scheme() {
    let cases = [
        (peer("192.0.2.1"), "for=192.0.2.1;host=a.example;proto=http"),
        (
            peer("192.0.2.1").tls(true),
            "for=192.0.2.1;host=a.example;proto=https",
        ),
        (
            peer("2001:db8::1"),
            "for=\"[2001:db8::1]\";host=a.example;proto=http",
        ),
        (
            peer("::ffff:192.0.2.1"),
            "for=192.0.2.1;host=a.example;proto=http",
        ),
        (Hop::unknown(), "for=unknown;host=a.example;proto=http"),
    ];
    for (hop, element) in cases {
        let headers = applied(&ForwardedRules::default(), &hop, "");
        assert_eq!(all(&headers, "forwarded"), [element]);
        let schemes = all(&headers, "x-forwarded-proto");
        assert!(
            schemes == ["http"] || schemes == ["https"],
            "never ws or wss: {schemes:?}"
        );
    }
}

#[test]
fn a_host_that_is_no_token_is_quoted() {
    let headers = applied(&ForwardedRules::default(), &Hop::unknown(), "Host: [::1]:80\r\n");
    assert_eq!(
        all(&headers, "forwarded"),
        ["for=unknown;host=\"[::1]:80\";proto=http"]
    );
}

#[test]
fn via_grows_by_one_element_and_joins_its_lines() {
    let headers = applied(
        &ForwardedRules::default(),
        &Hop::unknown(),
        "Via: 1.0 a\r\nVia: 1.1 b (c, d)\r\n",
    );
    assert_eq!(all(&headers, "via"), ["1.0 a, 1.1 b (c, d), 1.1 switchover"]);
    let named = ForwardedRules::default().via("edge").unwrap();
    assert_eq!(all(&applied(&named, &Hop::unknown(), ""), "via"), ["1.1 edge"]);
    for wrong in ["", "no token", "a,b", "a\r\nx: y", "caf\u{e9}"] {
        assert_eq!(named.clone().via(wrong).unwrap_err(), InvalidViaName, "{wrong:?}");
    }
}

#[test]
fn via_says_the_version_that_the_request_came_in() {
    for (version, element) in [
        (Version::HTTP_10, "1.0 edge"),
        (Version::HTTP_11, "1.1 edge"),
        (Version::HTTP_2, "2.0 edge"),
        (Version::HTTP_3, "3.0 edge"),
    ] {
        let rules = ForwardedRules::default().via("edge").unwrap();
        let hop = Hop::unknown().version(version);
        assert_eq!(all(&applied(&rules, &hop, ""), "via"), [element]);
    }
}

#[test]
fn names_that_only_begin_alike_stay() {
    let lines = "X-Forward: 1\r\nX-Real-IPs: 2\r\nForwarded-For: 3\r\nX_Real: 4\r\n";
    let headers = applied(&ForwardedRules::default(), &Hop::unknown(), lines);
    for name in ["x-forward", "x-real-ips", "forwarded-for", "x_real"] {
        assert!(headers.contains_key(name), "{name}");
    }
}

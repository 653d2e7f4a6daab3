//! nginx, `ngx_http_realip_module`: who the client is behind trusted proxies; and what becomes of their word.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use switchover::header::{ForwardedRules, Hop, Inbound, TrustedProxies};

use crate::parsed::request;

fn headers(lines: &str) -> HeaderMap {
    let head = format!("GET / HTTP/1.1\r\nHost: a.example\r\n{lines}\r\n");
    request(head).unwrap().headers
}

fn proxies() -> TrustedProxies {
    let networks = ["10.0.0.0/8", "127.0.0.1", "2001:db8::/32"];
    networks
        .into_iter()
        .map(|network| network.parse().unwrap())
        .collect()
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn the_client_is_the_first_address_from_the_right_that_is_not_trusted() {
    let cases: &[(&[&str], &str, Option<u16>)] = &[
        (&[], "10.0.0.1", Some(7)),
        (&["192.0.2.1"], "192.0.2.1", None),
        (&["192.0.2.1:80"], "192.0.2.1", Some(80)),
        (&["6.6.6.6, 192.0.2.1"], "192.0.2.1", None),
        (&["6.6.6.6, 192.0.2.1, 10.9.9.9"], "192.0.2.1", None),
        (
            &["6.6.6.6", "192.0.2.1 , 10.9.9.9", "10.8.8.8"],
            "192.0.2.1",
            None,
        ),
        (&["192.0.2.1,,10.9.9.9, ,"], "192.0.2.1", None),
        (&["10.3.3.3, 10.2.2.2"], "10.3.3.3", None),
        (&["[2001:db9::1]:80, 2001:db8::1"], "2001:db9::1", Some(80)),
        (&["6.6.6.6, ::ffff:192.0.2.1, ::ffff:10.1.1.1"], "192.0.2.1", None),
        (&["192.0.2.1, nonsense, 10.9.9.9"], "10.9.9.9", None),
        (&["192.0.2.1, 10.9.9.9;"], "10.0.0.1", Some(7)),
        (&["192.0.2.1, unknown"], "10.0.0.1", Some(7)),
        (&[""], "10.0.0.1", Some(7)),
    ];
    for (lines, client, port) in cases {
        let lines: String = lines
            .iter()
            .map(|line| format!("X-Forwarded-For: {line}\r\n"))
            .collect();
        let hop = Hop::from("10.0.0.1:7".parse::<SocketAddr>().unwrap());
        let located = proxies().locate(hop, &headers(&lines));
        assert_eq!(located.client(), Some(address(client)), "{lines}");
        assert_eq!(located.client_port(), *port, "{lines}");
        assert_eq!(located.peer(), Some(address("10.0.0.1")), "{lines}");
    }
}

#[test]
fn a_peer_that_is_not_trusted_is_the_client_whatever_it_says() {
    let claims = headers("X-Forwarded-For: 6.6.6.6\r\n");
    for peer in ["192.0.2.1", "11.0.0.1", "2001:db9::1"] {
        let hop = Hop::from(address(peer));
        assert_eq!(proxies().locate(hop, &claims), hop, "{peer}");
    }
    let mapped = Hop::from(address("::ffff:10.0.0.1"));
    assert_eq!(
        proxies().locate(mapped, &claims).client(),
        Some(address("6.6.6.6"))
    );
    let nameless = Hop::unknown();
    assert_eq!(proxies().locate(nameless, &claims).client(), None);
    let nameless = proxies().trust_unknown(true).locate(nameless, &claims);
    assert_eq!(nameless.client(), Some(address("6.6.6.6")));
}

#[test]
fn real_ip_recursive_off() {
    let hop = Hop::from(address("10.0.0.1"));
    let located = proxies()
        .recursive(false)
        .locate(hop, &headers("X-Forwarded-For: 6.6.6.6, 10.2.2.2\r\n"));
    assert_eq!(located.client(), Some(address("10.2.2.2")));
}

#[test]
fn a_walk_over_very_many_proxies_ends() {
    let line = "10.1.1.1, ".repeat(40);
    let hop = Hop::from(address("10.0.0.1"));
    let located = proxies().locate(hop, &headers(&format!("X-Forwarded-For: 6.6.6.6, {line}\r\n")));
    assert_eq!(located.client(), Some(address("10.1.1.1")));
}

const CLAIMS: &str = "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 192.0.2.1, 10.2.2.2\r\nX-Real-IP: 6.6.6.6\r\n\
    X-Forwarded-Proto: https\r\nX-Forwarded-Host: b.example\r\nForwarded: for=192.0.2.1\r\nX_Real_IP: 6.6.6.6\r\n";

#[test]
fn a_trusted_proxy_is_believed_and_its_client_is_not() {
    let rules = ForwardedRules::default().trusted(proxies());
    let mut trusted = headers(CLAIMS);
    rules.apply(&mut trusted, &Hop::from(address("10.0.0.1")));
    for (name, value) in [
        ("x-forwarded-for", "6.6.6.6, 192.0.2.1, 10.2.2.2, 10.0.0.1"),
        ("x-real-ip", "192.0.2.1"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "b.example"),
        (
            "forwarded",
            "for=192.0.2.1, for=10.0.0.1;host=a.example;proto=http",
        ),
    ] {
        assert_eq!(trusted[name], value, "{name}");
        assert_eq!(trusted.get_all(name).iter().count(), 1, "{name}");
    }
    assert!(!trusted.contains_key("x_real_ip"));
}

#[test]
fn everyone_elses_claims_are_replaced() {
    let rules = ForwardedRules::default()
        .inbound(Inbound::Trust)
        .trusted(proxies());
    for hop in [Hop::from(address("192.0.2.9")), Hop::unknown()] {
        let mut headers = headers(CLAIMS);
        rules.apply(&mut headers, &hop);
        let peer = hop.peer().map_or("unknown".to_owned(), |peer| peer.to_string());
        for (name, value) in [
            ("x-forwarded-for", &peer[..]),
            ("x-real-ip", &peer),
            ("x-forwarded-proto", "http"),
            ("x-forwarded-host", "a.example"),
        ] {
            assert_eq!(headers[name], value, "{name}");
        }
    }
}

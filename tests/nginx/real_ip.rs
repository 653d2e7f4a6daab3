//! nginx, `real_ip_header X-Forwarded-For`: who the client is behind trusted proxies.

use std::net::IpAddr;

use switchover::header::{Hop, TrustedProxies};

use super::peer::{get, nginx};

const PROXIES: [&str; 3] = ["127.0.0.1", "10.0.0.0/8", "2001:db8::/32"];

/// The lines of `X-Forwarded-For`, the client that nginx finds, and the crate's where that is another.
const CASES: &[(&[&str], &str, Option<&str>)] = &[
    (&[], "127.0.0.1", None),
    (&["192.0.2.1"], "192.0.2.1", None),
    (&["192.0.2.1:4711"], "192.0.2.1", None),
    (&["192.0.2.1, 10.0.0.1"], "192.0.2.1", None),
    (&["192.0.2.1,10.0.0.1,10.0.0.2"], "192.0.2.1", None),
    (&["6.6.6.6, 192.0.2.1, 10.0.0.1"], "192.0.2.1", None),
    (&["6.6.6.6", "192.0.2.1, 10.0.0.1", "10.0.0.2"], "192.0.2.1", None),
    (&["192.0.2.1,,10.0.0.1, ,"], "192.0.2.1", None),
    (&["10.3.3.3, 10.2.2.2"], "10.3.3.3", None),
    (&["2001:db9::1, 2001:db8::7"], "2001:db9::1", None),
    (&["[2001:db9::1]:80, 10.0.0.1"], "2001:db9::1", None),
    (&["192.0.2.1, ::ffff:10.1.1.1"], "192.0.2.1", None),
    (&["192.0.2.1, nonsense, 10.0.0.1"], "10.0.0.1", None),
    (&["nonsense"], "127.0.0.1", None),
    (&["192.0.2.1", "nonsense"], "127.0.0.1", None),
    (&["\"192.0.2.1\""], "127.0.0.1", None),
    (&["192.0.2.1:99999"], "127.0.0.1", None),
    // No list is separated by spaces, no port is 0 to nginx, and no address has leading zeroes.
    (&["6.6.6.6 192.0.2.1"], "192.0.2.1", Some("127.0.0.1")),
    (&["192.0.2.1:0"], "127.0.0.1", Some("192.0.2.1")),
    (&["192.0.2.01"], "192.0.2.1", Some("127.0.0.1")),
];

#[test]
fn the_client_behind_trusted_proxies() {
    let trusted: String = PROXIES
        .iter()
        .map(|network| format!("set_real_ip_from {network};"))
        .collect();
    let nginx = nginx(&format!(
        "server {{ listen LISTEN; {trusted} real_ip_header X-Forwarded-For; real_ip_recursive on;
          return 200 $remote_addr; }}"
    ));
    let proxies: TrustedProxies = PROXIES.iter().map(|network| network.parse().unwrap()).collect();
    for (lines, client, departure) in CASES {
        let mut headers = http::HeaderMap::new();
        for line in *lines {
            headers.append("x-forwarded-for", line.parse().unwrap());
        }
        let peer: IpAddr = "127.0.0.1".parse().unwrap();
        let found = proxies.locate(Hop::from(peer), &headers).client().unwrap();
        assert_eq!(found.to_string(), departure.unwrap_or(client), "{lines:?}");
        if let Some(nginx) = &nginx {
            let lines: String = lines
                .iter()
                .map(|line| format!("X-Forwarded-For: {line}\r\n"))
                .collect();
            assert_eq!(get(nginx.address, "a", "/", &lines), *client, "{lines:?}");
        }
    }
}

#[test]
fn real_ip_recursive_off_takes_the_last_address() {
    let nginx = nginx(
        "server { listen LISTEN; set_real_ip_from 127.0.0.1; set_real_ip_from 10.0.0.0/8;
          real_ip_header X-Forwarded-For; return 200 $remote_addr; }",
    );
    let networks = ["127.0.0.1", "10.0.0.0/8"].map(|network| network.parse().unwrap());
    let proxies = TrustedProxies::new(networks).recursive(false);
    for (line, expected) in [
        ("192.0.2.1, 10.0.0.1", "10.0.0.1"),
        ("10.0.0.1, 192.0.2.1", "192.0.2.1"),
    ] {
        let mut headers = http::HeaderMap::new();
        headers.insert("x-forwarded-for", line.parse().unwrap());
        let peer: IpAddr = "127.0.0.1".parse().unwrap();
        let found = proxies.locate(Hop::from(peer), &headers).client().unwrap();
        assert_eq!(found.to_string(), expected, "{line}");
        if let Some(nginx) = &nginx {
            let lines = format!("X-Forwarded-For: {line}\r\n");
            assert_eq!(get(nginx.address, "a", "/", &lines), expected, "{line}");
        }
    }
}

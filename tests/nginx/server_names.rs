//! nginx, "Server names" and `server_name`: which server has a host.

use switchover::route::{HostPattern, Hosts, HostsError};

use super::peer::{answer, get, nginx};

/// The names of each server, in the order of the configuration. The first is the default.
const SERVERS: &[&[&str]] = &[
    &["first.example"],
    &["example.com", "www.example.com"],
    &["*.example.com"],
    &["*.b.example.com", "c.b.example.com"],
    &["www.example.*"],
    &["www.*"],
    &[".dot.example"],
    &["*.com"],
    &[""],
    &["_"],
    &["[::1]", "127.0.0.1"],
    &["UPPER.example"],
];

const CASES: &[(&str, &str)] = &[
    ("example.com", "example.com"),
    ("EXAMPLE.Com", "example.com"),
    ("example.com:8080", "example.com"),
    ("example.com.", "example.com"),
    ("example.com.:80", "example.com"),
    ("www.example.com", "example.com"),
    ("a.example.com", "*.example.com"),
    ("b.example.com", "*.example.com"),
    ("a.b.example.com", "*.b.example.com"),
    ("x.a.b.example.com", "*.b.example.com"),
    ("c.b.example.com", "*.b.example.com"),
    ("other.com", "*.com"),
    ("com", "first.example"),
    ("www.example.org", "www.example.*"),
    ("www.example.co.uk", "www.example.*"),
    ("www.example", "www.*"),
    ("www.example.", "www.*"),
    ("www.other", "www.*"),
    ("www.other.com", "*.com"),
    ("www", "first.example"),
    ("www.", "first.example"),
    ("xwww.other", "first.example"),
    ("dot.example", ".dot.example"),
    ("a.b.dot.example", ".dot.example"),
    ("xdot.example", "first.example"),
    ("_", "_"),
    ("[::1]", "[::1]"),
    ("[::1]:80", "[::1]"),
    ("[::2]", "first.example"),
    ("127.0.0.1:80", "[::1]"),
    ("upper.EXAMPLE", "UPPER.example"),
    ("nowhere", "first.example"),
    ("first.example.evil", "first.example"),
    ("example.comx", "first.example"),
    ("xexample.com", "*.com"),
];

fn hosts() -> Hosts<&'static str> {
    let mut hosts = Hosts::default();
    for names in SERVERS {
        let patterns = names.iter().map(|name| name.parse::<HostPattern>().unwrap());
        hosts.add(patterns, names[0]).unwrap();
    }
    hosts
}

#[test]
fn which_server_has_a_host() {
    let hosts = hosts();
    for (host, expected) in CASES {
        assert_eq!(hosts.find(Some(host)), Some(expected), "{host}");
    }
    assert_eq!(hosts.find(None), Some(&""), "without Host");

    let servers: String = SERVERS
        .iter()
        .map(|names| {
            let quoted: String = names.iter().map(|name| format!(" \"{name}\"")).collect();
            format!(
                "server {{ listen LISTEN; server_name{quoted}; return 200 \"{}\"; }}",
                names[0]
            )
        })
        .collect();
    let Some(nginx) = nginx(&servers) else { return };
    for (host, expected) in CASES {
        assert_eq!(get(nginx.address, host, "/", ""), *expected, "{host}");
    }
    let without_host = answer(nginx.address, b"GET / HTTP/1.0\r\n\r\n");
    assert!(
        without_host.starts_with("HTTP/1.1 200 ") && without_host.ends_with("\r\n\r\n"),
        "{without_host}"
    );
}

#[test]
fn the_default_server_is_the_one_that_says_so() {
    let mut hosts = hosts();
    hosts
        .add_default(["default.example".parse().unwrap()], "default.example")
        .unwrap();
    assert_eq!(hosts.find(Some("nowhere")), Some(&"default.example"));
    assert_eq!(hosts.find(Some("first.example")), Some(&"first.example"));

    let servers = "server { listen LISTEN; server_name first.example; return 200 first; }
                   server { listen LISTEN default_server; server_name default.example; return 200 default; }";
    let Some(nginx) = nginx(servers) else { return };
    assert_eq!(get(nginx.address, "nowhere", "/", ""), "default");
    assert_eq!(get(nginx.address, "first.example", "/", ""), "first");
}

/// nginx warns of a name that is there already, and the first server keeps it.
#[test]
fn a_name_that_is_there_already_stays_with_the_first() {
    for (first, second, host) in [
        ("a.example", "a.example", "a.example"),
        ("a.example", ".a.example", "a.example"),
        (".a.example", "a.example", "a.example"),
        (".a.example", "*.a.example", "b.a.example"),
        ("*.a.example", ".a.example", "b.a.example"),
        ("a.*", "A.*", "a.b"),
    ] {
        let mut hosts = Hosts::default();
        hosts.add([first.parse().unwrap()], "first").unwrap();
        let pattern: HostPattern = second.parse().unwrap();
        assert!(hosts.has(&pattern));
        let refused = hosts.add([pattern.clone()], "second");
        assert_eq!(refused, Err(HostsError::Duplicate(pattern)));
        assert_eq!(hosts.find_named(Some(host)), Some(&"first"));

        let servers = format!(
            "server {{ listen LISTEN; server_name other; return 200 other; }}
             server {{ listen LISTEN; server_name {first}; return 200 first; }}
             server {{ listen LISTEN; server_name {second}; return 200 second; }}"
        );
        let Some(nginx) = nginx(&servers) else { return };
        assert_eq!(get(nginx.address, host, "/", ""), "first", "{first} {second}");
    }
}

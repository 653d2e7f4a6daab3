//! The cost of a head grows with its bytes and with nothing else: instructions per byte of a large head are those of a
//! smaller one, whichever field the bytes are in. Instructions are counted by valgrind, so a busy machine changes nothing.

use http::{HeaderValue, Request, Version};
use support::instructions;
use switchover::handshake::{HandshakePolicy, UpgradeRequest, extended_connect};
use switchover::header::{ForwardedRules, Forwarding, HeaderRules, Hop, TrustedProxies, hop_by_hop};
use switchover::http1::{
    BodyLength, HeadLimits, Parsed, check_request, encode_request, encode_response, parse_request,
    parse_response,
};
use switchover::route::Routes;
use switchover::websocket::SecWebSocketKey;

const SMALL: usize = 4 * 1024;
const LARGE: usize = 4 * SMALL;

/// Four times the bytes may cost this much more for each byte. What grows with the square costs four times as much.
const TOLERANCE: f64 = 1.6;

const REQUEST: &str = "GET /chat HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
const ANSWER: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";

/// As many different names as fit, each behind the text.
fn list(bytes: usize, before: &str, separator: &str) -> String {
    let mut text = String::with_capacity(bytes + 32);
    for index in 0.. {
        if text.len() >= bytes {
            break;
        }
        text.push_str(&format!("{before}{index:x}{separator}"));
    }
    text
}

/// 64 elements that fill the bytes, all as long and different at their ends only.
fn long_elements(bytes: usize) -> String {
    let filler = "x".repeat(bytes / 64);
    let elements: Vec<String> = (0..64).map(|index| format!("{filler}{index:02}")).collect();
    elements.join(",")
}

/// Lines with one value and white space behind it, four times as many of them in a large head.
fn lines(bytes: usize, name: &str, value: &str) -> String {
    let padding = " ".repeat(128 - name.len() - value.len());
    let line = format!("{name}: {value}{padding}\r\n");
    line.repeat(bytes / line.len())
}

/// Many fields, and a `Connection` that nominates some of them among many bytes.
fn nominations(bytes: usize) -> String {
    let fields = lines(bytes / 4, "X-Internal", "1") + &list(bytes / 4, "X-", ": 1\r\n");
    let padding = " ,".repeat(bytes / 4);
    format!("{fields}Connection: x-internal, x-1, x-2{padding}, upgrade\r\n")
}

/// Fields of a request that fill so many bytes.
type Fields = fn(usize) -> String;

/// The fields that are read, each filled in the way that makes most work.
const REQUESTS: &[(&str, Fields)] = &[
    ("a field that nobody reads", |bytes| {
        format!("X-Filler: {}\r\n", "x".repeat(bytes))
    }),
    ("many fields", |bytes| list(bytes, "X-", ": 1\r\n")),
    ("one field many times", |bytes| lines(bytes, "X-Filler", "1")),
    ("Connection", |bytes| {
        format!("Connection: {}\r\n", list(bytes, "o", ","))
    }),
    ("Connection, empty elements", |bytes| {
        format!("Connection: {}\r\n", " ,".repeat(bytes / 2))
    }),
    ("Connection, long options", |bytes| {
        format!("Connection: {}\r\n", &long_elements(bytes)[2 * bytes / 64..])
    }),
    ("Connection, nominations", nominations),
    ("Connection, many lines", |bytes| lines(bytes, "Connection", "")),
    ("Upgrade", |bytes| {
        format!("Upgrade: {}\r\n", list(bytes, "p", ","))
    }),
    ("Upgrade, empty elements", |bytes| {
        format!("Upgrade: {}\r\n", ", ".repeat(bytes / 2))
    }),
    ("Upgrade, long protocols", |bytes| {
        format!("Upgrade: {}\r\n", &long_elements(bytes)[2 * bytes / 64..])
    }),
    ("Upgrade, many lines", |bytes| lines(bytes, "Upgrade", "")),
    ("Sec-WebSocket-Protocol", |bytes| {
        format!("Sec-WebSocket-Protocol: {}\r\n", list(bytes, "s", ","))
    }),
    ("Sec-WebSocket-Protocol, long names", |bytes| {
        format!("Sec-WebSocket-Protocol: {}\r\n", long_elements(bytes))
    }),
    ("Sec-WebSocket-Protocol, many lines", |bytes| {
        lines(bytes, "Sec-WebSocket-Protocol", "s")
    }),
    ("Sec-WebSocket-Extensions", |bytes| {
        format!("Sec-WebSocket-Extensions: {}\r\n", list(bytes, "e", ","))
    }),
    ("Sec-WebSocket-Extensions, parameters", |bytes| {
        format!("Sec-WebSocket-Extensions: e{}\r\n", list(bytes, ";p", "=1"))
    }),
    ("Sec-WebSocket-Extensions, quotes", |bytes| {
        format!(
            "Sec-WebSocket-Extensions: e;p=\"{}\r\n",
            "\\\",\"".repeat(bytes / 4)
        )
    }),
    ("Sec-WebSocket-Key", |bytes| {
        format!("Sec-WebSocket-Key: {}\r\n", "x".repeat(bytes))
    }),
    ("Sec-WebSocket-Version", |bytes| {
        format!("Sec-WebSocket-Version: {}\r\n", list(bytes, "1", ","))
    }),
    ("Origin", |bytes| {
        format!("Origin: https://{}.example.com\r\n", "a.".repeat(bytes / 2))
    }),
    ("Origin, many lines", |bytes| {
        lines(bytes, "Origin", "https://app.example.com")
    }),
    ("Cookie", |bytes| {
        format!("Cookie: {}\r\n", list(bytes, "c", "=1; "))
    }),
    ("Cookie, many lines", |bytes| lines(bytes, "Cookie", "c=1")),
    ("X-Forwarded-For", |bytes| {
        format!("X-Forwarded-For: {}\r\n", "10.0.0.1, ".repeat(bytes / 10))
    }),
    ("X-Forwarded-For, empty elements", |bytes| {
        format!("X-Forwarded-For: {}\r\n", ", ".repeat(bytes / 2))
    }),
    ("X-Forwarded-For, many lines", |bytes| {
        lines(bytes, "X-Forwarded-For", "10.0.0.1")
    }),
    ("Forwarded", |bytes| {
        format!("Forwarded: {}\r\n", "for=10.0.0.1, ".repeat(bytes / 14))
    }),
    ("Forwarded, many lines", |bytes| {
        lines(bytes, "Forwarded", "for=10.0.0.1")
    }),
    ("Via", |bytes| format!("Via: {}\r\n", list(bytes, "1.1 p", ", "))),
    ("TE", |bytes| format!("TE: {}\r\n", list(bytes, "t", ", "))),
    ("TE, many lines", |bytes| lines(bytes, "TE", "trailers")),
    ("Trailer", |bytes| {
        format!("Trailer: {}\r\n", list(bytes, "t", ", "))
    }),
    ("Expect", |bytes| lines(bytes, "Expect", "100-continue")),
    ("Transfer-Encoding", |bytes| {
        format!("Transfer-Encoding: {}\r\n", list(bytes, "c", ", "))
    }),
    ("Content-Length", |bytes| {
        format!("Content-Length: {}\r\n", "0".repeat(bytes))
    }),
    ("Content-Length, many lines", |bytes| {
        lines(bytes, "Content-Length", "5")
    }),
    ("Host", |bytes| format!("Host: {}\r\n", "a.".repeat(bytes / 2))),
    ("Host, many lines", |bytes| lines(bytes, "Host", "a")),
];

/// Targets of that many bytes.
const TARGETS: &[(&str, Fields)] = &[
    ("a path", |bytes| "/a".repeat(bytes / 2)),
    ("a path with dot segments", |bytes| "/a/..".repeat(bytes / 5)),
    ("a path with encoded slashes", |bytes| {
        format!("/{}", "%2F".repeat(bytes / 3))
    }),
    ("a query", |bytes| format!("/?{}", list(bytes, "q", "=1&"))),
];

/// Fields of a 101 that fill so many bytes.
const ANSWERS: &[(&str, Fields)] = &[
    ("many fields of an answer", |bytes| list(bytes, "X-", ": 1\r\n")),
    ("Connection of an answer", |bytes| {
        format!("Connection: {}\r\n", list(bytes, "o", ","))
    }),
    ("Connection of an answer, nominations", nominations),
    ("Upgrade of an answer", |bytes| {
        format!("Upgrade: {}\r\n", list(bytes, "p", ","))
    }),
    ("Upgrade of an answer, long protocols", |bytes| {
        format!("Upgrade: {}\r\n", &long_elements(bytes)[2 * bytes / 64..])
    }),
    ("Sec-WebSocket-Protocol of an answer", |bytes| {
        format!("Sec-WebSocket-Protocol: {}\r\n", list(bytes, "s", ","))
    }),
    ("Sec-WebSocket-Extensions of an answer", |bytes| {
        format!("Sec-WebSocket-Extensions: {}\r\n", long_elements(bytes))
    }),
    ("Transfer-Encoding of an answer", |bytes| {
        format!("Transfer-Encoding: {}\r\n", list(bytes, "c", ", "))
    }),
    ("Content-Length of an answer, many lines", |bytes| {
        lines(bytes, "Content-Length", "5")
    }),
];

fn limits() -> HeadLimits {
    HeadLimits::default().max_bytes(1024 * 1024).max_fields(16 * 1024)
}

/// Policies that look at all that there is to look at.
fn policies() -> [HandshakePolicy; 3] {
    let strict = HandshakePolicy::any_protocol().require_subprotocol_tokens(true);
    let listed = HandshakePolicy::default()
        .allow_subprotocol("s1")
        .allow_origin("https://*.example.com".parse().unwrap())
        .allow_missing_origin(true);
    [HandshakePolicy::default(), strict, listed]
}

fn forwarding() -> Forwarding {
    let trusted = TrustedProxies::new(["10.0.0.0/8".parse().unwrap()]);
    let rules = HeaderRules::default()
        .set_on_request(
            "x-seen",
            "$http_x_filler $cookie_none $arg_none $host $http_upgrade",
        )
        .unwrap();
    Forwarding::default()
        .forwarded(ForwardedRules::default().trusted(trusted))
        .header_rules(rules)
}

/// Does with a request what the doors do.
fn read_request(head: &str) {
    let hop = Hop::from("10.0.0.1".parse::<std::net::IpAddr>().unwrap());
    let Ok(Parsed::Complete { mut parts, .. }) = parse_request(head.as_bytes(), &limits()) else {
        return;
    };
    let _ = check_request(&mut parts);
    for policy in policies() {
        if let Ok(Some(upgrade)) = UpgradeRequest::parse(&parts, &policy) {
            let (outgoing, _) = upgrade.forward(parts.clone(), hop, &forwarding());
            encode_request(&outgoing, &mut Vec::new());
        }
    }
    let mut ordinary = parts.headers.clone();
    let _ = hop_by_hop::strip(&mut ordinary);
    ForwardedRules::default().apply(&mut ordinary, &hop);
    let mut routes = Routes::default();
    routes.add("/a/b/".parse().unwrap(), ()).unwrap();
    routes.add("*.example.com/".parse().unwrap(), ()).unwrap();
    let host = parts.headers.get("host").and_then(|host| host.to_str().ok());
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    let _ = routes.find(host, target);

    // The same fields in HTTP/2.
    let (mut connect, ()) = Request::connect("https://example.com/chat")
        .body(())
        .unwrap()
        .into_parts();
    connect.version = Version::HTTP_2;
    connect.headers = parts.headers;
    for name in ["host", "connection", "upgrade", "transfer-encoding", "te"] {
        connect.headers.remove(name);
    }
    let key = SecWebSocketKey::generate(*b"the sample nonce");
    if let Ok(request) = extended_connect::to_upgrade(connect, "websocket", key) {
        let _ = UpgradeRequest::parse(&request, &HandshakePolicy::default());
    }
}

/// Judges an answer to a request that offers as much as it may.
fn read_answer(head: &str, bytes: usize) {
    let offer = format!(
        "{REQUEST}Sec-WebSocket-Protocol: s1, s2\r\nSec-WebSocket-Extensions: {}\r\n\r\n",
        long_elements(bytes)
    );
    let Ok(Parsed::Complete { parts, .. }) = parse_request(offer.as_bytes(), &limits()) else {
        panic!("a sound request")
    };
    let upgrade = UpgradeRequest::parse(&parts, &HandshakePolicy::default())
        .unwrap()
        .unwrap();
    let pending = upgrade.forward(parts, Hop::unknown(), &Forwarding::default()).1;
    if let Ok(Parsed::Complete { mut parts, .. }) = parse_response(head.as_bytes(), &limits()) {
        let _ = BodyLength::of_response(&parts, &http::Method::GET);
        let _ = pending.judge(parts.clone());
        parts.headers.insert("x-more", HeaderValue::from_static("1"));
        let _ = hop_by_hop::strip(&mut parts.headers);
        encode_response(&parts, &mut Vec::new());
    }
}

fn names() -> impl Iterator<Item = &'static str> {
    let all = REQUESTS.iter().chain(TARGETS).chain(ANSWERS);
    all.map(|(name, _)| *name)
}

/// What the child does.
fn read(name: &str, bytes: usize) {
    let of = |cases: &[(&str, Fields)]| {
        cases
            .iter()
            .find(|case| case.0 == name)
            .map(|case| (case.1)(bytes))
    };
    if let Some(target) = of(TARGETS) {
        read_request(&format!("{}\r\n", REQUEST.replacen("/chat", &target, 1)));
    }
    if let Some(fields) = of(ANSWERS) {
        read_answer(&format!("{ANSWER}{fields}\r\n"), bytes);
    }
    if let Some(fields) = of(REQUESTS) {
        // Beside the good field and in its place.
        let own = fields.split(':').next().unwrap_or_default().to_owned() + ":";
        let others: Vec<&str> = REQUEST
            .split_inclusive("\r\n")
            .filter(|line| !line.starts_with(&own))
            .collect();
        read_request(&format!("{REQUEST}{fields}\r\n"));
        read_request(&format!("{}{fields}\r\n", others.concat()));
    }
}

/// Valgrind counts from the call of this to its return, and writes down each count.
#[inline(never)]
fn counted(name: &str, bytes: usize) {
    read(name, bytes);
}

/// Not a test of its own: what the test below counts.
#[test]
fn child() {
    if instructions::is_counted() {
        for name in names() {
            counted(name, SMALL);
            counted(name, LARGE);
        }
    }
}

#[test]
fn each_byte_of_a_head_costs_the_same_in_whichever_field_it_is() {
    if !instructions::can_be_counted() {
        return;
    }
    let mut faults = Vec::new();
    let counts = instructions::of_calls("head_cost::counted", "child", 2 * names().count());
    for (name, counts) in names().zip(counts.chunks(2)) {
        let [small, large] = [counts[0] as f64 / SMALL as f64, counts[1] as f64 / LARGE as f64];
        println!("{small:8.0} {large:8.0}  {name}");
        if large > TOLERANCE * small {
            faults.push(format!(
                "{name}: {small:.0} instructions per byte of {SMALL}, {large:.0} of {LARGE}"
            ));
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

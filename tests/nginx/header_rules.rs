//! nginx, `proxy_set_header`, `proxy_hide_header`, `add_header`, `underscores_in_headers`: which fields go where.

use std::net::SocketAddr;

use http::{HeaderMap, StatusCode, request};
use switchover::header::rules::{HeaderRules, Statuses, Underscores, Variables};
use switchover::header::{Hop, hop_by_hop};

use super::peer::{Peer, answer, get, mirror, nginx};

/// Fields with the values that a rule sets; `Host` is a choice.
const SET: &[(&str, &str)] = &[
    ("Host", "$host:$server_port"),
    ("X-Real-IP", "$remote_addr"),
    ("X-Forwarded-For", "$proxy_add_x_forwarded_for"),
    ("X-Forwarded-Proto", "$scheme"),
    ("X-NginX-Proxy", "true"),
    ("Origin", "http://backend.example"),
    ("X-Http-Host", "$http_host"),
    ("X-Host", "$host"),
    ("X-Uri", "${request_uri}"),
    ("X-Query", "<$args> [$is_args] <$query_string>"),
    ("X-Argument", "$arg_token/$arg_none"),
    ("X-Cookie", "<$cookie_session>"),
    ("X-Cookies", "$http_cookie"),
    ("X-Method", "$request_method"),
    ("X-Names", "$server_name at $proxy_host"),
    ("X-Program", "$http_user_agent"),
    ("X-Empty", ""),
    ("X-Nothing", "$http_none"),
    ("X-Something", "<$http_none>"),
    ("Sec-WebSocket-Extensions", ""),
];

/// What each client sends behind `GET TARGET HTTP/1.1`.
const CLIENTS: &[(&str, &str)] = &[
    ("/ws", "Host: a.example\r\n"),
    (
        "/ws/%20x?Token=a%20b&session=2",
        "Host: B.Example:8080\r\nX-Real-IP: 6.6.6.6\r\nX-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 7.7.7.7, 8.8.8.8\r\n\
         Origin: https://evil.example\r\nX-Empty: client\r\nX-Nothing: client\r\nX-Other: kept\r\nX-Other: twice\r\n\
         Cookie: a=1; session=one\r\nCookie: session=two\r\nUser-Agent: me\r\n\
         Sec-WebSocket-Extensions: permessage-deflate\r\n",
    ),
    (
        "/ws?",
        "Host: [::1]:99\r\nX-Uri: client\r\nCookie: Session = s ; b=2\r\n",
    ),
    (
        "/ws?token=&token=b",
        "Host: a.example.\r\nCookie: xsession=no; sessionx=no\r\n",
    ),
];

fn parts(target: &str, lines: &str) -> request::Parts {
    let mut request = http::Request::get(target);
    for line in lines.lines() {
        let (name, value) = line.split_once(": ").unwrap();
        request = request.header(name, value);
    }
    request.body(()).unwrap().into_parts().0
}

/// The fields of a head as text, sorted, without those that each proxy writes of its own.
fn fields(head: &str) -> Vec<String> {
    let lines = head.lines().skip(1).filter_map(|line| line.split_once(": "));
    let mut fields: Vec<String> = lines
        .filter(|(name, _)| !name.eq_ignore_ascii_case("connection"))
        .map(|(name, value)| format!("{}: {value}", name.to_ascii_lowercase()))
        .collect();
    fields.sort();
    fields
}

fn shown(headers: &HeaderMap) -> Vec<String> {
    let mut fields: Vec<String> = headers
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    fields.sort();
    fields
}

fn rules(upstream: SocketAddr) -> HeaderRules {
    let rules = HeaderRules::default()
        .underscores(Underscores::DropAll)
        .server_name("server.example")
        .upstream(&upstream.to_string());
    SET.iter().fold(rules, |rules, (name, value)| match *name {
        "Host" => rules.host(value.parse().unwrap()),
        name => rules.set_on_request(name, value).unwrap(),
    })
}

#[test]
fn proxy_set_header() {
    let origin = mirror();
    let rules = rules(origin);
    let set: String = SET
        .iter()
        .map(|(name, value)| format!("proxy_set_header {name} \"{value}\";"))
        .collect();
    let nginx = nginx(&format!(
        "server {{ listen LISTEN; server_name server.example; {set} location / {{ proxy_pass http://{origin}; }} }}"
    ));
    let Some(nginx) = nginx else {
        return;
    };
    for (target, lines) in CLIENTS {
        let mut parts = parts(target, lines);
        let hop = Hop::from("127.0.0.1".parse::<std::net::IpAddr>().unwrap()).at_port(nginx.address.port());
        let prepared = rules.prepare(&Variables::new(&parts, &hop));
        hop_by_hop::strip(&mut parts.headers).unwrap();
        prepared.apply_to_request(&mut parts.headers);
        assert_eq!(shown(&parts.headers), seen(&nginx, target, lines), "{target}");
    }
}

fn seen(nginx: &Peer, target: &str, lines: &str) -> Vec<String> {
    let request = format!("GET {target} HTTP/1.1\r\n{lines}Connection: close\r\n\r\n");
    let answer = answer(nginx.address, request.as_bytes());
    let (_, head) = answer.split_once("\r\n\r\n").expect("a whole answer");
    fields(head)
}

#[test]
fn underscores_in_headers_off() {
    let origin = mirror();
    let lines = "X_User: a\r\nX-User: b\r\nX-Under_Score: c\r\n_: d\r\nApiKey: e\r\n";
    let rules = HeaderRules::default().underscores(Underscores::DropAll);
    let mut parts = parts("/", lines);
    let hop = Hop::unknown();
    let prepared = rules.prepare(&Variables::new(&parts, &hop));
    prepared.apply_to_request(&mut parts.headers);
    assert_eq!(shown(&parts.headers), ["apikey: e", "x-user: b"]);

    let config = format!("server {{ listen LISTEN; location / {{ proxy_pass http://{origin}; }} }}");
    let Some(nginx) = nginx(&config) else { return };
    let head = get(nginx.address, "a", "/", lines);
    assert_eq!(
        fields(&head),
        [
            "apikey: e".to_owned(),
            format!("host: {origin}"),
            "x-user: b".to_owned()
        ]
    );
}

#[test]
fn add_header_and_proxy_hide_header() {
    let rules = HeaderRules::default()
        .add_on_response("X-Usual", "$host", Statuses::Usual)
        .and_then(|rules| rules.add_on_response("X-Always", "$arg_x", Statuses::Always))
        .and_then(|rules| rules.remove_on_response("X-Hidden"))
        .unwrap();
    // A server of nginx's own is the origin: it answers with any status.
    let statuses: Vec<u16> = vec![
        200, 201, 202, 203, 204, 206, 300, 301, 302, 303, 304, 307, 308, 400, 403, 404, 426, 500, 502, 503,
    ];
    let origin: String = statuses
        .iter()
        .map(|status| format!("location = /{status} {{ return {status} \"x\"; }}"))
        .collect();
    let nginx = nginx(&format!(
        "server {{ listen LISTEN; server_name front.example;
           add_header X-Usual $host; add_header X-Always $arg_x always; proxy_hide_header X-Hidden;
           location / {{ proxy_pass http://LISTEN; proxy_set_header Host back.example; }} }}
         server {{ listen LISTEN; server_name back.example;
           add_header X-Usual theirs always; add_header X-Hidden theirs always; {origin} }}"
    ));
    for status in statuses {
        let target = format!("/{status}?x=yes");
        let parts = parts(&target, "Host: front.example\r\n");
        let hop = Hop::unknown();
        let mut headers = HeaderMap::new();
        for name in ["x-usual", "x-hidden"] {
            headers.insert(name, "theirs".parse().unwrap());
        }
        let status = StatusCode::from_u16(status).unwrap();
        rules.apply_to_response(&mut headers, status, &Variables::new(&parts, &hop));
        let Some(nginx) = &nginx else { continue };
        let request = format!("GET {target} HTTP/1.1\r\nHost: front.example\r\nConnection: close\r\n\r\n");
        let answer = answer(nginx.address, request.as_bytes());
        let (head, _) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let mut theirs = fields(head);
        theirs.retain(|field| field.starts_with("x-"));
        assert_eq!(shown(&headers), theirs, "{status}: {answer}");
    }
}

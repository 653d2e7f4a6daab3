//! What a client is answered whose upgrade an upstream has switched, declined or left without an answer: the fields that depend on
//! the upstream, the page that takes the place of an answer, another upstream behind that. Under nginx and here alike.

use switchover::test_util::{Script, ScriptedClient, ScriptedOrigin, UPGRADE_REQUEST};

use crate::named::{configured, kinds};
use crate::program::Kind;

/// It switches, unless the target says otherwise.
const ORIGIN: &str = "HTTP/1.1 403 No\r\nContent-Length: 2\r\nX-Reason: theirs\r\nSet-Cookie: sid=1; Path=/app/; Domain=up.example\r\n\
     Location: http://up.example/in\r\nX-Accel-Expires: 0\r\nWWW-Authenticate: Basic\r\n\r\nno";

async fn origin() -> ScriptedOrigin {
    let script = Script::new().read_head().answer(|head| match head.uri.path() {
        path if path.contains("declined") => ORIGIN.as_bytes().to_vec(),
        path if path.contains("asks") => ORIGIN.replacen("403", "401", 1).into_bytes(),
        path if path.contains("hop") => {
            b"HTTP/1.1 200 OK\r\nX-Accel-Redirect: /inner\r\nContent-Length: 0\r\n\r\n".to_vec()
        }
        _ => {
            let head = String::from_utf8(switchover::test_util::switching_protocols(head)).unwrap();
            let fields = "\r\nSet-Cookie: io=7; Path=/app/\r\nX-Reason: theirs\r\nX-Accel-Expires: 0\r\n";
            head.replacen("\r\n", fields, 1).into_bytes()
        }
    });
    ScriptedOrigin::start(script.echo()).await
}

/// The location's lines, the target, the status, and fields of the answer: `-` is not there.
type Case = (
    &'static str,
    &'static str,
    u16,
    &'static [(&'static str, &'static str)],
);

const CASES: &[Case] = &[
    (
        "add_header X-Up $upstream_addr; add_header X-Status $upstream_status/$status always;
         add_header X-Their $upstream_http_x_reason; add_header X-Sent $sent_http_x_reason; add_header X-Cookie $upstream_cookie_io;
         add_header X-Args $args always;",
        "/app/?a=b",
        101,
        &[
            // Without `always` it is not for a 101.
            ("x-up", "-"),
            ("x-status", "101/101"),
            ("x-their", "-"),
            ("x-args", "a=b"),
        ],
    ),
    (
        "add_header X-Up $upstream_addr always; add_header X-Their $upstream_http_x_reason always;
         add_header X-Sent $sent_http_x_reason always; add_header X-Cookie $upstream_cookie_io always; proxy_hide_header X-Reason;",
        "/app/",
        101,
        &[
            ("x-up", "UP"),
            ("x-their", "theirs"),
            ("x-sent", "-"),
            ("x-cookie", "7"),
            ("x-reason", "-"),
            ("x-accel-expires", "-"),
        ],
    ),
    (
        "proxy_cookie_path /app/ /; proxy_cookie_flags io secure samesite=lax;",
        "/app/",
        101,
        &[("set-cookie", "io=7; Path=/; Secure; SameSite=Lax"), ("x-reason", "theirs")],
    ),
    (
        "proxy_cookie_path /app/ /; proxy_cookie_domain up.example $host; proxy_redirect http://up.example/ /app/;
         add_header X-Status $upstream_status always; add_header X-Usual usual;",
        "/app/declined",
        403,
        &[
            ("set-cookie", "sid=1; Path=/; Domain=example.com"),
            ("location", "http://example.com:PORT/app/in"),
            ("x-status", "403"),
            ("x-usual", "-"),
            ("x-accel-expires", "-"),
        ],
    ),
    (
        "proxy_intercept_errors on; error_page 403 /page;",
        "/app/declined",
        403,
        &[("x-page", "page 403"), ("x-reason", "-"), ("www-authenticate", "-"), ("set-cookie", "-")],
    ),
    (
        "proxy_intercept_errors on; error_page 403 =418 /page;",
        "/app/declined",
        418,
        &[("x-page", "page 418")],
    ),
    (
        "proxy_intercept_errors on; error_page 401 /page;",
        "/app/asks",
        401,
        &[("x-page", "page 401"), ("www-authenticate", "Basic")],
    ),
    (
        "proxy_intercept_errors on; error_page 404 /page;",
        "/app/declined",
        403,
        &[("x-page", "-"), ("x-reason", "theirs")],
    ),
    ("error_page 403 /page;", "/app/declined", 403, &[("x-page", "-")]),
    (
        "proxy_intercept_errors on; error_page 403 https://login.example/;",
        "/app/declined",
        302,
        &[("location", "https://login.example/")],
    ),
    // Another upstream, and a tunnel to that.
    (
        "proxy_intercept_errors on; error_page 403 = @other;",
        "/app/declined",
        101,
        &[("x-other", "other")],
    ),
    ("", "/app/hop", 200, &[("x-page", "page 200")]),
    ("proxy_ignore_headers X-Accel-Redirect;", "/app/hop", 200, &[("x-page", "-")]),
    // Of an upstream that refuses connections.
    ("add_header X-Usual usual; add_header X-Always always always;", "/down/", 502, &[("x-usual", "-"), ("x-always", "always")]),
    ("error_page 502 /page;", "/down/", 502, &[("x-page", "page 502")]),
    ("error_page 502 = @other;", "/down/", 101, &[("x-other", "other")]),
];

#[tokio::test]
async fn what_the_client_is_answered() {
    let origin = origin().await;
    let mut wrong = Vec::new();
    for kind in kinds() {
        for (lines, target, status, fields) in CASES {
            let up = origin.address();
            let carried = "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;";
            let locations = format!(
                "location /app/ {{ proxy_pass http://{up}; {carried} {lines} }}
                 location /down/ {{ proxy_pass http://127.0.0.1:9; {carried} {lines} }}
                 location /page {{ internal; add_header X-Page 'page $status' always; return 200 page; }}
                 location /inner {{ internal; add_header X-Page 'page $status' always; return 200 inner; }}
                 location @other {{ rewrite ^ /switches break; proxy_pass http://{up}; {carried} add_header X-Other other always; }}"
            );
            let program = configured(kind, "", &locations, &["--strict", "--no-hints"]);
            let mut client = ScriptedClient::connect(program.address).await;
            client
                .send(UPGRADE_REQUEST.replacen("GET /chat", &format!("GET {target}"), 1))
                .await;
            let head = client.head().await;
            let name = format!("{kind:?} {target} {lines}");
            if head.status != *status {
                wrong.push(format!("{name}: {}", head.status));
                continue;
            }
            for (field, expected) in *fields {
                let expected = expected
                    .replace("PORT", &program.address.port().to_string())
                    .replace("UP", &up.to_string());
                let given = head
                    .headers
                    .get(*field)
                    .map_or("-", |value| value.to_str().unwrap());
                if given != expected {
                    wrong.push(format!("{name}: {field} is {given:?}, not {expected:?}"));
                }
            }
            if *status == 101 {
                client.send("hello").await;
                client.receives(b"hello").await;
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Without the client's fields an upgrade goes up with those that the configuration sets, of a guard's request too.
#[tokio::test]
async fn an_upgrade_without_the_fields_of_the_client() {
    const OTHERS: [&str; 6] = [
        "cookie",
        "authorization",
        "x-role",
        "origin",
        "sec-websocket-protocol",
        "user-agent",
    ];
    let script = Script::new().read_head().answer(|head| {
        let of_client = OTHERS.iter().filter(|name| head.headers.contains_key(**name));
        let seen: Vec<&str> = of_client.copied().collect();
        let user = head
            .headers
            .get("x-user")
            .map_or("-", |value| value.to_str().unwrap());
        let seen = format!("\r\nX-Seen: {user} {}\r\n", seen.join(","));
        let head = match head.uri.path() {
            "/auth" => "HTTP/1.1 204 In\r\n\r\n".to_owned(),
            _ => String::from_utf8(switchover::test_util::switching_protocols(head)).unwrap(),
        };
        head.replacen("\r\n", &seen, 1).into_bytes()
    });
    let origin = ScriptedOrigin::start(script.echo()).await;
    let lines = format!(
        "proxy_pass http://{}; proxy_http_version 1.1; proxy_pass_request_headers off; proxy_set_header Upgrade $http_upgrade;
         proxy_set_header Connection upgrade; proxy_set_header X-User own; proxy_set_header Sec-WebSocket-Key $http_sec_websocket_key;
         proxy_set_header Sec-WebSocket-Version $http_sec_websocket_version;",
        origin.address()
    );
    let offers = "proxy_set_header sec-websocket-protocol $http_sec_websocket_protocol; proxy_set_header Origin $http_origin;";
    let locations = format!(
        "location /none {{ {lines} }} location /offers {{ {lines} {offers} }}
         location /guarded {{ auth_request /auth; auth_request_set $seen $upstream_http_x_seen; add_header X-Guard $seen always; {lines} }}
         location /auth {{ internal; {lines} }}"
    );
    let fields = "Cookie: a=1\r\nAuthorization: Basic YTpi\r\nX-Role: admin\r\nX-User: theirs\r\nSec-WebSocket-Protocol: chat\r\n\
         User-Agent: some\r\n";
    for kind in kinds() {
        let program = configured(kind, "", &locations, &["--strict", "--no-hints"]);
        for (target, field, seen) in [
            ("/none", "x-seen", "own"),
            ("/offers", "x-seen", "own origin,sec-websocket-protocol"),
            ("/guarded", "x-seen", "own"),
            ("/guarded", "x-guard", "own"),
        ] {
            let mut client = ScriptedClient::connect(program.address).await;
            let request = UPGRADE_REQUEST.replacen("GET /chat", &format!("GET {target}"), 1);
            let origin = if request.contains("Origin:") {
                ""
            } else {
                "Origin: http://a.example\r\n"
            };
            client
                .send(request.replacen("\r\n", &format!("\r\n{fields}{origin}"), 1))
                .await;
            let head = client.head().await;
            assert_eq!(head.status, 101, "{kind:?} {target}");
            let given = head
                .headers
                .get(field)
                .map(|value| value.to_str().unwrap().trim());
            assert_eq!(given, Some(seen), "{kind:?} {target} {field}");
            client.send("hello").await;
            client.receives(b"hello").await;
        }
    }
}

/// What a request asks on its way is asked by GET; `$request_method` is that of the request.
#[tokio::test]
async fn the_method_that_a_guard_sees() {
    for kind in kinds() {
        let locations =
            "location / { auth_request /auth; try_files /none @page; } location @page { return 200 in; }
            location = /auth { if ($request_method = DELETE) { return 204; } return 403; }";
        let program = configured(kind, "", locations, &["--strict"]);
        for (method, status) in [("DELETE", 200), ("GET", 403)] {
            let mut client = ScriptedClient::connect(program.address).await;
            client
                .send(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n"))
                .await;
            assert_eq!(client.head().await.status, status, "{kind:?} {method}");
        }
    }
}

/// Other protocols pass where a flag names them. What has not been asked for is no tunnel, whatever the origin says: its 101 has no body, and
/// what takes its place has none.
#[tokio::test]
async fn another_protocol_that_is_allowed() {
    let switches = "HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: tcp\r\n\r\n";
    let origin = ScriptedOrigin::start(Script::new().read_head().send(switches).echo()).await;
    let carried = "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;";
    let locations = format!(
        "location / {{ proxy_pass http://{}; {carried} }}",
        origin.address()
    );
    let cases: &[(&[&str], &str, u16)] = &[
        (&["--allow-upgrade", "tcp"], "Upgrade: tcp\r\n", 101),
        (
            &["--allow-upgrade", "other/1", "--allow-upgrade", "tcp"],
            "Upgrade: x, tcp\r\n",
            101,
        ),
        (&["--allow-upgrade", "other/1"], "Upgrade: tcp\r\n", 502),
        (&["--allow-upgrade", "tcp"], "", 502),
        (&[], "Upgrade: tcp\r\n", 502),
    ];
    for (flags, field, status) in cases {
        let program = configured(Kind::Ours, "", &locations, &[&["--no-hints"], *flags].concat());
        let mut client = ScriptedClient::connect(program.address).await;
        client
            .send(format!(
                "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\n{field}\r\n"
            ))
            .await;
        let head = client.head().await;
        assert_eq!(head.status, *status, "{flags:?} {field:?}");
        match status {
            101 => {
                client.send("hello").await;
                client.receives(b"hello").await;
            }
            _ => assert_eq!(head.headers["content-length"], "0", "{flags:?} {field:?}"),
        }
    }
}

/// A server of such a protocol looks at `Upgrade` alone, and configurations for it say `keep-alive`. nginx relays its 101.
#[tokio::test]
async fn another_protocol_whose_connection_is_kept_alive() {
    let switches = "HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: control\r\n\r\n";
    for kind in kinds() {
        let origin = ScriptedOrigin::start(Script::new().read_head().send(switches).echo()).await;
        let locations = format!(
            "location / {{ proxy_pass http://{}; proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade;
             proxy_set_header Connection $kept; }}",
            origin.address()
        );
        let map = "map $http_upgrade $kept { default keep-alive; '' close; }";
        let flags = ["--no-hints", "--allow-upgrade", "control"];
        let program = configured(
            kind,
            map,
            &locations,
            if kind == Kind::Ours { &flags } else { &[] },
        );
        let mut client = ScriptedClient::connect(program.address).await;
        client
            .send("POST / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: control\r\nContent-Length: 0\r\n\r\n")
            .await;
        assert_eq!(client.head().await.status, 101, "{kind:?}");
        client.send("hello").await;
        client.receives(b"hello").await;
    }
}

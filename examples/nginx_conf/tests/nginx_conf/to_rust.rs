//! `--to-rust`: what it prints is compiled here, and serves as nginx and this program do.
//!
//! The printed programs are kept in `generated`. With `SWITCHOVER_RECORD=1` in the environment they are written again.

use std::future::{Future, poll_fn};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use switchover::header::Hop;
use switchover::http2::{Http2Server, Http2ServerConfig};
use switchover::test_util::{ScriptedClient, UPGRADE_REQUEST, switching_protocols};
use switchover::tunnel::{AnyStream, Schedule};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::certificates::Authority;
use crate::named::kinds;
use crate::over_tls::{OLD_CERTIFICATE, OLD_KEY};
use crate::program::{Folder, Kind};

#[rustfmt::skip]
#[path = "generated/buffers.rs"]
mod buffers;
#[rustfmt::skip]
#[path = "generated/fixed.rs"]
mod fixed;
#[rustfmt::skip]
#[path = "generated/guarded.rs"]
mod guarded;
#[rustfmt::skip]
#[path = "generated/location.rs"]
mod location;
#[rustfmt::skip]
#[path = "generated/map.rs"]
mod map;
#[rustfmt::skip]
#[path = "generated/secured.rs"]
mod secured;
#[rustfmt::skip]
#[path = "generated/server_fixed.rs"]
mod server_fixed;
#[rustfmt::skip]
#[path = "generated/server_map.rs"]
mod server_map;
#[rustfmt::skip]
#[path = "generated/site.rs"]
mod site;
#[rustfmt::skip]
#[path = "generated/whole.rs"]
mod whole;

/// Those that circulate.
const KEPT: [&str; 7] = [
    "buffers",
    "fixed",
    "location",
    "map",
    "server_fixed",
    "server_map",
    "whole",
];

/// Addresses of the loopback network that nothing else has, because they stand in the kept program.
const LISTEN: &str = "127.201.7.1:8087";
const ORIGIN: &str = "127.201.7.2:9087";

/// All that has an equivalent.
const SITE: &str = "events {}
http {
    include FOLDER/folders.conf; access_log off;
    limit_conn_zone $binary_remote_addr zone=each:1m;
    map $http_upgrade $connection_upgrade { default upgrade; '' close; }
    proxy_http_version 1.1;
    upstream chat { least_conn; server 127.201.7.2:9087 weight=2 max_fails=3 fail_timeout=5s; server 127.201.7.3:1 backup; keepalive 8; }
    server { listen 127.201.7.1:8087 default_server; server_name _; return 404; }
    server {
        listen 127.201.7.1:8087; server_name moved.example; return 301 https://chat.example$request_uri;
    }
    server { listen 127.201.7.1:8087; server_name .named.example; return 301 https://$server_name/x; }
    server {
        listen 127.201.7.1:8087; server_name chat.example *.chat.example;
        proxy_set_header Host $host; proxy_set_header X-Real-IP $remote_addr;
        proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade;
        proxy_read_timeout 1h; client_max_body_size 4; add_header X-Always 'a \"b\"' always;
        location /ws/ { proxy_pass http://chat/live/; proxy_next_upstream error timeout http_503; proxy_next_upstream_tries 2; }
        location = /ws/exact { proxy_pass http://127.201.7.2:9087; proxy_hide_header X-Origin; add_header X-Own own; }
        location /plain { proxy_pass http://127.201.7.2:9087; proxy_set_header X-Only only; }
        location /few { limit_conn each 1; limit_conn_status 429; proxy_pass http://127.201.7.2:9087; }
        location /hi { default_type text/x; return 200 'hello $host'; }
        location /away { return 307 /hi?$args; }
    }
}
";

/// TLS and HTTP/2 for some, and how it ends.
const SECURED: &str = "worker_shutdown_timeout 90s;
events {}
http {
    access_log off; http2 on;
    limit_conn_zone $binary_remote_addr zone=each:1m; limit_conn_zone $host zone=host:1m;
    ssl_certificate FOLDER/old.pem; ssl_certificate_key FOLDER/old.key.pem;
    server {
        listen 127.201.7.1:8089 ssl; listen 127.201.7.1:8090; server_name one.example;
        location / { limit_conn each 8; proxy_pass http://127.201.7.2:9087; }
        location /host { limit_conn host 8; proxy_pass http://127.201.7.2:9087; }
    }
    server { listen 127.201.7.1:8089 ssl; server_name two.example; location / { limit_conn each 8; proxy_pass http://127.201.7.2:9087; } }
}
";

/// What has none, and may keep somebody out.
const GUARDED: &str = "events {}
http {
    limit_req_zone $binary_remote_addr zone=one:1m rate=1r/s;
    limit_conn_zone $binary_remote_addr zone=two:1m; limit_conn_zone $binary_remote_addr zone=three:1m;
    limit_conn_zone $binary_remote_addr zone=four:1m;
    server {
        listen 127.201.7.1:8088; server_name one.example;
        proxy_set_header X-User $request_id;
        location /basic { auth_basic realm; auth_basic_user_file nobody; proxy_pass http://127.201.7.2:9087; }
        location /denied { deny 10.0.0.0/8; allow all; proxy_pass http://127.201.7.2:9087; }
        location /limited { limit_req zone=one; proxy_pass http://127.201.7.2:9087; }
        location /few { limit_conn two 1; proxy_pass http://127.201.7.2:9087; }
        location /fewer { limit_conn two 2; proxy_pass http://127.201.7.2:9087; }
        location /asked { auth_request /auth; proxy_pass http://127.201.7.2:9087; }
        location = /auth { internal; proxy_pass http://127.201.7.2:9087; }
        location /if { if ($arg_a) { return 403; } proxy_pass http://127.201.7.2:9087; }
        location /rewritten { rewrite ^/rewritten/(.*)$ /$1 break; proxy_pass http://127.201.7.2:9087; }
        location /variable { set $up 127.201.7.2; proxy_pass http://$up:9087; }
        location /files { root /srv; }
        location /methods { limit_except GET { deny all; } proxy_pass http://127.201.7.2:9087; }
        location /open { allow all; auth_basic off; proxy_pass http://127.201.7.2:9087; }
    }
    server {
        listen 127.201.7.1:8088; server_name two.example;
        location / { proxy_pass http://127.201.7.2:9087; }
        location ~ /\\.git { deny all; }
    }
    server {
        listen 127.201.7.1:8088; server_name three.example; satisfy any; deny all;
        location / { proxy_pass http://127.201.7.2:9087; location /deeper { proxy_pass http://127.201.7.2:9087; } }
    }
    server {
        listen 127.201.7.1:8088; server_name four.example;
        if ($http_x) { return 403; }
        location / { proxy_pass http://127.201.7.2:9087; }
    }
    server {
        listen 127.201.7.1:8088; server_name five.example;
        location / { proxy_pass http://127.201.7.2:9087; }
        location ~ \\.js$ { proxy_pass http://127.201.7.2:9087; }
    }
    server {
        listen 127.201.7.1:8088; server_name six.example;
        location / { proxy_pass http://127.201.7.2:9087; }
        location ~ ^/api/ { limit_conn three 2; proxy_pass http://127.201.7.2:9087; }
    }
    server {
        listen 127.201.7.1:8088; server_name seven.example; limit_conn three 2;
        location / { limit_conn four 9; proxy_pass http://127.201.7.2:9087; }
        location ~ ^/api/ { proxy_pass http://127.201.7.2:9087; }
    }
    server {
        listen 127.201.7.1:8088; server_name eight.example; limit_conn three 2;
        location / { proxy_pass http://127.201.7.2:9087; location ~ \\.js$ { proxy_pass http://127.201.7.2:9087; } }
    }
    server {
        listen 127.201.7.1:8088; server_name nine.example;
        location / { proxy_pass http://127.201.7.2:9087; location ~ \\.git { deny all; } }
    }
}
";

/// What it prints of a configuration, without the addresses and folders of this run.
fn printed(folder: &Folder, file: &str) -> String {
    let output = folder.tested(file, &["--no-hints", "--to-rust"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{file}: {said}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.replace(&format!("{}/", folder.path.display()), "")
        .replace(&folder.address().to_string(), "127.0.0.1:8080")
}

#[test]
fn what_is_compiled_here_is_what_it_prints() {
    let origin: SocketAddr = ([127, 0, 0, 1], 9000).into();
    let kept = KEPT.map(|name| (name, None));
    let own = [
        ("site", Some(SITE)),
        ("guarded", Some(GUARDED)),
        ("secured", Some(SECURED)),
    ];
    for (name, text) in kept.into_iter().chain(own) {
        let (folder, file) = match text {
            None => (Folder::kept(origin, str::to_owned), format!("{name}.conf")),
            Some(text) => (Folder::of(origin, text), "test.conf".to_owned()),
        };
        std::fs::write(folder.path.join("old.pem"), OLD_CERTIFICATE).unwrap();
        std::fs::write(folder.path.join("old.key.pem"), OLD_KEY).unwrap();
        let printed = printed(&folder, &file);
        let own = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/nginx_conf/generated")
            .join(format!("{name}.rs"));
        if std::env::var_os("SWITCHOVER_RECORD").is_some() {
            std::fs::write(&own, &printed).unwrap();
        }
        let recorded = std::fs::read_to_string(&own).unwrap_or_default();
        assert!(
            printed == recorded,
            "{name} is another one: run this test with SWITCHOVER_RECORD=1\n{printed}"
        );
    }
}

/// An origin that switches, or says what it was asked, and by which fields.
async fn origin() -> tokio::task::JoinHandle<()> {
    let listener = TcpListener::bind(ORIGIN).await.unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut read = Vec::new();
                while !read.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    if client.read(&mut byte).await.unwrap_or(0) == 0 {
                        return;
                    }
                    read.push(byte[0]);
                }
                let text = String::from_utf8(read).unwrap();
                let mut lines = text.lines();
                let first = lines.next().unwrap();
                let field = |name: &str| {
                    let mut found = text.lines().filter_map(|line| line.split_once(": "));
                    let found = found.find(|(known, _)| known.eq_ignore_ascii_case(name));
                    found.map_or("-", |(_, value)| value).to_owned()
                };
                let seen = ["host", "x-real-ip", "x-only", "x-user", "x-forwarded-for"]
                    .map(field)
                    .join(" ");
                if field("upgrade") != "-" {
                    let mut request = http::Request::new(());
                    let key = field("sec-websocket-key").parse().unwrap();
                    request.headers_mut().insert("sec-websocket-key", key);
                    request
                        .headers_mut()
                        .insert("upgrade", "websocket".parse().unwrap());
                    let head = String::from_utf8(switching_protocols(&request.into_parts().0)).unwrap();
                    let own = format!("\r\nX-Target: {first}\r\nX-Seen: {seen}\r\nX-Origin: 1\r\n");
                    let _ = client.write_all(head.replacen("\r\n", &own, 1).as_bytes()).await;
                    let mut buffer = [0; 64];
                    while let Ok(count @ 1..) = client.read(&mut buffer).await {
                        let _ = client.write_all(&buffer[..count]).await;
                    }
                    return;
                }
                let to = match first.contains("redirect") {
                    true => format!("Location: http://{ORIGIN}/plain/x\r\n"),
                    false => String::new(),
                };
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Target: {first}\r\nX-Seen: {seen}\r\nX-Origin: 1\r\n{to}Connection: close\r\n\r\n"
                );
                let _ = client.write_all(answer.as_bytes()).await;
            });
        }
    })
}

/// The host, the method, the target, and the answer: the status, what the origin was asked and has seen, and some fields.
const CASES: &[(&str, &str, &str, &str)] = &[
    ("other", "GET", "/", "404 - - - - - -"),
    (
        "moved.example",
        "GET",
        "/a?b",
        "301 - - - - - https://chat.example/a?b",
    ),
    (
        "chat.example",
        "WS",
        "/ws/x?y",
        "101 /live/x?y chat.example/127.0.0.1/-/-/- a \"b\" - 1 -",
    ),
    (
        "a.chat.example",
        "GET",
        "/ws/x",
        "200 /live/x a.chat.example/127.0.0.1/-/-/- a \"b\" - 1 -",
    ),
    (
        "chat.example",
        "WS",
        "/ws/exact",
        "101 /ws/exact chat.example/127.0.0.1/-/-/- - - - -",
    ),
    (
        "chat.example",
        "GET",
        "/ws/exact",
        "200 /ws/exact chat.example/127.0.0.1/-/-/- - own - -",
    ),
    (
        "chat.example",
        "GET",
        "/ws",
        "301 - - - - - http://chat.example:8087/ws/",
    ),
    (
        "chat.example",
        "GET",
        "/plain/x",
        "200 /plain/x 127.201.7.2:9087/-/only/-/- a \"b\" - 1 -",
    ),
    (
        "chat.example",
        "WS",
        "/plain/x",
        "200 /plain/x 127.201.7.2:9087/-/only/-/- a \"b\" - 1 -",
    ),
    ("chat.example", "GET", "/ws/%2e%2e/x", "400 - - - - - -"),
    ("chat.example", "GET", "/hi", "200 - - a \"b\" - - -"),
    (
        "chat.example",
        "GET",
        "/away",
        "307 - - a \"b\" - - http://chat.example:8087/hi?",
    ),
    (
        "named.example",
        "GET",
        "/",
        "301 - - - - - https://named.example/x",
    ),
];

async fn answer(host: &str, method: &str, target: &str) -> String {
    let address = LISTEN.parse().unwrap();
    let mut client = ScriptedClient::connect(address).await;
    let port = address.port();
    client
        .send(match method {
            "WS" => UPGRADE_REQUEST
                .replacen("GET /chat", &format!("GET {target}"), 1)
                .replacen("example.com", &format!("{host}:{port}"), 1),
            method => format!(
                "{method} {target} HTTP/1.1\r\nHost: {host}:{port}\r\nX-Forwarded-For: -\r\nX_Only: 6\r\n\r\n"
            ),
        })
        .await;
    let head = client.head().await;
    if head.status == 101 {
        client.send("hello").await;
        client.receives(b"hello").await;
    }
    let field = |name: &str| {
        let value = head
            .headers
            .get(name)
            .map(|value| value.to_str().unwrap().to_owned());
        value.unwrap_or("-".to_owned())
    };
    let target = field("x-target");
    let target = target.split(' ').nth(1).unwrap_or("-").to_owned();
    let seen = field("x-seen").replace(' ', "/");
    // What the program answers before it knows a location has nothing that a location adds.
    let always = match (head.status.as_u16(), &*field("location")) {
        (400, _) => "-".to_owned(),
        (301, to) if to.ends_with("/ws/") => "-".to_owned(),
        _ => field("x-always"),
    };
    format!(
        "{} {target} {seen} {always} {} {} {}",
        head.status.as_u16(),
        field("x-own"),
        field("x-origin"),
        field("location")
    )
}

#[tokio::test]
async fn a_printed_program_serves_as_nginx_does() {
    let origin = origin().await;
    let mut wrong = Vec::new();
    let mut all = |who: &str, host: &str, method: &str, target: &str, given: String, expected: &str| {
        if given != expected {
            wrong.push(format!("{who} {method} {host}{target}: {given}, not {expected}"));
        }
    };
    for kind in kinds() {
        let folder = Folder::of(([127, 0, 0, 1], 9).into(), SITE);
        let program = start_there(folder, kind).await;
        for (host, method, target, expected) in CASES {
            // nginx has one reading of a path.
            if kind == Kind::Nginx && target.contains("%2e") {
                continue;
            }
            all(
                &format!("{kind:?}"),
                host,
                method,
                target,
                answer(host, method, target).await,
                expected,
            );
        }
        few_at_once(&format!("{kind:?}")).await;
        drop(program);
    }
    let shared = Arc::new(site::shared().unwrap());
    let listener = Arc::new(site::listeners(&shared).unwrap().remove(0));
    let socket = TcpListener::bind(listener.address).await.unwrap();
    let served = tokio::spawn(site::accept(socket, listener.clone(), shared.clone()));
    for (host, method, target, expected) in CASES {
        all(
            "printed",
            host,
            method,
            target,
            answer(host, method, target).await,
            expected,
        );
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    few_at_once("printed").await;
    few_without_an_address(&listener, &shared).await;
    over_http2(listener).await;
    // Nobody is let in any more, and who is there has been served.
    shared.drain.start(Schedule::default());
    served.await.unwrap();
    assert!(TcpStream::connect(LISTEN).await.is_err());
    origin.abort();
}

/// `limit_conn`: a tunnel counts for its client until it has ended, and a request until it has been answered.
async fn few_at_once(who: &str) {
    let upgrade = UPGRADE_REQUEST.replacen("GET /chat", "GET /few", 1);
    let upgrade = upgrade.replacen("example.com", "chat.example", 1);
    let get = "GET /few HTTP/1.1\r\nHost: chat.example\r\nConnection: close\r\n\r\n";
    let address = LISTEN.parse().unwrap();
    let mut tunnel = ScriptedClient::connect(address).await;
    tunnel.send(&*upgrade).await;
    assert_eq!(tunnel.head().await.status, 101, "{who}");
    for request in [get, &*upgrade] {
        let mut other = ScriptedClient::connect(address).await;
        other.send(request).await;
        assert_eq!(other.head().await.status, 429, "{who} {request}");
    }
    drop(tunnel);
    let deadline = Instant::now() + Duration::from_secs(10);
    // The first one is kept, and waits for its next request.
    let mut kept = Vec::new();
    for request in [get.replace("close", "keep-alive"), get.to_owned()] {
        loop {
            let mut other = ScriptedClient::connect(address).await;
            other.send(&*request).await;
            match other.response().await.0.status.as_u16() {
                200 => break kept.push(other),
                status => assert!(
                    status == 429 && Instant::now() < deadline,
                    "{who} {status} {request}"
                ),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// As on a Unix socket, where nobody has an address: all are one client.
async fn few_without_an_address(listener: &site::Listener, shared: &site::Shared) {
    let upgrade = UPGRADE_REQUEST.replacen("GET /chat", "GET /few", 1);
    let upgrade = upgrade.replacen("example.com", "chat.example", 1);
    let (mut first, near) = tokio::io::duplex(1 << 16);
    let (mut second, other) = tokio::io::duplex(1 << 16);
    let served = |stream| site::serve(AnyStream::new(stream), Hop::unknown(), listener, &shared.drain);
    let asked = async {
        for (client, status) in [(&mut first, "101"), (&mut second, "429")] {
            client.write_all(upgrade.as_bytes()).await.unwrap();
            let mut line = [0; 12];
            client.read_exact(&mut line).await.unwrap();
            assert_eq!(line, *format!("HTTP/1.1 {status}").as_bytes());
        }
    };
    let all = async { tokio::join!(served(near), served(other)) };
    tokio::select! {
        _ = all => panic!("the tunnel has ended"),
        asked = tokio::time::timeout(Duration::from_secs(10), asked) => asked.unwrap(),
    }
}

/// SIGQUIT: a connection that has just been accepted is waited for, before it has been looked at.
#[tokio::test]
async fn who_was_let_in_is_served() {
    let shared = Arc::new(site::shared().unwrap());
    let listener = Arc::new(site::listeners(&shared).unwrap().remove(0));
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = ScriptedClient::connect(socket.local_addr().unwrap()).await;
    let mut accepting = Box::pin(site::accept(socket, listener, shared.clone()));
    let deadline = Instant::now() + Duration::from_secs(10);
    // The connection has a task, which has not begun.
    while tokio::runtime::Handle::current().metrics().num_alive_tasks() == 0 {
        assert!(Instant::now() < deadline);
        tokio::task::yield_now().await;
        let is_over = poll_fn(|cx| Poll::Ready(accepting.as_mut().poll(cx).is_ready())).await;
        assert!(!is_over);
    }
    shared.drain.start(Schedule::default());
    let (is_over, is_empty) = {
        let mut emptied = Box::pin(shared.connections.emptied());
        poll_fn(|cx| {
            let is_over = accepting.as_mut().poll(cx).is_ready();
            Poll::Ready((is_over, emptied.as_mut().poll(cx).is_ready()))
        })
        .await
    };
    assert!(is_over && !is_empty, "{is_over} {is_empty}");
    client.ends().await;
    let emptied = tokio::time::timeout(Duration::from_secs(10), shared.connections.emptied());
    emptied.await.unwrap();
}

/// The same locations, by requests of HTTP/2.
async fn over_http2(listener: Arc<site::Listener>) {
    let (client, stream) = tokio::io::duplex(1 << 16);
    let hop = Hop::from(IpAddr::from([127, 0, 0, 9]));
    let requests = site::Http2Requests { listener, hop };
    let server = tokio::spawn(async move {
        let server = Http2Server::new(Http2ServerConfig::default());
        server.serve(stream, requests, std::future::pending()).await
    });
    let (mut client, connection) = h2::client::handshake(client).await.unwrap();
    let connection = tokio::spawn(connection);
    for (path, status, seen) in [
        ("/plain/x", 200, Some("127.201.7.2:9087 - only - -")),
        ("/ws/x", 200, Some("chat.example 127.0.0.9 - - -")),
        ("/hi", 200, None),
        ("/away", 307, None),
        ("/none", 404, None),
    ] {
        let request = http::Request::get(format!("http://chat.example{path}"))
            .body(())
            .unwrap();
        let (response, _) = client.send_request(request, true).unwrap();
        let response = response.await.unwrap();
        assert_eq!(response.status(), status, "{path}");
        let given = response
            .headers()
            .get("x-seen")
            .map(|seen| seen.to_str().unwrap());
        assert_eq!(given, seen, "{path}");
    }
    drop(client);
    connection.abort();
    server.abort();
}

async fn start_there(folder: Folder, kind: Kind) -> crate::program::Program {
    folder.start_at(kind, "test.conf", &["--no-hints"], LISTEN.parse().unwrap())
}

/// The locations that are closed answer 503, and no origin is asked.
#[tokio::test]
async fn what_may_keep_somebody_out_is_closed() {
    let listener = guarded::listeners(&guarded::shared().unwrap()).unwrap().remove(0);
    let cases = [
        ("one.example", "/basic", true),
        ("one.example", "/denied", true),
        ("one.example", "/limited", true),
        ("one.example", "/few", true),
        ("one.example", "/fewer", true),
        ("one.example", "/asked", true),
        ("one.example", "/auth", true),
        ("one.example", "/if", true),
        ("one.example", "/rewritten/x", true),
        ("one.example", "/variable", true),
        ("one.example", "/files", true),
        ("one.example", "/methods", true),
        ("one.example", "/open", false),
        ("two.example", "/", true),
        ("three.example", "/", true),
        ("three.example", "/deeper", true),
        ("four.example", "/", true),
        ("five.example", "/", false),
        ("six.example", "/", true),
        ("seven.example", "/", true),
        ("eight.example", "/", false),
        ("nine.example", "/", true),
    ];
    for (host, target, is_closed) in cases {
        let locations = &listener.servers.find(Some(host)).unwrap().locations;
        let found = locations.find(target).unwrap();
        let closed = matches!(found.value, guarded::Content::Closed);
        assert_eq!(closed, is_closed, "{host}{target}");
    }
    let printed = include_str!("generated/secured.rs");
    for (part, count) in [
        ("TlsServerConfig::from_pem", 2),
        ("?)?.http2())", 2),
        ("Some(Http2Server::new(http2))", 1),
        ("places: vec![shared.zones[\"each\"].clone()]", 3),
        ("Closed: limit_conn host 8 (", 2),
        ("limit_conn_zone $host zone=host:1m is not written here", 1),
        ("const SHUTDOWN: Duration = Duration::from_secs(90);", 1),
        ("and here HTTP/1.1 where there is no TLS", 1),
    ] {
        assert_eq!(printed.matches(part).count(), count, "{part}");
    }
    // What the client says in place of a value that is not known does not go up.
    let printed = include_str!("generated/guarded.rs");
    assert!(printed.contains("remove_on_request(\"X-User\")"), "{printed}");
}

/// A name with a line break stays in its comment.
#[test]
fn a_comment_has_one_line() {
    let text = "events {} http { server { listen 127.0.0.1:8099; listen \"unix:FOLDER/a\nOUT\";
        server_name \"~a\nOUT\"; return 204; } }";
    let folder = Folder::of(([127, 0, 0, 1], 9).into(), text);
    let file = "test\nOUT.conf";
    std::fs::rename(folder.path.join("test.conf"), folder.path.join(file)).unwrap();
    let printed = printed(&folder, file);
    assert!(printed.contains("OUT has no equivalent here"), "{printed}");
    for line in printed.lines().filter(|line| line.contains("OUT")) {
        let is_comment = line.trim_start().starts_with("//");
        assert!(is_comment || line.contains("\\u{a}OUT"), "{line:?}");
    }
}

/// A line for each directive that is carried out, and where it stands: `http`, `server`, `location`, `upstream`, `events` or `main`.
const LINES: &[(&str, &str)] = &[
    ("http", "absolute_redirect off;"),
    ("http", "access_log FOLDER/log;"),
    ("location", "add_header X-A b;"),
    ("location", "allow 10.0.0.0/8; deny all;"),
    ("location", "deny all;"),
    ("location", "auth_basic realm;"),
    ("location", "auth_basic realm; auth_basic_user_file FOLDER/users;"),
    ("location", "auth_request /a;"),
    ("location", "auth_request_set $a b;"),
    ("location", "break;"),
    ("location", "charset utf-8;"),
    ("location", "charset_types text/x;"),
    ("location", "client_body_timeout 7;"),
    (
        "server",
        "large_client_header_buffers 4 8k; client_header_buffer_size 2k;",
    ),
    ("server", "client_header_timeout 7;"),
    ("location", "client_max_body_size 7k;"),
    ("server", "location /answer { default_type a/b; return 200 a; }"),
    ("location", "error_page 404 /a;"),
    ("location", "etag off;"),
    ("location", "expires 1h;"),
    ("http", "geo $a { default 1; }"),
    ("location", "gzip on;"),
    ("server", "http2 on;"),
    ("location", "if ($http_a) { return 403; }"),
    ("location", "if_modified_since off;"),
    ("server", "ignore_invalid_headers off;"),
    ("location", "index a;"),
    ("location", "internal;"),
    ("server", "keepalive_timeout 7;"),
    ("server", "large_client_header_buffers 4 7k;"),
    ("http", "limit_conn_zone $remote_addr zone=d:1m;"),
    ("location", "limit_conn c 1;"),
    ("location", "limit_conn_dry_run on;"),
    ("location", "limit_conn_status 429;"),
    ("location", "limit_except GET { deny all; }"),
    ("http", "limit_req_zone $remote_addr zone=s:1m rate=1r/s;"),
    ("location", "limit_req zone=r;"),
    ("location", "limit_req_dry_run on;"),
    ("location", "limit_req_status 429;"),
    ("server", "listen 127.0.0.1:8098;"),
    ("server", "listen 127.0.0.1:8098 http2;"),
    ("server", "listen 127.0.0.1:8098 proxy_protocol;"),
    ("server", "listen [::1]:8098 ipv6only=off;"),
    ("server", "listen unix:FOLDER/socket;"),
    ("server", "location /a { return 204; }"),
    ("http", "log_format a b;"),
    ("http", "map $host $a { default 1; }"),
    ("server", "merge_slashes off;"),
    ("http", "port_in_redirect off;"),
    ("location", "proxy_bind 127.0.0.2;"),
    ("location", "proxy_buffer_size 7k;"),
    ("location", "proxy_connect_timeout 7;"),
    ("location", "proxy_cookie_domain a b;"),
    ("location", "proxy_cookie_flags a secure;"),
    ("location", "proxy_cookie_path a b;"),
    ("location", "proxy_hide_header X-A;"),
    ("location", "proxy_ignore_client_abort on;"),
    ("location", "proxy_ignore_headers X-Accel-Redirect;"),
    ("location", "proxy_intercept_errors on;"),
    ("location", "proxy_method PUT;"),
    ("location", "proxy_next_upstream off;"),
    ("location", "proxy_next_upstream error non_idempotent;"),
    ("location", "proxy_next_upstream_timeout 7;"),
    ("location", "proxy_next_upstream_tries 7;"),
    ("server", "location /a { proxy_pass http://127.0.0.1:9; }"),
    ("location", "proxy_pass_header X-Accel-Redirect;"),
    ("location", "proxy_pass_request_body off;"),
    ("location", "proxy_pass_request_headers off;"),
    ("location", "proxy_read_timeout 7;"),
    ("location", "proxy_redirect off;"),
    ("location", "proxy_send_timeout 77;"),
    ("location", "proxy_set_body a;"),
    ("location", "proxy_set_header X-A b;"),
    (
        "location",
        "proxy_ssl_certificate FOLDER/old.pem; proxy_ssl_certificate_key FOLDER/old.key.pem;",
    ),
    (
        "location",
        "proxy_ssl_certificate_key FOLDER/old.key.pem; proxy_ssl_certificate FOLDER/old.pem;",
    ),
    ("location", "proxy_ssl_name a;"),
    ("location", "proxy_ssl_trusted_certificate FOLDER/old.pem;"),
    ("location", "proxy_ssl_verify off;"),
    ("location", "proxy_ssl_verify on;"),
    ("location", "proxy_ssl_verify_depth 7;"),
    ("http", "set_real_ip_from 10.0.0.0/8; real_ip_header X-A;"),
    ("http", "set_real_ip_from 10.0.0.0/8; real_ip_recursive on;"),
    ("location", "recursive_error_pages on;"),
    ("http", "resolver 127.0.0.1;"),
    ("http", "resolver_timeout 7;"),
    ("server", "location /a { return 404; }"),
    ("location", "rewrite a /b;"),
    ("location", "root a;"),
    ("server", "location /a { alias b; }"),
    ("location", "satisfy any;"),
    ("location", "send_timeout 77;"),
    ("http", "server { listen 127.0.0.1:8098; }"),
    (
        "upstream",
        "server 127.0.0.1:8 weight=2 max_fails=2 fail_timeout=7s max_conns=3 backup;",
    ),
    ("upstream", "server 127.0.0.1:8 down;"),
    ("upstream", "server localhost:8;"),
    ("upstream", "server 127.0.0.1:8 slow_start=7s;"),
    ("upstream", "server localhost:8 service=a;"),
    ("upstream", "hash $arg_a;"),
    ("upstream", "hash $request_uri consistent;"),
    ("upstream", "ip_hash;"),
    ("upstream", "keepalive 8; keepalive_requests 7;"),
    ("upstream", "keepalive 8; keepalive_time 7;"),
    ("upstream", "keepalive 8; keepalive_timeout 7;"),
    ("upstream", "least_conn;"),
    ("upstream", "random;"),
    ("upstream", "random two;"),
    ("upstream", "resolver 127.0.0.1;"),
    ("upstream", "resolver_timeout 7;"),
    ("upstream", "sticky cookie a;"),
    ("server", "server_name b;"),
    ("http", "server_name_in_redirect on;"),
    ("location", "set $a b;"),
    ("http", "split_clients $remote_addr $a { * b; }"),
    (
        "server",
        "ssl on; ssl_certificate FOLDER/old.pem; ssl_certificate_key FOLDER/old.key.pem;",
    ),
    (
        "server",
        "listen 127.0.0.1:8098 ssl; ssl_certificate FOLDER/old.pem; ssl_certificate_key FOLDER/old.key.pem;",
    ),
    ("server", "ssl_client_certificate FOLDER/old.pem;"),
    ("server", "ssl_crl FOLDER/crl.pem;"),
    ("server", "ssl_protocols TLSv1.3;"),
    ("server", "listen 127.0.0.1:8098 ssl; ssl_reject_handshake on;"),
    ("server", "ssl_trusted_certificate FOLDER/old.pem;"),
    ("server", "ssl_verify_client optional_no_ca;"),
    ("server", "ssl_verify_depth 7;"),
    ("location", "try_files a =404;"),
    ("location", "types { a/b c; }"),
    ("server", "underscores_in_headers on;"),
    (
        "http",
        "upstream other { server 127.0.0.1:7; } server { location / { proxy_pass http://other; } }",
    ),
    ("location", "valid_referers none a.example;"),
    ("events", "worker_connections 7;"),
    ("main", "user nobody;"),
    ("main", "worker_processes 7;"),
    ("main", "worker_shutdown_timeout 7;"),
];

/// What the library does in any case, or what there is nothing to say of by itself.
const NOTHING_BY_ITSELF: &[&str] = &[
    "error_log",
    "events",
    "gzip_comp_level",
    "gzip_disable",
    "gzip_http_version",
    "gzip_min_length",
    "gzip_proxied",
    "gzip_types",
    "gzip_vary",
    "http",
    "proxy_buffers",
    "proxy_http_version",
    "zone",
];

/// What one line more makes of the program.
fn with_line(context: &str, line: &str) -> String {
    let at = |wanted: &str| if context == wanted { line } else { "" };
    let zones = "limit_conn_zone $remote_addr zone=c:1m; limit_req_zone $remote_addr zone=r:1m rate=1r/s;";
    let text = format!(
        "{} events {{ {} }} http {{ include FOLDER/folders.conf; {zones} {} upstream u {{ server 127.0.0.1:9; {} }}
         server {{ listen 127.0.0.1:8099; server_name a; {} location / {{ proxy_pass https://u; {} }} }} }}\n",
        at("main"),
        at("events"),
        at("http"),
        at("upstream"),
        at("server"),
        at("location")
    );
    let folder = Folder::of(([127, 0, 0, 1], 9).into(), &text);
    std::fs::write(folder.path.join("old.pem"), OLD_CERTIFICATE).unwrap();
    std::fs::write(folder.path.join("old.key.pem"), OLD_KEY).unwrap();
    std::fs::write(folder.path.join("users"), "").unwrap();
    let (_, list) = Authority::new().issue_revoked(&["a"]);
    std::fs::write(folder.path.join("crl.pem"), list).unwrap();
    printed(&folder, "test.conf")
}

/// The line is said in a comment, or the program does something for it.
#[test]
fn no_line_is_left_out_in_silence() {
    let without = with_line("", "");
    let mut silent = Vec::new();
    for (context, line) in LINES {
        if with_line(context, line) == without {
            silent.push(*line);
        }
    }
    assert_eq!(silent, Vec::<&str>::new());
    // And there is a line for each directive that is carried out.
    let known = include_str!("../../src/known.rs").lines();
    let known = known.filter_map(|line| line.trim_start().strip_prefix("(\"")?.split_once('"'));
    let is_there = |name: &str| {
        let is_first = |line: &str| line.split(['{', ';', ' ']).any(|word| word == name);
        LINES.iter().any(|(_, line)| is_first(line)) || NOTHING_BY_ITSELF.contains(&name)
    };
    let missing: Vec<&str> = known
        .map(|(name, _)| name)
        .filter(|name| !is_there(name))
        .collect();
    assert_eq!(missing, Vec::<&str>::new());
}

//! The mistakes that people make first. The first line names the cause and what to change, from one URL alone.

use std::path::Path;

use switchover::test_util::{Script, ScriptedOrigin};

use crate::certificates::Authority;
use crate::examined::{Examined, closed_port, examine, examine_with, origin};
use crate::peer::{haproxy, nginx};
use crate::programs::{Server, has_node, node};

const UPGRADES: &str = "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection \"upgrade\"; proxy_set_header Host $http_host;";

/// The finding of this name is the first, and the first line has these words.
#[track_caller]
fn begins(examined: &Examined, name: &str, words: &[&str]) {
    let first = examined.found.first().and_then(|found| found.first());
    assert_eq!(first.map(String::as_str), Some(name), "{}", examined.text);
    let line = examined.text.lines().next().unwrap_or_default();
    for word in words {
        assert!(
            line.contains(word),
            "{word:?} is not in the first line: {}",
            examined.text
        );
    }
    assert_eq!(examined.status, Some(1), "{}", examined.text);
}

#[tokio::test]
async fn nginx_without_its_lines() {
    let asks_for_an_upgrade = origin_that(|head| match head.headers.contains_key("upgrade") {
        true => String::new(),
        false => refusal("426 Upgrade Required", "Upgrade Required"),
    });
    let server = ScriptedOrigin::start(asks_for_an_upgrade.end_writes()).await;
    let ours = origin();
    let config = format!(
        "server {{ listen LISTEN;
            location /none {{ proxy_pass http://{server}; }}
            location /old {{ proxy_pass http://{ours}; proxy_http_version 1.0;
                proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection \"upgrade\"; }} }}",
        server = server.address(),
        ours = ours.address,
    );
    let Some(nginx) = nginx(&config) else { return };
    let examined = examine(&format!("ws://{}/none", nginx.address)).await;
    begins(
        &examined,
        "upgrade-lost",
        &[
            "probably",
            "426",
            "In nginx: proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade;",
        ],
    );
    let examined = examine(&format!("ws://{}/old", nginx.address)).await;
    begins(&examined, "http10-hop", &["HTTP/1.0", "proxy_http_version 1.1"]);
}

/// A server of WebSocket alone lets an ordinary request wait.
#[tokio::test]
async fn nginx_without_its_lines_before_a_server_that_waits() {
    if !has_node() {
        return;
    }
    let ws = Server::start(&mut node("ws_server.mjs"));
    let config = format!(
        "server {{ listen LISTEN; location / {{ proxy_pass http://{}; }} }}",
        ws.address
    );
    let Some(nginx) = nginx(&config) else { return };
    let examined = examine(&format!("--timeout 1s ws://{}/", nginx.address)).await;
    begins(
        &examined,
        "no-answer",
        &["a WebSocket server behind a proxy that lost Upgrade"],
    );
    assert_eq!(examined.found[0][1], "upgrade-lost", "{}", examined.text);
}

#[tokio::test]
async fn haproxy_in_tcp_mode_with_no_server() {
    let config = format!(
        "defaults\n    mode tcp\n    timeout connect 1s\n    timeout client 5s\n    timeout server 5s\n    retries 0
frontend clients\n    bind LISTEN\n    default_backend backend
backend backend\n    server backend {}\n",
        closed_port()
    );
    let Some(haproxy) = haproxy(&config) else { return };
    let examined = examine(&format!("ws://{}/", haproxy.address)).await;
    let first = examined.found[0].first().map(String::as_str);
    assert!(
        matches!(first, Some("closed-unanswered" | "reset-unanswered")),
        "{}",
        examined.text
    );
    examined.says("A proxy in TCP mode does so if no server behind it is up");
}

#[tokio::test]
async fn wrong_ports_and_wrong_schemes() {
    let examined = examine(&format!("ws://{}/", closed_port())).await;
    begins(
        &examined,
        "connection-refused",
        &["Start the server, or correct the port"],
    );

    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("newcomers-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory can be made");
    let (chain, key) = Authority::new().localhost().write(&directory, "localhost");
    let origin = origin();
    let config = format!(
        "server {{ listen LISTEN ssl; ssl_certificate {}; ssl_certificate_key {};
            location / {{ proxy_pass http://{}; {UPGRADES} }} }}",
        chain.display(),
        key.display(),
        origin.address,
    );
    let Some(front) = nginx(&config) else { return };
    let examined = examine(&format!("ws://{}/", front.address)).await;
    begins(&examined, "plain-to-tls-port", &["Use wss://"]);
    let examined = examine(&format!("--insecure wss://{}/", front.address)).await;
    examined.finds(&[&["half-close-ends"]]);
    assert!(examined.text.starts_with("It works."), "{}", examined.text);

    let plain = nginx(&format!(
        "server {{ listen LISTEN; location / {{ proxy_pass http://{}; }} }}",
        origin.address
    ));
    let Some(plain) = plain else { return };
    let examined = examine(&format!("--insecure wss://{}/", plain.address)).await;
    begins(&examined, "tls-to-plain-port", &["Use ws://"]);
    let _ = std::fs::remove_dir_all(&directory);
}

#[tokio::test]
async fn paths_origins_idle_times_and_large_heads() {
    let origin = origin();
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("pages-{}", std::process::id()));
    std::fs::create_dir_all(&root).expect("a directory can be made");
    std::fs::write(
        root.join("index.html"),
        "<!doctype html><title>App</title><div id=root></div>",
    )
    .expect("it is written");
    let config = format!(
        "map $http_origin $refused {{ default 1; 'https://good.example' 0; }}
        server {{ listen LISTEN; {UPGRADES}
            location /ws {{ proxy_pass http://{origin}; proxy_read_timeout 2s; }}
            location /guarded {{ if ($refused) {{ return 403; }} proxy_pass http://{origin}; }}
            location /app/ {{ root {root}; try_files $uri /index.html; }}
            location = /index.html {{ root {root}; }}
            location /members {{ return 302 /login?next=$request_uri; }} }}",
        origin = origin.address,
        root = root.display(),
    );
    let Some(nginx) = nginx(&config) else { return };
    let at = |path: &str| format!("ws://{}{path}", nginx.address);
    begins(
        &examine(&at("/wrong")).await,
        "not-found",
        &["404", "Correct the path"],
    );
    begins(
        &examine(&at("/app/ws")).await,
        "page-served",
        &["a web page was served", "route"],
    );
    let members = examine(&at("/members?token=abcdefgh")).await;
    begins(&members, "redirect-to-login", &["to http", "Log in first"]);
    assert!(!members.text.contains("abcdefgh"), "{}", members.text);
    let guarded = examine(&format!("--origin https://good.example {}", at("/guarded"))).await;
    guarded.finds(&[&["half-close-ends"]]);
    begins(
        &examine(&at("/guarded")).await,
        "forbidden",
        &["Origin is not on the server's list"],
    );
    let idle = examine(&format!("--idle 4s {}", at("/ws"))).await;
    begins(&idle, "idle-timeout", &["after 2 s", "idle timeout"]);
    let cookie = format!("Cookie: {}", "x".repeat(9000));
    let large = examine_with(&["--header", &cookie, &at("/ws")]).await;
    begins(&large, "request-head-too-large", &["large_client_header_buffers"]);
    let _ = std::fs::remove_dir_all(&root);
}

/// HAProxy answers a head that does not fit its buffer like any malformed one.
#[tokio::test]
async fn a_head_too_large_for_haproxy() {
    let origin = origin();
    let config = format!(
        "defaults\n    mode http\n    timeout connect 1s\n    timeout client 5s\n    timeout server 5s
frontend clients\n    bind LISTEN\n    default_backend backend
backend backend\n    server backend {}\n",
        origin.address
    );
    let Some(haproxy) = haproxy(&config) else { return };
    let cookie = format!("Cookie: {}", "x".repeat(20_000));
    let examined = examine_with(&["--header", &cookie, &format!("ws://{}/", haproxy.address)]).await;
    begins(&examined, "request-head-too-large", &["400", "a short one: 101"]);
}

fn origin_that(answer: impl Fn(&http::request::Parts) -> String + Send + Sync + 'static) -> Script {
    Script::new().read_head().answer(move |head| {
        let answer = answer(head);
        match answer.is_empty() {
            true => [
                switchover::test_util::switching_protocols(head),
                b"\x8a\x05first".to_vec(),
            ]
            .concat(),
            false => answer.into_bytes(),
        }
    })
}

fn refusal(line: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {line}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
}

/// What only an application knows, behind an nginx that changes something.
#[tokio::test]
async fn what_an_application_says_is_shown_and_no_loss_is_made_of_it() {
    type Answer = fn(&http::request::Parts) -> String;
    let without_port: Answer = |head| match head.headers["host"].to_str().is_ok_and(|host| host.contains(':'))
    {
        true => String::new(),
        false => refusal("400 missing port in HTTP Host header", ""),
    };
    let unknown_words: Answer =
        |head| match head.headers["host"].to_str().is_ok_and(|host| host.contains(':')) {
            true => String::new(),
            false => refusal("400 Bad Request", "gate seven is closed"),
        };
    let session: Answer = |head| match head.headers.contains_key("x-moved") {
        false => String::new(),
        true => refusal(
            "400 Bad Request",
            "{\"code\":1,\"message\":\"Session ID unknown\"}",
        ),
    };
    let fails: Answer = |head| match head.headers.contains_key("upgrade") {
        true => String::new(),
        false => refusal("500 Internal Server Error", "KeyError: 'wsgi.websocket'"),
    };
    let carries = UPGRADES.replace("$http_host", "$host");
    let moved = format!("{UPGRADES} proxy_set_header X-Moved 1;");
    let drops = "proxy_http_version 1.1; proxy_set_header Host $http_host;";
    let cases: [(&str, Answer, &str, bool, &str); 4] = [
        (
            &carries,
            without_port,
            "host-refused",
            true,
            "< HTTP/1.1 400 missing port in HTTP Host header",
        ),
        (
            &carries,
            unknown_words,
            "host-refused",
            false,
            "< gate seven is closed",
        ),
        (&moved, session, "session-unknown", true, "Session ID unknown"),
        (drops, fails, "upgrade-lost", false, "KeyError: 'wsgi.websocket'"),
    ];
    for (lines, answer, name, certain, shown) in cases {
        let origin = ScriptedOrigin::start(origin_that(answer).end_writes()).await;
        let inner = origin.address();
        let config =
            format!("server {{ listen LISTEN; location / {{ proxy_pass http://{inner}; {lines} }} }}");
        let Some(nginx) = nginx(&config) else { return };
        let examined = examine(&format!("--timeout 2s ws://{}/ ws://{inner}/", nginx.address)).await;
        assert_eq!(examined.found[0], [name], "{}", examined.text);
        assert_eq!(!examined.text.contains("probably"), certain, "{}", examined.text);
        examined.says(shown);
    }
}

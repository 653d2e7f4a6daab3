//! What else goes wrong in nginx: buffers, timeouts, locations, redirections, fields.

use switchover::test_util::{Script, ScriptedOrigin, switching_protocols};

use crate::examined::{closed_port, examine, examine_with, origin};
use crate::peer::nginx;

const UPGRADES: &str = "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection \"upgrade\"; proxy_set_header Host $http_host;";

/// The 502 of the first seed: the head of the answer is larger than 4 KiB, by its cookies.
#[tokio::test]
async fn a_response_head_larger_than_proxy_buffer_size() {
    let with_cookies = |head: &http::request::Parts| {
        let mut answer = String::from_utf8(switching_protocols(head)).expect("a head is text");
        answer.truncate(answer.len() - 2);
        let cookie = format!("Set-Cookie: session={}\r\n\r\n", "x".repeat(9000));
        (answer + &cookie).into_bytes()
    };
    // The first ping of eleven bytes, and its pong.
    let script = Script::new()
        .read_head()
        .answer(with_cookies)
        .read(11)
        .send(b"\x8a\x05first".to_vec())
        .echo();
    let origin = ScriptedOrigin::start(script).await;
    let config = format!(
        "server {{ listen LISTEN; {UPGRADES}
            location /default {{ proxy_pass http://{origin}; }}
            location /larger {{ proxy_pass http://{origin}; proxy_buffer_size 64k; proxy_buffers 8 64k; }} }}",
        origin = origin.address()
    );
    let Some(nginx) = nginx(&config) else { return };
    let examined = examine(&format!(
        "ws://{}/default ws://{}/",
        nginx.address,
        origin.address()
    ))
    .await;
    examined.finds(&[&["response-head-too-large", "bad-gateway"], &[]]);
    examined.says("proxy_buffer_size 64k;");
    let alone = examine(&format!("ws://{}/default", nginx.address)).await;
    alone.finds(&[&["bad-gateway"]]);
    alone.says("in HTTP/1.0: 502 Bad Gateway, nginx/");
    examine(&format!("ws://{}/larger", nginx.address))
        .await
        .finds(&[&[]]);
}

#[tokio::test]
async fn what_a_configuration_does_to_an_upgrade() {
    let origin = origin();
    let config = format!(
        "client_header_buffer_size 1k; large_client_header_buffers 2 1k;
        server {{ listen LISTEN; {UPGRADES}
            location /idle {{ proxy_pass http://{origin}; proxy_read_timeout 1s; }}
            location /slash/ {{ proxy_pass http://{origin}; }}
            location /prefix/ {{ proxy_pass http://{origin}/; }}
            location /tls {{ return 301 https://$host$request_uri; }}
            location /login {{ auth_basic realm; auth_basic_user_file /dev/null; proxy_pass http://{origin}; }}
            location /forbidden {{ add_header Access-Control-Allow-Origin * always; return 403; }}
            location /busy {{ return 503; }}
            location /down {{ proxy_pass http://{closed}; }}
            location /made-up {{ proxy_pass http://{origin}; proxy_http_version 1.1;
                proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection \"upgrade\";
                proxy_set_header Host $http_host; proxy_set_header Origin xxx; proxy_set_header Cookie ''; }} }}",
        origin = origin.address,
        closed = closed_port(),
    );
    let Some(nginx) = nginx(&config) else { return };
    let half = "half-close-ends";
    let cases: &[(&str, &str, &[&str])] = &[
        ("--idle 3s", "/idle", &["idle-timeout"]),
        ("", "/idle", &[half]),
        ("", "/slash", &["redirect-to-slash"]),
        ("", "/slash/", &[half]),
        ("", "/prefix/ws", &["path-changed", half]),
        ("", "/nowhere", &["not-found"]),
        ("", "/tls", &["redirect-to-tls"]),
        ("", "/login", &["unauthorized"]),
        ("", "/forbidden", &["forbidden", "cors-instead-of-origin"]),
        ("", "/busy", &["unavailable"]),
        ("", "/down", &["bad-gateway"]),
        (
            "--header Cookie:secret",
            "/made-up",
            &["origin-changed", "fields-lost", half],
        ),
    ];
    for (flags, path, expected) in cases {
        let url = format!("ws://{}{path}", nginx.address);
        let mut arguments: Vec<&str> = flags.split(' ').filter(|flag| !flag.is_empty()).collect();
        arguments.push(&url);
        let examined = examine_with(&arguments).await;
        examined.finds(&[expected]);
        if !expected.contains(&"idle-timeout") {
            examined.says("Server: nginx");
        }
        assert!(!examined.text.contains("secret"), "{}", examined.text);
    }
    let cookie = format!("Cookie: {}", "x".repeat(3000));
    let url = format!("ws://{}/idle", nginx.address);
    let examined = examine_with(&["--header", &cookie, &url]).await;
    examined.finds(&[&["request-head-too-large"]]);
    examined.says("large_client_header_buffers");
}

/// The difference of a hop, field by field.
#[tokio::test]
async fn what_was_lost_changed_and_added_is_reported() {
    let origin = origin();
    let config = format!(
        "server {{ listen LISTEN; location / {{ proxy_pass http://{}; {UPGRADES}
            proxy_set_header X-Real-IP $remote_addr; proxy_set_header User-Agent nginx;
            proxy_set_header X-Room ''; }} }}",
        origin.address
    );
    let Some(nginx) = nginx(&config) else { return };
    let url = format!("ws://{}/", nginx.address);
    let examined = examine_with(&["--header", "X-Room: 7", &url]).await;
    examined.finds(&[&["fields-lost", "fields-changed", "half-close-ends"]]);
    examined.says("lost:    x-room: 7");
    examined.says("changed: user-agent: nginx (was switchover-doctor)");
    examined.says("added:   x-real-ip: 127.0.0.1");
    origin.prints("127.0.0.1", 1);
}

/// A server of WebSocket alone that closes instead of an answer to anything else: nginx makes a 502 of it.
#[tokio::test]
async fn a_502_that_is_a_lost_upgrade() {
    let answer = |head: &http::request::Parts| match head.headers.contains_key("upgrade") {
        true => [switching_protocols(head), b"\x8a\x05first".to_vec()].concat(),
        false => Vec::new(),
    };
    let origin = ScriptedOrigin::start(Script::new().read_head().answer(answer).end_writes()).await;
    let origin = origin.address();
    let config = format!("server {{ listen LISTEN; location / {{ proxy_pass http://{origin}; }} }}");
    let Some(nginx) = nginx(&config) else { return };
    let examined = examine(&format!("ws://{}/ ws://{origin}/", nginx.address)).await;
    examined.finds(&[&["upgrade-lost", "bad-gateway"], &[]]);
}

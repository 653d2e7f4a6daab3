//! The program gateway as a process: its cap, and how it ends on a signal.
#![cfg(unix)]

use std::time::{Duration, Instant};

use switchover::test_util::{Script, ScriptedClient, ScriptedOrigin, TIMEOUT, UPGRADE_REQUEST};

use crate::program::{Program, refusal};
use crate::running_gateway::refused;

/// The demo, whose `/echo` is a WebSocket.
struct Gateway(Program);

impl Gateway {
    async fn start(arguments: &[&str]) -> Gateway {
        let arguments = [&["--listen", "127.0.0.1:0"], arguments].concat();
        Gateway(Program::start("gateway", &arguments).await)
    }

    /// A client that asks for the echo.
    async fn asking(&self) -> ScriptedClient {
        let mut client = self.0.client().await;
        client
            .send(UPGRADE_REQUEST.replacen("GET /chat ", "GET /echo ", 1))
            .await;
        client
    }

    /// Waits for the start of a drain.
    async fn listens_no_longer(&self) {
        let since = Instant::now();
        while tokio::net::TcpStream::connect(self.0.address).await.is_ok() {
            assert!(since.elapsed() < TIMEOUT, "it still listens");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn tunnel(&self) -> ScriptedClient {
        let mut client = self.asking().await;
        assert_eq!(client.head().await.status, 101);
        client
    }
}

/// A masked text frame with "hi" in it, and its echo.
const FRAME: [&[u8]; 2] = [b"\x81\x82\0\0\0\0hi", b"\x81\x02hi"];

#[tokio::test]
async fn tunnels_beyond_the_flag_are_503_on_all_workers_together() {
    for workers in ["1", "3"] {
        let gateway = Gateway::start(&["--max-tunnels", "2", "--workers", workers]).await;
        let (mut first, second) = (gateway.tunnel().await, gateway.tunnel().await);
        for _ in 0..6 {
            refused(&mut gateway.asking().await, 503).await;
        }
        first.send(FRAME[0]).await;
        first.receives(FRAME[1]).await;
        drop(second);
        let since = Instant::now();
        loop {
            let mut next = gateway.asking().await;
            if next.head().await.status == 101 {
                break;
            }
            assert!(since.elapsed() < TIMEOUT, "the place is not given back");
        }
    }
}

#[tokio::test]
async fn tunnels_of_one_client_beyond_the_flag_are_429() {
    let gateway = Gateway::start(&["--max-tunnels-per-client", "2"]).await;
    let open = [gateway.tunnel().await, gateway.tunnel().await];
    refused(&mut gateway.asking().await, 429).await;
    drop(open);
}

#[tokio::test]
async fn fields_and_routes_by_flags() {
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let other = ScriptedOrigin::start(Script::answering("HTTP/1.1 204 x\r\n\r\n")).await;
    let (origin_at, other_at) = (origin.address(), other.address());
    let gateway = Gateway::start(&[
        "--route",
        &format!("*.example.com/chat=ws://{origin_at}/live"),
        "--route",
        &format!("=/a=b=http://{other_at},http://{other_at}"),
        "--set-header",
        "X-Url: $scheme://$host$request_uri",
        "--set-header",
        "Host: fixed.example",
        "--set-header",
        "X-Gone:",
    ])
    .await;
    let host = "Host: a.Example.com:80\r\nX-Gone: 1\r\n";
    let mut client = gateway.0.client().await;
    client
        .send(UPGRADE_REQUEST.replacen("Host: example.com\r\n", host, 1))
        .await;
    assert_eq!(client.head().await.status, 101);
    let head = origin.connection(0).await.head().await;
    assert!(
        head.starts_with("GET /live HTTP/1.1\r\nHost: fixed.example\r\n"),
        "{head}"
    );
    assert!(
        head.contains("\r\nX-Url: http://a.example.com/chat\r\n") && !head.contains("X-Gone"),
        "{head}"
    );

    for (target, status) in [
        ("/a=b?c", 204),
        ("/a=bc", 404),
        ("/chat", 404),
        ("/x/..%2fa=b", 400),
    ] {
        let mut client = gateway.0.client().await;
        client
            .send(format!("GET {target} HTTP/1.1\r\nHost: other\r\n\r\n"))
            .await;
        assert_eq!(client.head().await.status, status, "{target}");
    }
    let head = other.connection(0).await.head().await;
    assert!(head.contains("\r\nX-Url: http://other/a=b?c\r\n"), "{head}");
}

#[tokio::test]
async fn flags_that_cannot_be_say_why() {
    for (flag, value, expected) in [
        (
            "--set-header",
            "Connection: upgrade",
            "Connection is set by the proxy",
        ),
        (
            "--set-header",
            "X-A: $remote_user",
            "there is no variable $remote_user; there are $args",
        ),
        ("--set-header", "Host: a b", "a Host is a host"),
        ("--set-header", "X-A", "a field is NAME: VALUE"),
        ("--route", "*.*/=http://a", "a wildcard is one whole label"),
        ("--route", "/a/../b=http://a", "no dot segments"),
        ("--route", "example.com=http://a", "[HOST]/PREFIX"),
        ("--route", "/=a", "[HOST]/PREFIX=URL"),
        ("--tunnel-mode", "frames", "expected stream or websocket"),
        ("--ping-interval", "20s", "needs --tunnel-mode websocket"),
        (
            "--max-frame-bytes",
            "1000",
            "--max-frame-bytes needs --tunnel-mode websocket",
        ),
        ("--max-messages-per-second", "10", "needs --tunnel-mode websocket"),
        ("--max-bytes-per-second", "10,x", "expected N or N,BURST"),
        ("--max-message-bytes", "0", "a whole number above zero"),
        ("--over-rate", "delay", "needs one of the limits per second"),
        ("--drain-close", "1012", "needs --tunnel-mode websocket"),
        ("--drain-close", "1006", "1006"),
        ("--max-fragments", "3", "needs --tunnel-mode websocket"),
        ("--max-control-frames-per-second", "0", "expected N or N,BURST"),
        ("--abnormal-close", "1013", "needs --tunnel-mode websocket"),
        ("--abnormal-close", "1005", "1005"),
        ("--abnormal-close-upstream", "never", "expected a code"),
        ("--limit-close", "none", "expected a code"),
        ("--over-rate", "drop", "expected close or delay"),
        ("--pong-timeout", "20s", "--pong-timeout needs --ping-interval"),
    ] {
        let output = refusal("gateway", &[flag, value]).await;
        let reported = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{reported}");
        assert!(reported.contains(expected), "{reported}");
        assert!(
            reported.contains(value) || reported.contains("needs"),
            "{reported}"
        );
    }
    let twice = refusal(
        "gateway",
        &["--route", "/a=http://one", "--route", "/%61=http://two"],
    )
    .await;
    let reported = String::from_utf8_lossy(&twice.stderr);
    assert_eq!(twice.status.code(), Some(2), "{reported}");
    assert!(
        reported.contains("/%61=http://two: /a has a route already"),
        "{reported}"
    );
}

#[tokio::test]
async fn asked_to_end_it_does_at_once_if_nothing_is_open() {
    for workers in ["1", "2"] {
        let mut gateway = Gateway::start(&["--workers", workers]).await;
        drop(gateway.tunnel().await);
        let mut silent = gateway.0.client().await;
        // Until it is accepted: what is not has nobody to close it in order. Whichever worker it came to has accepted it when it has
        // accepted one that came later.
        for _ in 0..16 {
            drop(gateway.tunnel().await);
        }
        let since = Instant::now();
        gateway.0.terminate().await;
        silent.ends().await;
        assert!(gateway.0.ends().await.success());
        assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
    }
}

#[tokio::test]
async fn asked_to_end_it_lets_tunnels_go_on_and_nobody_in() {
    let mut gateway = Gateway::start(&[]).await;
    let mut tunnel = gateway.tunnel().await;
    gateway.0.terminate().await;
    gateway.listens_no_longer().await;
    for _ in 0..3 {
        tunnel.send(FRAME[0]).await;
        tunnel.receives(FRAME[1]).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    drop(tunnel);
    assert!(gateway.0.ends().await.success());
}

#[tokio::test]
async fn asked_to_end_it_ends_its_tunnels_at_the_drain_timeout() {
    let mut gateway = Gateway::start(&["--drain-timeout", "500ms"]).await;
    let mut tunnel = gateway.tunnel().await;
    let since = Instant::now();
    gateway.0.terminate().await;
    tunnel.ends().await;
    assert!(since.elapsed() >= Duration::from_millis(500));
    drop(tunnel);
    assert!(gateway.0.ends().await.success());
    assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
}

#[tokio::test]
async fn asked_to_end_it_says_goodbye_in_websockets_words() {
    let flags = ["--tunnel-mode", "websocket", "--drain-timeout", "300ms"];
    for (more, close) in [
        (&[][..], &b"\x88\x0f\x03\xe9shutting down"[..]),
        (
            &["--drain-close", "1012 restarting"],
            b"\x88\x0c\x03\xf4restarting",
        ),
        (&["--drain-close", "1012"], b"\x88\x02\x03\xf4"),
    ] {
        let mut gateway = Gateway::start(&[&flags, more].concat()).await;
        let mut tunnel = gateway.tunnel().await;
        tunnel.send(FRAME[0]).await;
        tunnel.receives(FRAME[1]).await;
        gateway.0.terminate().await;
        tunnel.receives(close).await;
        // A Close of the client's own, masked: 1001.
        tunnel.send(b"\x88\x82\0\0\0\0\x03\xe9").await;
        tunnel.ends().await;
        assert!(gateway.0.ends().await.success());
    }
}

/// The Close that `client` has sent, unmasked.
async fn close_at(origin: &ScriptedOrigin) -> Vec<u8> {
    let connection = origin.connection(0).await;
    connection.end().await;
    let received = connection.received();
    let frame = received
        .windows(2)
        .position(|start| start[0] == 0x88 && start[1] >= 0x82)
        .map(|start| &received[start..])
        .expect("a Close with a code");
    let (mask, payload) = frame[2..].split_at(4);
    payload
        .iter()
        .zip(mask.iter().cycle())
        .map(|(byte, key)| byte ^ key)
        .collect()
}

#[tokio::test]
async fn a_client_whose_server_has_gone_is_sent_what_the_operator_wants() {
    let lost = b"\x88\x25\x03\xf3the server has gone without a Close";
    for (more, close) in [
        (&[][..], &lost[..]),
        (&["--abnormal-close", "1013 later"], b"\x88\x07\x03\xf5later"),
        (&["--abnormal-close", "none"], b""),
    ] {
        let origin = ScriptedOrigin::start(Script::new().read_head().switch().close()).await;
        let route = format!("--route=/=http://{}", origin.address());
        let gateway = Gateway::start(&[&["--tunnel-mode", "websocket", &route], more].concat()).await;
        let mut client = gateway.tunnel().await;
        client.receives(close).await;
        client.end_writes().await;
        client.ends().await;
    }
}

#[tokio::test]
async fn a_server_whose_client_has_gone_or_exceeds_a_limit_is_sent_what_the_operator_wants() {
    // Two frames that begin a message, and three pings.
    let fragments = b"\x01\x80\0\0\0\0\x00\x80\0\0\0\0";
    let pings = b"\x89\x80\0\0\0\0\x89\x80\0\0\0\0";
    let mode = ["--tunnel-mode", "websocket"];
    for (more, sent, close) in [
        (
            &["--abnormal-close-upstream", "1000 bye"][..],
            &b""[..],
            &b"\x03\xe8bye"[..],
        ),
        (
            &["--max-fragments", "1"],
            fragments,
            b"\x03\xe9the client exceeded a limit",
        ),
        (
            &[
                "--max-control-frames-per-second",
                "1",
                "--limit-close",
                "4000 over",
            ],
            pings,
            b"\x0f\xa0over",
        ),
    ] {
        let origin = ScriptedOrigin::start(Script::new().read_head().switch().read(1 << 20)).await;
        let route = format!("--route=/=http://{}", origin.address());
        let gateway = Gateway::start(&[&mode, &[route.as_str()][..], more].concat()).await;
        let mut client = gateway.tunnel().await;
        client.send(sent).await;
        client.end_writes().await;
        assert_eq!(close_at(&origin).await, close, "{more:?}");
    }
}

#[tokio::test]
async fn asked_twice_to_end_it_waits_for_nobodys_goodbye() {
    let mut gateway = Gateway::start(&["--tunnel-mode", "websocket"]).await;
    // This one does not answer a Close, and the half-close timeout is half a minute.
    let mut tunnel = gateway.tunnel().await;
    let since = Instant::now();
    gateway.0.terminate().await;
    while tokio::net::TcpStream::connect(gateway.0.address).await.is_ok() {
        assert!(since.elapsed() < TIMEOUT, "it still listens");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    gateway.0.terminate().await;
    tunnel.receives(b"\x88\x0f\x03\xe9shutting down").await;
    assert!(gateway.0.ends().await.success());
    assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
}

#[tokio::test]
async fn rules_know_the_port_and_the_upstream() {
    let script = || {
        Script::new()
            .read_head()
            .send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            .read_head()
            .send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    };
    let origin = ScriptedOrigin::start(script()).await;
    let there = origin.address();
    let gateway = Gateway::start(&[
        "--route",
        &format!("/=http://{there},http://localhost:1;backup"),
        "--set-header",
        "X-Port: $server_port",
        "--set-header",
        "Host: $proxy_host",
    ])
    .await;
    let here = gateway.0.address.port();
    let requests = ["GET / HTTP/1.1\r\nHost: a\r\n\r\n", UPGRADE_REQUEST];
    for (index, request) in requests.into_iter().enumerate() {
        let mut client = gateway.0.client().await;
        client.send(request).await;
        assert_eq!(client.head().await.status, 200);
        let head = match index {
            0 => origin.connection(0).await.head().await,
            // The one that was kept is not for an upgrade.
            _ => origin.connection(1).await.head().await,
        };
        assert!(head.contains(&format!("\r\nHost: {there}\r\n")), "{head}");
        assert!(head.contains(&format!("\r\nX-Port: {here}\r\n")), "{head}");
    }
    // Without a rule, where a request has none.
    let origin = ScriptedOrigin::start(script()).await;
    let there = origin.address();
    let gateway = Gateway::start(&["--route", &format!("/=http://{there}")]).await;
    let mut client = gateway.0.client().await;
    client.send("GET / HTTP/1.0\r\n\r\n").await;
    assert_eq!(client.head().await.status, 200);
    let head = origin.connection(0).await.head().await;
    assert!(head.contains(&format!("\r\nHost: {there}\r\n")), "{head}");
}

#[tokio::test]
async fn asked_to_end_it_says_so_to_clients_that_keep_their_connections() {
    let script = || {
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        let script = Script::new().read_head().send(answer);
        script.read_head().read(1).send(answer)
    };
    let origin = ScriptedOrigin::start(script()).await;
    let route = format!("/=http://{}", origin.address());
    let mut gateway = Gateway::start(&["--route", &route]).await;
    let mut client = gateway.0.client().await;
    let post = |length: usize| format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
    client.send(post(0)).await;
    let (head, _) = client.response().await;
    assert!(!head.headers.contains_key("connection"), "{head:?}");
    client.send(post(1)).await;
    let connection = origin.connection(0).await;
    let since = Instant::now();
    while connection.requests() < 2 {
        assert!(since.elapsed() < TIMEOUT, "the second request has not come");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    gateway.0.terminate().await;
    gateway.listens_no_longer().await;
    // Its answer comes after the signal.
    client.send("x").await;
    let (head, _) = client.response().await;
    assert_eq!(
        (head.status.as_u16(), &head.headers["connection"]),
        (200, &"close".parse().unwrap())
    );
    client.ends().await;
    drop(client);
    assert!(gateway.0.ends().await.success());
}

#[tokio::test]
async fn the_handshake_timeout_is_for_all_requests_and_the_read_timeout_for_bodies() {
    let half = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhi";
    for (flags, script, status) in [
        (
            ["--handshake-timeout=300ms", "--read-timeout=1m"],
            Script::new().read_head().read(1),
            504,
        ),
        (
            ["--handshake-timeout=1m", "--read-timeout=300ms"],
            Script::new().read_head().send(half).read(1),
            200,
        ),
    ] {
        let origin = ScriptedOrigin::start(script).await;
        let route = format!("--route=/=http://{}", origin.address());
        let gateway = Gateway::start(&[&route, flags[0], flags[1]]).await;
        let mut client = gateway.0.client().await;
        client
            .send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            .await;
        assert_eq!(client.head().await.status, status, "{flags:?}");
        match status {
            504 => drop(client.rest().await),
            _ => drop(client.rest_until_reset().await),
        }
    }
}

#[tokio::test]
async fn each_signal_that_asks_it_to_end_starts_the_drain() {
    for signal in ["-TERM", "-INT", "-QUIT"] {
        let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
        let route = format!("--route=/=http://{}", origin.address());
        let mut program = Program::start("gateway", &["--listen=127.0.0.1:0", &route]).await;
        let mut client = program.client().await;
        client.send(UPGRADE_REQUEST).await;
        assert_eq!(client.head().await.status, 101, "{signal}");
        program.signal(signal).await;
        client.send("still").await;
        client.receives(b"still").await;
        client.end_writes().await;
        client.ends().await;
        assert!(program.ends().await.success(), "{signal}");
    }
}

//! The program gateway as a load balancer sees it: `--health`, and what it says before, in and after a drain.
#![cfg(unix)]

use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use serde_json::Value;
use switchover::test_util::{Script, ScriptedClient, ScriptedOrigin, TIMEOUT, UPGRADE_REQUEST};
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::program::{Program, refusal};

/// A port that was free a moment ago, on an address that no other process of tests takes one from.
pub(crate) fn free_address() -> SocketAddr {
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    let listener = TcpListener::bind(SocketAddr::from(([127, 128 + high % 64, middle, low], 0))).unwrap();
    listener.local_addr().unwrap()
}

/// The status and the text of an answer.
pub(crate) async fn get(health: SocketAddr, path: &str) -> (u16, String) {
    ask(health, "GET", path).await
}

async fn ask(health: SocketAddr, method: &str, path: &str) -> (u16, String) {
    let mut client = ScriptedClient::connect(health).await;
    client
        .send(format!("{method} {path} HTTP/1.1\r\nHost: probe\r\n\r\n"))
        .await;
    let (head, text) = client.response().await;
    (head.status.as_u16(), String::from_utf8(text).unwrap())
}

/// Asks until the answer has this status.
pub(crate) async fn becomes(health: SocketAddr, path: &str, status: u16) {
    let since = Instant::now();
    while get(health, path).await.0 != status {
        assert!(since.elapsed() < TIMEOUT, "{path} does not become {status}");
        sleep(Duration::from_millis(5)).await;
    }
}

struct Gateway {
    program: Program,
    health: SocketAddr,
    origin: ScriptedOrigin,
}

impl Gateway {
    async fn start(arguments: &[&str]) -> Gateway {
        let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
        let health = free_address();
        let own = [
            "--listen=127.0.0.1:0".to_owned(),
            format!("--health={health}"),
            format!("--route=/chat=http://{}", origin.address()),
            "--route=/gone=http://127.0.0.1:1;weight=3,http://127.0.0.1:2;max-tunnels=7;backup".to_owned(),
        ];
        let all: Vec<&str> = own
            .iter()
            .map(String::as_str)
            .chain(arguments.iter().copied())
            .collect();
        let program = Program::start("gateway", &all).await;
        Gateway {
            program,
            health,
            origin,
        }
    }

    async fn upgrade(&self, target: &str) -> (u16, ScriptedClient) {
        let mut client = self.program.client().await;
        client.send(UPGRADE_REQUEST.replacen("/chat", target, 1)).await;
        (client.head().await.status.as_u16(), client)
    }

    async fn status(&self) -> Value {
        let (status, text) = get(self.health, "/status").await;
        assert_eq!(status, 200);
        serde_json::from_str(&text).unwrap()
    }
}

#[tokio::test]
async fn what_there_is_to_ask() {
    let gateway = Gateway::start(&[]).await;
    for (method, path, status, text) in [
        ("GET", "/live", 200, "live\n"),
        ("GET", "/ready", 200, "ready\n"),
        ("GET", "/ready?verbose=1", 200, "ready\n"),
        ("HEAD", "/ready", 200, ""),
        ("POST", "/ready", 405, "GET or HEAD\n"),
        ("GET", "/", 404, "/live, /ready or /status\n"),
    ] {
        // A HEAD has a length and no body: what is read is what comes.
        let mut client = ScriptedClient::connect(gateway.health).await;
        client
            .send(format!("{method} {path} HTTP/1.1\r\nHost: probe\r\n\r\n"))
            .await;
        assert_eq!(client.head().await.status, status, "{method} {path}");
        assert_eq!(client.rest().await, text.as_bytes(), "{method} {path}");
    }
    let mut client = ScriptedClient::connect(gateway.health).await;
    client.send(UPGRADE_REQUEST).await;
    let (head, _) = client.response().await;
    assert!(
        head.status.is_client_error() || head.status.is_server_error(),
        "{head:?}"
    );
}

#[tokio::test]
async fn whoever_only_holds_connections_keeps_out_no_probe() {
    let gateway = Gateway::start(&[]).await;
    let mut held = Vec::new();
    for _ in 0..300 {
        let mut client = ScriptedClient::connect(gateway.health).await;
        client.send("GET /live HTTP/1.1\r\n").await;
        held.push(client);
    }
    assert_eq!(get(gateway.health, "/live").await.0, 200);
    held.swap_remove(0).ends().await;
}

#[tokio::test]
async fn the_status_tells_of_every_server() {
    let gateway = Gateway::start(&[]).await;
    let (status, tunnel) = gateway.upgrade("/chat").await;
    assert_eq!(status, 101);
    assert_eq!(gateway.upgrade("/gone").await.0, 502);
    let reported = gateway.status().await;
    assert_eq!(reported["state"], "serving");
    let server =
        |route: usize, server: usize, key: &str| reported["routes"][route]["servers"][server][key].clone();
    assert_eq!(reported["routes"][0]["route"], "/chat");
    assert_eq!(server(0, 0, "name"), gateway.origin.address().to_string());
    assert_eq!(
        (server(0, 0, "tunnels"), server(0, 0, "health")),
        (1.into(), "healthy".into())
    );
    assert_eq!(
        (server(1, 0, "health"), server(1, 0, "failed")),
        ("ejected".into(), 1.into())
    );
    assert_eq!(
        (server(1, 0, "weight"), server(1, 1, "backup")),
        (3.into(), true.into())
    );
    assert_eq!(server(1, 1, "max_tunnels"), 7);
    assert!(
        server(1, 0, "out_for_seconds")
            .as_u64()
            .is_some_and(|left| left < 30)
    );

    drop(tunnel);
    let since = Instant::now();
    while gateway.status().await["routes"][0]["servers"][0]["tunnels"] != 0 {
        assert!(since.elapsed() < TIMEOUT, "the tunnel is still counted");
    }
}

#[tokio::test]
async fn a_drain_is_told_before_it_starts_and_to_its_end() {
    for workers in ["1", "2"] {
        let mut gateway =
            Gateway::start(&["--drain-delay=1500ms", "--drain-timeout=1m", "--workers", workers]).await;
        let (_, mut tunnel) = gateway.upgrade("/chat").await;
        gateway.program.terminate().await;
        becomes(gateway.health, "/ready", 503).await;
        // A client that has not learned of it is still served.
        let (status, late) = gateway.upgrade("/chat").await;
        assert_eq!(status, 101);
        let since = Instant::now();
        while TcpStream::connect(gateway.program.address).await.is_ok() {
            assert!(since.elapsed() < TIMEOUT, "the listener does not close");
            sleep(Duration::from_millis(5)).await;
        }
        tunnel.send("still here").await;
        tunnel.receives(b"still here").await;
        assert_eq!(get(gateway.health, "/live").await.0, 200);
        assert_eq!(
            get(gateway.health, "/ready").await,
            (503, "draining\n".to_owned())
        );
        assert_eq!(gateway.status().await["state"], "draining");
        drop((tunnel, late));
        assert!(gateway.program.ends().await.success());
    }
}

#[tokio::test]
async fn a_second_signal_ends_it_also_before_the_drain_has_started() {
    let mut gateway = Gateway::start(&["--drain-delay=10m", "--drain-timeout=10m"]).await;
    let (_, mut tunnel) = gateway.upgrade("/chat").await;
    gateway.program.terminate().await;
    becomes(gateway.health, "/ready", 503).await;
    gateway.program.terminate().await;
    tunnel.ends().await;
    assert!(gateway.program.ends().await.success());
}

#[tokio::test]
async fn tunnels_end_one_after_the_other() {
    let gateway = Gateway::start(&["--drain-timeout=900ms", "--drain-spread=800ms"]).await;
    let mut tunnels = Vec::new();
    for _ in 0..5 {
        tunnels.push(gateway.upgrade("/chat").await.1);
    }
    gateway.program.terminate().await;
    let mut ends = tokio::task::JoinSet::new();
    for mut tunnel in tunnels {
        ends.spawn(async move {
            tunnel.ends().await;
            Instant::now()
        });
    }
    let ends = ends.join_all().await;
    let between = *ends.iter().max().unwrap() - *ends.iter().min().unwrap();
    assert!(
        between > Duration::from_millis(300),
        "{between:?} lie between them"
    );
}

#[tokio::test]
async fn each_address_of_a_name_is_a_server() {
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let (health, port) = (free_address(), origin.address().port());
    let program = Program::start(
        "gateway",
        &[
            "--listen=127.0.0.1:0",
            &format!("--health={health}"),
            &format!("--route=/=http://localhost:{port};resolve=1s;weight=2"),
        ],
    )
    .await;
    for _ in 0..3 {
        let mut client = program.client().await;
        client.send(UPGRADE_REQUEST).await;
        assert_eq!(client.head().await.status, 101);
    }
    let reported: Value = serde_json::from_str(&get(health, "/status").await.1).unwrap();
    let servers = reported["routes"][0]["servers"].as_array().unwrap();
    let there = servers
        .iter()
        .find(|server| server["name"] == format!("127.0.0.1:{port}"))
        .unwrap_or_else(|| panic!("{reported}"));
    assert_eq!((&there["weight"], &there["tried"]), (&2.into(), &3.into()));
}

#[tokio::test]
async fn flags_that_do_not_go_together() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = format!("--health={}", taken.local_addr().unwrap());
    for (flags, code, expected) in [
        (
            &["--drain-timeout=1s", "--drain-spread=2s"][..],
            2,
            "a part of --drain-timeout",
        ),
        (&["--drain-delay=soon"], 2, "expected a duration"),
        (
            &["--route=/=http://a;resolve=0s"],
            2,
            "expected a duration above zero",
        ),
        (&["--listen=127.0.0.1:0", &taken], 1, "--health 127.0.0.1"),
    ] {
        let output = refusal("gateway", flags).await;
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{flags:?}: {text}");
        assert!(text.contains(expected), "{flags:?}: {text}");
    }
}

//! Every wait ends at its deadline, on the side that was slow, and holds up nobody else.

use std::time::{Duration, Instant};

use switchover::connect::{Connect, ConnectError, ConnectRequest};
use switchover::gateway::{GatewayConfig, Outcome};
use switchover::handshake::Rejection;
use switchover::test_util::{Script, ScriptedOrigin, UPGRADE_REQUEST};
use tokio::net::TcpStream;

use crate::running_gateway::{RunningGateway, refused};

const SHORT: Duration = Duration::from_millis(200);

/// A connector that never gets an answer.
pub(crate) struct NeverConnects;

impl Connect for NeverConnects {
    type Stream = TcpStream;

    async fn connect(&self, _request: ConnectRequest<'_>) -> Result<TcpStream, ConnectError> {
        std::future::pending().await
    }
}

#[tokio::test]
async fn a_head_that_does_not_end() {
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let mut gateway = RunningGateway::with(GatewayConfig::default().header_timeout(SHORT), &origin).await;
    for begun in ["G", "\r\nG", &UPGRADE_REQUEST[..UPGRADE_REQUEST.len() - 1]] {
        let mut client = gateway.client_sending(begun).await;
        refused(&mut client, 408).await;
        drop(client);
        let served = gateway.served().await;
        assert!(
            matches!(served, Ok(Outcome::Rejected(Rejection::HeadTimeout))),
            "{begun:?}: {served:?}"
        );
    }
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn a_head_that_drips() {
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let gateway = RunningGateway::with(GatewayConfig::default().header_timeout(SHORT), &origin).await;
    let mut client = gateway.client().await;
    // All of it, in several times the deadline: where bytes re-armed that, this would be an upgrade.
    let started = Instant::now();
    for byte in UPGRADE_REQUEST.as_bytes().chunks(1) {
        tokio::time::sleep(Duration::from_millis(10)).await;
        if client.try_send(byte).await.is_err() {
            break;
        }
    }
    assert!(started.elapsed() > SHORT * 2);
    assert_eq!(client.head().await.status, 408);
    assert_eq!(origin.connections(), 0, "no byte re-arms the deadline");
}

#[tokio::test]
async fn a_client_that_says_nothing_hears_nothing() {
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let mut gateway = RunningGateway::with(GatewayConfig::default().header_timeout(SHORT), &origin).await;
    let mut client = gateway.client().await;
    client.ends().await;
    assert!(matches!(gateway.served().await, Ok(Outcome::Closed)));
}

#[tokio::test]
async fn slow_heads_hold_up_nobody() {
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let gateway = RunningGateway::to(&origin).await;
    let mut slow = Vec::new();
    for _ in 0..50 {
        slow.push(gateway.client_sending("GET / HTTP/1.1\r\n").await);
    }
    let started = Instant::now();
    let mut client = gateway.client_sending(UPGRADE_REQUEST).await;
    assert_eq!(client.head().await.status, 101);
    // Long before the deadline of those heads.
    assert!(started.elapsed() < Duration::from_secs(8));
}

#[tokio::test]
async fn an_upstream_that_does_not_accept() {
    let config = GatewayConfig::default().connect_timeout(SHORT);
    let mut gateway = RunningGateway::connecting(config, NeverConnects).await;
    let mut client = gateway.client_sending(UPGRADE_REQUEST).await;
    let text = refused(&mut client, 504).await;
    assert!(text.contains("200ms"), "names the limit: {text:?}");
    drop(client);
    assert_eq!(gateway.failed().await.0, "connect upstream");
}

#[tokio::test]
async fn an_upstream_that_accepts_and_is_silent() {
    let silent = Script::new();
    let begun = Script::answering("HTTP/1.1 101 Switching");
    let dripping = Script::new()
        .read_head()
        .send_in_pieces(format!("HTTP/1.1 200 {}", "x".repeat(2_000)), 1);
    let hinting = Script::answering("HTTP/1.1 103 x\r\n\r\n")
        .pause(SHORT / 2)
        .send("HTTP/1.1 103 x\r\n\r\n");
    for script in [silent, begun, dripping, hinting] {
        let described = format!("{script:?}");
        let origin = ScriptedOrigin::start(script).await;
        let config = GatewayConfig::default().handshake_timeout(SHORT);
        let mut gateway = RunningGateway::with(config, &origin).await;
        let started = Instant::now();
        let mut client = gateway.client_sending(UPGRADE_REQUEST).await;
        let status = loop {
            let head = client.head().await;
            if !head.status.is_informational() {
                break head.status;
            }
        };
        assert_eq!(status, 504, "{described}");
        assert!(started.elapsed() < Duration::from_secs(8), "{described}");
        drop(client);
        let (place, text) = gateway.failed().await;
        assert!(
            place.ends_with("upstream") && text.contains("200ms"),
            "{described}: {place} {text}"
        );
        origin.connection(0).await.end().await;
    }
}

#[tokio::test]
async fn the_handshake_deadline_is_disarmed_at_the_101() {
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    // Long enough for the handshake on a busy machine.
    let limit = Duration::from_secs(1);
    let config = GatewayConfig::default()
        .handshake_timeout(limit)
        .header_timeout(limit)
        .connect_timeout(limit)
        .read_timeout(limit)
        .send_timeout(limit);
    let gateway = RunningGateway::with(config, &origin).await;
    let mut client = gateway.client_sending(UPGRADE_REQUEST).await;
    assert_eq!(client.head().await.status, 101);
    client.receives_nothing_for(limit * 3 / 2).await;
    client.send(b"still there").await;
    client.receives(b"still there").await;
}

#[tokio::test]
async fn a_client_that_does_not_take_its_answer() {
    let body = vec![b'x'; 32 * 1024 * 1024];
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    let origin = ScriptedOrigin::start(Script::answering([head.as_bytes(), &body].concat())).await;
    let mut gateway = RunningGateway::with(GatewayConfig::default().send_timeout(SHORT), &origin).await;
    let client = gateway.client_sending(UPGRADE_REQUEST).await;
    assert_eq!(gateway.failed().await.0, "response downstream");
    drop(client);
    origin.connection(0).await.end().await;
}

/// RFC 9112, section 2.2: an empty line before a request is none of it. Some clients send one behind a body.
#[tokio::test]
async fn empty_lines_are_no_request() {
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let mut gateway = RunningGateway::with(GatewayConfig::default().header_timeout(SHORT), &origin).await;
    for lines in ["\r\n", "\r\n\r\n", "\r\n\r"] {
        // Until the deadline, and until the client leaves.
        for leaves in [false, true] {
            let mut client = gateway.client().await;
            client.send_byte_by_byte(lines).await;
            if leaves {
                client.end_writes().await;
            }
            client.ends().await;
            let served = gateway.served().await;
            assert!(matches!(served, Ok(Outcome::Closed)), "{lines:?}: {served:?}");
        }
    }
    let gateway = RunningGateway::to(&origin).await;
    let mut client = gateway.client().await;
    client
        .send_byte_by_byte(format!("\r\n\r\n{UPGRADE_REQUEST}"))
        .await;
    assert_eq!(client.head().await.status, 101);
}

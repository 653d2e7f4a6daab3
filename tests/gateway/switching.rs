//! A switch: everything after the heads is carried, both ways, wherever the segments end.

use std::time::Duration;

use switchover::gateway::Outcome;
use switchover::test_util::{Ended, Script, ScriptedOrigin, UPGRADE_REQUEST, switching_protocols};

use crate::running_gateway::RunningGateway;

/// A masked text frame as a client sends it, and an unmasked one as an origin does.
const CLIENT_FRAME: &[u8] = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
const ORIGIN_FRAME: &[u8] = b"\x81\x05hello";

#[tokio::test]
async fn frames_both_ways() {
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let mut gateway = RunningGateway::to(&origin).await;
    let mut client = gateway.client_sending(UPGRADE_REQUEST).await;

    let head = client.head().await;
    assert_eq!(
        (head.status.as_u16(), &head.headers["upgrade"]),
        (101, &"websocket".parse().unwrap())
    );
    assert_eq!(
        head.headers["sec-websocket-accept"],
        "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    );
    for _ in 0..100 {
        client.send(CLIENT_FRAME).await;
        client.receives(CLIENT_FRAME).await;
    }
    client.end_writes().await;
    client.ends().await;
    let Ok(Outcome::Tunnelled { protocol, traffic }) = gateway.served().await else {
        panic!("not tunnelled")
    };
    let carried = 100 * CLIENT_FRAME.len() as u64;
    assert_eq!(protocol.to_string(), "websocket");
    assert_eq!(
        (traffic.from_downstream(), traffic.from_upstream()),
        (carried, carried)
    );
}

#[tokio::test]
async fn the_head_that_goes_upstream() {
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let gateway = RunningGateway::to(&origin).await;
    let mut client = gateway.client_sending(UPGRADE_REQUEST).await;
    assert_eq!(client.head().await.status, 101);
    let head = origin.connection(0).await.head().await;
    assert_eq!(
        head,
        "GET /chat HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
         X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: example.com\r\n\
         X-Real-IP: 127.0.0.1\r\nForwarded: for=127.0.0.1;host=example.com;proto=http\r\n\
         Via: 1.1 switchover\r\n\r\n"
    );
}

#[tokio::test]
async fn a_segment_of_the_client_ends_at_every_offset_of_head_and_frame() {
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let gateway = RunningGateway::to(&origin).await;
    let bytes = [UPGRADE_REQUEST.as_bytes(), CLIENT_FRAME, b"more"].concat();
    for offset in 0..=bytes.len() {
        let mut client = gateway.client().await;
        client.send_split_at(&bytes, offset).await;
        assert_eq!(client.head().await.status, 101, "split at {offset}");
        client.receives(CLIENT_FRAME).await;
        client.receives(b"more").await;
        client.end_writes().await;
        client.ends().await;
    }
}

#[tokio::test]
async fn a_segment_of_the_origin_ends_at_every_offset_of_head_and_frame() {
    let answer = |request: &http::request::Parts| [&switching_protocols(request), ORIGIN_FRAME].concat();
    let length = 140 + ORIGIN_FRAME.len();
    let origin = ScriptedOrigin::start_with(move |offset| {
        Script::new().read_head().answer_split_at(offset, answer).echo()
    })
    .await;
    let gateway = RunningGateway::to(&origin).await;
    for offset in 0..=length {
        let mut client = gateway.client_sending(UPGRADE_REQUEST).await;
        assert_eq!(client.head().await.status, 101, "split at {offset}");
        client.receives(ORIGIN_FRAME).await;
        client.send(CLIENT_FRAME).await;
        client.receives(CLIENT_FRAME).await;
        client.end_writes().await;
        client.ends().await;
    }
}

#[tokio::test]
async fn a_head_that_comes_byte_by_byte_from_both_sides() {
    let origin = ScriptedOrigin::start_with(|_| {
        let accept = "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                      Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
        Script::new()
            .read_head()
            .send_in_pieces([accept.as_bytes(), ORIGIN_FRAME].concat(), 1)
    })
    .await;
    let gateway = RunningGateway::to(&origin).await;
    let mut client = gateway.client().await;
    client.send_byte_by_byte(UPGRADE_REQUEST).await;
    assert_eq!(client.head().await.status, 101);
    client.receives(ORIGIN_FRAME).await;
}

#[tokio::test]
async fn an_origin_that_answers_before_the_client_says_more_and_closes() {
    let answer = |request: &http::request::Parts| [&switching_protocols(request), ORIGIN_FRAME].concat();
    let origin = ScriptedOrigin::start(Script::new().read_head().answer(answer).close()).await;
    let gateway = RunningGateway::to(&origin).await;
    for _ in 0..100 {
        let mut client = gateway.client_sending(UPGRADE_REQUEST).await;
        assert_eq!(client.head().await.status, 101);
        client.receives(ORIGIN_FRAME).await;
        client.ends().await;
    }
}

#[tokio::test]
async fn the_client_ends_its_writes_and_the_origin_answers_later() {
    let script = Script::new()
        .read_head()
        .switch()
        .read(4)
        .pause(Duration::from_millis(300));
    let origin = ScriptedOrigin::start(script.send("late").close()).await;
    let gateway = RunningGateway::to(&origin).await;
    let mut client = gateway.client_sending(UPGRADE_REQUEST).await;
    assert_eq!(client.head().await.status, 101);
    client.send(b"last").await;
    client.end_writes().await;
    client.receives(b"late").await;
    client.ends().await;
}

#[tokio::test]
async fn the_origin_ends_its_writes_and_the_client_answers_later() {
    let origin = ScriptedOrigin::start(Script::new().read_head().switch().send("last").end_writes()).await;
    let gateway = RunningGateway::to(&origin).await;
    let mut client = gateway.client_sending(UPGRADE_REQUEST).await;
    assert_eq!(client.head().await.status, 101);
    client.receives(b"last").await;
    client.ends().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    client.send(b"late").await;
    let connection = origin.connection(0).await;
    connection.receives(b"late").await;
    drop(client);
    assert_eq!(connection.end().await, Ended::InOrder);
}

#[tokio::test]
async fn no_response_follows_a_switch_that_breaks() {
    for script in [
        Script::new().read_head().switch().reset(),
        Script::new().read_head().switch().close(),
        Script::new()
            .read_head()
            .switch()
            .send("HTT")
            .pause(Duration::from_millis(20))
            .reset(),
    ] {
        let cut = format!("{script:?}").contains("Reset");
        let origin = ScriptedOrigin::start(script).await;
        let gateway = RunningGateway::to(&origin).await;
        let mut client = gateway.client_sending(UPGRADE_REQUEST).await;
        assert_eq!(client.head().await.status, 101);
        let rest = if cut {
            client.rest_until_reset().await
        } else {
            client.rest().await
        };
        assert!(rest.is_empty() || rest == b"HTT", "{}", rest.escape_ascii());
    }
}

#[tokio::test]
async fn another_protocol_that_the_policy_allows() {
    let answer = "HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: echo/2\r\n\r\n";
    let origin = ScriptedOrigin::start(Script::answering(answer).echo()).await;
    let policy = switchover::handshake::HandshakePolicy::default().allow("echo/2".parse().unwrap());
    let config = switchover::gateway::GatewayConfig::default().policy(policy);
    let gateway = RunningGateway::with(config, &origin).await;
    let request = "OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c, echo/2\r\n\r\n";
    let mut client = gateway.client_sending(request).await;
    assert_eq!(client.head().await.headers["upgrade"], "echo/2");
    client.send(b"\0\x01\xff").await;
    client.receives(b"\0\x01\xff").await;
    let head = origin.connection(0).await.head().await;
    assert!(
        head.starts_with("OPTIONS * HTTP/1.1\r\n") && head.contains("Upgrade: echo/2\r\n"),
        "{head:?}"
    );
}

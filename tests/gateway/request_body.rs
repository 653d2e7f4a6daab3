//! An upgrade request with a body: refused in a WebSocket handshake, or forwarded as it is framed: for other protocols, and
//! where the policy says so.

use std::time::Duration;

use support::bounded::{TIMEOUT, received_while_sending};
use switchover::gateway::{GatewayConfig, Outcome};
use switchover::handshake::{HandshakePolicy, Rejection};
use switchover::test_util::{Script, ScriptedOrigin, UPGRADE_REQUEST};

use crate::running_gateway::{RunningGateway, refused};

const CHUNKS: &str = "5;a=b\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n";

/// The good request with more field lines.
fn request_with(lines: &str) -> String {
    UPGRADE_REQUEST.replacen("Host", &format!("{lines}Host"), 1)
}

fn allowing_bodies() -> GatewayConfig {
    GatewayConfig::default().policy(HandshakePolicy::default().allow_request_body(true))
}

#[tokio::test]
async fn bodies_of_websocket_handshakes_are_refused_by_default() {
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let mut gateway = RunningGateway::to(&origin).await;
    for request in [
        format!("{}hello", request_with("Content-Length: 5\r\n")),
        format!("{}{CHUNKS}", request_with("Transfer-Encoding: chunked\r\n")),
        request_with("Content-Length: 5\r\nExpect: 100-continue\r\n"),
    ] {
        let mut client = gateway.client_sending(request).await;
        refused(&mut client, 400).await;
        drop(client);
        assert!(matches!(
            gateway.served().await,
            Ok(Outcome::Rejected(Rejection::Body))
        ));
    }
    assert_eq!(origin.connections(), 0);
}

/// What `docker exec` sends, and what its daemon answers.
#[tokio::test]
async fn a_post_with_a_body_that_switches_to_another_protocol() {
    const SWITCH: &str = "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\n\
        Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n";
    let tcp = || GatewayConfig::default().policy(HandshakePolicy::default().allow("tcp".parse().unwrap()));
    let any = || GatewayConfig::default().policy(HandshakePolicy::any_protocol());
    for (config, lines, expects, body) in [
        (tcp(), "", "", ""),
        (tcp(), "Content-Length: 5\r\n", "", "hello"),
        (tcp(), "Transfer-Encoding: chunked\r\n", "", CHUNKS),
        (
            tcp(),
            "Content-Length: 5\r\n",
            "Expect: 100-continue\r\n",
            "hello",
        ),
        (
            any(),
            "Transfer-Encoding: chunked\r\n",
            "Expect: 100-continue\r\n",
            CHUNKS,
        ),
    ] {
        // The upstream switches when it has the whole body, and the tunnel echoes.
        let origin =
            ScriptedOrigin::start(Script::new().read_head().read(body.len()).send(SWITCH).echo()).await;
        let gateway = RunningGateway::with(config, &origin).await;
        let head = format!(
            "POST /exec/0/start HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n{lines}{expects}\r\n"
        );
        let mut client = gateway.client_sending(head).await;
        if !expects.is_empty() {
            assert_eq!(client.head().await.status, 100, "{lines}");
        }
        let connection = origin.connection(0).await;
        let forwarded = connection.head().await;
        assert!(
            forwarded.starts_with("POST /exec/0/start HTTP/1.1\r\n"),
            "{forwarded}"
        );
        assert!(forwarded.contains(lines), "{forwarded}");
        for byte in body.as_bytes() {
            client.send([*byte]).await;
        }
        assert_eq!(client.head().await.status, 101, "{lines}");
        client.send("ls\n").await;
        client.receives(b"ls\n").await;
        assert_eq!(connection.received(), format!("{forwarded}{body}ls\n").as_bytes());
    }
}

#[tokio::test]
async fn a_body_is_forwarded_as_it_is_framed_and_the_tunnel_starts_after_it() {
    for (lines, body) in [
        ("Content-Length: 5\r\n", "hello"),
        ("Transfer-Encoding: chunked\r\n", CHUNKS),
    ] {
        let script = Script::new()
            .read_head()
            .read(body.len())
            .pause(Duration::from_millis(30))
            .switch()
            .echo();
        let origin = ScriptedOrigin::start(script).await;
        let gateway = RunningGateway::with(allowing_bodies(), &origin).await;
        let bytes = format!("{}{body}frame", request_with(lines));
        let mut client = gateway.client().await;
        client.send_split_at(bytes.as_bytes(), bytes.len() - 7).await;

        let connection = origin.connection(0).await;
        let head = connection.head().await;
        assert!(head.contains(lines), "{head:?}");
        connection.receives(format!("{head}{body}").as_bytes()).await;
        assert_eq!(client.head().await.status, 101);
        client.receives(b"frame").await;
        assert_eq!(connection.received(), format!("{head}{body}frame").as_bytes());
    }
}

#[tokio::test]
async fn a_segment_ends_at_every_offset_of_a_chunked_body() {
    let script = Script::new().read_head().read(CHUNKS.len()).switch().echo();
    let origin = ScriptedOrigin::start(script).await;
    let gateway = RunningGateway::with(allowing_bodies(), &origin).await;
    let head = request_with("Transfer-Encoding: chunked\r\n");
    let bytes = format!("{head}{CHUNKS}frame");
    for offset in head.len()..bytes.len() {
        let mut client = gateway.client().await;
        client.send_split_at(bytes.as_bytes(), offset).await;
        assert_eq!(client.head().await.status, 101, "split at {offset}");
        client.receives(b"frame").await;
        client.end_writes().await;
        client.ends().await;
    }
}

#[tokio::test]
async fn a_client_that_expects_100_gets_it_from_the_proxy() {
    let script = Script::new()
        .read_head()
        .send("HTTP/1.1 100 Continue\r\n\r\n")
        .read(5)
        .switch()
        .echo();
    let origin = ScriptedOrigin::start(script).await;
    let gateway = RunningGateway::with(allowing_bodies(), &origin).await;
    let request = request_with("Content-Length: 5\r\nExpect: 100-continue\r\n");
    let mut client = gateway.client_sending(request).await;
    assert_eq!(client.head().await.status, 100);
    client.send("helloframe").await;
    assert_eq!(client.head().await.status, 101, "one 100, not two");
    client.receives(b"frame").await;
    let head = origin.connection(0).await.head().await;
    assert!(!head.contains("Expect"), "met already: {head:?}");
}

#[tokio::test]
async fn a_malformed_body_never_becomes_tunnel_data() {
    for body in ["5\r\nhelloX\r\n", "x\r\n", "5\nhello\n0\n\n", "-1\r\n"] {
        let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
        let mut gateway = RunningGateway::with(allowing_bodies(), &origin).await;
        let request = request_with("Transfer-Encoding: chunked\r\n");
        let mut client = gateway.client_sending(format!("{request}{body}")).await;
        refused(&mut client, 400).await;
        drop(client);
        let (place, _) = gateway.failed().await;
        assert_eq!(place, "request downstream", "{body:?}");
        origin.connection(0).await.end().await;
    }
}

#[tokio::test]
async fn a_body_that_the_client_cuts_short_is_cut_short_upstream() {
    let origin = ScriptedOrigin::start(Script::new().read_head().read(5).switch()).await;
    let mut gateway = RunningGateway::with(allowing_bodies(), &origin).await;
    let client = gateway
        .client_sending(format!("{}hel", request_with("Content-Length: 5\r\n")))
        .await;
    let connection = origin.connection(0).await;
    connection.receives(b"hel").await;
    drop(client);
    connection.end().await;
    assert_eq!(gateway.failed().await.0, "request downstream");
}

#[tokio::test]
async fn an_origin_that_declines_after_the_body() {
    let script = Script::new()
        .read_head()
        .read(5)
        .send("HTTP/1.1 403 x\r\nContent-Length: 2\r\n\r\nno");
    let origin = ScriptedOrigin::start(script).await;
    let gateway = RunningGateway::with(allowing_bodies(), &origin).await;
    let request = format!("{}hello{UPGRADE_REQUEST}", request_with("Content-Length: 5\r\n"));
    let mut client = gateway.client_sending(request).await;
    assert_eq!(client.head().await.status, 403);
    assert_eq!(client.rest().await, b"no");
    assert_eq!(origin.requests(), 1);
}

#[tokio::test]
async fn an_origin_that_declines_without_reading_the_body_and_closes() {
    let script = Script::answering("HTTP/1.1 413 x\r\nContent-Length: 2\r\n\r\nno").close();
    let origin = ScriptedOrigin::start(script).await;
    let gateway = RunningGateway::with(allowing_bodies(), &origin).await;
    let mut client = gateway
        .client_sending(request_with("Content-Length: 30\r\n"))
        .await;
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        client.send("ten bytes.").await;
    }
    assert_eq!(client.head().await.status, 413);
    assert_eq!(client.rest().await, b"no");
}

/// It closes with bytes unread, which is a reset, or keeps its connection and reads nothing more.
#[tokio::test]
async fn an_origin_that_declines_the_body_of_a_client_that_always_has_more_of_it() {
    let answer = || Script::answering("HTTP/1.1 413 x\r\nContent-Length: 2\r\n\r\nno");
    let content = vec![b'x'; 20 << 20];
    let chunk = [b"1400000\r\n", &content[..], b"\r\n0\r\n\r\n"].concat();
    for script in [answer().close(), answer().pause(2 * TIMEOUT)] {
        for (lines, body) in [
            ("Content-Length: 20971520\r\n", &content),
            ("Transfer-Encoding: chunked\r\n", &chunk),
        ] {
            let origin = ScriptedOrigin::start(script.clone()).await;
            let gateway = RunningGateway::with(allowing_bodies(), &origin).await;
            let mut client = gateway.client_sending(request_with(lines)).await;
            let received = received_while_sending(client.stream(), body, b"no").await;
            assert!(received.starts_with(b"HTTP/1.1 413 "), "{script:?}, {lines}");
        }
    }
}

#[tokio::test]
async fn an_origin_that_declines_while_the_client_hesitates_with_the_body() {
    let script = Script::answering("HTTP/1.1 413 x\r\nContent-Length: 2\r\n\r\nno");
    let origin = ScriptedOrigin::start(script).await;
    let gateway = RunningGateway::with(allowing_bodies(), &origin).await;
    let mut client = gateway
        .client_sending(format!("{}hel", request_with("Content-Length: 5\r\n")))
        .await;
    assert_eq!(client.head().await.status, 413);
    assert_eq!(client.rest().await, b"no");
}

#[tokio::test]
async fn an_origin_that_leaves_while_the_client_hesitates_with_the_body() {
    let origin = ScriptedOrigin::start(Script::new().read_head().close()).await;
    let gateway = RunningGateway::with(allowing_bodies(), &origin).await;
    let mut client = gateway
        .client_sending(format!("{}hel", request_with("Content-Length: 5\r\n")))
        .await;
    refused(&mut client, 502).await;
}

#[tokio::test]
async fn an_origin_that_switches_before_the_body_is_whole_gets_the_rest_of_it_first() {
    let script = Script::new().read_head().switch().read(5).echo();
    let origin = ScriptedOrigin::start(script).await;
    let gateway = RunningGateway::with(allowing_bodies(), &origin).await;
    let mut client = gateway
        .client_sending(format!("{}hel", request_with("Content-Length: 5\r\n")))
        .await;
    client.receives_nothing_for(Duration::from_millis(50)).await;
    client.send("loframe").await;
    assert_eq!(client.head().await.status, 101);
    client.receives(b"frame").await;
}

#[tokio::test]
async fn a_body_that_stops() {
    let origin = ScriptedOrigin::start(Script::new()).await;
    let config = allowing_bodies().read_timeout(Duration::from_millis(50));
    let gateway = RunningGateway::with(config, &origin).await;
    let mut client = gateway
        .client_sending(format!("{}hel", request_with("Content-Length: 5\r\n")))
        .await;
    let text = refused(&mut client, 408).await;
    assert!(text.contains("50ms"), "names the limit: {text:?}");
    origin.connection(0).await.end().await;
}

/// The time for its answer begins where it begins to answer, however long the body has taken by then.
#[tokio::test]
async fn an_origin_that_declines_late_in_two_segments() {
    let limit = Duration::from_millis(300);
    let script = Script::new()
        .read_head()
        .read(2)
        .send("HTTP/1.1 403 x\r\nContent-")
        .pause(Duration::from_millis(30))
        .send("Length: 2\r\n\r\nno");
    let origin = ScriptedOrigin::start(script).await;
    let gateway = RunningGateway::with(allowing_bodies().handshake_timeout(limit), &origin).await;
    let mut client = gateway
        .client_sending(request_with("Content-Length: 5\r\n"))
        .await;
    for byte in ["h", "e"] {
        tokio::time::sleep(limit).await;
        client.send(byte).await;
    }
    assert_eq!(client.head().await.status, 403);
    assert_eq!(client.rest().await, b"no");
}

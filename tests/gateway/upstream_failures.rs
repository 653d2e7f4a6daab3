//! An upstream that fails before the switch: the client gets a 502 that says why, and nothing is tunnelled.

use std::io::ErrorKind;
use std::time::Duration;

use switchover::connect::{Connect, ConnectError, ConnectRequest, TcpConnect};
use switchover::gateway::GatewayConfig;
use switchover::http1::HeadLimits;
use switchover::test_util::{Script, ScriptedOrigin, UPGRADE_REQUEST};
use tokio::net::{TcpListener, TcpStream};

use crate::running_gateway::{RunningGateway, refused};

#[tokio::test]
async fn an_upstream_that_refuses_connections() {
    let closed = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let connect = TcpConnect::to(closed.to_string());
    let mut gateway = RunningGateway::connecting(GatewayConfig::default(), connect).await;
    let mut client = gateway.client_sending(UPGRADE_REQUEST).await;
    let text = refused(&mut client, 502).await;
    assert!(
        !text.contains(&closed.to_string()),
        "no address for the client: {text:?}"
    );
    drop(client);
    let (place, error) = gateway.failed().await;
    assert!(
        place == "connect upstream" && error.contains(&closed.to_string()),
        "{place}: {error}"
    );
}

/// No name, of which a resolver knows without asking anybody: servers of names may be slow to say so.
const NO_NAME: &str = "no..such.host:80";

#[tokio::test]
async fn an_upstream_name_that_does_not_resolve() {
    let connect = TcpConnect::to(NO_NAME);
    let mut gateway = RunningGateway::connecting(GatewayConfig::default(), connect).await;
    let mut client = gateway.client_sending(UPGRADE_REQUEST).await;
    let text = refused(&mut client, 502).await;
    assert!(!text.contains("such.host"), "{text:?}");
    drop(client);
    assert_eq!(gateway.failed().await.0, "connect upstream");
}

/// A connector that has given up by itself, with this error.
struct GivesUp(ErrorKind);

impl Connect for GivesUp {
    type Stream = TcpStream;

    async fn connect(&self, _: ConnectRequest<'_>) -> Result<TcpStream, ConnectError> {
        Err(ConnectError::Failed {
            name: "upstream:80".to_owned(),
            error: self.0.into(),
        })
    }
}

#[tokio::test]
async fn a_connector_that_gives_up() {
    for (kind, status) in [
        (ErrorKind::TimedOut, 504),
        (ErrorKind::ConnectionRefused, 502),
        (ErrorKind::Other, 502),
    ] {
        let mut gateway = RunningGateway::connecting(GatewayConfig::default(), GivesUp(kind)).await;
        let mut client = gateway.client_sending(UPGRADE_REQUEST).await;
        refused(&mut client, status).await;
        drop(client);
        assert_eq!(gateway.failed().await.0, "connect upstream", "{kind}");
    }
}

#[tokio::test]
async fn an_upstream_that_closes_without_a_whole_answer() {
    for script in [
        Script::new().read_head().close(),
        Script::new().read_head().reset(),
        Script::new().close(),
        Script::answering("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n").close(),
        Script::answering("HTTP/1.1 103 x\r\n\r\n").close(),
    ] {
        let described = format!("{script:?}");
        let origin = ScriptedOrigin::start(script).await;
        let mut gateway = RunningGateway::to(&origin).await;
        let mut client = gateway.client_sending(UPGRADE_REQUEST).await;
        let mut head = client.head().await;
        let has_interim = head.status == 103;
        if has_interim {
            head = client.head().await;
        }
        assert_eq!(head.status, 502, "{described}");
        let text = String::from_utf8(client.rest().await).unwrap();
        let is_cut_short = described.contains("Answer") && !has_interim;
        let words = match is_cut_short {
            true => "closed the connection within the head of its answer",
            false => "closed the connection without an answer",
        };
        assert!(text.contains(words), "{described}: {text}");
        drop(client);
        assert!(gateway.failed().await.0.ends_with("upstream"), "{described}");
    }
}

#[tokio::test]
async fn an_upstream_head_that_is_none() {
    for answer in [
        "garbage\r\n\r\n",
        "SSH-2.0-x\r\n",
        "\x15\x03\x01\0\x02\x02\x50",
        "HTTP/2.0 101 x\r\n\r\n",
        "HTTP/1.1 101 x\nUpgrade: websocket\n\n",
        "HTTP/1.1 200 x\r\nX : y\r\n\r\n",
        "HTTP/1.1 200 x\r\nX: y\r\n z\r\n\r\n",
        "HTTP/1.1 200 x\r\nX: \0\r\n\r\n",
        "HTTP/1.1 200 x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "HTTP/1.1 200 x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "HTTP/1.0 200 x\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 20 x\r\n\r\n",
        "\r\nHTTP/1.1 200 x\r\n\r\n",
    ] {
        let origin = ScriptedOrigin::start(Script::answering(answer)).await;
        let mut gateway = RunningGateway::to(&origin).await;
        let mut client = gateway
            .client_sending([UPGRADE_REQUEST.as_bytes(), b"frame"].concat())
            .await;
        refused(&mut client, 502).await;
        drop(client);
        assert_eq!(gateway.failed().await.0, "response head upstream", "{answer:?}");
        let connection = origin.connection(0).await;
        connection
            .receives_exactly_and_ends(connection.head().await.as_bytes())
            .await;
    }
}

#[tokio::test]
async fn an_upstream_head_that_is_too_large_names_the_limit() {
    let limits = HeadLimits::default().max_bytes(1_000).max_fields(10);
    let cases = [
        (
            format!("HTTP/1.1 200 x\r\nX: {}\r\n\r\n", "y".repeat(2_000)),
            "1000 bytes",
        ),
        (
            format!("HTTP/1.1 200 {}\r\n\r\n", "y".repeat(2_000)),
            "1000 bytes",
        ),
        (
            format!("HTTP/1.1 200 x\r\n{}\r\n", "X: y\r\n".repeat(11)),
            "10 fields",
        ),
    ];
    for (answer, limit) in cases {
        let origin = ScriptedOrigin::start(Script::answering(answer)).await;
        let config = GatewayConfig::default().response_limits(limits);
        let mut gateway = RunningGateway::with(config, &origin).await;
        let mut client = gateway.client_sending(UPGRADE_REQUEST).await;
        let text = refused(&mut client, 502).await;
        assert!(text.contains(limit), "{text:?}");
        drop(client);
        assert!(gateway.failed().await.1.contains(limit));
    }
}

/// Connects, and gives the upstream the time to say something first.
struct ConnectsSlowly(TcpConnect);

impl Connect for ConnectsSlowly {
    type Stream = TcpStream;

    async fn connect(&self, _request: ConnectRequest<'_>) -> Result<TcpStream, ConnectError> {
        let stream = self.0.stream().await?;
        let _ = tokio::time::timeout(Duration::from_secs(5), stream.readable()).await;
        Ok(stream)
    }
}

#[tokio::test]
async fn an_upstream_that_talks_first_is_not_asked() {
    for first in [
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "220 mail.example ESMTP\r\n",
        "\0",
    ] {
        let origin = ScriptedOrigin::start(Script::new().send(first)).await;
        let connect = ConnectsSlowly(TcpConnect::to(origin.address().to_string()));
        let mut gateway = RunningGateway::connecting(GatewayConfig::default(), connect).await;
        let mut client = gateway.client_sending(UPGRADE_REQUEST).await;
        refused(&mut client, 502).await;
        drop(client);
        assert_eq!(gateway.failed().await.0, "request upstream", "{first:?}");
        let connection = origin.connection(0).await;
        connection.end().await;
        assert_eq!(connection.received(), b"", "{first:?}");
    }
}

#[tokio::test]
async fn an_upstream_that_has_closed_before_it_is_asked() {
    let origin = ScriptedOrigin::start(Script::new().close()).await;
    let connect = ConnectsSlowly(TcpConnect::to(origin.address().to_string()));
    let mut gateway = RunningGateway::connecting(GatewayConfig::default(), connect).await;
    let mut client = gateway.client_sending(UPGRADE_REQUEST).await;
    refused(&mut client, 502).await;
    drop(client);
    assert_eq!(gateway.failed().await.0, "request upstream");
}

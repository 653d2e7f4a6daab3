//! Answers that open no tunnel, whatever the client sends behind its request.

use std::time::Duration;

use switchover::gateway::Outcome;
use switchover::test_util::{Script, ScriptedOrigin, UPGRADE_REQUEST};

use crate::running_gateway::{RunningGateway, refused};
use crate::{PIPELINED, permissive};

/// Kubernetes CVE-2018-1002105: a refusal by the origin, and the link stayed open.
#[tokio::test]
async fn bytes_after_an_upgrade_that_the_origin_declines() {
    for status in [200, 204, 301, 400, 401, 403, 404, 426, 500, 502, 503] {
        let body = if status == 204 { "" } else { "body" };
        let answer = format!(
            "HTTP/1.1 {status} x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let origin = ScriptedOrigin::start(Script::answering(answer)).await;
        let mut gateway = RunningGateway::to(&origin).await;
        let mut client = gateway.client_sending(UPGRADE_REQUEST).await;
        assert_eq!(client.head().await.status, status);
        let _ = client.try_send(PIPELINED).await;
        assert_eq!(
            client.rest().await,
            body.as_bytes(),
            "{status}: the whole body, then the end"
        );
        drop(client);
        assert!(matches!(gateway.served().await, Ok(Outcome::Declined(reported)) if reported == status));
        let connection = origin.connection(0).await;
        connection
            .receives_exactly_and_ends(connection.head().await.as_bytes())
            .await;
    }
}

/// Pingora CVE-2026-2833, Envoy CVE-2026-73548, Apache CVE-2019-17567: the mode switched on the request alone.
#[tokio::test]
async fn a_request_pipelined_behind_an_upgrade_that_is_answered_200() {
    for protocol in [
        "websocket",
        "WebSocket",
        "echo/2",
        "IRC",
        "irc, echo/2",
        "h2c, websocket",
    ] {
        for bodyless in [true, false] {
            let answer = if bodyless {
                "Content-Length: 0\r\n\r\n"
            } else {
                "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
            };
            let script = Script::new().read_head().pause(Duration::from_millis(5));
            let origin = ScriptedOrigin::start(script.send(format!("HTTP/1.1 200 OK\r\n{answer}"))).await;
            let gateway = RunningGateway::with(permissive(), &origin).await;
            let request = UPGRADE_REQUEST.replacen("websocket", protocol, 1);
            let mut client = gateway
                .client_sending(format!("{request}{PIPELINED}{PIPELINED}"))
                .await;
            assert_eq!(client.response().await.0.status, 200, "{protocol}");
            client.ends().await;
            let connection = origin.connection(0).await;
            connection
                .receives_exactly_and_ends(connection.head().await.as_bytes())
                .await;
            assert_eq!((origin.connections(), origin.requests()), (1, 1), "{protocol}");
        }
    }
}

/// nginx, Apache: the status alone opened the tunnel.
#[tokio::test]
async fn answers_101_that_open_nothing() {
    let accept = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
    let good = format!("HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n{accept}\r\n");
    let twice = format!("{accept}{accept}");
    let cases = [
        (accept, ""),
        (accept, "Sec-WebSocket-Accept: c3BQTE1CaVR4YVE5a1lHenpoWlI=\r\n"),
        (accept, "Sec-WebSocket-Accept: S3PPLMBITXAQ9KYGZZHZRBK+XOO=\r\n"),
        (accept, &twice),
        ("Connection: upgrade\r\n", ""),
        ("Connection: upgrade", "Connection: no-upgrade"),
        ("Upgrade: websocket\r\n", ""),
        ("Upgrade: websocket", "Upgrade: h2c"),
        ("Upgrade: websocket", "Upgrade: websocket, h2c"),
        ("HTTP/1.1", "HTTP/1.0"),
        (accept, &format!("{accept}Sec-WebSocket-Protocol: chat\r\n")),
        (
            accept,
            &format!("{accept}Sec-WebSocket-Extensions: permessage-deflate\r\n"),
        ),
    ];
    for (part, by) in cases {
        let answer = good.replacen(part, by, 1);
        assert_ne!(answer, good, "{part:?}");
        let origin = ScriptedOrigin::start(Script::answering(format!("{answer}hello"))).await;
        let gateway = RunningGateway::to(&origin).await;
        let mut client = gateway
            .client_sending(format!("{UPGRADE_REQUEST}{PIPELINED}"))
            .await;
        let text = refused(&mut client, 502).await;
        assert!(!text.contains("hello"), "{answer:?}");
        let connection = origin.connection(0).await;
        connection
            .receives_exactly_and_ends(connection.head().await.as_bytes())
            .await;
    }
}

/// Nominated and hop-by-hop fields of an origin, in every kind of answer.
#[tokio::test]
async fn fields_of_an_answer_that_end_at_this_hop() {
    let lines = "Connection:\r\nConnection: upgrade, X-Secret\r\nX-Secret: 1\r\nKeep-Alive: x\r\n\
        Proxy-Authenticate: Basic\r\nX-Kept: 1\r\n";
    let switch = "Upgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
    for last in [
        "403 x\r\nContent-Length: 0\r\n".to_owned(),
        format!("101 x\r\n{switch}"),
    ] {
        let answer = format!("HTTP/1.1 103 x\r\n{lines}\r\nHTTP/1.1 {last}{lines}\r\n");
        let origin = ScriptedOrigin::start(Script::answering(answer)).await;
        let gateway = RunningGateway::to(&origin).await;
        let mut client = gateway.client_sending(UPGRADE_REQUEST).await;
        for _ in 0..2 {
            let head = client.head().await;
            for gone in ["x-secret", "keep-alive", "proxy-authenticate"] {
                assert!(!head.headers.contains_key(gone), "{gone} in {head:?}");
            }
            assert!(head.headers.contains_key("x-kept"));
            assert!(head.headers.get_all("connection").iter().count() <= 1);
        }
    }
}

/// A trailer section that would change the message if it were merged into its head, in an answer that declines and in the body
/// of an upgrade request.
#[tokio::test]
async fn trailer_fields_that_end_at_this_hop() {
    let sections = [
        (
            "Content-Length: 5\r\nX-Sum: 7\r\nTransfer-Encoding: gzip\r\n",
            "X-Sum: 7\r\n",
        ),
        ("Host: evil\r\nConnection: X-Sum\r\nUpgrade: h2c\r\n", ""),
        (
            "Set-Cookie: a=b\r\nAuthorization: x\r\nX-Forwarded-For: 6.6.6.6\r\n",
            "",
        ),
        ("X-Sum: 7\r\n", "X-Sum: 7\r\n"),
    ];
    for (section, kept) in sections {
        let chunks = "4\r\nbody\r\n0\r\n";
        let answer = format!("HTTP/1.1 403 x\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}{section}\r\n");
        let origin = ScriptedOrigin::start(
            Script::new()
                .read_head()
                .read(chunks.len() + kept.len() + 2)
                .send(answer),
        )
        .await;
        let gateway = RunningGateway::with(permissive(), &origin).await;
        let request = UPGRADE_REQUEST.replacen("websocket", "echo/2", 1).replacen(
            "\r\n\r\n",
            "\r\nTransfer-Encoding: chunked\r\n\r\n",
            1,
        );
        let mut client = gateway
            .client_sending(format!("{request}{chunks}{section}\r\n"))
            .await;
        assert_eq!(client.head().await.status, 403);
        let answered = String::from_utf8(client.rest().await).unwrap();
        assert_eq!(answered, format!("{chunks}{kept}\r\n"));
        let received = String::from_utf8(origin.connection(0).await.received()).unwrap();
        assert!(
            received.ends_with(&format!("\r\n\r\n{chunks}{kept}\r\n")),
            "{received}"
        );
    }
}

//! What the upstream is asked, and what the client hears of its answer.

use http::{Response, Version};
use switchover::gateway::{GatewayConfig, Outcome};
use switchover::handshake::HandshakePolicy;
use switchover::http2::Http2Config;
use switchover::test_util::UPGRADE_REQUEST;

use crate::running_gateway::RunningGateway;
use crate::upstream::Upstream;

const REQUEST: &str = "GET /chat?room=1 HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\n\
    Connection: Upgrade, X-Secret\r\nX-Secret: 1\r\nKeep-Alive: timeout=5\r\nTE: trailers\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nCookie: a=1; b=2\r\n\
    Sec-WebSocket-Protocol: chat, superchat\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n";

#[tokio::test]
async fn an_upgrade_is_asked_as_an_extended_connect_and_the_200_arrives_as_a_101() {
    let mut upstream = Upstream::start().await;
    let config = Http2Config::default().scheme("https".parse().unwrap());
    let mut gateway =
        RunningGateway::connecting(GatewayConfig::default(), upstream.connect_with(config)).await;
    let mut client = gateway.client_sending(REQUEST).await;

    let asked = upstream.asked().await;
    assert_eq!(asked.protocol(), Some("websocket"));
    assert_eq!(
        (
            asked.request.method.as_str(),
            asked.request.uri.to_string(),
            asked.request.version
        ),
        (
            "CONNECT",
            "https://example.com/chat?room=1".to_owned(),
            Version::HTTP_2
        )
    );
    let names: Vec<&str> = asked.request.headers.keys().map(|name| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "sec-websocket-version",
            "cookie",
            "sec-websocket-protocol",
            "sec-websocket-extensions",
            "x-forwarded-for",
            "x-forwarded-proto",
            "x-forwarded-host",
            "x-real-ip",
            "forwarded",
            "via",
            "te"
        ]
    );
    let answer = Response::builder()
        .header("sec-websocket-protocol", "superchat")
        .header("x-upstream", "1")
        .body(());
    let mut tunnel = asked.answer(answer.unwrap());

    let head = client.head().await;
    assert_eq!((head.status.as_u16(), head.version), (101, Version::HTTP_11));
    for (name, value) in [
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        ("sec-websocket-protocol", "superchat"),
        ("x-upstream", "1"),
    ] {
        assert_eq!(head.headers[name], value, "{name}");
    }
    client.send(b"to the upstream").await;
    tunnel.receives(b"to the upstream").await;
    tunnel.send("to the client").await;
    client.receives(b"to the client").await;

    client.end_writes().await;
    tunnel.ends().await;
    tunnel.end();
    client.ends().await;
    let Ok(Outcome::Tunnelled { protocol, traffic }) = gateway.served().await else {
        panic!("not tunnelled")
    };
    assert!(protocol.is_websocket());
    assert_eq!((traffic.from_downstream(), traffic.from_upstream()), (15, 13));
}

#[tokio::test]
async fn bytes_that_come_with_the_request_and_with_the_answer() {
    let mut upstream = Upstream::start().await;
    let gateway = RunningGateway::connecting(GatewayConfig::default(), upstream.connect()).await;
    let mut client = gateway
        .client_sending([UPGRADE_REQUEST.as_bytes(), b"early"].concat())
        .await;
    let mut tunnel = upstream.tunnel().await;
    tunnel.send("at once").await;
    tunnel.end();
    assert_eq!(client.head().await.status, 101);
    client.receives(b"at once").await;
    tunnel.receives(b"early").await;
    client.ends().await;
}

#[tokio::test]
async fn an_answer_that_ends_with_its_head() {
    let mut upstream = Upstream::start().await;
    let gateway = RunningGateway::connecting(GatewayConfig::default(), upstream.connect()).await;
    let mut client = gateway.client_sending(UPGRADE_REQUEST).await;
    let mut asked = upstream.asked().await;
    asked.respond.send_response(Response::new(()), true).unwrap();
    assert_eq!(client.head().await.status, 101);
    client.ends().await;
}

#[tokio::test]
async fn interim_answers_come_before_it() {
    let mut upstream = Upstream::start().await;
    let gateway = RunningGateway::connecting(GatewayConfig::default(), upstream.connect()).await;
    let mut client = gateway.client_sending(UPGRADE_REQUEST).await;
    let mut asked = upstream.asked().await;
    for link in ["</a.css>", "</b.css>"] {
        let hint = Response::builder()
            .status(103)
            .header("link", link)
            .body(())
            .unwrap();
        asked.respond.send_informational(hint).unwrap();
    }
    for link in ["</a.css>", "</b.css>"] {
        let head = client.head().await;
        assert_eq!(
            (head.status.as_u16(), &head.headers["link"]),
            (103, &link.parse().unwrap())
        );
    }
    let mut tunnel = asked.agree();
    assert_eq!(client.head().await.status, 101);
    client.send(b"hello").await;
    tunnel.receives(b"hello").await;
}

#[tokio::test]
async fn a_declined_upgrade_is_relayed_whole_and_closes() {
    // Without a length it ends with the stream, and in chunks with a chunk.
    let chunked: &[u8] = b"5\r\nsorry\r\n0\r\n\r\n";
    for (length, expected) in [(Some("5"), &b"sorry"[..]), (None, chunked)] {
        let mut upstream = Upstream::start().await;
        let mut gateway = RunningGateway::connecting(GatewayConfig::default(), upstream.connect()).await;
        let mut client = gateway
            .client_sending([UPGRADE_REQUEST.as_bytes(), b"frame"].concat())
            .await;
        let mut answer = Response::builder().status(403).header("x-why", "no");
        if let Some(length) = length {
            answer = answer.header("content-length", length);
        }
        let mut stream = upstream.asked().await.answer(answer.body(()).unwrap());
        stream.send("sorry").await;
        stream.end();
        let (head, body) = client.response().await;
        assert_eq!(
            (head.status.as_u16(), body.as_slice()),
            (403, expected),
            "{length:?}"
        );
        assert_eq!(
            (&head.headers["x-why"], &head.headers["connection"]),
            (&"no".parse().unwrap(), &"close".parse().unwrap())
        );
        assert_eq!(
            head.headers
                .get("content-length")
                .map(|length| length.to_str().unwrap()),
            length
        );
        client.ends().await;
        // Not one byte of the client's has gone up, and the stream has ended in order.
        stream.ends().await;
        assert!(matches!(gateway.served().await, Ok(Outcome::Declined(status)) if status == 403));
    }
}

#[tokio::test]
async fn a_declined_upgrade_whose_body_is_cut_short_does_not_look_complete() {
    let mut upstream = Upstream::start().await;
    let gateway = RunningGateway::connecting(GatewayConfig::default(), upstream.connect()).await;
    let mut client = gateway.client_sending(UPGRADE_REQUEST).await;
    let answer = Response::builder().status(503).body(()).unwrap();
    let mut stream = upstream.asked().await.answer(answer);
    stream.send("half of i").await;
    assert_eq!(client.head().await.status, 503);
    client.receives(b"9\r\nhalf of i\r\n").await;
    stream.reset(h2::Reason::INTERNAL_ERROR);
    assert_eq!(client.rest_until_reset().await, b"");
}

#[tokio::test]
async fn an_answer_without_a_body() {
    for status in [204, 304, 404] {
        let mut upstream = Upstream::start().await;
        let gateway = RunningGateway::connecting(GatewayConfig::default(), upstream.connect()).await;
        let mut client = gateway.client_sending(UPGRADE_REQUEST).await;
        let mut asked = upstream.asked().await;
        let answer = Response::builder().status(status).body(()).unwrap();
        asked.respond.send_response(answer, true).unwrap();
        let head = client.head().await;
        // RFC 9110, section 9.3.6: every 2xx to a CONNECT is the tunnel.
        assert_eq!(head.status, if status == 204 { 101 } else { status });
        if status == 404 {
            client.receives(b"0\r\n\r\n").await;
        }
        client.ends().await;
    }
}

#[tokio::test]
async fn a_client_that_leaves_before_the_answer_resets_the_stream() {
    let mut upstream = Upstream::start().await;
    let gateway = RunningGateway::connecting(GatewayConfig::default(), upstream.connect()).await;
    let client = gateway.client_sending(UPGRADE_REQUEST).await;
    let mut asked = upstream.asked().await;
    drop(client);
    let reset = std::future::poll_fn(|cx| asked.respond.poll_reset(cx));
    let reason = crate::upstream::within("a reset", reset).await.unwrap();
    assert_eq!(reason, h2::Reason::CANCEL);
}

#[tokio::test]
async fn of_several_protocols_it_is_websocket_that_is_asked_for() {
    let mut upstream = Upstream::start().await;
    let config = GatewayConfig::default().policy(HandshakePolicy::default().allow("echo/2".parse().unwrap()));
    let gateway = RunningGateway::connecting(config, upstream.connect()).await;
    let request = UPGRADE_REQUEST.replacen("Upgrade: websocket", "Upgrade: echo/2, websocket", 1);
    let mut client = gateway.client_sending(request).await;
    let asked = upstream.asked().await;
    assert_eq!(asked.protocol(), Some("websocket"));
    let _tunnel = asked.agree();
    assert_eq!(client.head().await.headers["upgrade"], "websocket");
}

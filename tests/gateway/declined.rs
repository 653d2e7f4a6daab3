//! A declined upgrade: the origin's answer is relayed whole, and the connection ends after it.

use std::time::Duration;

use switchover::TcpConnect;
use switchover::gateway::{Gateway, GatewayConfig, Outcome};
use switchover::header::Hop;
use switchover::http1::{BodyLength, BodyScanner};
use switchover::test_util::{Script, ScriptedOrigin, UPGRADE_REQUEST};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use crate::running_gateway::RunningGateway;

const CHUNKS: &str = "5;a=b\r\nhello\r\n3\r\n, w\r\n0\r\nX-Checksum: 1\r\n\r\n";

#[tokio::test]
async fn answers_are_relayed_whole() {
    let long = "x".repeat(300_000);
    let with_length = format!(
        "HTTP/1.1 403 Forbidden\r\nContent-Length: {}\r\n\r\n{long}",
        long.len()
    );
    let chunked = format!("HTTP/1.1 404 x\r\nTransfer-Encoding: chunked\r\n\r\n{CHUNKS}");
    let until_close = format!("HTTP/1.1 200 OK\r\n\r\n{long}");
    let old = "HTTP/1.0 500 x\r\n\r\nan old server".to_owned();
    let empty = "HTTP/1.1 401 x\r\nContent-Length: 0\r\n\r\n".to_owned();
    let none = "HTTP/1.1 204 x\r\n\r\n".to_owned();
    let cases = [
        (with_length, 403, long.as_str()),
        (chunked, 404, CHUNKS),
        (until_close, 200, long.as_str()),
        (old, 500, "an old server"),
        (empty, 401, ""),
        (none, 204, ""),
    ];
    for (answer, status, body) in cases {
        for script in [
            Script::answering(answer.clone()).close(),
            Script::new()
                .read_head()
                .send_split_at(answer.clone(), answer.len() / 2)
                .close(),
        ] {
            let origin = ScriptedOrigin::start(script).await;
            let mut gateway = RunningGateway::to(&origin).await;
            let mut client = gateway.client_sending(UPGRADE_REQUEST).await;
            let head = client.head().await;
            assert_eq!(
                (head.status.as_u16(), &head.headers["connection"]),
                (status, &"close".parse().unwrap())
            );
            assert!(head.headers.contains_key("date"), "{head:?}");
            let mut rest = client.rest().await;
            // What ends with the upstream's connection does not end with the client's.
            let has_length = ["Content-Length", "chunked", " 204 "]
                .iter()
                .any(|word| answer.contains(word));
            if !has_length {
                assert_eq!(head.headers["transfer-encoding"], "chunked", "{head:?}");
                rest = unchunked(&rest);
            }
            assert!(rest == body.as_bytes(), "{status}: {} bytes", rest.len());
            drop(client);
            let served = gateway.served().await;
            assert!(
                matches!(served, Ok(Outcome::Declined(reported)) if reported == status),
                "{served:?}"
            );
        }
    }
}

/// The content of a chunked body, which is whole.
fn unchunked(mut body: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    loop {
        let line = body.iter().position(|byte| *byte == b'\r').unwrap();
        let size = usize::from_str_radix(std::str::from_utf8(&body[..line]).unwrap(), 16).unwrap();
        let (data, rest) = body[line + 2..].split_at(size);
        content.extend_from_slice(data);
        body = rest.strip_prefix(b"\r\n").unwrap();
        if size == 0 {
            assert!(body.is_empty());
            return content;
        }
    }
}

/// RFC 9110, section 7.6.1.
#[tokio::test]
async fn trailer_fields_that_its_head_nominates_end_here() {
    let answer = "HTTP/1.1 404 x\r\nConnection: x-checksum\r\nTransfer-Encoding: chunked\r\n\r\n\
        2\r\nno\r\n0\r\nX-Checksum: 1\r\nX-Sum: 2\r\n\r\n";
    let origin = ScriptedOrigin::start(Script::answering(answer)).await;
    let gateway = RunningGateway::to(&origin).await;
    let mut client = gateway.client_sending(UPGRADE_REQUEST).await;
    client.head().await;
    assert_eq!(client.rest().await, b"2\r\nno\r\n0\r\nX-Sum: 2\r\n\r\n");
}

#[tokio::test]
async fn an_answer_with_a_length_ends_though_the_origin_stays() {
    for answer in [
        "HTTP/1.1 403 x\r\nContent-Length: 2\r\n\r\nno",
        "HTTP/1.1 403 x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n",
        "HTTP/1.1 204 x\r\n\r\n",
    ] {
        let origin = ScriptedOrigin::start(Script::answering(answer)).await;
        let gateway = RunningGateway::to(&origin).await;
        let mut client = gateway.client_sending(UPGRADE_REQUEST).await;
        client.response().await;
        client.ends().await;
        origin.connection(0).await.end().await;
    }
}

#[tokio::test]
async fn bytes_beyond_the_body_do_not_reach_the_client() {
    for answer in [
        "HTTP/1.1 403 x\r\nContent-Length: 2\r\n\r\nnoHTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 403 x\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 403 x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 304 x\r\nContent-Length: 5\r\n\r\nhello",
    ] {
        let origin = ScriptedOrigin::start(Script::answering(answer)).await;
        let gateway = RunningGateway::to(&origin).await;
        let mut client = gateway.client_sending(UPGRADE_REQUEST).await;
        client.head().await;
        let rest = client.rest().await;
        assert!(
            [&b"no"[..], b"", b"0\r\n\r\n"].contains(&&rest[..]),
            "{answer:?}: {}",
            rest.escape_ascii()
        );
    }
}

#[tokio::test]
async fn a_body_that_is_cut_short_does_not_look_complete() {
    let cases = [
        ("HTTP/1.1 200 x\r\nContent-Length: 10\r\n\r\nhello", "hello"),
        ("HTTP/1.1 200 x\r\nContent-Length: 10\r\n\r\n", ""),
        (
            "HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
            "5\r\nhello\r\n",
        ),
        (
            "HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
            "5\r\nhello\r\n0\r\n",
        ),
    ];
    for (answer, so_far) in cases {
        for script in [
            Script::answering(answer).pause(Duration::from_millis(20)).close(),
            Script::answering(answer).pause(Duration::from_millis(20)).reset(),
        ] {
            let origin = ScriptedOrigin::start(script).await;
            let mut gateway = RunningGateway::to(&origin).await;
            let mut client = gateway.client_sending(UPGRADE_REQUEST).await;
            assert_eq!(client.head().await.status, 200);
            let rest = client.rest_until_reset().await;
            assert!(
                so_far.as_bytes().starts_with(&rest),
                "{answer:?}: {}",
                rest.escape_ascii()
            );
            assert_eq!(gateway.failed().await.0, "response upstream");
        }
    }
}

#[tokio::test]
async fn a_body_until_close_that_ends_in_a_reset_does_not_look_complete() {
    let script = Script::answering("HTTP/1.1 200 x\r\n\r\nhello")
        .pause(Duration::from_millis(20))
        .reset();
    let origin = ScriptedOrigin::start(script).await;
    let gateway = RunningGateway::to(&origin).await;
    let mut client = gateway.client_sending(UPGRADE_REQUEST).await;
    assert_eq!(client.head().await.status, 200);
    client.rest_until_reset().await;
}

/// A client that cannot be sent a reset, as one on a Unix socket or behind TLS, sees it by the framing.
#[tokio::test]
async fn a_body_until_close_that_is_cut_short_is_incomplete_by_its_framing() {
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum End {
        Reset,
        Silence,
        Dropped,
    }
    for end in [End::Reset, End::Silence, End::Dropped] {
        let script = Script::answering("HTTP/1.1 200 x\r\n\r\nhello");
        let script = match end {
            End::Reset => script.pause(Duration::from_millis(20)).reset(),
            End::Silence | End::Dropped => script,
        };
        let origin = ScriptedOrigin::start(script).await;
        let config = GatewayConfig::default().read_timeout(Duration::from_millis(200));
        let connect = TcpConnect::to(origin.address().to_string());
        let gateway = Gateway::builder(connect).config(config).build();
        let (mut client, stream) = duplex(64 * 1024);
        let serving = tokio::spawn(async move { gateway.serve(stream, Hop::unknown()).await.map(|_| ()) });
        client.write_all(UPGRADE_REQUEST.as_bytes()).await.unwrap();
        let mut received = Vec::new();
        while !received.ends_with(b"hello\r\n") {
            assert!(client.read_buf(&mut received).await.unwrap() > 0, "{end:?}");
        }
        if end == End::Dropped {
            serving.abort();
        }
        client.read_to_end(&mut received).await.unwrap();
        let at = received
            .windows(4)
            .position(|bytes| bytes == b"\r\n\r\n")
            .unwrap()
            + 4;
        let mut scanner = BodyScanner::new(BodyLength::Chunked);
        assert_eq!(
            scanner.advance(&received[at..]),
            Ok(received.len() - at),
            "{end:?}"
        );
        assert!(!scanner.is_complete(), "{end:?}: {}", received.escape_ascii());
        if end != End::Dropped {
            let error = serving.await.unwrap().unwrap_err();
            assert_eq!(error.phase().name(), "response", "{end:?}");
        }
    }
}

#[tokio::test]
async fn a_malformed_chunk_is_not_passed_on() {
    let answer = "HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloX\r\n0\r\n\r\n";
    let origin = ScriptedOrigin::start(Script::answering(answer)).await;
    let mut gateway = RunningGateway::to(&origin).await;
    let mut client = gateway.client_sending(UPGRADE_REQUEST).await;
    client.head().await;
    let rest = client.rest_until_reset().await;
    assert!(b"5\r\nhello".starts_with(&rest[..]), "{}", rest.escape_ascii());
    assert_eq!(gateway.failed().await.0, "response upstream");
}

#[tokio::test]
async fn an_origin_that_stops_in_the_middle_of_a_body() {
    let origin = ScriptedOrigin::start(Script::answering(
        "HTTP/1.1 200 x\r\nContent-Length: 9\r\n\r\nhello",
    ))
    .await;
    let config = GatewayConfig::default().read_timeout(Duration::from_millis(100));
    let mut gateway = RunningGateway::with(config, &origin).await;
    let mut client = gateway.client_sending(UPGRADE_REQUEST).await;
    client.head().await;
    assert!(b"hello".starts_with(&client.rest_until_reset().await[..]));
    assert_eq!(gateway.failed().await.0, "response upstream");
    origin.connection(0).await.end().await;
}

#[tokio::test]
async fn a_426_keeps_its_upgrade() {
    let answer = "HTTP/1.1 426 x\r\nConnection: upgrade\r\nUpgrade: TLS/1.2\r\nContent-Length: 0\r\n\r\n";
    let origin = ScriptedOrigin::start(Script::answering(answer)).await;
    let gateway = RunningGateway::to(&origin).await;
    let mut client = gateway.client_sending(UPGRADE_REQUEST).await;
    let head = client.head().await;
    assert_eq!(
        (head.status.as_u16(), head.headers["upgrade"].as_bytes()),
        (426, &b"TLS/1.2"[..])
    );
    assert_eq!(head.headers["connection"], "close, upgrade");
    client.ends().await;
}

#[tokio::test]
async fn a_redirect_is_relayed_and_not_followed() {
    let elsewhere = ScriptedOrigin::start(Script::websocket_echo()).await;
    let location = format!("http://{}/chat", elsewhere.address());
    let answer = format!("HTTP/1.1 307 x\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
    let origin = ScriptedOrigin::start(Script::answering(answer)).await;
    let gateway = RunningGateway::to(&origin).await;
    let mut client = gateway.client_sending(UPGRADE_REQUEST).await;
    assert_eq!(client.head().await.headers["location"], location.as_str());
    client.ends().await;
    assert_eq!((origin.connections(), elsewhere.connections()), (1, 0));
}

#[tokio::test]
async fn a_date_of_the_origins_stays() {
    let date = "Sun, 06 Nov 1994 08:49:37 GMT";
    let answer = format!("HTTP/1.1 403 x\r\nDate: {date}\r\nContent-Length: 0\r\n\r\n");
    let origin = ScriptedOrigin::start(Script::answering(answer)).await;
    let gateway = RunningGateway::to(&origin).await;
    let (head, _) = gateway.client_sending(UPGRADE_REQUEST).await.response().await;
    let dates: Vec<_> = head.headers.get_all("date").iter().collect();
    assert_eq!(dates, [date]);
}

/// Some servers pad the sizes of chunks. What recipients read differently does not go on.
#[tokio::test]
async fn padding_of_chunk_sizes_ends_here() {
    let chunks = "5 \t ;a=b\r\nhello\r\n3   \r\n, w\r\n0 \r\nX-Checksum: 1\r\n\r\n";
    let answer = format!("HTTP/1.1 404 x\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}");
    for script in [
        Script::answering(answer.clone()),
        Script::new().read_head().send_in_pieces(answer.clone(), 1),
    ] {
        let origin = ScriptedOrigin::start(script).await;
        let gateway = RunningGateway::to(&origin).await;
        let mut client = gateway.client_sending(UPGRADE_REQUEST).await;
        assert_eq!(client.head().await.status, 404);
        assert_eq!(client.rest().await, CHUNKS.as_bytes());
    }
}

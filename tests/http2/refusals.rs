//! Upstreams that cannot carry a WebSocket over HTTP/2, and answers that are none.

use std::time::Duration;

use h2::Reason;
use http::{HeaderMap, Response};
use switchover::connect::{AttemptOutcome, Connect, ConnectError, ConnectRequest};
use switchover::gateway::GatewayConfig;
use switchover::handshake::{BadSwitch, HandshakePolicy};
use switchover::header::Hop;
use switchover::http2::{Http2Config, Http2Connect};
use switchover::test_util::{Script, ScriptedOrigin, UPGRADE_REQUEST};
use switchover::upstream::{Group, Health, Server};
use switchover::{Cause, Phase, Side, TcpConnect, UpgradeConfig};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::mpsc;

use crate::frames::{FramedPeer, GOAWAY, HEADERS, RST_STREAM};
use crate::running_gateway::{RunningGateway, refused};
use crate::upstream::{Upstream, within};

/// A listener for an upstream that speaks frame by frame, and what connects to it.
async fn framed() -> (TcpListener, Http2Connect<TcpConnect>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let connect = Http2Connect::new(TcpConnect::to(listener.local_addr().unwrap().to_string()));
    (listener, connect)
}

/// The status that a client gets, and where and why it failed.
async fn failure(connect: impl Connect + 'static, request: &str) -> (u16, String, String) {
    let upgrade = UpgradeConfig::default().connect_timeout(Duration::from_secs(1));
    let config = GatewayConfig::default().upgrade(upgrade);
    let mut gateway = RunningGateway::connecting(config, connect).await;
    let mut client = gateway.client_sending(request).await;
    let (head, _) = client.response().await;
    drop(client);
    let (place, error) = gateway.failed().await;
    (head.status.as_u16(), place, error)
}

#[tokio::test]
async fn an_upstream_that_does_not_enable_the_extended_connect_protocol() {
    let mut upstream = Upstream::with(|builder| builder).await;
    let (status, place, error) = failure(upstream.connect(), UPGRADE_REQUEST).await;
    assert_eq!((status, place.as_str()), (502, "connect upstream"));
    assert!(error.contains("SETTINGS_ENABLE_CONNECT_PROTOCOL"), "{error}");
    // It is not asked, and its connection is not kept.
    upstream.ended_connections(1).await;
}

#[tokio::test]
async fn an_upstream_that_never_sends_its_settings() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let connect = Http2Connect::new(TcpConnect::to(silent.local_addr().unwrap().to_string()));
    let (status, place, _) = failure(connect, UPGRADE_REQUEST).await;
    assert_eq!((status, place.as_str()), (504, "connect upstream"));
    // The attempt is given up with the deadline.
    let (stream, _) = silent.accept().await.unwrap();
    let mut peer = FramedPeer::new(stream).await;
    within("the end", async { while peer.read().await.is_some() {} }).await;
}

#[tokio::test]
async fn an_upstream_that_speaks_http_1_only() {
    for (script, certain) in [
        (
            Script::new()
                .read(24)
                .send("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"),
            true,
        ),
        (Script::new().send("SSH-2.0-server\r\n"), true),
        (Script::new().send("220 mail.example ESMTP\r\n"), true),
        // What is closed with bytes unread is reset, and takes its answer with it.
        (
            Script::new()
                .read(16)
                .send("HTTP/1.1 400 Bad Request\r\n\r\n")
                .close(),
            false,
        ),
        (Script::new().read(24).close(), false),
        (Script::new().close(), false),
    ] {
        let described = format!("{script:?}");
        let origin = ScriptedOrigin::start(script).await;
        let connect = Http2Connect::new(TcpConnect::to(origin.address().to_string()));
        let (status, place, error) = failure(connect, UPGRADE_REQUEST).await;
        assert_eq!((status, place.as_str()), (502, "connect upstream"), "{described}");
        assert!(error.contains("HTTP/1.1 only"), "{described}: {error}");
        assert!(
            !certain || error.contains("what it says is not HTTP/2"),
            "{described}: {error}"
        );
    }
}

#[tokio::test]
async fn an_upstream_that_nobody_is_at() {
    // Bound, so that nobody else is there, and not listened at.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let closed = socket.local_addr().unwrap();
    let connect = Http2Connect::new(TcpConnect::to(closed.to_string()));
    let (status, place, error) = failure(connect, UPGRADE_REQUEST).await;
    assert_eq!((status, place.as_str()), (502, "connect upstream"));
    assert!(error.contains(&closed.to_string()), "{error}");
}

#[tokio::test]
async fn an_upstream_that_allows_no_streams() {
    let upstream =
        Upstream::with(|builder| builder.enable_connect_protocol().max_concurrent_streams(0)).await;
    let (status, _, error) = failure(upstream.connect(), UPGRADE_REQUEST).await;
    assert_eq!(status, 502);
    assert!(error.contains("allows no streams"), "{error}");
}

#[tokio::test]
async fn a_200_that_selects_what_was_not_offered() {
    for (name, value) in [
        ("sec-websocket-protocol", "chat"),
        ("sec-websocket-extensions", "x-other"),
    ] {
        let mut upstream = Upstream::start().await;
        let mut gateway = RunningGateway::connecting(GatewayConfig::default(), upstream.connect()).await;
        let mut client = gateway
            .client_sending([UPGRADE_REQUEST.as_bytes(), b"frame"].concat())
            .await;
        let answer = Response::builder().header(name, value).body(()).unwrap();
        let mut stream = upstream.asked().await.answer(answer);
        refused(&mut client, 502).await;
        assert_eq!(gateway.failed().await.0, "response head upstream");
        assert_eq!(stream.is_reset().await, h2::Reason::CANCEL);
    }
}

#[tokio::test]
async fn a_success_with_a_content_length() {
    for length in ["0", "5"] {
        let mut upstream = Upstream::start().await;
        let mut gateway = RunningGateway::connecting(GatewayConfig::default(), upstream.connect()).await;
        let mut client = gateway.client_sending(UPGRADE_REQUEST).await;
        let answer = Response::builder()
            .header("content-length", length)
            .body(())
            .unwrap();
        let mut stream = upstream.asked().await.answer(answer);
        refused(&mut client, 502).await;
        let (what, error) = gateway.failed().await;
        assert_eq!(what, "response head upstream");
        assert!(error.contains("Content-Length"), "{error}");
        assert_eq!(stream.is_reset().await, h2::Reason::CANCEL);
    }
}

#[tokio::test]
async fn a_101_over_http_2() {
    let (listener, connect) = framed().await;
    let upstream = tokio::spawn(async move {
        let mut peer = FramedPeer::settled(listener.accept().await.unwrap().0).await;
        let stream = peer.read_kind(HEADERS).await.stream;
        peer.send_status("101", stream).await;
        peer.read_kind(RST_STREAM).await.stream == stream
    });
    let mut gateway = RunningGateway::connecting(GatewayConfig::default(), connect).await;
    let mut client = gateway.client_sending(UPGRADE_REQUEST).await;
    let answer = refused(&mut client, 502).await;
    assert!(answer.contains(BadSwitch::InHttp2.hint()), "{answer}");
    drop(client);
    let error = gateway.served().await.unwrap_err();
    assert_eq!(
        (error.phase(), error.side()),
        (Phase::ResponseHead, Side::Upstream)
    );
    assert!(
        matches!(error.reason(), Cause::Switch(BadSwitch::InHttp2)),
        "{error:?}"
    );
    assert!(within("a reset", upstream).await.unwrap());
}

/// RFC 9113, sections 6.8 and 8.7: of some ends the upstream says that it has not processed the request.
#[tokio::test]
async fn what_an_upstream_has_not_processed_is_no_failure_of_its_own() {
    let reset = |reason: Reason| (RST_STREAM, 1, u32::from(reason).to_be_bytes().to_vec());
    let goaway = |last: u32, reason: Reason| {
        let payload = [last.to_be_bytes(), u32::from(reason).to_be_bytes()].concat();
        (GOAWAY, 0, payload)
    };
    for ((kind, stream, payload), closes, outcome) in [
        (reset(Reason::REFUSED_STREAM), false, AttemptOutcome::Stale),
        (goaway(0, Reason::NO_ERROR), false, AttemptOutcome::Stale),
        (reset(Reason::INTERNAL_ERROR), false, AttemptOutcome::Failed),
        (reset(Reason::NO_ERROR), false, AttemptOutcome::Failed),
        (goaway(0, Reason::INTERNAL_ERROR), false, AttemptOutcome::Failed),
        // It may have been processed.
        (goaway(1, Reason::NO_ERROR), true, AttemptOutcome::Failed),
    ] {
        let described = format!("{kind} {payload:?}");
        let (listener, connect) = framed().await;
        let upstream = tokio::spawn(async move {
            let mut peer = FramedPeer::settled(listener.accept().await.unwrap().0).await;
            assert_eq!(peer.read_kind(HEADERS).await.stream, 1);
            peer.send(kind, 0, stream, &payload).await;
            // A connection that is kept open, unless its end is what is to be met.
            (!closes).then_some(peer)
        });
        let (report, mut reported) = mpsc::unbounded_channel();
        let group = Group::of([Server::new("one", connect)]);
        let observed = group.on_attempt(move |attempted| report.send(attempted.outcome).unwrap());
        let mut gateway = RunningGateway::connecting(GatewayConfig::default(), observed).await;
        let mut client = gateway.client_sending(UPGRADE_REQUEST).await;
        let peer = within("the upstream", upstream).await.unwrap();
        refused(&mut client, 502).await;
        drop(client);
        assert!(gateway.served().await.is_err(), "{described}");
        assert_eq!(
            within("a report", reported.recv()).await,
            Some(outcome),
            "{described}"
        );
        let is_out = matches!(group.servers()[0].health, Health::Ejected { .. });
        assert_eq!(is_out, outcome == AttemptOutcome::Failed, "{described}");
        drop(peer);
    }
}

#[tokio::test]
async fn a_stream_that_is_refused() {
    let mut upstream = Upstream::start().await;
    let connect = upstream.connect();
    let refusing = async {
        let mut asked = upstream.asked().await;
        asked.respond.send_reset(h2::Reason::REFUSED_STREAM);
    };
    let ((status, place, error), ()) = tokio::join!(failure(connect, UPGRADE_REQUEST), refusing);
    assert_eq!((status, place.as_str()), (502, "response head upstream"));
    assert!(error.contains("refused"), "{error}");
}

#[tokio::test]
async fn an_answer_with_a_head_that_is_too_large() {
    let mut upstream = Upstream::start().await;
    let connect = upstream.connect_with(Http2Config::default().max_head_bytes(1_000));
    let answering = async {
        let answer = Response::builder()
            .header("x-large", "x".repeat(2_000))
            .body(())
            .unwrap();
        let _stream = upstream.asked().await.answer(answer);
        std::future::pending::<()>().await
    };
    let (status, place, _) = tokio::select! {
        failure = failure(connect, UPGRADE_REQUEST) => failure,
        () = answering => unreachable!(),
    };
    assert_eq!((status, place.as_str()), (502, "response head upstream"));
}

#[tokio::test]
async fn an_answer_that_never_comes() {
    let mut upstream = Upstream::start().await;
    let upgrade = UpgradeConfig::default().handshake_timeout(Duration::from_millis(100));
    let config = GatewayConfig::default().upgrade(upgrade);
    let gateway = RunningGateway::connecting(config, upstream.connect()).await;
    let mut client = gateway.client_sending(UPGRADE_REQUEST).await;
    let mut asked = upstream.asked().await;
    refused(&mut client, 504).await;
    let reset = std::future::poll_fn(|cx| asked.respond.poll_reset(cx));
    assert_eq!(within("a reset", reset).await.unwrap(), h2::Reason::CANCEL);
}

#[tokio::test]
async fn trailers_in_a_tunnel_are_a_broken_stream() {
    let mut upstream = Upstream::start().await;
    let mut gateway = RunningGateway::connecting(GatewayConfig::default(), upstream.connect()).await;
    let mut client = gateway.client_sending(UPGRADE_REQUEST).await;
    let mut tunnel = upstream.tunnel().await;
    tunnel.send("before").await;
    let mut trailers = HeaderMap::new();
    trailers.insert("x-trailer", "1".parse().unwrap());
    tunnel.send.send_trailers(trailers).unwrap();
    assert_eq!(client.head().await.status, 101);
    assert_eq!(client.rest_until_reset().await, b"before");
    assert_eq!(gateway.failed().await.0, "tunnel upstream");
    assert_eq!(tunnel.is_reset().await, h2::Reason::PROTOCOL_ERROR);
}

#[tokio::test]
async fn requests_that_are_no_websocket_upgrade() {
    let upstream = Upstream::start().await;
    let connect = upstream.connect();
    for (name, value) in [
        ("upgrade", "echo/2"),
        ("x-ordinary", "1"),
        ("content-length", "5"),
    ] {
        let mut request = http::Request::get("/").header("host", "a");
        if name == "content-length" {
            request = request
                .header("upgrade", "websocket")
                .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        }
        let request = request.header("connection", "upgrade").header(name, value);
        let (head, ()) = request.body(()).unwrap().into_parts();
        let error = connect
            .connect(ConnectRequest::new(&head, Hop::unknown()))
            .await
            .unwrap_err();
        assert!(matches!(error, ConnectError::Unsuited(_)), "{name}: {error}");
    }
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test]
async fn an_upgrade_request_with_a_body_that_the_policy_allows() {
    let upstream = Upstream::start().await;
    let config = GatewayConfig::default().policy(HandshakePolicy::default().allow_request_body(true));
    let mut gateway = RunningGateway::connecting(config, upstream.connect()).await;
    let request = UPGRADE_REQUEST.replacen("Host:", "Content-Length: 4\r\nHost:", 1);
    let mut client = gateway.client_sending(request + "body").await;
    refused(&mut client, 502).await;
    let (place, error) = gateway.failed().await;
    assert_eq!(place, "connect upstream");
    assert!(error.contains("has a body"), "{error}");
}

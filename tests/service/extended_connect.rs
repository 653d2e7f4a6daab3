//! WebSocket over HTTP/2 (RFC 8441) and ordinary HTTP/2 requests, from a client of the `h2` crate to an HTTP/1.1 origin.

use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::ext::Protocol;
use h2::{Reason, RecvStream, SendStream};
use http::{Request, Response, StatusCode};
use switchover::TcpConnect;
use switchover::handshake::HandshakePolicy;
use switchover::http1::HeadLimits;
use switchover::service::{Refusal, RelayConfig, ReverseProxy, ServiceConfig, UpgradeLayer, UpgradeService};
use switchover::test_util::{Script, ScriptedOrigin, TIMEOUT};
use switchover::tunnel::{
    Decision, End, MessageHead, MessageTap, Schedule, Tap, Tunnels, Verdict, WebSocketConfig,
};
use switchover::websocket::CloseCode;
use switchover::{Side, UpgradeConfig};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::servers::{Mounted, Server};
use crate::{end_of, reporting};

/// One HTTP/2 connection.
struct Client {
    send: SendRequest<Bytes>,
    _driving: JoinSet<()>,
}

impl Client {
    async fn connect(mounted: &Mounted) -> Self {
        let stream = TcpStream::connect(mounted.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (send, mut connection) = h2::client::handshake(stream).await.unwrap();
        let mut pings = connection.ping_pong().unwrap();
        let mut driving = JoinSet::new();
        driving.spawn(async move {
            let _ = connection.await;
        });
        // The server's settings are before its first pong.
        pings.ping(h2::Ping::opaque()).await.unwrap();
        assert!(send.is_extended_connect_protocol_enabled());
        Client {
            send,
            _driving: driving,
        }
    }

    async fn ask(&mut self, request: Request<()>, ends: bool) -> (Response<RecvStream>, SendStream<Bytes>) {
        let (response, stream) = self.send.send_request(request, ends).unwrap();
        (timeout(TIMEOUT, response).await.unwrap().unwrap(), stream)
    }

    /// Asks for a WebSocket.
    async fn open(&mut self, request: http::request::Builder) -> (Response<RecvStream>, SendStream<Bytes>) {
        self.ask(request.body(()).unwrap(), false).await
    }
}

fn websocket() -> http::request::Builder {
    Request::connect("http://example.com/chat?x=%20")
        .extension(Protocol::from_static("websocket"))
        .header("sec-websocket-version", "13")
}

fn to(origin: &ScriptedOrigin) -> UpgradeService<TcpConnect> {
    UpgradeService::new(TcpConnect::to(origin.address().to_string()))
}

/// The next bytes, exactly as many as are expected.
async fn receives(stream: &mut RecvStream, expected: &[u8]) {
    let mut received = Vec::new();
    while received.len() < expected.len() {
        let data = timeout(TIMEOUT, stream.data())
            .await
            .unwrap()
            .expect("more bytes")
            .unwrap();
        stream.flow_control().release_capacity(data.len()).unwrap();
        received.extend_from_slice(&data);
    }
    assert_eq!(received, expected);
}

async fn content(mut stream: RecvStream) -> String {
    let mut content = Vec::new();
    while let Some(data) = timeout(TIMEOUT, stream.data()).await.unwrap() {
        let data = data.unwrap();
        stream.flow_control().release_capacity(data.len()).unwrap();
        content.extend_from_slice(&data);
    }
    String::from_utf8(content).unwrap()
}

#[tokio::test]
async fn a_websocket_reaches_an_http_1_origin_and_no_byte_is_changed() {
    {
        let script = Script::new().read_head().switch().send("early").echo();
        let origin = ScriptedOrigin::start(script).await;
        let (config, ends) = reporting();
        let mounted = Mounted::on(Server::Axum, to(&origin).config(config)).await;
        let mut client = Client::connect(&mounted).await;
        let request = websocket()
            .header("sec-websocket-protocol", "a, b")
            .header("sec-websocket-key", "bm90IHRoaXMgb25lIQ==")
            .header("cookie", "a=1")
            .header("cookie", "b=2")
            .header("origin", "http://example.com");
        let (response, mut send) = client.open(request).await;
        assert_eq!(response.status(), 200);
        for gone in [
            "connection",
            "upgrade",
            "sec-websocket-accept",
            "transfer-encoding",
            "content-length",
        ] {
            assert!(!response.headers().contains_key(gone), "{gone}");
        }
        let mut receive = response.into_body();
        receives(&mut receive, b"early").await;
        let frame = b"\x81\x85\x01\x02\x03\x04ignored by the proxy\0\xff";
        send.send_data(Bytes::from_static(frame), false).unwrap();
        receives(&mut receive, frame).await;

        let head = origin.connection(0).await.head().await;
        let lower = head.to_ascii_lowercase();
        assert!(head.starts_with("GET /chat?x=%20 HTTP/1.1\r\n"), "{head}");
        for line in [
            "host: example.com",
            "connection: upgrade",
            "upgrade: websocket",
            "sec-websocket-version: 13",
            "sec-websocket-protocol: a, b",
            "cookie: a=1; b=2",
            "origin: http://example.com",
            "via: 2.0 switchover",
        ] {
            assert!(lower.contains(&format!("\r\n{line}\r\n")), "{line}: {head}");
        }
        assert_eq!(lower.matches("sec-websocket-key: ").count(), 1);
        assert!(
            !head.contains("bm90IHRoaXMgb25lIQ=="),
            "a key of the proxy's own: {head}"
        );

        send.send_data(Bytes::new(), true).unwrap();
        assert_eq!(content(receive).await, "");
        let ended = end_of(ends).await;
        assert!(!ended.taken_back && !ended.plain);
        assert_eq!(
            ended.result.unwrap().end(),
            End::Closed {
                first: Side::Downstream
            }
        );
    }
}

#[tokio::test]
async fn late_data_after_a_half_close_arrives_either_way() {
    let pause = Duration::from_millis(300);
    let script = Script::new()
        .read_head()
        .switch()
        .read(5)
        .pause(pause)
        .send("late")
        .close();
    let origin = ScriptedOrigin::start(script).await;
    let mounted = Mounted::on(Server::Axum, to(&origin)).await;
    let mut client = Client::connect(&mounted).await;
    let (response, mut send) = client.open(websocket()).await;
    send.send_data(Bytes::from_static(b"hello"), true).unwrap();
    assert_eq!(content(response.into_body()).await, "late");

    let script = Script::new().read_head().switch().send("early").end_writes();
    let origin = ScriptedOrigin::start(script).await;
    let mounted = Mounted::on(Server::Axum, to(&origin)).await;
    let mut client = Client::connect(&mounted).await;
    let (response, mut send) = client.open(websocket()).await;
    assert_eq!(content(response.into_body()).await, "early");
    tokio::time::sleep(pause).await;
    send.send_data(Bytes::from_static(b"late"), true).unwrap();
    let connection = origin.connection(0).await;
    connection.end().await;
    assert!(connection.received().ends_with(b"\r\n\r\nlate"));
}

#[tokio::test]
async fn many_on_one_connection_do_not_disturb_each_other() {
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let tunnels = Tunnels::new();
    let config = ServiceConfig::default().tunnels(tunnels.clone());
    let mounted = Mounted::on(Server::Axum, to(&origin).config(config)).await;
    let mut client = Client::connect(&mounted).await;
    let mut open = Vec::new();
    for index in 0..50u8 {
        let (response, mut send) = client.open(websocket()).await;
        let mut receive = response.into_body();
        send.send_data(Bytes::from(vec![index; 1000]), false).unwrap();
        receives(&mut receive, &[index; 1000]).await;
        open.push((send, receive));
    }
    assert_eq!(tunnels.len(), 50);
    let (mut reset, kept) = (open.split_off(25), open);
    for (send, _) in &mut reset {
        send.send_reset(Reason::CANCEL);
    }
    drop(reset);
    for (mut send, mut receive) in kept {
        send.send_data(Bytes::from_static(b"still here"), false).unwrap();
        receives(&mut receive, b"still here").await;
    }
    tunnels.finished().await;
}

#[tokio::test]
async fn bulk_through_a_slow_reader_waits_and_is_not_buffered() {
    const LENGTH: usize = 8 * 1024 * 1024;
    let script = Script::new().read_head().switch().send(vec![7; LENGTH]).close();
    let origin = ScriptedOrigin::start(script).await;
    let (config, ends) = reporting();
    let mounted = Mounted::on(Server::Axum, to(&origin).config(config)).await;
    let mut client = Client::connect(&mounted).await;
    let (response, mut send) = client.open(websocket()).await;
    let mut receive = response.into_body();
    let mut received = 0;
    while let Some(data) = timeout(TIMEOUT, receive.data()).await.unwrap() {
        let data = data.unwrap();
        assert!(data.iter().all(|&byte| byte == 7));
        received += data.len();
        receive.flow_control().release_capacity(data.len()).unwrap();
    }
    assert_eq!(received, LENGTH);
    send.send_data(Bytes::new(), true).unwrap();
    assert_eq!(end_of(ends).await.result.unwrap().from_upstream(), LENGTH as u64);
}

#[tokio::test]
async fn an_answer_that_declines_keeps_its_status_and_its_body() {
    let cases = [
        (
            "HTTP/1.1 403 Forbidden\r\nContent-Length: 5\r\nX-Why: no\r\n\r\nsorry",
            403,
            "sorry",
        ),
        (
            "HTTP/1.1 401 Unauthorized\r\nTransfer-Encoding: chunked\r\nWWW-Authenticate: Basic\r\n\r\n5\r\nsorry\r\n0\r\n\r\n",
            401,
            "sorry",
        ),
        (
            "HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n",
            302,
            "",
        ),
        (
            "HTTP/1.1 426 Upgrade Required\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n",
            426,
            "",
        ),
        // What looks like a page would be taken for the tunnel.
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            502,
            "the upstream's answer is not acceptable",
        ),
        (
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
            502,
            "the upstream's answer",
        ),
    ];
    for (answer, status, body) in cases {
        let origin = ScriptedOrigin::start(Script::new().read_head().send(answer).close()).await;
        let mounted = Mounted::on(Server::Axum, to(&origin)).await;
        let mut client = Client::connect(&mounted).await;
        let (response, _send) = client.open(websocket()).await;
        assert_eq!(response.status(), status, "{answer}");
        for gone in ["connection", "upgrade", "transfer-encoding"] {
            assert!(!response.headers().contains_key(gone), "{answer}");
        }
        let content = content(response.into_body()).await;
        assert!(content.starts_with(body), "{content}");
        // The connection goes on: nothing that follows on it could be mistaken for the declined protocol.
        let (response, _send) = client.open(websocket()).await;
        assert_eq!(response.status(), status);
    }
}

/// With this many fields more.
fn with_fields(request: http::request::Builder, count: usize) -> http::request::Builder {
    (0..count).fold(request, |request, number| {
        request.header(format!("x-{number}"), "1")
    })
}

#[tokio::test]
async fn ordinary_requests_of_http_2_meet_the_checks_of_http_1() {
    let origin =
        ScriptedOrigin::start(Script::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")).await;
    let relay = RelayConfig::default().request_limits(HeadLimits::default().max_bytes(4096));
    let proxy = ReverseProxy::new(TcpConnect::to(origin.address().to_string())).relay(relay);
    let mounted = Mounted::on(Server::Axum, proxy).await;
    let mut client = Client::connect(&mounted).await;
    let get = || Request::get("http://example.com/");
    for (request, status) in [
        (get().method("TRACE"), 405),
        (with_fields(get(), 400), 431),
        (with_fields(get(), 129), 431),
        (get().uri(format!("http://example.com/{}", "x".repeat(4096))), 414),
        (
            get()
                .header("authorization", "Basic eDp5")
                .header("authorization", "Basic eDp6"),
            400,
        ),
        (
            get().header("if-none-match", "a").header("if-none-match", "a"),
            400,
        ),
        (get().uri("http://./"), 400),
        (get().uri("http://a..b/"), 400),
        (get().uri("http://.a/"), 400),
        (get().uri("http://a../"), 400),
        (get().header("host", "example.com.."), 400),
    ] {
        let text = format!("{request:?}").chars().take(200).collect::<String>();
        let (response, _) = client.ask(request.body(()).unwrap(), true).await;
        assert_eq!(response.status(), status, "{text}");
    }
    assert_eq!(origin.connections(), 0);
    let good = with_fields(get(), 100).header("host", "example.com.");
    let (response, _) = client.ask(good.body(()).unwrap(), true).await;
    assert_eq!(response.status(), 200);
}

#[tokio::test]
async fn bad_requests_have_their_status_and_reach_nobody() {
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let policy = HandshakePolicy::default().allow_origin("https://example.com".parse().unwrap());
    let config = ServiceConfig::default().upgrade(UpgradeConfig::default().policy(policy));
    let mounted = Mounted::on(Server::Axum, to(&origin).config(config)).await;
    let good = || websocket().header("origin", "https://example.com");
    let other = |protocol: &'static str| {
        let protocol = Protocol::from_static(protocol);
        Request::connect("http://example.com/")
            .extension(protocol)
            .header("origin", "https://example.com")
    };
    let many = vec!["a"; 65].join(", ");
    let cases = [
        (other("connect-udp"), StatusCode::NOT_IMPLEMENTED),
        (other("WEBSOCKET"), StatusCode::BAD_REQUEST),
        (Request::connect("example.com:80"), StatusCode::NOT_IMPLEMENTED),
        (websocket(), StatusCode::FORBIDDEN),
        (
            websocket().header("origin", "https://elsewhere.example"),
            StatusCode::FORBIDDEN,
        ),
        (
            other("websocket").header("sec-websocket-version", "8"),
            StatusCode::UPGRADE_REQUIRED,
        ),
        (
            good().header("sec-websocket-protocol", &many),
            StatusCode::BAD_REQUEST,
        ),
        (
            good().header("sec-websocket-extensions", &many),
            StatusCode::BAD_REQUEST,
        ),
        (good().header("host", "other.example"), StatusCode::BAD_REQUEST),
        (good().header("host", "example.com.."), StatusCode::BAD_REQUEST),
        (good().uri("http://example.com../chat"), StatusCode::BAD_REQUEST),
        (
            good().header("user-agent", "a").header("user-agent", "b"),
            StatusCode::BAD_REQUEST,
        ),
        (
            with_fields(good(), 400),
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        ),
        (Request::get("http://example.com/"), StatusCode::UPGRADE_REQUIRED),
    ];
    let mut client = Client::connect(&mounted).await;
    for (request, status) in cases {
        let text = format!("{request:?}");
        let (response, _send) = client.open(request).await;
        assert_eq!(response.status(), status, "{text}");
        let body = content(response.into_body()).await;
        assert_eq!(body.lines().count(), 2, "a reason and a hint: {body}");
    }
    assert_eq!(origin.connections(), 0);
    assert_eq!(
        client.open(good()).await.0.status(),
        200,
        "and the connection is as good as before"
    );
}

#[tokio::test]
async fn no_refusal_of_a_closure_looks_like_a_tunnel() {
    for (refused, arrives) in [(403, 403), (200, 502)] {
        let refused = StatusCode::from_u16(refused).unwrap();
        let service = UpgradeService::<TcpConnect>::by(move |_| Err(Refusal::new(refused, "no")));
        let mounted = Mounted::router(axum::Router::new().fallback_service(service)).await;
        let mut client = Client::connect(&mounted).await;
        let (response, _stream) = client.open(websocket()).await;
        assert_eq!(response.status(), arrives);
        assert!(!response.headers().contains_key("connection"));
        assert_eq!(content(response.into_body()).await, "no");
    }
}

#[tokio::test]
async fn a_stream_that_ends_with_its_head_is_a_half_close() {
    let origin = ScriptedOrigin::start(Script::new().read_head().switch().send("bye").close()).await;
    let tunnels = Tunnels::new();
    let config = ServiceConfig::default().tunnels(tunnels.clone());
    let mounted = Mounted::on(Server::Axum, to(&origin).config(config)).await;
    let mut client = Client::connect(&mounted).await;
    let (response, _send) = client.ask(websocket().body(()).unwrap(), true).await;
    assert_eq!(response.status(), 200);
    assert_eq!(content(response.into_body()).await, "bye");
    tunnels.finished().await;
}

#[tokio::test]
async fn a_client_that_gives_up_before_the_answer_frees_the_upstream() {
    let origin = ScriptedOrigin::start(Script::new().read_head()).await;
    let mounted = Mounted::on(Server::Axum, to(&origin)).await;
    let mut client = Client::connect(&mounted).await;
    let (response, mut send) = client
        .send
        .send_request(websocket().body(()).unwrap(), false)
        .unwrap();
    let connection = origin.connection(0).await;
    connection.head().await;
    send.send_reset(Reason::CANCEL);
    drop(response);
    connection.end().await;
}

#[tokio::test]
async fn a_drain_ends_the_stream_and_not_the_connection() {
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let tunnels = Tunnels::new();
    let config = ServiceConfig::default().tunnels(tunnels.clone());
    let mounted = Mounted::on(Server::Axum, to(&origin).config(config)).await;
    let mut client = Client::connect(&mounted).await;
    let (response, _send) = client.open(websocket()).await;
    tunnels.drain(Schedule::default());
    assert_eq!(content(response.into_body()).await, "");
    tunnels.finished().await;
    assert_eq!(client.open(websocket()).await.0.status(), 503);
}

#[tokio::test]
async fn ordinary_requests_of_http_2_are_relayed_as_http_1() {
    let answer = "HTTP/1.1 200 OK\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nTransfer-Encoding: chunked\r\n\r\n\
        5\r\nhello\r\n0\r\n\r\n";
    let origin = ScriptedOrigin::start(Script::new().read_head().read(4).send(answer).close()).await;
    let proxy = ReverseProxy::new(TcpConnect::to(origin.address().to_string()));
    let mounted = Mounted::on(Server::Axum, proxy).await;
    let mut client = Client::connect(&mounted).await;
    let request = Request::post("http://example.com:81/a?b")
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .header("te", "trailers")
        .header("x-forwarded-for", "10.0.0.1");
    let (response, mut send) = client
        .send
        .send_request(request.body(()).unwrap(), false)
        .unwrap();
    send.send_data(Bytes::from_static(b"body"), true).unwrap();
    let response = timeout(TIMEOUT, response).await.unwrap().unwrap();
    assert_eq!(response.status(), 200);
    assert!(!response.headers().contains_key("x-hop") && !response.headers().contains_key("keep-alive"));
    assert_eq!(content(response.into_body()).await, "hello");
    let head = origin.connection(0).await.head().await.to_ascii_lowercase();
    assert!(head.starts_with("post /a?b http/1.1\r\n"), "{head}");
    for line in [
        "host: example.com:81",
        "cookie: a=1; b=2",
        "te: trailers",
        "x-forwarded-for: 127.0.0.1",
        "via: 2.0 switchover",
    ] {
        assert!(head.contains(&format!("\r\n{line}\r\n")), "{line}: {head}");
    }
}

#[tokio::test]
async fn the_layer_leaves_what_is_not_for_it() {
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let app = axum::Router::new()
        .fallback(|request: axum::extract::Request| async move {
            format!("{} {}", request.method(), request.uri().path())
        })
        .layer(UpgradeLayer::new(TcpConnect::to(origin.address().to_string())));
    let mounted = Mounted::router(app).await;
    let mut client = Client::connect(&mounted).await;
    let (response, _send) = client
        .ask(Request::get("http://a/page").body(()).unwrap(), true)
        .await;
    assert_eq!(content(response.into_body()).await, "GET /page");
    assert_eq!(client.open(websocket()).await.0.status(), 200);
}

#[tokio::test]
async fn a_websocket_that_knows_its_frames_is_drained_in_its_own_words() {
    let origin = ScriptedOrigin::start(Script::new().read_head().switch()).await;
    let (config, ends) = reporting();
    let tunnels = Tunnels::new();
    let upgrade = UpgradeConfig::default().websocket(WebSocketConfig::default());
    let config = config.upgrade(upgrade).tunnels(tunnels.clone());
    let mounted = Mounted::on(Server::Axum, to(&origin).config(config)).await;
    let mut client = Client::connect(&mounted).await;
    let (response, mut send) = client.open(websocket()).await;
    assert_eq!(response.status(), 200);
    let mut receive = response.into_body();
    // As over HTTP/1.1, a client's frames are masked (RFC 8441, section 5).
    send.send_data(Bytes::from_static(b"\x81\x82\0\0\0\0hi"), false)
        .unwrap();
    let connection = origin.connection(0).await;
    let head = connection.head().await;
    connection
        .receives(&[head.as_bytes(), b"\x81\x82\0\0\0\0hi"].concat())
        .await;
    tunnels.drain(Schedule::default());
    receives(&mut receive, b"\x88\x0f\x03\xe9shutting down").await;
    send.send_data(Bytes::from_static(b"\x88\x82\0\0\0\0\x03\xe9"), true)
        .unwrap();
    assert_eq!(content(receive).await, "");
    let traffic = end_of(ends).await.result.unwrap();
    assert_eq!((traffic.end(), traffic.from_downstream()), (End::Drained, 8));
    assert_eq!(
        traffic.close_from(Side::Downstream).unwrap().code(),
        Some(CloseCode::GOING_AWAY)
    );
    let reported = traffic.close_sent_to(Side::Upstream).unwrap();
    assert_eq!(reported.to_string(), "1001 Going Away \"shutting down\"");
    assert_eq!(
        connection.received()[head.len() + 8..][..2],
        [0x88, 0x80 | 15],
        "a Close, masked"
    );
}

#[tokio::test]
async fn a_tap_reads_and_replaces_what_comes_over_http_2() {
    struct Reversed;
    impl MessageTap for Reversed {
        fn decide(&mut self, _: &MessageHead) -> Decision {
            Decision::Read(100)
        }
        fn read(&mut self, _: &MessageHead, payload: &Bytes) -> Verdict {
            Verdict::Replace(payload.iter().rev().copied().collect())
        }
    }
    let origin = ScriptedOrigin::start(Script::new().read_head().switch().send(b"\x82\x03abc")).await;
    let upgrade = UpgradeConfig::default().tap(|_, _| Some(Tap::new(Reversed)));
    let mounted = Mounted::on(Server::Axum, to(&origin).config(reporting().0.upgrade(upgrade))).await;
    let mut client = Client::connect(&mounted).await;
    let offer = websocket().header("sec-websocket-extensions", "permessage-deflate");
    let (response, mut send) = client.open(offer).await;
    assert_eq!(response.status(), 200);
    let mut receive = response.into_body();
    receives(&mut receive, b"\x82\x03cba").await;
    send.send_data(Bytes::from_static(b"\x82\x82\0\0\0\0hi"), true)
        .unwrap();
    let connection = origin.connection(0).await;
    let head = connection.head().await;
    assert!(!head.contains("xtensions"), "{head}");
    connection.end().await;
    let received = &connection.received()[head.len()..];
    // Behind it the tunnel's Close: the client has ended without one.
    assert_eq!((&received[..2], received[8]), (&b"\x82\x82"[..], 0x88));
    assert_eq!([received[6] ^ received[2], received[7] ^ received[3]], *b"ih");
}

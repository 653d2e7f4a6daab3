//! Ordinary requests through the reverse proxy, under the same rules as the raw door's.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame};
use switchover::TcpConnect;
use switchover::connect::{AnyConnect, Connect, ConnectError, ConnectRequest};
use switchover::service::{RelayConfig, ReverseProxy};
use switchover::test_util::{Script, ScriptedClient, ScriptedOrigin, UPGRADE_REQUEST};
use switchover::tunnel::Drain;
use tokio::net::TcpStream;

use crate::content;
use crate::servers::{Mounted, SERVERS, Server};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";

fn to(origin: &ScriptedOrigin) -> ReverseProxy<TcpConnect> {
    ReverseProxy::new(TcpConnect::to(origin.address().to_string()))
}

/// One whose deadlines are short enough to wait for.
fn hasty_to(origin: &ScriptedOrigin) -> ReverseProxy<TcpConnect> {
    let limit = Duration::from_millis(300);
    let relay = RelayConfig::default().connect_timeout(limit).read_timeout(limit);
    to(origin).relay(relay)
}

#[tokio::test]
async fn requests_and_then_an_upgrade_on_one_connection() {
    for server in SERVERS {
        let both = |index: usize| match index {
            0 => Script::new()
                .read_head()
                .send(OK)
                .read_head()
                .send(OK)
                .pause(Duration::from_secs(9)),
            _ => Script::websocket_echo(),
        };
        let origin = ScriptedOrigin::start_with(both).await;
        let mounted = Mounted::on(server, to(&origin)).await;
        let mut client = ScriptedClient::connect(mounted.address).await;
        for _ in 0..2 {
            client
                .send("GET /a?b=%20 HTTP/1.1\r\nHost: example.com\r\n\r\n")
                .await;
            let (head, body) = client.response().await;
            assert_eq!((head.status.as_u16(), &body[..]), (200, &b"hi"[..]), "{server:?}");
        }
        client.send(format!("{UPGRADE_REQUEST}hello")).await;
        assert_eq!(client.head().await.status, 101);
        client.receives(b"hello").await;
        assert_eq!(
            origin.connections(),
            2,
            "{server:?}: the first is used again, the second is the tunnel's"
        );
    }
}

/// The client's stream of HTTP/2 as it is where END_STREAM comes in a frame of its own: all of the content, and not the end.
struct Unended(Option<Bytes>);

impl Body for Unended {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.0.take() {
            Some(content) => Poll::Ready(Some(Ok(Frame::data(content)))),
            None => Poll::Pending,
        }
    }
}

#[tokio::test]
async fn a_connection_is_kept_that_has_been_sent_the_whole_length_of_a_body() {
    for (content, connections) in [("hello", 1), ("hell", 2)] {
        let first = |index: usize| match index {
            0 => Script::new()
                .read_head()
                .read(content.len())
                .send(OK)
                .read_head()
                .send(OK),
            _ => Script::answering(OK),
        };
        let origin = ScriptedOrigin::start_with(first).await;
        let proxy = to(&origin);
        let post = Request::post("http://a/")
            .header("host", "a")
            .header("content-length", "5")
            .extension(SocketAddr::from(([127, 0, 0, 1], 1)))
            .body(Unended(Some(content.into())))
            .unwrap();
        let answer = proxy.serve(post).await.into_body().collect().await.unwrap();
        assert_eq!(answer.to_bytes(), "hi");
        let get = Request::get("http://a/")
            .header("host", "a")
            .extension(SocketAddr::from(([127, 0, 0, 1], 1)))
            .body(String::new())
            .unwrap();
        assert_eq!(proxy.serve(get).await.status(), 200);
        assert_eq!(origin.connections(), connections, "{content}");
    }
}

#[tokio::test]
async fn the_header_rules_are_those_of_upgrades() {
    let origin = ScriptedOrigin::start(Script::answering(
        "HTTP/1.1 200 OK\r\nConnection: X-Hop, Content-Type\r\nX-Hop: 1\r\nContent-Type: a/b\r\nContent-Length: 0\r\n\r\n",
    ))
    .await;
    let mounted = Mounted::on(Server::Axum, to(&origin)).await;
    let request = "GET http://other.example/x HTTP/1.1\r\nHost: ignored\r\nConnection: X-Secret, X-Forwarded-For\r\n\
        X-Secret: 1\r\nX-Forwarded-For: 10.0.0.1\r\nProxy-Authorization: x\r\nTE: trailers, gzip\r\nExpect: 100-continue\r\n\r\n";
    let mut client = mounted.client_sending(request).await;
    let (head, _) = client.response().await;
    assert!(!head.headers.contains_key("x-hop") && head.headers.contains_key("content-type"));
    let sent = origin.connection(0).await.head().await.to_ascii_lowercase();
    assert!(sent.starts_with("get /x http/1.1\r\n"), "{sent}");
    assert!(
        sent.contains("\r\nhost: other.example\r\n") && sent.contains("x-forwarded-for: 127.0.0.1"),
        "{sent}"
    );
    for gone in ["x-secret", "10.0.0.1", "proxy-authorization", "gzip", "expect"] {
        assert!(!sent.contains(gone), "{gone}: {sent}");
    }
}

#[tokio::test]
async fn bodies_pass_both_ways_however_they_are_framed() {
    let length = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    let chunked =
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n";
    for (request, framing) in [
        (length, "content-length: 5"),
        (chunked, "transfer-encoding: chunked"),
    ] {
        for answer in [
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nworld",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nworld\r\n0\r\n\r\n",
            "HTTP/1.0 200 OK\r\n\r\nworld",
        ] {
            let origin = ScriptedOrigin::start(Script::new().read_head().read(5).send(answer).close()).await;
            let mounted = Mounted::on(Server::Axum, to(&origin)).await;
            let mut client = mounted.client_sending(request).await;
            let (head, body) = client.response().await;
            assert_eq!(content(&head, &body), "world", "{answer}");
            let sent = origin.connection(0).await.head().await.to_ascii_lowercase();
            assert!(sent.contains(framing), "{sent}");
        }
    }
}

#[tokio::test]
async fn what_a_kept_connection_loses_is_asked_once_more_where_it_may_be() {
    for (request, status) in [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 200),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", 502),
        ("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", 502),
    ] {
        let origin = ScriptedOrigin::start_with(|index| match index {
            0 => Script::new().read_head().send(OK).read_head().close(),
            _ => Script::answering(OK),
        })
        .await;
        let mounted = Mounted::on(Server::Axum, to(&origin)).await;
        let mut client = mounted.client_sending("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(client.response().await.0.status, 200);
        client.send(request).await;
        assert_eq!(client.response().await.0.status, status, "{request:?}");
    }
}

#[tokio::test]
async fn what_hyper_lets_through_is_refused_here() {
    let origin = ScriptedOrigin::start(Script::answering(OK)).await;
    let mounted = Mounted::on(Server::Axum, to(&origin)).await;
    for (request, statuses) in [
        ("GET / HTTP/1.1\r\n\r\n", &[400][..]),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", &[400]),
        ("GET / HTTP/1.1\r\nHost: user@a\r\n\r\n", &[400]),
        ("GET http://user@a/ HTTP/1.1\r\nHost: a\r\n\r\n", &[400]),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
            &[400],
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            &[501],
        ),
        ("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", &[501]),
        ("GET * HTTP/1.1\r\nHost: a\r\n\r\n", &[400]),
    ] {
        let mut client = mounted.client_sending(request).await;
        let (head, _) = client.response().await;
        assert!(
            statuses.contains(&head.status.as_u16()),
            "{request}: {}",
            head.status
        );
        client.ends().await;
    }
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn an_upgrade_that_is_not_allowed_goes_up_without_it_and_ends_the_connection() {
    let origin = ScriptedOrigin::start(Script::answering(OK)).await;
    let mounted = Mounted::on(Server::Axum, to(&origin)).await;
    let request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
        HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n";
    let mut client = mounted
        .client_sending(format!("{request}GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"))
        .await;
    let (head, body) = client.response().await;
    assert_eq!(
        (&body[..], head.headers["connection"].as_bytes()),
        (&b"hi"[..], &b"close"[..])
    );
    client.ends().await;
    let sent = origin.connection(0).await.received();
    let sent = String::from_utf8(sent).unwrap().to_ascii_lowercase();
    assert!(
        !sent.contains("upgrade") && !sent.contains("http2-settings") && !sent.contains("smuggled"),
        "{sent}"
    );
}

#[tokio::test]
async fn an_upstream_that_is_wrong_or_slow_is_a_502_or_504() {
    for (script, status) in [
        (Script::new().read_head().close(), 502),
        (
            Script::answering(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
            ),
            502,
        ),
        (
            Script::answering(
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            ),
            502,
        ),
        (Script::new().read_head().pause(Duration::from_secs(5)), 504),
    ] {
        let origin = ScriptedOrigin::start(script).await;
        let mounted = Mounted::on(
            Server::Axum,
            match status {
                504 => hasty_to(&origin),
                _ => to(&origin),
            },
        )
        .await;
        let mut client = mounted.client_sending("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(client.response().await.0.status, status);
    }
}

#[tokio::test]
async fn a_client_that_stops_in_its_body_is_given_up() {
    let origin = ScriptedOrigin::start(Script::new().read_head()).await;
    let mounted = Mounted::on(Server::Axum, hasty_to(&origin)).await;
    let mut client = mounted
        .client_sending("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe")
        .await;
    assert_eq!(client.response().await.0.status, 408);
    origin.connection(0).await.end().await;
}

/// Two upstreams, chosen by the request.
struct ByPath([TcpConnect; 2], Arc<AtomicUsize>);

impl Connect for ByPath {
    type Stream = TcpStream;

    async fn connect(&self, request: ConnectRequest<'_>) -> Result<TcpStream, ConnectError> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0[usize::from(request.head().uri.path() == "/b")]
            .connect(request)
            .await
    }
}

#[tokio::test]
async fn a_connector_that_chooses_by_the_request_is_asked_for_each() {
    let answering =
        |text: &str| Script::answering(format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{text}"));
    let (a, b) = (
        ScriptedOrigin::start(answering("a")).await,
        ScriptedOrigin::start(answering("b")).await,
    );
    let asked = Arc::new(AtomicUsize::new(0));
    let connects = [&a, &b].map(|origin| TcpConnect::to(origin.address().to_string()));
    let mounted = Mounted::on(Server::Axum, ReverseProxy::new(ByPath(connects, asked.clone()))).await;
    let mut client = ScriptedClient::connect(mounted.address).await;
    for path in ["a", "b", "b", "a"] {
        client
            .send(format!("GET /{path} HTTP/1.1\r\nHost: x\r\n\r\n"))
            .await;
        assert_eq!(client.response().await.1, path.as_bytes());
    }
    assert_eq!(asked.load(Ordering::Relaxed), 4);
}

/// Bytes behind it are whatever the upstream takes for the protocol; the cause is the 101.
#[tokio::test]
async fn an_unasked_switch_is_reported_as_one_whatever_stands_behind_it() {
    const SWITCH: &str =
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    for behind in [
        "",
        "\x01\x05hello",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    ] {
        let origin = ScriptedOrigin::start(Script::answering(format!("{SWITCH}{behind}"))).await;
        let proxy = ReverseProxy::new(TcpConnect::to(origin.address().to_string()));
        let request = http::Request::get("/")
            .extension(switchover::header::Hop::unknown())
            .header("host", "a")
            .body(String::new())
            .unwrap();
        let response = tower::ServiceExt::oneshot(proxy, request).await.unwrap();
        assert_eq!(response.status(), 502, "{behind:?}");
        let failure: &std::sync::Arc<switchover::Error> = response.extensions().get().expect("why it failed");
        assert_eq!(failure.reason().name(), "switch-unasked", "{behind:?}");
    }
}

#[tokio::test]
async fn an_upload_that_goes_on_behind_the_head_of_its_answer() {
    const PIECES: usize = 8;
    let limit = Duration::from_secs(1);
    for server in SERVERS {
        let script = Script::new()
            .read_head()
            .send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
            .read(PIECES)
            .send("hi");
        let origin = ScriptedOrigin::start(script).await;
        let proxy = to(&origin).relay(RelayConfig::default().read_timeout(limit));
        let mounted = Mounted::on(server, proxy).await;
        let mut client = ScriptedClient::connect(mounted.address).await;
        client
            .send(format!(
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {PIECES}\r\n\r\n"
            ))
            .await;
        assert_eq!(client.head().await.status, 200, "{server:?}");
        for _ in 0..PIECES {
            tokio::time::sleep(limit / 4).await;
            client.send("x").await;
        }
        client.receives(b"hi").await;
    }
}

#[tokio::test]
async fn from_the_start_of_a_drain_each_answer_is_the_last() {
    for server in SERVERS {
        let script = (0..2).fold(Script::new(), |script, _| script.read_head().send(OK));
        let origin = ScriptedOrigin::start(script).await;
        let drain = Drain::new();
        let proxy = to(&origin).relay(RelayConfig::default().drain(drain.clone()));
        let mounted = Mounted::on(server, proxy).await;
        let mut client = ScriptedClient::connect(mounted.address).await;
        let get = "GET / HTTP/1.1\r\nHost: example.com\r\n\r\n";
        client.send(get).await;
        let (head, _) = client.response().await;
        assert!(!head.headers.contains_key("connection"), "{server:?}: {head:?}");
        drain.complete_now();
        client.send(get).await;
        let (head, _) = client.response().await;
        assert_eq!(head.headers["connection"], "close", "{server:?}");
        client.ends().await;
    }
}

/// RFC 9112, section 3.2: nobody is asked without a `Host`, and its value is the upstream's.
#[tokio::test]
async fn a_request_of_http_1_0_without_a_host() {
    for server in SERVERS {
        let origin = ScriptedOrigin::start(Script::new().read_head().send(OK)).await;
        let boxed = AnyConnect::new(Arc::new(TcpConnect::to(origin.address().to_string())));
        let mounted = Mounted::on(server, ReverseProxy::new(boxed)).await;
        let mut client = ScriptedClient::connect(mounted.address).await;
        client.send("GET / HTTP/1.0\r\n\r\n").await;
        assert_eq!(client.head().await.status, 200, "{server:?}");
        let head = origin.connection(0).await.head().await;
        let expected = format!("GET / HTTP/1.1\r\nHost: {}\r\n", origin.address());
        assert!(head.starts_with(&expected), "{server:?}: {head}");
    }
}

//! An upgrade through a service: the handshake, the bytes around it, the socket taken back from hyper.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::ConnectInfo;
use http::header::CONNECTION;
use hyper_util::rt::TokioExecutor;
use switchover::header::Hop;
use switchover::service::{ServiceConfig, Task, UpgradeService};
use switchover::test_util::{SAMPLE_KEY, Script, ScriptedClient, ScriptedOrigin, UPGRADE_REQUEST};
use switchover::tunnel::End;
use switchover::{Side, TcpConnect};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tower::Layer;

use crate::servers::{Mounted, SERVERS, Server, with_peer};
use crate::{end_of, reporting};

fn to(origin: &ScriptedOrigin) -> UpgradeService<TcpConnect> {
    UpgradeService::new(TcpConnect::to(origin.address().to_string()))
}

async fn switched(client: &mut ScriptedClient) {
    let head = client.head().await;
    assert_eq!(head.status, 101);
    assert_eq!(head.headers[CONNECTION], "upgrade");
    assert_eq!(head.headers["upgrade"], "websocket");
    assert_eq!(
        head.headers["sec-websocket-accept"],
        "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    );
    assert!(!head.headers.contains_key("content-length"));
    assert!(!head.headers.contains_key("transfer-encoding"));
}

#[tokio::test]
async fn bytes_in_one_segment_with_either_head_are_delivered_first() {
    for server in SERVERS {
        let origin = ScriptedOrigin::start(Script::new().read_head().switch().send("early").echo()).await;
        let (config, ends) = reporting();
        let mounted = Mounted::on(server, to(&origin).config(config)).await;
        let mut client = mounted.client_sending(format!("{UPGRADE_REQUEST}hello")).await;
        switched(&mut client).await;
        client.receives(b"earlyhello").await;
        client.send(", world").await;
        client.receives(b", world").await;
        client.end_writes().await;
        assert_eq!(client.rest().await, b"");
        let ended = end_of(ends).await;
        assert!(ended.taken_back && ended.plain, "{server:?}: the socket is back");
        let traffic = ended.result.unwrap();
        assert_eq!(
            (traffic.from_downstream(), traffic.from_upstream()),
            (12, 17),
            "{server:?}"
        );
        assert_eq!(
            traffic.end(),
            End::Closed {
                first: Side::Downstream
            }
        );
    }
}

#[tokio::test]
async fn a_segment_boundary_at_every_offset_changes_nothing() {
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let mounted = Mounted::on(Server::Axum, to(&origin)).await;
    let bytes = format!("{UPGRADE_REQUEST}hello");
    for offset in (1..bytes.len())
        .step_by(7)
        .chain([bytes.len() - 6, bytes.len() - 5, bytes.len() - 1])
    {
        let mut client = ScriptedClient::connect(mounted.address).await;
        client.send_split_at(&bytes, offset).await;
        switched(&mut client).await;
        client.receives(b"hello").await;
    }
}

#[tokio::test]
async fn bulk_is_spliced_under_every_server() {
    const LENGTH: usize = 16 * 1024 * 1024;
    for server in SERVERS {
        let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
        let (config, ends) = reporting();
        let mounted = Mounted::on(server, to(&origin).config(config)).await;
        let mut client = mounted.client_sending(UPGRADE_REQUEST).await;
        switched(&mut client).await;
        let (mut reader, mut writer) = client.stream().split();
        let sending = async {
            writer.write_all(&vec![7; LENGTH]).await.unwrap();
            writer.shutdown().await.unwrap();
        };
        let mut received = Vec::new();
        let (_, read) = tokio::join!(sending, reader.read_to_end(&mut received));
        assert_eq!(read.unwrap(), LENGTH);
        let traffic = end_of(ends).await.result.unwrap();
        if cfg!(target_os = "linux") {
            assert!(traffic.spliced_from_downstream() > 0, "{server:?}: {traffic}");
            assert!(traffic.spliced_from_upstream() > 0, "{server:?}: {traffic}");
        }
    }
}

#[tokio::test]
async fn the_origin_sees_what_the_raw_gateway_would_send() {
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let config = ServiceConfig::default().hop(|parts| {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        peer.map_or(Hop::unknown(), |ConnectInfo(peer)| (*peer).into())
    });
    let app = Router::new().route_service("/chat/{*rest}", to(&origin).config(config));
    let mounted = Mounted::router(app).await;
    let request = format!(
        "GET /chat/a%20b?c=d HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket, h2c\r\n\
         Connection: keep-alive, Upgrade, X-Secret\r\nX-Secret: 1\r\nX-Forwarded-For: 10.0.0.1\r\n\
         Sec-WebSocket-Key: {SAMPLE_KEY}\r\nSec-WebSocket-Version: 13\r\nCookie: a=b\r\n\r\n"
    );
    let mut client = mounted.client_sending(request).await;
    switched(&mut client).await;
    let head = origin.connection(0).await.head().await.to_ascii_lowercase();
    assert!(head.starts_with("get /chat/a%20b?c=d http/1.1\r\n"), "{head}");
    for line in [
        "host: example.com",
        "connection: upgrade",
        "upgrade: websocket",
        "x-forwarded-for: 127.0.0.1",
        "x-forwarded-proto: http",
        "via: 1.1 switchover",
        "cookie: a=b",
    ] {
        assert!(head.contains(&format!("\r\n{line}\r\n")), "{line} in {head}");
    }
    assert!(
        !head.contains("x-secret") && !head.contains("10.0.0.1") && !head.contains("h2c"),
        "{head}"
    );
}

#[tokio::test]
async fn an_absolute_target_becomes_the_host() {
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let mounted = Mounted::on(Server::Axum, to(&origin)).await;
    let request = UPGRADE_REQUEST.replace("GET /chat", "GET http://other.example/chat?x");
    let mut client = mounted.client_sending(request).await;
    switched(&mut client).await;
    let head = origin.connection(0).await.head().await.to_ascii_lowercase();
    assert!(head.starts_with("get /chat?x http/1.1\r\n"), "{head}");
    assert!(head.contains("\r\nhost: other.example\r\n"), "{head}");
}

#[tokio::test]
async fn late_data_after_a_half_close_arrives() {
    let script = Script::new()
        .read_head()
        .switch()
        .read(5)
        .pause(std::time::Duration::from_millis(300));
    let origin = ScriptedOrigin::start(script.send("late").close()).await;
    let mounted = Mounted::on(Server::Axum, to(&origin)).await;
    let mut client = mounted.client_sending(format!("{UPGRADE_REQUEST}hello")).await;
    switched(&mut client).await;
    client.end_writes().await;
    assert_eq!(client.rest().await, b"late");
}

#[tokio::test]
async fn a_reset_reaches_the_other_side() {
    let origin = ScriptedOrigin::start(Script::new().read_head().switch().read(5).reset()).await;
    let (config, ends) = reporting();
    let mounted = Mounted::on(Server::Axum, to(&origin).config(config)).await;
    let mut client = mounted.client_sending(UPGRADE_REQUEST).await;
    switched(&mut client).await;
    client.send("hello").await;
    assert_eq!(client.rest_until_reset().await, b"");
    assert_eq!(end_of(ends).await.result.unwrap_err().side(), Side::Upstream);
}

#[tokio::test]
async fn a_stream_of_an_unknown_type_is_carried_as_it_is() {
    /// A stream that this crate does not know.
    struct Unknown(tokio::net::TcpStream);

    impl tokio::io::AsyncRead for Unknown {
        fn poll_read(
            mut self: std::pin::Pin<&mut Self>,
            cx: &mut std::task::Context<'_>,
            into: &mut tokio::io::ReadBuf<'_>,
        ) -> std::task::Poll<std::io::Result<()>> {
            std::pin::Pin::new(&mut self.0).poll_read(cx, into)
        }
    }

    impl tokio::io::AsyncWrite for Unknown {
        fn poll_write(
            mut self: std::pin::Pin<&mut Self>,
            cx: &mut std::task::Context<'_>,
            bytes: &[u8],
        ) -> std::task::Poll<std::io::Result<usize>> {
            std::pin::Pin::new(&mut self.0).poll_write(cx, bytes)
        }

        fn poll_flush(
            mut self: std::pin::Pin<&mut Self>,
            cx: &mut std::task::Context<'_>,
        ) -> std::task::Poll<std::io::Result<()>> {
            std::pin::Pin::new(&mut self.0).poll_flush(cx)
        }

        fn poll_shutdown(
            mut self: std::pin::Pin<&mut Self>,
            cx: &mut std::task::Context<'_>,
        ) -> std::task::Poll<std::io::Result<()>> {
            std::pin::Pin::new(&mut self.0).poll_shutdown(cx)
        }
    }

    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let (config, ends) = reporting();
    let service = to(&origin).config(config);
    let mounted = Mounted::serving(move |stream| {
        let service = hyper_util::service::TowerToHyperService::new(with_peer(&service, &stream));
        async move {
            let io = hyper_util::rt::TokioIo::new(Unknown(stream));
            let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            let _ = builder.serve_connection_with_upgrades(io, service).await;
        }
    })
    .await;
    let mut client = mounted.client_sending(format!("{UPGRADE_REQUEST}hello")).await;
    switched(&mut client).await;
    client.receives(b"hello").await;
    client.end_writes().await;
    client.ends().await;
    let ended = end_of(ends).await;
    assert!(!ended.taken_back && !ended.plain, "and it says so");
    assert_eq!(ended.result.unwrap().from_downstream(), 5);
}

#[tokio::test]
async fn the_task_of_a_tunnel_runs_where_the_caller_says() {
    #[derive(Clone, Default)]
    struct Collected(Arc<Mutex<Vec<Task>>>);

    impl hyper::rt::Executor<Task> for Collected {
        fn execute(&self, task: Task) {
            self.0.lock().unwrap().push(task);
        }
    }

    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let tasks = Collected::default();
    let config = ServiceConfig::default().executor(tasks.clone());
    let mounted = Mounted::on(Server::Axum, to(&origin).config(config)).await;
    let mut client = mounted.client_sending(format!("{UPGRADE_REQUEST}hello")).await;
    switched(&mut client).await;
    client
        .receives_nothing_for(std::time::Duration::from_millis(100))
        .await;
    let task = tasks.0.lock().unwrap().pop().expect("it was handed over");
    tokio::spawn(task);
    client.receives(b"hello").await;
}

#[tokio::test]
async fn layers_of_others_around_it_are_no_obstacle() {
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let service = tower_http::trace::TraceLayer::new_for_http().layer(to(&origin));
    let named = tower_http::set_header::SetResponseHeaderLayer::overriding(
        http::HeaderName::from_static("x-served-by"),
        http::HeaderValue::from_static("the app"),
    );
    let app = Router::new().nest_service("/live", service).layer(named);
    let mounted = Mounted::router(app).await;
    let mut client = mounted
        .client_sending(UPGRADE_REQUEST.replace("/chat", "/live/chat?x"))
        .await;
    let head = client.head().await;
    assert_eq!(
        (head.status.as_u16(), &head.headers["x-served-by"]),
        (101, &"the app".parse().unwrap())
    );
    client.send("hello").await;
    client.receives(b"hello").await;
    // axum takes the prefix of a nest away.
    assert!(
        origin
            .connection(0)
            .await
            .head()
            .await
            .starts_with("GET /chat?x HTTP/1.1\r\n")
    );
}

/// hyper takes a client that ends its write side for one that has left, unless it is configured to go on.
#[tokio::test]
async fn a_client_that_ends_its_write_side_before_the_switch_under_hyper_s_half_close() {
    let script = Script::new()
        .read_head()
        .pause(std::time::Duration::from_millis(50))
        .switch()
        .send("what follows")
        .echo()
        .close();
    let origin = ScriptedOrigin::start(script).await;
    let service = to(&origin);
    let mounted = Mounted::serving(move |stream| {
        let service = hyper_util::service::TowerToHyperService::new(with_peer(&service, &stream));
        async move {
            let connection = hyper::server::conn::http1::Builder::new()
                .half_close(true)
                .serve_connection(hyper_util::rt::TokioIo::new(stream), service)
                .with_upgrades();
            let _ = connection.await;
        }
    })
    .await;
    let mut client = mounted.client_sending(UPGRADE_REQUEST).await;
    client.end_writes().await;
    switched(&mut client).await;
    client.receives(b"what follows").await;
    client.ends().await;
}

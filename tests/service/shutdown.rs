//! One call ends a server and its tunnels, whatever the clients speak, with tunnels open or not.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use axum::serve::{Listener, ListenerExt};
use h2::ext::Protocol;
use http::Request;
use switchover::TcpConnect;
use switchover::service::{Shutdown, UpgradeService};
use switchover::test_util::{Script, ScriptedClient, ScriptedOrigin, TIMEOUT, UPGRADE_REQUEST};
use switchover::tls::{ServerStream, TlsAcceptor, TlsClientConfig, TlsConnect, TlsServerConfig};
use switchover::tunnel::{AnyStream, End, Schedule, Tunnels};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::{end_of, reporting};

/// An application under [`Shutdown`].
struct App {
    address: SocketAddr,
    tunnels: Tunnels,
    /// Somebody has asked for what never comes.
    asked: Arc<Notify>,
    stop: oneshot::Sender<()>,
    /// What the server has returned, if it has ended.
    served: JoinHandle<Option<std::io::Result<()>>>,
    ends: std::sync::mpsc::Receiver<switchover::service::Ended>,
    /// For clients of TLS.
    roots: Vec<u8>,
    _origin: ScriptedOrigin,
}

/// A listener of TLS, for one connection at a time.
struct Encrypted(TcpListener, TlsAcceptor);

impl Listener for Encrypted {
    type Io = ServerStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        loop {
            let (stream, peer) = Listener::accept(&mut self.0).await;
            if let Ok(stream) = self.1.accept(stream).await {
                return (stream, peer);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

impl App {
    async fn start(tls: bool, limit: Duration) -> App {
        App::scheduled(Schedule::default(), tls, limit).await
    }

    async fn scheduled(schedule: Schedule, tls: bool, limit: Duration) -> App {
        let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
        let tunnels = Tunnels::new();
        let (config, ends) = reporting();
        let service = UpgradeService::new(TcpConnect::to(origin.address().to_string()))
            .config(config.tunnels(tunnels.clone()));
        let asked = Arc::new(Notify::new());
        let arrived = asked.clone();
        let never = move || {
            arrived.notify_one();
            std::future::pending::<&'static str>()
        };
        let app: Router = Router::new()
            .route("/page", get(|| async { "a page" }))
            .route("/never", get(never))
            .fallback_service(service);
        let app = app.into_make_service_with_connect_info::<SocketAddr>();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let signal = async { stopped.await.unwrap() };
        let shutdown = Shutdown::new(tunnels.clone()).schedule(schedule).timeout(limit);
        let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (pem, key) = (certified.cert.pem(), certified.signing_key.serialize_pem());
        let served = match tls {
            false => tokio::spawn(shutdown.serve(signal, |stop| {
                axum::serve(listener, app).with_graceful_shutdown(stop)
            })),
            true => {
                let acceptor =
                    TlsAcceptor::new(TlsServerConfig::from_pem(pem.as_str(), key).unwrap().http2());
                let listener = Encrypted(listener, acceptor).tap_io(|_| {});
                tokio::spawn(shutdown.serve(signal, |stop| {
                    axum::serve(listener, app).with_graceful_shutdown(stop)
                }))
            }
        };
        App {
            address,
            tunnels,
            asked,
            stop,
            served,
            ends,
            roots: pem.into_bytes(),
            _origin: origin,
        }
    }

    /// A connection, with TLS where there is some.
    async fn connection(&self, tls: bool, http2: bool) -> AnyStream {
        let tcp = TcpConnect::to(self.address.to_string());
        if !tls {
            return AnyStream::from(tcp.stream().await.unwrap());
        }
        let config = TlsClientConfig::builder().only_roots(self.roots.clone());
        let name = format!("localhost:{}", self.address.port());
        let connect = TlsConnect::to(name, config.build().unwrap()).unwrap();
        let connect = if http2 { connect.http2() } else { connect };
        AnyStream::new(connect.stream().await.unwrap())
    }
}

/// What is open when the signal comes. Kept until the server has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    Nothing,
    /// A connection that has had its answer, and could go on.
    Idle,
    Tunnel,
    TunnelOverHttp2,
}

impl Open {
    async fn at(self, app: &App, tls: bool) -> Box<dyn std::any::Any + Send> {
        if self == Open::Nothing {
            return Box::new(());
        }
        let mut stream = app.connection(tls, self == Open::TunnelOverHttp2).await;
        match self {
            Open::Nothing | Open::Idle => {
                let request = b"GET /page HTTP/1.1\r\nHost: a\r\n\r\n";
                stream.write_all(request).await.unwrap();
                reads(&mut stream, b"a page").await;
                Box::new(stream)
            }
            Open::Tunnel => {
                let request = format!("{UPGRADE_REQUEST}hello");
                stream.write_all(request.as_bytes()).await.unwrap();
                reads(&mut stream, b"hello").await;
                Box::new(stream)
            }
            Open::TunnelOverHttp2 => {
                let (mut send, mut connection) = h2::client::handshake(stream).await.unwrap();
                let mut pings = connection.ping_pong().unwrap();
                let driving = tokio::spawn(connection);
                pings.ping(h2::Ping::opaque()).await.unwrap();
                let request = Request::connect("http://a.example/chat")
                    .extension(Protocol::from_static("websocket"))
                    .header("sec-websocket-version", "13")
                    .body(());
                let (response, stream) = send.send_request(request.unwrap(), false).unwrap();
                let response = response.await.unwrap();
                assert_eq!(response.status(), 200);
                Box::new((send, stream, response, driving))
            }
        }
    }
}

async fn reads(stream: &mut AnyStream, expected: &[u8]) {
    let mut read = Vec::new();
    while !read.ends_with(expected) {
        let count = timeout(TIMEOUT, stream.read_buf(&mut read))
            .await
            .unwrap()
            .unwrap();
        assert!(count > 0, "{}", read.escape_ascii());
    }
}

#[tokio::test]
async fn whatever_is_open() {
    for tls in [false, true] {
        for open in [Open::Nothing, Open::Idle, Open::Tunnel, Open::TunnelOverHttp2] {
            let app = App::start(tls, Duration::from_secs(60)).await;
            let kept = open.at(&app, tls).await;
            let has_tunnel = matches!(open, Open::Tunnel | Open::TunnelOverHttp2);
            assert_eq!(app.tunnels.len(), usize::from(has_tunnel), "{open:?}, TLS: {tls}");
            app.stop.send(()).unwrap();
            // Long before the limit.
            let served = timeout(TIMEOUT, app.served).await;
            let served = served.unwrap_or_else(|_| panic!("no end: {open:?}, TLS: {tls}"));
            assert!(matches!(served.unwrap(), Some(Ok(()))), "{open:?}, TLS: {tls}");
            if has_tunnel {
                let end = end_of(app.ends).await.result.unwrap().end();
                assert_eq!(end, End::Drained, "{open:?}, TLS: {tls}");
            }
            drop(kept);
        }
    }
}

#[tokio::test]
async fn what_does_not_end_is_left_behind_at_the_limit() {
    let app = App::start(false, Duration::from_millis(100)).await;
    let mut stream = app.connection(false, false).await;
    let request = b"GET /never HTTP/1.1\r\nHost: a\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let arrived = app.asked.notified();
    timeout(TIMEOUT, arrived).await.unwrap();
    app.stop.send(()).unwrap();
    let served = timeout(TIMEOUT, app.served).await.unwrap().unwrap();
    assert!(served.is_none());
}

#[tokio::test]
async fn during_the_grace_upgrades_are_refused_and_pages_are_served() {
    let app = App::scheduled(
        Schedule::default().grace(Duration::from_millis(300)),
        false,
        TIMEOUT,
    )
    .await;
    app.stop.send(()).unwrap();
    while !app.tunnels.is_draining() {
        tokio::task::yield_now().await;
    }
    let mut refused = ScriptedClient::connect(app.address).await;
    refused.send(UPGRADE_REQUEST).await;
    assert_eq!(refused.head().await.status, 503);
    let mut served = ScriptedClient::connect(app.address).await;
    served
        .send("GET /page HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .await;
    assert_eq!(served.response().await.1, b"a page");
    let ended = timeout(TIMEOUT, app.served).await.unwrap().unwrap();
    assert!(matches!(ended, Some(Ok(()))));
}

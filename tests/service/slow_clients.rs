//! Clients that ask for much and take nothing, of a service in a server that has no deadline for them.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{Reason, RecvStream};
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use switchover::TcpConnect;
use switchover::connect::{Connect, ConnectError, ConnectRequest};
use switchover::service::{RelayConfig, ReverseProxy, ServiceConfig};
use switchover::test_util::{ScriptedClient, TIMEOUT};
use switchover::{TunnelConfig, UpgradeConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tower::util::MapRequest;

use crate::servers::{Mounted, SERVERS, Server};

const LIMIT: Duration = Duration::from_millis(400);

/// An origin whose answers have no end, and which says when one of its connections has been closed.
struct Origin {
    address: String,
    closed: mpsc::UnboundedReceiver<()>,
    _serving: JoinSet<()>,
}

impl Origin {
    async fn start(status: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (sender, closed) = mpsc::unbounded_channel();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let sender = sender.clone();
                connections.spawn(async move {
                    let mut head = [0; 4096];
                    let _ = stream.read(&mut head).await;
                    let head = format!("HTTP/1.1 {status}\r\nContent-Length: 1000000000\r\n\r\n");
                    let _ = stream.write_all(head.as_bytes()).await;
                    let piece = [b'x'; 16 * 1024];
                    while stream.write_all(&piece).await.is_ok() {}
                    let _ = sender.send(());
                });
            }
        });
        Origin {
            address,
            closed,
            _serving: serving,
        }
    }

    async fn is_let_go(&mut self, count: usize) {
        for _ in 0..count {
            let closed = timeout(TIMEOUT, self.closed.recv()).await;
            closed.expect("a connection that is let go").unwrap();
        }
    }

    fn proxy(&self) -> ReverseProxy<TcpConnect> {
        let tunnel = TunnelConfig::default().write_timeout(LIMIT);
        ReverseProxy::new(TcpConnect::to(&*self.address))
            .relay(RelayConfig::default().send_timeout(LIMIT))
            .config(ServiceConfig::default().upgrade(UpgradeConfig::default().tunnel(tunnel)))
    }
}

async fn client(mounted: &Mounted, window: u32) -> (SendRequest<Bytes>, JoinSet<()>) {
    let stream = TcpStream::connect(mounted.address).await.unwrap();
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(window);
    let (send, connection) = builder.handshake(stream).await.unwrap();
    let mut driving = JoinSet::new();
    driving.spawn(async move {
        let _ = connection.await;
    });
    (send, driving)
}

/// The end of a body.
async fn end_of(mut body: RecvStream) -> h2::Error {
    loop {
        if let Err(error) = timeout(TIMEOUT, body.data())
            .await
            .unwrap()
            .expect("no end in order")
        {
            return error;
        }
    }
}

#[tokio::test]
async fn over_http_2_the_upstream_is_let_go_and_the_stream_reset() {
    for server in [Server::Axum, Server::Auto] {
        for window in [0, 1, 65_535, 1_000_000] {
            let mut origin = Origin::start("200 OK").await;
            let mounted = Mounted::on(server, origin.proxy()).await;
            let (mut send, _driving) = client(&mounted, window).await;
            let mut bodies = Vec::new();
            for _ in 0..5 {
                let request = Request::get("http://a/").body(()).unwrap();
                let response = send.send_request(request, true).unwrap().0;
                bodies.push(timeout(TIMEOUT, response).await.unwrap().unwrap().into_body());
            }
            origin.is_let_go(5).await;
            for mut body in bodies {
                // A server that was given bytes which it had no room for asks for nothing before it has.
                let _ = body.flow_control().release_capacity(0);
                if window > 0 {
                    assert_eq!(
                        end_of(body).await.reason(),
                        Some(Reason::INTERNAL_ERROR),
                        "{server:?} {window}"
                    );
                }
            }
        }
    }
}

#[tokio::test]
async fn over_http_1_the_upstream_is_let_go_and_the_connection_broken_off() {
    let upgrade = "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    for server in SERVERS {
        for (status, request) in [
            ("200 OK", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
            ("403 Forbidden", upgrade),
        ] {
            let mut origin = Origin::start(status).await;
            let mounted = Mounted::on(server, origin.proxy()).await;
            let mut client = ScriptedClient::connect(mounted.address).await;
            client.send(request).await;
            origin.is_let_go(1).await;
            let mut received = 0;
            let mut space = [0; 64 * 1024];
            while let Ok(count @ 1..) = client.stream().read(&mut space).await {
                received += count;
            }
            assert!(received < 1_000_000_000, "{server:?} {status}");
        }
    }
}

/// An origin in memory, with one answer of so many bytes, which it ends when the proxy has let go of it.
#[derive(Clone)]
struct InMemory {
    length: usize,
    let_go: mpsc::UnboundedSender<()>,
}

impl Connect for InMemory {
    type Stream = DuplexStream;

    async fn connect(&self, _: ConnectRequest<'_>) -> Result<DuplexStream, ConnectError> {
        let (stream, mut far) = duplex(64 * 1024);
        let InMemory { length, let_go } = self.clone();
        tokio::spawn(async move {
            let _ = far.read(&mut [0; 4096]).await;
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
            let _ = far.write_all(head.as_bytes()).await;
            let _ = far.write_all(&vec![b'x'; length]).await;
            let _ = far.read(&mut [0; 1]).await;
            let _ = let_go.send(());
        });
        Ok(stream)
    }
}

/// Serves one connection, and returns the client's end of it.
fn serve_in_memory(length: usize, is_http1: bool) -> (DuplexStream, mpsc::UnboundedReceiver<()>) {
    let (let_go, is_let_go) = mpsc::unbounded_channel();
    // The default deadline, a minute.
    let proxy = ReverseProxy::new(InMemory { length, let_go });
    let service = TowerToHyperService::new(MapRequest::new(proxy, |mut request: Request<Incoming>| {
        let peer = SocketAddr::from(([127, 0, 0, 1], 1));
        request.extensions_mut().insert(peer);
        request
    }));
    let (client, near) = duplex(1024);
    tokio::spawn(async move {
        let near = TokioIo::new(near);
        if is_http1 {
            let _ = http1::Builder::new().serve_connection(near, service).await;
        } else {
            let builder = http2::Builder::new(TokioExecutor::new());
            let _ = builder.serve_connection(near, service).await;
        }
    });
    (client, is_let_go)
}

/// More than a piece of it takes longer than the deadline, at this rate.
const LONG: usize = 1_000_000;
const BYTES_A_SECOND: usize = 1000;
/// Longer than any of these stories, whose time is simulated.
const FOR_EVER: Duration = Duration::from_secs(24 * 60 * 60);

#[tokio::test(start_paused = true)]
async fn over_http_2_a_client_that_takes_little_gets_it_all_and_one_that_stops_is_reset() {
    for stops_after in [LONG, 100_000, 0] {
        let (near, mut let_go) = serve_in_memory(LONG, false);
        let mut builder = h2::client::Builder::new();
        // It makes a window as large again when half of it is used up.
        builder.initial_window_size(2 * BYTES_A_SECOND as u32);
        let (mut send, connection) = builder.handshake::<_, Bytes>(near).await.unwrap();
        tokio::spawn(connection);
        let request = Request::get("http://a/").body(()).unwrap();
        let response = send.send_request(request, true).unwrap().0.await.unwrap();
        let mut body = response.into_body();
        let mut taken = 0;
        let mut is_reset = false;
        while let Some(data) = timeout(FOR_EVER, body.data()).await.expect("an end") {
            let Ok(data) = data else {
                is_reset = true;
                break;
            };
            taken += data.len();
            if taken <= stops_after {
                sleep(Duration::from_millis(data.len() as u64)).await;
                body.flow_control().release_capacity(data.len()).unwrap();
            }
        }
        assert_eq!(is_reset, stops_after < LONG, "{stops_after}: {taken} bytes");
        assert_eq!(taken == LONG, stops_after == LONG, "{stops_after}: {taken} bytes");
        if stops_after < LONG {
            let is_let_go = timeout(FOR_EVER, let_go.recv()).await;
            is_let_go.expect("a connection that is let go").unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn over_http_1_a_client_that_takes_little_gets_it_all_and_one_that_stops_is_cut_off() {
    for stops_after in [LONG, 100_000, 0] {
        let (mut client, mut let_go) = serve_in_memory(LONG, true);
        client
            .write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            .await
            .unwrap();
        let mut taken = 0;
        let mut space = [0; BYTES_A_SECOND];
        while taken <= stops_after {
            match timeout(FOR_EVER, client.read(&mut space)).await.expect("an end") {
                Ok(count @ 1..) => taken += count,
                _ => break,
            }
            sleep(Duration::from_secs(1)).await;
        }
        assert_eq!(taken > LONG, stops_after == LONG, "{stops_after}: {taken} bytes");
        if stops_after < LONG {
            let is_let_go = timeout(FOR_EVER, let_go.recv()).await;
            is_let_go.expect("a connection that is let go").unwrap();
        }
    }
}

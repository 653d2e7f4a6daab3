//! What is left in memory when everything is over: as many allocations after many tunnels, refusals and failures as after few.
//!
//! Allocations are counted, all of this process, so that this file has one test. Streams are in memory and time is simulated: what is kept
//! for a while is gone when it is looked at.

use std::alloc::System;
use std::future::{pending, poll_fn};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::ext::Protocol;
use http::Request;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use support::certificates::{Authority, NOW, VERSIONS};
use switchover::connect::{Connect, ConnectError, ConnectRequest, Pooling};
use switchover::gateway::GatewayConfig;
use switchover::http1::{HeadLimits, Parsed, parse_request};
use switchover::http2::{Http2Config, Http2Connect, Http2Server, Http2ServerConfig, RequestBody};
use switchover::service::{ReverseProxy, ServiceConfig};
use switchover::test_util::{UPGRADE_REQUEST, switching_protocols};
use switchover::tls::{TlsAcceptor, TlsClientConfig, TlsConnect, TlsServerConfig};
use switchover::tunnel::{AnyStream, Cap, MessageLimits, PeerCap, Tunnels, WebSocketConfig};
use switchover::upstream::{Group, Server};
use switchover::{Gateway, UpgradeConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tower::util::MapRequest;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// How often each thing is done between two looks.
const TIMES: usize = 16;
/// How many allocations may come and go with chance, a task that is about to end or a table that has grown: fewer than one for each
/// thing that was done.
const CHANCE: isize = TIMES as isize / 4;

/// How many allocations there are.
fn live() -> isize {
    let stats = ALLOCATOR.stats();
    stats.allocations as isize - stats.deallocations as isize
}

/// Does it `TIMES` times, three times over, and looks when all of it is over.
async fn leaves_nothing(name: &str, mut once: impl AsyncFnMut()) {
    let mut found = [0; 3];
    for found in &mut found {
        for _ in 0..TIMES {
            timeout(Duration::from_secs(3600), once())
                .await
                .unwrap_or_else(|_| panic!("{name}: no end"));
        }
        // What is remembered for a while is forgotten when something comes after it.
        sleep(Duration::from_secs(20)).await;
        once().await;
        sleep(Duration::from_secs(20)).await;
        *found = live();
    }
    // The first time there is what is made once and kept.
    let more = found[2] - found[1];
    assert!(
        more <= CHANCE,
        "{name}: {more} allocations more after {TIMES}: {found:?}"
    );
}

/// How an origin in memory answers.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Origin {
    /// Switches, and sends everything back.
    Echo,
    /// Switches, and is gone after the first bytes.
    Leaves,
    Declines,
    /// Answers what nobody can take for a switch.
    Garbage,
    /// Never.
    Silent,
    /// Cannot be connected to.
    Away,
    /// A request that is no upgrade.
    Ordinary,
}

const DECLINE: &[u8] = b"HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nsorry\r\n0\r\n\r\n";
const ORDINARY: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

impl Origin {
    async fn serve(self, mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        let Ok(Parsed::Complete { parts, .. }) = parse_request(&head, &HeadLimits::default()) else {
            panic!("{}", head.escape_ascii());
        };
        match self {
            Origin::Echo | Origin::Leaves => {
                stream.write_all(&switching_protocols(&parts)).await?;
                if self == Origin::Leaves {
                    stream.read_u8().await?;
                    return Ok(());
                }
                let (mut reader, mut writer) = tokio::io::split(stream);
                tokio::io::copy(&mut reader, &mut writer).await?;
                writer.shutdown().await
            }
            Origin::Declines => stream.write_all(DECLINE).await,
            Origin::Ordinary => stream.write_all(ORDINARY).await,
            Origin::Garbage => {
                stream
                    .write_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
                    .await
            }
            // Until the proxy gives it up.
            Origin::Silent => stream.read_u8().await.map(drop),
            Origin::Away => Ok(()),
        }
    }
}

/// Connects to an origin in memory, which answers so this time.
#[derive(Clone)]
struct Memory {
    origin: Arc<Mutex<Origin>>,
    tls: Option<TlsServerConfig>,
}

impl Memory {
    fn new(tls: Option<TlsServerConfig>) -> Self {
        let origin = Arc::new(Mutex::new(Origin::Echo));
        Memory { origin, tls }
    }

    fn answers(&self, origin: Origin) {
        *self.origin.lock().unwrap() = origin;
    }
}

impl Connect for Memory {
    type Stream = DuplexStream;

    async fn connect(&self, _: ConnectRequest<'_>) -> Result<DuplexStream, ConnectError> {
        let origin = *self.origin.lock().unwrap();
        if origin == Origin::Away {
            let error = io::ErrorKind::ConnectionRefused.into();
            let name = "an origin in memory".to_owned();
            return Err(ConnectError::Failed { name, error });
        }
        let (near, far) = duplex(4096);
        let tls = self.tls.clone();
        tokio::spawn(async move {
            match tls {
                None => origin.serve(far).await,
                Some(tls) => match TlsAcceptor::new(tls).accept(far).await {
                    Ok(stream) => origin.serve(stream).await,
                    Err(_) => Ok(()),
                },
            }
        });
        Ok(near)
    }

    fn pooling(&self) -> Pooling {
        Pooling::Shared
    }
}

/// What a client does.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Client {
    /// Talks for a while, and closes.
    Talks,
    /// Is gone as soon as it has asked.
    Leaves,
    /// Asks for what is refused.
    Misasks,
    /// Asks for no upgrade.
    Asks,
}

/// Everything that may become of an upgrade.
const STORIES: [(Client, Origin); 9] = [
    (Client::Talks, Origin::Echo),
    (Client::Talks, Origin::Leaves),
    (Client::Talks, Origin::Declines),
    (Client::Talks, Origin::Garbage),
    (Client::Talks, Origin::Silent),
    (Client::Talks, Origin::Away),
    (Client::Leaves, Origin::Silent),
    (Client::Leaves, Origin::Echo),
    (Client::Misasks, Origin::Echo),
];

/// A client of HTTP/1.1, until its connection has ended.
async fn http1(client: Client, mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    let request = match client {
        Client::Misasks => UPGRADE_REQUEST.replace("Sec-WebSocket-Key: ", "Sec-WebSocket-Key: x"),
        Client::Asks => "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".to_owned(),
        Client::Talks | Client::Leaves => UPGRADE_REQUEST.to_owned(),
    };
    stream.write_all(request.as_bytes()).await?;
    if client == Client::Leaves {
        tokio::task::yield_now().await;
        return Ok(());
    }
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    if head.starts_with(b"HTTP/1.1 101 ") {
        for _ in 0..3 {
            stream.write_all(TEXT).await?;
            let mut echo = [0; TEXT.len()];
            stream.read_exact(&mut echo).await?;
        }
        stream.shutdown().await?;
    }
    stream.read_to_end(&mut Vec::new()).await.map(drop)
}

/// A frame of a client's, whose mask is zero.
const TEXT: &[u8] = b"\x81\x85\0\0\0\0hello";

fn config(frames: bool) -> UpgradeConfig {
    let config = UpgradeConfig::default()
        .handshake_timeout(Duration::from_secs(2))
        .cap(Cap::new(100))
        .peer_cap(PeerCap::new(100))
        .tunnels(Tunnels::new());
    match frames {
        false => config,
        true => {
            let limits = MessageLimits::default().max_message_bytes(1000);
            config.websocket(
                WebSocketConfig::default()
                    .ping_interval(Duration::from_secs(10))
                    .limits(limits),
            )
        }
    }
}

/// Another client each time.
fn peer() -> SocketAddr {
    static LAST: AtomicUsize = AtomicUsize::new(0);
    let number = u32::try_from(LAST.fetch_add(1, Ordering::Relaxed)).unwrap();
    (Ipv4Addr::from(0x0a00_0000 + number), 1000).into()
}

struct Certificates {
    server: TlsServerConfig,
    client: TlsClientConfig,
    rustls: Arc<tokio_rustls::rustls::ClientConfig>,
}

impl Certificates {
    fn new() -> Self {
        let authority = Authority::new();
        let identity = authority.issue(&["localhost"], NOW);
        Certificates {
            server: TlsServerConfig::from_pem(identity.chain, identity.key).unwrap(),
            client: TlsClientConfig::builder()
                .only_roots(authority.pem.clone())
                .build()
                .unwrap(),
            rustls: Arc::new(authority.client(&VERSIONS, None)),
        }
    }
}

/// What a client does with whatever serves it.
async fn relayed<F>(client: Client, serve: impl FnOnce(DuplexStream) -> F)
where
    F: Future<Output: Send> + Send + 'static,
{
    let (near, far) = duplex(4096);
    let serving = tokio::spawn(serve(far));
    let _ = http1(client, near).await;
    let _ = serving.await.unwrap();
}

async fn by_gateways(certificates: &Certificates) {
    for frames in [false, true] {
        let origin = Memory::new(None);
        let gateway_config = GatewayConfig::default().upgrade(config(frames));
        let gateway = Gateway::builder(origin.clone())
            .config(gateway_config.clone())
            .build();
        let secure = Memory::new(Some(certificates.server.clone()));
        let connect = TlsConnect::new(secure.clone(), "localhost", certificates.client.clone()).unwrap();
        let secured = Gateway::builder(connect).config(gateway_config).build();
        for (client, answer) in STORIES {
            leaves_nothing(
                &format!("gateway, frames {frames}: {client:?}, {answer:?}"),
                async || {
                    origin.answers(answer);
                    let gateway = gateway.clone();
                    let serve = |far| async move { gateway.serve(far, peer()).await.map(drop) };
                    relayed(client, serve).await;
                },
            )
            .await;
            if !frames {
                // What TLS leaves is the same either way, and its handshakes take their time.
                continue;
            }
            leaves_nothing(&format!("gateway, TLS: {client:?}, {answer:?}"), async || {
                secure.answers(answer);
                let (near, far) = duplex(4096);
                let serving = tokio::spawn({
                    let (gateway, tls) = (secured.clone(), certificates.server.clone());
                    async move {
                        let stream = TlsAcceptor::new(tls).accept(far).await.unwrap();
                        gateway.serve(AnyStream::new(stream), peer()).await.map(drop)
                    }
                });
                let connector = TlsConnector::from(certificates.rustls.clone());
                let name = ServerName::try_from("localhost").unwrap();
                let _ = http1(client, connector.connect(name, near).await.unwrap()).await;
                let _ = serving.await.unwrap();
            })
            .await;
        }
    }
}

async fn by_services() {
    let origin = Memory::new(None);
    let group = Group::builder()
        .server(Server::new("memory", origin.clone()))
        .build();
    let service = ReverseProxy::new(group).config(ServiceConfig::default().upgrade(config(true)));
    for (client, answer) in STORIES.into_iter().chain([(Client::Asks, Origin::Ordinary)]) {
        leaves_nothing(&format!("service: {client:?}, {answer:?}"), async || {
            origin.answers(answer);
            let (near, far) = duplex(4096);
            let service = MapRequest::new(service.clone(), |mut request: Request<hyper::body::Incoming>| {
                request.extensions_mut().insert(peer());
                request
            });
            let serving = tokio::spawn(async move {
                hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(far), TowerToHyperService::new(service))
                    .with_upgrades()
                    .await
            });
            let _ = http1(client, near).await;
            let _ = serving.await.unwrap();
        })
        .await;
    }
}

/// A stream of a client of HTTP/2's, until it has ended.
async fn http2(client: Client, send: &mut SendRequest<Bytes>) -> Result<(), h2::Error> {
    poll_fn(|cx| send.poll_ready(cx)).await?;
    let request = Request::connect("https://a/").extension(Protocol::from_static("websocket"));
    let request = match client {
        Client::Misasks => request.header("sec-websocket-version", "12"),
        Client::Asks => Request::get("https://a/"),
        Client::Talks | Client::Leaves => request.header("sec-websocket-version", "13"),
    };
    let ends = client == Client::Asks;
    let (response, mut stream) = send.send_request(request.body(()).unwrap(), ends)?;
    if client == Client::Leaves {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        return Ok(());
    }
    let response = response.await?;
    let is_open = response.status() == 200 && !ends;
    let mut body = response.into_body();
    if is_open {
        for _ in 0..3 {
            stream.send_data(Bytes::from_static(TEXT), false)?;
            let mut left = TEXT.len();
            while left > 0 {
                let data = body.data().await.ok_or(h2::Reason::STREAM_CLOSED)??;
                body.flow_control().release_capacity(data.len())?;
                left -= data.len().min(left);
            }
        }
        stream.send_data(Bytes::new(), true)?;
    }
    while let Some(data) = body.data().await {
        data?;
    }
    Ok(())
}

async fn connected(stream: DuplexStream) -> (SendRequest<Bytes>, JoinHandle<()>) {
    let (send, connection) = h2::client::handshake(stream).await.unwrap();
    let driving = tokio::spawn(async move {
        let _ = connection.await;
    });
    // The server's settings.
    while !send.is_extended_connect_protocol_enabled() {
        tokio::task::yield_now().await;
    }
    (send, driving)
}

/// On one connection that stays, and on a connection for each.
async fn by_servers_of_http2() {
    for stays in [true, false] {
        let origin = Memory::new(None);
        let service =
            ReverseProxy::new(origin.clone()).config(ServiceConfig::default().upgrade(config(true)));
        let serve = || {
            let (near, far) = duplex(1 << 16);
            let service = MapRequest::new(service.clone(), |mut request: Request<RequestBody>| {
                request.extensions_mut().insert(peer());
                request
            });
            let server = Http2Server::new(Http2ServerConfig::default());
            tokio::spawn(async move { server.serve(far, service, pending()).await.map(drop) });
            connected(near)
        };
        for (client, answer) in STORIES.into_iter().chain([(Client::Asks, Origin::Ordinary)]) {
            let (mut kept, driving) = serve().await;
            leaves_nothing(&format!("HTTP/2, {stays}: {client:?}, {answer:?}"), async || {
                origin.answers(answer);
                if stays {
                    let _ = http2(client, &mut kept).await;
                    return;
                }
                let (mut send, driving) = serve().await;
                let _ = http2(client, &mut send).await;
                drop(send);
                driving.await.unwrap();
            })
            .await;
            drop(kept);
            driving.await.unwrap();
        }
    }
}

/// An upstream of HTTP/2 in memory.
#[derive(Clone)]
struct Http2Memory(Memory);

impl Connect for Http2Memory {
    type Stream = DuplexStream;

    async fn connect(&self, _: ConnectRequest<'_>) -> Result<DuplexStream, ConnectError> {
        let (near, far) = duplex(1 << 16);
        let service = ReverseProxy::new(self.0.clone());
        let service = MapRequest::new(service, |mut request: Request<RequestBody>| {
            request.extensions_mut().insert(peer());
            request
        });
        let server = Http2Server::new(Http2ServerConfig::default());
        tokio::spawn(async move { server.serve(far, service, pending()).await.map(drop) });
        Ok(near)
    }

    fn pooling(&self) -> Pooling {
        Pooling::Shared
    }
}

async fn to_upstreams_of_http2() {
    // Kept for as long as tunnels come, and closed after each.
    for idle in [Duration::from_secs(60), Duration::ZERO] {
        let origin = Memory::new(None);
        let connect = Http2Connect::new(Http2Memory(origin.clone()));
        let connect = connect.config(Http2Config::default().idle_timeout(idle));
        let gateway = Gateway::builder(connect)
            .config(GatewayConfig::default().upgrade(config(true)))
            .build();
        for (client, answer) in STORIES {
            leaves_nothing(
                &format!("to HTTP/2, idle {idle:?}: {client:?}, {answer:?}"),
                async || {
                    origin.answers(answer);
                    let gateway = gateway.clone();
                    let serve = |far| async move { gateway.serve(far, peer()).await.map(drop) };
                    relayed(client, serve).await;
                },
            )
            .await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_left_of_what_is_over() {
    // That it would be found.
    let local = tokio::task::LocalSet::new();
    let found = local.run_until(async {
        tokio::task::spawn_local(async {
            let mut kept = Vec::new();
            leaves_nothing("a box that is kept", async || kept.push(Box::new(1))).await;
        })
        .await
    });
    assert!(found.await.is_err(), "what is kept is not counted");
    let certificates = Certificates::new();
    by_gateways(&certificates).await;
    by_services().await;
    by_servers_of_http2().await;
    to_upstreams_of_http2().await;
}

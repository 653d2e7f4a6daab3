//! Proxies in a process of their own, started by the bench with a word of its own on the command line: what people
//! write today, hyper on both sides and `tokio::io::copy_bidirectional` between the two upgraded connections, and an
//! axum application that asks by hyper-util's client; an axum application with the crate's service mounted in it; the crate's gateway in
//! front of an upstream that speaks HTTP/2; and what is the least that a proxy can cost: relays without HTTP on tokio, and an upgrade
//! that axum takes in and nobody checks.

use std::env;
use std::io;
use std::net::SocketAddr;
use std::process::Command;

use axum::body::Body;
use axum::response::IntoResponse;
use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::header::UPGRADE;
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use switchover::service::ReverseProxy;
use switchover::{TcpConnect, Tunnel};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::http2_upstream;

/// Who serves.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Baseline {
    Hyper,
    Axum,
    AxumClient,
    /// An upgrade that axum takes in, without a check of anything.
    AxumBare,
    /// No HTTP: each connection is one to the upstream, and their bytes are copied.
    Copy,
    /// The same with a tunnel of the crate's.
    Tunnel,
    Http2Upstream,
}

type Pool = Client<HttpConnector, Body>;

impl Baseline {
    /// By the word for it.
    pub(crate) fn named(name: &str) -> Option<Self> {
        use Baseline::{Axum, AxumBare, AxumClient, Copy, Http2Upstream, Hyper, Tunnel};
        [Hyper, Axum, AxumBare, AxumClient, Copy, Tunnel, Http2Upstream]
            .into_iter()
            .find(|baseline| baseline.name() == name)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Baseline::Hyper => "hyper",
            Baseline::Axum => "axum",
            Baseline::AxumClient => "axum-client",
            Baseline::AxumBare => "axum-bare",
            Baseline::Copy => "tokio-copy",
            Baseline::Tunnel => "tunnel-alone",
            Baseline::Http2Upstream => "http2-upstream",
        }
    }

    /// What starts it in a process of its own.
    pub(crate) fn command(self, listen: &str, upstream: SocketAddr) -> io::Result<Command> {
        let mut command = Command::new(env::current_exe()?);
        command.args(["baseline", self.name(), listen, &upstream.to_string()]);
        Ok(command)
    }

    /// Serves until it is killed.
    pub(crate) fn run(self, listen: SocketAddr, upstream: SocketAddr) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let socket = TcpSocket::new_v4()?;
            socket.set_reuseaddr(true)?;
            // What it accepts inherits this on Linux.
            socket.set_nodelay(true)?;
            socket.bind(listen)?;
            let listener: TcpListener = socket.listen(4096)?;
            match self {
                Baseline::Hyper => relay(listener, upstream).await,
                Baseline::Axum => mount(listener, upstream).await,
                Baseline::AxumClient => ask(listener, upstream).await,
                Baseline::AxumBare => switch(listener, upstream).await,
                Baseline::Copy => carry(listener, upstream, copy).await,
                Baseline::Tunnel => carry(listener, upstream, tunnel).await,
                Baseline::Http2Upstream => http2_upstream::relay(listener, upstream).await,
            }
        })
    }
}

async fn mount(listener: TcpListener, upstream: SocketAddr) -> io::Result<()> {
    let service = ReverseProxy::new(TcpConnect::to(upstream.to_string()));
    let app = axum::Router::new().fallback_service(service);
    axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await
}

fn pool() -> Pool {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new()).build(connector)
}

fn at(upstream: SocketAddr, uri: &Uri) -> Uri {
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    format!("http://{upstream}{target}").parse().unwrap_or_default()
}

async fn ask(listener: TcpListener, upstream: SocketAddr) -> io::Result<()> {
    let pool = pool();
    let handler = move |mut request: Request<Body>| {
        let pool = pool.clone();
        async move {
            *request.uri_mut() = at(upstream, request.uri());
            match pool.request(request).await {
                Ok(answer) => answer.map(Body::new),
                Err(_) => {
                    let mut answer = Response::new(Body::empty());
                    *answer.status_mut() = StatusCode::BAD_GATEWAY;
                    answer
                }
            }
        }
    };
    axum::serve(listener, axum::Router::new().fallback(handler)).await
}

/// What an upgrade costs in axum by itself: the client's fields go up as they came, and whatever the upstream answers comes back.
async fn switch(listener: TcpListener, upstream: SocketAddr) -> io::Result<()> {
    let handler = move |request: Request<Body>| async move {
        let answer = switch_one(request, upstream).await;
        answer.unwrap_or_else(|_| StatusCode::BAD_GATEWAY.into_response())
    };
    axum::serve(listener, axum::Router::new().fallback(handler)).await
}

async fn switch_one(mut request: Request<Body>, upstream: SocketAddr) -> io::Result<Response<Body>> {
    let target = request
        .uri()
        .path_and_query()
        .map_or("/", |target| target.as_str());
    let mut head = format!("GET {target} HTTP/1.1\r\n").into_bytes();
    for (name, value) in request.headers() {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            head.extend_from_slice(part);
        }
    }
    head.extend_from_slice(b"\r\n");
    let mut origin = TcpStream::connect(upstream).await?;
    origin.set_nodelay(true)?;
    origin.write_all(&head).await?;
    head.clear();
    while !head.ends_with(b"\r\n\r\n") {
        if origin.read_buf(&mut head).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let client = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        if let Ok(client) = client.await {
            let _ = tokio::io::copy_bidirectional(&mut TokioIo::new(client), &mut origin).await;
        }
    });
    let mut answer = Response::builder().status(StatusCode::SWITCHING_PROTOCOLS);
    let text = String::from_utf8(head).map_err(io::Error::other)?;
    for (name, value) in text.lines().filter_map(|line| line.split_once(": ")) {
        answer = answer.header(name, value);
    }
    answer.body(Body::empty()).map_err(io::Error::other)
}

/// What a gateway costs that reads nothing: for each connection a task, a connection to the upstream, and what moves the bytes.
async fn carry<F>(
    listener: TcpListener,
    upstream: SocketAddr,
    moving: fn(TcpStream, TcpStream) -> F,
) -> io::Result<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    loop {
        let (client, _) = listener.accept().await?;
        tokio::spawn(async move {
            if let Ok(origin) = TcpStream::connect(upstream).await {
                let _ = origin.set_nodelay(true);
                moving(client, origin).await;
            }
        });
    }
}

async fn copy(mut client: TcpStream, mut origin: TcpStream) {
    let _ = tokio::io::copy_bidirectional(&mut client, &mut origin).await;
}

async fn tunnel(client: TcpStream, origin: TcpStream) {
    let _ = Tunnel::new(client, origin).run().await;
}

async fn relay(listener: TcpListener, upstream: SocketAddr) -> io::Result<()> {
    let pool = pool();
    loop {
        let (client, _) = listener.accept().await?;
        let pool = pool.clone();
        tokio::spawn(async move {
            let service = hyper::service::service_fn(move |request| forward(request, pool.clone(), upstream));
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(client), service)
                .with_upgrades();
            let _ = connection.await;
        });
    }
}

async fn forward(
    mut request: Request<Incoming>,
    pool: Pool,
    upstream: SocketAddr,
) -> Result<Response<Body>, Box<dyn std::error::Error + Send + Sync>> {
    if !request.headers().contains_key(UPGRADE) {
        *request.uri_mut() = at(upstream, request.uri());
        return Ok(pool.request(request.map(Body::new)).await?.map(Body::new));
    }
    let origin = TcpStream::connect(upstream).await?;
    origin.set_nodelay(true)?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(origin)).await?;
    tokio::spawn(connection.with_upgrades());

    let client = hyper::upgrade::on(&mut request);
    let (head, _) = request.into_parts();
    let mut answer = sender
        .send_request(Request::from_parts(head, Empty::<Bytes>::new()))
        .await?;
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        let origin = hyper::upgrade::on(&mut answer);
        tokio::spawn(async move {
            if let Ok((client, origin)) = tokio::try_join!(client, origin) {
                let (mut client, mut origin) = (TokioIo::new(client), TokioIo::new(origin));
                let _ = tokio::io::copy_bidirectional(&mut client, &mut origin).await;
            }
        });
    }
    Ok(answer.map(|_| Body::empty()))
}

//! Proxies in a process of their own, started by the bench with a word of its own on the command line: what people
//! write today, hyper on both sides and `tokio::io::copy_bidirectional` between the two upgraded connections; and an
//! axum application with the crate's service mounted in it.

use std::io;
use std::net::SocketAddr;

use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use switchover::TcpConnect;
use switchover::service::UpgradeService;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// Who serves.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Baseline {
    Hyper,
    Axum,
}

impl Baseline {
    /// By the word for it.
    pub(crate) fn named(name: &str) -> Option<Self> {
        [Baseline::Hyper, Baseline::Axum]
            .into_iter()
            .find(|baseline| baseline.name() == name)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Baseline::Hyper => "hyper",
            Baseline::Axum => "axum",
        }
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
            }
        })
    }
}

async fn mount(listener: TcpListener, upstream: SocketAddr) -> io::Result<()> {
    let service = UpgradeService::new(TcpConnect::to(upstream.to_string()));
    axum::serve(listener, axum::Router::new().fallback_service(service)).await
}

async fn relay(listener: TcpListener, upstream: SocketAddr) -> io::Result<()> {
    loop {
        let (client, _) = listener.accept().await?;
        tokio::spawn(async move {
            let service = hyper::service::service_fn(move |request| forward(request, upstream));
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(client), service)
                .with_upgrades();
            let _ = connection.await;
        });
    }
}

async fn forward(
    mut request: Request<Incoming>,
    upstream: SocketAddr,
) -> Result<Response<Empty<Bytes>>, Box<dyn std::error::Error + Send + Sync>> {
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
    Ok(answer.map(|_| Empty::new()))
}

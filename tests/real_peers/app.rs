//! An axum application with a service of the crate in it, on a thread of its own, and what it was asked.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{ConnectInfo, Request};
use axum::middleware::{self, Next};
use axum::serve::{Listener, ListenerExt};
use switchover::header::Hop;
use switchover::service::{ReverseProxy, ServiceConfig};
use switchover::tls::{ServerStream, TlsAcceptor, TlsServerConfig};
use switchover::{Connect, TcpConnect};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};

use crate::over_tls::Files;

/// Ends when it is dropped.
pub(crate) struct App {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    runtime: Option<Runtime>,
}

/// Clients over TLS, one handshake after the other.
struct TlsListener {
    tcp: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for TlsListener {
    type Io = ServerStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        loop {
            let (stream, peer) = Listener::accept(&mut self.tcp).await;
            let _ = stream.set_nodelay(true);
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, peer);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

impl App {
    /// Hands everything over to one server.
    pub(crate) fn to(upstream: SocketAddr) -> App {
        App::start(None, TcpConnect::to(upstream.to_string()))
    }

    /// The same for what a connector connects to, with these files for TLS, if there are some, and HTTP/2 then.
    pub(crate) fn start(tls: Option<&Files>, connect: impl Connect + 'static) -> App {
        let is_encrypted = tls.is_some();
        let config = ServiceConfig::default().hop(move |parts| {
            let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
            peer.map_or(Hop::unknown(), |ConnectInfo(peer)| Hop::from(*peer))
                .tls(is_encrypted)
        });
        App::serving(
            tls,
            Router::new().fallback_service(ReverseProxy::new(connect).config(config)),
        )
    }

    pub(crate) fn serving(tls: Option<&Files>, router: Router) -> App {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let told = asked.clone();
        let router = router.layer(middleware::from_fn(move |request: Request, next: Next| {
            let line = format!(
                "{} {} {:?}",
                request.method(),
                request.uri().path(),
                request.version()
            );
            told.lock().expect("nobody panics with it").push(line);
            next.run(request)
        }));
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        tcp.set_nonblocking(true).expect("a socket");
        let address = tcp.local_addr().expect("an address");
        // Not by `block_on`: the test may have a runtime of its own.
        let context = runtime.enter();
        let tcp = TcpListener::from_std(tcp).expect("a listener");
        match tls {
            None => {
                let listener = tcp.tap_io(|stream| {
                    let _ = stream.set_nodelay(true);
                });
                runtime.spawn(axum::serve(listener, service).into_future());
            }
            Some(files) => {
                let read = |file| std::fs::read(file).expect("a file");
                let config = TlsServerConfig::from_pem(read(&files.chain), read(&files.key));
                let acceptor = TlsAcceptor::new(config.expect("a certificate").http2());
                let listener = TlsListener { tcp, acceptor }.tap_io(|_| ());
                runtime.spawn(axum::serve(listener, service).into_future());
            }
        }
        drop(context);
        App {
            address,
            asked,
            runtime: Some(runtime),
        }
    }

    /// `METHOD PATH VERSION` of each request so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("nobody panics with it").clone()
    }
}

impl Drop for App {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

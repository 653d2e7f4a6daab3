//! The other door: a service in the servers of others, over TLS. Its tunnels take their streams back from hyper.

use std::sync::Arc;

use axum::Router;
use axum::serve::Listener;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use switchover::TcpConnect;
use switchover::header::Hop;
use switchover::service::{Ended, ServiceConfig, UpgradeService};
use switchover::test_util::{Script, ScriptedOrigin, UPGRADE_REQUEST};
use switchover::tls::{TlsAcceptor, TlsServerConfig};
use switchover::tunnel::AnyStream;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::certificates::{Authority, VERSIONS};
use crate::peer::{encrypted, patiently};

type Service = UpgradeService<TcpConnect>;

/// Whose server it is.
#[derive(Clone, Copy, Debug)]
enum Server {
    Axum,
    Auto,
    Http1,
}

impl Server {
    /// Serves one connection.
    async fn serve<S>(self, stream: S, service: Service)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let hyper = TowerToHyperService::new(service.clone());
        match self {
            Server::Axum => {
                let router: Router = Router::new().fallback_service(service);
                let _ = axum::serve(Once(Some(stream)), router).await;
            }
            Server::Auto => {
                let builder = auto::Builder::new(TokioExecutor::new());
                let serving = builder.serve_connection_with_upgrades(TokioIo::new(stream), hyper);
                let _ = serving.await;
            }
            Server::Http1 => {
                let builder = hyper::server::conn::http1::Builder::new();
                let serving = builder.serve_connection(TokioIo::new(stream), hyper);
                let _ = serving.with_upgrades().await;
            }
        }
    }
}

/// A listener with one connection.
struct Once<S>(Option<S>);

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Listener for Once<S> {
    type Io = S;
    type Addr = ();

    async fn accept(&mut self) -> (S, ()) {
        match self.0.take() {
            Some(stream) => (stream, ()),
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What is given to the server: the type decides what the crate can do with it.
#[derive(Clone, Copy, Debug)]
enum Given {
    /// What the crate's acceptor returns.
    Accepted,
    /// The same, for a program whose connections are not all encrypted.
    Any,
    /// What rustls's own acceptor returns.
    Rustls,
}

/// An authority, an origin, and the receiver of the ends.
struct Story {
    authority: Authority,
    service: Service,
    ends: mpsc::UnboundedReceiver<Ended>,
    _origin: ScriptedOrigin,
}

impl Story {
    async fn begin() -> Self {
        let origin = ScriptedOrigin::start(Script::new().read_head().switch().send("early").echo()).await;
        let (sender, ends) = mpsc::unbounded_channel();
        let config = ServiceConfig::default()
            .hop(|_| Hop::unknown())
            .on_end(move |ended| {
                // The test may have ended already.
                let _ = sender.send(ended);
            });
        Story {
            authority: Authority::new(),
            service: UpgradeService::new(TcpConnect::to(origin.address().to_string())).config(config),
            ends,
            _origin: origin,
        }
    }

    /// A tunnel from a client to the end, over a connection with these two ends.
    async fn tunnel<C, S>(&mut self, client: C, stream: S, given: Given, server: Server) -> Ended
    where
        C: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let identity = self.authority.localhost();
        let service = self.service.clone();
        let serving = tokio::spawn(async move {
            let config = TlsServerConfig::from_pem(identity.chain.as_str(), identity.key.as_str());
            let acceptor = TlsAcceptor::new(config.unwrap());
            match given {
                Given::Accepted => {
                    server
                        .serve(acceptor.accept(stream).await.unwrap(), service)
                        .await
                }
                Given::Any => {
                    let stream = AnyStream::new(acceptor.accept(stream).await.unwrap());
                    server.serve(stream, service).await;
                }
                Given::Rustls => {
                    let config = Arc::new(identity.server(&VERSIONS, None, &[]));
                    let stream = tokio_rustls::TlsAcceptor::from(config).accept(stream).await;
                    server.serve(stream.unwrap(), service).await;
                }
            }
        });
        let tls = self.authority.client(&VERSIONS, None);
        let mut client = encrypted(client, tls).await.unwrap();
        client.send(format!("{UPGRADE_REQUEST}hello")).await;
        assert!(client.head().await.starts_with("HTTP/1.1 101 "));
        client.receives("earlyhello").await;
        client.send(", world").await;
        client.receives(", world").await;
        client.end_writes().await;
        client.ends().await;
        serving.abort();
        let ended = patiently("the end of a tunnel", self.ends.recv()).await.unwrap();
        let traffic = ended.result.as_ref().unwrap();
        assert_eq!((traffic.from_downstream(), traffic.from_upstream()), (12, 17));
        ended
    }
}

async fn tcp() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (client, listener.accept().await.unwrap().0)
}

#[tokio::test]
async fn nothing_of_hyper_is_left_around_a_stream_of_tls() {
    let mut story = Story::begin().await;
    for server in [Server::Axum, Server::Auto, Server::Http1] {
        for given in [Given::Accepted, Given::Any, Given::Rustls] {
            let (client, stream) = tcp().await;
            let ended = story.tunnel(client, stream, given, server).await;
            assert!(ended.taken_back, "{server:?}, {given:?}");
            assert!(!ended.plain, "{server:?}, {given:?}: it may not be spliced");
        }
    }
}

#[cfg(unix)]
#[tokio::test]
async fn nor_around_one_over_a_unix_socket() {
    let mut story = Story::begin().await;
    for given in [Given::Accepted, Given::Any] {
        let (client, stream) = tokio::net::UnixStream::pair().unwrap();
        let ended = story.tunnel(client, stream, given, Server::Axum).await;
        assert!(ended.taken_back && !ended.plain, "{given:?}");
    }
}

#[tokio::test]
async fn a_stream_below_the_tls_that_is_not_known_is_left_to_hyper() {
    let mut story = Story::begin().await;
    let (client, stream) = tokio::io::duplex(64 * 1024);
    let ended = story.tunnel(client, stream, Given::Accepted, Server::Axum).await;
    assert!(!ended.taken_back && !ended.plain);
}

//! The servers that a service is mounted in.

use std::convert::Infallible;
use std::net::SocketAddr;

use axum::Router;
use axum::serve::ListenerExt;
use hyper::body::Incoming;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use switchover::service::ProxyBody;
use switchover::test_util::ScriptedClient;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tower::Service;
use tower::util::MapRequest;

/// A server on loopback, which ends when this is dropped.
pub(crate) struct Mounted {
    pub(crate) address: SocketAddr,
    _serving: JoinSet<()>,
}

/// A service whose requests carry the address of the peer, which hyper's servers leave to their users.
pub(crate) fn with_peer<S: Clone>(
    service: &S,
    stream: &tokio::net::TcpStream,
) -> MapRequest<S, impl Fn(Request<Incoming>) -> Request<Incoming> + Clone + use<S>> {
    let peer = stream.peer_addr().unwrap();
    MapRequest::new(service.clone(), move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        request
    })
}

/// Whose server it is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Server {
    Axum,
    Auto,
    Http1,
}

pub(crate) const SERVERS: [Server; 3] = [Server::Axum, Server::Auto, Server::Http1];

impl Mounted {
    /// Mounts a service for all paths.
    pub(crate) async fn on<S>(server: Server, service: S) -> Self
    where
        S: Service<Request<Incoming>, Response = Response<ProxyBody>, Error = Infallible>,
        S: Service<Request<axum::body::Body>, Response = Response<ProxyBody>, Error = Infallible>,
        S: Clone + Send + Sync + 'static,
        <S as Service<Request<Incoming>>>::Future: Send,
        <S as Service<Request<axum::body::Body>>>::Future: Send,
    {
        match server {
            Server::Axum => Mounted::router(Router::new().fallback_service(service)).await,
            Server::Auto => {
                Mounted::serving(move |stream| {
                    let service = TowerToHyperService::new(with_peer(&service, &stream));
                    async move {
                        let builder = auto::Builder::new(TokioExecutor::new());
                        let io = TokioIo::new(stream);
                        let _ = builder.serve_connection_with_upgrades(io, service).await;
                    }
                })
                .await
            }
            Server::Http1 => {
                Mounted::serving(move |stream| {
                    let service = TowerToHyperService::new(with_peer(&service, &stream));
                    async move {
                        let connection = hyper::server::conn::http1::Builder::new()
                            .serve_connection(TokioIo::new(stream), service)
                            .with_upgrades();
                        let _ = connection.await;
                    }
                })
                .await
            }
        }
    }

    /// Serves an axum application.
    pub(crate) async fn router(router: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut serving = JoinSet::new();
        // Over HTTP/2 nobody but the listener can do this.
        let listener = listener.tap_io(|stream| stream.set_nodelay(true).unwrap());
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        serving.spawn(async move { axum::serve(listener, service).await.unwrap() });
        Mounted {
            address,
            _serving: serving,
        }
    }

    /// Serves each connection by what `serve` makes of it.
    pub(crate) async fn serving<F, C>(serve: F) -> Self
    where
        F: Fn(tokio::net::TcpStream) -> C + Send + 'static,
        C: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                connections.spawn(serve(stream));
            }
        });
        Mounted {
            address,
            _serving: serving,
        }
    }

    pub(crate) async fn client_sending(&self, bytes: impl AsRef<[u8]>) -> ScriptedClient {
        let mut client = ScriptedClient::connect(self.address).await;
        client.send(bytes).await;
        client
    }
}

//! The doors of the library, one for each lane.

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use support::certificates::Authority;
use switchover::connect::Connect;
use switchover::gateway::{GatewayConfig, next_connection};
use switchover::http2::{Http2Config, Http2Connect, Http2End, Http2Server, Http2ServerConfig};
use switchover::service::{ServiceConfig, UpgradeService};
use switchover::tls::{TlsAcceptor, TlsClientConfig, TlsConnect, TlsServerConfig};
use switchover::tunnel::{AnyStream, Traffic, TunnelConfig, Tunnels, WebSocketConfig};
use switchover::upstream::{Balance, Group, Server};
use switchover::{Gateway, Outcome, TcpConnect, UpgradeConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tower::util::MapRequest;

use crate::count::{Books, LANES, Lane};
use crate::origin::Origin;

/// Where clients connect, and what is open there.
#[derive(Debug)]
pub(crate) struct Door {
    pub(crate) address: SocketAddr,
    pub(crate) tunnels: Tunnels,
}

#[derive(Clone)]
struct Shared {
    books: Arc<Books>,
    group: Group,
    server_tls: TlsServerConfig,
    client_tls: TlsClientConfig,
}

impl Shared {
    fn carried(&self, lane: Lane, traffic: Option<&Traffic>) {
        if let Some(traffic) = traffic {
            let counts = self.books.lane(lane);
            counts.carried[0].add(traffic.from_downstream());
            counts.carried[1].add(traffic.from_upstream());
        }
    }
}

fn upgrade(lane: Lane, tunnels: &Tunnels) -> UpgradeConfig {
    let tunnel = TunnelConfig::default().half_close_timeout(Duration::from_secs(10));
    let config = UpgradeConfig::default().tunnel(tunnel).tunnels(tunnels.clone());
    if lane.has_frames() {
        let websocket = WebSocketConfig::default().ping_interval(Duration::from_secs(10));
        config.websocket(websocket)
    } else {
        config
    }
}

pub(crate) async fn open(
    books: &Arc<Books>,
    origins: &[Arc<Origin>],
    authority: &Authority,
) -> io::Result<Vec<Door>> {
    let identity = authority.localhost();
    let servers = origins.iter().map(|origin| {
        // Back as soon as it listens again.
        Server::to(origin.address.to_string()).fail_timeout(Duration::from_secs(1))
    });
    let group = servers.fold(
        Group::builder().balance(Balance::LeastTunnels),
        |group, server| group.server(server),
    );
    let shared = Shared {
        books: books.clone(),
        group: group.build(),
        server_tls: TlsServerConfig::from_pem(identity.chain, identity.key).map_err(io::Error::other)?,
        client_tls: TlsClientConfig::builder()
            .only_roots(authority.pem.clone())
            .build()
            .map_err(io::Error::other)?,
    };
    let mut doors = Vec::new();
    for (lane, _) in LANES {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let door = Door {
            address: listener.local_addr()?,
            tunnels: Tunnels::new(),
        };
        let config = upgrade(lane, &door.tunnels);
        match lane {
            Lane::Gateway | Lane::GatewayTls => {
                let gateway =
                    Gateway::builder(shared.group.clone()).config(GatewayConfig::default().upgrade(config));
                tokio::spawn(gateways(listener, lane, gateway.build(), shared.clone()));
            }
            Lane::Service | Lane::ServiceTls => {
                let service =
                    UpgradeService::new(shared.group.clone()).config(reporting(lane, config, &shared));
                tokio::spawn(services(listener, lane, service, shared.clone()));
            }
            Lane::Http2 => {
                let inner = http2(&shared).await?;
                let connect = TlsConnect::new(
                    TcpConnect::to(inner.to_string()),
                    "localhost",
                    shared.client_tls.clone(),
                )
                .map_err(io::Error::other)?;
                let http2 = Http2Config::default().idle_timeout(Duration::from_secs(2));
                let connect = Http2Connect::new(connect.http2()).config(http2);
                let gateway = Gateway::builder(connect).config(GatewayConfig::default().upgrade(config));
                tokio::spawn(gateways(listener, lane, gateway.build(), shared.clone()));
            }
        }
        doors.push(door);
    }
    Ok(doors)
}

fn reporting(lane: Lane, upgrade: UpgradeConfig, shared: &Shared) -> ServiceConfig {
    let shared = shared.clone();
    ServiceConfig::default().upgrade(upgrade).on_end(move |ended| {
        let traffic = match &ended.result {
            Ok(traffic) => Some(traffic),
            Err(error) => error.traffic(),
        };
        shared.carried(lane, traffic);
    })
}

async fn gateways<C: Connect + Send + Sync + 'static>(
    listener: TcpListener,
    lane: Lane,
    gateway: Gateway<C>,
    shared: Shared,
) {
    let acceptor = TlsAcceptor::new(shared.server_tls.clone());
    loop {
        let (stream, peer) = next_connection(&listener).await;
        let (gateway, acceptor, shared) = (gateway.clone(), acceptor.clone(), shared.clone());
        tokio::spawn(async move {
            if lane != Lane::GatewayTls {
                return served(gateway, stream, peer, lane, &shared).await;
            }
            // A client that resets its connection does so here too.
            if let Ok(stream) = acceptor.accept(stream).await {
                served(gateway, AnyStream::new(stream), peer, lane, &shared).await;
            }
        });
    }
}

async fn served<C, S>(gateway: Gateway<C>, stream: S, peer: SocketAddr, lane: Lane, shared: &Shared)
where
    C: Connect,
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    match gateway.serve(stream, peer).await {
        Ok(Outcome::Tunnelled { traffic, .. }) => shared.carried(lane, Some(&traffic)),
        Ok(_) => {}
        Err(error) => shared.carried(lane, error.traffic()),
    }
}

async fn services(listener: TcpListener, lane: Lane, service: UpgradeService<Group>, shared: Shared) {
    let acceptor = TlsAcceptor::new(shared.server_tls.clone());
    loop {
        let (stream, peer) = next_connection(&listener).await;
        let (service, acceptor) = (service.clone(), acceptor.clone());
        tokio::spawn(async move {
            if lane == Lane::Service {
                http1(stream, peer, service).await;
            } else if let Ok(stream) = acceptor.accept(stream).await {
                http1(stream, peer, service).await;
            }
        });
    }
}

/// A service that knows where its client is.
fn of_peer<B>(
    service: UpgradeService<Group>,
    peer: SocketAddr,
) -> MapRequest<UpgradeService<Group>, impl Fn(Request<B>) -> Request<B> + Clone> {
    MapRequest::new(service, move |mut request: Request<B>| {
        request.extensions_mut().insert(peer);
        request
    })
}

async fn http1<S>(stream: S, peer: SocketAddr, service: UpgradeService<Group>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = TowerToHyperService::new(of_peer(service, peer));
    let builder = hyper::server::conn::http1::Builder::new();
    // A connection that breaks is its client's matter.
    let _ = builder
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
}

/// A server of HTTP/2 over TLS, whose extended CONNECTs go to the origins.
async fn http2(shared: &Shared) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let service = UpgradeService::new(shared.group.clone());
    let acceptor = TlsAcceptor::new(shared.server_tls.clone().http2());
    let books = shared.books.clone();
    tokio::spawn(async move {
        loop {
            let (stream, peer): (TcpStream, _) = next_connection(&listener).await;
            let (service, acceptor, books) = (service.clone(), acceptor.clone(), books.clone());
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else {
                    return;
                };
                let server = Http2Server::new(Http2ServerConfig::default().max_streams(256));
                // Its client is the other end of the chain: neither has a reason to break it.
                match server.serve(stream, of_peer(service, peer), pending()).await {
                    Ok(Http2End::Closed | Http2End::IdleTimeout) => {}
                    Ok(end) => books.fault(format!("a connection of HTTP/2 has ended: {end:?}")),
                    Err(error) => books.fault(format!("a connection of HTTP/2 has failed: {error}")),
                }
            });
        }
    });
    Ok(address)
}

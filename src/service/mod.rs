//! Floor 5, the second door: for hyper, axum and every tower stack, and for the ordinary HTTP beside the upgrades.
//!
//! | what | upgrades | everything else |
//! |---|---|---|
//! | [`UpgradeService`] | tunnelled | 426 |
//! | [`UpgradeLayer`] | tunnelled | untouched, the inner service's |
//! | [`ReverseProxy`] | tunnelled | relayed to the same upstream |
//!
//! An upgrade is asked for in HTTP/1.1. With the feature `http2` it may also be asked for by an extended CONNECT of HTTP/2
//! (RFC 8441), where the server enables that: axum does, hyper's builders have `enable_connect_protocol`. The upstream sees an HTTP/1.1 upgrade either way, and may be an
//! `Http2Connect` or a `TlsConnect` as well.
//!
//! The tunnel runs in a task of its own, the one that hyper's upgrade makes unavoidable, on a
//! [`ServiceConfig::executor`]. It takes the client's socket back from hyper, sends on what hyper had read ahead, and frees
//! all that was hyper's: an idle tunnel costs what the raw door's does, and bulk is spliced. That goes for a TCP or Unix
//! socket, plain or in this crate's TLS, and for any stream in an [`AnyStream`](crate::tunnel::AnyStream), under
//! `axum::serve`, hyper-util's `auto` builder and hyper's own. Other streams, and those of HTTP/2, stay hyper's, and
//! [`Ended::taken_back`] says so; only plain sockets are spliced, [`Ended::plain`].
//!
//! For a log, [`ServiceConfig::on_start`] and [`on_end`](ServiceConfig::on_end) are called for tunnels; everything else is reported by the
//! response and its extensions, and by a [`Trace`](crate::connect::Trace) among the extensions of the request.
//!
//! [`Shutdown`] ends a server and its tunnels in one call. [`Tunnels`](crate::tunnel::Tunnels) counts the tunnels, drains them and waits for them, which a
//! server's own graceful shutdown does not.
//!
//! [`UpgradeService::by`] and [`ReverseProxy::by`] choose among several upstreams by a closure, which may also refuse ([`Refusal`]), and a handler may
//! [call](UpgradeService::serve) a service by itself.
//!
//! ```
//! use axum::Router;
//! use switchover::TcpConnect;
//! use switchover::service::{ReverseProxy, UpgradeService};
//!
//! let app: Router = Router::new()
//!     .route_service("/live/{*rest}", UpgradeService::new(TcpConnect::to("chat.internal:9000")))
//!     .fallback_service(ReverseProxy::new(TcpConnect::to("app.internal:3000")));
//! ```
//!
//! A service has to know the peer that has connected: its address goes to the origin, and a cap for each peer counts by it. Under axum,
//! enable the feature `axum` and serve `app.into_make_service_with_connect_info::<SocketAddr>()`; elsewhere put a `SocketAddr`
//! or a [`Hop`](crate::header::Hop) among the extensions of the request. Without it each request is refused with a 500 that
//! says so ([`ServiceConfig::hop`]).
//!
//! Set `TCP_NODELAY` on the listener's connections (`tap_io` in axum): over HTTP/2 and TLS of others nobody else can.
//!
//! # Behind the raw door
//!
//! What a [`Gateway`](crate::gateway::Gateway) or [`Acceptor`](crate::gateway::Acceptor) hands back as ordinary goes
//! through [`Relay::serve`]: one request and its response, with bodies streamed both ways. What the connection
//! carries next comes back unread, so that the next request meets the same strict head parser as the first, and an
//! upgrade later on the same connection is as good as one at its start. hyper sees only heads that the crate's own parser has
//! accepted, from either side.
//!
//! ```no_run
//! use switchover::connect::TcpConnect;
//! use switchover::gateway::{Accepted, Acceptor, GatewayConfig};
//! use switchover::service::{Destination, Relay, RelayConfig};
//!
//! # async fn serve(client: tokio::net::TcpStream, peer: std::net::SocketAddr) -> Result<(), switchover::Error> {
//! let acceptor = Acceptor::new(GatewayConfig::default());
//! let relay = Relay::new(RelayConfig::default());
//! let mut accepted = acceptor.accept(client, peer).await?;
//! loop {
//!     match accepted {
//!         Accepted::Upgrade(incoming) => {
//!             incoming.proxy(&TcpConnect::to("127.0.0.1:9000")).await?;
//!             return Ok(());
//!         }
//!         Accepted::Ordinary(head, stream) => {
//!             let destination = Destination::new("127.0.0.1:8000".parse().unwrap());
//!             let relayed = relay.serve(stream, &head, destination, peer.into()).await?;
//!             let Some(stream) = relayed.stream else { return Ok(()) };
//!             accepted = acceptor.resume(stream, peer).await?;
//!         }
//!         Accepted::Rejected(..) | Accepted::Closed => return Ok(()),
//!     }
//! }
//! # }
//! ```

mod body;
mod by;
mod config;
mod declined;
mod dialect;
mod erased;
mod failure;
mod interim;
mod paced;
mod peer;
mod refusal;
mod relay;
mod request_body;
mod reverse_proxy;
mod stall;
mod tasks;
mod upgrade;

pub use body::ProxyBody;
pub use by::By;
pub use config::RelayConfig;
pub use refusal::Refusal;
pub use relay::{ClientBody, Destination, Relay, Relayed, answer_one};
pub use reverse_proxy::ReverseProxy;
pub use tasks::Task;
pub use upgrade::{
    Ended, ResponseFuture, ServiceConfig, Shutdown, Started, Stop, TakenBack, Upgrade, UpgradeBody,
    UpgradeFuture, UpgradeLayer, UpgradeService, take_back,
};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

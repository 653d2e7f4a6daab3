//! Floor 5, the second door: ordinary HTTP beside the upgrades, relayed by hyper's server and hyper-util's client.
//!
//! What a [`Gateway`](crate::gateway::Gateway) or [`Acceptor`](crate::gateway::Acceptor) hands back as ordinary goes
//! through [`Relay::serve`]: one request and its response, with bodies streamed both ways. What the connection
//! carries next comes back unread, so that the next request meets the same strict head parser as the first, and an
//! upgrade later on the same connection is as good as one at its start.
//!
//! hyper sees only heads that the crate's own parser has accepted, from either side.
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
//!         Accepted::Rejected(_) | Accepted::Closed => return Ok(()),
//!     }
//! }
//! # }
//! ```

mod body;
mod carry;
mod config;
mod declined;
mod dialect;
mod downstream;
mod failure;
mod forward;
mod interim;
mod pool;
mod relay;
mod request_body;
mod reverse_proxy;
mod service_config;
mod stall;
mod tasks;
mod tunnels;
mod upgrade;
mod upgrade_layer;
mod upgrade_service;
mod upstream;

pub use body::ProxyBody;
pub use config::RelayConfig;
pub use forward::Destination;
pub use relay::{Relay, Relayed};
pub use reverse_proxy::ReverseProxy;
pub use service_config::{Ended, ServiceConfig};
pub use tasks::Task;
pub use tunnels::Tunnels;
pub use upgrade_layer::{Upgrade, UpgradeBody, UpgradeFuture, UpgradeLayer};
pub use upgrade_service::{ResponseFuture, UpgradeService};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

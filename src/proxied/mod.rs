//! Floor 2: the PROXY protocol on connections: read from those that a balancer hands on, and written on those to upstreams that
//! expect it. What stands in it is read and written by [`proxy_protocol`](crate::proxy_protocol).
//!
//! Knows streams and the hop that they came over, and no HTTP.
//!
//! From a balancer, [`ProxyProtocolAcceptor`] reads the header before anything else is read. What comes of it goes to any
//! door, TLS in between or not.
//!
//! ```no_run
//! use switchover::gateway::next_connection;
//! use switchover::header::TrustedProxies;
//! use switchover::proxied::ProxyProtocolAcceptor;
//! use switchover::{Gateway, TcpConnect};
//!
//! # async fn run(listener: tokio::net::TcpListener) -> Result<(), Box<dyn std::error::Error>> {
//! let acceptor = ProxyProtocolAcceptor::new(TrustedProxies::new(["10.0.0.0/8".parse()?]));
//! let gateway = Gateway::builder(TcpConnect::to("127.0.0.1:9000")).build();
//! loop {
//!     let (stream, peer) = next_connection(&listener).await;
//!     let (acceptor, gateway) = (acceptor.clone(), gateway.clone());
//!     // In a task of its own: a balancer that dawdles over its header holds up no one else.
//!     tokio::spawn(async move {
//!         match acceptor.accept(stream, peer).await {
//!             Ok(proxied) => drop(gateway.serve(proxied.stream, proxied.hop).await),
//!             Err(error) => eprintln!("{peer}: {error}"),
//!         }
//!     });
//! }
//! # }
//! ```
//!
//! To an upstream, [`ProxyProtocolConnect`] is one more [`Connect`](crate::connect::Connect), which writes the header first on
//! each connection, before TLS:
//!
//! ```
//! use switchover::TcpConnect;
//! use switchover::proxied::{ProxyProtocolConnect, Version};
//!
//! let connect = ProxyProtocolConnect::new(TcpConnect::to("10.0.0.7:9000"), Version::V2);
//! ```

mod accept;
mod connect;

pub use accept::{Proxied, ProxyAcceptError, ProxyProtocolAcceptor};
pub use connect::{ProxyProtocolConnect, Version};

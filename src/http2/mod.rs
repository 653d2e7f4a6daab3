//! Floor 4: an HTTP/2 upstream, as one more [`Connect`]: WebSocket over HTTP/2 (RFC 8441), which neither door knows of. And
//! [`Http2Server`], which serves clients of HTTP/2 with a deadline on every wait.
//!
//! [`Http2Connect`] makes and shares the connections; each tunnel is an [`Http2Stream`] on one of them, and the whole walk
//! stays what it is: the request goes up, the 101 is judged, the bytes are carried. What the upstream sees is an extended
//! CONNECT, and no field of an HTTP/1.1 connection.
//!
//! HTTP/2 is spoken by prior knowledge on whatever the inner [`Connect`] returns: plain TCP, or TLS that has agreed on
//! `h2` by ALPN. Only WebSocket upgrades go this way; any other request is an error.
//!
//! ```no_run
//! use switchover::{Gateway, TcpConnect};
//! use switchover::http2::Http2Connect;
//!
//! # async fn serve(client: tokio::net::TcpStream, peer: std::net::SocketAddr) -> Result<(), switchover::Error> {
//! let gateway = Gateway::builder(Http2Connect::new(TcpConnect::to("127.0.0.1:9000"))).build();
//! gateway.serve(client, peer).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # What may wait in memory
//!
//! For each tunnel 64 KiB from the upstream ([`Http2Config::window`]) and 64 KiB to it ([`Http2Config::send_buffer`]),
//! and only where the other end does not take them; an idle tunnel has none. Bytes from the upstream are asked for as
//! they are delivered, so a client that does not read holds up its own tunnel and no other.
//!
//! The other way it is the upstream that decides: one whose window for a connection is no larger than that of a stream
//! lets a tunnel that it does not read hold up all others of the connection. [`Http2Config::max_tunnels`] says how many.
//!
//! # What ends what
//!
//! A connection on which the upstream has said GOAWAY carries its tunnels to their ends, and new ones start on another. A
//! connection that fails, or does not answer a PING, fails all its tunnels. One that carries none is closed after
//! [`Http2Config::idle_timeout`], or with the [`Http2Connect`] itself.
//!
//! An extended CONNECT that crosses a GOAWAY on its way, or that the upstream refuses for having too many streams, is a
//! 502: it is not asked again on another connection. (It is asked of another server, where this is one of a
//! [group](crate::upstream), and does not count against the server that has said so.)

mod config;
mod driven;
mod driver;
mod failure;
mod inbox;
mod link;
mod liveness;
mod outlet;
mod payload;
mod pool;
mod read_ahead;
mod server;
mod stream;
mod turn;

pub use config::Http2Config;
pub(crate) use failure::is_unprocessed;
pub use pool::{Http2Connect, Task};
pub use server::{ConnectStream, Http2End, Http2Server, Http2ServerConfig, Http2ServerStream, RequestBody};
pub(crate) use server::{InterimResponses, Paces};
pub use stream::Http2Stream;

#[cfg(doc)]
use crate::connect::Connect;

//! Floor 4: several servers as one upstream, behind either door: who gets a request, who gets it next, and who none.
//!
//! A [`Group`] is one more [`Connect`](crate::connect::Connect). What nginx calls an upstream, and does in it, is here:
//! weights, backups, limits, passive health checks, the next server on failure.
//!
//! ```no_run
//! use switchover::Gateway;
//! use switchover::upstream::{Balance, Group, Server};
//!
//! # async fn serve(client: tokio::net::TcpStream, peer: std::net::SocketAddr) -> Result<(), Box<dyn std::error::Error>> {
//! let chat = Group::builder()
//!     .server(Server::to("10.0.0.1:9000").weight(2))
//!     .server(Server::to("10.0.0.2:9000"))
//!     .server(Server::to("10.0.0.9:9000").backup())
//!     .balance("hash:cookie:session".parse()?)
//!     .build();
//! let gateway = Gateway::builder(chat.clone()).build();
//! gateway.serve(client, peer).await?;
//! for server in chat.servers() {
//!     println!("{}: {} tunnels, {:?}", server.name, server.tunnels, server.health);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Who gets a request
//!
//! 1. Of the servers that the request has not had yet, that are not [ejected](Health), have room
//!    ([`Server::max_tunnels`]) and are no [backups](Server::backup), the [`Balance`] chooses one.
//! 2. Where there is none, it chooses among the backups by the same rule.
//! 3. Where there is none either, health does not count: it is better to try than to refuse. nginx answers 502 then.
//!
//! A tunnel counts from the choice of its server until its stream is dropped, however that comes about: it ends, fails, is
//! declined, or its client leaves before there is an answer. Ordinary requests count if
//! [that is wanted](Builder::count_requests). Bulk is spliced as without a group:
//! [`Counted`](crate::tunnel::Counted).
//!
//! # Several routes to one group
//!
//! What a route has for itself is a rule of its own for the next server ([`Group::retry`]), its own way to connect, over TLS or with
//! other deadlines ([`Group::connect_with`]), and a callback for each attempt ([`Group::on_attempt`]): a location of nginx. All else is the
//! group's.
//!
//! # Who gets it next
//!
//! A server that fails before the client has had a byte of its answer is followed by another, as [`Retry`] says. Connecting is
//! tried again within the group; what comes after, by the doors, which report to the group by way of
//! [`Attempts`](crate::connect::Attempts). Connectors around a group need not know of it.
//!
//! An upgrade with a body, which [no policy allows by default](crate::HandshakePolicy::allow_request_body), has one server
//! once its body is on its way.
//!
//! # Who gets none
//!
//! Health is passive: it comes from what requests meet. A failure is a connection that could not be made in time, that broke
//! before it had brought a response head, a head that is none, or a status that [`Retry::statuses`] names. After
//! [`Server::max_fails`] of them within [`Server::fail_timeout`] the server is ejected for that long, then probed by one request at a
//! time, and ejected for twice as long each time that this fails. One success, and nothing is held against it.
//!
//! What happens in a tunnel says nothing of its server, and neither does a client that leaves.
//!
//! # Addresses
//!
//! A name is resolved for each connection, and all its addresses are one server
//! ([`TcpConnect`](crate::connect::TcpConnect)); or each address is a server of its own: [`Builder::resolve`].

mod balance;
mod builder;
mod condition;
mod custom;
mod evacuation;
mod group;
mod key;
mod members;
mod record;
mod retry;
mod server;
mod shared;
mod source;
mod url;
mod view;
mod wish;

pub use balance::{Balance, BalanceError};
pub use builder::Builder;
pub use condition::Health;
pub use custom::{Choice, CustomBalance};
pub use evacuation::Evacuation;
pub use group::Group;
pub use key::{CustomKey, Key};
pub use record::ServerStatus;
pub use retry::Retry;
pub use server::Server;
pub use source::SourceStatus;
pub use url::{UrlConnector, UrlError};
pub use view::{Attempted, Direct, ServerConnector};

//! Floor 2: rules for header fields, each usable alone in a proxy that one already has. Pure, no tokio.
//!
//! - [`connection`]: what `Connection` says over all its lines, and nginx's `$connection_upgrade` map as a value.
//! - [`upgrade`]: the protocols that an `Upgrade` field names.
//! - [`hop_by_hop`]: which fields end at this proxy, and which no `Connection` field can remove.
//! - [`forwarded`]: what the proxy reports to the origin about the client.
//! - [`Forwarding`]: both of these and the next in one value, given once to a gateway or a service.
//! - [`rules`]: fields that are set, added and removed as the operator says, with variables.
//! - [`trailer`]: which fields of a trailer section go on.
//! - [`TrustedProxies`]: whose word about the client is taken, and who the client is by that word.
//!
//! The order matters: remove first, then add. What the proxy adds after [`hop_by_hop::strip`] cannot be removed by
//! a client that nominates it.

mod address_text;
pub mod connection;
pub(crate) mod cookie;
#[cfg(feature = "gateway")]
pub(crate) mod date;
pub(crate) mod final_answer;
pub mod forwarded;
mod forwarding;
mod hop;
pub mod hop_by_hop;
pub(crate) mod max_forwards;
pub mod rules;
pub mod trailer;
mod trusted;
pub mod upgrade;

pub use connection::{ConnectionMap, ConnectionOptions};
pub use forwarded::{ForwardedRules, Inbound, InvalidViaName};
pub use forwarding::Forwarding;
pub use hop::Hop;
pub use rules::HeaderRules;
pub use trusted::{Network, NetworkError, TrustedProxies};
pub use upgrade::{Protocol, ProtocolError, Protocols};

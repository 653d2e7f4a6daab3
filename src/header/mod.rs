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

use http::header::{HeaderMap, HeaderName};

/// Keeps the fields for which `keep` says so, in their order (`HeaderMap::remove` would move the last one).
pub(crate) fn retain(headers: &mut HeaderMap, mut keep: impl FnMut(&HeaderName) -> bool) {
    if !headers.keys().all(&mut keep) {
        rebuild(headers, keep);
    }
}

/// Removes a field, and keeps the order of the others.
pub(crate) fn remove(headers: &mut HeaderMap, name: &HeaderName) {
    if headers.contains_key(name) {
        rebuild(headers, |other| other != name);
    }
}

/// As [`retain`], for when something is known to go.
pub(crate) fn rebuild(headers: &mut HeaderMap, mut keep: impl FnMut(&HeaderName) -> bool) {
    // Room for the one or two that take the place of those that go. A caller that adds more, as a forwarded request does,
    // lets it grow once.
    let mut kept = HeaderMap::with_capacity(headers.len());
    let mut current = None;
    for (name, value) in std::mem::take(headers) {
        match name {
            // The iterator names a field at its first value only.
            Some(name) if keep(&name) => {
                kept.append(name.clone(), value);
                current = Some(name);
            }
            Some(_) => current = None,
            None => {
                if let Some(name) = &current {
                    kept.append(name.clone(), value);
                }
            }
        }
    }
    *headers = kept;
}

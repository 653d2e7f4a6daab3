//! How many one peer may have, so that none takes all that there is.
//!
//! Knows addresses and numbers. Asked once when something opens and once when it closes, never in between.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A number of things that each peer may have open at the same time.
///
/// Cheap to clone; all clones count together, also over threads. The list has an entry of about 24 bytes for each peer
/// that has something open, and none for any other.
///
/// An IPv6 peer is a network of 64 bits, because that is what a customer gets: its holder can come from any
/// address in it. Behind a proxy or a NAT many people are one peer, so the limit has to allow for the largest of them.
///
/// ```
/// use switchover::tunnel::PeerCap;
///
/// let tunnels = PeerCap::new(2);
/// let peer = "192.0.2.1".parse()?;
/// let permits = [tunnels.try_acquire(peer), tunnels.try_acquire(peer)];
/// assert!(tunnels.try_acquire(peer).is_none());
/// assert!(tunnels.try_acquire("192.0.2.2".parse()?).is_some());
///
/// drop(permits);
/// assert_eq!(tunnels.open(peer), 0);
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone)]
pub struct PeerCap {
    limit: usize,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    open: Mutex<HashMap<Network, usize>>,
}

/// An address as it is counted. IPv4 ones are mapped ones, which no global IPv6 network overlaps.
type Network = Ipv6Addr;

/// The bits that are the host's own choice in an IPv6 address.
const HOST_BITS: u128 = u64::MAX as u128;

impl PeerCap {
    /// At most `limit` for each peer. Zero lets nothing in.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        PeerCap {
            limit,
            shared: Arc::default(),
        }
    }

    /// Lets one more of this peer's in, if there is room. `None` if it has as many as allowed.
    #[must_use = "the permit is given back when it is dropped"]
    pub fn try_acquire(&self, peer: IpAddr) -> Option<PeerPermit> {
        if self.limit == 0 {
            return None;
        }
        let network = network(peer);
        let mut open = self.shared.lock();
        let count = open.entry(network).or_insert(0);
        if *count >= self.limit {
            return None;
        }
        *count += 1;
        drop(open);
        Some(PeerPermit {
            shared: self.shared.clone(),
            network,
        })
    }

    /// How many this peer has open now.
    #[must_use]
    pub fn open(&self, peer: IpAddr) -> usize {
        self.shared
            .lock()
            .get(&network(peer))
            .copied()
            .unwrap_or_default()
    }

    /// How many peers have something open now.
    #[must_use]
    pub fn peers(&self) -> usize {
        self.shared.lock().len()
    }

    /// How many each peer may have open.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limit
    }
}

fn network(peer: IpAddr) -> Network {
    match peer.to_canonical() {
        IpAddr::V4(peer) => peer.to_ipv6_mapped(),
        IpAddr::V6(peer) => Ipv6Addr::from_bits(peer.to_bits() & !HOST_BITS),
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, HashMap<Network, usize>> {
        // Nothing in here panics halfway.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to be open, as one of those that a [`PeerCap`] allows its peer. Dropping it makes room for another.
#[must_use = "the permit is given back when it is dropped"]
pub struct PeerPermit {
    shared: Arc<Shared>,
    network: Network,
}

impl Drop for PeerPermit {
    fn drop(&mut self) {
        let mut open = self.shared.lock();
        if let Some(count) = open.get_mut(&self.network) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.network);
            }
        }
    }
}

impl fmt::Debug for PeerCap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerCap")
            .field("limit", &self.limit)
            .field("peers", &self.peers())
            .finish()
    }
}

impl fmt::Debug for PeerPermit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerPermit").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_the_same_peer() {
        for (one, other, same) in [
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("2001:db8::1", "2001:db8::ffff:1:2:3", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
            ("0.0.0.0", "::", false),
            ("::ffff:192.0.2.1", "::1", false),
        ] {
            let cap = PeerCap::new(1);
            let _permit = cap.try_acquire(one.parse().unwrap()).unwrap();
            let refused = cap.try_acquire(other.parse().unwrap()).is_none();
            assert_eq!(refused, same, "{one} and {other}");
        }
    }

    #[test]
    fn a_peer_that_has_nothing_open_is_forgotten_and_a_refused_one_is_not_remembered() {
        let peer = IpAddr::from([192, 0, 2, 1]);
        let (none, two) = (PeerCap::new(0), PeerCap::new(2));
        assert!(none.try_acquire(peer).is_none());
        assert_eq!((none.peers(), none.open(peer)), (0, 0));

        let permits = [
            two.try_acquire(peer),
            two.try_acquire(peer),
            two.try_acquire(peer),
        ];
        assert_eq!(permits.iter().flatten().count(), 2);
        assert_eq!((two.peers(), two.open(peer)), (1, 2));
        drop(permits);
        assert_eq!((two.peers(), two.open(peer)), (0, 0));
    }
}

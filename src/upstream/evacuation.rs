//! What becomes of the tunnels of a server that leaves its group: by default nothing, and otherwise they are ended, one after the other.
//!
//! Knows the registry that they are in. It must not know why a server leaves.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::record::Record;
use crate::clock::scaled;
use crate::tunnel::{EndRequest, TunnelWatch, Tunnels};

/// How the tunnels of a server end that leaves its [`Group`](super::Group): because discovery does not find it any more, because it is
/// [set down](super::Group::set_down), or because it is ejected for longer than a [limit](Evacuation::ejected_longer_than).
///
/// Clients then come back, and get another server. A tunnel that opens to a server that has left, or is down, because its handshake was
/// under way, ends in its turn as well, and each ends with [`End::Evacuated`](crate::tunnel::End::Evacuated). Where the server comes back
/// meanwhile, those that have not had their turn go on. Only tunnels in the registry are ended, so both have to be given the same one:
/// the group, and the door ([`UpgradeConfig::tunnels`](crate::UpgradeConfig::tunnels)).
///
/// A group looks at its servers when a request comes; [`Group::maintain`](super::Group::maintain) makes it look by itself.
///
/// ```
/// use std::time::Duration;
/// use switchover::tunnel::{EndRequest, Tunnels};
/// use switchover::upstream::{Evacuation, Group, Server};
/// use switchover::websocket::CloseCode;
///
/// let tunnels = Tunnels::new();
/// let evacuation = Evacuation::of(tunnels.clone())
///     .window(Duration::from_secs(60))
///     .close(EndRequest::close(CloseCode::SERVICE_RESTART, "moving")?);
/// let group = Group::builder()
///     .server(Server::to("10.0.0.1:9000"))
///     .server(Server::to("10.0.0.2:9000"))
///     .evacuation(evacuation)
///     .build();
/// assert!(group.set_down("10.0.0.1:9000", true));
/// # Ok::<(), switchover::websocket::ClosePayloadError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Evacuation {
    tunnels: Tunnels,
    window: Duration,
    request: EndRequest,
    ejection: Option<Duration>,
    rebalance: Option<NonZeroU32>,
}

impl Evacuation {
    /// Ends those of the tunnels in this registry that lead to the server.
    #[must_use]
    pub fn of(tunnels: Tunnels) -> Self {
        Evacuation {
            tunnels,
            window: Duration::from_secs(60),
            request: EndRequest::default(),
            ejection: None,
            rebalance: None,
        }
    }

    /// Over how long they end, at even distances. Default 60 seconds; zero is all at once.
    ///
    /// Too short, and the servers that stay get all of its clients at the same moment.
    #[must_use]
    pub fn window(mut self, window: Duration) -> Self {
        self.window = window;
        self
    }

    /// With which Close they end. Default: 1001, as any tunnel that is ended.
    #[must_use]
    pub fn close(mut self, request: EndRequest) -> Self {
        self.request = request;
        self
    }

    /// A server that is ejected, and has been out for longer than this without a success in between, leaves too. Default: none does.
    ///
    /// One whose ejection is over is probed by the next request, and does not leave before that has failed.
    #[must_use]
    pub fn ejected_longer_than(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.ejection = limit.into();
        self
    }

    /// When a server comes back, tunnels of the others end, at most so many in a second, until each has no more than its share by
    /// weight. Default: none do, and the server that is back gets new tunnels alone.
    ///
    /// One comes back when it is [no longer down](super::Group::set_down), when discovery finds it, and when a request succeeds after an
    /// ejection. Backups neither count nor lose any. Each ends with [`End::Rebalanced`](crate::tunnel::End::Rebalanced). Where several
    /// come back, the rate holds for all of them together. Too high a rate, and clients come back faster than the servers take them.
    #[must_use]
    pub fn rebalance(mut self, per_second: impl Into<Option<NonZeroU32>>) -> Self {
        self.rebalance = per_second.into();
        self
    }

    pub(super) fn rebalances(&self) -> bool {
        self.rebalance.is_some()
    }

    /// What these servers, each with its weight, have above their shares, and how long it takes at least to end that.
    ///
    /// Tunnels that are to end in any case do not count: they leave without being asked.
    pub(super) fn above_shares(&self, servers: &[(Arc<str>, u32)]) -> (Vec<TunnelWatch>, Duration) {
        let Some(rate) = self.rebalance else {
            return Default::default();
        };
        let place = |tunnel: &TunnelWatch| {
            let upstream = tunnel.shared_upstream()?;
            servers.iter().position(|(name, _)| Arc::ptr_eq(name, upstream))
        };
        let mut excess = vec![0_usize; servers.len()];
        let staying = |tunnel: TunnelWatch| match tunnel.is_to_end() {
            true => None,
            false => Some((place(&tunnel)?, tunnel)),
        };
        let staying: Vec<_> = self.tunnels.iter().filter_map(staying).collect();
        for (at, _) in &staying {
            excess[*at] = excess[*at].saturating_add(1);
        }
        let all: usize = excess.iter().sum();
        let weights: f64 = servers.iter().map(|(_, weight)| f64::from(*weight)).sum();
        for (count, (_, weight)) in excess.iter_mut().zip(servers) {
            let share = all as f64 * f64::from(*weight) / weights;
            *count = count.saturating_sub(share.ceil() as usize);
        }
        let to_end: usize = excess.iter().sum();
        let window = scaled(Duration::from_secs(1), to_end as f64 / f64::from(rate.get()));
        let mut is_above = |at: usize| match excess[at].checked_sub(1) {
            Some(rest) => {
                excess[at] = rest;
                true
            }
            None => false,
        };
        let above = staying.into_iter().filter(|(at, _)| is_above(*at));
        (above.map(|(_, tunnel)| tunnel).collect(), window)
    }

    /// Ends these tunnels, one after the other over a window from this instant on.
    pub(super) fn move_away(&self, tunnels: &[TunnelWatch], from: Instant, window: Duration) {
        self.tunnels.rebalance(tunnels, &self.request, from, window);
    }

    pub(super) fn ejection_limit(&self) -> Option<Duration> {
        self.ejection
    }

    /// Ends the tunnels to this very server: another group may call one of its own the same. Those that are on their way to it end as
    /// well, unless it is only ejected: the next of them shows that it is back.
    pub(super) fn begin(&self, server: &Arc<Record>) {
        let record = Arc::downgrade(server);
        // One that nobody has any more has left its group.
        let leaves = move || record.upgrade().is_none_or(|record| record.is_leaving());
        self.tunnels
            .evacuate(&server.shared_name(), leaves, &self.request, self.window);
    }

    /// The server leaves no more: those of its tunnels that have not had their turn go on.
    pub(super) fn take_back(&self, server: &Arc<Record>) {
        self.tunnels.stay(&server.shared_name());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tunnel::Listing;
    use crate::upstream::record::Member;
    use crate::upstream::server::Server;

    #[test]
    fn one_that_was_on_its_way_to_a_server_that_nobody_has_any_more_ends() {
        for leaves in [true, false] {
            let tunnels = Tunnels::new();
            let record = Member::new(Server::new("a", ()), &"".into(), 0, None).record;
            let name = record.shared_name();
            Evacuation::of(tunnels.clone()).begin(&record);
            if leaves {
                record.leave();
                drop(record);
            }
            let tunnel = tunnels.list(Listing::default().upstream(name), false);
            assert_eq!(tunnel.watch().is_to_end(), leaves);
        }
    }
}

//! When tunnels end because of their servers: one leaves, has been ejected for too long, or is back and should have its share.
//!
//! Knows the servers of a group and the time. It must not know how a server is chosen, nor how tunnels end.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Shared;
use crate::clock::After;
use crate::upstream::evacuation::Evacuation;
use crate::upstream::record::{Member, Record};
use crate::upstream::source::Source;

/// How often a group looks at its servers where no request makes it look.
pub(in crate::upstream) const LOOK: Duration = Duration::from_secs(1);
/// And at most.
const LEAST_LOOK: Duration = Duration::from_millis(10);

impl<C> Shared<C> {
    /// Ends the tunnels of a server that leaves or is lost, or lets them go on where it is so no more.
    pub(super) fn settle(&self, record: &Arc<Record>) {
        let Some(evacuation) = &self.evacuation else {
            return;
        };
        loop {
            let ends = record.loses_tunnels();
            match ends {
                true => evacuation.begin(record),
                false => evacuation.take_back(record),
            }
            // Of two that find it changed at the same time, the last one counts.
            if record.loses_tunnels() == ends {
                return;
            }
        }
    }

    /// Does what the time has made necessary: ends tunnels of servers that have been ejected for too long, and tunnels of the others
    /// where one is back.
    pub(in crate::upstream) fn look_after(&self) {
        let Some(evacuation) = &self.evacuation else {
            return;
        };
        for member in self.lost(evacuation) {
            self.settle(&member.record);
        }
        let is_back = |member: &&Arc<Member<C>>| member.record.take_back();
        let back: Vec<_> = self.members().iter().filter(is_back).cloned().collect();
        for member in &back {
            self.settle(&member.record);
        }
        if !back.is_empty() && evacuation.rebalances() {
            self.rebalance(evacuation);
        }
    }

    /// When to look again for what the time has made necessary.
    pub(in crate::upstream) fn next_look(&self) -> Instant {
        let now = Instant::now();
        let dues = self.sources.iter().filter_map(Source::due);
        dues.fold(now.after(LOOK), Instant::min)
            .max(now.after(LEAST_LOOK))
    }

    /// The servers that have been ejected for too long, once for each time.
    fn lost(&self, evacuation: &Evacuation) -> Vec<Arc<Member<C>>> {
        let Some(limit) = evacuation.ejection_limit() else {
            return Vec::new();
        };
        let is_lost = |member: &&Arc<Member<C>>| member.record.is_lost(limit);
        self.members().iter().filter(is_lost).cloned().collect()
    }

    /// Ends tunnels of the other servers where one is back.
    fn rebalance(&self, evacuation: &Evacuation) {
        let servers: Vec<_> = {
            let members = self.members();
            let records = members.iter().map(|member| &member.record);
            let fit = records.filter(|record| !record.is_down() && !record.is_backup() && record.is_open());
            fit.map(|record| (record.shared_name(), record.weight()))
                .collect()
        };
        let (tunnels, window) = evacuation.above_shares(&servers);
        let now = Instant::now();
        let from = {
            let mut until = self
                .rebalanced_until
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            // The rate is that of all servers that come back.
            let from = until.map_or(now, |until| until.max(now));
            *until = Some(from.after(window));
            from
        };
        evacuation.move_away(&tunnels, from, window);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tunnel::{Listing, Tunnels};
    use crate::upstream::balance::Balance;
    use crate::upstream::server::Server;

    /// One server, whose tunnels end as soon as it has been ejected for a second.
    fn group(tunnels: &Tunnels) -> (Shared<()>, Evacuation) {
        let evacuation = Evacuation::of(tunnels.clone()).ejected_longer_than(Duration::from_secs(1));
        let servers = vec![Server::new("a", ())];
        let timeout = Duration::from_secs(1);
        let of_it = Some(evacuation.clone());
        let shared = Shared::new(
            "".into(),
            servers,
            Vec::new(),
            Balance::default(),
            false,
            timeout,
            of_it,
        );
        (shared, evacuation)
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_back_before_its_tunnels_have_been_ended_keeps_them() {
        let tunnels = Tunnels::new();
        let (group, evacuation) = group(&tunnels);
        let record = group.members().iter().next().unwrap().record.clone();
        let listing = Listing::default().upstream(record.shared_name());
        let tunnel = tunnels.list(listing, false);

        record.shown(Some(false));
        tokio::time::advance(Duration::from_secs(2)).await;
        // One has found it lost, and another finds it back before the first has ended its tunnels.
        let lost = group.lost(&evacuation);
        assert_eq!(lost.len(), 1);
        record.shown(Some(true));
        group.look_after();
        for member in lost {
            group.settle(&member.record);
        }
        assert!(!tunnel.watch().is_to_end());

        record.shown(Some(false));
        tokio::time::advance(Duration::from_secs(2)).await;
        group.look_after();
        assert!(tunnel.watch().is_to_end());
        // An operator who takes it out and puts it back in does not make it work.
        for down in [true, false] {
            assert!(group.set_down(|_| true, down));
            assert!(tunnel.watch().is_to_end(), "{down}");
        }
        record.shown(Some(true));
        group.look_after();
        assert!(!tunnel.watch().is_to_end());
    }
}

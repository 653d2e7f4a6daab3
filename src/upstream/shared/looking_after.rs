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
const LOOK: Duration = Duration::from_secs(1);
/// And at most.
const LEAST_LOOK: Duration = Duration::from_millis(10);

impl<C> Shared<C> {
    /// Ends the tunnels of a server that leaves, or lets them go on where it leaves no more.
    pub(super) fn settle(&self, record: &Arc<Record>) {
        let Some(evacuation) = &self.evacuation else {
            return;
        };
        loop {
            let leaves = record.is_leaving();
            match leaves {
                true => evacuation.begin(record),
                false => evacuation.take_back(record),
            }
            // Of two that change it at the same time, the last one counts.
            if record.is_leaving() == leaves {
                return;
            }
        }
    }

    /// Does what the time has made necessary: ends tunnels of servers that have been ejected for too long, and tunnels of the others
    /// where one is back.
    pub(super) fn look_after(&self) {
        let Some(evacuation) = &self.evacuation else {
            return;
        };
        self.evacuate_ejected(evacuation);
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

    /// Ends the tunnels of servers that have been ejected for too long, once for each time.
    fn evacuate_ejected(&self, evacuation: &Evacuation) {
        let Some(limit) = evacuation.ejection_limit() else {
            return;
        };
        let is_lost = |member: &&Arc<Member<C>>| member.record.is_lost(limit);
        let lost: Vec<_> = self.members().iter().filter(is_lost).cloned().collect();
        for member in lost {
            evacuation.begin(&member.record);
        }
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

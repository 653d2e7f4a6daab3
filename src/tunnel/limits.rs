//! The law of which limit applies when: what the tunnel may wait for now, and for how long.
//!
//! Looks at the engine and changes nothing.

use tokio::time::Instant;

use super::deadline::Earliest;
use super::due::Due;
use super::engine::{Engine, Phase};
use crate::side::Side;

impl Engine {
    /// The next instant at which something is due if nothing moves, and what.
    pub(super) fn next_deadline(&self) -> Option<(Instant, Due)> {
        let (down, up) = (self.from_downstream.outlet(), self.from_upstream.outlet());
        let moved_at = down.moved_at().max(up.moved_at());
        let linger = self.config.get_linger_timeout();
        let mut next = Earliest::new();
        match &self.phase {
            Phase::Settling { until, .. } => return Some((*until, Due::Leave)),
            Phase::Draining { since } | Phase::Failing { since, .. } | Phase::Closed { since, .. } => {
                next.consider(*since, linger, Due::Leave);
            }
            // What brought it about has passed already.
            Phase::Closing(closing) => {
                return closing.deadline(linger).map(|at| (at, Due::Leave));
            }
            Phase::Running { .. } => {
                let (downstream_ended, upstream_ended) =
                    (self.from_downstream.has_ended(), self.from_upstream.has_ended());
                if downstream_ended || upstream_ended {
                    let open = if downstream_ended {
                        Side::Upstream
                    } else {
                        Side::Downstream
                    };
                    next.consider(moved_at, linger, Due::HalfCloseTimeout(open));
                }
            }
        }
        for (outlet, side) in [(down, Side::Upstream), (up, Side::Downstream)] {
            if outlet.is_waiting() {
                let limit = self.config.get_stalled_write_timeout();
                next.consider(outlet.moved_at(), limit, Due::WriteTimeout(side));
            }
        }
        next.consider(moved_at, self.config.get_idle_timeout(), Due::Idle);
        next.consider(self.started, self.config.get_lifetime(), Due::Lifetime);
        if self.is_framed() && matches!(self.phase, Phase::Running { .. }) {
            self.consider_pings(&mut next);
        }
        next.into_inner()
    }
}

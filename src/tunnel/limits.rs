//! The law of which limit applies when: what the tunnel may wait for now, and for how long.
//!
//! Looks at the engine and changes nothing.

use tokio::time::Instant;

use super::deadline::Earliest;
use super::end::End;
use super::engine::{Engine, Phase};
use crate::Side;

impl Engine {
    /// The next instant at which the tunnel ends if nothing moves, and what that end is called.
    pub(super) fn next_deadline(&self) -> Option<(Instant, End)> {
        let (down, up) = (self.from_downstream.outlet(), self.from_upstream.outlet());
        let moved_at = down.moved_at().max(up.moved_at());
        let linger = self.config.get_linger_timeout();
        let mut next = Earliest::new();
        match &self.phase {
            Phase::Settling { until, .. } => return Some((*until, End::Drained)),
            Phase::Draining { since } | Phase::Failing { since, .. } => {
                next.consider(*since, linger, End::Drained);
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
                    next.consider(moved_at, linger, End::Lingered { open });
                }
            }
        }
        for (outlet, side) in [(down, Side::Upstream), (up, Side::Downstream)] {
            if outlet.is_waiting() {
                let limit = self.config.get_stalled_write_timeout();
                next.consider(outlet.moved_at(), limit, End::Stalled { side });
            }
        }
        next.consider(moved_at, self.config.get_idle_timeout(), End::Idle);
        next.consider(self.started, self.config.get_lifetime(), End::Lifetime);
        next.into_inner()
    }
}

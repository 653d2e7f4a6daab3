//! A plain socket that seems to take nothing is offered its bytes once more before that counts.
//!
//! Knows which deadlines a byte makes later. It must not know for how long anything may wait.

use tokio::time::Instant;

use super::Engine;
use crate::tunnel::lifecycle::Due;
use crate::tunnel::stream::socket::Carried;

impl Engine {
    /// Whether a deadline that has passed is not due after all: bytes have moved that the runtime was not notified of.
    pub(super) fn has_moved_after_all<D: Carried, U: Carried>(
        &mut self,
        due: Due,
        now: Instant,
        downstream: &D,
        upstream: &U,
    ) -> bool {
        match due {
            Due::WriteTimeout(_) | Due::Idle | Due::HalfCloseTimeout(_) => {
                self.from_upstream.outlet.offer(now, downstream)
                    | self.from_downstream.outlet.offer(now, upstream)
            }
            _ => false,
        }
    }
}

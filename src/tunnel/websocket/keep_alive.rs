//! Pings of the tunnel's own, and their timers while bytes do not get through.
//!
//! Looks at both directions: what is read from a side comes in one, what it is asked goes out in the other. It must not know
//! when a ping is due.

use tokio::time::Instant;

use super::Injected;
use crate::side::Side;
use crate::tunnel::engine::Engine;

impl Engine {
    /// While what `side` sends does not get through, it is not read, so no byte can have come from it; and a ping that went the
    /// same way may not have got through either: the timers of both answers pause. A side whose frames wait for their rate is not
    /// read either. A ping that has been answered stays so.
    pub(in crate::tunnel) fn pause_timers(&mut self, side: Side, now: Instant) {
        let is_blocked = self.half(side).outlet().is_blocked() || self.half(side).is_paused();
        if !is_blocked && self.half(side).waits_until().is_none() {
            return;
        }
        for half in [&mut self.from_downstream, &mut self.from_upstream] {
            // Neither a ping that waits nor an answer that is not read says how long the way is.
            let extra = half.framed.as_mut().and_then(|framed| framed.extra.get_mut());
            if let Some(extra) = extra {
                extra.is_ping_timed = false;
            }
        }
        let answered_at = self.half(!side).framed().map(|answers| answers.last_read_at);
        if let Some(framed) = &mut self.half_mut(side).framed {
            framed.last_read_at = now;
            if is_blocked && answered_at.is_some_and(|at| framed.pinged_after(at).is_some()) {
                framed.extra.pinged_at = Some(now);
            }
        }
    }

    /// Has a ping sent to `side` at the next boundary of what it is sent.
    pub(in crate::tunnel) fn queue_ping(&mut self, side: Side) {
        let ping = self
            .half_mut(side)
            .framed
            .as_mut()
            .and_then(|framed| framed.ping());
        if let Some(ping) = ping {
            self.half_mut(!side).queue(Injected::Ping(ping));
        }
    }
}

//! Pings of the tunnel's own, and their timers while bytes do not get through.
//!
//! Looks at both directions: what is read from a side comes in one, what it is asked goes out in the other. It must not know
//! when a ping is due.

use std::time::Duration;

use tokio::time::Instant;

use super::Injected;
use crate::side::Side;
use crate::tunnel::engine::Engine;

/// A ping that waits for its place.
pub(in crate::tunnel) struct QueuedPing {
    /// When another was sent that has not been answered.
    asked_at: Option<Instant>,
}

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

    /// The ping that waits for its place in what `side` sends.
    pub(in crate::tunnel) fn queued_ping(&self, side: Side) -> Option<QueuedPing> {
        let (pings, answers) = (self.half(side).framed()?, self.half(!side).framed()?);
        let asked_at = pings.pinged_after(answers.last_read_at);
        pings.has_queued_ping().then_some(QueuedPing { asked_at })
    }

    /// `side` has moved since: the ping may have gone out.
    pub(in crate::tunnel) fn note_ping(&mut self, side: Side, ping: QueuedPing) {
        let Some(framed) = &mut self.half_mut(side).framed else {
            return;
        };
        if framed.has_queued_ping() {
            return;
        }
        if let Some(asked_at) = ping.asked_at {
            // Or a side that is asked often enough would have for ever to answer.
            framed.extra.pinged_at = Some(asked_at);
            framed.extra.is_ping_timed = false;
            return;
        }
        // What was read up to now was sent before the ping, although both may be of one instant.
        let before = framed
            .extra
            .pinged_at
            .and_then(|at| at.checked_sub(Duration::from_nanos(1)));
        if let (Some(before), Some(answers)) = (before, &mut self.half_mut(!side).framed) {
            answers.last_read_at = answers.last_read_at.min(before);
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

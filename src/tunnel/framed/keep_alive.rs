//! The law of keeping alive: a side that is silent is asked, and one that does not answer in time is gone.
//!
//! Looks at both directions: what is heard of a side comes in one, what it is asked goes out in the other.

use tokio::time::Instant;

use super::Own;
use crate::side::Side;
use crate::tunnel::deadline::Earliest;
use crate::tunnel::due::Due;
use crate::tunnel::engine::Engine;

impl Engine {
    /// When each side is to be sent a ping, or owes an answer.
    pub(in crate::tunnel) fn consider_pings(&self, next: &mut Earliest<Due>) {
        for side in [Side::Downstream, Side::Upstream] {
            let (hearing, asking) = (self.half(side), self.half(!side));
            let (Some(heard), Some(asked)) = (hearing.framed(), asking.framed()) else {
                return;
            };
            let over =
                hearing.has_stopped() || asking.has_stopped() || heard.is_closed() || asked.is_closed();
            // What it says is not read, or what it is told does not get through: that has limits of its own.
            let blocked = hearing.outlet().is_blocked() || asking.outlet().is_blocked();
            if over || blocked || asked.due.is_some() {
                continue;
            }
            let config = &heard.config;
            match asked.pinged_after(heard.heard_at) {
                Some(at) => next.consider(at, Some(config.get_pong_timeout()), Due::PingTimeout(side)),
                None => next.consider(heard.heard_at, config.get_ping_interval(), Due::Ping(side)),
            }
        }
    }

    /// While what `side` sends does not get through, it is not read, so no byte can have come from it; and a ping that went the
    /// same way may not have got through either: the clock of both answers stands. A ping that has been answered stays so.
    pub(in crate::tunnel) fn hold_the_clocks(&mut self, side: Side, now: Instant) {
        if !self.is_framed() || !self.half(side).outlet().is_blocked() {
            return;
        }
        let answered_at = self.half(!side).framed().map(|answers| answers.heard_at);
        if let Some(framed) = &mut self.half_mut(side).framed {
            framed.heard_at = now;
            if answered_at.is_some_and(|at| framed.pinged_after(at).is_some()) {
                framed.pinged_at = Some(now);
            }
        }
    }

    /// Has a ping sent to `side` at the next boundary of what it is sent.
    pub(in crate::tunnel) fn ping(&mut self, side: Side) {
        let ping = self
            .half_mut(side)
            .framed
            .as_mut()
            .and_then(|framed| framed.ping());
        if let Some(ping) = ping {
            self.half_mut(!side).order(Own::Ping(ping));
        }
    }
}

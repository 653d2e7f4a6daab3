//! Whether what one side sends may go on now, by its limits.
//!
//! Knows one direction. It must not know how a limit is worked out.

use tokio::time::Instant;

use super::limits::Admission;
use super::{Framed, Refusal};
use crate::websocket::{OpCode, Scanned};

impl Framed {
    /// Whether the limits allow what begins here. If not, it waits or is refused.
    pub(super) fn is_allowed(&mut self, now: Instant, scanned: &Scanned, length: usize) -> bool {
        // After the tunnel's own Close nothing goes on, and what is not is not limited.
        let is_closed = self.is_closed();
        let Some(extra) = self.extra.get_mut().filter(|_| !is_closed) else {
            return true;
        };
        let pings = &extra.pings;
        let Some(rare) = extra.rare.get_mut() else {
            return true;
        };
        let Some(limiter) = &mut rare.limiter else {
            return true;
        };
        let decision = match scanned {
            Scanned::Payload => limiter.payload(now.into_std(), length as u64),
            Scanned::Header(header) => limiter.data_frame(now.into_std(), header, length),
            Scanned::Control(frame) if frame.opcode() == OpCode::Close => Admission::Pass,
            Scanned::Control(frame) if pings.are_answered_first_by(frame, &mut limiter.answered) => {
                Admission::Pass
            }
            Scanned::Control(_) => limiter.control_frame(now.into_std()),
        };
        match decision {
            Admission::Pass => return true,
            Admission::Wait(at) => rare.waits_until = Some(at.into()),
            Admission::Refuse(limit, allowed) => {
                rare.refusal = Some(Refusal::Limit(limit, allowed));
                self.close_now();
            }
        }
        false
    }

    /// How much of what was read may be payload that goes on now.
    pub(super) fn payload_room(&mut self, now: Instant) -> usize {
        let is_closed = self.is_closed();
        let limiter = self.rare_mut().and_then(|rare| rare.limiter.as_mut());
        let room = limiter
            .filter(|_| !is_closed)
            .map_or(u64::MAX, |limiter| limiter.payload_room(now.into_std()));
        usize::try_from(room).unwrap_or(usize::MAX)
    }

    /// Whether payload is to be read, because it may have to wait for its rate.
    pub(super) fn delays_payload(&self) -> bool {
        let limiter = self.rare().limiter.as_ref();
        limiter.is_some_and(|limiter| limiter.delays_payload())
    }

    /// Until when what is held waits for its rate.
    pub(in crate::tunnel) fn waits_until(&self) -> Option<Instant> {
        self.extra.get()?.rare.get()?.waits_until
    }

    /// Nothing waits for its rate any more.
    pub(in crate::tunnel) fn stop_waiting(&mut self, now: Instant) {
        if let Some(rare) = self.rare_mut() {
            rare.limiter = None;
            rare.waits_until = rare.waits_until.map(|at| at.min(now));
        }
    }
}

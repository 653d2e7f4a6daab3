//! The law of the end: nothing left to move is not yet the end, and whatever it is, the streams that are left say the truth
//! about it.
//!
//! Knows both directions and why the tunnel ends. It must not know how they came to that.

use std::task::Context;
use std::time::Duration;

use tokio::time::Instant;

use super::end::{End, Traffic, TunnelError};
use super::engine::{Cause, Engine, Phase};
use super::scratch::Scratch;
use super::socket::{self, Carried};
use super::{leaving, pipe};
use crate::clock::After;
use crate::side::Side;

impl Engine {
    /// Whether nothing is left to be moved, nor to be waited for.
    pub(super) fn poll_end<D: Carried, U: Carried>(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        scratch: &mut Scratch,
        downstream: &mut D,
        upstream: &mut U,
    ) -> Option<Result<Traffic, TunnelError>> {
        if self.from_downstream.has_ended() && self.from_upstream.has_ended() && !self.awaits_answers() {
            if let Phase::Running { first_end } = self.phase {
                let first = first_end.unwrap_or(Side::Downstream);
                return Some(Ok(self.traffic(now, End::Closed { first })));
            }
            if let Phase::Closed { first, .. } = self.phase {
                // What has come in the meantime must not turn the close of a socket into a reset.
                leaving::discard(cx, scratch, downstream);
                leaving::discard(cx, scratch, upstream);
                return Some(Ok(self.traffic(now, End::Closed { first })));
            }
            self.settle(now, socket::can_reset(downstream), socket::can_reset(upstream));
        }
        let is_settling = match &self.phase {
            Phase::Settling { cause, .. } => cause.is_none(),
            Phase::Closing(closing) => closing.settles_until.is_some(),
            _ => false,
        };
        if is_settling {
            // Bytes left unread would turn the close of a socket into a reset, which throws away what was delivered.
            let quiet = leaving::discard(cx, scratch, downstream) & leaving::discard(cx, scratch, upstream);
            if quiet {
                return Some(self.conclude(cx, now, End::Drained, downstream, upstream));
            }
        }
        None
    }

    /// Both directions have ended otherwise than by their streams' ends: gives the kernel a moment.
    fn settle(&mut self, now: Instant, downstream_can_reset: bool, upstream_can_reset: bool) {
        let settle_time = self
            .config
            .get_linger_timeout()
            .map_or(Duration::ZERO, |l| l.min(leaving::SETTLE_TIME));
        self.phase = match std::mem::replace(&mut self.phase, Phase::Running { first_end: None }) {
            Phase::Draining { .. } => Phase::Settling {
                until: now.after(settle_time),
                cause: None,
            },
            Phase::Failing { cause, .. } => {
                let receiver_can_reset = match !cause.side {
                    Side::Downstream => downstream_can_reset,
                    Side::Upstream => upstream_can_reset,
                };
                let last_delivery = self.half(cause.side).outlet().moved_at();
                let until = if receiver_can_reset {
                    last_delivery.after(settle_time)
                } else {
                    now
                };
                Phase::Settling {
                    until,
                    cause: Some(cause),
                }
            }
            Phase::Closing(mut closing) => {
                closing.settles_until.get_or_insert(now.after(settle_time));
                Phase::Closing(closing)
            }
            other => other,
        };
    }

    /// The end. Streams that are dropped after this say the truth about it.
    pub(super) fn conclude<D: Carried, U: Carried>(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        end: End,
        downstream: &mut D,
        upstream: &mut U,
    ) -> Result<Traffic, TunnelError> {
        let end = match std::mem::replace(&mut self.phase, Phase::Running { first_end: None }) {
            Phase::Failing { cause, .. }
            | Phase::Settling {
                cause: Some(cause), ..
            } => {
                socket::reset_on_drop(downstream);
                socket::reset_on_drop(upstream);
                let Cause {
                    side,
                    operation,
                    source,
                } = cause;
                let traffic = self.traffic(now, End::Failed { side });
                return Err(TunnelError {
                    side,
                    operation,
                    traffic,
                    source,
                });
            }
            Phase::Draining { .. } | Phase::Settling { cause: None, .. } => End::Drained,
            Phase::Closing(closing) => closing.end,
            Phase::Closed { first, .. } => End::Closed { first },
            Phase::Running { .. } => end,
        };
        leaving::leave(cx, &self.from_upstream, downstream);
        leaving::leave(cx, &self.from_downstream, upstream);
        Ok(self.traffic(now, end))
    }

    fn traffic(&self, now: Instant, end: End) -> Traffic {
        pipe::tidy();
        Traffic {
            from_downstream: self.from_downstream.delivered(),
            from_upstream: self.from_upstream.delivered(),
            spliced_from_downstream: self.from_downstream.outlet().spliced(),
            spliced_from_upstream: self.from_upstream.outlet().spliced(),
            duration: now.duration_since(self.started),
            end,
            closes: self.closes(),
        }
    }
}

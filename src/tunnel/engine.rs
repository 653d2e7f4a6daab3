//! The law of the whole tunnel: two independent directions, one deadline, one way to end.
//!
//! Knows two sides, their directions, and what a failure or an end on one side means for the other. It must not know
//! how bytes move, nor who owns the streams.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::time::Instant;

use super::config::TunnelConfig;
use super::deadline::Timer;
use super::due::Due;
use super::end::{End, Operation, Traffic, TunnelError};
use super::framed::Closing;
use super::half::{Farewell, Half};
use super::outlet::Failure;
use super::scratch::Scratch;
use super::socket::{self, Carried};
use crate::side::Side;

/// Everything of a tunnel but its two streams.
pub(super) struct Engine {
    // Each in a box of its own: a task and a socket's registration are aligned to 128 bytes, and the gaps that this
    // leaves in the heap are just large enough for a half. Measured: 330 bytes less for an idle tunnel.
    pub(super) from_downstream: Box<Half>,
    pub(super) from_upstream: Box<Half>,
    pub(super) phase: Phase,
    timer: Timer,
    pub(super) config: Arc<TunnelConfig>,
    pub(super) started: Instant,
    /// Whether the streams are dropped when the tunnel ends, so that a plain socket's end need not be told twice.
    drops_streams: bool,
}

pub(super) enum Phase {
    /// Both directions for themselves.
    Running { first_end: Option<Side> },
    /// Nothing is read any more; what was read is delivered.
    Draining { since: Instant },
    /// The same of a tunnel that knows its frames: both sides are told by a Close. Boxed, as all that is rare.
    Closing(Box<Closing>),
    /// Both sides have sent a Close, and the stream of one has failed since: what is left of what it had sent is delivered.
    Closed { since: Instant, first: Side },
    /// One side has failed; what it had sent is delivered.
    Failing { since: Instant, cause: Cause },
    /// Nothing left to move; the kernel gets a moment.
    Settling { until: Instant, cause: Option<Cause> },
}

pub(super) struct Cause {
    pub(super) side: Side,
    pub(super) operation: Operation,
    pub(super) source: io::Error,
}

impl Engine {
    pub(super) fn new(config: Arc<TunnelConfig>, drops_streams: bool) -> Self {
        let now = Instant::now();
        Engine {
            from_downstream: Box::new(Half::new(now, config.get_splice())),
            from_upstream: Box::new(Half::new(now, config.get_splice())),
            phase: Phase::Running { first_end: None },
            timer: Timer::default(),
            config,
            started: now,
            drops_streams,
        }
    }

    pub(super) fn put_in_front(&mut self, from_downstream: Bytes, from_upstream: Bytes) {
        self.from_downstream.put_in_front(from_downstream);
        self.from_upstream.put_in_front(from_upstream);
    }

    /// Ends the tunnel in order: reads no more, delivers what was read. False if it is about to end already.
    pub(super) fn drain(&mut self) -> bool {
        if !matches!(self.phase, Phase::Running { .. }) {
            return false;
        }
        let now = Instant::now();
        if self.is_framed() {
            self.close(now, End::Drained);
            return true;
        }
        self.phase = Phase::Draining { since: now };
        self.from_downstream.stop();
        self.from_upstream.stop();
        true
    }

    /// Moves what can be moved, and says when there is nothing left to wait for.
    pub(super) fn poll<D: Carried, U: Carried>(
        &mut self,
        cx: &mut Context<'_>,
        downstream: &mut D,
        upstream: &mut U,
    ) -> Poll<Result<Traffic, TunnelError>> {
        let now = Instant::now();
        let mut scratch = Scratch::default();
        loop {
            // Again after a failure, because that changes what is left to do for either direction.
            while self.move_from(Side::Downstream, cx, now, &mut scratch, (downstream, upstream))
                | self.move_from(Side::Upstream, cx, now, &mut scratch, (upstream, downstream))
                || self.conclude_closes(cx, now, &mut scratch, downstream, upstream)
            {}
            if let Some(ended) = self.poll_end(cx, now, &mut scratch, downstream, upstream) {
                return Poll::Ready(ended);
            }
            // After the bytes: whoever is woken late, with bytes there, is not idle.
            let Some((deadline, due)) = self.next_deadline() else {
                return Poll::Pending;
            };
            if self.timer.poll(cx, now, deadline).is_pending() {
                return Poll::Pending;
            }
            if let Some(end) = self.strike(now, due) {
                return Poll::Ready(self.conclude(cx, now, end, downstream, upstream));
            }
        }
    }

    /// A deadline has passed. The end that it is, if it ends the tunnel at once.
    fn strike(&mut self, now: Instant, due: Due) -> Option<End> {
        if let Due::Ping(side) = due {
            self.ping(side);
            return None;
        }
        let end = due.end()?;
        if matches!(due, Due::Leave) && self.closes_now(now) {
            return None;
        }
        let has_words = matches!(due, Due::Idle | Due::Lifetime | Due::PingTimeout(_));
        if has_words && self.is_framed() && matches!(self.phase, Phase::Running { .. }) {
            self.close(now, end);
            return None;
        }
        Some(end)
    }

    /// One direction's share of a poll. True if it failed.
    fn move_from<R: Carried, W: Carried>(
        &mut self,
        side: Side,
        cx: &mut Context<'_>,
        now: Instant,
        scratch: &mut Scratch,
        streams: (&mut R, &mut W),
    ) -> bool {
        self.hold_the_clocks(side, now);
        let farewell = self.farewell(side, socket::is_plain(streams.1));
        let splice = self.config.get_splice();
        let half = self.half_mut(side);
        let outcome = half.poll(cx, now, scratch, streams, farewell, splice);
        let stopped = half.has_stopped();
        match &mut self.phase {
            Phase::Running {
                first_end: first_end @ None,
            } if stopped => *first_end = Some(side),
            _ => {}
        }
        let Err(failure) = outcome else {
            return self.answer_violation(side, now);
        };
        self.fail(side, failure, now);
        true
    }

    /// What the writer is to be told if the direction that comes from `side` ends now.
    fn farewell(&self, side: Side, writer_is_plain: bool) -> Farewell {
        match self.phase {
            // What follows is a reset, or a stream dropped without its closing words. Anything else would make a
            // stream that was cut short look complete.
            Phase::Failing { .. } => Farewell::Silence,
            // The second end of two: the socket is closed in the next moment, which says the same.
            Phase::Running { .. }
                if self.drops_streams && writer_is_plain && self.half(!side).has_ended() =>
            {
                Farewell::Silence
            }
            _ => Farewell::Shutdown,
        }
    }

    /// The direction that comes from `side` has met a failure: works out which side is gone, and what that leaves.
    fn fail(&mut self, side: Side, Failure { operation, source }: Failure, now: Instant) {
        let failed_side = if operation == Operation::Read { side } else { !side };
        if operation == Operation::Shutdown {
            // Everything was delivered, only the word that it was all could not be. No news if the peer has gone
            // (its own direction says how), or if it has nothing more to say either.
            let settled = !matches!(self.phase, Phase::Running { .. }) || self.half(!side).has_ended();
            if settled || source.kind() == io::ErrorKind::NotConnected {
                return;
            }
        }
        if self.is_left_while_closing(failed_side, operation) || self.is_left_after_closes(failed_side, now) {
            return;
        }
        if operation == Operation::Read {
            // Dead both ways. What it had sent before still goes out.
            self.half_mut(side).stop();
            self.half_mut(!side).abandon();
        } else {
            // Takes nothing any more; what it had sent before may still be there to be read.
            self.half_mut(side).abandon();
        }
        if !matches!(self.phase, Phase::Failing { .. }) {
            let cause = Cause {
                side: failed_side,
                operation,
                source,
            };
            self.phase = Phase::Failing { since: now, cause };
        }
    }

    pub(super) fn half(&self, side: Side) -> &Half {
        match side {
            Side::Downstream => &self.from_downstream,
            Side::Upstream => &self.from_upstream,
        }
    }

    pub(super) fn half_mut(&mut self, side: Side) -> &mut Half {
        match side {
            Side::Downstream => &mut self.from_downstream,
            Side::Upstream => &mut self.from_upstream,
        }
    }
}

//! The whole tunnel: two independent directions, one deadline, one way to end.
//!
//! Polls the directions and the timer, and reports what they have come to. It must not know what becomes of that, nor who owns the
//! streams.

mod acting;
pub(in crate::tunnel) mod half;
mod late;
pub(in crate::tunnel) mod outlet;
#[cfg_attr(not(all(target_os = "linux", feature = "splice")), path = "pipe/absent.rs")]
mod pipe;
pub(in crate::tunnel) mod scratch;
mod shutdown;
mod timer;
#[cfg(feature = "hyper")]
mod transfer;
mod transfer_mode;

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::time::Instant;

use half::Half;
use outlet::Failure;
#[cfg(feature = "hyper")]
pub(crate) use scratch::Scratch;
#[cfg(not(feature = "hyper"))]
use scratch::Scratch;
pub(crate) use timer::Timer;
#[cfg(feature = "hyper")]
pub(crate) use transfer::{Spliced, Transfer};

use crate::side::Side;
use crate::tunnel::config::TunnelConfig;
use crate::tunnel::end::Operation;
use crate::tunnel::lifecycle::{Event, Lifecycle, Outcome};
use crate::tunnel::stream::socket::{self, Carried};
use crate::tunnel::traffic::{Traffic, TunnelError};
use crate::tunnel::websocket::Framed;

/// Everything of a tunnel but its two streams.
pub(in crate::tunnel) struct Engine {
    // Each in a box of its own: a task and a socket's registration are aligned to 128 bytes, and the gaps that this
    // leaves in the heap are just large enough for a half. Measured: 330 bytes less for an idle tunnel.
    pub(in crate::tunnel) from_downstream: Box<Half>,
    pub(in crate::tunnel) from_upstream: Box<Half>,
    pub(in crate::tunnel) lifecycle: Lifecycle<Failure>,
    timer: Timer,
    config: Arc<TunnelConfig>,
}

/// What becomes of the streams when the tunnel has ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::tunnel) enum Ownership {
    /// They are dropped, so that a plain socket need not be shut down twice.
    Dropped,
    /// They are the caller's.
    Borrowed,
}

impl Engine {
    pub(in crate::tunnel) fn new(config: Arc<TunnelConfig>) -> Self {
        let now = Instant::now();
        Engine {
            from_downstream: Box::new(Half::new(now, config.splice_config())),
            from_upstream: Box::new(Half::new(now, config.splice_config())),
            lifecycle: Lifecycle::new(),
            timer: Timer::default(),
            config,
        }
    }

    pub(in crate::tunnel) fn started(&self) -> Instant {
        self.from_downstream.started
    }

    /// Its deadlines are waited for by this timer, which may be armed already.
    #[cfg(feature = "gateway")]
    pub(in crate::tunnel) fn wait_by(&mut self, timer: Timer) {
        self.timer = timer;
    }

    pub(in crate::tunnel) fn put_in_front(&mut self, from_downstream: Bytes, from_upstream: Bytes) {
        self.from_downstream.put_in_front(from_downstream);
        self.from_upstream.put_in_front(from_upstream);
    }

    /// Whether the tunnel is about to end, and not because both sides end their streams.
    pub(in crate::tunnel) fn is_ending(&self) -> bool {
        !self.lifecycle.is_running()
    }

    pub(in crate::tunnel) fn is_half_closed(&self) -> bool {
        self.lifecycle.is_half_closed()
    }

    /// Moves what can be moved, and says when there is nothing left to wait for. It is polled again once the instant `appointed`
    /// has passed.
    pub(in crate::tunnel) fn poll<D: Carried, U: Carried>(
        &mut self,
        cx: &mut Context<'_>,
        downstream: &mut D,
        upstream: &mut U,
        ownership: Ownership,
        appointed: Option<Instant>,
    ) -> Poll<Result<Traffic, TunnelError>> {
        let now = Instant::now();
        let mut scratch = Scratch::default();
        let mut outcome = None;
        while outcome.is_none() {
            // Again after a failure, because that changes what is left to do for either direction.
            while self.move_from(
                Side::Downstream,
                cx,
                now,
                &mut scratch,
                (downstream, upstream),
                ownership,
            ) | self.move_from(
                Side::Upstream,
                cx,
                now,
                &mut scratch,
                (upstream, downstream),
                ownership,
            ) || self.conclude_closes(cx, now, &mut scratch, downstream, upstream)
            {}
            outcome = self.poll_end(cx, now, &mut scratch, downstream, upstream);
            if outcome.is_some() {
                break;
            }
            // Bytes move deadlines to later instants: for a message nothing has to be looked at before the timer fires.
            let is_steady = appointed.is_none() && self.is_steady();
            if is_steady && self.timer.can_only_wait(cx, now) {
                return Poll::Pending;
            }
            // After the bytes: a tunnel woken late, with bytes there, is not idle.
            let deadline = self.lifecycle.deadline(&self.limits(), &self.view());
            let at = deadline.map(|(at, _)| Instant::from(at));
            let resumes = self.resumes_at();
            let Some(next) = [at, appointed, resumes].into_iter().flatten().min() else {
                return Poll::Pending;
            };
            let waits = self.timer.poll(cx, now, next).is_pending();
            self.timer.note_can_only_wait(waits && is_steady);
            if waits {
                return Poll::Pending;
            }
            match deadline {
                Some((_, due))
                    if at == Some(next) && self.has_moved_after_all(due, now, downstream, upstream) => {}
                Some((_, due)) if at == Some(next) => outcome = self.on(Event::Deadline(due), now).outcome,
                _ => {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
            }
        }
        match outcome {
            Some(outcome) => Poll::Ready(self.conclude(cx, now, outcome, downstream, upstream)),
            None => Poll::Pending,
        }
    }

    /// Whether all that is waited for is that a side says something, or for one of the deadlines that each byte makes later.
    fn is_steady(&self) -> bool {
        let (down, up) = (&self.from_downstream, &self.from_upstream);
        self.lifecycle.has_all_open()
            && down.is_steady()
            && up.is_steady()
            && !down.awaits_pong(up)
            && !up.awaits_pong(down)
    }

    /// When a direction goes on whose frames wait for their rate, if nothing else holds it up.
    fn resumes_at(&self) -> Option<Instant> {
        let halves = [&self.from_downstream, &self.from_upstream];
        let waiting = halves
            .into_iter()
            .filter(|half| !half.has_stopped() && !half.outlet().is_blocked());
        waiting.filter_map(|half| half.waits_until()).min()
    }

    /// One direction's share of a poll. True if there is something else to move now.
    fn move_from<R: Carried, W: Carried>(
        &mut self,
        side: Side,
        cx: &mut Context<'_>,
        now: Instant,
        scratch: &mut Scratch,
        streams: (&mut R, &mut W),
        ownership: Ownership,
    ) -> bool {
        let mut ping = None;
        if !self.half(side).is_plain() {
            self.pause_timers(side, now);
            ping = self.queued_ping(side);
        }
        let is_dropped = ownership == Ownership::Dropped && socket::is_plain(streams.1);
        let mode = self
            .lifecycle
            .shutdown_mode(self.half(!side).has_ended(), is_dropped);
        let splice = self.config.splice_config();
        let half = self.half_mut(side);
        let moved = half.poll(cx, now, scratch, streams, mode, splice);
        if let Some(ping) = ping {
            self.note_ping(side, ping);
        }
        let half = self.half(side);
        let special = half.framed().filter(|framed| !framed.is_plain());
        let (is_special, violation) = (special.is_some(), special.and_then(Framed::refusal));
        if half.has_stopped() && self.lifecycle.minds_stops() {
            self.on(Event::Stopped(side), now);
        }
        if is_special {
            self.time_answer(side, now);
        }
        let has_wishes = is_special && self.follow_wishes(side, now);
        match (moved, violation) {
            (Err(failure), _) => {
                let is_read = failure.operation == Operation::Read;
                let failed = Event::Failed {
                    side: if is_read { side } else { !side },
                    operation: failure.operation,
                    is_not_connected: failure.source.kind() == io::ErrorKind::NotConnected,
                    cause: failure,
                };
                self.on(failed, now);
                true
            }
            (Ok(()), Some(refusal)) => self.on(Event::Refused(side, refusal), now).is_changed,
            (Ok(()), None) => has_wishes,
        }
    }

    /// Whether nothing is left to be moved, nor to be waited for.
    fn poll_end<D: Carried, U: Carried>(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        scratch: &mut Scratch,
        downstream: &mut D,
        upstream: &mut U,
    ) -> Option<Outcome<Failure>> {
        if self.from_downstream.has_ended() && self.from_upstream.has_ended() {
            let can_reset = [socket::can_reset(downstream), socket::can_reset(upstream)];
            let done = self.on(Event::BothEnded { can_reset }, now);
            if done.discards {
                shutdown::discard(cx, scratch, downstream);
                shutdown::discard(cx, scratch, upstream);
            }
            if done.outcome.is_some() {
                return done.outcome;
            }
        }
        if self.lifecycle.is_settling()
            && shutdown::discard(cx, scratch, downstream) & shutdown::discard(cx, scratch, upstream)
        {
            return self.on(Event::Quiet, now).outcome;
        }
        None
    }

    pub(in crate::tunnel) fn half(&self, side: Side) -> &Half {
        match side {
            Side::Downstream => &self.from_downstream,
            Side::Upstream => &self.from_upstream,
        }
    }

    pub(in crate::tunnel) fn half_mut(&mut self, side: Side) -> &mut Half {
        match side {
            Side::Downstream => &mut self.from_downstream,
            Side::Upstream => &mut self.from_upstream,
        }
    }
}

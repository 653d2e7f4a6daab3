//! What a tunnel does next: events and the time go in, actions and the next deadline come out.
//!
//! | state | event | actions | next state |
//! |---|---|---|---|
//! | `Running` | a direction stops | | `Running`, with the first to stop |
//! | `Running` | drain, request, expiry; bytes | stop both | `Draining` |
//! | `Running` | drain, request, expiry, idle, lifetime, no pong; frames | a Close to both | `Closing` |
//! | `Running` | a frame is refused | a Close to the other side, one in the place of the other's Close to the violator | `Closing` |
//! | `Running` | a stream fails, both Closes seen | stop it, abandon the way to it | `Closed` |
//! | `Running`, `Failing` | a read fails, the other side can be sent a Close | that, abandon the way to it, stop it | `Closing`, failed |
//! | `Failing` | the failed side's stream ends, the other side was sent a Close | | `Closing`, failed |
//! | any other | a stream fails | stop it if a read failed, abandon the way to it | `Failing` |
//! | any | a shutdown fails, which is no news | | the same |
//! | `Running` | a write or half-close timeout, the other side can be sent a Close | that, stop the side, abandon the way to one that takes nothing | `Closing` |
//! | `Closing` | a stream fails, the other side knows of the end | abandon the way to it, stop it if a read failed | `Closing` |
//! | `Closing` | both have sent and been sent a Close, or one is gone | stop the direction to that side | `Closing` |
//! | `Closing` because of a limit | a Close has waited for its place for a second | send it at the next boundary | `Closing` |
//! | `Closing` | its time is over, a Close waits for its place | send it at the next boundary | `Closing`, a quarter of a second |
//! | `Failing` | a frame is refused | stop it | `Failing` |
//! | `Running` | both directions end | end: closed | `Ended` |
//! | `Closed` | both directions end | discard what has come, end: closed | `Ended` |
//! | `Draining`, `Failing` | both directions end | | `Settling` |
//! | `Closing` | both directions end, no answer awaited | | `Closing`, settling |
//! | settling | both streams are quiet | end: as it began | `Ended` |
//! | any | a ping is due | a ping | the same |
//! | `Closed` | a deadline | end: closed, or the write timeout of the side that has not taken all | `Ended` |
//! | any | any other deadline | end: as it began, or that deadline | `Ended` |
//! | `Ended` | anything | | `Ended` |
//!
//! Settling is a moment for the kernel to hand over what it has taken, before a reset is passed on or a stream is dropped.
//!
//! Knows what a direction has come to, as a [`View`]. It must not know streams or bytes, and reads no frame; no other file knows the state.

mod deadline;
mod event;
mod state;
#[cfg(test)]
mod tests;
mod view;

use std::time::{Duration, Instant};

pub(super) use event::{Action, Due, Event, Outcome, ShutdownMode};
pub(super) use view::{Direction, Frames, Limits, View};

use state::{Closed, Closing, Draining, Failing, Settling, State};

use super::end::{End, Operation};
use super::websocket::Refusal;
use crate::clock::After;
use crate::side::Side;

/// How long the kernel may need to hand over what it has taken, where closing at once would make it throw that away.
const SETTLE_TIME: Duration = Duration::from_millis(250);

const SIDES: [Side; 2] = [Side::Downstream, Side::Upstream];

/// The state of a tunnel. `C` is what is kept of a failure.
pub(super) struct Lifecycle<C> {
    state: State<C>,
}

impl<C> Lifecycle<C> {
    pub(super) fn new() -> Self {
        let state = State::Running { first: None };
        Lifecycle { state }
    }

    pub(super) fn is_closing(&self) -> bool {
        matches!(self.state, State::Closing(_))
    }

    pub(super) fn is_running(&self) -> bool {
        matches!(self.state, State::Running { .. })
    }

    /// Whether both directions go on.
    pub(super) fn has_all_open(&self) -> bool {
        matches!(self.state, State::Running { first: None })
    }

    /// Whether one direction has stopped, and the other goes on.
    pub(super) fn is_half_closed(&self) -> bool {
        matches!(self.state, State::Running { first: Some(_) })
    }

    /// Whether it makes a difference that a direction [stops](Event::Stopped).
    pub(super) fn minds_stops(&self) -> bool {
        matches!(self.state, State::Running { first: None } | State::Failing { .. })
    }

    /// Whether what the streams still give is read and forgotten, until both are [quiet](Event::Quiet): bytes left unread
    /// would turn the close of a socket into a reset, which throws away what was delivered.
    pub(super) fn is_settling(&self) -> bool {
        match &self.state {
            State::Settling(settling) => matches!(settling.outcome, Outcome::Ended(_)),
            State::Closing(closing) => closing.settles_until.is_some(),
            _ => false,
        }
    }

    /// Whether a side has been sent a Close and may still answer it.
    pub(super) fn awaits_answers(&self, view: &View) -> bool {
        let State::Closing(closing) = &self.state else {
            return false;
        };
        let awaits = |side: Side| {
            view.frames(!side, |receiver| receiver.is_closed) && view.frames(side, |said| !said.is_done)
        };
        closing.settles_until.is_none() && SIDES.into_iter().any(awaits)
    }

    /// How a direction shuts its writer down if it ends now.
    pub(super) fn shutdown_mode(&self, has_other_ended: bool, is_dropped_at_the_end: bool) -> ShutdownMode {
        match self.state {
            // What follows is a reset, or a stream dropped without its closing words. Anything else would make a
            // stream that was cut short look complete.
            State::Failing(_) => ShutdownMode::Silent,
            // The second end of two: the socket is closed in the next moment, which says the same.
            State::Running { .. } if is_dropped_at_the_end && has_other_ended => ShutdownMode::Silent,
            _ => ShutdownMode::Orderly,
        }
    }

    /// Takes an event in.
    pub(super) fn on(
        &mut self,
        event: Event<C>,
        now: Instant,
        limits: &Limits<'_>,
        view: &View,
    ) -> Vec<Action<C>> {
        match event {
            Event::Stopped(side) => {
                self.stopped(side, now, view);
                Vec::new()
            }
            Event::Failed {
                side,
                operation,
                is_not_connected,
                cause,
            } => {
                // Everything was delivered, only the word that it was all could not be. No news if the peer has gone (its
                // own direction says how), or if it has nothing more to say either.
                let is_no_news = !self.is_running() || view.from(side).has_ended || is_not_connected;
                match operation == Operation::Shutdown && is_no_news {
                    true => Vec::new(),
                    false => self.failed(side, operation == Operation::Read, cause, now, view),
                }
            }
            Event::Refused(side, refusal) => match self.state {
                State::Running { .. } => self.close(refused(side, refusal), now),
                // What comes is not for the other side, and nobody can be notified.
                State::Failing(_) if !view.from(side).has_stopped => vec![Action::Stop(side)],
                _ => Vec::new(),
            },
            Event::EndWanted(end) => self.end_wanted(end, now, limits),
            Event::Moved => self.conclude_closes(now, limits, view),
            Event::BothEnded { can_reset } => self.both_ended(now, limits, view, can_reset),
            Event::Quiet if self.is_settling() => self.end(End::Drained, view),
            Event::Quiet => Vec::new(),
            Event::Deadline(due) => self.deadline_passed(due, now, limits, view),
        }
    }

    fn stopped(&mut self, side: Side, now: Instant, view: &View) {
        match &mut self.state {
            State::Running { first: first @ None } => *first = Some(side),
            // What it had sent has gone out, and a Close behind it: the other side may answer that.
            State::Failing(failing)
                if failing.side == side && view.frames(side, |frames| frames.has_injected_close) =>
            {
                self.close_failed(side, None, now);
            }
            _ => {}
        }
    }

    /// The stream of `side` has failed, or had before, and the other side gets a Close.
    fn close_failed(&mut self, side: Side, cause: Option<C>, now: Instant) {
        let (side, cause) = match std::mem::replace(&mut self.state, State::Ended) {
            State::Failing(failing) => (failing.side, Some(failing.cause)),
            _ => (side, cause),
        };
        self.state = State::Closing(Box::new(Closing::new(now, End::Failed { side }, cause)));
    }

    fn end_wanted(&mut self, end: End, now: Instant, limits: &Limits<'_>) -> Vec<Action<C>> {
        if !self.is_running() {
            return Vec::new();
        }
        if limits.websocket.is_some() {
            return self.close(end, now);
        }
        self.state = State::Draining(Box::new(Draining { since: now, end }));
        SIDES.map(Action::Stop).into()
    }

    /// Ends the tunnel with a Close to each side that has not had one.
    ///
    /// One that has broken the protocol is sent it in the place of the other side's: what the other side says in answer to what
    /// came before the violation is not lost.
    fn close(&mut self, end: End, now: Instant) -> Vec<Action<C>> {
        self.state = State::Closing(Box::new(Closing::new(now, end, None)));
        let close = |to: Side| match end {
            End::Violation { side, .. } | End::LimitExceeded { side, .. } if side == to => {
                Action::CloseInPlace { to, end }
            }
            _ => Action::Close { to, end },
        };
        let mut actions: Vec<_> = SIDES.map(close).into();
        if let End::PingTimeout { side } = end {
            // What it has begun it may finish, but nobody waits for its Close.
            actions.push(Action::Forget(side));
        }
        actions
    }

    fn failed(&mut self, side: Side, is_read: bool, cause: C, now: Instant, view: &View) -> Vec<Action<C>> {
        let knows = |frames: &Frames| frames.is_closed || frames.awaits_place;
        let mut actions = vec![Action::Abandon(!side)];
        match &self.state {
            State::Ended => return Vec::new(),
            // The other side has had its Close, or is to have it in the place of this one's: a peer that closes without a Close frame.
            State::Closing(_) if view.frames(side, knows) => actions.push(Action::Forget(side)),
            // RFC 6455, section 7.1.1: a server may close the connection at once when each side has sent its Close. Nothing
            // more is to come from either, so nothing can have been cut short.
            State::Running { first }
                if SIDES.into_iter().all(|side| {
                    view.frames(side, |frames| {
                        frames.has_sender_closed || frames.has_injected_close
                    })
                }) =>
            {
                let first = first.unwrap_or(side);
                self.state = State::Closed(Box::new(Closed { since: now, first }));
                actions.push(Action::Stop(side));
                return actions;
            }
            State::Running { .. } | State::Failing(_)
                if is_read && view.frames(side, |frames| frames.can_close_abnormally) =>
            {
                self.close_failed(side, Some(cause), now);
                let (to, end) = (!side, End::Failed { side });
                actions.extend([Action::Close { to, end }, Action::Forget(side)]);
            }
            State::Failing(_) | State::Closed(_) => {}
            _ => {
                self.state = State::Failing(Box::new(Failing {
                    since: now,
                    side,
                    cause,
                }));
            }
        }
        // Dead both ways if it cannot be read: what it had sent before still goes out. If it takes nothing, what it had sent
        // may still be there to be read.
        if is_read {
            actions.push(Action::Stop(side));
        }
        actions
    }

    fn conclude_closes(&mut self, now: Instant, limits: &Limits<'_>, view: &View) -> Vec<Action<C>> {
        let State::Closing(closing) = &mut self.state else {
            return Vec::new();
        };
        // One that is sent its Close in the place of the other's gets it when that has come.
        let is_notified = |side: Side| {
            let direction = view.from(side);
            let has_taken_it = view.frames(side, |frames| frames.is_closed) && !direction.has_tail;
            has_taken_it || direction.has_ended || view.frames(side, |frames| frames.awaits_place)
        };
        if closing.answers_until.is_none() && SIDES.into_iter().all(is_notified) {
            let limit = limits.websocket.and_then(|config| config.close_limit());
            closing.answers_until = limit.map(|limit| now.after(limit));
        }
        let is_over = |side: &Side| {
            let receiver = view.from(!*side);
            view.frames(*side, |frames| frames.is_done)
                && view.frames(!*side, |frames| frames.is_closed)
                && !receiver.has_stopped
        };
        let over = SIDES.into_iter().filter(is_over);
        over.map(|side| Action::Stop(!side)).collect()
    }

    fn both_ended(
        &mut self,
        now: Instant,
        limits: &Limits<'_>,
        view: &View,
        can_reset: [bool; 2],
    ) -> Vec<Action<C>> {
        if self.awaits_answers(view) {
            return Vec::new();
        }
        let half_close_limit = limits.tunnel.half_close_limit();
        let settle_time = half_close_limit.map_or(Duration::ZERO, |limit| limit.min(SETTLE_TIME));
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Running { first } => {
                let first = first.unwrap_or(Side::Downstream);
                return vec![Action::End(Outcome::Ended(End::Closed { first }))];
            }
            State::Closed(closed) => {
                // What has come in the meantime must not turn the close of a socket into a reset.
                let ended = Action::End(Outcome::Ended(End::Closed { first: closed.first }));
                return vec![Action::Discard, ended];
            }
            State::Draining(draining) => self.settle(now.after(settle_time), Outcome::Ended(draining.end)),
            State::Failing(failing) => {
                let Failing { side, cause, .. } = *failing;
                let until = match can_reset[!side as usize] {
                    true => view.from(side).moved_at.after(settle_time),
                    false => now,
                };
                self.settle(until, Outcome::Failed { side, cause });
            }
            State::Closing(mut closing) => {
                closing.settles_until.get_or_insert(now.after(settle_time));
                self.state = State::Closing(closing);
            }
            other => self.state = other,
        }
        Vec::new()
    }

    fn settle(&mut self, until: Instant, outcome: Outcome<C>) {
        self.state = State::Settling(Box::new(Settling { until, outcome }));
    }

    fn deadline_passed(
        &mut self,
        due: Due,
        now: Instant,
        limits: &Limits<'_>,
        view: &View,
    ) -> Vec<Action<C>> {
        if let State::Closing(closing) = &mut self.state {
            if closing.awaits_place(view) {
                if due == Due::Drop {
                    closing.last_until = Some(now.after(SETTLE_TIME));
                }
                return vec![Action::CloseNow];
            }
        }
        let end = match due {
            Due::Ping(side) => return vec![Action::Ping(side)],
            Due::Place => return Vec::new(),
            Due::Idle => End::Idle,
            Due::Lifetime => End::Lifetime,
            Due::PingTimeout(side) => End::PingTimeout { side },
            Due::HalfCloseTimeout(open) => {
                return self.give_up(open, End::HalfCloseTimeout { open }, now, view);
            }
            Due::WriteTimeout(side) => return self.give_up(side, End::WriteTimeout { side }, now, view),
            Due::Drop => return self.end(End::Drained, view),
        };
        match limits.websocket.is_some() && self.is_running() {
            true => self.close(end, now),
            false => self.end(end, view),
        }
    }

    /// Nobody waits for this side any more. The other one gets a Close because of that, where there is a place for it.
    fn give_up(&mut self, side: Side, end: End, now: Instant, view: &View) -> Vec<Action<C>> {
        // One that takes nothing either does not take a Close.
        let takes_it = !view.from(side).is_waiting && view.frames(side, |frames| frames.can_close_abnormally);
        if !self.is_running() || !takes_it {
            return self.end(end, view);
        }
        self.state = State::Closing(Box::new(Closing::new(now, end, None)));
        let mut actions = vec![
            Action::Close { to: !side, end },
            Action::Forget(side),
            Action::Stop(side),
        ];
        if let End::WriteTimeout { .. } = end {
            actions.push(Action::Abandon(!side));
        }
        actions
    }

    /// The end: as the state says, or this one.
    fn end(&mut self, end: End, view: &View) -> Vec<Action<C>> {
        let outcome = match std::mem::replace(&mut self.state, State::Ended) {
            State::Ended => return Vec::new(),
            State::Running { .. } => Outcome::Ended(end),
            State::Draining(draining) => Outcome::Ended(draining.end),
            State::Closing(closing) => match (closing.end, closing.cause) {
                (End::Failed { side }, Some(cause)) => Outcome::Failed { side, cause },
                (end, _) => Outcome::Ended(end),
            },
            State::Closed(closed) => {
                // What was said before the Closes has not arrived, and that is no end in order.
                let stuck = SIDES.into_iter().find(|side| view.from(*side).has_tail);
                let write_timeout = |side: Side| End::WriteTimeout { side: !side };
                let closed = End::Closed { first: closed.first };
                Outcome::Ended(stuck.map_or(closed, write_timeout))
            }
            State::Failing(failing) => Outcome::Failed {
                side: failing.side,
                cause: failing.cause,
            },
            State::Settling(settling) => settling.outcome,
        };
        vec![Action::End(outcome)]
    }
}

/// The end of a tunnel in which a frame of this side's was refused.
fn refused(side: Side, refusal: Refusal) -> End {
    match refusal {
        Refusal::Frame(error) => End::Violation { side, error },
        Refusal::Limit(limit, allowed) => End::LimitExceeded { side, limit, allowed },
    }
}

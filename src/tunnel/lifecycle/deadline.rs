//! Which limit applies when: what a tunnel may wait for now, and for how long.
//!
//! Looks at the state and changes nothing.

use std::time::{Duration, Instant};

use super::event::Due;
use super::state::{Closing, State};
use super::view::{Limits, View};
use super::{Lifecycle, SIDES};
use crate::clock::{After, reading_time};
use crate::side::Side;
use crate::tunnel::end::End;
use crate::tunnel::websocket::WebSocketSettings;

/// How long the peers may take for their Closes where the tunnel has no half-close timeout: without any, a peer that has vanished
/// would keep a tunnel that has ended because of it.
const CLOSING_TIME: Duration = Duration::from_secs(30);

/// How long a side that has exceeded a limit waits for its Close, so that what the other side says in answer to what came before is not
/// lost. It is served meanwhile, so not for long.
pub(super) const PLACE_TIME: Duration = Duration::from_secs(1);

impl<C> Lifecycle<C> {
    /// The next instant at which something is due if nothing moves, and what.
    pub(in crate::tunnel) fn deadline(&self, limits: &Limits<'_>, view: &View) -> Option<(Instant, Due)> {
        let (config, moved_at) = (limits.tunnel, view.moved_at());
        let half_close_limit = config.half_close_limit();
        let mut next = Earliest(None);
        match &self.state {
            State::Ended => return None,
            State::Settling(settling) => return Some((settling.until, Due::Drop)),
            // What brought it about has passed already.
            State::Closing(closing) => {
                let last = (closing.deadline(half_close_limit), Due::Drop);
                let place = (closing.since.after(PLACE_TIME), Due::Place);
                let is_limit = matches!(closing.end, End::LimitExceeded { .. });
                return Some(match is_limit && closing.awaits_place(view) {
                    true if place.0 < last.0 => place,
                    _ => last,
                });
            }
            State::Draining(draining) => next.consider(draining.since, half_close_limit, Due::Drop),
            State::Failing(failing) => next.consider(failing.since, half_close_limit, Due::Drop),
            State::Closed(closed) => next.consider(closed.since, half_close_limit, Due::Drop),
            State::Running { .. } => {
                let ended = SIDES.into_iter().find(|side| view.from(*side).has_ended);
                if let Some(side) = ended {
                    next.consider(moved_at, half_close_limit, Due::HalfCloseTimeout(!side));
                }
            }
        }
        for side in SIDES {
            let direction = view.from(side);
            if direction.is_waiting {
                let limit = config.write_limit();
                next.consider(direction.moved_at, limit, Due::WriteTimeout(!side));
            }
        }
        next.consider(moved_at, config.idle_limit(), Due::Idle);
        next.consider(limits.started, config.lifetime_limit(), Due::Lifetime);
        if let (State::Running { .. }, Some(config)) = (&self.state, limits.websocket) {
            for side in SIDES {
                consider_ping(&mut next, side, config, view);
            }
        }
        next.0
    }
}

impl<C> Closing<C> {
    /// Whether a Close waits for the place of the other side's.
    pub(super) fn awaits_place(&self, view: &View) -> bool {
        let awaits = |side| view.frames(side, |frames| frames.awaits_place);
        self.settles_until.is_none() && self.last_until.is_none() && SIDES.into_iter().any(awaits)
    }

    fn deadline(&self, half_close_limit: Option<Duration>) -> Instant {
        let limit = self.since.after(half_close_limit.unwrap_or(CLOSING_TIME));
        let usual = self.answers_until.map_or(limit, |answers| answers.min(limit));
        self.settles_until.or(self.last_until).unwrap_or(usual)
    }
}

/// When a side is to be sent a ping, or has not answered one.
fn consider_ping(next: &mut Earliest, side: Side, config: &WebSocketSettings, view: &View) {
    let (answerer, pinger) = (view.from(side), view.from(!side));
    let (Some(answers), Some(pings)) = (&answerer.frames, &pinger.frames) else {
        return;
    };
    let is_over = answerer.has_stopped || pinger.has_stopped || answers.is_closed || pings.is_closed;
    // What it says is not read, or what it is asked does not get through: that has limits of its own.
    let is_blocked = answerer.is_blocked || pinger.is_blocked || answers.waits_until.is_some();
    if is_over || is_blocked {
        return;
    }
    match pings.pinged_at.filter(|at| *at > answers.last_read_at) {
        Some(at) => {
            let limit = config
                .pong_limit()
                .saturating_add(reading_time(pings.before_ping));
            next.consider(at, Some(limit), Due::PingTimeout(side));
        }
        // It is asked already, as soon as there is a place for that.
        None if pings.has_queued => {}
        None => next.consider(answers.last_read_at, config.ping_after(), Due::Ping(side)),
    }
}

/// The earliest of several deadlines, and what it would mean if it passed.
struct Earliest(Option<(Instant, Due)>);

impl Earliest {
    /// Adds the deadline that is `limit` after `since`. Without a limit there is none.
    fn consider(&mut self, since: Instant, limit: Option<Duration>, due: Due) {
        let Some(limit) = limit else { return };
        let at = since.after(limit);
        if self.0.is_none_or(|(earliest, _)| at < earliest) {
            self.0 = Some((at, due));
        }
    }
}

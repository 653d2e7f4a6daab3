//! The law of ending many in order: everyone is told once, and no two at the same moment if there is time.
//!
//! Knows who waits and since when. It must not know what a waiter does when its time has come: a tunnel, a listener
//! and a connection without a request all wait in the same way.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::draining::{Draining, Stage};
use super::wakers::Wakers;

/// Tells everyone who waits for it that the time has come to end. Cheap to clone; all clones are one drain.
///
/// What waits is a [`Draining`]: a future for [`Tunnel::drain`](super::Tunnel::drain), and for every other wait of the
/// caller's that a shutdown should end. [`signal`](Drain::signal) completes when the [`Schedule`] says so,
/// [`started`](Drain::started) as soon as there is one.
///
/// If every `Drain` is dropped without a start, what waits for it waits forever.
///
/// ```
/// use std::time::Duration;
/// use switchover::tunnel::{Drain, End, Schedule, Tunnel};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let drain = Drain::new();
/// # let ((_client, downstream), (upstream, _origin)) = (tokio::io::duplex(64), tokio::io::duplex(64));
/// let tunnel = tokio::spawn(Tunnel::new(downstream, upstream).drain(drain.signal()).run());
///
/// // Ten seconds in which clients may leave by themselves, and a minute in which the rest is sent away, one by one.
/// drain.start(Schedule::default().grace(Duration::from_secs(10)).spread(Duration::from_secs(60)));
/// assert_eq!(tunnel.await??.end(), End::Drained);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct Drain {
    shared: Arc<Shared>,
}

/// When those who wait for a [`Drain`] are told. By default all at once, and now.
///
/// ```
/// use std::time::Duration;
/// use switchover::tunnel::Schedule;
///
/// let schedule = Schedule::default().spread(Duration::from_secs(60));
/// assert_eq!((schedule.get_grace(), schedule.get_spread()), (Duration::ZERO, Duration::from_secs(60)));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Schedule {
    grace: Duration,
    spread: Duration,
}

impl Schedule {
    /// How long everyone goes on undisturbed. Default: zero.
    ///
    /// Long enough, and many end by themselves; but the process lives at least as long as its longest tunnel does,
    /// or this.
    #[must_use]
    pub fn grace(mut self, time: Duration) -> Self {
        self.grace = time;
        self
    }

    /// The time after the grace over which they are told one after the other, at even distances. Default: zero, which
    /// is all at once.
    ///
    /// Clients that lose their connections together come back together. With a spread, a process with 60,000
    /// tunnels and a minute sends away a thousand in each second.
    #[must_use]
    pub fn spread(mut self, time: Duration) -> Self {
        self.spread = time;
        self
    }

    /// The [grace](Schedule::grace).
    pub fn get_grace(&self) -> Duration {
        self.grace
    }

    /// The [spread](Schedule::spread).
    pub fn get_spread(&self) -> Duration {
        self.spread
    }
}

/// What a drain and those who wait for it share.
#[derive(Default)]
pub(super) struct Shared {
    /// The round of both lists of wakers, to be looked at without the lock. Zero until the start.
    round: AtomicU32,
    state: Mutex<State>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) window: Option<Window>,
    at_the_start: Wakers,
    in_turn: Wakers,
    /// How many waited for their turn at the start.
    expected: u32,
    /// How many turns have been given out.
    placed: u32,
}

/// When the first and the last are told.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    from: Instant,
    to: Instant,
}

impl Drain {
    /// A drain that has not started.
    pub fn new() -> Self {
        Drain::default()
    }

    /// Starts it, or hastens one that has started.
    ///
    /// Those who wait for their turn now get one each, evenly over the [spread](Schedule::spread). Whoever comes
    /// later has a turn in what is left of it, and none to wait for after that.
    ///
    /// Of two schedules that overlap, the earlier beginning and the earlier end count: no later call gives anyone
    /// more time.
    pub fn start(&self, schedule: Schedule) {
        let mut state = self.shared.lock();
        let wanted = Window::new(schedule);
        let window = match state.window {
            None => {
                state.expected = state.in_turn.waiting();
                wanted
            }
            Some(window) => Window {
                from: window.from.min(wanted.from),
                to: window.to.min(wanted.to),
            },
        };
        if state.window == Some(window) {
            return;
        }
        state.window = Some(window);
        let woken = [state.at_the_start.take(), state.in_turn.take()];
        self.shared.round.store(state.in_turn.round(), Ordering::Release);
        drop(state);
        for woken in woken {
            woken.wake();
        }
    }

    /// Everyone's time has come, whatever the schedule was: [`start`](Drain::start) without grace and spread.
    pub fn complete_now(&self) {
        self.start(Schedule::default());
    }

    /// Whether it has started. From then on nothing new should be begun.
    pub fn has_started(&self) -> bool {
        self.shared.round.load(Ordering::Acquire) != 0
    }

    /// Completes when the schedule says so: for what may go on for a while, such as a tunnel.
    pub fn signal(&self) -> Draining {
        Draining::new(self.shared.clone(), Stage::Unplaced)
    }

    /// Completes with the start, whatever the schedule: for what must not go on, such as a listener, or a connection
    /// that has not asked for anything yet.
    pub fn started(&self) -> Draining {
        Draining::new(self.shared.clone(), Stage::AtTheStart)
    }
}

impl Shared {
    pub(super) fn round(&self) -> u32 {
        // Relaxed, because a new round only leads to the lock. None is missed: whoever begins one wakes all others
        // after it, and being woken makes it seen.
        self.round.load(Ordering::Relaxed)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics halfway.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Where someone in this stage waits.
    pub(super) fn wakers(&mut self, stage: Stage) -> &mut Wakers {
        match stage {
            Stage::AtTheStart => &mut self.at_the_start,
            _ => &mut self.in_turn,
        }
    }

    /// The next turn, from 0 to 1.
    pub(super) fn place(&mut self) -> f32 {
        let place = self.placed;
        self.placed = self.placed.wrapping_add(1);
        if place < self.expected {
            return (f64::from(place) / f64::from(self.expected)) as f32;
        }
        // How many more will come is not known. Multiples of the golden ratio are even at any number of them.
        const GOLDEN: u32 = 2_654_435_769;
        (f64::from(place.wrapping_mul(GOLDEN)) / f64::from(u32::MAX)) as f32
    }
}

impl Window {
    fn new(Schedule { grace, spread }: Schedule) -> Self {
        let from = later(Instant::now(), grace);
        Window {
            from,
            to: later(from, spread),
        }
    }

    /// The instant this far through what is left of it.
    pub(super) fn turn(&self, now: Instant, place: f32) -> Instant {
        let from = self.from.max(now);
        from + self.to.saturating_duration_since(from).mul_f32(place)
    }
}

/// Thirty years for whatever is beyond the clock.
fn later(instant: Instant, time: Duration) -> Instant {
    const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);
    instant + time.min(FAR)
}

impl fmt::Debug for Drain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drain")
            .field("has_started", &self.has_started())
            .finish_non_exhaustive()
    }
}

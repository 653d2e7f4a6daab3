//! Ending many in order: each wait completes once, and no two at the same moment if there is time.
//!
//! Knows who waits and since when. It must not know what a waiter does when its time has come: a tunnel, a listener
//! and a connection without a request all wait in the same way.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::tunnel::registry::drain_signal::DrainSignal;
use crate::tunnel::registry::drain_state::{Shared, Stage, Window};

/// Completes every wait for it when the time has come to end. Cheap to clone; all clones are one drain.
///
/// What waits is a [`DrainSignal`]: a future for [`Tunnel::drain`](crate::tunnel::Tunnel::drain), and for every other wait of the
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

/// When the waits for a [`Drain`] complete. By default all at once, and now.
///
/// ```
/// use std::time::Duration;
/// use switchover::tunnel::Schedule;
///
/// let schedule = Schedule::default().spread(Duration::from_secs(60));
/// assert_eq!((schedule.grace_time(), schedule.spread_time()), (Duration::ZERO, Duration::from_secs(60)));
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

    /// The time after the grace over which they complete one after the other, at even distances. Default: zero, which
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
    #[must_use]
    pub fn grace_time(&self) -> Duration {
        self.grace
    }

    /// The [spread](Schedule::spread).
    #[must_use]
    pub fn spread_time(&self) -> Duration {
        self.spread
    }
}

impl Drain {
    /// A drain that has not started.
    #[must_use]
    pub fn new() -> Self {
        Drain::default()
    }

    /// Starts it, or hastens one that has started.
    ///
    /// Those who wait for their turn now get one each, evenly over the [spread](Schedule::spread). A tunnel that comes
    /// later has a turn in what is left of it, and none to wait for after that.
    ///
    /// Of two schedules that overlap, the earlier beginning and the earlier end count: no later call gives anyone
    /// more time.
    pub fn start(&self, schedule: Schedule) {
        let mut state = self.shared.lock();
        let wanted = Window::new(schedule.grace, schedule.spread);
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
    #[must_use]
    pub fn has_started(&self) -> bool {
        self.shared.round.load(Ordering::Acquire) != 0
    }

    /// Completes when the schedule says so: for what may go on for a while, such as a tunnel.
    pub fn signal(&self) -> DrainSignal {
        DrainSignal::new(self.shared.clone(), Stage::Unplaced)
    }

    /// Completes with the start, whatever the schedule: for what must not go on, such as a listener, or a connection
    /// that has not asked for anything yet.
    pub fn started(&self) -> DrainSignal {
        DrainSignal::new(self.shared.clone(), Stage::AtTheStart)
    }
}

impl fmt::Debug for Drain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drain")
            .field("has_started", &self.has_started())
            .finish_non_exhaustive()
    }
}

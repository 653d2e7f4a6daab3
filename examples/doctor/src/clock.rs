//! The time that is left: for one step, and for everything. Each wait on the network ends by one of the two.

use tokio::time::{Duration, Instant};

#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    step: Duration,
    end: Instant,
}

impl Clock {
    /// For steps of so long, and for so long in all. The flags admit no time that is beyond the clock.
    pub(crate) fn start(step: Duration, all: Duration) -> Clock {
        Clock {
            step,
            end: Instant::now() + all,
        }
    }

    /// When a step ends that begins now.
    pub(crate) fn step(&self) -> Instant {
        self.within(self.step)
    }

    /// When something ends that begins now and may take so long.
    pub(crate) fn within(&self, time: Duration) -> Instant {
        self.end.min(Instant::now() + time)
    }

    pub(crate) fn is_over(&self) -> bool {
        is_past(self.end)
    }
}

/// A read that always has bytes never waits, so a timer around it never looks at the clock.
pub(crate) fn is_past(deadline: Instant) -> bool {
    Instant::now() >= deadline
}

//! What a drain and those who wait for it share: whether it has started, who waits, and whose turn is when.
//!
//! Knows lists and instants. It must not know who starts a drain, nor what a waiter does with its turn.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::clock::{After, scaled};
use crate::tunnel::registry::wakers::Wakers;

/// What a drain and those who wait for it share.
#[derive(Default)]
pub(in crate::tunnel) struct Shared {
    /// The round of both lists of wakers, to be looked at without the lock. Zero until the start.
    pub(in crate::tunnel) round: AtomicU32,
    state: Mutex<State>,
}

#[derive(Default)]
pub(in crate::tunnel) struct State {
    pub(in crate::tunnel) window: Option<Window>,
    pub(in crate::tunnel) at_the_start: Wakers,
    pub(in crate::tunnel) in_turn: Wakers,
    /// How many waited for their turn at the start.
    pub(in crate::tunnel) expected: u32,
    /// How many turns have been given out.
    pub(in crate::tunnel) placed: u32,
}

/// When the first and the last wait complete.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::tunnel) struct Window {
    pub(in crate::tunnel) from: Instant,
    pub(in crate::tunnel) to: Instant,
}

/// How far someone who waits has come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::tunnel) enum Stage {
    /// Completes with the start.
    AtTheStart,
    /// Completes by the schedule, in its turn.
    Unplaced,
    /// Its turn is this far, from 0 to 1, through the spread.
    Placed(f32),
    Over,
}

impl Shared {
    pub(in crate::tunnel) fn round(&self) -> u32 {
        // Relaxed, because a new round only leads to the lock. None is missed: the thread that begins one wakes all others
        // after it, and being woken makes it seen.
        self.round.load(Ordering::Relaxed)
    }

    pub(in crate::tunnel) fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics halfway.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Where someone in this stage waits.
    pub(in crate::tunnel) fn wakers(&mut self, stage: Stage) -> &mut Wakers {
        match stage {
            Stage::AtTheStart => &mut self.at_the_start,
            _ => &mut self.in_turn,
        }
    }

    /// The next turn, from 0 to 1.
    pub(in crate::tunnel) fn place(&mut self) -> f32 {
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
    pub(in crate::tunnel) fn new(grace: Duration, spread: Duration) -> Self {
        let from = Instant::now().after(grace);
        Window {
            from,
            to: from.after(spread),
        }
    }

    /// The instant this far through what is left of it.
    pub(in crate::tunnel) fn turn(&self, now: Instant, place: f32) -> Instant {
        let from = self.from.max(now);
        from.after(scaled(self.to.saturating_duration_since(from), place.into()))
    }
}

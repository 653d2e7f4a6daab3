//! Which tasks are woken: a wait has one waker here while it lasts, and none afterwards.
//!
//! Knows wakers only. The lock around it, and what is waited for, are its owner's business.

use std::task::Waker;

use crate::tunnel::waker_key::WakerKey;

/// No place: the end of the chain of free ones.
const NOWHERE: u32 = u32::MAX;

/// The wakers of all that wait for one event: 16 bytes for each.
///
/// A waker is somebody else's code, also its drop, which may drop the task with the very waiter in it. So no method
/// drops one: what is left over is returned, to be dropped without the lock.
pub(in crate::tunnel) struct Wakers {
    places: Vec<Place>,
    free: u32,
    waiting: u32,
    /// Counts how often all have been taken out to be woken. A waker registered in an earlier round has no place.
    round: u32,
}

enum Place {
    Taken(Waker),
    Free { next: u32 },
}

/// A waiter's own part: where its waker is, and what that is known by, to see without the lock that it is still the right one.
#[derive(Debug, Default)]
pub(in crate::tunnel) struct Waiter {
    waker: Option<WakerKey>,
    place: u32,
    round: u32,
}

impl Waiter {
    /// Whether `waker` is what will be woken at the end of `round`.
    pub(in crate::tunnel) fn is_registered(&self, round: u32, waker: &Waker) -> bool {
        // In this round the waker is still in its place.
        self.round == round && self.waker == Some(WakerKey::of(waker))
    }

    /// Whether there may be something to take out.
    pub(in crate::tunnel) fn has_registered(&self) -> bool {
        self.waker.is_some()
    }

    /// The round in which it has registered last.
    pub(in crate::tunnel) fn round(&self) -> u32 {
        self.round
    }
}

impl Default for Wakers {
    fn default() -> Self {
        Wakers {
            places: Vec::new(),
            free: NOWHERE,
            waiting: 0,
            round: 0,
        }
    }
}

impl Wakers {
    pub(in crate::tunnel) fn round(&self) -> u32 {
        self.round
    }

    /// How many wait.
    pub(in crate::tunnel) fn waiting(&self) -> u32 {
        self.waiting
    }

    /// Puts the waiter's waker in, in place of the one that it has here.
    #[must_use = "to be dropped without the lock"]
    pub(in crate::tunnel) fn register(&mut self, waiter: &mut Waiter, waker: Waker) -> Option<Waker> {
        let left_over = self.forget(waiter);
        waiter.waker = Some(WakerKey::of(&waker));
        waiter.round = self.round;
        waiter.place = self.free;
        match self.places.get_mut(self.free as usize) {
            Some(place) => {
                if let Place::Free { next } = std::mem::replace(place, Place::Taken(waker)) {
                    self.free = next;
                }
            }
            None => {
                // Four billion waiters do not fit into any memory.
                waiter.place = self.places.len() as u32;
                self.places.push(Place::Taken(waker));
            }
        }
        self.waiting += 1;
        left_over
    }

    /// Takes the waiter's waker out.
    #[must_use = "to be dropped without the lock"]
    pub(in crate::tunnel) fn forget(&mut self, waiter: &mut Waiter) -> Option<Waker> {
        if waiter.waker.take().is_none() || waiter.round != self.round {
            return None;
        }
        let place = self.places.get_mut(waiter.place as usize)?;
        let Place::Taken(waker) = std::mem::replace(place, Place::Free { next: self.free }) else {
            return None;
        };
        self.free = waiter.place;
        self.waiting -= 1;
        if self.waiting == 0 {
            // What many have needed is not kept for the few.
            self.places = Vec::new();
            self.free = NOWHERE;
        }
        Some(waker)
    }

    /// Takes all out, and begins the next round.
    pub(in crate::tunnel) fn take(&mut self) -> Woken {
        self.round = self.round.wrapping_add(1);
        self.waiting = 0;
        self.free = NOWHERE;
        Woken(std::mem::take(&mut self.places))
    }
}

/// Those who are to be woken, without the lock.
#[must_use = "nobody is woken otherwise"]
pub(in crate::tunnel) struct Woken(Vec<Place>);

impl Woken {
    pub(in crate::tunnel) fn wake(self) {
        for place in self.0 {
            if let Place::Taken(waker) = place {
                waker.wake();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn counting() -> (Arc<Count>, Waker) {
        let count = Arc::new(Count::default());
        (count.clone(), Waker::from(count))
    }

    #[test]
    fn a_waiter_costs_sixteen_bytes_here_and_as_many_there() {
        assert_eq!((size_of::<Place>(), size_of::<Waiter>()), (16, 16));
    }

    #[test]
    fn places_are_used_again_and_given_up_with_the_last() {
        let mut wakers = Wakers::default();
        let mut waiters: [Waiter; 4] = Default::default();
        let (count, waker) = counting();
        for waiter in &mut waiters {
            drop(wakers.register(waiter, waker.clone()));
        }
        drop(wakers.forget(&mut waiters[1]));
        drop(wakers.forget(&mut waiters[2]));
        drop(wakers.forget(&mut waiters[2]));
        assert_eq!(wakers.waiting(), 2);
        for waiter in &mut waiters {
            drop(wakers.register(waiter, waker.clone()));
        }
        assert_eq!((wakers.waiting(), wakers.places.len()), (4, 4));

        for waiter in &mut waiters {
            drop(wakers.forget(waiter));
        }
        assert_eq!((wakers.waiting(), wakers.places.capacity()), (0, 0));
        drop(waker);
        assert_eq!(Arc::strong_count(&count), 1, "wakers are left behind");
    }

    #[test]
    fn whoever_was_woken_has_no_place_any_more() {
        let mut wakers = Wakers::default();
        let (mut early, mut late) = (Waiter::default(), Waiter::default());
        let [(early_count, early_waker), (late_count, late_waker)] = [counting(), counting()];
        drop(wakers.register(&mut early, early_waker.clone()));
        assert!(early.is_registered(wakers.round(), &early_waker));
        wakers.take().wake();
        assert!(!early.is_registered(wakers.round(), &early_waker));
        assert_eq!(early_count.0.load(Ordering::Relaxed), 1);

        // The late one has the place that was the early one's, and keeps it.
        drop(wakers.register(&mut late, late_waker));
        drop(wakers.forget(&mut early));
        wakers.take().wake();
        assert_eq!(early_count.0.load(Ordering::Relaxed), 1);
        assert_eq!(late_count.0.load(Ordering::Relaxed), 1);
    }
}

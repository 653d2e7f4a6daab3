//! When a tunnel is to end, and how: anyone appoints it, and the tunnel's task is woken.
//!
//! Knows instants and a waker. It must not know how a tunnel ends.

use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use tokio::time::Instant;

use super::{Entry, TICK};
use crate::clock::After;
use crate::tunnel::end::End;
use crate::tunnel::waker_key::WakerKey;
use crate::tunnel::websocket::EndRequest;

#[derive(Default)]
pub(super) struct Steering {
    waker: Option<Waker>,
    appointed: Option<Box<Appointed>>,
}

/// When a tunnel is to end, and how.
#[derive(Default)]
struct Appointed {
    end: Option<(Instant, End, EndRequest)>,
    /// Because of its server. In a place of its own, since it may be taken back.
    moving: Option<(Instant, End, EndRequest)>,
    expiry: Option<(Instant, EndRequest)>,
}

impl Entry {
    fn steering(&self) -> MutexGuard<'_, Steering> {
        // Nothing in here panics halfway.
        self.steering.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The tunnel is gone: nobody is woken, and no end is due any more.
    pub(super) fn forget_end(&self) {
        let mut steering = self.steering();
        let left_over = (steering.waker.take(), steering.appointed.take());
        drop(steering);
        drop(left_over);
    }

    /// When the tunnel is to end: a load and a comparison as long as nobody has said.
    pub(in crate::tunnel::registry) fn due(&self) -> Option<Instant> {
        match self.due.load(Ordering::Acquire) {
            0 => None,
            ticks => Some(self.at_tick(ticks - 1)),
        }
    }

    /// Wakes this task when the tunnel's end is appointed.
    pub(in crate::tunnel::registry) fn register(&self, waker: &Waker) {
        let key = WakerKey::of(waker).number();
        if self.waker.load(Ordering::Relaxed) == key {
            return;
        }
        let own = waker.clone();
        let left_over = self.steering().waker.replace(own);
        self.waker.store(key, Ordering::Relaxed);
        drop(left_over);
    }

    /// Why the tunnel ends now, and with which words. It is not to be asked again after that.
    pub(in crate::tunnel::registry) fn take_due(&self, now: Instant) -> Option<(End, EndRequest)> {
        let mut steering = self.steering();
        let appointed = steering.appointed.take()?;
        let due = match (*appointed).earliest() {
            Some((at, why, request)) if at <= now => Some((why, request)),
            _ => {
                steering.appointed = Some(appointed);
                return None;
            }
        };
        self.due.store(0, Ordering::Release);
        due
    }

    /// Has the tunnel end at an instant, if it is not to end sooner.
    pub(in crate::tunnel::registry) fn end_at(&self, at: Instant, why: End, request: EndRequest) {
        self.appoint(|appointed| {
            if appointed.end.as_ref().is_none_or(|(former, ..)| at < *former) {
                appointed.end = Some((at, why, request));
            }
        });
    }

    /// Has the tunnel end at an instant because of its server, if that is not to be sooner.
    pub(in crate::tunnel::registry) fn move_at(&self, at: Instant, why: End, request: EndRequest) {
        self.appoint(|appointed| {
            if appointed.moving.as_ref().is_none_or(|(former, ..)| at < *former) {
                appointed.moving = Some((at, why, request));
            }
        });
    }

    /// Takes back an end because of its server, if it was appointed for this reason.
    #[cfg(feature = "gateway")]
    pub(in crate::tunnel::registry) fn stay(&self, why: End) {
        let is_it = |steering: &Steering| {
            let moving = steering.appointed.as_ref()?.moving.as_ref();
            Some(moving?.1 == why)
        };
        if self.due().is_some() && is_it(&self.steering()) == Some(true) {
            self.appoint(|appointed| {
                appointed.moving.take_if(|(_, reason, _)| *reason == why);
            });
        }
    }

    /// Whether it is to end at some time, its expiry aside, or is about to.
    #[cfg(feature = "gateway")]
    pub(in crate::tunnel::registry) fn is_to_end(&self) -> bool {
        let is_appointed = || {
            let steering = self.steering();
            let appointed = steering.appointed.as_ref();
            appointed.is_some_and(|appointed| appointed.end.is_some() || appointed.moving.is_some())
        };
        self.is_ending() || self.due().is_some() && is_appointed()
    }

    /// Has the tunnel expire at an instant, or not at all.
    pub(in crate::tunnel::registry) fn expire_at(&self, at: Option<Instant>, request: EndRequest) {
        self.appoint(|appointed| appointed.expiry = at.map(|at| (at, request)));
    }

    fn appoint(&self, change: impl FnOnce(&mut Appointed)) {
        let woken = {
            let mut steering = self.steering();
            if !self.is_open() {
                return;
            }
            let appointed = steering.appointed.get_or_insert_default();
            change(appointed);
            let due = match appointed.earliest() {
                None => 0,
                // Rounded up, and an instant that has passed is the first one.
                Some((at, ..)) => match at.saturating_duration_since(self.made_at) {
                    Duration::ZERO => 1,
                    _ => self
                        .ticks_until(at.after(TICK.saturating_sub(Duration::from_nanos(1))))
                        .saturating_add(1),
                },
            };
            // Later than the clock of the tunnel goes: never.
            self.due
                .store(if due == u32::MAX { 0 } else { due }, Ordering::Release);
            steering.waker.clone()
        };
        // Without the lock: what a waker does is its own business.
        if let Some(waker) = woken {
            waker.wake();
        }
    }
}

impl Appointed {
    fn earliest(&self) -> Option<(Instant, End, EndRequest)> {
        let expiry = self
            .expiry
            .as_ref()
            .map(|(at, request)| (*at, End::Expired, request.clone()));
        [self.end.clone(), self.moving.clone(), expiry]
            .into_iter()
            .flatten()
            .min_by_key(|(at, ..)| *at)
    }
}

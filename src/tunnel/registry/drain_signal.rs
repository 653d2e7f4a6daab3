//! One wait for a drain: nearly nothing until the drain starts, then one timer until its turn.
//!
//! Knows its own turn only; how many others wait, and who comes when, is the drain's business.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep};

use crate::tunnel::registry::drain_state::{Shared, Stage};
use crate::tunnel::registry::wakers::Waiter;

/// Completes when a [`Drain`](crate::tunnel::Drain) says so: the future of [`Drain::signal`](crate::tunnel::Drain::signal) and
/// [`Drain::started`](crate::tunnel::Drain::started).
///
/// Made to be polled along with every message: until the drain has started, a poll by the task that polled before is
/// one atomic load and a comparison. 40 bytes, 16 more in the drain while it waits, and a timer only from
/// the start of a drain with a schedule until its turn.
///
/// ```
/// use switchover::tunnel::Drain;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let drain = Drain::new();
/// let waits = tokio::spawn(drain.started());
/// drain.complete_now();
/// waits.await.unwrap();
/// # }
/// ```
///
/// # Cancel safety
///
/// Dropping it takes it off the drain's list.
///
/// # Panics
///
/// If the drain has a grace or a spread, when polled outside a tokio runtime with time enabled.
#[must_use = "futures do nothing unless polled"]
pub struct DrainSignal {
    shared: Arc<Shared>,
    waiter: Waiter,
    // Boxed: hardly anyone who waits will ever need it.
    sleep: Option<Pin<Box<Sleep>>>,
    stage: Stage,
}

impl Future for DrainSignal {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        if this.waiter.is_registered(this.shared.round(), cx.waker()) {
            return match this.sleep {
                None => Poll::Pending,
                Some(_) => this.poll_sleep(cx),
            };
        }
        this.register(cx)
    }
}

impl DrainSignal {
    pub(in crate::tunnel) fn new(shared: Arc<Shared>, stage: Stage) -> Self {
        DrainSignal {
            shared,
            waiter: Waiter::default(),
            sleep: None,
            stage,
        }
    }

    /// The first poll, a waker that has changed, or a drain that has started or been hastened.
    #[cold]
    fn register(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.stage == Stage::Over {
            return Poll::Ready(());
        }
        let waker = cx.waker().clone();
        let shared = self.shared.clone();
        let mut state = shared.lock();
        let mut turn = None;
        if let Some(window) = state.window {
            if self.stage == Stage::AtTheStart {
                drop(state);
                return self.complete();
            }
            let place = match self.stage {
                Stage::Placed(place) => place,
                _ => state.place(),
            };
            self.stage = Stage::Placed(place);
            // As long as nothing has hastened the drain, its turn stays what it was.
            if self.sleep.is_none() || self.waiter.round() != state.wakers(self.stage).round() {
                turn = Some(window.turn(Instant::now(), place));
            }
        }
        let left_over = state.wakers(self.stage).register(&mut self.waiter, waker);
        drop(state);
        drop(left_over);
        match turn {
            Some(turn) => self.arm(turn, cx),
            None if self.sleep.is_some() => self.poll_sleep(cx),
            None => Poll::Pending,
        }
    }

    fn arm(&mut self, turn: Instant, cx: &mut Context<'_>) -> Poll<()> {
        if turn <= Instant::now() {
            return self.complete();
        }
        match &mut self.sleep {
            None => self.sleep = Some(Box::pin(tokio::time::sleep_until(turn))),
            Some(sleep) if turn < sleep.deadline() => sleep.as_mut().reset(turn),
            Some(_) => {}
        }
        self.poll_sleep(cx)
    }

    fn poll_sleep(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(sleep) = &mut self.sleep else {
            return Poll::Pending;
        };
        // Asked of the clock first: a task that has used up its cooperative budget gets nothing from its timers.
        if Instant::now() < sleep.deadline() && sleep.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.complete()
    }

    fn complete(&mut self) -> Poll<()> {
        self.forget();
        self.sleep = None;
        self.stage = Stage::Over;
        Poll::Ready(())
    }

    fn forget(&mut self) {
        if self.waiter.has_registered() {
            let left_over = self.shared.lock().wakers(self.stage).forget(&mut self.waiter);
            drop(left_over);
        }
    }
}

impl Drop for DrainSignal {
    fn drop(&mut self) {
        self.forget();
    }
}

impl fmt::Debug for DrainSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DrainSignal")
            .field("stage", &self.stage)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Wake, Waker};
    use std::time::Duration;

    use super::*;
    use crate::tunnel::{Drain, Schedule};

    struct Task;

    impl Wake for Task {
        fn wake(self: Arc<Self>) {}
    }

    fn waker() -> Waker {
        Waker::from(Arc::new(Task))
    }

    fn poll(draining: &mut DrainSignal, waker: &Waker) -> Poll<()> {
        Pin::new(draining).poll(&mut Context::from_waker(waker))
    }

    #[test]
    fn it_is_small_and_goes_anywhere() {
        fn goes_anywhere<T: Send + Sync + Unpin>() {}
        goes_anywhere::<DrainSignal>();
        assert_eq!(size_of::<Option<DrainSignal>>(), 40);
    }

    #[test]
    fn whoever_waits_is_on_the_list_once_and_leaves_it() {
        let drain = Drain::new();
        let shared = drain.signal().shared.clone();
        let waiting = || {
            let state = &mut shared.lock();
            [Stage::AtTheStart, Stage::Unplaced].map(|stage| state.wakers(stage).waiting())
        };
        let wakers = [waker(), waker()];
        let mut signals: Vec<_> = (0..100).map(|_| drain.signal()).collect();
        let mut started = drain.started();
        assert_eq!(waiting(), [0, 0], "nobody has been polled");
        for _ in 0..3 {
            for waker in &wakers {
                assert!(poll(&mut started, waker).is_pending());
                for signal in &mut signals {
                    assert!(poll(signal, waker).is_pending());
                }
            }
        }
        assert_eq!(waiting(), [1, 100]);
        signals.truncate(60);
        assert_eq!(waiting(), [1, 60]);
        drain.complete_now();
        for mut signal in signals {
            assert!(poll(&mut signal, &wakers[0]).is_ready());
            assert!(poll(&mut signal, &wakers[0]).is_ready());
        }
        drop(started);
        assert_eq!(waiting(), [0, 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn there_is_no_timer_without_need_and_one_for_each_that_has_to_wait() {
        let waker = waker();
        let drain = Drain::new();
        let [mut first, mut second] = [drain.signal(), drain.signal()];
        assert!(poll(&mut first, &waker).is_pending() && poll(&mut second, &waker).is_pending());
        assert!(first.sleep.is_none());
        drain.start(Schedule::default().spread(Duration::from_secs(10)));
        assert!(poll(&mut first, &waker).is_ready());
        assert!(poll(&mut second, &waker).is_pending());
        assert!(first.sleep.is_none() && second.sleep.is_some());
    }
}

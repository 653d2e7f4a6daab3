//! The law of one timer: it fires, looks at the deadline as it is by then, and sleeps again if that has moved.
//!
//! A message moves the deadline by storing an instant; it never touches the timer. Knows nothing of why there is a
//! deadline.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// At most one registration with the runtime's clock, made when the first deadline appears.
#[derive(Default)]
pub(super) struct Timer {
    // Boxed: a tunnel without deadlines does not pay for it, and the tunnel's future stays `Unpin`.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Timer {
    /// Ready once `deadline` has passed; otherwise the task is woken then, or earlier for nothing.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, now: Instant, deadline: Instant) -> Poll<()> {
        // Asked of the clock and not of the timer: under load the timer shares the task's cooperative budget with the
        // streams and may never get a turn.
        if now >= deadline {
            return Poll::Ready(());
        }
        let sleep = self
            .sleep
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if deadline < sleep.deadline() {
            sleep.as_mut().reset(deadline);
        }
        while sleep.as_mut().poll(cx).is_ready() {
            if sleep.deadline() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

/// The earliest of several deadlines, and what it would mean if it passed.
pub(super) struct Earliest<T>(Option<(Instant, T)>);

impl<T> Earliest<T> {
    pub(super) fn new() -> Self {
        Earliest(None)
    }

    /// Adds the deadline that is `limit` after `since`. Without a limit, or with one beyond the clock, there is none.
    pub(super) fn consider(&mut self, since: Instant, limit: Option<Duration>, meaning: T) {
        let Some(at) = limit.and_then(|limit| since.checked_add(limit)) else {
            return;
        };
        if self.0.as_ref().is_none_or(|(earliest, _)| at < *earliest) {
            self.0 = Some((at, meaning));
        }
    }

    pub(super) fn into_inner(self) -> Option<(Instant, T)> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_deadline_that_moves_away_does_not_touch_the_timer() {
        let cx = &mut Context::from_waker(Waker::noop());
        let start = Instant::now();
        let [near, far] = [10, 20].map(|seconds| start + Duration::from_secs(seconds));
        let mut timer = Timer::default();
        let armed = |timer: &Timer| timer.sleep.as_ref().unwrap().deadline();

        assert!(timer.poll(cx, start, near).is_pending());
        assert!(timer.poll(cx, start, far).is_pending());
        assert_eq!(armed(&timer), near, "every message would re-arm the timer");

        tokio::time::advance(Duration::from_secs(11)).await;
        assert!(timer.poll(cx, Instant::now(), far).is_pending());
        assert_eq!(armed(&timer), far, "it has fired and sleeps again");

        tokio::time::advance(Duration::from_secs(10)).await;
        assert!(timer.poll(cx, Instant::now(), far).is_ready());
    }
}

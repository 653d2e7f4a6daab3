//! One timer: it fires, looks at the deadline as it is by then, and sleeps again if that has moved.
//!
//! A message moves the deadline by storing an instant; it never touches the timer. Knows nothing of why there is a
//! deadline.

use std::fmt;
use std::future::Future;
#[cfg(feature = "gateway")]
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::task::coop::has_budget_remaining;
use tokio::time::{Instant, Sleep};

use crate::tunnel::waker_key::WakerKey;

/// At most one registration with the runtime's clock, made when the first deadline appears, for one deadline after another.
#[derive(Default)]
pub(crate) struct Timer {
    // Boxed: a tunnel without deadlines does not pay for it, and the tunnel's future stays `Unpin`. By itself, and of a tokio without
    // the runtime of several threads, it fits a gap that the tunnel's task and sockets leave in the heap.
    sleep: Option<Pin<Box<Sleep>>>,
    // The clock has that waker until the deadline. None if the task had used up its cooperative budget: nothing is registered then.
    registered: Option<WakerKey>,
    // Since it was looked at last, what it waits for can only have become later.
    can_only_wait: bool,
}

impl fmt::Debug for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Timer")
    }
}

impl Timer {
    /// Ready once `deadline` has passed; otherwise the task is woken then, or earlier for nothing.
    pub(in crate::tunnel) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        deadline: Instant,
    ) -> Poll<()> {
        // Asked of the clock and not of the timer: under load the timer shares the task's cooperative budget with the
        // streams and may never get a turn.
        if now >= deadline {
            return Poll::Ready(());
        }
        // It is due in time, and it wakes this task: nothing to be done, which is so for every message.
        match self.sleeps_until(cx) {
            Some(at) if now < at && at <= deadline => Poll::Pending,
            _ => self.arm(cx, deadline),
        }
    }

    /// When it fires, if it wakes this task then.
    fn sleeps_until(&self, cx: &Context<'_>) -> Option<Instant> {
        let sleep = self.sleep.as_ref()?;
        (self.registered == Some(WakerKey::of(cx.waker()))).then(|| sleep.deadline())
    }

    /// Whether there is nothing to be looked at before it fires: it wakes this task, and what it waits for has only become later.
    pub(in crate::tunnel) fn can_only_wait(&self, cx: &Context<'_>, now: Instant) -> bool {
        self.can_only_wait && self.sleeps_until(cx).is_some_and(|at| now < at)
    }

    /// Whether what it waits for can only become later from now on.
    pub(in crate::tunnel) fn note_can_only_wait(&mut self, is_so: bool) {
        self.can_only_wait = is_so && self.sleep.is_some();
    }

    /// What the future comes to. `None`: the deadline has passed before.
    #[cfg(feature = "gateway")]
    pub(crate) async fn limit<F: Future>(
        &mut self,
        deadline: Instant,
        mut future: Pin<&mut F>,
    ) -> Option<F::Output> {
        poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => self.poll(cx, Instant::now(), deadline).map(|()| None),
        })
        .await
    }

    #[cold]
    fn arm(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        let key = WakerKey::of(cx.waker());
        let sleep = match &mut self.sleep {
            Some(sleep) => {
                if self.registered != Some(key) {
                    // Another task, perhaps of another runtime: that of the first may not turn its clock any more.
                    self.can_only_wait = false;
                    sleep.set(tokio::time::sleep_until(deadline));
                } else if sleep.deadline() > deadline {
                    sleep.as_mut().reset(deadline);
                }
                sleep
            }
            none => none.insert(Box::pin(tokio::time::sleep_until(deadline))),
        };
        let registered = || has_budget_remaining().then_some(key);
        self.registered = registered();
        while sleep.as_mut().poll(cx).is_ready() {
            if sleep.deadline() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
            self.registered = registered();
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    #[cfg(feature = "gateway")]
    use std::pin::pin;
    use std::task::Waker;
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_task_without_budget_arms_the_timer_when_it_has_one_again() {
        let deadline = Instant::now() + Duration::from_secs(10);
        let mut timer = Timer::default();
        let mut used_up = false;
        let rang = std::future::poll_fn(|cx| {
            if !std::mem::replace(&mut used_up, true) {
                while has_budget_remaining() {
                    if let Poll::Ready(progress) = tokio::task::coop::poll_proceed(cx) {
                        progress.made_progress();
                    }
                }
            }
            timer.poll(cx, Instant::now(), deadline)
        });
        tokio::time::timeout(Duration::from_secs(11), rang)
            .await
            .expect("the timer was armed");
    }

    #[cfg(feature = "gateway")]
    #[tokio::test(start_paused = true)]
    async fn one_timer_limits_one_future_after_another() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut timer = Timer::default();
        assert_eq!(timer.limit(at(1), pin!(async { 7 })).await, Some(7));
        assert!(timer.sleep.is_none(), "nobody has waited");
        // (the deadline, when the future completes), each behind the one before.
        for (deadline, ends) in [
            (at(10), at(2)),
            (at(60), at(20)),
            (at(25), at(30)),
            (at(40), at(50)),
        ] {
            let completed = timer.limit(deadline, pin!(tokio::time::sleep_until(ends))).await;
            assert_eq!(completed.is_some(), ends < deadline);
            assert_eq!(Instant::now(), ends.min(deadline));
        }
    }

    #[test]
    fn a_timer_that_is_polled_on_another_runtime_is_armed_there() {
        let runtime = || {
            let mut builder = tokio::runtime::Builder::new_current_thread();
            builder.enable_time().start_paused(true).build().unwrap()
        };
        let [first, second] = [runtime(), runtime()];
        let mut timer = Timer::default();
        let deadline = first.block_on(async { Instant::now() + Duration::from_secs(10) });
        first.block_on(async {
            let waiting = std::future::poll_fn(|cx| timer.poll(cx, Instant::now(), deadline));
            let early = tokio::time::timeout(Duration::from_secs(1), waiting).await;
            assert!(early.is_err());
        });
        drop(first);
        second.block_on(async {
            let rang = std::future::poll_fn(|cx| timer.poll(cx, Instant::now(), deadline));
            tokio::time::timeout(Duration::from_secs(20), rang)
                .await
                .expect("the timer was armed");
        });
    }

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

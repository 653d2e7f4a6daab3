//! How many there may be: each holds a permit, and gives it back by dropping it.
//!
//! Knows a number only. It must not know what is counted.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use crate::tunnel::registry::wakers::{Waiter, Wakers};

/// A number of things that may be open at the same time: tunnels, connections, or whatever else holds a [`Permit`].
///
/// Cheap to clone; all clones count together, also over threads. Taking and dropping a permit are atomic operations,
/// without a lock.
///
/// ```
/// use switchover::tunnel::Cap;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let tunnels = Cap::new(1);
/// let permit = tunnels.try_acquire().expect("there is room for one");
/// assert!(tunnels.try_acquire().is_none());
///
/// drop(permit);
/// tunnels.emptied().await;
/// assert_eq!(tunnels.open(), 0);
/// # }
/// ```
#[derive(Clone)]
pub struct Cap {
    shared: Arc<Shared>,
}

struct Shared {
    open: AtomicUsize,
    limit: usize,
    /// Whether anyone waits for the last permit to come back: as good as never.
    awaited: AtomicBool,
    wakers: Mutex<Wakers>,
}

impl Cap {
    /// At most `limit` at the same time. Zero lets nothing in.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Cap {
            shared: Arc::new(Shared {
                open: AtomicUsize::new(0),
                limit,
                awaited: AtomicBool::new(false),
                wakers: Mutex::default(),
            }),
        }
    }

    /// No limit: counts only, and knows when all are gone.
    #[must_use]
    pub fn unlimited() -> Self {
        Cap::new(usize::MAX)
    }

    /// Lets one more in, if there is room. `None` if as many as allowed are open.
    #[must_use = "the permit is given back when it is dropped"]
    pub fn try_acquire(&self) -> Option<Permit> {
        let more = |open| (open < self.shared.limit).then_some(open + 1);
        self.shared
            .open
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, more)
            .ok()?;
        Some(Permit {
            shared: self.shared.clone(),
        })
    }

    /// How many are open now.
    #[must_use]
    pub fn open(&self) -> usize {
        self.shared.open.load(Ordering::Acquire)
    }

    /// How many may be open; `None` is no limit.
    #[must_use]
    pub fn limit(&self) -> Option<usize> {
        Some(self.shared.limit).filter(|limit| *limit != usize::MAX)
    }

    /// Completes when nothing is open, at once if nothing is: for the end of a process, after everything that takes
    /// permits has stopped.
    pub fn emptied(&self) -> WaitEmpty {
        WaitEmpty {
            shared: self.shared.clone(),
            waiter: Waiter::default(),
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Wakers> {
        // Nothing in here panics halfway.
        self.wakers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to be open, as one of those that a [`Cap`] allows. Dropping it makes room for another. 8 bytes.
#[must_use = "the permit is given back when it is dropped"]
pub struct Permit {
    shared: Arc<Shared>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        // Sequentially consistent, as what `WaitEmpty` does in the opposite order: of the two, at least one sees what
        // the other has written.
        let last = self.shared.open.fetch_sub(1, Ordering::SeqCst) == 1;
        if last && self.shared.awaited.load(Ordering::SeqCst) {
            let woken = {
                let mut wakers = self.shared.lock();
                self.shared.awaited.store(false, Ordering::SeqCst);
                wakers.take()
            };
            woken.wake();
        }
    }
}

/// Completes when nothing is open: the future of [`Cap::emptied`].
///
/// # Cancel safety
///
/// Dropping it does nothing but forget the waker.
#[must_use = "futures do nothing unless polled"]
pub struct WaitEmpty {
    shared: Arc<Shared>,
    waiter: Waiter,
}

impl Future for WaitEmpty {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let waker = cx.waker().clone();
        let left_over = {
            let mut wakers = this.shared.lock();
            let left_over = wakers.register(&mut this.waiter, waker);
            this.shared.awaited.store(true, Ordering::SeqCst);
            left_over
        };
        drop(left_over);
        if this.shared.open.load(Ordering::SeqCst) > 0 {
            return Poll::Pending;
        }
        this.forget();
        Poll::Ready(())
    }
}

impl WaitEmpty {
    fn forget(&mut self) {
        if self.waiter.has_registered() {
            let left_over = {
                let mut wakers = self.shared.lock();
                let left_over = wakers.forget(&mut self.waiter);
                self.shared.awaited.store(wakers.waiting() > 0, Ordering::SeqCst);
                left_over
            };
            drop(left_over);
        }
    }
}

impl Drop for WaitEmpty {
    fn drop(&mut self) {
        self.forget();
    }
}

impl fmt::Debug for Cap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cap")
            .field("open", &self.open())
            .field("limit", &self.limit())
            .finish()
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").finish_non_exhaustive()
    }
}

impl fmt::Debug for WaitEmpty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitEmpty").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    #[test]
    fn a_permit_is_one_pointer() {
        assert_eq!(size_of::<Option<Permit>>(), 8);
    }

    #[test]
    fn whoever_waits_for_the_last_is_on_the_list_once_and_leaves_it() {
        let cap = Cap::unlimited();
        let permit = cap.try_acquire();
        let cx = &mut Context::from_waker(Waker::noop());
        let (mut one, mut other) = (cap.emptied(), cap.emptied());
        for _ in 0..3 {
            assert!(Pin::new(&mut one).poll(cx).is_pending());
            assert!(Pin::new(&mut other).poll(cx).is_pending());
        }
        assert_eq!(cap.shared.lock().waiting(), 2);
        drop(one);
        assert_eq!(cap.shared.lock().waiting(), 1);
        assert!(cap.shared.awaited.load(Ordering::SeqCst));
        drop(permit);
        assert_eq!(cap.shared.lock().waiting(), 0);
        assert!(Pin::new(&mut other).poll(cx).is_ready());
        assert_eq!(cap.shared.lock().waiting(), 0);
        assert!(!cap.shared.awaited.load(Ordering::SeqCst));
    }
}

//! Reports of tunnels that open and end, for those who have asked for them. Where they cannot keep up, reports are lost rather than any
//! tunnel held up: they are counted.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use super::watch::TunnelWatch;
use crate::tunnel::traffic::Traffic;

/// What has become of a tunnel of a registry.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum TunnelEvent {
    /// Both sides have agreed, and it is about to run.
    Opened(TunnelWatch),
    /// It has ended: what it carried and why it ended. `None` if its future was dropped.
    Ended(TunnelWatch, Option<Box<Traffic>>),
}

/// Reports of the tunnels of a registry: from [`Tunnels::subscribe`](super::Tunnels::subscribe). Dropping it ends them.
pub struct Subscription {
    queue: Arc<Queue>,
}

pub(super) struct Queue {
    state: Mutex<State>,
    capacity: usize,
}

#[derive(Default)]
struct State {
    events: VecDeque<TunnelEvent>,
    lost: u64,
    waker: Option<Waker>,
}

pub(super) fn subscription(capacity: usize) -> (Subscription, Weak<Queue>) {
    let queue = Arc::new(Queue {
        state: Mutex::default(),
        capacity: capacity.max(1),
    });
    let weak = Arc::downgrade(&queue);
    (Subscription { queue }, weak)
}

impl Queue {
    pub(super) fn push(&self, event: TunnelEvent) {
        let mut state = self.state();
        let refused = if state.events.len() < self.capacity {
            state.events.push_back(event);
            None
        } else {
            state.lost += 1;
            Some(event)
        };
        let waker = state.waker.take();
        drop(state);
        drop(refused);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics halfway.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Subscription {
    /// The next report, when there is one.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    pub async fn recv(&mut self) -> TunnelEvent {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// The next report, if there is one; otherwise the task is woken when there is.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<TunnelEvent> {
        let mut state = self.queue.state();
        if let Some(event) = state.events.pop_front() {
            return Poll::Ready(event);
        }
        let left_over = state.waker.replace(cx.waker().clone());
        drop(state);
        drop(left_over);
        Poll::Pending
    }

    /// The next report, if there is one now.
    pub fn try_recv(&mut self) -> Option<TunnelEvent> {
        self.queue.state().events.pop_front()
    }

    /// How many reports were lost so far, because as many as there may be waited to be read.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.queue.state().lost
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("lost", &self.lost())
            .finish_non_exhaustive()
    }
}

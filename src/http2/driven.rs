//! What the streams of a connection leave to the task that drives it: frames that nobody waits for are taken out of h2, and a stream that
//! was dropped with bytes on their way is reset behind them.
//!
//! Knows streams by what is left of them. It must not know what they carry.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};

use h2::SendStream;

use super::inbox::Frames;
use super::liveness::Moved;
use super::payload::{Payload, Unsent};

/// Which part of its window a stream may keep back at most: what was read of it, and h2 has not been given back. With the third that h2
/// keeps back, the other end has room for more at all times.
const KEPT_BACK: u32 = 4;

/// What a connection's task does for its streams.
#[derive(Debug)]
pub(super) struct Driven {
    waiting: Mutex<Waiting>,
    moved: Arc<Moved>,
    most_kept_back: usize,
}

#[derive(Debug, Default)]
struct Waiting {
    /// They have frames that nobody waits for.
    unread: Vec<Arc<Frames>>,
    /// Nobody writes to them any more.
    leaving: Vec<Leaving>,
    driver: Option<Waker>,
    closed: bool,
}

/// What stands for a stream among those that are open.
pub(super) trait Place: fmt::Debug + Send {}
impl<P: fmt::Debug + Send> Place for P {}

/// A stream that is reset when it is dropped.
#[derive(Debug)]
struct Leaving {
    _stream: SendStream<Payload>,
    // After the stream.
    _place: Box<dyn Place>,
    unsent: Arc<Unsent>,
    /// The connection's task has been asked for a turn since.
    has_turn: bool,
}

impl Driven {
    /// Of a connection whose streams have windows of this size, and whose own window has room for all of them.
    pub(super) fn new(moved: Arc<Moved>, window: u32) -> Arc<Self> {
        Arc::new(Driven {
            waiting: Mutex::default(),
            moved,
            most_kept_back: (window / KEPT_BACK) as usize,
        })
    }

    /// What moves on the connection.
    pub(super) fn moved(&self) -> &Arc<Moved> {
        &self.moved
    }

    /// How many bytes of a stream need not be given back.
    pub(super) fn most_kept_back(&self) -> usize {
        self.most_kept_back
    }

    /// Frames have come that nobody waits for.
    pub(super) fn drain_later(self: Arc<Self>, frames: Arc<Frames>) {
        // Where nothing comes any more, a reader finds what there is.
        self.leave(|waiting| waiting.unread.push(frames));
    }

    /// A stream has been dropped, and the connection has not taken what was written to it.
    pub(super) fn reset_later(
        &self,
        stream: SendStream<Payload>,
        unsent: Arc<Unsent>,
        place: impl Place + 'static,
    ) {
        let leaving = Leaving {
            _stream: stream,
            _place: Box::new(place),
            unsent,
            has_turn: false,
        };
        self.leave(|waiting| waiting.leaving.push(leaving));
    }

    fn leave(&self, add: impl FnOnce(&mut Waiting)) {
        let mut waiting = self.lock();
        if waiting.closed {
            return;
        }
        add(&mut waiting);
        let driver = waiting.driver.take();
        drop(waiting);
        if let Some(driver) = driver {
            driver.wake();
        }
    }

    /// At the end of a turn: does what was left to it, and wakes the task of this context when there is more.
    pub(super) fn end_turn(&self, cx: &mut Context<'_>) {
        loop {
            let mut waiting = self.lock();
            let sent = self.take_sent(&mut waiting, cx);
            let unread = std::mem::take(&mut waiting.unread);
            if unread.is_empty() {
                match &mut waiting.driver {
                    Some(driver) => driver.clone_from(cx.waker()),
                    none => *none = Some(cx.waker().clone()),
                }
            }
            // h2 calls in here, and is called without the lock.
            drop(waiting);
            drop(sent);
            if unread.is_empty() {
                return;
            }
            for frames in unread {
                frames.drain();
            }
        }
    }

    /// The streams of which nothing is on its way any more. What is not sent in a turn although the connection takes bytes waits for the
    /// other end, which may never want it.
    fn take_sent(&self, waiting: &mut Waiting, cx: &mut Context<'_>) -> Vec<Leaving> {
        let mut sent = Vec::new();
        if waiting.leaving.is_empty() {
            return sent;
        }
        let is_blocked = self.moved.is_blocked();
        let mut at = 0;
        while let Some(leaving) = waiting.leaving.get_mut(at) {
            if !leaving.unsent.is_some() || leaving.has_turn && !is_blocked {
                sent.push(waiting.leaving.swap_remove(at));
                continue;
            }
            if !leaving.has_turn {
                leaving.has_turn = true;
                cx.waker().wake_by_ref();
            }
            at += 1;
        }
        sent
    }

    /// The connection has ended.
    pub(super) fn close(&self) {
        let mut waiting = self.lock();
        waiting.closed = true;
        let left = (
            std::mem::take(&mut waiting.unread),
            std::mem::take(&mut waiting.leaving),
        );
        drop(waiting);
        drop(left);
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

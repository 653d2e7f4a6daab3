//! What is open on a connection: which streams are under way, and how many a client has opened only to cancel them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};

/// How many more streams a client may cancel than it has had answers to. Each costs the proxy a request, and perhaps a
/// connection (CVE-2023-44487); a browser that leaves a page cancels what the page had asked for.
const MOST_CANCELLED: u32 = 1000;

/// The streams of a connection that are under way.
#[derive(Debug, Default)]
pub(super) struct Streams(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    open: usize,
    /// How often there has been a first one.
    spells: u64,
    cancelled: u32,
    connection: Option<Waker>,
}

/// One stream's part in it, for as long as the stream is under way.
#[derive(Debug)]
pub(super) struct Open {
    streams: Arc<Streams>,
    outcome: Outcome,
}

/// What has become of a request.
#[derive(Clone, Copy, Debug)]
enum Outcome {
    /// The service has failed, or has not answered yet: no merit of the client's, and no fault.
    Unanswered,
    Answered,
    /// Its client has given it up before it was answered.
    Cancelled,
}

impl Streams {
    pub(super) fn open(self: &Arc<Self>) -> Open {
        let mut state = self.lock();
        if state.open == 0 {
            state.spells += 1;
        }
        state.open += 1;
        Open {
            streams: self.clone(),
            outcome: Outcome::Unanswered,
        }
    }

    /// How many are open, and how often there has been a first one. Wakes the task of this context when either changes for
    /// the connection's deadlines.
    pub(super) fn watch(&self, cx: &mut Context<'_>) -> (usize, u64) {
        let mut state = self.lock();
        match &mut state.connection {
            Some(known) => known.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        (state.open, state.spells)
    }

    /// Whether the client cancels what it asks for, and does nothing else.
    pub(super) fn is_abused(&self) -> bool {
        self.lock().cancelled > MOST_CANCELLED
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// It has its answer.
    pub(super) fn set_answered(&mut self) {
        self.outcome = Outcome::Answered;
    }

    /// Its client wants none.
    pub(super) fn set_cancelled(&mut self) {
        self.outcome = Outcome::Cancelled;
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut state = self.streams.lock();
        state.open -= 1;
        state.cancelled = match self.outcome {
            Outcome::Unanswered => state.cancelled,
            Outcome::Answered => state.cancelled.saturating_sub(1),
            Outcome::Cancelled => state.cancelled.saturating_add(1),
        };
        if state.open == 0 || state.cancelled > MOST_CANCELLED {
            if let Some(connection) = state.connection.take() {
                connection.wake();
            }
        }
    }
}

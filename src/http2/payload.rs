//! Bytes count as sent when the connection has taken them, and not before.
//!
//! h2 takes what it is given into a queue and says nothing of when it leaves. It does drop it then, and that is counted
//! here.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes};

/// What one stream has given to h2 and the connection has not taken, and how much it has taken.
#[derive(Debug, Default)]
pub(super) struct Unsent {
    waiting: Mutex<Waiting>,
    taken: AtomicU64,
}

#[derive(Debug, Default)]
struct Waiting {
    payloads: usize,
    writer: Option<Waker>,
}

impl Unsent {
    /// Bytes on their way to h2.
    pub(super) fn payload(self: &Arc<Self>, bytes: Bytes) -> Payload {
        self.lock().payloads += 1;
        Payload {
            bytes,
            unsent: self.clone(),
        }
    }

    /// Ready when the connection has taken everything, or has dropped it.
    pub(super) fn poll_none(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut waiting = self.lock();
        if waiting.payloads == 0 {
            return Poll::Ready(());
        }
        waiting.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Whether there is something that the connection has not taken.
    pub(super) fn is_some(&self) -> bool {
        self.lock().payloads > 0
    }

    /// How many bytes the connection has taken so far.
    pub(super) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The bytes of one DATA frame, or of several if they do not fit into one.
#[derive(Debug)]
pub(super) struct Payload {
    bytes: Bytes,
    unsent: Arc<Unsent>,
}

impl Buf for Payload {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        self.unsent.taken.fetch_add(count as u64, Ordering::Relaxed);
    }
}

impl Drop for Payload {
    fn drop(&mut self) {
        let mut waiting = self.unsent.lock();
        waiting.payloads -= 1;
        let writer = match waiting.payloads {
            0 => waiting.writer.take(),
            _ => None,
        };
        drop(waiting);
        if let Some(writer) = writer {
            writer.wake();
        }
    }
}

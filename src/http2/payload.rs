//! Bytes count as sent when the connection has taken them, and not before.
//!
//! h2 takes what it is given into a queue and says nothing of when it leaves. It does drop it then, and that is counted
//! here.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes};

/// What one stream has given to h2 and the connection has not taken, and how much it has taken.
#[derive(Debug, Default)]
pub(super) struct Unsent {
    payloads: AtomicUsize,
    /// There is a writer to be woken, perhaps.
    is_awaited: AtomicBool,
    writer: Mutex<Option<Waker>>,
    taken: AtomicU64,
}

impl Unsent {
    /// Bytes on their way to h2.
    pub(super) fn payload(self: &Arc<Self>, bytes: Bytes) -> Payload {
        self.payloads.fetch_add(1, Ordering::Relaxed);
        Payload {
            bytes,
            unsent: self.clone(),
        }
    }

    /// Ready when the connection has taken everything, or has dropped it.
    pub(super) fn poll_none(&self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.is_some() {
            return Poll::Ready(());
        }
        *self.lock() = Some(cx.waker().clone());
        self.is_awaited.store(true, Ordering::SeqCst);
        // Again, behind that: the last payload has gone before, or its end finds the writer.
        match self.is_some() {
            true => Poll::Pending,
            false => Poll::Ready(()),
        }
    }

    /// Whether there is something that the connection has not taken.
    pub(super) fn is_some(&self) -> bool {
        self.payloads.load(Ordering::SeqCst) > 0
    }

    /// How many bytes the connection has taken so far.
    pub(super) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Waker>> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
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
        let is_last = self.unsent.payloads.fetch_sub(1, Ordering::SeqCst) == 1;
        // Most often nobody waits.
        if is_last
            && self.unsent.is_awaited.load(Ordering::SeqCst)
            && self.unsent.is_awaited.swap(false, Ordering::SeqCst)
        {
            let writer = self.unsent.lock().take();
            if let Some(writer) = writer {
                writer.wake();
            }
        }
    }
}

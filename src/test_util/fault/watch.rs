//! What was done with a stream, also after the stream was dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A handle that reports what has been done with a [`FaultyStream`](super::FaultyStream), also after it was dropped.
///
/// ```
/// use switchover::test_util::fault;
/// use tokio::io::AsyncWriteExt;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// let (mut stream, _peer) = fault::pair(64);
/// let watch = stream.watch();
/// stream.write_all(b"abc").await?;
/// stream.shutdown().await?;
/// drop(stream);
/// assert_eq!((watch.written(), watch.shutdowns(), watch.is_dropped()), (3, 1, true));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Watch(Arc<Notes>);

#[derive(Debug, Default)]
struct Notes {
    read: AtomicU64,
    written: AtomicU64,
    flushes: AtomicU64,
    shutdowns: AtomicU64,
    dropped: AtomicBool,
}

impl Watch {
    /// Bytes that reads have given.
    #[must_use]
    pub fn read(&self) -> u64 {
        self.0.read.load(Ordering::Relaxed)
    }

    /// Bytes that writes have accepted.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.0.written.load(Ordering::Relaxed)
    }

    /// How many flushes have completed.
    #[must_use]
    pub fn flushes(&self) -> u64 {
        self.0.flushes.load(Ordering::Relaxed)
    }

    /// How many shutdowns have completed.
    #[must_use]
    pub fn shutdowns(&self) -> u64 {
        self.0.shutdowns.load(Ordering::Relaxed)
    }

    /// Whether the stream was dropped.
    #[must_use]
    pub fn is_dropped(&self) -> bool {
        self.0.dropped.load(Ordering::Relaxed)
    }

    pub(super) fn note_read(&self, count: usize) {
        self.0.read.fetch_add(count as u64, Ordering::Relaxed);
    }

    pub(super) fn note_written(&self, count: usize) {
        self.0.written.fetch_add(count as u64, Ordering::Relaxed);
    }

    pub(super) fn note_flush(&self) {
        self.0.flushes.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn note_shutdown(&self) {
        self.0.shutdowns.fetch_add(1, Ordering::Relaxed);
    }
}

/// Notes the drop of the stream that it is a part of.
#[derive(Debug)]
pub(super) struct DropNote(pub(super) Watch);

impl Drop for DropNote {
    fn drop(&mut self) {
        self.0.0.dropped.store(true, Ordering::Relaxed);
    }
}

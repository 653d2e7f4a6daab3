//! Records that wait to be written. Memory is held only while there are some.
//!
//! Knows nothing of what is in a record.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

/// The most records that one write takes: those of one write of payload, and one of the connection's own in front.
const AT_ONCE: usize = 8;

/// In the order in which they were sealed.
#[derive(Default)]
pub(super) struct Outgoing {
    /// Mostly the only one, and then no queue is allocated.
    first: Vec<u8>,
    /// How much of the first one is written.
    written: usize,
    more: VecDeque<Vec<u8>>,
}

impl Outgoing {
    pub(super) fn is_empty(&self) -> bool {
        self.first.is_empty()
    }

    pub(super) fn push(&mut self, record: Vec<u8>) {
        match self.first.is_empty() {
            true => self.first = record,
            false if record.is_empty() => {}
            false => self.more.push_back(record),
        }
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.first.capacity() + self.more.capacity()
    }

    /// Writes everything.
    pub(super) fn poll_write<W>(&mut self, cx: &mut Context<'_>, writer: &mut W) -> Poll<io::Result<()>>
    where
        W: AsyncWrite + Unpin,
    {
        while !self.is_empty() {
            let count = match self.more.is_empty() || !writer.is_write_vectored() {
                true => ready!(Pin::new(&mut *writer).poll_write(cx, &self.first[self.written..]))?,
                false => {
                    let mut slices = [IoSlice::new(&[]); AT_ONCE];
                    slices[0] = IoSlice::new(&self.first[self.written..]);
                    for (slice, record) in slices[1..].iter_mut().zip(&self.more) {
                        *slice = IoSlice::new(record);
                    }
                    let count = AT_ONCE.min(1 + self.more.len());
                    ready!(Pin::new(&mut *writer).poll_write_vectored(cx, &slices[..count]))?
                }
            };
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.advance(count);
        }
        Poll::Ready(Ok(()))
    }

    fn advance(&mut self, count: usize) {
        self.written += count;
        while self.written >= self.first.len() && !self.first.is_empty() {
            self.written -= self.first.len();
            self.first = self.more.pop_front().unwrap_or_default();
        }
        if self.first.is_empty() {
            // A writer that says it has written more than it was given is not believed.
            *self = Outgoing::default();
        }
    }
}

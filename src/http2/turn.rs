//! How much a connection reads and how often it writes in one turn of its task: a bounded number of bytes in, and one write
//! for all frames that are due.
//!
//! h2 reads as long as there is something to read, and writes and flushes each larger frame by itself. Over TLS each of those
//! writes is a record of its own, and each is a system call. So h2 is given a stream that stays in this crate's hands: what h2
//! writes is collected here, and goes out when its turn has ended; and a turn ends when it has read enough, so that frames are
//! taken out of h2 before there are too many of them. What h2 has no room for waits in `read_ahead.rs`.
//!
//! Must not know frames.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::liveness::{Blocked, Moved};
use super::read_ahead::ReadAhead;

/// The most bytes that are read in one turn.
const READ_LIMIT: usize = ReadAhead::SIZE;

/// How many bytes may wait for the stream before h2 has to.
const WRITE_LIMIT: usize = 64 * 1024;

/// What a buffer may keep while nothing waits in it.
const KEPT: usize = 4 * 1024;

/// The task's hold on a connection's stream.
#[derive(Debug)]
pub(super) struct Turns<T>(Arc<Mutex<State<T>>>);

/// h2's hold on it.
#[derive(Debug)]
pub(super) struct TurnStream<T>(Arc<Mutex<State<T>>>);

#[derive(Debug)]
struct State<T> {
    stream: T,
    /// How much may still be read in this turn.
    left: usize,
    ahead: ReadAhead,
    waiting: Vec<u8>,
    /// How much of it has gone out.
    gone: usize,
    unflushed: bool,
    moved: Arc<Moved>,
}

/// A stream in two hands: for the task that takes the turns, and for h2.
pub(super) fn share<T>(stream: T) -> (Turns<T>, TurnStream<T>) {
    let state = State {
        stream,
        left: READ_LIMIT,
        ahead: ReadAhead::default(),
        waiting: Vec::new(),
        gone: 0,
        unflushed: false,
        moved: Arc::default(),
    };
    let state = Arc::new(Mutex::new(state));
    (Turns(state.clone()), TurnStream(state))
}

impl<T: AsyncWrite + Unpin> Turns<T> {
    /// A turn begins: h2 may read again.
    pub(super) fn begin(&self) {
        lock(&self.0).left = READ_LIMIT;
    }

    /// What moves on the stream.
    pub(super) fn moved(&self) -> Arc<Moved> {
        lock(&self.0).moved.clone()
    }

    /// The turn ends: what h2 has written goes out. Ready when all of it has.
    pub(super) fn poll_end(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        lock(&self.0).poll_out(cx)
    }
}

impl<T: AsyncWrite + Unpin> State<T> {
    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.gone < self.waiting.len() {
            let stream = Pin::new(&mut self.stream);
            let Poll::Ready(count) = stream.poll_write(cx, &self.waiting[self.gone..])? else {
                self.moved.block(Blocked::Write);
                return Poll::Pending;
            };
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.moved.resume(Blocked::Write);
            self.gone += count;
        }
        self.gone = 0;
        self.waiting.clear();
        self.waiting.shrink_to(KEPT);
        if self.unflushed {
            if Pin::new(&mut self.stream).poll_flush(cx)?.is_pending() {
                self.moved.block(Blocked::Flush);
                return Poll::Pending;
            }
            self.moved.resume(Blocked::Flush);
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Ready when there is room for more.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.waiting.len() < WRITE_LIMIT {
            return Poll::Ready(Ok(()));
        }
        self.poll_out(cx)
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for TurnStream<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut locked = lock(&self.0);
        let state = &mut *locked;
        if state.ahead.hand_out(into) {
            return Poll::Ready(Ok(()));
        }
        if state.left == 0 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let count = ready!(state.ahead.poll_read(cx, &mut state.stream, into, state.left))?;
        state.left = state.left.saturating_sub(count);
        state.moved.receive(count);
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TurnStream<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut state = lock(&self.0);
        ready!(state.poll_room(cx))?;
        let before = state.waiting.len();
        state
            .waiting
            .reserve(slices.iter().map(|slice| slice.len()).sum());
        for slice in slices {
            state.waiting.extend_from_slice(slice);
        }
        state.unflushed = true;
        let count = state.waiting.len() - before;
        state.moved.write(count);
        Poll::Ready(Ok(count))
    }

    /// h2 copies the bytes of a small frame anyway; those of a larger one it hands over where they are.
    fn is_write_vectored(&self) -> bool {
        true
    }

    /// The turn's end flushes.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = lock(&self.0);
        ready!(state.poll_out(cx))?;
        Pin::new(&mut state.stream).poll_shutdown(cx)
    }
}

fn lock<T>(state: &Mutex<State<T>>) -> MutexGuard<'_, State<T>> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

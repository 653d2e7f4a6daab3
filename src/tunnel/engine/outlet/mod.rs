//! The writing end of one direction: what was accepted is counted, what was not is kept, and a writer that lets the
//! direction wait is recorded.
//!
//! Knows a writer. It must not know where the bytes come from, which side this is, or any deadline.

mod closing;
mod leftovers;

use std::any::Any;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use tokio::io::AsyncWrite;
use tokio::time::Instant;

use crate::tunnel::end::Operation;
use crate::tunnel::engine::pipe::{self, Pipe};
use crate::tunnel::stream::socket;

/// How often the bytes of one read are offered to a writer that takes them in small pieces, before that counts as a
/// turn.
const WRITES_PER_TURN: usize = 16;

/// What one direction knows of its writer.
pub(in crate::tunnel) struct Outlet {
    pending: Pending,
    delivered: u64,
    /// How many of the delivered bytes were spliced.
    spliced: u64,
    /// When the writer last accepted something, or when it began to let us wait: the later of the two.
    moved_at: Instant,
    /// Written to the writer, but not flushed since.
    unflushed: bool,
    /// A flush has begun and has not completed.
    flushing: bool,
    /// The tail was there before the tunnel, and has not been offered to the writer yet.
    fresh: bool,
    /// A plain socket has taken what it was offered: until it takes nothing it is asked itself, because the runtime knows of no room.
    has_room: bool,
    /// The writer lets us wait: it takes no bytes, or does not complete a flush or a shutdown.
    waiting: bool,
    /// Bytes that were read will never be taken.
    lost: bool,
}

/// What was read that the writer did not take at once. Nothing is read while there is any, so there is never more than
/// one scratch buffer of it, or one pipe; at a tunnel's start the leftovers and one scratch buffer.
///
/// Without a variant for nothing, so that it is no larger than the bytes: every direction of every tunnel has one.
enum Pending {
    /// Mostly of no bytes.
    Tail(Bytes),
    Piped(Pipe),
}

impl Pending {
    const NOTHING: Pending = Pending::Tail(Bytes::new());
}

/// A stream failed; the direction cannot go on by itself.
pub(in crate::tunnel) struct Failure {
    pub(in crate::tunnel) operation: Operation,
    pub(in crate::tunnel) source: io::Error,
}

/// Whether another turn may follow now, or a waker is registered.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::tunnel) enum Turn {
    Again,
    Wait,
}

impl Outlet {
    pub(in crate::tunnel) fn new(now: Instant) -> Self {
        Outlet {
            pending: Pending::NOTHING,
            delivered: 0,
            spliced: 0,
            moved_at: now,
            unflushed: false,
            flushing: false,
            fresh: false,
            has_room: false,
            waiting: false,
            lost: false,
        }
    }

    pub(in crate::tunnel) fn delivered(&self) -> u64 {
        self.delivered
    }

    pub(in crate::tunnel) fn spliced(&self) -> u64 {
        self.spliced
    }

    pub(in crate::tunnel) fn moved_at(&self) -> Instant {
        self.moved_at
    }

    /// Something has moved that the writer does not get to see.
    pub(in crate::tunnel) fn touch(&mut self, now: Instant) {
        if !self.waiting {
            self.moved_at = now;
        }
    }

    pub(in crate::tunnel) fn is_waiting(&self) -> bool {
        self.waiting
    }

    /// Whether bytes were read that the writer has not taken.
    pub(in crate::tunnel) fn has_pending(&self) -> bool {
        !matches!(&self.pending, Pending::Tail(tail) if tail.is_empty())
    }

    /// Whether bytes were read that the writer does not get.
    pub(in crate::tunnel) fn has_lost(&self) -> bool {
        self.lost || self.has_pending()
    }

    pub(in crate::tunnel) fn is_unflushed(&self) -> bool {
        self.unflushed
    }

    /// Whether nothing may be read, because the writer has not done its part.
    pub(in crate::tunnel) fn is_blocked(&self) -> bool {
        self.has_pending() || self.flushing
    }

    /// Bytes that go out before any other.
    pub(in crate::tunnel) fn put_in_front(&mut self, bytes: Bytes) {
        self.fresh = !bytes.is_empty();
        self.keep(bytes);
    }

    fn keep(&mut self, bytes: Bytes) {
        // An empty `Bytes` would keep the whole buffer that it was cut from.
        self.pending = if bytes.is_empty() {
            Pending::NOTHING
        } else {
            Pending::Tail(bytes)
        };
    }

    /// The writer is of no use any more.
    pub(in crate::tunnel) fn abandon(&mut self) {
        self.lost |= self.has_pending();
        self.pending = Pending::NOTHING;
        self.flushing = false;
        self.waiting = false;
    }

    /// Does what stands between a [blocked](Outlet::is_blocked) outlet and the next read.
    pub(in crate::tunnel) fn unblock<W>(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        writer: &mut W,
    ) -> Result<Turn, Failure>
    where
        W: AsyncWrite + Unpin + Any,
    {
        self.fresh = false;
        // Out of its place for the call; a failure leaves nothing pending, because the writer that it was for is gone.
        match std::mem::replace(&mut self.pending, Pending::NOTHING) {
            Pending::Tail(tail) if tail.is_empty() => self.flush(cx, now, writer),
            Pending::Tail(tail) => self.write_tail(cx, now, writer, tail),
            Pending::Piped(pipe) => self.empty(cx, now, writer, pipe),
        }
    }

    /// Offers what is pending to a plain socket, whether or not the runtime knows of room for it. True if it has taken some.
    ///
    /// If that was all, what is read next is offered as well where the runtime has it wait, so that a peer that takes nothing is found
    /// by the next deadline: the kernel may have room for many reads.
    pub(in crate::tunnel) fn offer<W: Any>(&mut self, now: Instant, writer: &W) -> bool {
        let (count, is_all) = match &mut self.pending {
            Pending::Tail(tail) => {
                let count = socket::write_now(writer, tail);
                tail.advance(count);
                (count, tail.is_empty())
            }
            Pending::Piped(pipe) => {
                let count = pipe.empty_now(writer);
                self.spliced += count as u64;
                (count, pipe.is_empty())
            }
        };
        if count == 0 {
            return false;
        }
        if is_all {
            self.pending = Pending::NOTHING;
            self.has_room = true;
        }
        self.delivered += count as u64;
        self.progress(now);
        true
    }

    /// Splices out of the pipe; what the writer does not take stays in it.
    pub(in crate::tunnel) fn empty<W>(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        writer: &mut W,
        mut pipe: Pipe,
    ) -> Result<Turn, Failure>
    where
        W: AsyncWrite + Unpin + Any,
    {
        while !pipe.is_empty() {
            match pipe.poll_empty_into(cx, writer) {
                Poll::Pending => {
                    let count = match self.has_room {
                        true => pipe.empty_now(writer),
                        false => 0,
                    };
                    if count == 0 {
                        self.pending = Pending::Piped(pipe);
                        self.wait(now);
                        return Ok(Turn::Wait);
                    }
                    self.delivered += count as u64;
                    self.spliced += count as u64;
                    self.progress(now);
                }
                Poll::Ready(Ok(count)) => {
                    self.delivered += count as u64;
                    self.spliced += count as u64;
                    self.progress(now);
                }
                Poll::Ready(Err(error)) if pipe::is_refusal(&error) => {
                    // The writer cannot be spliced to, but it can be written to.
                    let bytes = pipe.take_out().map_err(|source| Failure {
                        operation: Operation::Write,
                        source,
                    })?;
                    self.keep(bytes.into());
                    return Ok(Turn::Again);
                }
                Poll::Ready(Err(source)) => {
                    interrupted_or(Operation::Write, source)?;
                }
            }
        }
        Ok(Turn::Again)
    }

    /// Writes straight from the reader's buffer; what the writer does not take becomes the tail.
    pub(in crate::tunnel) fn write_out<W>(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        writer: &mut W,
        mut bytes: &[u8],
    ) -> Result<Turn, Failure>
    where
        W: AsyncWrite + Unpin + Any,
    {
        let mut turn = Turn::Again;
        for _ in 0..WRITES_PER_TURN {
            match self.write(cx, now, writer, bytes)? {
                Poll::Ready(count) => bytes = &bytes[count..],
                Poll::Pending => {
                    turn = Turn::Wait;
                    break;
                }
            }
            if bytes.is_empty() {
                return Ok(turn);
            }
        }
        self.keep(Bytes::copy_from_slice(bytes));
        Ok(turn)
    }

    /// The same of bytes that nobody else needs: what the writer does not take is not copied.
    pub(in crate::tunnel) fn write_owned<W>(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        writer: &mut W,
        mut bytes: Bytes,
    ) -> Result<Turn, Failure>
    where
        W: AsyncWrite + Unpin + Any,
    {
        let mut turn = Turn::Again;
        for _ in 0..WRITES_PER_TURN {
            match self.write(cx, now, writer, &bytes)? {
                Poll::Ready(count) => bytes.advance(count),
                Poll::Pending => {
                    turn = Turn::Wait;
                    break;
                }
            }
            if bytes.is_empty() {
                return Ok(turn);
            }
        }
        self.keep(bytes);
        Ok(turn)
    }

    fn write_tail<W>(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        writer: &mut W,
        mut tail: Bytes,
    ) -> Result<Turn, Failure>
    where
        W: AsyncWrite + Unpin + Any,
    {
        let turn = match self.write(cx, now, writer, &tail)? {
            Poll::Ready(count) => {
                tail.advance(count);
                Turn::Again
            }
            Poll::Pending => Turn::Wait,
        };
        self.keep(tail);
        Ok(turn)
    }

    /// One write. Counts what was accepted, so that the numbers are right whatever happens next.
    fn write<W>(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        writer: &mut W,
        bytes: &[u8],
    ) -> Result<Poll<usize>, Failure>
    where
        W: AsyncWrite + Unpin + Any,
    {
        let source = match Pin::new(&mut *writer).poll_write(cx, bytes) {
            Poll::Pending => {
                let count = match self.has_room {
                    true => socket::write_now(writer, bytes),
                    false => 0,
                };
                if count == 0 {
                    self.wait(now);
                    return Ok(Poll::Pending);
                }
                self.delivered += count as u64;
                self.progress(now);
                return Ok(Poll::Ready(count));
            }
            Poll::Ready(Ok(0)) => io::ErrorKind::WriteZero.into(),
            Poll::Ready(Ok(count)) => {
                self.delivered += count as u64;
                self.unflushed = true;
                self.progress(now);
                return Ok(Poll::Ready(count));
            }
            Poll::Ready(Err(source)) => source,
        };
        interrupted_or(Operation::Write, source).map(|_| Poll::Ready(0))
    }

    fn wait(&mut self, now: Instant) {
        self.has_room = false;
        if !self.waiting {
            self.waiting = true;
            self.moved_at = now;
        }
    }

    fn progress(&mut self, now: Instant) {
        self.waiting = false;
        self.moved_at = now;
    }
}

/// A call that a signal interrupted did nothing, and is made again.
pub(in crate::tunnel) fn interrupted_or(operation: Operation, source: io::Error) -> Result<Turn, Failure> {
    if source.kind() == io::ErrorKind::Interrupted {
        return Ok(Turn::Again);
    }
    Err(Failure { operation, source })
}

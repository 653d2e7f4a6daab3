//! One direction: what a read has given goes out before anything else is read.
//!
//! Knows a reader and a writer. It must not know which side they are, the other direction, or any deadline. What it does
//! about frames, where it knows them, is in `websocket/half.rs`.

mod read;
mod splice;

use std::any::Any;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use read::{Given, poll_reader};

use crate::tunnel::config::SpliceConfig;
use crate::tunnel::engine::outlet::{Failure, Outlet, Turn};
use crate::tunnel::engine::pipe;
use crate::tunnel::engine::scratch::Scratch;
use crate::tunnel::engine::transfer_mode::TransferMode;
use crate::tunnel::lifecycle::{Direction, ShutdownMode};
use crate::tunnel::websocket::Framed;

/// How often one direction may read in one poll before the other tasks of the thread get their turn.
pub(in crate::tunnel) const TURNS: usize = 16;

/// One direction of a tunnel.
pub(in crate::tunnel) struct Half {
    pub(in crate::tunnel) started: Instant,
    stage: Stage,
    pub(in crate::tunnel) mode: TransferMode,
    pub(in crate::tunnel) outlet: Outlet,
    /// What it knows of frames, if it does. Boxed: a tunnel of bytes does not pay for it.
    pub(in crate::tunnel) framed: Option<Box<Framed>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Reads, and writes what it read.
    Moving,
    /// Reads no more; what is left goes out, and then the writer is shut down.
    Ending,
    /// Nothing left to do.
    Ended,
}

impl Half {
    pub(in crate::tunnel) fn new(now: Instant, splice: Option<SpliceConfig>) -> Self {
        Half {
            started: now,
            stage: Stage::Moving,
            mode: TransferMode::new(pipe::is_possible(splice)),
            outlet: Outlet::new(now),
            framed: None,
        }
    }

    /// Starts with `leftovers`, as if they had just been read.
    pub(in crate::tunnel) fn put_in_front(&mut self, leftovers: Bytes) {
        let leftovers = self.framed_leftovers(leftovers);
        self.outlet.put_in_front(leftovers);
    }

    pub(in crate::tunnel) fn outlet(&self) -> &Outlet {
        &self.outlet
    }

    /// Whether the reader's end has been seen, or reading has been given up.
    pub(in crate::tunnel) fn has_stopped(&self) -> bool {
        self.stage != Stage::Moving
    }

    pub(in crate::tunnel) fn has_ended(&self) -> bool {
        self.stage == Stage::Ended
    }

    /// Reads no more, but still delivers what was read.
    pub(in crate::tunnel) fn stop(&mut self) {
        if self.stage == Stage::Moving {
            self.stage = Stage::Ending;
            self.close_now();
            self.close_inbox();
        }
    }

    /// The reader has given all that it had.
    pub(in crate::tunnel) fn reader_has_ended(&mut self) {
        self.stop();
        self.sender_has_ended();
    }

    /// Whether nothing but the reader's bytes is waited for.
    pub(in crate::tunnel) fn is_steady(&self) -> bool {
        self.stage == Stage::Moving && self.is_plain() && !self.outlet.is_waiting()
    }

    /// What it has come to.
    pub(in crate::tunnel) fn view(&self) -> Direction {
        Direction {
            moved_at: self.outlet.moved_at().into_std(),
            is_waiting: self.outlet.is_waiting(),
            is_blocked: self.outlet.is_blocked() || self.is_paused(),
            has_tail: self.outlet.has_pending(),
            has_stopped: self.has_stopped(),
            has_ended: self.has_ended(),
            frames: self.framed().map(Framed::view),
        }
    }

    /// Ends at once, because the writer is of no use any more.
    pub(in crate::tunnel) fn abandon(&mut self) {
        self.outlet.abandon();
        self.stage = Stage::Ended;
        self.close_inbox();
    }

    /// Moves what can be moved now. Without a failure, a waker is registered or the direction has ended.
    pub(in crate::tunnel) fn poll<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        scratch: &mut Scratch,
        (reader, writer): (&mut R, &mut W),
        shutdown: ShutdownMode,
        splice: Option<SpliceConfig>,
    ) -> Result<(), Failure>
    where
        R: AsyncRead + Unpin + Any,
        W: AsyncWrite + Unpin + Any,
    {
        let mut turns = 0;
        while turns < TURNS {
            turns += 1;
            let turn = match (self.stage, splice) {
                (Stage::Ended, _) => return Ok(()),
                // Mostly. Each of the others looks at something that this one is not.
                (Stage::Moving, _) if self.is_plain() => {
                    self.read_or_splice(cx, now, scratch, (reader, writer), splice, &mut turns)?
                }
                (Stage::Moving, _)
                    if self.outlet.may_join(writer)
                        && !self.is_violated()
                        && !self.is_paused()
                        && !self.is_interrupted()
                        && self.waits_until().is_none() =>
                {
                    self.read_behind_leftovers(cx, now, scratch, reader, writer)?
                }
                _ if self.outlet.is_blocked() => self.outlet.unblock(cx, now, writer)?,
                (Stage::Moving, _) if self.can_inject() => self.inject(cx, now, writer)?,
                (Stage::Moving, _) if self.is_violated() => return Ok(()),
                (Stage::Moving, _) if self.has_injected() => match self.move_injected(cx, now, writer)? {
                    Some(turn) => turn,
                    None if self.waits_until().is_some() => self.resume(cx, now, writer)?,
                    None => self.read_or_splice(cx, now, scratch, (reader, writer), splice, &mut turns)?,
                },
                (Stage::Moving, _) if self.waits_until().is_some() => self.resume(cx, now, writer)?,
                (Stage::Moving, _) => {
                    self.read_or_splice(cx, now, scratch, (reader, writer), splice, &mut turns)?
                }
                (Stage::Ending, _) if self.can_inject() => self.inject(cx, now, writer)?,
                (Stage::Ending, _) if self.holds_back() => self.release(cx, now, writer)?,
                (Stage::Ending, _) if self.outlet.is_unflushed() => self.outlet.flush(cx, now, writer)?,
                (Stage::Ending, _) => self.shut_down(cx, now, writer, shutdown)?,
            };
            if turn == Turn::Wait {
                return Ok(());
            }
        }
        yield_to_the_thread(cx);
        Ok(())
    }

    /// Moves what the reader gives now, in the cheaper way.
    fn read_or_splice<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        scratch: &mut Scratch,
        (reader, writer): (&mut R, &mut W),
        splice: Option<SpliceConfig>,
        turns: &mut usize,
    ) -> Result<Turn, Failure>
    where
        R: AsyncRead + Unpin + Any,
        W: AsyncWrite + Unpin + Any,
    {
        if let Some(splice) = splice.filter(|_| self.mode.is_splice()) {
            if let Some(turn) = self.splice(cx, now, splice, (reader, writer), turns)? {
                return Ok(turn);
            }
        }
        self.read(cx, now, scratch, reader, writer)
    }

    fn read<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        scratch: &mut Scratch,
        reader: &mut R,
        writer: &mut W,
    ) -> Result<Turn, Failure>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin + Any,
    {
        let room = self.room();
        let space = &mut scratch.bytes()[..room];
        match poll_reader(cx, reader, space)? {
            // Only here: while the reader has more, a writer that buffers does better with more.
            Given::Nothing if self.outlet.is_unflushed() => match self.outlet.flush(cx, now, writer)? {
                Turn::Again if self.outlet.is_unflushed() => Ok(Turn::Again),
                _ => Ok(Turn::Wait),
            },
            Given::Nothing => Ok(Turn::Wait),
            Given::Interrupted => Ok(Turn::Again),
            Given::End => {
                self.reader_has_ended();
                Ok(Turn::Again)
            }
            Given::Bytes(count) => {
                match &self.framed {
                    // Small frames among large ones, or instead of them.
                    Some(_) if self.mode.is_splice() => self.mode.spliced(count),
                    _ => self.mode.copied(count),
                }
                match &self.framed {
                    None => self.outlet.write_out(cx, now, writer, &space[..count]),
                    Some(_) => self.write_frames(cx, now, writer, &space[..count]),
                }
            }
        }
    }

    /// The first turn of a direction with leftovers: they go out together with what there is behind them.
    fn read_behind_leftovers<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        scratch: &mut Scratch,
        reader: &mut R,
        writer: &mut W,
    ) -> Result<Turn, Failure>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin + Any,
    {
        let space = scratch.bytes();
        match poll_reader(cx, reader, space)? {
            Given::Bytes(count) => match &mut self.framed {
                None => self.outlet.write_joined(cx, now, writer, &space[..count]),
                Some(framed) => {
                    let bytes = framed.pass(now, &space[..count]);
                    self.outlet.write_joined(cx, now, writer, &bytes)
                }
            },
            Given::Nothing => self.outlet.unblock(cx, now, writer),
            Given::Interrupted => Ok(Turn::Again),
            Given::End => {
                self.reader_has_ended();
                self.outlet.unblock(cx, now, writer)
            }
        }
    }

    fn shut_down<W>(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        writer: &mut W,
        shutdown: ShutdownMode,
    ) -> Result<Turn, Failure>
    where
        W: AsyncWrite + Unpin + Any,
    {
        // A Close says how it ended, so nothing looks complete that is not.
        let has_injected_close = self.framed().is_some_and(Framed::has_injected_close);
        let shut = match shutdown {
            ShutdownMode::Silent if has_injected_close => self.outlet.shut_down(cx, now, writer),
            ShutdownMode::Silent => Poll::Ready(Ok(())),
            ShutdownMode::Orderly => self.outlet.shut_down(cx, now, writer),
        };
        if let Poll::Ready(outcome) = shut {
            self.stage = Stage::Ended;
            outcome?;
        }
        Ok(Turn::Wait)
    }
}

/// Gives way, and asks to be polled again.
///
/// Not by waking the task at once: on a single-threaded runtime it would come round dozens of times before the
/// runtime looks at its sockets again, and everyone else would wait for that. This way the runtime looks first.
pub(in crate::tunnel) fn yield_to_the_thread(cx: &mut Context<'_>) {
    let _ = pin!(tokio::task::yield_now()).poll(cx);
}

#[cfg(all(test, target_pointer_width = "64"))]
mod tests {
    use super::*;

    /// The gaps are 112 bytes, 8 of which are the allocator's. One of 88 would take a piece of 96: then two are cut of the same free
    /// piece, what they leave is of no use, and the next gap is of another size. It costs an idle tunnel 60 bytes.
    #[test]
    fn it_fits_the_gaps_that_the_streams_leave_in_the_heap() {
        assert_eq!(size_of::<Half>(), 104);
    }
}

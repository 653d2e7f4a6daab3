//! A tunnel's first write: bytes that came early and bytes that come now go out in one call.

use std::any::Any;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use tokio::io::AsyncWrite;
use tokio::time::Instant;

use super::{Failure, Outlet, Pending, Turn, interrupted_or};
use crate::tunnel::end::Operation;

impl Outlet {
    /// Whether there are leftovers that have not been offered to the writer, and that new bytes may go out with.
    pub(in crate::tunnel) fn may_join<W: AsyncWrite>(&self, writer: &W) -> bool {
        self.fresh && writer.is_write_vectored()
    }

    /// Writes the leftovers and what was read behind them. What the writer does not take becomes the tail.
    pub(in crate::tunnel) fn write_joined<W>(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        writer: &mut W,
        bytes: &[u8],
    ) -> Result<Turn, Failure>
    where
        W: AsyncWrite + Unpin + Any,
    {
        self.fresh = false;
        let mut tail = match std::mem::replace(&mut self.pending, Pending::NOTHING) {
            Pending::Tail(tail) => tail,
            other => {
                self.pending = other;
                return self.write_out(cx, now, writer, bytes);
            }
        };
        let slices = [IoSlice::new(&tail), IoSlice::new(bytes)];
        let source = match Pin::new(&mut *writer).poll_write_vectored(cx, &slices) {
            Poll::Pending => {
                self.wait(now);
                self.keep(joined(&tail, bytes));
                return Ok(Turn::Wait);
            }
            Poll::Ready(Ok(0)) => io::ErrorKind::WriteZero.into(),
            Poll::Ready(Ok(count)) => {
                self.delivered += count as u64;
                self.unflushed = true;
                self.progress(now);
                if count < tail.len() {
                    tail.advance(count);
                    self.keep(joined(&tail, bytes));
                    return Ok(Turn::Again);
                }
                return match &bytes[count - tail.len()..] {
                    [] => Ok(Turn::Again),
                    rest => self.write_out(cx, now, writer, rest),
                };
            }
            Poll::Ready(Err(source)) => source,
        };
        let turn = interrupted_or(Operation::Write, source)?;
        self.keep(joined(&tail, bytes));
        Ok(turn)
    }
}

fn joined(tail: &[u8], bytes: &[u8]) -> Bytes {
    [tail, bytes].concat().into()
}

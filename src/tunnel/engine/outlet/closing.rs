//! What a writer is asked besides to take bytes: to hold none back, and to end its stream.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;
use tokio::time::Instant;

use super::{Failure, Outlet, Turn, interrupted_or};
use crate::tunnel::end::Operation;

impl Outlet {
    pub(in crate::tunnel) fn flush<W>(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        writer: &mut W,
    ) -> Result<Turn, Failure>
    where
        W: AsyncWrite + Unpin,
    {
        match Pin::new(writer).poll_flush(cx) {
            // What a flush waits for is bytes that the writer has already counted as accepted. Reading on would hand
            // it more of them and hide that none leave.
            Poll::Pending => {
                self.flushing = true;
                self.wait(now);
                Ok(Turn::Wait)
            }
            Poll::Ready(Ok(())) => {
                if self.flushing {
                    // What was waited for has left: bytes that the writer had accepted before.
                    self.progress(now);
                }
                self.unflushed = false;
                self.flushing = false;
                self.waiting = false;
                Ok(Turn::Again)
            }
            Poll::Ready(Err(source)) => interrupted_or(Operation::Flush, source),
        }
    }

    /// Shuts the writer down, because the stream ended in order. Ready when that is done.
    pub(in crate::tunnel) fn shut_down<W>(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        writer: &mut W,
    ) -> Poll<Result<(), Failure>>
    where
        W: AsyncWrite + Unpin,
    {
        loop {
            match Pin::new(&mut *writer).poll_shutdown(cx) {
                Poll::Pending => {
                    self.wait(now);
                    return Poll::Pending;
                }
                Poll::Ready(Err(source)) if source.kind() == io::ErrorKind::Interrupted => {}
                Poll::Ready(outcome) => {
                    self.progress(now);
                    return Poll::Ready(outcome.map_err(|source| Failure {
                        operation: Operation::Shutdown,
                        source,
                    }));
                }
            }
        }
    }
}

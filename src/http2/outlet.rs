//! Law: the sending half of a stream: never more than the upstream has room for, nothing reserved while idle, an end that
//! is told.
//!
//! Knows a stream that is open. It must not know what was asked or answered on it.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::SendStream;

use super::failure;
use super::payload::{Payload, Unsent};

/// The most that one write takes.
const WRITE_SIZE: usize = 64 * 1024;

#[derive(Debug)]
pub(super) struct Outlet {
    stream: SendStream<Payload>,
    unsent: Arc<Unsent>,
    /// END_STREAM has been given to h2.
    ended: bool,
    /// Something has been given to h2 since the last flush.
    unflushed: bool,
}

impl Outlet {
    pub(super) fn new(stream: SendStream<Payload>) -> Self {
        Outlet {
            stream,
            unsent: Arc::default(),
            ended: false,
            unflushed: false,
        }
    }

    /// Takes as much as there is room for, in the upstream's windows and in the send buffer.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.ended {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let wanted = bytes.len().min(WRITE_SIZE);
        self.stream.reserve_capacity(wanted);
        while self.stream.capacity() == 0 {
            match ready!(self.stream.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(failure::stream_failed(error))),
                None => return Poll::Ready(Err(self.failure(cx))),
            }
        }
        let count = self.stream.capacity().min(wanted);
        let payload = self.unsent.payload(Bytes::copy_from_slice(&bytes[..count]));
        let sent = self.stream.send_data(payload, false);
        // What is reserved and not used is taken from the other streams of the connection.
        self.stream.reserve_capacity(0);
        match sent {
            Ok(()) => {
                self.unflushed = true;
                Poll::Ready(Ok(count))
            }
            Err(_) => Poll::Ready(Err(self.failure(cx))),
        }
    }

    /// Waits until the connection has taken everything: from then on a reset of the stream does not overtake it.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.unflushed {
            return Poll::Ready(Ok(()));
        }
        ready!(self.unsent.poll_none(cx));
        // A stream that is reset drops what has not been sent.
        match self.stream.poll_reset(cx) {
            Poll::Pending => {
                self.unflushed = false;
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Ok(reason)) => Poll::Ready(Err(failure::stream_reset(reason))),
            Poll::Ready(Err(error)) => Poll::Ready(Err(failure::stream_failed(error))),
        }
    }

    /// Ends the direction: END_STREAM (RFC 8441, section 5). Ready when the connection has taken it.
    pub(super) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.ended && !self.end() {
            return Poll::Ready(Err(self.failure(cx)));
        }
        self.poll_flush(cx)
    }

    /// Ends the direction as soon as may be. False if the stream has failed.
    pub(super) fn end(&mut self) -> bool {
        self.ended = true;
        self.unflushed = true;
        self.stream
            .send_data(self.unsent.payload(Bytes::new()), true)
            .is_ok()
    }

    /// The stream with a reset of our own: the upstream has broken a rule.
    pub(super) fn reset(&mut self, reason: h2::Reason) {
        self.stream.send_reset(reason);
    }

    /// Why the stream takes no more.
    fn failure(&mut self, cx: &mut Context<'_>) -> io::Error {
        match self.stream.poll_reset(cx) {
            Poll::Ready(Ok(reason)) => failure::stream_reset(reason),
            Poll::Ready(Err(error)) => failure::stream_failed(error),
            Poll::Pending => io::ErrorKind::BrokenPipe.into(),
        }
    }
}

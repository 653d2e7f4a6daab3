//! The sending half of a stream: never more than the upstream has room for, nothing reserved while idle, a reported end.
//!
//! Knows a stream that is open. It must not know what was asked or answered on it.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::SendStream;
use http::HeaderMap;

use super::driven::{Driven, Place};
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
    /// How much has been reserved of the windows.
    reserved: usize,
    driven: Arc<Driven>,
}

impl Outlet {
    pub(super) fn new(stream: SendStream<Payload>, driven: Arc<Driven>) -> Self {
        Outlet {
            stream,
            unsent: Arc::default(),
            ended: false,
            unflushed: false,
            reserved: 0,
            driven,
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
        let count = ready!(self.poll_room(cx, bytes.len()))?;
        self.give(cx, Bytes::copy_from_slice(&bytes[..count]), false)?;
        Poll::Ready(Ok(count))
    }

    /// As [`poll_write`](Outlet::poll_write), without a copy: what was taken is gone from the bytes. With the last of them
    /// the direction ends, if `ends` says so.
    pub(super) fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &mut Bytes,
        ends: bool,
    ) -> Poll<io::Result<()>> {
        let count = match bytes.is_empty() {
            true => 0,
            false => ready!(self.poll_room(cx, bytes.len()))?,
        };
        let piece = bytes.split_to(count);
        let ends = ends && bytes.is_empty();
        Poll::Ready(self.give(cx, piece, ends))
    }

    /// Waits for room, and says how much of what is wanted there is.
    fn poll_room(&mut self, cx: &mut Context<'_>, wanted: usize) -> Poll<io::Result<usize>> {
        let wanted = wanted.min(WRITE_SIZE);
        self.stream.reserve_capacity(wanted);
        self.reserved = wanted;
        loop {
            match self.stream.capacity() {
                0 => {}
                room => return Poll::Ready(Ok(room.min(wanted))),
            }
            match ready!(self.stream.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(failure::stream_failed(error))),
                None => return Poll::Ready(Err(self.failure(cx))),
            }
        }
    }

    fn give(&mut self, cx: &mut Context<'_>, bytes: Bytes, ends: bool) -> io::Result<()> {
        let is_used = bytes.len() >= self.reserved;
        let sent = self.stream.send_data(self.unsent.payload(bytes), ends);
        if !is_used {
            // What is reserved and not used is taken from the other streams of the connection.
            self.stream.reserve_capacity(0);
        }
        self.reserved = 0;
        self.ended |= ends;
        self.unflushed = true;
        sent.map_err(|_| self.failure(cx))
    }

    /// Ends the direction with these trailers.
    pub(super) fn end_with(&mut self, cx: &mut Context<'_>, trailers: HeaderMap) -> io::Result<()> {
        self.ended = true;
        self.unflushed = true;
        let sent = self.stream.send_trailers(trailers);
        sent.map_err(|_| self.failure(cx))
    }

    /// Whether the other end has reset the stream; if not, the task of this context is woken when it does.
    pub(super) fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        self.stream.poll_reset(cx).map(|reason| match reason {
            Ok(reason) => failure::stream_reset(reason),
            Err(error) => failure::stream_failed(error),
        })
    }

    /// How many bytes the connection has taken so far.
    pub(super) fn taken(&self) -> u64 {
        self.unsent.taken()
    }

    /// Whether the connection has not taken all that it was given, which is never more than the windows have room for.
    pub(super) fn has_unsent(&self) -> bool {
        self.unsent.is_some()
    }

    /// Waits while the connection is held up. Otherwise it takes what it was given in its next turn, and a tunnel need not be woken for
    /// each message to learn that: nothing overtakes what was written before the stream [leaves](Outlet::leave).
    pub(super) fn poll_on_its_way(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.ended || self.driven.moved().is_blocked() {
            true => self.poll_flush(cx),
            false => Poll::Ready(Ok(())),
        }
    }

    /// Nobody writes any more: the stream is closed behind what was written, and has its place until then. Its end, too, waits behind
    /// that: h2 throws away what waits on a stream that nobody holds and whose other direction is open.
    pub(super) fn leave<P: Place + 'static>(self, place: impl FnOnce() -> P) {
        if self.unsent.is_some() {
            self.driven.reset_later(self.stream, self.unsent, place());
        }
    }

    /// Waits until the connection has taken everything: from then on a reset of the stream does not overtake it.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.unflushed {
            return Poll::Ready(Ok(()));
        }
        ready!(self.unsent.poll_none(cx));
        // A stream that is reset drops what has not been sent.
        if let Poll::Ready(error) = self.poll_reset(cx) {
            return Poll::Ready(Err(error));
        }
        self.unflushed = false;
        Poll::Ready(Ok(()))
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
        match self.poll_reset(cx) {
            Poll::Ready(error) => error,
            Poll::Pending => io::ErrorKind::BrokenPipe.into(),
        }
    }
}

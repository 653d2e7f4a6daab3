//! A stream on which TLS is spoken, and that holds no buffer while nothing waits in it.
//!
//! rustls opens and seals, `driven.rs`. What is read goes through a buffer of the thread's, `scratch.rs`, and is opened there. Only a record
//! that is not whole and payload that the reader has no room for are kept, for as long as they wait. What is written is
//! sealed in another such buffer and written at once; only what the stream below does not take is kept.
//!
//! It must not know HTTP, tunnels or deadlines.

mod connection;
mod driven;
mod handshake;
mod outgoing;
mod progress;
mod scratch;
mod sink;
mod state;
#[cfg(all(test, feature = "ring"))]
mod tests;

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::rustls::{CommonState, Error};

use self::connection::Connection;
pub(super) use self::handshake::{Established, read_hello, shake_hands};
use self::scratch::{PAYLOAD, RECORDS, Receiving, Sealing};
use self::sink::use_up;
use self::state::{State, WriteEnd};

/// What is held of handshake messages that come in pieces. rustls refuses those that are longer.
const JOINED: usize = 64 * 1024;

/// The payload that one write takes at most: what a tunnel reads at once, and a record more for the frames that HTTP/2 makes of it. Without
/// that a few bytes of headers would be a write of their own.
const MOST: usize = (RECORDS + 1) * PAYLOAD;

/// One side of a connection, behind the handshake. Small, because a future has several places for a stream.
pub(super) struct Secured<S, C> {
    stream: S,
    state: Box<State<C>>,
}

impl<S, C: Connection> Secured<S, C> {
    pub(super) fn new(stream: S, established: Established<C>) -> Self {
        Secured {
            stream,
            state: Box::new(State::new(established)),
        }
    }

    pub(super) fn stream(&self) -> &S {
        &self.stream
    }

    pub(super) fn session(&self) -> &CommonState {
        &self.state.connection
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin, C: Connection> AsyncRead for Secured<S, C> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Secured { stream, state } = self.get_mut();
        let before = into.filled().len();
        while into.filled().len() == before && into.remaining() > 0 {
            if !state.opened.is_empty() {
                let count = state.opened.len().min(into.remaining());
                into.put_slice(&state.opened[..count]);
                use_up(&mut state.opened, count);
                break;
            }
            state.check()?;
            if state.read_end.is_some() {
                break;
            }
            let had_outgoing = !state.outgoing.is_empty();
            let come = match state.may_open {
                true => state.open_received(into),
                false => ready!(state.poll_receive(cx, stream, into))?,
            };
            state.settle(come);
            // An alert, or another answer of TLS itself, which waits for no write of the reader's.
            if state.check().is_err() || !had_outgoing && !state.outgoing.is_empty() {
                // The writer's waker is no longer with the stream below.
                let writer = state.writer.take();
                state.try_send(cx, stream);
                writer.into_iter().for_each(Waker::wake);
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin, C: Connection> AsyncWrite for Secured<S, C> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    /// What is sealed counts as written. What the stream below does not take of it at once, the next write takes first, and so does
    /// a flush.
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let Secured { stream, state } = self.get_mut();
        state.check_write()?;
        let mut filled = slices.iter().filter(|slice| !slice.is_empty());
        let (first, second) = (filled.next(), filled.next());
        let Some(first) = first else {
            return Poll::Ready(Ok(0));
        };
        ready!(state.poll_send(cx, stream))?;
        // rustls seals what stands together.
        let mut joining = Receiving::default();
        let mut joined;
        let payload = match second {
            Some(_) if first.len() < MOST => {
                joined = ReadBuf::uninit(&mut joining.space()[..MOST]);
                join(slices, &mut joined);
                joined.filled()
            }
            _ => &first[..first.len().min(MOST)],
        };
        let mut sealed = Sealing::borrow();
        match state.seal(payload, &mut sealed.0) {
            Ok(count) => state.send(cx, stream, &sealed.0[..count])?,
            Err(error) => {
                state.try_send(cx, stream);
                return Poll::Ready(Err(state.fail_write(error)));
            }
        }
        Poll::Ready(Ok(payload.len()))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Secured { stream, state } = self.get_mut();
        ready!(state.poll_send(cx, stream))?;
        let flushed = Pin::new(stream).poll_flush(cx);
        state.keep_writer(cx, flushed)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Secured { stream, state } = self.get_mut();
        if state.check_write().is_ok() {
            state.close();
            state.write_end = WriteEnd::Shut;
        }
        if !matches!(state.write_end, WriteEnd::Failed(_)) {
            ready!(state.poll_send(cx, stream))?;
        }
        let shut = Pin::new(stream).poll_shutdown(cx);
        match ready!(state.keep_writer(cx, shut)) {
            // There is nobody to notify.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Poll::Ready(Ok(())),
            done => Poll::Ready(done),
        }
    }
}

/// As much as there is room for.
fn join(slices: &[IoSlice<'_>], joined: &mut ReadBuf<'_>) {
    for slice in slices {
        joined.put_slice(&slice[..slice.len().min(joined.remaining())]);
    }
}

/// As an error of a stream. [`TlsFailure`](super::TlsFailure) reads it there.
fn failure(error: &Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.clone())
}

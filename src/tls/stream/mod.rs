//! A stream on which TLS is spoken, and that holds no buffer while nothing waits in it.
//!
//! What is read goes through a buffer of the thread's, `scratch.rs`, and is opened there: by `records.rs`, or by rustls, `driven.rs`. Only a
//! record that is not whole and payload that the reader has no room for are kept, for as long as they wait. What is written is
//! sealed and written at once; only what the stream below does not take is kept.
//!
//! It must not know HTTP, tunnels or deadlines.

mod connection;
mod driven;
mod handshake;
mod keys;
mod outgoing;
mod protection;
mod records;
mod scratch;
mod sink;
#[cfg(all(test, feature = "ring"))]
mod tests;

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::rustls::Error;

use self::connection::Connection;
pub(super) use self::handshake::{Established, read_hello, shake_hands};
use self::outgoing::Outgoing;
use self::protection::Protection;
use self::scratch::{ADDED, PAYLOAD, RECORD, RECORDS, Scratch};
use self::sink::{Come, Sink, use_up};
use super::TlsSession;

/// What is held of handshake messages that come in pieces. rustls refuses those that are longer.
const JOINED: usize = 64 * 1024;

/// How a stream has come to its end in reading.
enum ReadEnd {
    Closed,
    Failed(Box<Error>),
}

/// One side of a connection, behind the handshake.
pub(super) struct Secured<S, C: Connection> {
    stream: S,
    protection: Protection<C>,
    session: TlsSession,
    /// What has been received and not opened.
    received: BytesMut,
    /// What has been opened and not read.
    opened: BytesMut,
    outgoing: Outgoing,
    read_end: Option<ReadEnd>,
    /// What has been received may hold whole records.
    may_open: bool,
    is_shut: bool,
}

impl<S, C: Connection> Secured<S, C> {
    pub(super) fn new(stream: S, established: Established<C>) -> Self {
        let Established {
            protection,
            session,
            received,
        } = established;
        Secured {
            stream,
            protection,
            session,
            may_open: !received.is_empty(),
            received,
            opened: BytesMut::new(),
            outgoing: Outgoing::default(),
            read_end: None,
            is_shut: false,
        }
    }

    pub(super) fn stream(&self) -> &S {
        &self.stream
    }

    pub(super) fn session(&self) -> &TlsSession {
        &self.session
    }

    fn check(&self) -> io::Result<()> {
        match &self.read_end {
            Some(ReadEnd::Failed(error)) => Err(failure(error)),
            _ => Ok(()),
        }
    }

    /// How much there may be in front of the next byte of payload for a reader with that much room, and behind it: whole records
    /// as far as that can be known, because each part of one costs a copy.
    fn read_limit(&self, room: usize) -> usize {
        let records = room.div_ceil(PAYLOAD).min(RECORDS);
        let missing = match &self.protection {
            Protection::Own(_) => RECORD,
            Protection::Rustls(_) => self.received.len() + RECORD,
        };
        (records * (PAYLOAD + ADDED)).max(missing).min(scratch::SIZE)
    }

    /// Opens what has been received before.
    fn open_received(&mut self, into: &mut ReadBuf<'_>) -> Come {
        let mut received = std::mem::take(&mut self.received);
        let mut sink = Sink {
            into: Some(into),
            opened: &mut self.opened,
            outgoing: &mut self.outgoing,
        };
        let (used, come) = self.protection.open(&mut received, &mut sink);
        use_up(&mut received, used);
        self.received = received;
        come
    }

    /// What opening has come to.
    fn settle(&mut self, come: Come) {
        self.may_open = matches!(come, Come::Full);
        self.read_end = match come {
            Come::Incomplete | Come::Full => return,
            Come::Closed => Some(ReadEnd::Closed),
            Come::Failed(error) => Some(ReadEnd::Failed(Box::new(error))),
        };
        // "Any data received after a closure alert has been received MUST be ignored." (RFC 8446, section 6.1)
        self.received = BytesMut::new();
    }

    /// Seals payload, at least a part of it.
    fn seal(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut sink = Sink {
            into: None,
            opened: &mut self.opened,
            outgoing: &mut self.outgoing,
        };
        let sealed = self.protection.seal(slices, &mut self.received, &mut sink);
        let (sealed, come) = sealed.map_err(|error| failure(&error))?;
        if let Some(come) = come {
            self.settle(come);
            self.check()?;
        }
        Ok(sealed)
    }

    fn close(&mut self) {
        let mut sink = Sink {
            into: None,
            opened: &mut self.opened,
            outgoing: &mut self.outgoing,
        };
        if let Some(come) = self.protection.close(&mut self.received, &mut sink) {
            self.settle(come);
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin, C: Connection> Secured<S, C> {
    /// Reads once, and opens what there is.
    fn poll_receive(&mut self, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<Come>> {
        let (held, limit) = (self.received.len(), self.read_limit(into.remaining()));
        let mut scratch = Scratch::default();
        let space = scratch.bytes();
        let Some(room) = space.get_mut(held..limit).filter(|room| !room.is_empty()) else {
            return Poll::Ready(Err(too_much()));
        };
        let mut read = ReadBuf::new(room);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut read))?;
        let count = read.filled().len();
        if count == 0 {
            // To a tunnel it is an end like any other: it comes from peers that have sent everything.
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the peer has closed the connection without the closing words of TLS (close_notify)",
            )));
        }
        let bytes = &mut space[..held + count];
        bytes[..held].copy_from_slice(&self.received);
        let mut sink = Sink {
            into: Some(into),
            opened: &mut self.opened,
            outgoing: &mut self.outgoing,
        };
        let (used, come) = self.protection.open(bytes, &mut sink);
        let rest = &bytes[used..];
        if rest.is_empty() {
            self.received = BytesMut::new();
        } else {
            self.received.clear();
            self.received.extend_from_slice(rest);
        }
        Poll::Ready(Ok(come))
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outgoing.poll_write(cx, &mut self.stream)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin, C: Connection> AsyncRead for Secured<S, C> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = into.filled().len();
        while into.filled().len() == before && into.remaining() > 0 {
            if !this.opened.is_empty() {
                let count = this.opened.len().min(into.remaining());
                into.put_slice(&this.opened[..count]);
                use_up(&mut this.opened, count);
                break;
            }
            this.check()?;
            if this.read_end.is_some() {
                break;
            }
            let come = match this.may_open {
                true => this.open_received(into),
                false => ready!(this.poll_receive(cx, into))?,
            };
            this.settle(come);
            if this.check().is_err() {
                // One try for the alert: the error must not wait for it.
                let _ = this.poll_send(cx);
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
        let this = self.get_mut();
        this.check()?;
        if this.is_shut {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if slices.iter().all(|slice| slice.is_empty()) {
            return Poll::Ready(Ok(0));
        }
        ready!(this.poll_send(cx))?;
        let sealed = this.seal(slices)?;
        match this.poll_send(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(sealed)),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !std::mem::replace(&mut this.is_shut, true) && this.check().is_ok() {
            this.close();
        }
        ready!(this.poll_send(cx))?;
        match ready!(Pin::new(&mut this.stream).poll_shutdown(cx)) {
            // There is nobody to notify.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Poll::Ready(Ok(())),
            done => Poll::Ready(done),
        }
    }
}

/// The payload of a record at most, by the setting of rustls' for it, which counts the header of one that is not encrypted.
pub(super) fn largest_payload(setting: Option<usize>) -> usize {
    setting.map_or(PAYLOAD, |record| record.saturating_sub(5).clamp(1, PAYLOAD))
}

/// As an error of a stream. [`TlsFailure`](super::TlsFailure) reads it there.
fn failure(error: &Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.clone())
}

fn too_much() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "the peer's handshake message is too long",
    )
}

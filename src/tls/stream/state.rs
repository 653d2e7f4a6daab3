//! What one side of a connection keeps behind the handshake, and what it does for one read or write.
//!
//! It must not know who polls: that is `mod.rs`.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::rustls::{Error, InvalidMessage, ProtocolVersion};

use super::connection::Connection;
use super::handshake::Established;
use super::outgoing::{Outgoing, poll_some};
use super::scratch::{self, HEADER, PAYLOAD, RECORD, RECORDS, Receiving};
use super::sink::{Come, Sink, use_up};
use super::{driven, failure};

/// How a stream has come to its end in reading.
pub(super) enum ReadEnd {
    Closed,
    Failed(Error),
}

/// Whether more can be written.
pub(super) enum WriteEnd {
    Open,
    Shut,
    /// Something that was sealed is not sent, and nothing may follow it.
    Failed(io::ErrorKind),
}

pub(super) struct State<C> {
    pub(super) connection: C,
    /// What has been received and not opened.
    pub(super) received: BytesMut,
    /// What has been opened and not read.
    pub(super) opened: BytesMut,
    pub(super) outgoing: Outgoing,
    pub(super) read_end: Option<ReadEnd>,
    pub(super) write_end: WriteEnd,
    /// What has been received may hold whole records.
    pub(super) may_open: bool,
    /// Who waits to write, and has to learn that it is no use.
    pub(super) writer: Option<Waker>,
}

impl<C: Connection> State<C> {
    pub(super) fn new(established: Established<C>) -> Self {
        let Established {
            connection,
            received,
            opened,
            is_closed,
        } = established;
        State {
            connection,
            // The peer's end may have come with the last of the handshake: nothing behind it counts.
            may_open: !is_closed,
            received: if is_closed { BytesMut::new() } else { received },
            opened,
            outgoing: Outgoing::default(),
            read_end: is_closed.then_some(ReadEnd::Closed),
            write_end: WriteEnd::Open,
            writer: None,
        }
    }

    pub(super) fn check(&self) -> io::Result<()> {
        match &self.read_end {
            Some(ReadEnd::Failed(error)) => Err(failure(error)),
            _ => Ok(()),
        }
    }

    pub(super) fn check_write(&self) -> io::Result<()> {
        self.check()?;
        match self.write_end {
            WriteEnd::Open => Ok(()),
            WriteEnd::Shut => Err(io::ErrorKind::BrokenPipe.into()),
            WriteEnd::Failed(kind) => Err(kind.into()),
        }
    }

    /// How much is held and read at once at most, for a reader with that much room: whole records, because each part of one costs
    /// a copy.
    fn read_limit(&self, room: usize) -> usize {
        // What a cipher adds to a record (RFC 8446, section 5.2; RFC 5288, section 3).
        let added = match self.connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => HEADER + 1 + 16,
            _ => HEADER + 8 + 16,
        };
        let records = room.div_ceil(PAYLOAD).min(RECORDS);
        (records * (PAYLOAD + added))
            .max(self.received.len() + RECORD)
            .min(scratch::SIZE)
    }

    /// Opens what has been received before.
    pub(super) fn open_received(&mut self, into: &mut ReadBuf<'_>) -> Come {
        let mut sink = Sink {
            into: Some(into),
            opened: &mut self.opened,
            outgoing: &mut self.outgoing,
        };
        let (used, come) = driven::open(&mut self.connection, &mut self.received, &mut sink);
        use_up(&mut self.received, used);
        come
    }

    /// Reads once, and opens what there is.
    pub(super) fn poll_receive<S: AsyncRead + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut S,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<Come>> {
        let limit = self.read_limit(into.remaining());
        let Some(count) = limit.checked_sub(self.received.len()).filter(|count| *count > 0) else {
            // Pieces of one message that take far more than the message. rustls has no alert for it.
            let error = InvalidMessage::HandshakePayloadTooLarge.into();
            return Poll::Ready(Ok(Come::Failed(error)));
        };
        let mut scratch = Receiving::default();
        let space = scratch.space();
        let count = count.min(space.len());
        let mut read = ReadBuf::uninit(&mut space[..count]);
        ready!(Pin::new(stream).poll_read(cx, &mut read))?;
        if read.filled().is_empty() {
            // To a tunnel it is an end like any other: it comes from peers that have sent everything.
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the peer has closed the connection without the closing words of TLS (close_notify)",
            )));
        }
        let mut rest = read.filled_mut();
        // First the record that has come in part: no byte of it is copied twice, however small the parts are.
        while !self.received.is_empty() && !rest.is_empty() {
            let (now, later) = rest.split_at_mut(missing(&self.received).min(rest.len()));
            self.received.extend_from_slice(now);
            rest = later;
            let come = self.open_received(into);
            if !matches!(come, Come::Incomplete) {
                self.received.extend_from_slice(rest);
                return Poll::Ready(Ok(come));
            }
        }
        // rustls is always shown what it has joined, and nothing without it.
        if !self.received.is_empty() {
            return Poll::Ready(Ok(Come::Incomplete));
        }
        let mut sink = Sink {
            into: Some(into),
            opened: &mut self.opened,
            outgoing: &mut self.outgoing,
        };
        let (used, come) = driven::open(&mut self.connection, rest, &mut sink);
        self.received.extend_from_slice(&rest[used..]);
        Poll::Ready(Ok(come))
    }

    /// What opening has come to.
    pub(super) fn settle(&mut self, come: Come) {
        self.may_open = matches!(come, Come::Full);
        self.read_end = match come {
            Come::Incomplete | Come::Full => return,
            Come::Closed => Some(ReadEnd::Closed),
            Come::Failed(error) => Some(ReadEnd::Failed(error)),
        };
        // "Any data received after a closure alert has been received MUST be ignored." (RFC 8446, section 6.1)
        self.received = BytesMut::new();
    }

    /// Seals payload behind what is outgoing. Says how many bytes of the buffer are sealed.
    pub(super) fn seal(&mut self, payload: &[u8], sealed: &mut Vec<u8>) -> io::Result<usize> {
        let mut sink = Sink {
            into: None,
            opened: &mut self.opened,
            outgoing: &mut self.outgoing,
        };
        let held = &mut self.received;
        let (count, come) = driven::seal(&mut self.connection, held, payload, sealed, &mut sink);
        come.into_iter().for_each(|come| self.settle(come));
        match count {
            Some(Ok(count)) => Ok(count),
            Some(Err(error)) => Err(failure(&error)),
            None => {
                self.check()?;
                Err(io::ErrorKind::InvalidData.into())
            }
        }
    }

    pub(super) fn close(&mut self) {
        let mut sink = Sink {
            into: None,
            opened: &mut self.opened,
            outgoing: &mut self.outgoing,
        };
        let come = driven::close(&mut self.connection, &mut self.received, &mut sink);
        come.into_iter().for_each(|come| self.settle(come));
    }

    /// Writes what is outgoing. Whoever waits for it learns of the end of the connection.
    pub(super) fn poll_send<S: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut S,
    ) -> Poll<io::Result<()>> {
        if let WriteEnd::Failed(kind) = self.write_end {
            return Poll::Ready(Err(kind.into()));
        }
        let sent = self.outgoing.poll_write(cx, stream);
        let sent = ready!(self.keep_writer(cx, sent));
        Poll::Ready(sent.map_err(|error| self.fail_write(error)))
    }

    /// Where the stream below is waited for: whoever waits is kept, and may be woken by what happens here.
    pub(super) fn keep_writer<T>(&mut self, cx: &Context<'_>, outcome: Poll<T>) -> Poll<T> {
        self.writer = outcome.is_pending().then(|| cx.waker().clone());
        outcome
    }

    /// One try for an alert: the error that it stands for must not wait for it.
    pub(super) fn try_send<S: AsyncWrite + Unpin>(&mut self, cx: &mut Context<'_>, stream: &mut S) {
        if let Poll::Ready(Ok(())) = self.poll_send(cx, stream) {
            let _ = Pin::new(stream).poll_flush(cx);
        }
    }

    pub(super) fn fail_write(&mut self, error: io::Error) -> io::Error {
        self.write_end = WriteEnd::Failed(error.kind());
        self.outgoing = Outgoing::default();
        error
    }

    /// Writes what has just been sealed. What is not taken at once is outgoing.
    pub(super) fn send<S: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut S,
        sealed: &[u8],
    ) -> io::Result<()> {
        let mut rest = sealed;
        while self.outgoing.is_empty() && !rest.is_empty() {
            match poll_some(cx, stream, rest) {
                Poll::Ready(Ok(count)) => rest = &rest[count..],
                Poll::Ready(Err(error)) => return Err(self.fail_write(error)),
                Poll::Pending => break,
            }
        }
        if !rest.is_empty() {
            self.outgoing.push(rest);
            if let Poll::Ready(sent) = self.poll_send(cx, stream) {
                return sent;
            }
        }
        Ok(())
    }
}

/// How many bytes there are still to come of the header, or else of the record, that these begin with. Where that record is whole, it is
/// a piece of a message that rustls joins where it stands: everything has its place behind it.
fn missing(begun: &[u8]) -> usize {
    match begun.first_chunk() {
        Some(&[_, _, _, high, low]) => {
            let end = HEADER + usize::from(u16::from_be_bytes([high, low]));
            end.checked_sub(begun.len())
                .filter(|count| *count > 0)
                .unwrap_or(usize::MAX)
        }
        None => HEADER - begun.len(),
    }
}

//! The stream that obeys the script.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::random::Random;
use super::script::{Faults, Stop};
use super::watch::{DropNote, Watch};

/// A stream that does to its user what [`Faults`] say. Without faults it passes everything through.
///
/// Writes are never vectored. Not cheap: it is made for tests.
#[derive(Debug)]
pub struct FaultyStream<S> {
    stream: S,
    faults: Faults,
    reading: Pace,
    writing: Pace,
    connection: Connection,
    /// Accepted, but not flushed to the stream yet.
    held: Vec<u8>,
    note: DropNote,
}

/// A reset is reported once, by the read or the write that finds it.
#[derive(Debug, PartialEq, Eq)]
enum Connection {
    Alive,
    /// Reads say that the stream has ended.
    ResetFoundByRead,
    /// So they do, once they have given what had arrived before.
    ResetFoundByWrite,
}

impl<S> FaultyStream<S> {
    /// Wraps a stream, at first without faults.
    pub fn new(stream: S) -> Self {
        FaultyStream {
            stream,
            faults: Faults::none(),
            reading: Pace::default(),
            writing: Pace::default(),
            connection: Connection::Alive,
            held: Vec::new(),
            note: DropNote(Watch::default()),
        }
    }

    /// Sets what goes wrong from now on, in place of what was set before.
    #[must_use]
    pub fn faults(mut self, faults: Faults) -> Self {
        self.reading.random = faults.seed.map(|seed| Random::new(seed, 1));
        self.writing.random = faults.seed.map(|seed| Random::new(seed, 2));
        self.faults = faults;
        self
    }

    /// A handle that reports what has been done with this stream.
    pub fn watch(&self) -> Watch {
        self.note.0.clone()
    }

    /// The stream inside.
    pub fn get_ref(&self) -> &S {
        &self.stream
    }

    /// The stream inside; what is done with it directly happens without faults and is not counted.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.stream
    }
}

impl<S: AsyncWrite + Unpin> FaultyStream<S> {
    fn poll_release(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.held.is_empty() {
            let count = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.held))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.held.drain(..count);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for FaultyStream<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match this.connection {
            Connection::Alive => {}
            Connection::ResetFoundByRead => return Poll::Ready(Ok(())),
            Connection::ResetFoundByWrite => {
                let before = buf.filled().len();
                let result = Pin::new(&mut this.stream).poll_read(cx, buf);
                this.note.0.note_read(buf.filled().len() - before);
                return if result.is_pending() {
                    Poll::Ready(Ok(()))
                } else {
                    result
                };
            }
        }
        ready!(this.reading.poll_start(cx, &this.faults));
        let position = this.note.0.read();
        let length = match allowance(this.faults.reading_stops, position, buf.remaining()) {
            Ok(length) => this.reading.shorten(length, this.faults.read_at_most),
            Err(Stop::Reset) => {
                this.connection = Connection::ResetFoundByRead;
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
            Err(Stop::Fail(kind)) => return Poll::Ready(Err(kind.into())),
            Err(Stop::Zero) => return Poll::Ready(Ok(())),
            Err(Stop::Stall) => return Poll::Pending,
        };
        // A buffer of its own rather than a part of the caller's: no unsafe code here.
        let mut piece = vec![0; length];
        let mut piece = ReadBuf::new(&mut piece);
        ready!(Pin::new(&mut this.stream).poll_read(cx, &mut piece))?;
        this.reading.started = false;
        buf.put_slice(piece.filled());
        this.note.0.note_read(piece.filled().len());
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for FaultyStream<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.connection != Connection::Alive {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        ready!(this.writing.poll_start(cx, &this.faults));
        let position = this.note.0.written();
        let length = match allowance(this.faults.writing_stops, position, buf.len()) {
            Ok(length) => this.writing.shorten(length, this.faults.write_at_most),
            Err(Stop::Reset) => {
                this.connection = Connection::ResetFoundByWrite;
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
            Err(Stop::Fail(kind)) => return Poll::Ready(Err(kind.into())),
            Err(Stop::Zero) => return Poll::Ready(Ok(0)),
            Err(Stop::Stall) => return Poll::Pending,
        };
        let count = if this.faults.hold_until_flush {
            this.held.extend_from_slice(&buf[..length]);
            length
        } else {
            ready!(Pin::new(&mut this.stream).poll_write(cx, &buf[..length]))?
        };
        this.writing.started = false;
        this.note.0.note_written(count);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.writing.poll_start(cx, &this.faults));
        ready!(this.poll_release(cx))?;
        ready!(Pin::new(&mut this.stream).poll_flush(cx))?;
        this.writing.started = false;
        this.note.0.note_flush();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.writing.poll_start(cx, &this.faults));
        ready!(this.poll_release(cx))?;
        if let Some(kind) = this.faults.shutdown_fails {
            return Poll::Ready(Err(kind.into()));
        }
        ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
        this.writing.started = false;
        this.note.0.note_shutdown();
        Poll::Ready(Ok(()))
    }
}

/// How far an operation of the wanted length may go before the stop, or that it is there.
fn allowance(stop: Option<(u64, Stop)>, position: u64, wanted: usize) -> Result<usize, Stop> {
    match stop {
        Some((at, stop)) if position >= at => Err(stop),
        Some((at, _)) => Ok(wanted.min(usize::try_from(at - position).unwrap_or(usize::MAX))),
        None => Ok(wanted),
    }
}

/// When one direction's operations may begin, and how long they may be.
#[derive(Debug, Default)]
struct Pace {
    random: Option<Random>,
    delay: Option<Pin<Box<Sleep>>>,
    /// The current operation has been held up enough.
    started: bool,
    hesitated: bool,
}

impl Pace {
    fn poll_start(&mut self, cx: &mut Context<'_>, faults: &Faults) -> Poll<()> {
        if self.started {
            return Poll::Ready(());
        }
        if let Some(delay) = faults.delay {
            let sleep = self
                .delay
                .get_or_insert_with(|| Box::pin(tokio::time::sleep(delay)));
            ready!(sleep.as_mut().poll(cx));
        }
        let unwilling = match &mut self.random {
            Some(random) => random.below(3) == 0,
            None => faults.hesitate && !self.hesitated,
        };
        if unwilling {
            self.hesitated = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.delay = None;
        self.hesitated = false;
        self.started = true;
        Poll::Ready(())
    }

    fn shorten(&mut self, length: usize, limit: Option<usize>) -> usize {
        let length = length.min(limit.unwrap_or(length));
        match &mut self.random {
            Some(random) if length > 0 => 1 + random.below(length),
            _ => length,
        }
    }
}

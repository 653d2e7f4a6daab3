//! A pipe: bytes go from a socket into it and out of it into another. A tunnel holds one only while bytes are in it.
//!
//! Knows sockets and the kernel's answers. It must not know directions, ends or deadlines.

mod pool;

use std::any::Any;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::task::{Context, Poll, ready};

use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use rustix::pipe::{SpliceFlags, splice};
use tokio::io::Interest;

use crate::tunnel::config::SpliceConfig;
use crate::tunnel::engine::transfer_mode::{Filled, Peeked};
use crate::tunnel::stream::socket::{self, Socket};
use pool::Loan;
pub(in crate::tunnel) use pool::tidy;

/// A pipe with bytes in it. Emptied, it goes back to the pool; dropped otherwise, it is closed.
pub(in crate::tunnel) struct Pipe {
    loan: Loan,
}

/// Whether splicing may be tried at all.
pub(in crate::tunnel) fn is_possible(splice: Option<SpliceConfig>) -> bool {
    splice.is_some()
}

/// Splices what `reader` has, at most `limit` bytes, into a pipe that is empty.
///
/// Empty, because "would block" is ambiguous otherwise: the socket may have nothing, or the pipe may have no free slot,
/// and a pipe runs out of slots long before it runs out of bytes. Taken for the socket's word, the latter would lose the
/// wake-up.
pub(in crate::tunnel) fn fill<R: Any, W: Any>(
    cx: &mut Context<'_>,
    config: SpliceConfig,
    limit: usize,
    (reader, writer): (&R, &W),
) -> io::Result<Filled<Pipe>> {
    if socket::is_behind_bytes(reader) {
        return Ok(Filled::NotNow);
    }
    let (Some(reader), Some(_)) = (Socket::of(reader), Socket::of(writer)) else {
        return Ok(Filled::Impossible);
    };
    if reader.poll_read_ready(cx)?.is_pending() {
        return Ok(Filled::Waiting);
    }
    let mut loan = match pool::borrow(config) {
        Ok(Some(loan)) => loan,
        Ok(None) => return Ok(Filled::NotNow),
        // No descriptor, no permission, no such call: bytes can still be copied.
        Err(_) => return Ok(Filled::Impossible),
    };
    let capacity = limit.min(config.pipe_capacity() as usize);
    let spliced = reader.try_io(Interest::READABLE, |socket| {
        let spliced = splice(socket, None, &loan.ends().write, None, capacity, NON_BLOCKING);
        match spliced.map_err(io::Error::from) {
            Ok(0) if has_bytes(socket)? => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && has_bytes(socket)? => Ok(None),
            spliced => spliced.map(Some),
        }
    });
    match spliced {
        // One read takes the direction past the mark.
        Ok(None) => Ok(Filled::NotNow),
        Ok(Some(0)) => Ok(Filled::End),
        Ok(Some(count)) => {
            loan.set_bytes(count);
            Ok(Filled::With(Pipe { loan }, count))
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Filled::Again),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(Filled::Again),
        Err(error) if is_refusal(&error) => Ok(Filled::Impossible),
        Err(error) => Err(error),
    }
}

/// Whether a socket has bytes that cannot be spliced: those behind a mark of urgent data, over which the kernel reads and does not splice.
/// It says that there is nothing, or that the stream has ended.
fn has_bytes(socket: BorrowedFd<'_>) -> io::Result<bool> {
    let mut byte = [0; 1];
    match recv(socket, &mut byte[..], RecvFlags::PEEK | RecvFlags::DONTWAIT) {
        Ok((_, count)) => Ok(count > 0),
        Err(Errno::AGAIN | Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Looks at what `reader` has without taking it, if it could be spliced.
pub(in crate::tunnel) fn peek<R: Any, W: Any>(
    cx: &mut Context<'_>,
    (reader, writer): (&R, &W),
    into: &mut [u8],
) -> Peeked {
    if socket::is_behind_bytes(reader) {
        return Peeked::NotNow;
    }
    let (Some(reader), Some(_)) = (Socket::of(reader), Socket::of(writer)) else {
        return Peeked::NotNow;
    };
    match reader.poll_read_ready(cx) {
        Poll::Ready(Ok(())) => {}
        Poll::Ready(Err(error)) => return Peeked::Failed(error),
        Poll::Pending => return Peeked::Waiting,
    }
    let peeked = reader.try_io(Interest::READABLE, |socket| {
        let peeked = recv(socket, into, RecvFlags::PEEK | RecvFlags::DONTWAIT);
        peeked.map(|(_, count)| count).map_err(io::Error::from)
    });
    match peeked {
        // The end is for the one that reads.
        Ok(0) => Peeked::NotNow,
        Ok(count) => Peeked::Bytes(count),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Peeked::Again,
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Peeked::Again,
        Err(error) => Peeked::Failed(error),
    }
}

/// Neither end may block. `MORE` is left out: it would hold back the end of what was sent until more comes.
const NON_BLOCKING: SpliceFlags = SpliceFlags::NONBLOCK.union(SpliceFlags::MOVE);

/// Whether the kernel says that it cannot splice here, and not that the stream has failed.
pub(in crate::tunnel) fn is_refusal(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied
    )
}

impl Pipe {
    pub(in crate::tunnel) fn is_empty(&self) -> bool {
        self.loan.bytes() == 0
    }

    /// Whether no more goes into it.
    pub(in crate::tunnel) fn is_full(&self) -> bool {
        self.loan.bytes() >= self.loan.size()
    }

    /// Splices at most `limit` bytes more into the pipe, and says how many. The reader is known to have bytes: if this would block, it
    /// is the pipe that has no slot for them.
    pub(in crate::tunnel) fn add<R: Any>(&mut self, reader: &R, limit: usize) -> io::Result<usize> {
        let room = self.loan.size().saturating_sub(self.loan.bytes());
        let Some(reader) = Socket::of(reader) else {
            return Ok(0);
        };
        let spliced = reader.with_descriptor(|socket| {
            splice(
                socket,
                None,
                &self.loan.ends().write,
                None,
                limit.min(room),
                NON_BLOCKING,
            )
        });
        let count = match spliced {
            Ok(count) => count,
            Err(Errno::AGAIN | Errno::INTR) => 0,
            Err(error) => return Err(error.into()),
        };
        self.loan.set_bytes(self.loan.bytes() + count);
        Ok(count)
    }

    /// One splice out of the pipe. The count is of the bytes that the writer has taken.
    pub(in crate::tunnel) fn poll_empty_into<W: Any>(
        &mut self,
        cx: &mut Context<'_>,
        writer: &W,
    ) -> Poll<io::Result<usize>> {
        let Some(writer) = Socket::of(writer) else {
            return Poll::Ready(Err(io::ErrorKind::Unsupported.into()));
        };
        loop {
            ready!(writer.poll_write_ready(cx))?;
            let bytes = self.loan.bytes();
            // The pipe is not empty, so if this would block it is the socket that does.
            let spliced = writer.try_io(Interest::WRITABLE, |socket| {
                let spliced = splice(&self.loan.ends().read, None, socket, None, bytes, NON_BLOCKING);
                spliced.map_err(io::Error::from)
            });
            match spliced {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(count) => {
                    self.loan.set_bytes(bytes - count);
                    return Poll::Ready(Ok(count));
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// One splice out of the pipe, whether or not the runtime takes the writer for ready. The count is of the bytes that it has taken.
    pub(in crate::tunnel) fn empty_now<W: Any>(&mut self, writer: &W) -> usize {
        let Some(writer) = Socket::of(writer) else {
            return 0;
        };
        let bytes = self.loan.bytes();
        let ends = self.loan.ends();
        let spliced =
            writer.with_descriptor(|socket| splice(&ends.read, None, socket, None, bytes, NON_BLOCKING));
        // What has failed fails for the runtime too.
        let count = spliced.unwrap_or(0);
        self.loan.set_bytes(bytes - count);
        count
    }

    /// Takes the bytes out of the pipe, where they cannot be spliced out of it.
    pub(in crate::tunnel) fn take_out(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; self.loan.bytes()];
        let mut filled = 0;
        while filled < bytes.len() {
            match rustix::io::read(&self.loan.ends().read, &mut bytes[filled..])? {
                0 => break,
                count => filled += count,
            }
        }
        bytes.truncate(filled);
        self.loan.set_bytes(0);
        Ok(bytes)
    }
}

/// The two ends of a pipe.
struct Ends {
    read: OwnedFd,
    write: OwnedFd,
}

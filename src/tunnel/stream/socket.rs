//! Which streams are plain sockets, and how such a socket is made to end in a reset.
//!
//! Decided by type alone, never by whether a file descriptor can be had: TLS streams lend theirs too, and a socket
//! operation on it would go around the encryption. Knows nothing of directions or deadlines.

use std::any::Any;
#[cfg(all(target_os = "linux", feature = "splice"))]
use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    task::{Context, Poll},
};

#[cfg(all(target_os = "linux", feature = "splice"))]
use rustix::net::{SendFlags, send};
#[cfg(all(target_os = "linux", feature = "splice"))]
use tokio::io::Interest;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;

use crate::tunnel::stream::any::{AnyStream, Kind};
use crate::tunnel::{Counted, Rewind};

/// A stream that a tunnel can carry.
pub(in crate::tunnel) trait Carried: AsyncRead + AsyncWrite + Unpin + Any {}
impl<S: AsyncRead + AsyncWrite + Unpin + Any> Carried for S {}

/// Whether dropping the stream is an orderly end of it, as closing a socket is.
pub(in crate::tunnel) fn is_plain<S: Any>(stream: &S) -> bool {
    tcp(stream).is_some() || is_unix(stream)
}

/// Whether [`reset_on_drop`] can make the peer see a reset.
pub(in crate::tunnel) fn can_reset<S: Any>(stream: &S) -> bool {
    tcp(stream).is_some()
}

/// Makes the peer of a plain TCP socket see a reset, not an orderly end, when the socket is dropped.
///
/// Discards what the kernel has not sent yet.
pub(crate) fn reset_on_drop<S: Any>(stream: &S) {
    if let Some(tcp) = tcp(stream) {
        // Fails only on a socket that is no longer connected, and then there is no peer to notify.
        let _ = tcp.set_zero_linger();
    }
}

/// Waits until the peer of a plain TCP socket has ended its write side, even if bytes before that are still unread.
/// Any other stream shows it on a read alone, so this never completes.
#[cfg(feature = "gateway")]
pub(crate) async fn read_closed<S: Any>(stream: &mut S) {
    // The interest that is met by the end of the stream and not by bytes. Only Linux has it.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Some(tcp) = tcp(stream) {
        if tcp.ready(tokio::io::Interest::PRIORITY).await.is_ok() {
            return;
        }
    }
    std::future::pending().await
}

/// Whether something has arrived on a plain socket, bytes or its end, that nobody has read: by a call of the system, because the runtime
/// may not have been notified yet. False for any other stream, of which that is not known.
#[cfg(feature = "hyper")]
pub(crate) fn has_unread<S: Any>(stream: &S) -> bool {
    let mut byte = [std::mem::MaybeUninit::uninit()];
    let mut peek = |socket: socket2::SockRef<'_>| match socket.peek(&mut byte) {
        Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
        Ok(_) => true,
    };
    if let Some(tcp) = tcp(stream) {
        return peek(tcp.into());
    }
    #[cfg(unix)]
    if let Some(unix) = unix(stream) {
        return peek(unix.into());
    }
    false
}

/// The stream itself, where it is counted.
fn uncounted<S: Any>(stream: &S) -> &dyn Any {
    let any: &dyn Any = stream;
    if let Some(counted) = any.downcast_ref::<Counted<AnyStream>>() {
        return counted.get_ref();
    }
    if let Some(counted) = any.downcast_ref::<Counted<TcpStream>>() {
        return counted.get_ref();
    }
    #[cfg(unix)]
    if let Some(counted) = any.downcast_ref::<Counted<UnixStream>>() {
        return counted.get_ref();
    }
    any
}

fn tcp<S: Any>(stream: &S) -> Option<&TcpStream> {
    let any = uncounted(stream);
    if let Some(AnyStream(kind)) = any.downcast_ref() {
        return match kind {
            Kind::Tcp(tcp) => Some(tcp),
            _ => None,
        };
    }
    any.downcast_ref::<TcpStream>()
        .or_else(|| any.downcast_ref::<Rewind<TcpStream>>().map(Rewind::get_ref))
}

#[cfg(unix)]
fn unix<S: Any>(stream: &S) -> Option<&UnixStream> {
    let any = uncounted(stream);
    if let Some(AnyStream(kind)) = any.downcast_ref() {
        return match kind {
            Kind::Unix(unix) => Some(unix),
            _ => None,
        };
    }
    any.downcast_ref::<UnixStream>()
        .or_else(|| any.downcast_ref::<Rewind<UnixStream>>().map(Rewind::get_ref))
}

#[cfg(unix)]
fn is_unix<S: Any>(stream: &S) -> bool {
    unix(stream).is_some()
}

#[cfg(not(unix))]
fn is_unix<S: Any>(_stream: &S) -> bool {
    false
}

/// Whether bytes stand in front of the socket that are still to be read.
#[cfg(all(target_os = "linux", feature = "splice"))]
pub(in crate::tunnel) fn is_behind_bytes<S: Any>(stream: &S) -> bool {
    let any: &dyn Any = stream;
    any.downcast_ref::<Rewind<TcpStream>>()
        .is_some_and(|rewind| !rewind.front().is_empty())
        || any
            .downcast_ref::<Rewind<UnixStream>>()
            .is_some_and(|rewind| !rewind.front().is_empty())
}

/// Writes to a plain socket, whether or not the runtime takes it for ready. The count is of the bytes that it has taken.
///
/// The kernel notifies the runtime of room when a third of the socket's buffer is free, which may be 1.4 MB. A reader of 20 KB a second takes
/// bytes all the time, and needs more than a minute for that.
#[cfg(all(target_os = "linux", feature = "splice"))]
pub(in crate::tunnel) fn write_now<W: Any>(writer: &W, bytes: &[u8]) -> usize {
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    let socket = Socket::of(writer).filter(|_| !bytes.is_empty());
    let sent = socket.map(|socket| socket.with_descriptor(|descriptor| send(descriptor, bytes, flags)));
    // What has failed fails for the runtime too.
    sent.and_then(Result::ok).unwrap_or(0)
}

/// It is not known here how: the stream takes what the runtime gives it.
#[cfg(not(all(target_os = "linux", feature = "splice")))]
pub(in crate::tunnel) fn write_now<W: Any>(_writer: &W, _bytes: &[u8]) -> usize {
    0
}

/// A plain socket that may be read and written by its descriptor.
#[cfg(all(target_os = "linux", feature = "splice"))]
#[derive(Clone, Copy)]
pub(in crate::tunnel) enum Socket<'a> {
    Tcp(&'a TcpStream),
    Unix(&'a UnixStream),
}

#[cfg(all(target_os = "linux", feature = "splice"))]
impl<'a> Socket<'a> {
    /// The socket that the stream is, if it is one.
    pub(in crate::tunnel) fn of<S: Any>(stream: &'a S) -> Option<Self> {
        tcp(stream)
            .map(Socket::Tcp)
            .or_else(|| unix(stream).map(Socket::Unix))
    }

    pub(in crate::tunnel) fn poll_read_ready(self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Socket::Tcp(socket) => socket.poll_read_ready(cx),
            Socket::Unix(socket) => socket.poll_read_ready(cx),
        }
    }

    pub(in crate::tunnel) fn poll_write_ready(self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Socket::Tcp(socket) => socket.poll_write_ready(cx),
            Socket::Unix(socket) => socket.poll_write_ready(cx),
        }
    }

    /// Calls `operation` with the descriptor. If it would block, the runtime takes the socket for not ready until
    /// the kernel says otherwise: it must be the socket that blocks, and nothing else.
    pub(in crate::tunnel) fn try_io<T>(
        self,
        interest: Interest,
        operation: impl FnOnce(BorrowedFd<'_>) -> io::Result<T>,
    ) -> io::Result<T> {
        match self {
            Socket::Tcp(socket) => socket.try_io(interest, || operation(socket.as_fd())),
            Socket::Unix(socket) => socket.try_io(interest, || operation(socket.as_fd())),
        }
    }

    /// Calls `operation` with the descriptor, whatever comes of it. The runtime is not notified if it would block.
    pub(in crate::tunnel) fn with_descriptor<T>(self, operation: impl FnOnce(BorrowedFd<'_>) -> T) -> T {
        match self {
            Socket::Tcp(socket) => operation(socket.as_fd()),
            Socket::Unix(socket) => operation(socket.as_fd()),
        }
    }
}

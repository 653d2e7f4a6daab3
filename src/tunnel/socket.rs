//! The law of which streams are plain sockets, and how such a socket is made to end in a reset.
//!
//! Decided by type alone, never by whether a file descriptor can be had: TLS streams lend theirs too, and a socket
//! operation on it would go around the encryption. Knows nothing of directions or deadlines.

use std::any::Any;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::Rewind;

/// A stream that a tunnel can carry.
pub(super) trait Carried: AsyncRead + AsyncWrite + Unpin + Any {}
impl<S: AsyncRead + AsyncWrite + Unpin + Any> Carried for S {}

/// Whether dropping the stream is an orderly end of it, as closing a socket is.
pub(super) fn is_plain<S: Any>(stream: &S) -> bool {
    tcp(stream).is_some() || is_unix(stream)
}

/// Whether [`reset_on_drop`] can make the peer see a reset.
pub(super) fn can_reset<S: Any>(stream: &S) -> bool {
    tcp(stream).is_some()
}

/// Makes the peer of a plain TCP socket see a reset, not an orderly end, when the socket is dropped.
///
/// Discards what the kernel has not sent yet.
pub(crate) fn reset_on_drop<S: Any>(stream: &S) {
    if let Some(tcp) = tcp(stream) {
        // Fails only on a socket that is no longer connected, and then there is no one to tell.
        let _ = tcp.set_zero_linger();
    }
}

/// Waits until the peer of a plain TCP socket has ended its write side, even if bytes before that are still unread.
/// Of any other stream only a read can tell, so this never completes.
#[cfg(feature = "gateway")]
pub(crate) async fn read_closed<S: Any>(stream: &S) {
    // The interest that is met by the end of the stream and not by bytes. Only Linux has it.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Some(tcp) = tcp(stream) {
        if tcp.ready(tokio::io::Interest::PRIORITY).await.is_ok() {
            return;
        }
    }
    std::future::pending().await
}

fn tcp<S: Any>(stream: &S) -> Option<&TcpStream> {
    let any: &dyn Any = stream;
    any.downcast_ref::<TcpStream>()
        .or_else(|| any.downcast_ref::<Rewind<TcpStream>>().map(Rewind::get_ref))
}

#[cfg(unix)]
fn is_unix<S: Any>(stream: &S) -> bool {
    let any: &dyn Any = stream;
    any.is::<tokio::net::UnixStream>() || any.is::<Rewind<tokio::net::UnixStream>>()
}

#[cfg(not(unix))]
fn is_unix<S: Any>(_stream: &S) -> bool {
    false
}

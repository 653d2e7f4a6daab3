//! The streams that TLS is spoken on, on either side.

use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::rustls::client::UnbufferedClientConnection;
use tokio_rustls::rustls::server::UnbufferedServerConnection;

use super::TlsSession;
use super::stream::{Established, Secured};

/// TLS on a connection from a client: what [`TlsAcceptor::accept`](super::TlsAcceptor::accept) has made of it.
///
/// It holds no buffer while nothing waits in it: what it reads and opens goes through one buffer of each thread, and what it seals is
/// written at once. A flush writes what the connection below has not taken. `shutdown` sends `close_notify` and ends the
/// write side; reading goes on.
///
/// # Errors
///
/// Reading ends with [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) where the peer has closed without `close_notify`: what has been read
/// is whole only if the protocol says so itself. What breaks the rules of TLS is [`InvalidData`](io::ErrorKind::InvalidData), with the
/// [`rustls::Error`](super::rustls::Error) within: [`TlsFailure::of`](super::TlsFailure::of) reads it. The peer has been sent the alert.
///
/// # Cancel safety
///
/// Reads and writes are cancel safe. Payload counts as written when it is sealed.
pub struct ServerStream<S>(Secured<S, UnbufferedServerConnection>);

/// TLS on a connection to an upstream: what [`TlsConnect`](super::TlsConnect) makes. As [`ServerStream`], with the sides exchanged.
pub struct ClientStream<S>(Secured<S, UnbufferedClientConnection>);

macro_rules! stream {
    ($name:ident, $connection:ty) => {
        impl<S> $name<S> {
            pub(super) fn new(stream: S, established: Established<$connection>) -> Self {
                $name(Secured::new(stream, established))
            }

            /// The connection below, and what the handshake has come to.
            ///
            /// What is read from the connection or written to it by other ways breaks the encryption.
            pub fn get_ref(&self) -> (&S, &TlsSession) {
                (self.0.stream(), self.0.session())
            }

            /// What the handshake has come to: the protocol, the name, the certificates.
            pub fn session(&self) -> &TlsSession {
                self.0.session()
            }
        }

        impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for $name<S> {
            fn poll_read(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                into: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                Pin::new(&mut self.0).poll_read(cx, into)
            }
        }

        impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for $name<S> {
            fn poll_write(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bytes: &[u8],
            ) -> Poll<io::Result<usize>> {
                Pin::new(&mut self.0).poll_write(cx, bytes)
            }

            fn poll_write_vectored(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                slices: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                Pin::new(&mut self.0).poll_write_vectored(cx, slices)
            }

            fn is_write_vectored(&self) -> bool {
                true
            }

            fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Pin::new(&mut self.0).poll_flush(cx)
            }

            fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Pin::new(&mut self.0).poll_shutdown(cx)
            }
        }

        impl<S: fmt::Debug> fmt::Debug for $name<S> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name))
                    .field("stream", self.0.stream())
                    .field("session", self.0.session())
                    .finish_non_exhaustive()
            }
        }
    };
}

stream!(ServerStream, UnbufferedServerConnection);
stream!(ClientStream, UnbufferedClientConnection);

//! The streams that TLS is spoken on, on either side.

use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::rustls::CommonState;
use tokio_rustls::rustls::client::UnbufferedClientConnection;
use tokio_rustls::rustls::server::UnbufferedServerConnection;

use super::stream::{Established, Secured};

/// TLS on a connection from a client: what [`TlsAcceptor::accept`](super::TlsAcceptor::accept) has made of it.
///
/// It holds no buffer while nothing waits in it: what it reads and opens goes through one buffer of each thread, and what it seals
/// is written at once. A flush writes what the connection below has not taken. `shutdown` sends `close_notify` and ends the
/// write side; reading goes on.
///
/// # Errors
///
/// Reading ends with [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) where the peer has closed without `close_notify`: what has been
/// read is whole only if the protocol says so itself. What breaks the rules of TLS is [`InvalidData`](io::ErrorKind::InvalidData), with
/// the [`rustls::Error`](super::rustls::Error) within: [`TlsFailure::of`](super::TlsFailure::of) reads it. The peer has been sent the
/// alert. After an error in writing, each write fails: what was sealed is not sent, or not whole.
///
/// # Cancel safety
///
/// Reads and writes are cancel safe. Payload counts as written when it is sealed.
pub struct ServerStream<S> {
    secured: Secured<S, UnbufferedServerConnection>,
    server_name: Option<Box<str>>,
}

impl<S> ServerStream<S> {
    pub(super) fn new(
        stream: S,
        established: Established<UnbufferedServerConnection>,
        server_name: Option<Box<str>>,
    ) -> Self {
        ServerStream {
            secured: Secured::new(stream, established),
            server_name,
        }
    }

    /// The name that the client has asked for (SNI; RFC 6066, section 3), in lower case. It is what the client says, and need not be
    /// the `Host` of any of its requests.
    #[must_use]
    pub fn server_name(&self) -> Option<&str> {
        self.server_name.as_deref()
    }
}

/// TLS on a connection to an upstream: what [`TlsConnect`](super::TlsConnect) makes. As [`ServerStream`], with the sides exchanged.
pub struct ClientStream<S> {
    secured: Secured<S, UnbufferedClientConnection>,
}

impl<S> ClientStream<S> {
    pub(super) fn new(stream: S, established: Established<UnbufferedClientConnection>) -> Self {
        ClientStream {
            secured: Secured::new(stream, established),
        }
    }
}

macro_rules! stream {
    ($name:ident) => {
        impl<S> $name<S> {
            /// The connection below, and what the handshake has come to: the protocol, the version, the certificates of the peer.
            ///
            /// What is read from the connection or written to it by other ways breaks the encryption.
            #[must_use]
            pub fn get_ref(&self) -> (&S, &CommonState) {
                (self.secured.stream(), self.secured.session())
            }
        }

        impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for $name<S> {
            fn poll_read(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                into: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                Pin::new(&mut self.secured).poll_read(cx, into)
            }
        }

        impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for $name<S> {
            fn poll_write(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bytes: &[u8],
            ) -> Poll<io::Result<usize>> {
                Pin::new(&mut self.secured).poll_write(cx, bytes)
            }

            fn poll_write_vectored(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                slices: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                Pin::new(&mut self.secured).poll_write_vectored(cx, slices)
            }

            fn is_write_vectored(&self) -> bool {
                true
            }

            fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Pin::new(&mut self.secured).poll_flush(cx)
            }

            fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Pin::new(&mut self.secured).poll_shutdown(cx)
            }
        }

        impl<S: fmt::Debug> fmt::Debug for $name<S> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let (stream, session) = self.get_ref();
                f.debug_struct(stringify!($name))
                    .field("stream", stream)
                    .field("protocol_version", &session.protocol_version())
                    .finish_non_exhaustive()
            }
        }
    };
}

stream!(ServerStream);
stream!(ClientStream);

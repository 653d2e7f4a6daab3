//! A stream of one of several kinds, which is still the plain socket that it may be.
//!
//! A caller whose connections are sometimes encrypted and sometimes not has one type for them here, and loses nothing
//! of what the tunnel does with plain sockets. Knows nothing of what the other kinds are.

use std::any::Any;
use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;

/// Any stream: a TCP socket as it is, everything else in a box. No larger than a TCP socket.
///
/// ```
/// use switchover::tunnel::{AnyStream, Tunnel};
/// # async fn doc(tls: bool, socket: tokio::net::TcpStream, encrypted: tokio::io::DuplexStream, backend: tokio::net::TcpStream)
/// # -> Result<(), switchover::tunnel::TunnelError> {
///
/// let client = if tls { AnyStream::new(encrypted) } else { AnyStream::new(socket) };
/// let traffic = Tunnel::new(client, backend).run().await?;
/// # Ok(())
/// # }
/// ```
pub struct AnyStream(pub(in crate::tunnel) Kind);

pub(in crate::tunnel) enum Kind {
    Tcp(TcpStream),
    /// Boxed, so that it fits beside the tag that a TCP socket has room for: every tunnel carries two of these.
    #[cfg(unix)]
    Unix(Box<UnixStream>),
    Other(Box<dyn Stream>),
}

pub(in crate::tunnel) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {
    #[cfg(all(feature = "hyper", feature = "rustls"))]
    fn as_any(&self) -> &dyn Any;
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Stream for S {
    #[cfg(all(feature = "hyper", feature = "rustls"))]
    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl AnyStream {
    /// Takes a stream. A [`TcpStream`], a `UnixStream` and an `AnyStream` are found out by their types, and stay what they
    /// are.
    pub fn new<S>(stream: S) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut stream = Some(stream);
        let any: &mut dyn Any = &mut stream;
        if let Some(tcp) = any.downcast_mut::<Option<TcpStream>>().and_then(Option::take) {
            return AnyStream(Kind::Tcp(tcp));
        }
        #[cfg(unix)]
        if let Some(unix) = any.downcast_mut::<Option<UnixStream>>().and_then(Option::take) {
            return AnyStream(Kind::Unix(Box::new(unix)));
        }
        if let Some(already) = any.downcast_mut::<Option<AnyStream>>().and_then(Option::take) {
            return already;
        }
        match stream {
            Some(stream) => AnyStream(Kind::Other(Box::new(stream))),
            None => unreachable!("what is taken out has been returned"),
        }
    }

    /// Whether it is a plain socket, which a tunnel may splice.
    pub fn is_plain(&self) -> bool {
        !matches!(self.0, Kind::Other(_))
    }

    /// The stream in the box, if it is no plain socket.
    #[cfg(all(feature = "hyper", feature = "rustls"))]
    pub(crate) fn boxed(&self) -> Option<&dyn Any> {
        match &self.0 {
            Kind::Other(other) => Some((**other).as_any()),
            _ => None,
        }
    }
}

/// The stream itself, whichever it is: a TCP socket without a call through a table.
macro_rules! each {
    ($any:expr, $stream:ident => $call:expr) => {
        match &mut $any.get_mut().0 {
            Kind::Tcp($stream) => $call,
            #[cfg(unix)]
            Kind::Unix($stream) => $call,
            Kind::Other($stream) => $call,
        }
    };
}

impl From<TcpStream> for AnyStream {
    fn from(stream: TcpStream) -> Self {
        AnyStream(Kind::Tcp(stream))
    }
}

#[cfg(unix)]
impl From<UnixStream> for AnyStream {
    fn from(stream: UnixStream) -> Self {
        AnyStream(Kind::Unix(Box::new(stream)))
    }
}

impl AsyncRead for AnyStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_read(cx, into))
    }
}

impl AsyncWrite for AnyStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        each!(self, stream => Pin::new(stream).poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self, stream => Pin::new(stream).poll_write_vectored(cx, bytes))
    }

    fn is_write_vectored(&self) -> bool {
        match &self.0 {
            Kind::Tcp(tcp) => tcp.is_write_vectored(),
            #[cfg(unix)]
            Kind::Unix(unix) => unix.is_write_vectored(),
            Kind::Other(other) => other.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}

impl fmt::Debug for AnyStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.0 {
            Kind::Tcp(_) => "Tcp",
            #[cfg(unix)]
            Kind::Unix(_) => "Unix",
            Kind::Other(_) => "Other",
        };
        f.debug_tuple("AnyStream").field(&kind).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_no_larger_than_a_tcp_socket() {
        assert_eq!(size_of::<AnyStream>(), size_of::<TcpStream>());
    }
}

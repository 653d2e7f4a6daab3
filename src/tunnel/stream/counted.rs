//! A stream that a cap counts for as long as it exists, and that stays what it is.
//!
//! Knows one stream and its permit, no tunnel.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, ReadBuf};

use crate::tunnel::Permit;

pin_project! {
    /// A stream that holds a [`Permit`] until it is dropped: one of those that a [`Cap`](crate::tunnel::Cap) counts, however it
    /// ends.
    ///
    /// What a connector returns that counts its connections. It is 8 bytes larger than the stream and costs nothing for each
    /// byte; a plain socket in it, or a plain [`AnyStream`](crate::tunnel::AnyStream), is spliced as it would be without. Count last:
    /// inside of another wrapper it is a stream like any other.
    ///
    /// ```
    /// use switchover::tunnel::{Cap, Counted};
    ///
    /// let tunnels = Cap::new(100);
    /// let (stream, _peer) = tokio::io::duplex(64);
    /// let stream = Counted::new(stream, tunnels.try_acquire());
    /// assert_eq!(tunnels.open(), 1);
    /// drop(stream);
    /// assert_eq!(tunnels.open(), 0);
    /// ```
    pub struct Counted<S> {
        #[pin]
        stream: S,
        // Second: there is room for another when this one is closed.
        permit: Option<Permit>,
    }
}

impl<S> Counted<S> {
    /// Counts a stream. Without a permit it is one that is not counted.
    pub fn new(stream: S, permit: impl Into<Option<Permit>>) -> Self {
        Counted {
            stream,
            permit: permit.into(),
        }
    }

    /// The stream, and its permit.
    pub fn into_parts(self) -> (S, Option<Permit>) {
        (self.stream, self.permit)
    }

    /// The stream.
    pub fn get_ref(&self) -> &S {
        &self.stream
    }

    /// The stream.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.stream
    }
}

impl<S: AsyncRead> AsyncRead for Counted<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.project().stream.poll_read(cx, into)
    }
}

write_through!(Counted);

impl<S: fmt::Debug> fmt::Debug for Counted<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Counted")
            .field("stream", &self.stream)
            .field("is_counted", &self.permit.is_some())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpStream;

    use super::*;

    #[test]
    fn it_is_a_pointer_larger_than_its_stream() {
        assert_eq!(size_of::<Counted<TcpStream>>(), size_of::<TcpStream>() + 8);
    }
}

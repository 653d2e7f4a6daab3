//! Bytes that were read too early go back in front of the stream that they came from.
//!
//! Knows one stream, no tunnel.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, ReadBuf};

use crate::tunnel::engine::Timer;

pin_project! {
    /// A stream with bytes put back in front of its reads.
    ///
    /// A parser of a head reads a little too far; what belongs to the next reader goes back here. Once the bytes
    /// are drained their buffer is freed, and reads cost one check of a length. Writes pass through.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use switchover::tunnel::Rewind;
    /// use tokio::io::{AsyncReadExt, AsyncWriteExt};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// let (mut client, stream) = tokio::io::duplex(64);
    /// client.write_all(b", world").await?;
    /// drop(client);
    ///
    /// let mut stream = Rewind::new(stream, Bytes::from_static(b"hello"));
    /// let mut text = String::new();
    /// stream.read_to_string(&mut text).await?;
    /// assert_eq!(text, "hello, world");
    /// # Ok(())
    /// # }
    /// ```
    #[derive(Debug)]
    pub struct Rewind<S> {
        #[pin]
        stream: S,
        front: Bytes,
        // How many of the bytes in front belong together, by those who have put them there. Zero if that is not known.
        measure: u32,
        // For the deadlines of whoever reads next.
        timer: Timer,
    }
}

impl<S> Rewind<S> {
    /// Puts `front` before what `stream` will give. It may be empty.
    pub fn new(stream: S, front: Bytes) -> Self {
        Rewind {
            stream,
            front,
            measure: 0,
            timer: Timer::default(),
        }
    }

    /// With the timer of those who have read before.
    #[cfg(feature = "gateway")]
    pub(crate) fn timed(mut self, timer: Timer) -> Self {
        self.timer = timer;
        self
    }

    /// The timer of those who have read before.
    #[cfg(feature = "gateway")]
    pub(crate) fn take_timer(&mut self) -> Timer {
        std::mem::take(&mut self.timer)
    }

    /// As [`new`](Rewind::new), where so many of the bytes belong together.
    #[cfg(feature = "gateway")]
    pub(crate) fn measured(stream: S, front: Bytes, measure: usize) -> Self {
        let mut rewind = Rewind::new(stream, front);
        rewind.measure = u32::try_from(measure).unwrap_or_default();
        rewind
    }

    /// How many bytes in front belong together, as long as none of them has been read.
    #[cfg(feature = "gateway")]
    #[cfg_attr(not(feature = "hyper"), allow(dead_code))]
    pub(crate) fn measure(&self) -> Option<usize> {
        let measure = usize::try_from(self.measure).ok()?;
        Some(measure).filter(|measure| (1..=self.front.len()).contains(measure))
    }

    /// The stream, and the bytes in front of it that have not been read.
    pub fn into_parts(self) -> (S, Bytes) {
        (self.stream, self.front)
    }

    /// The bytes in front that have not been read.
    pub fn front(&self) -> &[u8] {
        &self.front
    }

    /// The stream behind the bytes.
    pub fn get_ref(&self) -> &S {
        &self.stream
    }

    /// The stream behind the bytes. Reading from it directly overtakes them.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.stream
    }
}

impl<S: AsyncRead> AsyncRead for Rewind<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.project();
        if this.front.is_empty() {
            return this.stream.poll_read(cx, buf);
        }
        *this.measure = 0;
        let length = this.front.len().min(buf.remaining());
        buf.put_slice(&this.front[..length]);
        this.front.advance(length);
        if this.front.is_empty() {
            // An empty `Bytes` still holds on to the whole buffer that it was cut from.
            *this.front = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

write_through!(Rewind);

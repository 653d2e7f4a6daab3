//! Floor 4: bytes on and off a stream, outside the tunnel: every wait with a deadline, nothing held while waiting.
//!
//! Knows no HTTP.

use std::future::{Future, poll_fn};
use std::io;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout, timeout_at};

/// The most that one read takes.
const READ_SIZE: usize = 8 * 1024;

/// How long the other side gets to read an answer and close (RFC 9112, section 9.6): without a byte, and while it is still sending
/// what it had begun to send. And how much that may be.
const SILENCE: Duration = Duration::from_secs(2);
const LINGER: Duration = Duration::from_secs(10);
const LINGER_BYTES: usize = 64 * 1024 * 1024;

/// Reads what there is, at most `limit` bytes, onto the end of `buffer`. Zero is the end of the stream.
///
/// `buffer` grows when bytes are there, not before: a connection that says nothing costs no memory.
pub(crate) async fn read_some<S: AsyncRead + Unpin>(
    stream: &mut S,
    buffer: &mut BytesMut,
    limit: usize,
) -> io::Result<usize> {
    poll_fn(|cx| poll_read_some(cx, stream, buffer, limit)).await
}

/// As [`read_some`].
pub(crate) fn poll_read_some<S: AsyncRead + Unpin>(
    cx: &mut Context<'_>,
    stream: &mut S,
    buffer: &mut BytesMut,
    limit: usize,
) -> Poll<io::Result<usize>> {
    let mut space = [const { MaybeUninit::uninit() }; READ_SIZE];
    let mut read = ReadBuf::uninit(&mut space[..limit.min(READ_SIZE)]);
    let outcome = Pin::new(stream).poll_read(cx, &mut read);
    ready!(again(cx, outcome))?;
    buffer.extend_from_slice(read.filled());
    Poll::Ready(Ok(read.filled().len()))
}

/// What a call of a stream has come to. One that a signal has interrupted has done nothing, and is made again at the task's next turn.
pub(crate) fn again<T>(cx: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
    match outcome {
        Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {
            cx.waker().wake_by_ref();
            Poll::Pending
        }
        other => other,
    }
}

/// What a stream has to say right now, without waiting: `None` where it is silent, else the count of bytes read.
pub(crate) async fn read_already<S: AsyncRead + Unpin>(stream: &mut S) -> Option<io::Result<usize>> {
    let mut byte = BytesMut::new();
    match at_once(pin!(read_some(stream, &mut byte, 1))).await {
        Poll::Ready(result) => Some(result),
        Poll::Pending => None,
    }
}

/// What the future comes to, unless the deadline passes first. Nobody asks for that where there is nothing to wait for.
pub(crate) async fn by<F: Future>(
    deadline: impl FnOnce() -> Instant,
    mut future: Pin<&mut F>,
) -> Result<F::Output, Elapsed> {
    match at_once(future.as_mut()).await {
        Poll::Ready(output) => Ok(output),
        Poll::Pending => timeout_at(deadline(), future).await,
    }
}

/// Writes all bytes; `limit` is for all of them.
pub(crate) async fn write_all<S: AsyncWrite + Unpin>(
    stream: &mut S,
    mut bytes: &[u8],
    limit: Duration,
) -> io::Result<()> {
    let written = pin!(poll_fn(|cx| poll_write_all(cx, stream, &mut bytes)));
    within(limit, written).await
}

/// Writes all bytes, and flushes. `bytes` are those that are left.
pub(crate) fn poll_write_all<S: AsyncWrite + Unpin>(
    cx: &mut Context<'_>,
    stream: &mut S,
    bytes: &mut &[u8],
) -> Poll<io::Result<()>> {
    while !bytes.is_empty() {
        let outcome = Pin::new(&mut *stream).poll_write(cx, bytes);
        match ready!(again(cx, outcome))? {
            0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            count => *bytes = &bytes[count..],
        }
    }
    let outcome = Pin::new(stream).poll_flush(cx);
    again(cx, outcome)
}

/// Writes all bytes; `limit` is for each wait until the stream takes more of them.
pub(crate) async fn write_on<S: AsyncWrite + Unpin>(
    stream: &mut S,
    mut bytes: &[u8],
    limit: Duration,
) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = pin!(poll_fn(|cx| {
            let outcome = Pin::new(&mut *stream).poll_write(cx, bytes);
            again(cx, outcome)
        }));
        match within(limit, written).await? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            count => bytes = &bytes[count..],
        }
    }
    write_all(stream, bytes, limit).await
}

async fn within<T>(
    limit: Duration,
    mut future: Pin<&mut impl Future<Output = io::Result<T>>>,
) -> io::Result<T> {
    match at_once(future.as_mut()).await {
        Poll::Ready(result) => result,
        Poll::Pending => timeout(limit, future)
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())),
    }
}

/// What the future has come to without waiting. A deadline, which takes a timer and a look at the clock, is for what is pending.
pub(crate) async fn at_once<F: Future>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}

/// Ends a connection after its last response so that the peer gets to read that response.
///
/// Closing a socket with bytes unread sends a reset, which throws away what the peer has not read yet. So the write
/// side ends first, and what still comes is discarded for a while (RFC 9112, section 9.6). A client in the middle of a large body
/// reads the answer when it has sent that.
pub(crate) async fn close<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) {
    let closing = async {
        poll_fn(|cx| {
            let outcome = Pin::new(&mut *stream).poll_shutdown(cx);
            again(cx, outcome)
        })
        .await?;
        let mut discarded = BytesMut::new();
        let mut left = LINGER_BYTES;
        while left > 0 {
            discarded.clear();
            match timeout(SILENCE, read_some(stream, &mut discarded, READ_SIZE)).await {
                Ok(Ok(count @ 1..)) => left = left.saturating_sub(count),
                Ok(Ok(0)) | Err(_) => break,
                Ok(Err(error)) => return Err(error),
            }
        }
        io::Result::Ok(())
    };
    // Whether the peer has read it or not, the connection ends here.
    let _ = timeout(LINGER, closing).await;
}

/// What ended first.
pub(crate) enum First<A, B> {
    Left(A),
    Right(B),
}

/// Waits for whichever ends first; the left one where both have.
///
/// Takes what is pinned already: an `async fn` that took the futures by value would hold each of them twice.
pub(crate) fn first<A: Future, B: Future>(
    mut left: Pin<&mut A>,
    mut right: Pin<&mut B>,
) -> impl Future<Output = First<A::Output, B::Output>> {
    poll_fn(move |cx| {
        if let Poll::Ready(output) = left.as_mut().poll(cx) {
            return Poll::Ready(First::Left(output));
        }
        right.as_mut().poll(cx).map(First::Right)
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

    use super::*;

    /// Is interrupted at every second call of a kind, as a stream of a caller's own may be by a signal, and takes a little each time.
    pub(crate) struct Signals {
        stream: DuplexStream,
        /// By what is to be done: to read, to write, to flush, to shut down. None: never.
        is_next: [Option<bool>; 4],
    }

    impl Signals {
        pub(crate) fn at_every_call(stream: DuplexStream, is_next: bool) -> Self {
            let is_next = [Some(is_next); 4];
            Signals { stream, is_next }
        }

        pub(crate) fn at_writes(stream: DuplexStream) -> Self {
            let is_next = [None, Some(true), None, None];
            Signals { stream, is_next }
        }

        fn call(&mut self, what: usize) -> io::Result<Pin<&mut DuplexStream>> {
            let is_next = self.is_next[what];
            self.is_next[what] = is_next.map(|is_next| !is_next);
            match is_next {
                Some(true) => Err(io::ErrorKind::Interrupted.into()),
                _ => Ok(Pin::new(&mut self.stream)),
            }
        }
    }

    impl AsyncRead for Signals {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            into: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            self.call(0)?.poll_read(cx, into)
        }
    }

    impl AsyncWrite for Signals {
        fn poll_write(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.call(1)?.poll_write(cx, &bytes[..bytes.len().min(1000)])
        }

        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.call(2)?.poll_flush(cx)
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.call(3)?.poll_shutdown(cx)
        }
    }

    #[tokio::test]
    async fn what_a_signal_interrupts_is_done_again() {
        const LIMIT: Duration = Duration::from_secs(10);
        for is_next in [false, true] {
            let (stream, mut peer) = tokio::io::duplex(10_000);
            let mut signals = Signals::at_every_call(stream, is_next);
            write_all(&mut signals, b"one ", LIMIT).await.unwrap();
            write_on(&mut signals, b"two", LIMIT).await.unwrap();
            peer.write_all(b"three").await.unwrap();
            peer.shutdown().await.unwrap();
            let mut read = BytesMut::new();
            assert_eq!(read_some(&mut signals, &mut read, usize::MAX).await.unwrap(), 5);
            assert_eq!(read_some(&mut signals, &mut read, usize::MAX).await.unwrap(), 0);
            close(&mut signals).await;
            let mut written = Vec::new();
            peer.read_to_end(&mut written).await.unwrap();
            assert_eq!((&written[..], &read[..]), (&b"one two"[..], &b"three"[..]));
        }
    }
}

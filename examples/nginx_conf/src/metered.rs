//! `$upstream_bytes_sent` and `$upstream_bytes_received`: a connection to a server whose bytes are counted, for the request that it
//! carries. Behind TLS, as in nginx.
//!
//! What is not a plain socket is not spliced, so a connection is counted only where a variable may be asked for it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use switchover::tunnel::AnyStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::tries::{self, Tries};

pub(crate) struct Metered {
    stream: AnyStream,
    /// Of the request that was carried last. Its body, or its tunnel, is moved where nobody knows of it.
    tries: Option<Arc<Tries>>,
}

impl Metered {
    pub(crate) fn new(stream: AnyStream) -> Metered {
        Metered { stream, tries: None }
    }

    /// Those of the request that is served now, which may be another one than before: connections are kept.
    fn tries(&mut self) -> Option<&Tries> {
        if let Some(current) = tries::current() {
            self.tries = Some(current);
        }
        self.tries.as_deref()
    }

    fn count_sent(&mut self, sent: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let (Poll::Ready(Ok(bytes)), Some(tries)) = (&sent, self.tries()) {
            tries.has_sent(*bytes);
        }
        sent
    }
}

impl AsyncRead for Metered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, into);
        let bytes = into.filled().len() - before;
        if let Some(tries) = self.tries().filter(|_| bytes > 0) {
            tries.has_received(bytes);
        }
        read
    }
}

impl AsyncWrite for Metered {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let sent = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.count_sent(sent)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let sent = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.count_sent(sent)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

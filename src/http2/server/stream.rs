//! The stream of an extended CONNECT, as bytes both ways.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use h2::Reason;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;

use super::open::Open;
use crate::http2::inbox::{Inbox, Next};
use crate::http2::outlet::Outlet;

/// The client's stream of a CONNECT, once it has had a 2xx: bytes both ways.
///
/// A shutdown of the write side is END_STREAM, and END_STREAM is the end of the read side. A RST_STREAM of the client's is
/// [`ConnectionReset`](io::ErrorKind::ConnectionReset), whatever its reason; the end of the whole connection,
/// [`ConnectionAborted`](io::ErrorKind::ConnectionAborted). Dropping it before both directions have ended sends RST_STREAM with
/// CANCEL (RFC 8441, section 5), behind what was written and the client has room for.
///
/// A write takes no more than the client's windows and the [send buffer](super::Http2ServerConfig::send_buffer) have room
/// for. A flush waits while the connection is held up. Otherwise what was written goes out in the next turn of the connection's task.
#[derive(Debug)]
pub struct Http2ServerStream {
    inbox: Inbox,
    /// Until it is dropped.
    outlet: Option<Outlet>,
    // Last: the connection may be idle when the stream is closed.
    open: Option<Open>,
}

impl Http2ServerStream {
    pub(super) fn new(inbox: Inbox, outlet: Outlet, open: Open) -> Self {
        Http2ServerStream {
            inbox,
            outlet: Some(outlet),
            open: Some(open),
        }
    }
}

impl Drop for Http2ServerStream {
    fn drop(&mut self) {
        if let Some(outlet) = self.outlet.take() {
            outlet.leave(|| self.open.take());
        }
    }
}

impl AsyncRead for Http2ServerStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if into.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        match ready!(self.inbox.poll_read(cx, into))? {
            Next::Bytes | Next::End => Poll::Ready(Ok(())),
            Next::Trailers => {
                // RFC 9113, section 8.5: frames other than DATA on a connected stream are a stream error.
                if let Some(outlet) = &mut self.outlet {
                    outlet.reset(Reason::PROTOCOL_ERROR);
                }
                let trailers = "trailers in a tunnel";
                Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, trailers)))
            }
        }
    }
}

impl AsyncWrite for Http2ServerStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.outlet {
            Some(outlet) => outlet.poll_write(cx, bytes),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.outlet {
            Some(outlet) => outlet.poll_on_its_way(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.outlet {
            Some(outlet) => outlet.poll_end(cx),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

/// The [stream](Http2ServerStream) of a CONNECT that a service is about to answer, among the request's extensions: what
/// hyper's `OnUpgrade` is there.
///
/// It completes when a 2xx has been sent. `None`: another status was, or the client has left.
///
/// The first that awaits it gets the stream; its clones are left with `None`.
///
/// # Cancel safety
///
/// Nothing is lost if it is dropped before it has completed, as long as a clone of it is kept.
#[derive(Clone)]
pub struct ConnectStream(Arc<Mutex<oneshot::Receiver<Http2ServerStream>>>);

pub(super) type Handover = oneshot::Sender<Http2ServerStream>;

impl ConnectStream {
    pub(super) fn new() -> (Handover, Self) {
        let (sender, receiver) = oneshot::channel();
        (sender, ConnectStream(Arc::new(Mutex::new(receiver))))
    }
}

impl Future for ConnectStream {
    type Output = Option<Http2ServerStream>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut receiver = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if receiver.is_terminated() {
            return Poll::Ready(None);
        }
        Pin::new(&mut *receiver).poll(cx).map(Result::ok)
    }
}

impl fmt::Debug for ConnectStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectStream").finish_non_exhaustive()
    }
}

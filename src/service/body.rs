//! The body of a response: one that is relayed, of a declined upgrade, or of the proxy itself. It reports to the exchange, where
//! there is one, when hyper drops it.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::BoxError;
use super::declined::DeclinedBody;
use super::erased::{Erased, ErasedBody};
use super::interim::Exchange;
use super::paced::{Pace, Paced};
use super::relay::Frames;
use crate::error::{Cause, Error, Phase};
use crate::side::Side;

/// The body of a response from the proxy: the upstream's, streamed, or a short text of the proxy's own.
///
/// Its error is the upstream that broke off, or the client that took nothing for too long
/// ([`RelayConfig::send_timeout`](super::RelayConfig::send_timeout)). The server must then not end the response in order,
/// which hyper does not.
///
/// Over HTTP/2 there is no second frame before the bytes of the first have been dropped: code that collects a body copies them. Over
/// HTTP/1 a body may be collected as any other.
#[derive(Debug)]
pub struct ProxyBody {
    source: Source,
    /// Why it breaks off, while hyper sends what it has had before.
    failed: Option<Arc<Error>>,
    exchange: Option<Arc<Exchange>>,
}

pub(super) enum Source {
    Text(Bytes),
    Upstream(Box<dyn Frames>),
    Declined(Box<DeclinedBody>),
    Own(Pin<Box<ErasedBody>>),
    Paced(Box<Paced>),
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Source::Text(_) => "Text",
            Source::Upstream(_) => "Upstream",
            Source::Declined(_) => "Declined",
            Source::Own(_) => "Own",
            Source::Paced(_) => "Paced",
        })
    }
}

impl ProxyBody {
    /// A body of the caller's own, of any kind. Its errors break the response off.
    pub fn new<B>(body: B) -> Self
    where
        B: Body + Send + 'static,
        B::Error: Into<BoxError>,
    {
        ProxyBody {
            source: Source::Own(Box::pin(Erased { body })),
            failed: None,
            exchange: None,
        }
    }

    /// Of an answer that is relayed.
    pub(super) fn relayed(body: Box<dyn Frames>) -> Self {
        ProxyBody {
            source: Source::Upstream(body),
            failed: None,
            exchange: None,
        }
    }

    pub(super) fn declined(body: DeclinedBody) -> Self {
        ProxyBody {
            source: Source::Declined(Box::new(body)),
            failed: None,
            exchange: None,
        }
    }

    pub(super) fn text(text: impl Into<Bytes>) -> Self {
        ProxyBody {
            source: Source::Text(text.into()),
            failed: None,
            exchange: None,
        }
    }

    /// The same at its client's pace, for a server that has no deadline of its own for a client that takes nothing.
    pub(super) fn paced(mut self, pace: Pace) -> Self {
        if !matches!(self.source, Source::Text(_) | Source::Paced(_)) {
            let source = std::mem::replace(&mut self.source, Source::Text(Bytes::new()));
            self.source = Source::Paced(Box::new(Paced::new(source, pace)));
        }
        self
    }

    pub(super) fn of(mut self, exchange: Arc<Exchange>) -> Self {
        self.exchange = Some(exchange);
        self
    }
}

impl From<String> for ProxyBody {
    /// For answers of the caller's own beside the proxy's.
    fn from(text: String) -> Self {
        ProxyBody::text(text)
    }
}

impl Body for ProxyBody {
    type Data = Bytes;
    type Error = Arc<Error>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Arc<Error>>>> {
        if let Some(error) = self.failed.take() {
            return Poll::Ready(Some(Err(error)));
        }
        match ready!(self.source.poll_frame(cx)) {
            // hyper drops what it has not sent yet when a body fails. It sends that first if it has to wait.
            Some(Err(error)) => {
                self.failed = Some(error);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            frame => Poll::Ready(frame),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.source.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.source.size_hint()
    }
}

impl Source {
    pub(super) fn is_end_stream(&self) -> bool {
        match self {
            Source::Upstream(body) => body.is_end_stream(),
            Source::Declined(body) => body.is_complete(),
            Source::Text(text) => text.is_empty(),
            Source::Own(body) => body.is_end_stream(),
            Source::Paced(body) => body.is_end_stream(),
        }
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        match self {
            Source::Upstream(body) => body.size_hint(),
            Source::Declined(body) => body.size_hint(),
            Source::Text(text) => SizeHint::with_exact(text.len() as u64),
            Source::Own(body) => body.size_hint(),
            Source::Paced(body) => body.size_hint(),
        }
    }

    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Arc<Error>>>> {
        match self {
            Source::Upstream(body) => body.poll_frame(cx),
            Source::Declined(body) => {
                let read = ready!(body.poll_data(cx));
                Poll::Ready(
                    read.map_err(Arc::new)
                        .map(|data| data.map(Frame::data))
                        .transpose(),
                )
            }
            Source::Own(body) => {
                let frame = ready!(body.as_mut().poll_frame(cx));
                // That of a relay, in a body of the caller's around it, stays what it is.
                let failed = |error: BoxError| match error.downcast::<Arc<Error>>() {
                    Ok(error) => *error,
                    Err(error) => {
                        let cause = Cause::Io(io::Error::other(error));
                        Arc::new(Error::new(Phase::Response, Side::Upstream, cause))
                    }
                };
                Poll::Ready(frame.map(|frame| frame.map_err(failed)))
            }
            Source::Paced(body) => body.poll_frame(cx),
            Source::Text(text) if text.is_empty() => Poll::Ready(None),
            Source::Text(text) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(text))))),
        }
    }
}

impl Drop for ProxyBody {
    fn drop(&mut self) {
        if let Some(exchange) = &self.exchange {
            exchange.set_done();
        }
    }
}

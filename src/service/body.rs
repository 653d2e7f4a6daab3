//! The bodies that hyper moves: those of requests on their way upstream, and those of responses that are relayed, of a declined
//! upgrade, or of the proxy itself. Each reports to the exchange, where there is one, when hyper drops it.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::BoxError;
use super::config::RelayConfig;
use super::declined::DeclinedBody;
use super::failure::Failure;
use super::interim::Exchange;
use super::paced::{Pace, Paced};
use super::relay::Frames;
use super::stall::Stall;
use crate::error::{Cause, Error, Phase};
use crate::header::trailer;
use crate::side::Side;

/// The body of a response from the proxy: the upstream's, streamed, or a short text of the proxy's own.
///
/// Its error is the upstream that broke off, or the client that took nothing for too long
/// ([`RelayConfig::send_timeout`](super::RelayConfig::send_timeout)). The server must then not end the response in order,
/// which hyper does not.
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
                let failed = |error| {
                    let cause = Cause::Io(io::Error::other(error));
                    Arc::new(Error::new(Phase::Response, Side::Upstream, cause))
                };
                Poll::Ready(frame.map(|frame| frame.map_err(failed)))
            }
            Source::Paced(body) => body.poll_frame(cx),
            Source::Text(text) if text.is_empty() => Poll::Ready(None),
            Source::Text(text) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(text))))),
        }
    }
}

/// A frame without the trailer fields that end here.
fn with_allowed_trailers(frame: Frame<Bytes>) -> Frame<Bytes> {
    match frame.into_trailers() {
        Ok(mut fields) => {
            trailer::strip(&mut fields);
            Frame::trailers(fields)
        }
        Err(frame) => frame,
    }
}

impl Drop for ProxyBody {
    fn drop(&mut self) {
        if let Some(exchange) = &self.exchange {
            exchange.set_done();
        }
    }
}

/// The body of a relayed request, whatever server took it in.
pub(super) struct RequestBody {
    /// None for a request without one.
    body: Option<Pin<Box<ErasedBody>>>,
    exchange: Arc<Exchange>,
    /// How long the client may stop in the middle of it.
    stall: Stall,
    limit: BodyLimit,
}

type ErasedBody = dyn Body<Data = Bytes, Error = BoxError> + Send;

impl RequestBody {
    pub(super) fn new<B>(body: B, exchange: Arc<Exchange>, config: &RelayConfig) -> Self
    where
        B: Body + Send + 'static,
        B::Error: Into<BoxError>,
    {
        RequestBody::of(Some(Box::pin(Erased { body })), exchange, config)
    }

    fn of(body: Option<Pin<Box<ErasedBody>>>, exchange: Arc<Exchange>, config: &RelayConfig) -> Self {
        RequestBody {
            body,
            exchange,
            stall: Stall::new(config.request_body_limit()),
            limit: BodyLimit {
                limit: config.most_of_request_body(),
                taken: 0,
            },
        }
    }
}

/// How many bytes there may be in a body, and how many there have been.
struct BodyLimit {
    limit: Option<u64>,
    taken: u64,
}

impl BodyLimit {
    /// The limit, if that many bytes more are beyond it.
    fn exceeded_by(&mut self, more: usize) -> Option<u64> {
        self.taken += more as u64;
        self.limit.filter(|limit| self.taken > *limit)
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        let Some(body) = &mut this.body else {
            return Poll::Ready(None);
        };
        let frame = match body.as_mut().poll_frame(cx) {
            Poll::Ready(frame) => {
                this.stall.progress();
                frame.map(|frame| frame.map(with_allowed_trailers))
            }
            Poll::Pending => {
                let late = ready!(this.stall.poll_waiting(cx));
                Some(Err(late.into()))
            }
        };
        let data = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref());
        if let Some(limit) = data.and_then(|data| this.limit.exceeded_by(data.len())) {
            let failure = Failure::body_too_large(limit);
            this.exchange.set_client_failure(failure.clone());
            return Poll::Ready(Some(Err(failure.into())));
        }
        if let Some(Err(error)) = &frame {
            let failure = Failure::of_client(&**error, this.stall.limit());
            this.exchange.set_client_failure(failure);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(|body| body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            Some(body) => body.size_hint(),
            None => SizeHint::with_exact(0),
        }
    }
}

pin_project! {
    /// A body of any kind, with data and errors of one.
    struct Erased<B> {
        #[pin]
        body: B,
    }
}

impl<B> Body for Erased<B>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = ready!(self.project().body.poll_frame(cx));
        let own = |frame: Frame<B::Data>| frame.map_data(|mut data| data.copy_to_bytes(data.remaining()));
        Poll::Ready(frame.map(|frame| frame.map(own).map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

//! The body of a request on its way upstream: within its limit, at the pace that its client has to keep, and without the
//! trailer fields that end here.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::BoxError;
use super::config::RelayConfig;
use super::erased::{Erased, ErasedBody};
use super::failure::Failure;
use super::interim::Exchange;
use super::stall::Stall;
use crate::header::trailer::Ending;

/// The body of a relayed request, whatever server took it in.
pub(super) struct RequestBody {
    /// None for a request without one.
    body: Option<Pin<Box<ErasedBody>>>,
    exchange: Arc<Exchange>,
    /// How long the client may stop in the middle of it.
    stall: Stall,
    limit: BodyLimit,
    ending: Arc<Ending>,
}

impl RequestBody {
    /// `ending`: the trailer fields that end here.
    pub(super) fn new<B>(body: B, exchange: Arc<Exchange>, config: &RelayConfig, ending: Arc<Ending>) -> Self
    where
        B: Body + Send + 'static,
        B::Error: Into<BoxError>,
    {
        RequestBody {
            body: Some(Box::pin(Erased { body })),
            exchange,
            stall: Stall::new(config.request_body_limit()),
            limit: BodyLimit {
                limit: config.most_of_request_body(),
                taken: 0,
            },
            ending,
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
                frame.map(|frame| frame.map(|frame| with_allowed_trailers(frame, &this.ending)))
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

/// A frame without the trailer fields that end here.
fn with_allowed_trailers(frame: Frame<Bytes>, ending: &Ending) -> Frame<Bytes> {
    match frame.into_trailers() {
        Ok(mut fields) => {
            ending.strip(&mut fields);
            Frame::trailers(fields)
        }
        Err(frame) => frame,
    }
}

//! Law: the bodies that hyper moves: a request's, a relayed response's, and that of a response of the proxy's own. Each
//! tells the exchange when hyper lets go of it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::failure::Failure;
use super::interim::Exchange;

/// The body of a response from [`Relay`](super::Relay): the upstream's, streamed, or a short text of the proxy's own.
#[derive(Debug)]
pub struct RelayBody {
    source: Source,
    /// Told when hyper lets go of the body.
    exchange: Arc<Exchange>,
}

#[derive(Debug)]
enum Source {
    Upstream(Incoming),
    Text(Option<Bytes>),
}

impl RelayBody {
    pub(super) fn upstream(body: Incoming, exchange: Arc<Exchange>) -> Self {
        RelayBody {
            source: Source::Upstream(body),
            exchange,
        }
    }

    pub(super) fn text(text: String, exchange: Arc<Exchange>) -> Self {
        RelayBody {
            source: Source::Text(Some(text.into())),
            exchange,
        }
    }
}

impl Body for RelayBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.source {
            Source::Upstream(body) => Pin::new(body).poll_frame(cx),
            Source::Text(text) => Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Upstream(body) => body.is_end_stream(),
            Source::Text(text) => text.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Upstream(body) => body.size_hint(),
            Source::Text(text) => SizeHint::with_exact(text.as_ref().map_or(0, Bytes::len) as u64),
        }
    }
}

impl Drop for RelayBody {
    fn drop(&mut self) {
        self.exchange.set_done();
    }
}

/// The body of a relayed request.
#[derive(Debug)]
pub(super) struct RequestBody {
    body: Incoming,
    exchange: Arc<Exchange>,
    /// How long the client may stop in the middle of it.
    limit: Duration,
}

impl RequestBody {
    pub(super) fn new(body: Incoming, exchange: Arc<Exchange>, limit: Duration) -> Self {
        RequestBody {
            body,
            exchange,
            limit,
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Err(error))) = &frame {
            self.exchange
                .set_client_failure(Failure::of_client(error, self.limit));
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        self.exchange.set_sent();
    }
}

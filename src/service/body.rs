//! Law: the body of a relayed response, or of one that the proxy makes itself.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

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

//! The body of an answer that counts: for the limits of its server (`least_conn`, `max_conns`) and for `limit_conn`. It is dropped when the
//! client has been given all of it, or has left.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use switchover::service::ProxyBody;
use switchover::tunnel::Permit;

use super::limiting::Place;

#[derive(Debug)]
pub(crate) struct CountedBody {
    pub(crate) body: ProxyBody,
    pub(crate) _permit: Option<Permit>,
    pub(crate) _places: Vec<Place>,
}

impl Body for CountedBody {
    type Data = Bytes;
    type Error = Arc<switchover::Error>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Arc<switchover::Error>>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

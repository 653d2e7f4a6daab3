//! The body of an answer that counts: for the limits of its server (`least_conn`, `max_conns`) and for `limit_conn`. It is dropped when the
//! client has been given all of it, or has left. And one whose length is counted, for `$upstream_response_length`.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use switchover::service::ProxyBody;
use switchover::tunnel::Permit;

use super::limiting::Place;
use super::tries::Tries;

#[derive(Debug)]
pub(crate) struct CountedBody {
    pub(crate) body: ProxyBody,
    pub(crate) _permit: Option<Permit>,
    pub(crate) _places: Vec<Place>,
    /// Learns how long it is; none where nobody wants to know.
    pub(crate) length: Option<Arc<Tries>>,
}

impl Body for CountedBody {
    type Data = Bytes;
    type Error = Arc<switchover::Error>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Arc<switchover::Error>>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let (Poll::Ready(Some(Ok(frame))), Some(length)) = (&polled, &self.length) {
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            length.has_come(u64::try_from(bytes).unwrap_or(u64::MAX));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

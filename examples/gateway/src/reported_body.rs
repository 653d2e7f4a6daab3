//! The body of an answer over HTTP/2, which reports to the access log when it has ended and how much it was.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::StatusCode;
use hyper::body::{Body, Frame, SizeHint};
use switchover::Error;
use switchover::service::ProxyBody;

use super::story::Story;

pub(crate) struct ReportedBody {
    pub(crate) body: ProxyBody,
    pub(crate) ending: Option<Box<Ending>>,
}

/// What is reported at the end.
pub(crate) struct Ending {
    pub(crate) story: Story,
    pub(crate) is_upgrade: bool,
    pub(crate) status: StatusCode,
    pub(crate) failure: Option<Arc<Error>>,
    /// How much of the body has gone to the server under it.
    pub(crate) sent: u64,
    pub(crate) is_whole: bool,
}

impl Body for ReportedBody {
    type Data = Bytes;
    type Error = Arc<Error>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Arc<Error>>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let Some(ending) = &mut self.ending {
            match &frame {
                Some(Ok(frame)) => ending.sent += frame.data_ref().map_or(0, Bytes::len) as u64,
                Some(Err(error)) => ending.failure = Some(error.clone()),
                None => ending.is_whole = true,
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for ReportedBody {
    fn drop(&mut self) {
        if let Some(ending) = self.ending.take() {
            let result = match &ending.failure {
                Some(error) => Err(Some(&**error)),
                // Of one that is known to be at its end, nobody asks for more.
                None if ending.is_whole || self.body.is_end_stream() => Ok(()),
                None => Err(None),
            };
            let Ending {
                is_upgrade,
                status,
                sent,
                ..
            } = *ending;
            ending.story.answered(is_upgrade, status, sent, result);
        }
    }
}

//! The body of a request: the client's DATA frames, asked for as they are read.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;
use http::header::{CONTENT_LENGTH, EXPECT};
use http::{HeaderMap, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};

use super::interim::InterimResponses;
use crate::http2::driven::Driven;
use crate::http2::inbox::{Inbox, Part};

/// The body of a request that an [`Http2Server`](super::Http2Server) has taken in.
///
/// The client may send as much again as has been read. Its error is a client that has reset the stream
/// ([`ConnectionReset`](io::ErrorKind::ConnectionReset)) or has lost its connection
/// ([`ConnectionAborted`](io::ErrorKind::ConnectionAborted)).
#[derive(Debug)]
pub struct RequestBody {
    /// None if there is nothing.
    inbox: Option<Inbox>,
    /// What is left, where the client has said so.
    left: Option<u64>,
    /// The client sends it when it has been asked to.
    expects_continue: Option<InterimResponses>,
}

impl RequestBody {
    /// That of a request which has none, or whose stream is a tunnel's.
    pub(super) fn none() -> Self {
        RequestBody {
            inbox: None,
            left: Some(0),
            expects_continue: None,
        }
    }

    /// The client is asked for it when it is first read, if it waits for that (RFC 9110, section 10.1.1).
    pub(super) fn new(
        headers: &HeaderMap,
        stream: RecvStream,
        driven: &Arc<Driven>,
        interim: &InterimResponses,
    ) -> Self {
        if stream.is_end_stream() {
            return RequestBody::none();
        }
        // h2 holds the frames against it.
        let length = headers
            .get(CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok());
        RequestBody {
            inbox: Some(Inbox::new(stream, driven.clone())),
            left: length.and_then(|length| length.parse().ok()),
            expects_continue: expects_continue(headers).then(|| interim.clone()),
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(interim) = self.expects_continue.take() {
            let mut response = Response::new(());
            *response.status_mut() = StatusCode::CONTINUE;
            interim.send(response);
        }
        let Some(inbox) = &self.inbox else {
            return Poll::Ready(None);
        };
        Poll::Ready(match ready!(inbox.poll_part(cx))? {
            Part::Bytes(bytes) => {
                if let Some(left) = &mut self.left {
                    *left = left.saturating_sub(bytes.len() as u64);
                }
                Some(Ok(Frame::data(bytes)))
            }
            Part::Trailers(trailers) => Some(Ok(Frame::trailers(trailers))),
            Part::End => {
                self.inbox = None;
                None
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.inbox.as_ref().is_none_or(Inbox::is_at_end)
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.inbox, self.left) {
            (None, _) => SizeHint::with_exact(0),
            (Some(_), Some(left)) => SizeHint::with_exact(left),
            (Some(_), None) => SizeHint::default(),
        }
    }
}

fn expects_continue(headers: &HeaderMap) -> bool {
    let mut expected = headers.get_all(EXPECT).iter();
    expected.any(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

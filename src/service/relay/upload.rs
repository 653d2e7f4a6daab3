//! The body of a request that a server of hyper's has taken in, on its way to an upstream: framed as its head says, with the trailer
//! fields that may go on.
//!
//! Knows a body and a writer. It must not know heads, answers, or the deadline of the writer.

use std::any::Any;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http_body::Body;
use tokio::io::AsyncWrite;

use super::passage::Broken;
use crate::error::Cause;
use crate::http1::{BodyLength, encode_fields};
use crate::service::request_body::RequestBody;
use crate::tunnel::Transfer;

/// How many frames go on in one poll before other tasks get their turn.
const TURNS: usize = 16;

/// A message on its way, of which the head is queued.
pub(super) struct Upload {
    pub(super) transfer: Transfer,
    /// None when it has been read to its end.
    body: Option<RequestBody>,
    /// How much is left of one whose length its head gives. None for one in chunks.
    left: Option<u64>,
    has_begun: bool,
    is_done: bool,
}

impl Upload {
    pub(super) fn new(body: Option<RequestBody>, length: BodyLength) -> Self {
        Upload {
            transfer: Transfer::new(None),
            body,
            left: match length {
                BodyLength::None => Some(0),
                BodyLength::Exactly(length) => Some(length),
                BodyLength::Chunked | BodyLength::UntilClose => None,
            },
            has_begun: false,
            is_done: false,
        }
    }

    /// Whether it has ended, and the upstream has it whole.
    pub(super) fn is_done(&self) -> bool {
        self.is_done
    }

    /// Whether the upstream has been sent all that it waits for. Of a body whose length its head gives that may be before its end: in
    /// HTTP/2 the end may come in a frame of its own.
    pub(super) fn is_sent(&self) -> bool {
        self.is_done || self.left == Some(0) && !self.transfer.has_queued()
    }

    /// Whether the body has been read to its end.
    pub(super) fn is_read(&self) -> bool {
        self.body.is_none()
    }

    /// Whether the body has been asked for its first byte.
    pub(super) fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// The body, for another upstream, where it has not begun.
    pub(super) fn into_body(self) -> Option<RequestBody> {
        self.body.filter(|_| !self.has_begun)
    }

    /// Moves what can be moved now. Ready when the message has arrived whole. An error of the body's is kept where the exchange
    /// has its failures.
    pub(super) fn poll<W>(&mut self, cx: &mut Context<'_>, writer: &mut W) -> Poll<Result<(), Broken>>
    where
        W: AsyncWrite + Unpin + Any,
    {
        if self.is_done {
            return Poll::Ready(Ok(()));
        }
        for _ in 0..TURNS {
            ready!(self.transfer.poll_out(cx, writer)).map_err(Broken::Writer)?;
            let Some(body) = &mut self.body else {
                ready!(self.transfer.poll_flush(cx, writer)).map_err(Broken::Writer)?;
                self.is_done = true;
                return Poll::Ready(Ok(()));
            };
            self.has_begun = true;
            let Poll::Ready(frame) = Pin::new(body).poll_frame(cx) else {
                ready!(self.transfer.poll_flush(cx, writer)).map_err(Broken::Writer)?;
                return Poll::Pending;
            };
            match frame {
                None => self.end(None)?,
                Some(Err(_)) => return Poll::Ready(Err(Broken::Reader(Cause::Closed))),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        self.put(cx, writer, &data)?;
                        // A body that is known to be whole is not asked again: its server may take a turn to say so.
                        let is_whole = self.body.as_ref().is_some_and(RequestBody::is_end_stream);
                        if self.left == Some(0) && is_whole {
                            self.end(None)?;
                        }
                    }
                    Err(other) => self.end(other.into_trailers().ok())?,
                },
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn put<W>(&mut self, cx: &mut Context<'_>, writer: &mut W, data: &[u8]) -> Result<(), Broken>
    where
        W: AsyncWrite + Unpin,
    {
        if data.is_empty() {
            return Ok(());
        }
        if let Some(left) = &mut self.left {
            // More than its head has announced would be the next request to the upstream.
            let rest = left.checked_sub(data.len() as u64);
            *left = rest.ok_or(Broken::Reader(Cause::Closed))?;
            return self.transfer.put(cx, writer, data).map_err(Broken::Writer);
        }
        let size = format!("{:x}\r\n", data.len());
        self.transfer.queue().extend_from_slice(size.as_bytes());
        self.transfer.put(cx, writer, data).map_err(Broken::Writer)?;
        self.transfer.queue().extend_from_slice(b"\r\n");
        Ok(())
    }

    fn end(&mut self, trailers: Option<http::HeaderMap>) -> Result<(), Broken> {
        match self.left {
            Some(0) => {}
            Some(_) => return Err(Broken::Reader(Cause::Closed)),
            None => {
                self.transfer.queue().extend_from_slice(b"0\r\n");
                encode_fields(&trailers.unwrap_or_default(), self.transfer.queue());
            }
        }
        self.body = None;
        Ok(())
    }
}

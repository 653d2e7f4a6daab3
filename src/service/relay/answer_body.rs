//! The body of an answer, read off the upstream's own connection up to its end and not a byte further. The rest of its request goes up
//! meanwhile. A connection that can carry another request is kept.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http_body::{Frame, SizeHint};
use tokio::io::AsyncReadExt;

use super::passage::Broken;
use super::source::{Opened, Source};
use super::upload::Upload;
use crate::error::{Cause, Error, Phase};
use crate::header::trailer::{self, Ending};
use crate::http1::{BodyLength, BodyScanner, trailer_fields};
use crate::service::interim::Exchange;
use crate::service::stall::Stall;
use crate::side::Side;

/// The most and the least room for one read.
const LONG_READ: usize = 64 * 1024;
const SHORT_READ: usize = 4 * 1024;

/// A body that something gives frame by frame.
pub(in crate::service) trait Frames: Send {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Arc<Error>>>>;
    fn is_end_stream(&self) -> bool;
    fn size_hint(&self) -> SizeHint;
}

pub(super) struct AnswerBody<R: Source> {
    source: R,
    /// None when the body has come to its end.
    opened: Option<Opened<R::Place, R::Stream>>,
    upload: Upload,
    /// The upstream takes no more of the request.
    gave_up: bool,
    exchange: Arc<Exchange>,
    scanner: BodyScanner,
    /// The trailer section so far.
    section: Vec<u8>,
    /// What ends here of it, besides what ends in any.
    ending: Option<Arc<Ending>>,
    /// The upstream keeps its connection.
    is_kept: bool,
    stall: Stall,
}

impl<R: Source> AnswerBody<R> {
    pub(super) fn new(
        source: R,
        opened: Opened<R::Place, R::Stream>,
        (upload, gave_up): (Upload, bool),
        exchange: Arc<Exchange>,
        (length, ending): (BodyLength, Option<Arc<Ending>>),
        is_kept: bool,
        limit: Duration,
    ) -> Self {
        let mut body = AnswerBody {
            source,
            opened: Some(opened),
            upload,
            gave_up,
            exchange,
            scanner: BodyScanner::new(length),
            section: Vec::new(),
            ending,
            is_kept,
            stall: Stall::new(limit),
        };
        if body.scanner.is_complete() {
            body.finish();
        }
        body
    }

    /// The body has been read whole.
    fn finish(&mut self) {
        let Some(opened) = self.opened.take() else { return };
        if self.is_kept && opened.connection.buffer.is_empty() {
            self.source.keep(opened);
        }
    }

    /// More of the request goes up. An upstream that takes no more of it may answer nevertheless.
    fn poll_upload(&mut self, cx: &mut Context<'_>) -> Result<(), Arc<Error>> {
        let Some(opened) = &mut self.opened else {
            return Ok(());
        };
        if self.upload.is_done() || self.gave_up {
            return Ok(());
        }
        let before = self.upload.transfer.delivered();
        let sent = self.upload.poll(cx, &mut opened.connection.stream);
        if self.upload.transfer.delivered() != before {
            // An upstream that takes the rest of a request is not silent.
            self.stall.progress();
        }
        match sent {
            Poll::Ready(Err(Broken::Writer(_))) => {
                self.gave_up = true;
                Ok(())
            }
            Poll::Ready(Err(Broken::Reader(_) | Broken::TooLarge(_))) => {
                let failure = self.exchange.take_client_failure();
                let left = || Arc::new(Error::new(Phase::Request, Side::Downstream, Cause::Closed));
                Err(failure.map_or_else(left, |failure| failure.error))
            }
            Poll::Ready(Ok(())) | Poll::Pending => Ok(()),
        }
    }

    /// What of the buffer can be handed out, or nothing. Framing is taken off.
    fn next(&mut self) -> Result<Option<Frame<Bytes>>, Cause> {
        let Some(opened) = &mut self.opened else {
            return Ok(None);
        };
        let buffer = &mut opened.connection.buffer;
        while !buffer.is_empty() && !self.scanner.is_complete() {
            let left = self.scanner.data_left();
            if left > 0 {
                let count = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
                self.scanner.skip_data(count as u64);
                let data = buffer.split_to(count).freeze();
                return Ok(Some(Frame::data(data)));
            }
            if !self.scanner.is_in_trailers() {
                let count = self.scanner.advance_framing(buffer)?;
                buffer.advance(count);
                continue;
            }
            let count = self.scanner.advance(buffer)?;
            self.section.extend_from_slice(&buffer[..count]);
            buffer.advance(count);
            if self.scanner.is_complete() {
                let mut fields = trailer_fields(&std::mem::take(&mut self.section))?;
                match &self.ending {
                    Some(ending) => ending.strip(&mut fields),
                    None => trailer::strip(&mut fields),
                }
                return Ok((!fields.is_empty()).then(|| Frame::trailers(fields)));
            }
        }
        Ok(None)
    }

    /// Reads more into the buffer. False at the end of the upstream.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Cause>> {
        let Some(opened) = &mut self.opened else {
            return Poll::Ready(Ok(false));
        };
        let connection = &mut opened.connection;
        let left = usize::try_from(self.scanner.data_left()).unwrap_or(usize::MAX);
        connection.buffer.reserve(left.clamp(SHORT_READ, LONG_READ));
        // It reads once, and only to be dropped or done: nothing is lost where it is dropped.
        let read = pin!(connection.stream.read_buf(&mut connection.buffer));
        match read.poll(cx) {
            Poll::Ready(Ok(count)) => {
                self.stall.progress();
                Poll::Ready(Ok(count > 0))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(match Cause::of_upstream(error) {
                cause @ Cause::Tls { .. } => cause,
                _ => Cause::Closed,
            })),
            Poll::Pending => {
                ready!(self.stall.poll_waiting(cx));
                Poll::Ready(Err(Cause::TimedOut(self.stall.limit())))
            }
        }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Frame<Bytes>>, Cause>> {
        loop {
            let next = self.next()?;
            if self.scanner.is_complete() {
                self.finish();
            }
            if next.is_some() || self.opened.is_none() {
                return Poll::Ready(Ok(next));
            }
            if !ready!(self.poll_fill(cx))? {
                let may_end = self.scanner.may_end_here();
                self.opened = None;
                return Poll::Ready(match may_end {
                    true => Ok(None),
                    false => Err(Cause::Closed),
                });
            }
        }
    }
}

impl<R: Source> Frames for AnswerBody<R> {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Arc<Error>>>> {
        if let Err(error) = self.poll_upload(cx) {
            self.opened = None;
            return Poll::Ready(Some(Err(error)));
        }
        let failed = |cause| Arc::new(Error::new(Phase::Response, Side::Upstream, cause));
        let next = ready!(self.poll_next(cx));
        if next.is_err() {
            self.opened = None;
        }
        Poll::Ready(next.map_err(failed).transpose())
    }

    fn is_end_stream(&self) -> bool {
        self.opened.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.opened, self.scanner.content_left()) {
            (None, _) => SizeHint::with_exact(0),
            (Some(_), Some(left)) => SizeHint::with_exact(left),
            (Some(_), None) => SizeHint::default(),
        }
    }
}

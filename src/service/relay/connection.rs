//! A raw connection to an upstream, between two messages or within one: what has been read of it, and the heads of its answers.
//!
//! Only heads that the crate's parser has accepted leave here, each in answer to a request: what an upstream says without having
//! been asked, on a connection that is kept, is never the answer to the next request.

use std::any::Any;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{StatusCode, Version};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::Instant;

use super::unread;
use super::wait::Wait;
use crate::error::{Cause, Phase};
use crate::header::connection::has_option;
use crate::http1::{
    AnyFields, BodyLength, HeadError, HeadLimits, HeadScan, Received, ResponseHead, response_from_head,
};
use crate::service::config::Keeping;
use crate::service::failure::Failure;
use crate::wire;

/// The most that one read of a head takes.
const READ_SIZE: usize = 8 * 1024;

#[derive(Debug)]
pub(super) struct Connection<S> {
    pub(super) stream: S,
    /// Read, and not yet used.
    pub(super) buffer: BytesMut,
    scan: HeadScan,
    /// How many requests it has carried.
    requests: u64,
    /// None where nobody asks how old it is.
    opened_at: Option<Instant>,
    /// The reason phrase of the last head, where it is not the usual one.
    pub(super) reason: Option<Bytes>,
    /// Something of an answer to this request has come.
    has_answered: bool,
    /// For all that its message waits for.
    pub(super) wait: Wait,
}

impl<S: AsyncRead + Unpin> Connection<S> {
    pub(super) fn new(stream: S) -> Self {
        Connection {
            stream,
            buffer: BytesMut::new(),
            scan: HeadScan::response(),
            requests: 0,
            opened_at: None,
            reason: None,
            has_answered: false,
            wait: Wait::default(),
        }
    }

    /// One whose age is known.
    pub(super) fn opened_at(mut self, opened_at: Instant) -> Self {
        self.opened_at = Some(opened_at);
        self
    }

    /// Whether it may carry another request, by how many it has carried and by its age.
    pub(super) fn may_go_on(&self, keeping: &Keeping) -> bool {
        let is_young = match (keeping.age, self.opened_at) {
            (Some(age), Some(opened_at)) => opened_at.elapsed() <= age,
            _ => true,
        };
        is_young && keeping.requests.is_none_or(|most| self.requests < most)
    }

    /// It has carried a request to its end, and may carry another.
    pub(super) fn keep(&mut self) {
        self.scan = HeadScan::response();
        self.requests = self.requests.saturating_add(1);
        self.has_answered = false;
        self.wait.start_again();
    }

    /// Whether it can still be used, now that it has waited: the upstream has not ended it, and has said nothing.
    ///
    /// A stream is not ready to be read until the runtime has been notified of what has arrived, and a busy runtime is late. What stands
    /// there by then would be taken for the answer to the next request.
    pub(super) fn is_usable(&mut self, cx: &mut Context<'_>) -> bool
    where
        S: Any,
    {
        let mut byte = [MaybeUninit::uninit()];
        let mut read = ReadBuf::uninit(&mut byte);
        let is_silent = Pin::new(&mut self.stream).poll_read(cx, &mut read).is_pending();
        is_silent && !unread::has_unread(&self.stream)
    }

    /// Why it has failed. A kept one that the upstream has closed before it has begun to answer is no fault of its.
    pub(super) fn failure(&self, error: io::Error) -> Failure {
        if self.requests > 0 && !self.has_answered {
            return Failure::stale();
        }
        match Cause::of_upstream(error) {
            cause @ Cause::Tls { .. } => Failure::new(Phase::ResponseHead, cause),
            cause if cause.shortage().is_some() => Failure::new(Phase::ResponseHead, cause),
            _ if self.buffer.is_empty() => Failure::new(Phase::ResponseHead, Cause::Closed),
            _ => Failure::new(Phase::ResponseHead, Cause::HeadCutShort),
        }
    }

    /// The next response head. What follows it stays in the buffer.
    pub(super) fn poll_head<F>(
        &mut self,
        cx: &mut Context<'_>,
        limits: &HeadLimits,
    ) -> Poll<Result<ResponseHead<F>, Failure>>
    where
        F: AnyFields + Received,
    {
        loop {
            if !self.buffer.is_empty() {
                let end = self.scan.advance(&self.buffer, limits).map_err(invalid)?;
                if let Some(end) = end {
                    let head = self.buffer.split_to(end).freeze();
                    return Poll::Ready(self.parsed(head));
                }
            }
            let mut space = [const { MaybeUninit::uninit() }; READ_SIZE];
            let mut read = ReadBuf::uninit(&mut space);
            let outcome = Pin::new(&mut self.stream).poll_read(cx, &mut read);
            if let Err(error) = ready!(wire::again(cx, outcome)) {
                return Poll::Ready(Err(self.failure(error)));
            }
            let read = read.filled();
            if read.is_empty() {
                return Poll::Ready(Err(self.failure(io::ErrorKind::UnexpectedEof.into())));
            }
            self.has_answered = true;
            if self.buffer.is_empty() {
                // Mostly it is whole, and nothing has to be kept of it.
                if let Some(end) = self.scan.advance(read, limits).map_err(invalid)? {
                    self.buffer.extend_from_slice(&read[end..]);
                    return Poll::Ready(self.parsed(Bytes::copy_from_slice(&read[..end])));
                }
            }
            self.buffer.extend_from_slice(read);
        }
    }

    fn parsed<F>(&mut self, bytes: Bytes) -> Result<ResponseHead<F>, Failure>
    where
        F: AnyFields + Received,
    {
        let reason = unusual_reason(&bytes).map(Bytes::copy_from_slice);
        let head = response_from_head::<F>(bytes, &self.scan).map_err(invalid)?;
        self.scan = HeadScan::response();
        self.reason = reason;
        Ok(head)
    }
}

/// Whether the upstream keeps its connection for another request after an answer with this head and this body, to a request that
/// it had whole (`is_asked`) before it answered.
///
/// One that answers earlier may take what comes then for another request, and what stands at its end for the beginning of the
/// request that is sent next.
pub(super) fn is_kept<F: AnyFields>(head: &ResponseHead<F>, length: BodyLength, is_asked: bool) -> bool {
    is_asked
        && head.version == Version::HTTP_11
        && length != BodyLength::UntilClose
        && !has_option(&head.fields, "close")
        && !(head.status == StatusCode::NO_CONTENT && announces_content(&head.fields))
}

/// RFC 9112, section 6.1, and RFC 9110, section 8.6: a 204 announces no content. A server that does so may send it, and the answer
/// to the next request would begin with it.
fn announces_content(fields: &impl AnyFields) -> bool {
    let mut lengths = fields.lines(&CONTENT_LENGTH);
    fields.contains(&TRANSFER_ENCODING) || lengths.any(|length| length != b"0")
}

fn invalid(error: HeadError) -> Failure {
    Failure::new(Phase::ResponseHead, error)
}

/// RFC 9112, section 4: what stands behind the status of a sound head, unless it is what mostly stands there.
fn unusual_reason(head: &[u8]) -> Option<&[u8]> {
    const VERSION: usize = b"HTTP/1.1 ".len();
    let (status, rest) = head.get(VERSION..)?.split_at_checked(3)?;
    let reason = rest.split(|byte| *byte == b'\r').next()?.trim_ascii_start();
    let usual = StatusCode::from_bytes(status).ok()?.canonical_reason();
    (usual.map(str::as_bytes) != Some(reason)).then_some(reason)
}

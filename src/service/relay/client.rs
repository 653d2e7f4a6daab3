//! A client's raw connection for the time of one request: what it has sent ahead, and what it is sent.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderValue};
use http::{Method, Response, StatusCode, Version};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Relayed;
use super::answered::Answered;
use super::asking::{Leg, gist, limit_of};
use super::connection::Connection;
use super::passage::{Broken, Passage};
use super::source::Source;
use super::wait::{For, Wait};
use crate::connect::Trace;
use crate::error::{Cause, Error, Phase};
use crate::handshake::Rejection;
use crate::header::trailer::Ending;
use crate::header::{date, hop_by_hop};
use crate::http1::{AnyFields, BodyLength, FieldList, ResponseHead, encode_answer, encode_response};
use crate::service::config::RelayConfig;
use crate::side::Side;
use crate::telemetry;
use crate::tunnel::{self, Rewind, SpliceConfig, Timer, Transfer};
use crate::wire;

/// How much a client may send ahead of the response to its request. Beyond that it is not read: back-pressure.
const AHEAD_LIMIT: usize = 64 * 1024;

/// The client's connection for the time of one request.
pub(super) struct Client<S> {
    pub(super) stream: S,
    /// Of those who read its requests.
    pub(super) timer: Timer,
    /// Read behind the request's head, and not yet used.
    pub(super) ahead: BytesMut,
    pub(super) has_ended: bool,
    /// It may have ended, and is there nevertheless.
    pub(super) may_half_close: bool,
    /// The interim responses that it is sent.
    pub(super) interim: Transfer,
    pub(super) version: Version,
    pub(super) method: Method,
    pub(super) length: BodyLength,
    /// What ends here of its request's trailer section, where there may be one.
    pub(super) ending: Option<Arc<Ending>>,
    pub(super) expects_continue: bool,
    /// The connection ends with the response.
    pub(super) closes: bool,
}

/// How the request has been answered.
pub(super) struct Outcome {
    pub(super) status: StatusCode,
    pub(super) failure: Option<Arc<Error>>,
    pub(super) rejection: Option<Rejection>,
}

/// A response that is out.
pub(super) struct Done {
    outcome: Outcome,
    /// The request has been read to its end.
    is_whole: bool,
    moved: Moved,
}

/// How many bytes of a request and its response have moved.
#[derive(Clone, Copy, Debug, Default)]
struct Moved {
    sent: u64,
    sent_of_body: u64,
    spliced_from_downstream: u64,
    spliced_from_upstream: u64,
}

impl<S> Client<S>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    /// Queues an interim response for the client, if it is for it. A 100 is not: it has been sent the proxy's own.
    pub(super) fn queue_interim(&mut self, mut head: ResponseHead<FieldList>) -> bool {
        if head.status == StatusCode::CONTINUE || self.version < Version::HTTP_11 {
            return false;
        }
        // RFC 9110, sections 6.4.1 and 8.6: neither length nor coding in a 1xx.
        if hop_by_hop::strip_and(&mut head.fields, |name| name == CONTENT_LENGTH).is_err() {
            return false;
        }
        encode_answer(head.status, None, &head.fields, self.interim.queue());
        true
    }

    /// While the response is under way: notices a client that has been reset, and keeps what it sends ahead.
    ///
    /// A client that has ended its write side still gets its response, unless that counts as having left.
    pub(super) fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        while !self.has_ended && self.ahead.len() < AHEAD_LIMIT {
            let mut space = [const { MaybeUninit::uninit() }; 8 * 1024];
            let mut read = ReadBuf::uninit(&mut space);
            let outcome = Pin::new(&mut self.stream).poll_read(cx, &mut read);
            match ready!(wire::again(cx, outcome)) {
                Ok(()) if read.filled().is_empty() => self.has_ended = true,
                Ok(()) => self.ahead.extend_from_slice(read.filled()),
                Err(error) => {
                    return Poll::Ready(Error::new(Phase::Response, Side::Downstream, Cause::Io(error)));
                }
            }
        }
        match self.has_ended && !self.may_half_close {
            true => Poll::Ready(Error::new(Phase::Response, Side::Downstream, Cause::Closed)),
            false => Poll::Pending,
        }
    }

    /// Relays an answer, and gives back the upstream's connection if it can go on.
    pub(super) async fn relay<R: Source>(
        &mut self,
        answered: Answered<R::Place, R::Stream>,
        source: &R,
        config: &RelayConfig,
        trace: Option<&Trace>,
    ) -> Result<Done, Error> {
        let Answered {
            mut leg,
            head,
            reframe,
            length,
            ending,
            is_kept,
        } = answered;
        let mut download = Passage::new(length, reframe, Some(SpliceConfig::default())).without(ending);
        let reason = leg.opened.connection.reason.as_deref();
        encode_answer(head.status, reason, &head.fields, download.transfer.queue());
        let head_length = download.transfer.queue().len() as u64;
        let mut gave_up = false;
        leg.opened.connection.wait.start_again();
        let relayed = poll_fn(|cx| {
            let Leg { opened, upload } = &mut *leg;
            self.poll_relay(
                cx,
                config,
                &mut opened.connection,
                (upload, &mut gave_up),
                &mut download,
            )
        })
        .await;
        let interim = self.interim.delivered();
        let sent = download.transfer.delivered();
        let body_sent = sent.saturating_sub(head_length);
        if let Some(trace) = trace {
            trace.sent(interim.saturating_add(sent), body_sent);
            if sent >= head_length {
                trace.answered(head.status);
            }
        }
        if let Err(error) = relayed {
            // A body that was cut short must not look complete: a reset, not an orderly end.
            tunnel::reset_on_drop(&self.stream);
            error.observed();
            return Err(error);
        }
        let Leg { opened, upload } = *leg;
        if is_kept && opened.connection.buffer.is_empty() {
            source.keep(opened);
        } else {
            drop(opened);
        }
        let outcome = Outcome {
            status: head.status,
            failure: None,
            rejection: None,
        };
        let moved = Moved {
            sent: interim.saturating_add(sent),
            sent_of_body: body_sent,
            spliced_from_downstream: upload.transfer.spliced(),
            spliced_from_upstream: download.transfer.spliced(),
        };
        let is_whole = upload.is_read();
        Ok(Done {
            outcome,
            is_whole,
            moved,
        })
    }

    pub(super) fn poll_relay<U>(
        &mut self,
        cx: &mut Context<'_>,
        config: &RelayConfig,
        connection: &mut Connection<U>,
        (upload, gave_up): (&mut Passage, &mut bool),
        download: &mut Passage,
    ) -> Poll<Result<(), Error>>
    where
        U: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let failed = |side, cause| Poll::Ready(Err(Error::new(Phase::Response, side, cause)));
        match download.poll(
            cx,
            &mut connection.stream,
            &mut connection.buffer,
            &mut self.stream,
        ) {
            Poll::Ready(Ok(())) => return Poll::Ready(Ok(())),
            Poll::Ready(Err(Broken::Writer(error))) => return failed(Side::Downstream, Cause::Io(error)),
            Poll::Ready(Err(Broken::Reader(cause))) => return failed(Side::Upstream, cause),
            Poll::Ready(Err(Broken::TooLarge(_))) | Poll::Pending => {}
        }
        if !upload.is_done() && !*gave_up {
            match upload.poll(cx, &mut self.stream, &mut self.ahead, &mut connection.stream) {
                // Where a request broke off, its answer does too.
                Poll::Ready(Err(Broken::Reader(cause))) => return failed(Side::Downstream, gist(cause)),
                Poll::Ready(Err(Broken::TooLarge(limit))) => {
                    return failed(Side::Downstream, Cause::BodyTooLarge(limit));
                }
                Poll::Ready(Err(Broken::Writer(_))) => *gave_up = true,
                Poll::Ready(Ok(())) | Poll::Pending => {}
            }
        }
        if upload.is_done() {
            // What the upstream has sent whole is delivered.
            self.may_half_close |= download.is_read();
            if let Poll::Ready(error) = self.poll_ahead(cx) {
                return Poll::Ready(Err(error));
            }
        }
        let waits_for = match download.transfer.has_queued() || download.is_read() {
            true => For::Client,
            false if upload.is_done() || *gave_up => For::Answer,
            // The upstream may have to read the rest of the request before it goes on.
            false if upload.transfer.has_queued() || upload.is_read() => For::Sending,
            false => For::Upload,
        };
        let limit = limit_of(config, waits_for);
        let progress = match waits_for {
            For::Client => download.progress(),
            // An upstream that takes the rest of a request is not silent.
            _ => download.progress().wrapping_add(upload.progress()),
        };
        ready!(connection.wait.poll(cx, waits_for, progress, limit));
        let has_moved = match waits_for {
            For::Client => download.transfer.offer(&self.stream),
            _ => upload.transfer.offer(&connection.stream),
        };
        if has_moved {
            // The wait starts again.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        match waits_for {
            For::Client => failed(Side::Downstream, Cause::Io(io::ErrorKind::TimedOut.into())),
            For::Upload => failed(Side::Downstream, Cause::TimedOut(limit)),
            For::Sending | For::Answer => failed(Side::Upstream, Cause::TimedOut(limit)),
        }
    }

    pub(super) async fn refuse(
        self,
        rejection: Rejection,
        config: &RelayConfig,
        trace: Option<Trace>,
    ) -> Result<Relayed<S>, Error> {
        telemetry::refused(rejection.name());
        let response = rejection.clone().into_response();
        let outcome = Outcome {
            status: response.status(),
            failure: None,
            rejection: Some(rejection),
        };
        self.answer(response, outcome, config, trace).await
    }

    /// Sends a response of the proxy's own.
    pub(super) async fn answer(
        mut self,
        response: Response<String>,
        outcome: Outcome,
        config: &RelayConfig,
        trace: Option<Trace>,
    ) -> Result<Relayed<S>, Error> {
        let (mut head, text) = response.into_parts();
        // What is left of the request would be taken for another.
        let is_whole = self.length == BodyLength::None;
        self.closes |= !is_whole || config.is_draining();
        head.headers.take_out(&CONNECTION);
        let connection = match (self.closes, self.version) {
            (true, _) => Some("close"),
            (false, Version::HTTP_10) => Some("keep-alive"),
            (false, _) => None,
        };
        if let Some(connection) = connection {
            head.headers
                .insert(CONNECTION, HeaderValue::from_static(connection));
        }
        head.headers.insert(CONTENT_LENGTH, HeaderValue::from(text.len()));
        date::add(&mut head.headers);
        let out = &mut self.interim;
        let before = out.delivered();
        encode_response(&head, out.queue());
        let head_length = out.queue().len();
        if self.method != Method::HEAD {
            out.queue().extend_from_slice(text.as_bytes());
        }
        let body_length = (out.queue().len() - head_length) as u64;
        let mut wait = Wait::default();
        let sent = poll_fn(|cx| {
            if let Poll::Ready(sent) = out.poll_send(cx, &mut self.stream) {
                return Poll::Ready(sent);
            }
            let late = wait.poll(cx, For::Client, out.delivered(), config.send_limit());
            late.map(|()| Err(io::ErrorKind::TimedOut.into()))
        })
        .await;
        let sent_now = out.delivered().saturating_sub(before);
        let bytes_sent = out.delivered();
        if let Some(trace) = &trace {
            trace.sent(bytes_sent, sent_now.saturating_sub(head_length as u64));
            if sent_now >= head_length as u64 {
                trace.answered(outcome.status);
            }
        }
        if let Err(error) = sent {
            tunnel::reset_on_drop(&self.stream);
            let error = Error::new(Phase::Response, Side::Downstream, Cause::Io(error));
            error.observed();
            return Err(error);
        }
        let moved = Moved {
            sent: bytes_sent,
            sent_of_body: body_length,
            ..Moved::default()
        };
        let done = Done {
            outcome,
            is_whole,
            moved,
        };
        let (relayed, left) = self.end(done);
        if let Some(mut stream) = left {
            wire::close(&mut stream).await;
        }
        Ok(relayed)
    }

    /// The response is out: the connection goes on, or its stream comes back to be closed.
    pub(super) fn end(self, done: Done) -> (Relayed<S>, Option<S>) {
        let Done {
            outcome,
            is_whole,
            moved,
        } = done;
        telemetry::request_answered(outcome.status.as_u16());
        let mut relayed = Relayed {
            status: Some(outcome.status),
            failure: outcome.failure,
            rejection: outcome.rejection,
            bytes_sent: moved.sent,
            body_bytes_sent: moved.sent_of_body,
            spliced_from_downstream: moved.spliced_from_downstream,
            spliced_from_upstream: moved.spliced_from_upstream,
            stream: None,
        };
        if is_whole && !self.closes && !(self.has_ended && self.ahead.is_empty()) {
            relayed.stream = Some(Rewind::new(self.stream, self.ahead.freeze()).timed(self.timer));
            return (relayed, None);
        }
        (relayed, Some(self.stream))
    }
}

//! One ordinary request that a server has taken in, asked of an upstream over a raw connection: the head goes up and its body after
//! it, until the head of an answer is there.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::header::{CONTENT_LENGTH, HeaderMap, TRANSFER_ENCODING};
use http::{Method, StatusCode, Version, response};
use hyper::ext::ReasonPhrase;

use super::answer_body::AnswerBody;
use super::asked::Asked;
use super::connection;
use super::destination::Destination;
use super::passage::Broken;
use super::source::{Opened, Source};
use super::upload::Upload;
use super::wait::For;
use crate::error::{Cause, Error, Phase};
use crate::exchange::MAX_INTERIM;
use crate::header::final_answer;
use crate::header::rules::PreparedRules;
use crate::header::trailer::Ending;
use crate::http1::{AnyFields, BodyLength, HeadError, ResponseHead};
use crate::service::body::ProxyBody;
use crate::service::config::RelayConfig;
use crate::service::failure::Failure;
use crate::service::interim::Exchange;
use crate::service::request_body::RequestBody;
use crate::side::Side;
use crate::telemetry::{self, Kind, Stopwatch};

/// What a call does not change.
pub(super) struct Call<'a> {
    pub(super) config: &'a RelayConfig,
    pub(super) destination: &'a Destination,
    pub(super) rules: &'a PreparedRules,
    pub(super) exchange: &'a Arc<Exchange>,
    pub(super) version: Version,
    pub(super) method: Method,
    pub(super) length: BodyLength,
    pub(super) closes: bool,
    pub(super) speaks_interim: bool,
}

/// An answer, and what is still to come of it.
struct Answered<K, S> {
    opened: Opened<K, S>,
    upload: Upload,
    /// The upstream takes no more of the request.
    gave_up: bool,
    head: response::Parts,
    rest: Rest,
}

/// What is to come behind the head of an answer.
struct Rest {
    length: BodyLength,
    /// Of a trailer section, where there may be one.
    ending: Option<Arc<Ending>>,
    /// The upstream keeps its connection.
    is_kept: bool,
}

impl Call<'_> {
    /// The head of a response that the client can get, and its body. A server that fails is followed by another as long as the
    /// connector has one and nothing can happen twice; where that leads to none, the last word is that of the one before, or of
    /// the same one over a fresh connection, where it had closed a kept one.
    pub(super) async fn ask<R: Source>(
        &self,
        source: &R,
        asked: &mut Asked,
        mut body: Option<RequestBody>,
    ) -> Result<(response::Parts, ProxyBody), Failure> {
        let mut former = None;
        loop {
            let tries = asked.tries();
            let mut answered = pin!(self.ask_one(source, asked, &mut body)).await;
            let mut goes_on = false;
            // An answer that another server was to better is the last word where no other has one.
            let mut passed = None;
            match (&answered, former.take()) {
                (Err(failure), Some(before)) if failure.error.is_exhaustion() => answered = before,
                // One that was tried is not tried again: this ends.
                (_, before) => {
                    passed = before.and_then(Result::ok);
                    let status = answered.as_ref().map(|answered| answered.head.status);
                    goes_on = asked.goes_on_after(status) && asked.tries() != tries;
                }
            }
            match (answered, passed) {
                (Err(_), passed @ Some(_)) if goes_on => former = passed.map(Ok),
                (answered, _) if goes_on => former = Some(answered),
                (Err(failure), passed) if asked.starts_afresh_after(&failure) => former = passed.map(Ok),
                (Err(failure), None) => return Err(failure),
                (Ok(answered), _) | (Err(_), Some(answered)) => return Ok(self.finish(source, answered)),
            }
        }
    }

    async fn ask_one<R: Source>(
        &self,
        source: &R,
        asked: &mut Asked,
        body: &mut Option<RequestBody>,
    ) -> Result<Answered<R::Place, R::Stream>, Failure> {
        let mut opened = source.open(asked, self.destination, self.config).await?;
        let asked_at = Stopwatch::start();
        let mut upload = Upload::new(body.take(), self.length);
        asked.head.encode(upload.transfer.queue());
        let mut asking = Asking {
            call: self,
            gave_up: false,
            interim: 0,
        };
        let head = poll_fn(|cx| asking.poll(cx, &mut opened, &mut upload, asked)).await;
        if head.is_ok() {
            telemetry::answered(Kind::Request, asked_at);
        }
        asked.has_begun |= upload.has_begun();
        match head.and_then(|head| self.judge(head, upload.is_sent())) {
            Ok((head, rest)) => Ok(Answered {
                opened,
                upload,
                gave_up: asking.gave_up,
                head,
                rest,
            }),
            Err(failure) => {
                *body = upload.into_body();
                Err(self.exchange.take_client_failure().unwrap_or(failure))
            }
        }
    }

    /// Makes of the upstream's head the one that the client gets, and says what is to come behind it. `is_asked`: it has the request whole.
    fn judge(
        &self,
        head: ResponseHead<HeaderMap>,
        is_asked: bool,
    ) -> Result<(response::Parts, Rest), Failure> {
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            // Nobody has asked for a switch here. Status alone opens nothing.
            return Err(Failure::unasked_switch());
        }
        let length = BodyLength::of_answer(head.version, head.status, &head.fields, &self.method)
            .map_err(|error| Failure::new(Phase::ResponseHead, HeadError::from(error)))?;
        let is_kept = connection::is_kept(&head, length, is_asked);
        let closes = self.closes || self.config.is_draining();
        let mut head = head.into_parts();
        let ending = match length {
            BodyLength::Chunked => Some(Ending::of_response(
                &head.headers,
                Some(self.rules.rules()),
                head.status,
            )),
            _ => None,
        };
        let was_chunked = head.headers.contains_key(TRANSFER_ENCODING);
        final_answer::make_ready(&mut head.headers, head.status, self.version, closes)
            .map_err(|error| Failure::unusable(error.into()))?;
        if was_chunked {
            head.headers.take_out(&CONTENT_LENGTH);
        }
        self.rules.apply_to_response(&mut head.headers, head.status);
        head.version = Version::HTTP_11;
        let rest = Rest {
            length,
            ending,
            is_kept,
        };
        Ok((head, rest))
    }

    fn finish<R: Source>(
        &self,
        source: &R,
        answered: Answered<R::Place, R::Stream>,
    ) -> (response::Parts, ProxyBody) {
        let Answered {
            mut opened,
            upload,
            gave_up,
            mut head,
            rest,
        } = answered;
        if let Some(reason) = opened.connection.reason.take() {
            if let Ok(reason) = ReasonPhrase::try_from(&reason[..]) {
                head.extensions.insert(reason);
            }
        }
        let exchange = self.exchange.clone();
        let body = AnswerBody::new(
            source.clone(),
            opened,
            (upload, gave_up),
            exchange.clone(),
            (rest.length, rest.ending),
            rest.is_kept,
            self.config.read_limit(),
        );
        (head, ProxyBody::relayed(Box::new(body)).of(exchange))
    }
}

/// The request goes up, and its answer is waited for.
struct Asking<'a> {
    call: &'a Call<'a>,
    /// The upstream takes no more of the request. It may have answered nevertheless.
    gave_up: bool,
    interim: usize,
}

impl Asking<'_> {
    /// The head of the final answer.
    fn poll<K, U>(
        &mut self,
        cx: &mut Context<'_>,
        opened: &mut Opened<K, U>,
        upload: &mut Upload,
        asked: &mut Asked,
    ) -> Poll<Result<ResponseHead<HeaderMap>, Failure>>
    where
        U: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + 'static,
    {
        let connection = &mut opened.connection;
        if !self.gave_up {
            match upload.poll(cx, &mut connection.stream) {
                Poll::Ready(Err(Broken::Writer(_))) => self.gave_up = true,
                Poll::Ready(Err(_)) => {
                    let left = || Failure::from(Error::new(Phase::Request, Side::Downstream, Cause::Closed));
                    let failure = self.call.exchange.take_client_failure();
                    return Poll::Ready(Err(failure.unwrap_or_else(left)));
                }
                Poll::Ready(Ok(())) | Poll::Pending => {}
            }
        }
        while let Poll::Ready(head) = connection.poll_head(cx, &self.call.config.limits) {
            let head: ResponseHead<HeaderMap> = head?;
            if !head.status.is_informational() || head.status == StatusCode::SWITCHING_PROTOCOLS {
                return Poll::Ready(Ok(head));
            }
            self.interim += 1;
            if self.interim > MAX_INTERIM {
                return Poll::Ready(Err(Failure::new(Phase::ResponseHead, Cause::TooManyInterim)));
            }
            if self.call.speaks_interim {
                self.call.exchange.interim(head.status, &head.fields);
                asked.has_passed_interim |= self.call.exchange.has_passed_interim();
            }
        }
        let (waits_for, (limit, prolongs)) = match upload.is_done() || self.gave_up {
            true => (For::Answer, self.call.config.head_limit()),
            false if upload.transfer.has_queued() || upload.is_read() => {
                (For::Sending, (self.call.config.send_limit(), true))
            }
            // The client's time is kept by the body itself.
            false => return Poll::Pending,
        };
        // No interim response gives the request more time.
        let interim = match waits_for {
            For::Answer if prolongs => self.interim as u64,
            _ => 0,
        };
        let progress = upload.transfer.delivered().wrapping_add(interim);
        ready!(connection.wait.poll(cx, waits_for, progress, limit));
        if waits_for == For::Sending && upload.transfer.offer(&connection.stream) {
            // The wait starts again.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Err(Failure::late(limit)))
    }
}

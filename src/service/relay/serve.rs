//! One ordinary request on a client's raw connection, asked of an upstream over a raw connection, and its answer relayed: heads as
//! the crate's own parser reads them, bodies as they are framed.
//!
//! The walk of an upgrade with other words: (4) rewrite, (5) connect, (6) the head of the answer, and then its body.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HeaderValue, TRANSFER_ENCODING};
use http::{Method, Response, StatusCode, Version, request, response};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Relayed;
use super::asked::Asked;
use super::connection::Connection;
use super::destination::Destination;
use super::forward::{closes_after, prepare};
use super::passage::{Broken, Passage, Reframe};
use super::source::{Opened, Source};
use super::wait::{For, Wait};
use crate::error::{Cause, Error, Phase};
use crate::exchange::MAX_INTERIM;
use crate::handshake::{Rejection, last_response};
use crate::header::rules::PreparedRules;
use crate::header::{ConnectionOptions, Forwarding, Hop, final_answer, hop_by_hop, remove};
use crate::http1::{BodyLength, HeadError, encode_answer, encode_request, encode_response};
use crate::service::config::RelayConfig;
use crate::service::date;
use crate::service::failure::Failure;
use crate::side::Side;
use crate::tunnel::{self, Rewind, SpliceConfig, Transfer};
use crate::wire;

/// How much a client may send ahead of the response to its request. Beyond that it is not read: back-pressure.
const AHEAD_LIMIT: usize = 64 * 1024;

/// The client's connection for the time of one request.
struct Client<S> {
    stream: S,
    /// Read behind the request's head, and not yet used.
    ahead: BytesMut,
    has_ended: bool,
    /// The interim responses that it is sent.
    interim: Transfer,
    version: Version,
    method: Method,
    length: BodyLength,
    expects_continue: bool,
    /// The connection ends with the response.
    closes: bool,
}

/// How the request has been answered.
struct Outcome {
    status: StatusCode,
    failure: Option<Arc<Error>>,
    rejection: Option<Rejection>,
}

/// An upstream's answer, to be relayed.
struct Answered<K, S> {
    opened: Opened<K, S>,
    upload: Passage,
    head: response::Parts,
    reframe: Reframe,
    length: BodyLength,
    /// The upstream keeps its connection.
    is_kept: bool,
}

/// What the caller decides about a request.
pub(super) struct Route<'a> {
    pub(super) destination: Destination,
    pub(super) hop: Hop,
    pub(super) forwarding: &'a Forwarding,
}

/// Serves the request at the start of `stream`.
pub(super) async fn serve<S, R>(
    source: &R,
    config: &RelayConfig,
    stream: Rewind<S>,
    head: &request::Parts,
    route: Route<'_>,
) -> Result<Relayed<S>, Error>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
    R: Source,
{
    let refused = |error: HeadError| Error::new(Phase::RequestHead, Side::Downstream, Cause::Head(error));
    let length = BodyLength::of_request(head).map_err(|error| refused(error.into()))?;
    let (stream, front) = stream.into_parts();
    let behind = end_of_head(&front);
    let ahead = match behind == front.len() {
        true => BytesMut::new(),
        false => BytesMut::from(&front[behind..]),
    };
    drop(front);
    let mut client = Client {
        stream,
        ahead,
        has_ended: false,
        interim: Transfer::new(None),
        version: head.version,
        method: head.method.clone(),
        length,
        expects_continue: expects_continue(head, length),
        closes: closes_after(head) || ConnectionOptions::of(&head.headers).contains("close"),
    };
    let Route {
        destination,
        hop,
        forwarding,
    } = route;
    let trace = destination.trace.clone();
    if let Some(rejection) = refusal(config, head, length) {
        client.closes = true;
        return client.refuse(rejection, config, trace).await;
    }
    let hop = forwarding
        .client()
        .locate(hop.version(head.version), &head.headers);
    let mut outgoing = head.clone();
    let rules = match prepare(forwarding, &mut outgoing, &destination, hop) {
        Ok(rules) => rules,
        Err(rejection) => return client.refuse(rejection, config, trace).await,
    };
    if length == BodyLength::Chunked {
        let chunked = HeaderValue::from_static("chunked");
        outgoing.headers.insert(TRANSFER_ENCODING, chunked);
    }
    let mut asked = Asked::new(outgoing, hop, length != BodyLength::None, trace.clone());
    match ask(source, config, &mut client, &mut asked, &destination, &rules).await {
        Ok(answered) => client.relay(answered, source, config, trace).await,
        Err(Unanswered::Client(error)) => {
            let sent = client.interim.delivered();
            if let Some(trace) = &trace {
                trace.sent(sent, 0);
            }
            tunnel::reset_on_drop(&client.stream);
            Err(error)
        }
        Err(Unanswered::Failed(failure)) => {
            let status = failure.error.status().unwrap_or(StatusCode::BAD_GATEWAY);
            let response = last_response(status, failure.error.public_text());
            let outcome = Outcome {
                status,
                failure: Some(failure.error),
                rejection: None,
            };
            client.answer(response, outcome, config, trace).await
        }
    }
}

/// Why there is no answer to relay.
enum Unanswered {
    /// The client cannot be answered.
    Client(Error),
    /// The client is told.
    Failed(Failure),
}

/// What of a request is refused before any upstream has heard of it.
fn refusal(config: &RelayConfig, head: &request::Parts, length: BodyLength) -> Option<Rejection> {
    if head.method == Method::TRACE && !config.allow_trace {
        return Some(Rejection::Trace);
    }
    match (length, config.most_of_request_body()) {
        (BodyLength::Exactly(length), Some(limit)) if length > limit => {
            Some(Rejection::BodyTooLarge { limit })
        }
        _ => None,
    }
}

/// The head is known to be sound and whole: only its end is looked for. RFC 9112, section 2.2: empty lines may come before it.
fn end_of_head(bytes: &[u8]) -> usize {
    let start = bytes
        .iter()
        .take_while(|byte| matches!(byte, b'\r' | b'\n'))
        .count();
    let mut at = start;
    // The line feeds are few, and the empty line is the one that follows another at once.
    while let Some(next) = bytes[at..].iter().position(|byte| *byte == b'\n') {
        at += next + 1;
        if bytes[at..].starts_with(b"\r\n") {
            return at + 2;
        }
    }
    bytes.len()
}

/// RFC 9110, section 10.1.1: only in HTTP/1.1, and only before a body.
fn expects_continue(head: &request::Parts, length: BodyLength) -> bool {
    let expected = head.headers.get(EXPECT).map(HeaderValue::as_bytes);
    length != BodyLength::None
        && head.version >= Version::HTTP_11
        && expected.is_some_and(|value| value.eq_ignore_ascii_case(b"100-continue"))
}

/// The head of an answer that the client can get. A server that fails is followed by another as long as the connector has one and
/// nothing can happen twice; where that leads to none, the last word is that of the one before, or of the same one over a fresh
/// connection, where it had closed a kept one.
async fn ask<S, R>(
    source: &R,
    config: &RelayConfig,
    client: &mut Client<S>,
    asked: &mut Asked,
    destination: &Destination,
    rules: &PreparedRules,
) -> Result<Answered<R::Place, R::Stream>, Unanswered>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
    R: Source,
{
    let mut former = None;
    loop {
        let tries = asked.tries();
        let mut answered = match ask_one(source, config, client, asked, destination, rules).await {
            Ok(answered) => Ok(answered),
            Err(Unanswered::Failed(failure)) => Err(failure),
            Err(client) => return Err(client),
        };
        let mut goes_on = false;
        match (&answered, former.take()) {
            (Err(failure), Some(before)) if failure.error.is_exhaustion() => answered = before,
            // One that was tried is not tried again: this ends.
            _ => {
                let status = answered.as_ref().map(|answered| answered.head.status);
                goes_on = asked.goes_on_after(status) && asked.tries() != tries;
            }
        }
        match answered {
            answered if goes_on => former = Some(answered),
            Err(failure) if asked.starts_afresh_after(&failure) => {}
            Err(failure) => return Err(Unanswered::Failed(failure)),
            Ok(answered) => return Ok(answered),
        }
    }
}

async fn ask_one<S, R>(
    source: &R,
    config: &RelayConfig,
    client: &mut Client<S>,
    asked: &mut Asked,
    destination: &Destination,
    rules: &PreparedRules,
) -> Result<Answered<R::Place, R::Stream>, Unanswered>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
    R: Source,
{
    let opened = {
        let mut open = std::pin::pin!(source.open(asked, destination, config));
        poll_fn(|cx| {
            if let Poll::Ready(opened) = open.as_mut().poll(cx) {
                return Poll::Ready(opened.map_err(Unanswered::Failed));
            }
            client.poll_ahead(cx).map(|error| Err(Unanswered::Client(error)))
        })
        .await?
    };
    let splice = Some(SpliceConfig::default());
    let mut upload = Passage::new(client.length, Reframe::Not, splice).at_most(config.most_of_request_body());
    encode_request(&asked.head, upload.transfer.queue());
    if std::mem::take(&mut client.expects_continue) && client.ahead.is_empty() {
        let queue = client.interim.queue();
        queue.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
    }
    let mut asking = Asking {
        config,
        client,
        opened,
        upload,
        gave_up: false,
        wait: Wait::default(),
        interim: 0,
    };
    let head = poll_fn(|cx| asking.poll(cx, asked)).await?;
    let Asking {
        client,
        opened,
        upload,
        ..
    } = asking;
    judge(client, opened, upload, head, rules).map_err(Unanswered::Failed)
}

/// Makes of the upstream's answer the one that the client gets.
fn judge<S, K, U>(
    client: &mut Client<S>,
    opened: Opened<K, U>,
    upload: Passage,
    mut head: response::Parts,
    rules: &PreparedRules,
) -> Result<Answered<K, U>, Failure> {
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        // Nobody has asked for a switch here. Status alone opens nothing.
        return Err(Failure::unasked_switch());
    }
    let length = BodyLength::of_response(&head, &client.method)
        .map_err(|error| Failure::new(Phase::ResponseHead, HeadError::from(error)))?;
    let is_kept = head.version == Version::HTTP_11
        && length != BodyLength::UntilClose
        && !ConnectionOptions::of(&head.headers).contains("close");
    let reframe = match length {
        BodyLength::Chunked if client.version < Version::HTTP_11 => Reframe::Unchunk,
        BodyLength::UntilClose if client.version >= Version::HTTP_11 => Reframe::Chunk,
        _ => Reframe::Not,
    };
    // In HTTP/1.0 only the end of the connection ends what has no length.
    let until_close =
        reframe == Reframe::Unchunk || length == BodyLength::UntilClose && reframe == Reframe::Not;
    let closes = client.closes || until_close;
    let headers = &mut head.headers;
    final_answer::make_ready(headers, head.status, client.version, closes)
        .map_err(|error| Failure::unusable(error.into()))?;
    if matches!(length, BodyLength::Chunked | BodyLength::UntilClose) {
        remove(headers, &CONTENT_LENGTH);
        if !until_close {
            headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
    }
    rules.apply_to_response(headers, head.status);
    date::add(headers);
    client.closes = closes;
    Ok(Answered {
        opened,
        upload,
        head,
        reframe,
        length,
        is_kept,
    })
}

/// The request goes up, and its answer is waited for.
struct Asking<'a, S, K, U> {
    config: &'a RelayConfig,
    client: &'a mut Client<S>,
    opened: Opened<K, U>,
    upload: Passage,
    /// The upstream takes no more of the request. It may have answered nevertheless.
    gave_up: bool,
    wait: Wait,
    interim: usize,
}

impl<S, K, U> Asking<'_, S, K, U>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
    U: AsyncRead + AsyncWrite + Unpin + 'static,
{
    /// The head of the final answer.
    fn poll(&mut self, cx: &mut Context<'_>, asked: &mut Asked) -> Poll<Result<response::Parts, Unanswered>> {
        loop {
            self.poll_upload(cx)?;
            asked.has_begun |= self.upload.has_begun();
            // The next interim response is read when the last has been written.
            let client = &mut *self.client;
            if client.interim.has_queued() {
                match client.interim.poll_out(cx, &mut client.stream) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(client_failed(error))),
                    Poll::Pending => return self.poll_late(cx, For::Client),
                }
            }
            match self.opened.connection.poll_head(cx, &self.config.limits) {
                Poll::Ready(Err(failure)) => return Poll::Ready(Err(Unanswered::Failed(failure))),
                Poll::Ready(Ok(head)) if is_interim(&head) => {
                    self.interim += 1;
                    if self.interim > MAX_INTERIM {
                        let failure = Failure::new(Phase::ResponseHead, Cause::TooManyInterim);
                        return Poll::Ready(Err(Unanswered::Failed(failure)));
                    }
                    asked.has_passed_interim |= self.client.queue_interim(head);
                }
                Poll::Ready(Ok(head)) => return Poll::Ready(Ok(head)),
                Poll::Pending => break,
            }
        }
        let waits_for = match self.upload.is_done() || self.gave_up {
            true => {
                if let Poll::Ready(error) = self.client.poll_ahead(cx) {
                    return Poll::Ready(Err(Unanswered::Client(error)));
                }
                For::Answer
            }
            false if self.upload.transfer.has_queued() || self.upload.is_read() => For::Sending,
            false => For::Upload,
        };
        self.poll_late(cx, waits_for)
    }

    fn poll_upload(&mut self, cx: &mut Context<'_>) -> Result<(), Unanswered> {
        if self.gave_up {
            return Ok(());
        }
        let connection = &mut self.opened.connection;
        let client = &mut *self.client;
        let sent = self
            .upload
            .poll(cx, &mut client.stream, &mut client.ahead, &mut connection.stream);
        match sent {
            Poll::Ready(Err(Broken::Reader(cause))) => Err(Unanswered::Failed(of_request(cause))),
            Poll::Ready(Err(Broken::TooLarge(limit))) => {
                Err(Unanswered::Failed(Failure::body_too_large(limit)))
            }
            Poll::Ready(Err(Broken::Writer(_))) => {
                self.gave_up = true;
                Ok(())
            }
            Poll::Ready(Ok(())) | Poll::Pending => Ok(()),
        }
    }

    /// Whether the side that is waited for takes too long.
    fn poll_late(
        &mut self,
        cx: &mut Context<'_>,
        waits_for: For,
    ) -> Poll<Result<response::Parts, Unanswered>> {
        let limit = limit_of(self.config, waits_for);
        let progress = self
            .upload
            .progress()
            .wrapping_add(self.client.interim.delivered())
            .wrapping_add(self.interim as u64);
        ready!(self.wait.poll(cx, waits_for, progress, limit));
        Poll::Ready(Err(match waits_for {
            For::Sending | For::Answer => Unanswered::Failed(Failure::late(limit)),
            For::Upload => Unanswered::Failed(of_request(Cause::TimedOut(limit))),
            For::Client => client_failed(io::ErrorKind::TimedOut.into()),
        }))
    }
}

fn is_interim(head: &response::Parts) -> bool {
    head.status.is_informational() && head.status != StatusCode::SWITCHING_PROTOCOLS
}

fn limit_of(config: &RelayConfig, waits_for: For) -> std::time::Duration {
    match waits_for {
        For::Sending | For::Client => config.send_limit(),
        For::Upload => config.request_body_limit(),
        For::Answer => config.read_limit(),
    }
}

fn of_request(cause: Cause) -> Failure {
    Failure::from(Error::new(Phase::Request, Side::Downstream, gist(cause)))
}

/// However a client leaves within its request, it has left.
fn gist(cause: Cause) -> Cause {
    match cause {
        Cause::Io(_) => Cause::Closed,
        cause => cause,
    }
}

fn client_failed(error: io::Error) -> Unanswered {
    Unanswered::Client(Error::new(Phase::Response, Side::Downstream, Cause::Io(error)))
}

impl<S> Client<S>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    /// Queues an interim response for the client, if it is for it. A 100 is not: it has been sent the proxy's own.
    fn queue_interim(&mut self, mut head: response::Parts) -> bool {
        if head.status == StatusCode::CONTINUE || self.version < Version::HTTP_11 {
            return false;
        }
        // RFC 9110, sections 6.4.1 and 8.6: neither length nor coding in a 1xx.
        if hop_by_hop::strip_and(&mut head.headers, |name| name == CONTENT_LENGTH).is_err() {
            return false;
        }
        encode_response(&head, self.interim.queue());
        true
    }

    /// While the response is under way: notices a client that has been reset, and keeps what it sends ahead.
    ///
    /// A client that has ended its write side still gets its response.
    fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        while !self.has_ended && self.ahead.len() < AHEAD_LIMIT {
            let mut space = [const { MaybeUninit::uninit() }; 8 * 1024];
            let mut read = ReadBuf::uninit(&mut space);
            match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut read)) {
                Ok(()) if read.filled().is_empty() => self.has_ended = true,
                Ok(()) => self.ahead.extend_from_slice(read.filled()),
                Err(error) => {
                    return Poll::Ready(Error::new(Phase::Response, Side::Downstream, Cause::Io(error)));
                }
            }
        }
        Poll::Pending
    }

    /// Relays an answer, and gives back what can go on of both connections.
    async fn relay<R: Source>(
        mut self,
        answered: Answered<R::Place, R::Stream>,
        source: &R,
        config: &RelayConfig,
        trace: Option<crate::connect::Trace>,
    ) -> Result<Relayed<S>, Error> {
        let Answered {
            mut opened,
            mut upload,
            head,
            reframe,
            length,
            is_kept,
        } = answered;
        let mut download = Passage::new(length, reframe, Some(SpliceConfig::default()));
        let reason = match &opened.connection.reason {
            Some(reason) => reason,
            None => head.status.canonical_reason().unwrap_or_default().as_bytes(),
        };
        encode_answer(&head, reason, download.transfer.queue());
        let head_length = download.transfer.queue().len() as u64;
        let mut wait = Wait::default();
        let mut gave_up = false;
        let relayed = poll_fn(|cx| {
            let connection = &mut opened.connection;
            self.poll_relay(
                cx,
                config,
                connection,
                (&mut upload, &mut gave_up),
                &mut download,
                &mut wait,
            )
        })
        .await;
        let interim = self.interim.delivered();
        let sent = download.transfer.delivered();
        let body_sent = sent.saturating_sub(head_length);
        if let Some(trace) = &trace {
            trace.sent(interim.saturating_add(sent), body_sent);
            if sent >= head_length {
                trace.answered(head.status);
            }
        }
        if let Err(error) = relayed {
            // A body that was cut short must not look complete: a reset, not an orderly end.
            tunnel::reset_on_drop(&self.stream);
            return Err(error);
        }
        let is_whole = upload.is_done();
        if is_kept && is_whole && opened.connection.buffer.is_empty() {
            source.keep(opened);
        } else {
            drop(opened);
        }
        let outcome = Outcome {
            status: head.status,
            failure: None,
            rejection: None,
        };
        let bytes_sent = interim.saturating_add(sent);
        Ok(self.end(outcome, is_whole, (bytes_sent, body_sent)).await)
    }

    fn poll_relay<U>(
        &mut self,
        cx: &mut Context<'_>,
        config: &RelayConfig,
        connection: &mut Connection<U>,
        (upload, gave_up): (&mut Passage, &mut bool),
        download: &mut Passage,
        wait: &mut Wait,
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
            if let Poll::Ready(error) = self.poll_ahead(cx) {
                return Poll::Ready(Err(error));
            }
        }
        let waits_for = match download.transfer.has_queued() || download.is_read() {
            true => For::Client,
            false => For::Answer,
        };
        let limit = limit_of(config, waits_for);
        let progress = download.progress();
        ready!(wait.poll(cx, waits_for, progress, limit));
        match waits_for {
            For::Client => failed(Side::Downstream, Cause::Io(io::ErrorKind::TimedOut.into())),
            _ => failed(Side::Upstream, Cause::TimedOut(limit)),
        }
    }

    async fn refuse(
        self,
        rejection: Rejection,
        config: &RelayConfig,
        trace: Option<crate::connect::Trace>,
    ) -> Result<Relayed<S>, Error> {
        let response = rejection.clone().into_response();
        let outcome = Outcome {
            status: response.status(),
            failure: None,
            rejection: Some(rejection),
        };
        self.answer(response, outcome, config, trace).await
    }

    /// Sends a response of the proxy's own.
    async fn answer(
        mut self,
        response: Response<String>,
        outcome: Outcome,
        config: &RelayConfig,
        trace: Option<crate::connect::Trace>,
    ) -> Result<Relayed<S>, Error> {
        let (mut head, text) = response.into_parts();
        // What is left of the request would be taken for another.
        let is_whole = self.length == BodyLength::None;
        self.closes |= !is_whole;
        remove(&mut head.headers, &CONNECTION);
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
            if let Poll::Ready(sent) = out.poll_out(cx, &mut self.stream) {
                return Poll::Ready(sent);
            }
            let late = wait.poll(cx, For::Client, out.delivered(), config.send_limit());
            late.map(|()| Err(io::ErrorKind::TimedOut.into()))
        })
        .await;
        let sent = match sent {
            Ok(()) => poll_fn(|cx| out.poll_flush(cx, &mut self.stream)).await,
            Err(error) => Err(error),
        };
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
            return Err(Error::new(Phase::Response, Side::Downstream, Cause::Io(error)));
        }
        Ok(self.end(outcome, is_whole, (bytes_sent, body_length)).await)
    }

    /// The response is out: the connection goes on, or is closed.
    async fn end(mut self, outcome: Outcome, is_whole: bool, (sent, of_body): (u64, u64)) -> Relayed<S> {
        let mut relayed = Relayed {
            status: Some(outcome.status),
            failure: outcome.failure,
            rejection: outcome.rejection,
            bytes_sent: sent,
            body_bytes_sent: of_body,
            stream: None,
        };
        if is_whole && !self.closes && !(self.has_ended && self.ahead.is_empty()) {
            relayed.stream = Some(Rewind::new(self.stream, self.ahead.freeze()));
        } else {
            wire::close(&mut self.stream).await;
        }
        relayed
    }
}

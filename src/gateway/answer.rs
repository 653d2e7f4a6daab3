//! What the client is sent in HTTP: a refusal, a declined upgrade relayed whole, or the 101. A connection gets one final response;
//! the end or the tunnel follows it.

use std::io;
use std::pin::pin;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderValue, TRANSFER_ENCODING, UPGRADE};
use http::{Response, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use super::relayed_body::RelayedBody;
use crate::connect::Trace;
use crate::error::{Cause, Error, Phase};
use crate::exchange::Admission;
use crate::handshake::{Declined, Rejection, last_response};
use crate::header::date;
use crate::http1::{AnswerHead, encode_response};
use crate::side::Side;
use crate::telemetry;
use crate::tunnel::{self, Timer};
use crate::wire::{self, First};

/// How much a client may send before its upgrade is answered. Beyond that it is not read: back-pressure.
const EARLY_LIMIT: usize = 64 * 1024;

/// The client's connection while HTTP is spoken on it.
#[derive(Debug)]
pub(super) struct Client<S> {
    pub(super) stream: S,
    /// What has been read and not been taken: of the request head, and then of what comes behind it.
    pub(super) early: BytesMut,
    /// The request was a HEAD: no answer has a body.
    pub(super) head_only: bool,
    /// A client that has ended its write side still waits for its answer.
    pub(super) may_half_close: bool,
    send_timeout: Duration,
    /// For all deadlines of the connection, one after another.
    pub(super) timer: Timer,
    /// Who wants to know what it is sent.
    pub(super) trace: Option<Trace>,
}

/// A final response made by the proxy.
pub(super) struct Refusal(Response<String>);

impl From<&Rejection> for Refusal {
    fn from(rejection: &Rejection) -> Self {
        telemetry::refused(rejection.name());
        Refusal(rejection.clone().into_response())
    }
}

impl Refusal {
    /// A response of the caller's own, framed as the last one on its connection.
    pub(super) fn custom(mut response: Response<String>) -> Self {
        let headers = response.headers_mut();
        headers.remove(TRANSFER_ENCODING);
        // RFC 9110, section 7.8: `Upgrade` wants its connection option.
        let connection = match headers.contains_key(UPGRADE) {
            true => "close, upgrade",
            false => "close",
        };
        headers.insert(CONNECTION, HeaderValue::from_static(connection));
        Refusal(response)
    }

    /// What the caller makes of it, framed as the last one on its connection.
    pub(super) fn changed(mut self, change: impl FnOnce(&mut Response<String>)) -> Self {
        change(&mut self.0);
        Refusal::custom(self.0)
    }

    /// The client's answer where the upstream leg has failed.
    pub(super) fn of(status: StatusCode, error: &Error) -> Self {
        Refusal(last_response(status, error.public_text()))
    }
}

fn response_error(side: Side) -> impl FnOnce(io::Error) -> Error {
    move |error| Error::new(Phase::Response, side, Cause::Io(error))
}

impl<S> Client<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    pub(super) fn new(stream: S, send_timeout: Duration) -> Self {
        Client {
            stream,
            early: BytesMut::new(),
            head_only: false,
            may_half_close: false,
            send_timeout,
            timer: Timer::default(),
            trace: None,
        }
    }

    /// Waits for the client to leave. Reads what it sends meanwhile, as much as fits.
    ///
    /// A client that ends its write side before the answer has left: it cannot be distinguished from one that has
    /// closed. Unless [`may_half_close`](Client::may_half_close) says otherwise; then only an error is a leave.
    pub(super) async fn left(&mut self) -> Error
    where
        S: 'static,
    {
        let left = |cause| Error::new(Phase::ResponseHead, Side::Downstream, cause);
        while self.early.len() < EARLY_LIMIT {
            let limit = EARLY_LIMIT - self.early.len();
            match wire::read_some(&mut self.stream, &mut self.early, limit).await {
                // The tunnel finds the end again.
                Ok(0) if self.may_half_close => return std::future::pending().await,
                Ok(0) => return left(Cause::Closed),
                Ok(_) => {}
                Err(error) => return left(Cause::Io(error)),
            }
        }
        if self.may_half_close {
            return std::future::pending().await;
        }
        // What it has sent beyond the limit is not read, and its end stands behind that.
        tunnel::read_closed(&mut self.stream).await;
        left(Cause::Closed)
    }

    /// Waits for the client's connection to fail, while it is answered. What it still sends is of no interest, and
    /// that it sends no more is no failure.
    async fn failed(stream: &mut S) -> io::Error {
        let mut ignored = BytesMut::new();
        loop {
            match wire::read_some(stream, &mut ignored, usize::MAX).await {
                Ok(0) => return std::future::pending().await,
                Ok(_) => ignored.clear(),
                Err(error) => return error,
            }
        }
    }

    /// Sends a final response of the proxy's own, and closes.
    pub(super) async fn refuse(self, refusal: Refusal, admission: Admission) -> Result<(), Error> {
        // In this order, so that the place is free when the connection is closed, whatever happens before.
        let (admission, mut client) = (admission, self);
        client.send_refusal(refusal).await?;
        client.close(admission).await;
        Ok(())
    }

    /// Closes behind a final response. That is not the exchange's any more: a client that makes it last has no place.
    async fn close(mut self, admission: Admission) {
        drop(admission);
        wire::close(&mut self.stream).await;
    }

    async fn send_refusal(&mut self, refusal: Refusal) -> Result<(), Error> {
        let (mut parts, body) = refusal.0.into_parts();
        // RFC 9110, sections 6.4.1 and 8.6: these have no content, and hence no length of it to state.
        let without_content = matches!(parts.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        match without_content {
            true => drop(parts.headers.remove(CONTENT_LENGTH)),
            false => drop(
                parts
                    .headers
                    .insert(CONTENT_LENGTH, HeaderValue::from(body.len())),
            ),
        }
        date::add(&mut parts.headers);
        let mut bytes = Vec::new();
        encode_response(&parts, &mut bytes);
        let head_length = bytes.len();
        if !self.head_only && !without_content {
            bytes.extend_from_slice(body.as_bytes());
        }
        self.write(&bytes).await?;
        self.has_sent(parts.status, head_length, bytes.len() - head_length);
        Ok(())
    }

    /// Sends a head of the upstream's that has been made ready: an interim one, or the 101.
    pub(super) async fn send_head(&mut self, head: &AnswerHead) -> Result<(), Error> {
        let mut bytes = Vec::new();
        head.encode(&mut bytes);
        self.write(&bytes).await?;
        self.has_sent(head.status(), bytes.len(), 0);
        Ok(())
    }

    /// Writes down the head of a response, and how much of its body went with it.
    fn has_sent(&self, status: StatusCode, head: usize, body: usize) {
        if let Some(trace) = &self.trace {
            trace.sent((head + body) as u64, body as u64);
            if status == StatusCode::SWITCHING_PROTOCOLS || !status.is_informational() {
                trace.answered(status);
            }
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        wire::write_on(&mut self.stream, bytes, self.send_timeout)
            .await
            .map_err(response_error(Side::Downstream))
    }

    /// Relays the origin's own answer whole, and closes. Nothing that the client sends is read as a request again.
    pub(super) async fn relay<U>(
        self,
        declined: Declined,
        upstream: U,
        early: Bytes,
        read_timeout: Duration,
        admission: Admission,
    ) -> Result<StatusCode, Error>
    where
        S: 'static,
        U: AsyncRead + AsyncWrite + Unpin,
    {
        // In this order, so that the place is free when both connections are closed, whatever happens before.
        let (admission, mut client) = (admission, self);
        let status = client
            .send_declined(declined, upstream, early, read_timeout)
            .await?;
        client.close(admission).await;
        Ok(status)
    }

    async fn send_declined<U>(
        &mut self,
        mut declined: Declined,
        mut upstream: U,
        early: Bytes,
        read_timeout: Duration,
    ) -> Result<StatusCode, Error>
    where
        S: 'static,
        U: AsyncRead + AsyncWrite + Unpin,
    {
        let status = declined.status();
        let mut scanner =
            RelayedBody::new(declined.body_length(), declined.take_ending()).never_until_close();
        let mut pending = Vec::new();
        let mut head = declined.into_response();
        if scanner.is_chunked_here() {
            head.headers
                .insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        date::add(&mut head.headers);
        encode_response(&head, &mut pending);
        let mut head_length = Some(pending.len());
        let mut read = BytesMut::from(&early[..]);
        let relayed = loop {
            let body = scanner.advance(&read, &mut pending);
            read.advance(read.len());
            if !pending.is_empty() {
                self.write(&pending).await?;
                match (head_length.take(), &self.trace) {
                    (Some(head), _) => self.has_sent(status, head, pending.len() - head),
                    (None, Some(trace)) => trace.sent(pending.len() as u64, pending.len() as u64),
                    (None, None) => {}
                }
                pending.clear();
            }
            if let Err(error) = body {
                break Err(Cause::Body(error));
            }
            if scanner.is_complete() {
                break Ok(());
            }
            let next = timeout(
                read_timeout,
                wire::read_some(&mut upstream, &mut read, usize::MAX),
            );
            let next = match wire::first(pin!(next), pin!(Self::failed(&mut self.stream))).await {
                First::Left(next) => next,
                First::Right(error) => return Err(response_error(Side::Downstream)(error)),
            };
            match next {
                Ok(Ok(0)) if scanner.end(&mut pending) => break Ok(()),
                Ok(Ok(0)) => break Err(Cause::Closed),
                Ok(Ok(_)) => {}
                Ok(Err(error)) => break Err(Cause::of_upstream(error)),
                Err(_) => break Err(Cause::TimedOut(read_timeout)),
            }
        };
        drop(upstream);
        if let Err(cause) = relayed {
            // A body that was cut short must not look complete: a reset, not an orderly end.
            tunnel::reset_on_drop(&self.stream);
            return Err(Error::new(Phase::Response, Side::Upstream, cause));
        }
        if !pending.is_empty() {
            self.write(&pending).await?;
            if let Some(trace) = &self.trace {
                trace.sent(pending.len() as u64, pending.len() as u64);
            }
        }
        Ok(status)
    }
}

//! The request goes up, and the head of its final answer is waited for, with the client watched meanwhile.

use std::io;
use std::task::{Context, Poll};

use http::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::asked::Asked;
use super::client::Client;
use super::passage::{Broken, Passage};
use super::source::Opened;
use super::wait::For;
use crate::clock::After;
use crate::error::{Cause, Error, Phase};
use crate::exchange::MAX_INTERIM;
use crate::http1::{FieldList, ResponseHead};
use crate::service::config::RelayConfig;
use crate::service::failure::Failure;
use crate::side::Side;

/// Why there is no answer to relay.
pub(super) enum Unanswered {
    /// The client cannot be answered.
    Client(Error),
    /// The client gets an answer.
    Failed(Failure),
}

/// A request on its connection to an upstream. Boxed: it passes through many hands.
pub(super) struct Leg<K, U> {
    pub(super) opened: Opened<K, U>,
    pub(super) upload: Passage,
}

/// The request goes up, and its answer is waited for.
pub(super) struct Asking<'a, S, K, U> {
    pub(super) config: &'a RelayConfig,
    pub(super) client: &'a mut Client<S>,
    pub(super) leg: &'a mut Leg<K, U>,
    /// The upstream takes no more of the request. It may have answered nevertheless.
    pub(super) gave_up: bool,
    pub(super) interim: usize,
    /// When the head of the final answer must be here, where interim responses do not prolong that. Known once the upstream has the
    /// whole request.
    pub(super) head_by: Option<Instant>,
}

impl<S, K, U> Asking<'_, S, K, U>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
    U: AsyncRead + AsyncWrite + Unpin + 'static,
{
    /// The head of the final answer.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        asked: &mut Asked,
    ) -> Poll<Result<ResponseHead<FieldList>, Unanswered>> {
        loop {
            self.poll_upload(cx)?;
            asked.has_begun |= self.leg.upload.has_begun();
            if self.head_by.is_none() && self.is_asked() {
                let (limit, prolongs) = self.config.head_limit();
                self.head_by = (!prolongs).then(|| Instant::now().after(limit));
            }
            // The next interim response is read when the last has been written.
            let client = &mut *self.client;
            if client.interim.has_unsent() {
                match client.interim.poll_send(cx, &mut client.stream) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(client_failed(error))),
                    Poll::Pending => return self.poll_late(cx, Some(For::Client)),
                }
            }
            match self.leg.opened.connection.poll_head(cx, &self.config.limits) {
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
        if !self.is_asked() {
            return self.poll_late(cx, None);
        }
        if let Poll::Ready(error) = self.client.poll_ahead(cx) {
            return Poll::Ready(Err(Unanswered::Client(error)));
        }
        self.poll_late(cx, Some(For::Answer))
    }

    /// Whether the upstream has the whole request, or takes no more of it.
    fn is_asked(&self) -> bool {
        self.leg.upload.is_done() || self.gave_up
    }

    fn poll_upload(&mut self, cx: &mut Context<'_>) -> Result<(), Unanswered> {
        if self.gave_up {
            return Ok(());
        }
        let Leg { opened, upload } = &mut *self.leg;
        let (client, writer) = (&mut *self.client, &mut opened.connection.stream);
        let sent = upload.poll(cx, &mut client.stream, &mut client.ahead, writer);
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

    /// Whether the request, or what is waited for besides, takes too long. No interim response gives the request more time.
    fn poll_late(
        &mut self,
        cx: &mut Context<'_>,
        waits_for: Option<For>,
    ) -> Poll<Result<ResponseHead<FieldList>, Unanswered>> {
        if !self.is_asked() {
            let upload = &self.leg.upload;
            let waits_for = match upload.transfer.has_queued() || upload.is_read() {
                true => For::Sending,
                false => For::Upload,
            };
            if self.is_late(cx, waits_for, upload.progress()) {
                return self.give_up(cx, waits_for);
            }
        }
        let is_late = match (waits_for, self.head_by) {
            (None, _) => false,
            // Whatever was waited for meanwhile: a client that takes an interim response late gives the upstream no more time.
            (Some(For::Answer), Some(head_by)) => {
                let wait = &mut self.leg.opened.connection.wait;
                wait.poll_until(cx, head_by).is_ready()
            }
            (Some(For::Answer), None) => self.is_late(cx, For::Answer, self.interim as u64),
            (Some(other), _) => self.is_late(cx, other, self.client.interim.delivered()),
        };
        match waits_for.filter(|_| is_late) {
            Some(waits_for) => self.give_up(cx, waits_for),
            None => Poll::Pending,
        }
    }

    fn is_late(&mut self, cx: &mut Context<'_>, waits_for: For, progress: u64) -> bool {
        let limit = limit_of(self.config, waits_for);
        let wait = &mut self.leg.opened.connection.wait;
        wait.poll(cx, waits_for, progress, limit).is_ready()
    }

    fn give_up(
        &mut self,
        cx: &mut Context<'_>,
        waits_for: For,
    ) -> Poll<Result<ResponseHead<FieldList>, Unanswered>> {
        let limit = limit_of(self.config, waits_for);
        let stream = &self.leg.opened.connection.stream;
        if waits_for == For::Sending && self.leg.upload.transfer.offer(stream) {
            // The wait starts again.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Err(match waits_for {
            For::Sending => Unanswered::Failed(Failure::late(limit)),
            For::Answer => Unanswered::Failed(Failure::late(self.config.head_limit().0)),
            For::Upload => Unanswered::Failed(of_request(Cause::TimedOut(limit))),
            For::Client => client_failed(io::ErrorKind::TimedOut.into()),
        }))
    }
}

fn is_interim(head: &ResponseHead<FieldList>) -> bool {
    head.status.is_informational() && head.status != StatusCode::SWITCHING_PROTOCOLS
}

pub(super) fn limit_of(config: &RelayConfig, waits_for: For) -> std::time::Duration {
    match waits_for {
        For::Sending | For::Client => config.send_limit(),
        For::Upload => config.request_body_limit(),
        For::Answer => config.read_limit(),
    }
}

pub(super) fn of_request(cause: Cause) -> Failure {
    Failure::from(Error::new(Phase::Request, Side::Downstream, gist(cause)))
}

/// However a client leaves within its request, it has left.
pub(super) fn gist(cause: Cause) -> Cause {
    match cause {
        Cause::Io(_) => Cause::Closed,
        cause => cause,
    }
}

pub(super) fn client_failed(error: io::Error) -> Unanswered {
    Unanswered::Client(Error::new(Phase::Response, Side::Downstream, Cause::Io(error)))
}

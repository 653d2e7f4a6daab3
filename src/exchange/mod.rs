//! Floor 4: the upstream leg of the walk, steps (5) to (7): connect, write the head, read the heads of the answer,
//! judge. Shared by both doors; knows no client.

mod admission;
mod ask;
mod config;
mod early_answer;
mod observed;
mod outgoing;
mod setters;
mod taps;
mod unasked;

pub(crate) use admission::Admission;
pub(crate) use ask::ask;
pub use config::UpgradeConfig;
pub(crate) use observed::observed;
pub(crate) use outgoing::Outgoing;
pub(crate) use setters::upgrade_setters;
pub(crate) use unasked::unasked;

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::response;
use tokio::time::Instant;

use self::early_answer::EarlyAnswer;
use crate::clock::After;
use crate::connect::Connect;
use crate::error::{Cause, Error, Phase};
use crate::handshake::{Declined, Judged, Switched};
use crate::http1::{
    AnswerHead, FieldList, HeadError, HeadLimits, HeadScan, ResponseHead, response_from_head,
};
use crate::side::Side;
use crate::telemetry::{self, Kind, Stopwatch};
use crate::tunnel::Timer;
use crate::wire;

/// The most interim responses before the answer.
pub(crate) const MAX_INTERIM: usize = 32;

/// What an exchange still needs of the configuration once it is connected.
#[derive(Clone, Copy)]
struct Limits {
    handshake: Duration,
    head: HeadLimits,
}

/// A request that is on its way, and whose answer has not come.
pub(crate) struct Exchange<'a, U> {
    outgoing: &'a Outgoing,
    upstream: U,
    buffer: BytesMut,
    limits: Limits,
    /// When the answer must be here. It is of no consequence once `next` has returned a switch.
    deadline: Instant,
    interim: usize,
    early: EarlyAnswer,
    /// For the deadlines of the exchange, and then for those of its tunnel.
    timer: Timer,
    /// When the request began to be sent.
    asked_at: Stopwatch,
}

/// What the upstream says next.
pub(crate) enum Answer<'a, U> {
    /// Not the answer yet. The response is what the client should get, if anything.
    Interim(Box<Exchange<'a, U>>, Option<response::Parts>),
    /// No. The bytes are what came with the head.
    Declined(Box<Declined>, U, Bytes),
    /// Yes. The bytes are what came with the head, and the timer is for the tunnel.
    Switched(Box<Switched>, U, Bytes, Timer),
}

/// Whether an upstream has stopped reading. It may have answered nevertheless, and its answer counts.
fn takes_no_more(error: &io::Error) -> bool {
    // The first write after a reset says so, and those after it that the pipe is broken. What has come before can be read.
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
    )
}

fn upstream_error(phase: Phase) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::new(phase, Side::Upstream, Cause::of_upstream(source))
}

impl<'a, U> Exchange<'a, U>
where
    U: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    /// Steps (5) and (6): connects and writes the head.
    pub(crate) async fn start<C: Connect<Stream = U>>(
        connect: &C,
        outgoing: &'a Outgoing,
        config: &UpgradeConfig,
        timer: Timer,
    ) -> Result<Self, Error> {
        outgoing.reported(Self::try_start(connect, outgoing, config, timer).await)
    }

    async fn try_start<C: Connect<Stream = U>>(
        connect: &C,
        outgoing: &'a Outgoing,
        config: &UpgradeConfig,
        mut timer: Timer,
    ) -> Result<Self, Error> {
        let now = Instant::now();
        let (began, deadline) = (Stopwatch::start_at(now), now.after(config.connect_timeout));
        let connected = timer
            .limit(deadline, pin!(connect.connect(outgoing.request(deadline))))
            .await;
        let failed = |cause| Error::new(Phase::Connect, Side::Upstream, cause);
        let mut upstream = connected
            .ok_or_else(|| failed(Cause::TimedOut(config.connect_timeout)))?
            .map_err(|error| failed(Cause::Connect(error)))?;
        outgoing.connected();
        telemetry::connected(Kind::Upgrade, began);

        if let Some(error) = unasked(&mut upstream).await {
            return Err(error);
        }
        let now = Instant::now();
        let mut exchange = Exchange {
            outgoing,
            upstream,
            buffer: BytesMut::new(),
            limits: Limits {
                handshake: config.handshake_timeout,
                head: config.response_limits,
            },
            deadline: now.after(config.handshake_timeout),
            interim: 0,
            early: EarlyAnswer::default(),
            timer,
            asked_at: Stopwatch::start_at(now),
        };
        let mut head = Vec::new();
        outgoing.head().encode(&mut head);
        exchange.write(&head).await?;
        Ok(exchange)
    }

    /// Sends the head. The upstream may take as long for it as for its answer.
    async fn write(&mut self, head: &[u8]) -> Result<(), Error> {
        match wire::write_all(&mut self.upstream, head, self.limits.handshake).await {
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Err(self.too_late(Phase::Request)),
            Err(error) if takes_no_more(&error) => Ok(()),
            written => written.map_err(upstream_error(Phase::Request)),
        }
    }

    /// Sends bytes of the body, which may take as long as the answer, unless the upstream [declines](Exchange::declines_early) before
    /// they are out: false then.
    pub(crate) async fn send(&mut self, mut bytes: &[u8]) -> Result<bool, Error> {
        let limit = self.limits.handshake;
        let sending = pin!(poll_fn(|cx| self.poll_send(cx, &mut bytes)));
        let sent = match wire::by(|| Instant::now().after(limit), sending).await {
            Ok(sent) => sent,
            Err(_) => Err(self.too_late(Phase::Request)),
        };
        if let Ok(false) = sent {
            self.is_asked();
        }
        self.outgoing.reported(sent)
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, bytes: &mut &[u8]) -> Poll<Result<bool, Error>> {
        if let Poll::Ready(declined) = self.poll_declines(cx) {
            return Poll::Ready(declined.map(|()| false));
        }
        match ready!(wire::poll_write_all(cx, &mut self.upstream, bytes)) {
            // Its answer or its end is what is waited for.
            Err(error) if takes_no_more(&error) => Poll::Pending,
            written => Poll::Ready(written.map(|()| true).map_err(upstream_error(Phase::Request))),
        }
    }

    /// The request is whole: from now on the upstream owes its answer.
    pub(crate) fn is_asked(&mut self) {
        self.deadline = Instant::now().after(self.limits.handshake);
    }

    /// Waits for the beginning of a final answer other than 101. Keeps what it reads for [`Exchange::next`].
    ///
    /// RFC 9112, section 9.5: a client that sends a body watches for an answer that declines it, and then sends no more of it.
    ///
    /// A 101 does not count: the tunnel starts after the body.
    pub(crate) async fn declines_early(&mut self) -> Result<(), Error> {
        let declined = poll_fn(|cx| self.poll_declines(cx)).await;
        // The rest of the answer has its time from here on: that of the request has passed with its body.
        self.is_asked();
        self.outgoing.reported(declined)
    }

    fn poll_declines(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let failed = |cause| Poll::Ready(Err(Error::new(Phase::Request, Side::Upstream, cause)));
        while !self.early.has_begun(&self.buffer) {
            if self.buffer.len() >= self.limits.head.bytes() {
                // More of interim answers, or of a protocol not yet agreed to, than is read ahead.
                return Poll::Pending;
            }
            match ready!(wire::poll_read_some(
                cx,
                &mut self.upstream,
                &mut self.buffer,
                usize::MAX
            )) {
                Ok(0) => return failed(Cause::Closed),
                Ok(_) => {}
                Err(error) => return failed(Cause::of_upstream(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Step (7): reads the next response head and judges it.
    ///
    /// No `async fn`, which would hold the exchange twice.
    #[allow(clippy::manual_async_fn)]
    pub(crate) fn next(mut self) -> impl Future<Output = Result<Answer<'a, U>, Error>> {
        async move {
            let outgoing = self.outgoing;
            let judged = outgoing.reported(self.judge_next().await)?;
            if !matches!(judged, Judged::Interim(_)) {
                telemetry::answered(Kind::Upgrade, self.asked_at);
            }
            match judged {
                Judged::Switched(switched) => {
                    outgoing.answered(switched.status());
                    let early = own(&self.buffer);
                    Ok(Answer::Switched(
                        Box::new(switched),
                        self.upstream,
                        early,
                        self.timer,
                    ))
                }
                Judged::Declined(declined) => {
                    outgoing.answered(declined.status());
                    let early = own(&self.buffer);
                    Ok(Answer::Declined(Box::new(declined), self.upstream, early))
                }
                Judged::Interim(response) => {
                    self.interim += 1;
                    Ok(Answer::Interim(
                        Box::new(self),
                        response.map(AnswerHead::into_parts),
                    ))
                }
            }
        }
    }

    async fn judge_next(&mut self) -> Result<Judged, Error> {
        let wrong = |cause: Cause| Error::new(Phase::ResponseHead, Side::Upstream, cause);
        let (deadline, mut timer) = (self.deadline, std::mem::take(&mut self.timer));
        let head = timer.limit(deadline, pin!(self.read_head())).await;
        self.timer = timer;
        let head = head.ok_or_else(|| self.too_late(Phase::ResponseHead))??;
        match self
            .outgoing
            .pending()
            .judge_one(head)
            .map_err(|bad| wrong(bad.into()))?
        {
            Judged::Interim(_) if self.interim >= MAX_INTERIM => Err(wrong(Cause::TooManyInterim)),
            judged => Ok(judged),
        }
    }

    async fn read_head(&mut self) -> Result<AnswerHead, Error> {
        let failed = upstream_error(Phase::ResponseHead);
        let invalid = |error: HeadError| Error::new(Phase::ResponseHead, Side::Upstream, error);
        let mut scan = HeadScan::response();
        loop {
            if let Some(end) = scan.advance(&self.buffer, &self.limits.head).map_err(invalid)? {
                let head = self.buffer.split_to(end).freeze();
                let parsed: ResponseHead<FieldList> = response_from_head(head, &scan).map_err(invalid)?;
                return Ok(parsed.into());
            }
            match wire::read_some(&mut self.upstream, &mut self.buffer, usize::MAX).await {
                Ok(0) => {
                    let cause = match self.buffer.is_empty() {
                        true => Cause::Closed,
                        false => Cause::HeadCutShort,
                    };
                    return Err(Error::new(Phase::ResponseHead, Side::Upstream, cause));
                }
                Ok(_) => {}
                Err(error) => return Err(failed(error)),
            }
        }
    }

    fn too_late(&self, phase: Phase) -> Error {
        Error::new(phase, Side::Upstream, Cause::TimedOut(self.limits.handshake))
    }
}

/// A copy of its own, so that a few leftover bytes do not hold on to the whole head buffer.
fn own(bytes: &[u8]) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

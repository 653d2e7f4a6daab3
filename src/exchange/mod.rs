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

pub(crate) use admission::Admission;
pub(crate) use ask::ask;
pub use config::UpgradeConfig;
pub(crate) use observed::observed;
pub(crate) use outgoing::Outgoing;
pub(crate) use setters::upgrade_setters;

use std::future::Future;
use std::io;
use std::pin::pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::response;
use tokio::time::Instant;

use self::early_answer::EarlyAnswer;
use crate::clock::After;
use crate::connect::Connect;
use crate::error::{Cause, Error, Phase};
use crate::handshake::{Declined, Judged, Switched};
use crate::http1::{HeadError, HeadLimits, HeadScan, response_from_head};
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
    ) -> Result<Self, Error> {
        outgoing.reported(Self::try_start(connect, outgoing, config).await)
    }

    async fn try_start<C: Connect<Stream = U>>(
        connect: &C,
        outgoing: &'a Outgoing,
        config: &UpgradeConfig,
    ) -> Result<Self, Error> {
        let began = Stopwatch::start();
        let deadline = Instant::now().after(config.connect_timeout);
        let mut timer = Timer::default();
        let connected = timer
            .limit(deadline, pin!(connect.connect(outgoing.request(deadline))))
            .await;
        let failed = |cause| Error::new(Phase::Connect, Side::Upstream, cause);
        let mut upstream = connected
            .ok_or_else(|| failed(Cause::TimedOut(config.connect_timeout)))?
            .map_err(|error| failed(Cause::Connect(error)))?;
        outgoing.connected();
        telemetry::connected(Kind::Upgrade, began);

        // What comes before the request cannot be an answer to it (CVE-2026-1642).
        match wire::read_already(&mut upstream).await {
            None => {}
            Some(Ok(0)) => return Err(Error::new(Phase::Request, Side::Upstream, Cause::Closed)),
            Some(Ok(_)) => return Err(Error::new(Phase::Request, Side::Upstream, Cause::TalksFirst)),
            Some(Err(error)) => return Err(upstream_error(Phase::Request)(error)),
        }
        let mut exchange = Exchange {
            outgoing,
            upstream,
            buffer: BytesMut::new(),
            limits: Limits {
                handshake: config.handshake_timeout,
                head: config.response_limits,
            },
            deadline: Instant::now().after(config.handshake_timeout),
            interim: 0,
            early: EarlyAnswer::default(),
            timer,
            asked_at: Stopwatch::start(),
        };
        let mut head = Vec::new();
        outgoing.head().encode(&mut head);
        exchange.write(&head).await?;
        Ok(exchange)
    }

    /// Sends bytes of the request. The upstream may take as long for them as for its answer.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let sent = self.write(bytes).await;
        self.outgoing.reported(sent)
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        match wire::write_all(&mut self.upstream, bytes, self.limits.handshake).await {
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Err(self.too_late(Phase::Request)),
            // An upstream that has stopped reading may have answered nevertheless: the answer counts.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => written.map_err(upstream_error(Phase::Request)),
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
        let declined = self.begins_to_decline().await;
        // The rest of the answer has its time from here on: that of the request has passed with its body.
        self.is_asked();
        self.outgoing.reported(declined)
    }

    async fn begins_to_decline(&mut self) -> Result<(), Error> {
        let failed = |cause| Error::new(Phase::Request, Side::Upstream, cause);
        while !self.early.has_begun(&self.buffer) {
            if self.buffer.len() >= self.limits.head.bytes() {
                // More of interim answers, or of a protocol not yet agreed to, than is read ahead.
                return std::future::pending().await;
            }
            match wire::read_some(&mut self.upstream, &mut self.buffer, usize::MAX).await {
                Ok(0) => return Err(failed(Cause::Closed)),
                Ok(_) => {}
                Err(error) => return Err(upstream_error(Phase::Request)(error)),
            }
        }
        Ok(())
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
                    outgoing.answered(switched.response().status);
                    let early = own(&self.buffer);
                    Ok(Answer::Switched(
                        Box::new(switched),
                        self.upstream,
                        early,
                        self.timer,
                    ))
                }
                Judged::Declined(declined) => {
                    outgoing.answered(declined.response().status);
                    let early = own(&self.buffer);
                    Ok(Answer::Declined(Box::new(declined), self.upstream, early))
                }
                Judged::Interim(response) => {
                    self.interim += 1;
                    Ok(Answer::Interim(Box::new(self), response))
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

    async fn read_head(&mut self) -> Result<response::Parts, Error> {
        let failed = upstream_error(Phase::ResponseHead);
        let invalid = |error: HeadError| Error::new(Phase::ResponseHead, Side::Upstream, error);
        let mut scan = HeadScan::response();
        loop {
            if let Some(end) = scan.advance(&self.buffer, &self.limits.head).map_err(invalid)? {
                let head = self.buffer.split_to(end).freeze();
                let parsed = response_from_head(head, &scan).map_err(invalid)?;
                return Ok(parsed.into_parts());
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

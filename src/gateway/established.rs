//! Step (8) of the walk: what remains of an upgrade when both sides have agreed.

use std::fmt;
use std::future::{Future, Pending, pending};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::StatusCode;
use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::error::{Cause, Error, Phase};
use crate::exchange::Admission;
use crate::header::Protocol;
use crate::tunnel::{self, Traffic, Tunnel, TunnelWatch};

/// How an upgrade was answered.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "an upgrade is switched or declined")]
pub enum Negotiated<S, U> {
    /// Both sides have agreed; the client has its 101, and the tunnel waits to be run.
    Switched(Box<Established<S, U>>),
    /// The origin has answered with another status than 101; the answer has been relayed whole.
    Declined(StatusCode),
}

/// Two sides that have agreed on a protocol, and what each of them has said already.
///
/// It may be run in any task. The deadlines of the tunnel are those of the runtime that runs it. Sockets are not: tokio's stay with the
/// runtime that has made them, which has to go on running for as long as the tunnel does.
#[must_use = "nothing is carried until it is run"]
pub struct Established<S, U> {
    protocol: Protocol,
    tunnel: Tunnel<S, U>,
    admission: Admission,
}

impl<S, U> fmt::Debug for Established<S, U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Established")
            .field("protocol", &self.protocol)
            .finish_non_exhaustive()
    }
}

impl<S, U> Established<S, U>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
    U: AsyncRead + AsyncWrite + Unpin + 'static,
{
    pub(super) fn new(protocol: Protocol, tunnel: Tunnel<S, U>, admission: Admission) -> Box<Self> {
        Box::new(Established {
            protocol,
            tunnel,
            admission,
        })
    }

    /// What both sides speak.
    pub fn protocol(&self) -> &Protocol {
        &self.protocol
    }

    /// A look at the tunnel while it runs, and a way to end it: [`Tunnel::watch`].
    pub fn watch(&mut self) -> TunnelWatch {
        self.tunnel.watch()
    }

    /// Step (8) of the walk. The future is small: nothing of the handshake is left in it.
    pub fn run(self) -> Carrying<S, U> {
        self.run_until(pending())
    }

    /// As [`run`](Established::run), and ends the tunnel in order when `drain` completes.
    pub fn run_until<F: Future<Output = ()>>(self, drain: F) -> Carrying<S, U, F> {
        Carrying {
            run: self.tunnel.drain(drain).run(),
            admission: self.admission,
        }
    }
}

pin_project! {
    /// A tunnel on its way: the future of [`Established::run`].
    ///
    /// It ends with the traffic, or with the [`Error`] of the side that failed. Its places under the caps of the
    /// [`GatewayConfig`](super::GatewayConfig) are free from then on, or when it is dropped.
    #[must_use = "futures do nothing unless polled"]
    pub struct Carrying<S, U, F = Pending<()>> {
        #[pin]
        run: tunnel::Run<S, U, F>,
        // After the streams, which are no longer open when there is room for another. Emptied on completion.
        admission: Admission,
    }
}

impl<S, U, F> fmt::Debug for Carrying<S, U, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Carrying").finish_non_exhaustive()
    }
}

impl<S, U, F> Future for Carrying<S, U, F>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
    U: AsyncRead + AsyncWrite + Unpin + 'static,
    F: Future<Output = ()>,
{
    type Output = Result<Traffic, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let failed =
            |error: tunnel::TunnelError| Error::new(Phase::Tunnel, error.side(), Cause::Tunnel(error));
        let this = self.project();
        let result = ready!(this.run.poll(cx)).map_err(failed);
        if let Err(error) = &result {
            error.observed();
        }
        *this.admission = Admission::default();
        Poll::Ready(result)
    }
}

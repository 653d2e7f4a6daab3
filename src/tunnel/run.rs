//! A running tunnel: first the ends that are wanted of it, then bytes move, then what has moved is reported.
//!
//! Owns the streams, and knows nothing of what is done with them.

use std::fmt;
use std::future::{Future, Pending};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite};

use super::end::End;
use super::engine::Engine;
use super::registry::Watched;
use super::traffic::{Traffic, TunnelError};
use super::websocket::EndRequest;
use crate::telemetry::ObservedTunnel;

pin_project! {
    /// A running tunnel: the future of [`Tunnel::run`](super::Tunnel::run).
    #[must_use = "futures do nothing unless polled"]
    pub struct Run<D, U, F = Pending<()>> {
        // Emptied on completion: the peers need not wait for their ends until the caller drops this.
        streams: Option<(D, U)>,
        engine: Engine,
        #[pin]
        drain: Option<F>,
        watched: Option<Watched>,
        observed: ObservedTunnel,
    }
}

impl<D, U, F> Run<D, U, F> {
    pub(super) fn new(
        downstream: D,
        upstream: U,
        engine: Engine,
        drain: Option<F>,
        watched: Option<Watched>,
        observed: ObservedTunnel,
    ) -> Self {
        Run {
            streams: Some((downstream, upstream)),
            engine,
            drain,
            watched,
            observed,
        }
    }
}

impl<D, U, F> Future for Run<D, U, F>
where
    D: AsyncRead + AsyncWrite + Unpin + 'static,
    U: AsyncRead + AsyncWrite + Unpin + 'static,
    F: Future<Output = ()>,
{
    type Output = Result<Traffic, TunnelError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let Some((downstream, upstream)) = this.streams else {
            panic!("`Run` polled after completion")
        };
        if let Some(drain) = this.drain.as_mut().as_pin_mut() {
            if drain.poll(cx).is_ready() {
                this.engine.end(End::Drained, &EndRequest::default());
                this.drain.set(None);
            }
        }
        let appointed = match this.watched {
            Some(watched) => watched.listen(cx, this.engine),
            None => None,
        };
        let polled = this.engine.poll(cx, downstream, upstream, appointed);
        if let Some(watched) = this.watched {
            watched.record(this.engine);
        }
        let result = ready!(polled);
        *this.streams = None;
        let traffic = result.as_ref().unwrap_or_else(TunnelError::traffic);
        let is_listed = this.watched.as_ref().is_some_and(Watched::is_listed);
        this.observed.end(&traffic.observed(is_listed));
        // Only now: an observer that sees the tunnel not open any more finds its streams closed.
        if let Some(watched) = this.watched.take() {
            watched.conclude(&result);
        }
        Poll::Ready(result)
    }
}

impl<D, U, F> fmt::Debug for Run<D, U, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run").finish_non_exhaustive()
    }
}

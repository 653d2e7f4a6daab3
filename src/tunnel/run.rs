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
use super::engine::{Engine, Ownership};
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
        // In a box that fits a gap of the heap, so that the caller's task, which has a place of its own there, is small.
        moving: Pin<Box<Moving<F>>>,
        watched: Option<Watched>,
        observed: ObservedTunnel,
    }

    impl<D, U, F> PinnedDrop for Run<D, U, F> {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            if !this.watched.as_ref().is_some_and(Watched::is_listed) {
                let engine = this.moving.as_mut().project().engine;
                this.observed.give_up(|| engine.moved());
            }
        }
    }
}

pin_project! {
    /// What moves the bytes, and what ends that.
    struct Moving<F> {
        engine: Engine,
        #[pin]
        drain: Option<F>,
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
            moving: Box::pin(Moving { engine, drain }),
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
        let this = self.project();
        let Some((downstream, upstream)) = this.streams else {
            panic!("`Run` polled after completion")
        };
        let mut moving = this.moving.as_mut().project();
        let engine = moving.engine;
        if let Some(drain) = moving.drain.as_mut().as_pin_mut() {
            if drain.poll(cx).is_ready() {
                engine.end(End::Drained, &EndRequest::default());
                moving.drain.set(None);
            }
        }
        let appointed = match this.watched {
            Some(watched) => watched.listen(cx, engine),
            None => None,
        };
        let polled = engine.poll(cx, downstream, upstream, Ownership::Dropped, appointed);
        if let Some(watched) = this.watched {
            watched.record(engine);
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

#[cfg(all(test, target_pointer_width = "64"))]
mod tests {
    use super::*;
    use crate::tunnel::DrainSignal;

    /// A task and the registration of a socket are aligned to 128 bytes. The gaps that this leaves are 112 bytes, 8 of which are the
    /// allocator's.
    #[test]
    fn what_moves_the_bytes_fits_the_gap_behind_a_task() {
        assert_eq!(size_of::<Moving<DrainSignal>>(), 104);
    }
}

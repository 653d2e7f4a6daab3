//! How a server ends together with the tunnels that its services have opened: in order, and within a limit.
//!
//! A server's own graceful shutdown waits for its connections. Over HTTP/2 a tunnel is a stream of one, so the server waits for
//! the tunnel, and a program that drains tunnels only after the server has ended waits for ever.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::sleep;

use crate::tunnel::{Schedule, Tunnels};
use crate::wire::{self, First};

/// Ends a server and the tunnels of its services: the one call that a program needs, for clients of HTTP/1.1 and HTTP/2, with
/// TLS or without, whether tunnels are open or not.
///
/// When the signal comes:
///
/// 1. [`Tunnels::is_draining`] is true, so that a readiness probe fails, and new upgrades are refused with 503. For the
///    [grace](Schedule::grace) of the schedule the server goes on with everything else.
/// 2. The server stops to accept, and tunnels end one after the other, over the [spread](Schedule::spread) of the schedule; those
///    that know their frames with a Close 1001.
/// 3. The call returns when the server has ended and no tunnel is open; at the latest so long after the schedule as the
///    [timeout](Shutdown::timeout) says.
///
/// ```no_run
/// use std::net::SocketAddr;
/// use std::time::Duration;
/// use axum::Router;
/// use switchover::TcpConnect;
/// use switchover::service::{ServiceConfig, Shutdown, UpgradeService};
/// use switchover::tunnel::{Schedule, Tunnels};
///
/// # async fn run(listener: tokio::net::TcpListener) -> std::io::Result<()> {
/// let tunnels = Tunnels::new();
/// let config = ServiceConfig::default().tunnels(tunnels.clone());
/// let chat = UpgradeService::new(TcpConnect::to("chat.internal:9000")).config(config);
/// let app = Router::new()
///     .route_service("/live", chat)
///     .into_make_service_with_connect_info::<SocketAddr>();
/// let ctrl_c = async { drop(tokio::signal::ctrl_c().await) };
/// let served = Shutdown::new(tunnels)
///     .schedule(Schedule::default().spread(Duration::from_secs(5)))
///     .serve(ctrl_c, |stop| axum::serve(listener, app).with_graceful_shutdown(stop));
/// served.await.unwrap_or(Ok(()))
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is shut down until a server is served"]
pub struct Shutdown {
    tunnels: Tunnels,
    schedule: Schedule,
    timeout: Duration,
}

impl Shutdown {
    /// Of the services that count their tunnels here ([`ServiceConfig::tunnels`](super::ServiceConfig::tunnels)).
    pub fn new(tunnels: Tunnels) -> Self {
        Shutdown {
            tunnels,
            schedule: Schedule::default(),
            timeout: Duration::from_secs(10),
        }
    }

    /// When tunnels end. Default: all at once, when the signal comes.
    pub fn schedule(mut self, schedule: Schedule) -> Self {
        self.schedule = schedule;
        self
    }

    /// How long after the schedule the server and the last tunnel may take. Default 10 seconds.
    ///
    /// Requests that are being answered and tunnels that deliver what they have read need some of it. Danger: what is left then is
    /// cut off where the process ends.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = limit;
        self
    }

    /// Serves until the signal has come and everything has ended. `serve` makes the server from the future by which it is to stop:
    /// axum's `with_graceful_shutdown`, for example. Returns what the server returns, or none where it had not ended at the timeout.
    ///
    /// A server that ends before the signal is not waited for any longer, and its tunnels go on.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the server. Tunnels have tasks of their own and go on.
    pub async fn serve<S>(
        self,
        signal: impl Future<Output = ()> + Send + 'static,
        serve: impl FnOnce(Stop) -> S,
    ) -> Option<S::Output>
    where
        S: IntoFuture,
    {
        let Shutdown {
            tunnels,
            schedule,
            timeout,
        } = self;
        let draining = tunnels.clone();
        let stop = Stop(Box::pin(async move {
            signal.await;
            draining.drain(schedule);
            sleep(schedule.grace_time()).await;
        }));
        let server = serve(stop).into_future();
        let ended = async {
            let served = server.await;
            if tunnels.is_draining() {
                tunnels.finished().await;
            }
            served
        };
        let late = async {
            tunnels.drain_started().await;
            for time in [schedule.grace_time(), schedule.spread_time(), timeout] {
                sleep(time).await;
            }
        };
        match wire::first(pin!(ended), pin!(late)).await {
            First::Left(served) => Some(served),
            First::Right(()) => None,
        }
    }
}

/// Completes when the server of a [`Shutdown`] is to accept no more.
#[must_use = "futures do nothing unless polled"]
pub struct Stop(Pin<Box<dyn Future<Output = ()> + Send>>);

impl Future for Stop {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stop").finish_non_exhaustive()
    }
}

//! The one task of an upgraded connection: it takes the client's socket back from hyper, frees everything of hyper's, and runs the
//! tunnel.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Extensions;
use tokio::io::{AsyncRead, AsyncWrite};

use super::config::Listeners;
use super::report::Ended;
use super::take_back::{Promised, take_over};
use crate::connect::Trace;
use crate::error::{Cause, Error, Phase, observe_failed_tunnel};
use crate::exchange::Admission;
use crate::header::{Hop, Protocol};
use crate::telemetry::Parent;
use crate::tunnel::{
    AnyStream, DrainSignal, Run, Tap, Timer, Traffic, Tunnel, TunnelConfig, TunnelError, TunnelWatch,
    Watched, WebSocketConfig,
};

/// All that a tunnel needs but the client's stream.
pub(super) struct Carry<U> {
    pub(super) upstream: U,
    pub(super) from_upstream: Bytes,
    pub(super) config: Arc<TunnelConfig>,
    pub(super) websocket: Option<WebSocketConfig>,
    pub(super) tap: Option<Tap>,
    pub(super) drain: Option<DrainSignal>,
    pub(super) watched: Option<Watched>,
    pub(super) parent: Parent,
    pub(super) timer: Timer,
    /// What is free again when the tunnel has ended.
    pub(super) admission: Admission,
}

/// A tunnel that is about to run.
type Started<U> = (Run<AnyStream, U, DrainSignal>, Admission, Option<Box<Report>>);

/// The caller's functions for the start and the end of a tunnel, and what they are given.
pub(super) struct Report {
    listeners: Listeners,
    extensions: Extensions,
    protocol: Protocol,
    upstream: Option<Arc<str>>,
    trace: Trace,
    hop: Hop,
    taken_back: bool,
    plain: bool,
}

impl<U> Carry<U>
where
    U: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    /// Runs the tunnel to its end. `limit` is how long hyper may take to hand over the connection.
    ///
    /// A future is as large as its largest state, so what comes before the tunnel is boxed, and gone before it runs.
    pub(super) fn run(
        self,
        on_upgrade: Promised,
        limit: Duration,
        report: Option<Box<Report>>,
    ) -> impl Future<Output = ()> + Send {
        let started = Box::pin(self.start(on_upgrade, limit, report));
        async move {
            let Some((run, admission, report)) = started.await else {
                return;
            };
            // Pinned where it is: awaited by value it would stand in this future twice.
            let result = pin!(run).await;
            drop(admission);
            if let Err(error) = &result {
                observe_failed_tunnel(error);
            }
            if let Some(report) = report {
                report.report_end(result);
            }
        }
    }

    async fn start(
        self,
        on_upgrade: Promised,
        limit: Duration,
        mut report: Option<Box<Report>>,
    ) -> Option<Started<U>> {
        let client = match take_over(on_upgrade, limit).await {
            Ok(client) => client,
            Err(error) => {
                error.observed();
                drop((self.upstream, self.admission, self.watched));
                if let Some(report) = report {
                    report.report(Err(error));
                }
                return None;
            }
        };
        if let Some(report) = &mut report {
            report.taken_back = client.taken_back;
            report.plain = client.stream.is_plain();
            report.report_start(self.watched.as_ref().map(Watched::watch));
        }
        let mut tunnel = Tunnel::new(client.stream, self.upstream)
            .config(self.config)
            .websocket(self.websocket)
            .tap(self.tap)
            .leftovers(client.read, self.from_upstream);
        tunnel.watched(self.watched);
        tunnel.parent(self.parent);
        tunnel.timer(self.timer);
        let tunnel = tunnel.drain_if(self.drain);
        Some((tunnel.run(), self.admission, report))
    }
}

impl Report {
    pub(super) fn new(
        listeners: Listeners,
        extensions: Extensions,
        protocol: Protocol,
        (upstream, trace): (Option<Arc<str>>, Trace),
        hop: Hop,
    ) -> Box<Self> {
        Box::new(Report {
            listeners,
            extensions,
            protocol,
            upstream,
            trace,
            hop,
            taken_back: false,
            plain: false,
        })
    }

    fn report_start(&self, watch: Option<TunnelWatch>) {
        self.listeners.started(super::Started {
            protocol: &self.protocol,
            upstream: self.upstream.as_deref(),
            trace: &self.trace,
            hop: self.hop,
            taken_back: self.taken_back,
            plain: self.plain,
            extensions: &self.extensions,
            watch,
        });
    }

    fn report_end(self, result: Result<Traffic, TunnelError>) {
        let failed = |error: TunnelError| Error::new(Phase::Tunnel, error.side(), Cause::Tunnel(error));
        self.report(result.map_err(failed));
    }

    fn report(self, result: Result<Traffic, Error>) {
        self.listeners.ended(Ended {
            protocol: self.protocol,
            upstream: self.upstream,
            trace: self.trace,
            hop: self.hop,
            taken_back: self.taken_back,
            plain: self.plain,
            extensions: self.extensions,
            result,
        });
    }
}

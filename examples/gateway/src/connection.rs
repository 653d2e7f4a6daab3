//! The task of one connection: what comes before a tunnel, and then the tunnel and the report of its end.
//!
//! It is as small as it can be, because a gateway has one for each idle tunnel.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use switchover::Error;
use switchover::gateway::Carrying;
use switchover::header::Hop;
use switchover::tunnel::{AnyStream, Counted, DrainSignal, Permit, Traffic};
use tokio::net::TcpStream;

use super::opening;
use super::settings::Settings;
use super::story::Story;
use super::visit::Visit;
use super::worker::{self, Worker};

/// Serves a connection to its end: ordinary requests as long as they come, and at most one upgrade.
///
/// No `async` block: it would hold what comes before the tunnel beside the tunnel.
pub(crate) struct Connection {
    stage: Stage,
    /// It counts as open.
    _open: Option<Permit>,
}

#[allow(
    clippy::large_enum_variant,
    reason = "the larger is what is left for most of the time, and in a box it would cost more"
)]
enum Stage {
    /// Each step in a box of its own, which is gone before the next, so that a silent connection is as small as its first wait.
    Requests(Requests),
    Tunnel(Carried),
}

/// What comes before a tunnel. None if there is none.
pub(crate) type Requests = Pin<Box<dyn Future<Output = Option<Carried>> + Send>>;

/// A tunnel that is about to run, and what its end is reported with.
pub(crate) struct Carried {
    pub(crate) tunnel: Carrying<AnyStream, Counted<AnyStream>, DrainSignal>,
    pub(crate) report: Option<Box<Report>>,
}

/// Small, because every tunnel has one where anybody looks.
pub(crate) struct Report {
    pub(crate) settings: Arc<Settings>,
    pub(crate) peer: SocketAddr,
    pub(crate) story: Option<Story>,
}

impl Connection {
    pub(crate) fn new(
        stream: TcpStream,
        peer: SocketAddr,
        listener: SocketAddr,
        visit: Option<Box<Visit>>,
        worker: Arc<Worker>,
    ) -> Self {
        let open = worker.open();
        let hop = Hop::from(peer).at_port(listener.port());
        let requests = match opening::plain(stream, hop, &worker) {
            Ok(opened) => worker::speaking(opened, peer, visit, worker),
            Err(stream) => Box::pin(async move {
                let opening = Box::pin(opening::open(stream, hop, peer, visit.as_deref(), &worker));
                worker::speaking(opening.await?, peer, visit, worker).await
            }),
        };
        Connection {
            stage: Stage::Requests(requests),
            _open: open,
        }
    }
}

impl Future for Connection {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match &mut self.stage {
                Stage::Requests(requests) => match ready!(requests.as_mut().poll(cx)) {
                    Some(carried) => self.stage = Stage::Tunnel(carried),
                    None => return Poll::Ready(()),
                },
                Stage::Tunnel(carried) => {
                    let traffic = ready!(Pin::new(&mut carried.tunnel).poll(cx));
                    if let Some(report) = carried.report.take() {
                        report.ended(&traffic);
                    }
                    return Poll::Ready(());
                }
            }
        }
    }
}

impl Report {
    fn ended(&self, traffic: &Result<Traffic, Error>) {
        if let Some(story) = &self.story {
            story.ended(traffic);
        }
        if let Err(error) = traffic {
            self.settings.failures.failed(self.peer, error);
        }
        self.settings.report(self.peer, || match traffic {
            Ok(traffic) => format!("tunnel: {traffic}"),
            Err(error) => format!("{} {}: {error}", error.side(), error.phase()),
        });
    }
}

#[cfg(all(test, target_pointer_width = "64"))]
mod tests {
    use super::*;

    /// tokio adds 96 bytes or 104.
    #[test]
    fn a_task_fits_into_twice_128_bytes() {
        let size = size_of::<Connection>();
        assert!(size <= 2 * 128 - 104, "{size} bytes");
    }
}

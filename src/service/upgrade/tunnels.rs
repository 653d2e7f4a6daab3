//! The tunnels of a service: the caller counts them, ends them in order, and waits for the last.

use crate::tunnel::{Cap, Drain, DrainSignal, Permit, Schedule, WaitEmpty};

/// The tunnels that services have opened: how many there are, and the end of all of them. Cheap to clone.
///
/// A server's graceful shutdown waits for its connections, and a connection that was upgraded is no longer one of
/// them; over HTTP/2 it still is, and the server waits for its tunnels. [`Shutdown`](super::Shutdown) ends both in one call; this is for
/// programs that do it by themselves.
///
/// ```
/// use std::time::Duration;
/// use switchover::TcpConnect;
/// use switchover::service::{ServiceConfig, Tunnels, UpgradeService};
/// use switchover::tunnel::Schedule;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let tunnels = Tunnels::new();
/// let config = ServiceConfig::default().tunnels(tunnels.clone());
/// let service = UpgradeService::new(TcpConnect::to("127.0.0.1:9000")).config(config);
/// // … serve until it is time to end; then:
/// println!("{} tunnels are open", tunnels.open());
/// tunnels.drain(Schedule::default().grace(Duration::from_secs(10)));
/// tunnels.finished().await;
/// # drop(service);
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Tunnels {
    open: Cap,
    drain: Drain,
}

impl Default for Tunnels {
    fn default() -> Self {
        Tunnels::new()
    }
}

impl From<Drain> for Tunnels {
    /// None so far, and a drain that others wait for as well.
    fn from(drain: Drain) -> Self {
        Tunnels {
            open: Cap::unlimited(),
            drain,
        }
    }
}

impl Tunnels {
    /// None so far.
    #[must_use]
    pub fn new() -> Self {
        Tunnels::from(Drain::new())
    }

    /// How many there are, those included whose 101 is on its way.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open.open()
    }

    /// Ends all tunnels as the schedule says, and refuses new ones with 503 from now on
    /// ([`Rejection::Draining`](crate::handshake::Rejection::Draining)).
    pub fn drain(&self, schedule: Schedule) {
        self.drain.start(schedule);
    }

    /// Whether [`drain`](Tunnels::drain) has been called: a readiness probe should fail from then on.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.drain.has_started()
    }

    /// Completes when no tunnel is open, at once if none is.
    pub fn finished(&self) -> WaitEmpty {
        self.open.emptied()
    }

    /// Completes when they begin to drain.
    pub(super) fn drain_started(&self) -> DrainSignal {
        self.drain.started()
    }

    pub(super) fn add(&self) -> Option<Permit> {
        self.open.try_acquire()
    }

    pub(super) fn signal(&self) -> DrainSignal {
        self.drain.signal()
    }
}

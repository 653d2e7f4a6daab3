//! Many tunnels: how many there may be, how they end together, which there are, and a look at one of them.
//!
//! Values that the caller owns and passes in. They must not know how bytes move, and the engine knows none of them. A tunnel takes the lock of the
//! registry when it opens and when it ends, and never in between.

mod cap;
mod drain;
mod drain_signal;
mod drain_state;
mod ended;
mod entry;
mod events;
mod finished;
mod id;
mod iter;
#[cfg(feature = "gateway")]
mod leaving;
mod listing;
mod peer_cap;
mod table;
mod wakers;
mod watch;
mod watched;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

pub use cap::{Cap, Permit, WaitEmpty};
pub use drain::{Drain, Schedule};
pub use drain_signal::DrainSignal;
pub use ended::Ended;
use entry::Entry;
pub use events::{Subscription, TunnelEvent};
pub use finished::Finished;
pub use id::{TunnelId, TunnelIdError};
pub use iter::Iter;
pub use listing::{Label, Listing};
pub use peer_cap::{PeerCap, PeerPermit};
use table::Table;
pub use watch::{TunnelState, TunnelWatch};
pub(crate) use watched::Watched;

use super::end::End;
use super::traffic::Traffic;
use super::websocket::EndRequest;
use crate::clock::{After, scaled};

/// A registry of tunnels: which are open, whose, how busy, and the end of some or all of them. Cheap to clone; all clones are one.
///
/// Both doors take one ([`UpgradeConfig::tunnels`](crate::UpgradeConfig::tunnels), `ServiceConfig::tunnels`), and so does a bare
/// [`Tunnel`](super::Tunnel::list_in); several may share one. A tunnel in it costs at most 160 bytes, a [label](Label) and counts of
/// frames not included; nothing is called and no lock is taken for a message. Without a registry a tunnel pays nothing.
///
/// A server's graceful shutdown waits for its connections, and a connection that was upgraded is no longer one of
/// them. This is what to wait for instead.
///
/// ```
/// use std::time::Duration;
/// use switchover::tunnel::{EndRequest, Label, Listing, Tunnel, Tunnels};
/// use switchover::websocket::CloseCode;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let tunnels = Tunnels::new();
/// # let ((_client, downstream), (upstream, _origin)) = (tokio::io::duplex(64), tokio::io::duplex(64));
/// let mut tunnel = Tunnel::new(downstream, upstream);
/// tunnel.list_in(&tunnels, Listing::default().label(Label::new("alice")));
/// let running = tokio::spawn(tunnel.run());
///
/// for tunnel in tunnels.iter() {
///     println!("{:?}: {} bytes since {:?}", tunnel.id(), tunnel.from_downstream(), tunnel.opened_at());
/// }
/// // Alice is signed out everywhere.
/// let signed_out = EndRequest::close(CloseCode(4001), "signed out")?;
/// let ended = tunnels.end_where(|tunnel| tunnel.label() == Some(&"alice"), &signed_out, Duration::ZERO);
/// assert_eq!(ended, 1);
/// running.await??;
/// tunnels.finished().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Tunnels {
    shared: Arc<Shared>,
}

struct Shared {
    table: Mutex<Table>,
    drain: Drain,
}

impl Default for Tunnels {
    fn default() -> Self {
        Tunnels::new()
    }
}

impl From<Drain> for Tunnels {
    /// None so far. The tunnels of services follow this drain, for which others may wait as well; those of other doors follow
    /// [`drain`](Tunnels::drain) alone.
    fn from(drain: Drain) -> Self {
        Tunnels {
            shared: Arc::new(Shared {
                table: Mutex::default(),
                drain,
            }),
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
    pub fn len(&self) -> usize {
        self.table().len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many there have been, those included that are open.
    #[must_use]
    pub fn opened(&self) -> u64 {
        self.table().opened()
    }

    /// What the tunnels that have ended have carried, and why they have ended.
    #[must_use]
    pub fn ended(&self) -> Ended {
        self.table().ended().clone()
    }

    /// The tunnel with this id, if it is open.
    #[must_use]
    pub fn get(&self, id: TunnelId) -> Option<TunnelWatch> {
        let entry = self.table().get(id)?;
        Some(TunnelWatch { entry })
    }

    /// The tunnels that are open, in no particular order.
    ///
    /// The registry is locked for a few hundred at a time. One that opens or ends meanwhile may be among them or not; no other is
    /// missing, and none comes twice.
    #[must_use]
    pub fn iter(&self) -> Iter {
        Iter::new(self.clone())
    }

    /// Reports each tunnel that opens and each that ends from now on. At most `capacity` reports wait to be read, at least one; what
    /// comes then is lost, and [counted](Subscription::lost). No tunnel ever waits for a subscriber.
    #[must_use]
    pub fn subscribe(&self, capacity: usize) -> Subscription {
        let (subscription, queue) = events::subscription(capacity);
        self.table().subscribe(queue);
        subscription
    }

    /// Records the bytes that its tunnels have moved and that were not recorded before, as
    /// [`switchover_tunnel_bytes_total`](crate::describe_metrics): before each scrape, or at intervals. Where
    /// it is never called, those of a tunnel are recorded when it ends. Feature `metrics`.
    ///
    /// It looks at every tunnel, and no tunnel waits for it. Of a tunnel that is open up to 4 KiB for each direction and mode are
    /// recorded later.
    #[cfg(feature = "metrics")]
    pub fn record_metrics(&self) {
        // First: a tunnel that ends meanwhile is not counted twice. It may be missing until the next time.
        let mut moved = self.table().moved_by_ended();
        for tunnel in self.iter() {
            moved.add(&tunnel.entry.moved_by_mode());
        }
        let new = self.table().report(&moved);
        // First: what moves is recorded with handles of now.
        crate::telemetry::renew();
        crate::telemetry::moved(&new);
    }

    /// Ends the tunnels that the predicate selects, with [`End::Requested`](super::End::Requested), one after the other over a window:
    /// [`Duration::ZERO`] is all at once. Returns how many it has selected.
    ///
    /// The predicate is called without the lock of the registry. Clients that lose their connections together come back together:
    /// that is what the window is for.
    pub fn end_where(
        &self,
        mut select: impl FnMut(&TunnelWatch) -> bool,
        request: &EndRequest,
        window: Duration,
    ) -> usize {
        let selected: Vec<_> = self.iter().filter(|tunnel| select(tunnel)).collect();
        spread(&selected, Instant::now(), window, |tunnel, at| {
            tunnel.end_at(at, End::Requested, request.clone());
        });
        selected.len()
    }

    /// Ends all tunnels as the schedule says, with [`End::Drained`](super::End::Drained), and refuses new upgrades with 503 from now
    /// on ([`Rejection::Draining`](crate::handshake::Rejection::Draining)).
    pub fn drain(&self, schedule: Schedule) {
        self.shared.drain.start(schedule);
        let from = Instant::now().after(schedule.grace_time());
        self.table().note_drain(from, from.after(schedule.spread_time()));
        let rest: Vec<_> = self
            .iter()
            .filter(|tunnel| !tunnel.entry.is_signalled())
            .collect();
        spread(&rest, from, schedule.spread_time(), |tunnel, at| {
            tunnel.end_at(at, End::Drained, EndRequest::default());
        });
    }

    /// Whether [`drain`](Tunnels::drain) has been called: a readiness probe should fail from then on.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.shared.drain.has_started()
    }

    /// Completes when no tunnel is open, at once if none is.
    pub fn finished(&self) -> Finished {
        Finished::of(self.clone())
    }

    /// Completes when the drain starts.
    #[cfg(feature = "hyper")]
    pub(crate) fn drain_started(&self) -> DrainSignal {
        self.shared.drain.started()
    }

    /// Completes for a tunnel when the drain says so.
    #[cfg(feature = "hyper")]
    pub(crate) fn signal(&self) -> DrainSignal {
        self.shared.drain.signal()
    }

    /// Lists a tunnel that is about to run.
    pub(crate) fn list(&self, listing: Listing, is_framed: bool) -> Watched {
        let (entry, subscribers) = self.table().insert(self, listing, is_framed);
        let watched = Watched::of(entry);
        for queue in subscribers {
            queue.push(TunnelEvent::Opened(watched.watch()));
        }
        watched
    }

    fn remove(&self, entry: &Arc<Entry>, traffic: Option<&Traffic>) {
        let removed = self.table().remove(entry.id, traffic);
        let Some(removed) = removed else { return };
        #[cfg(feature = "metrics")]
        crate::telemetry::moved(&removed.moved);
        for queue in &removed.subscribers {
            queue.push(TunnelEvent::Ended(
                TunnelWatch { entry: entry.clone() },
                traffic.cloned().map(Box::new),
            ));
        }
        if let Some(woken) = removed.woken {
            woken.wake();
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Nothing in here panics halfway.
        self.shared.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives each of these tunnels an instant, at even distances over the window.
fn spread(tunnels: &[TunnelWatch], from: Instant, window: Duration, appoint: impl Fn(&TunnelWatch, Instant)) {
    for (turn, tunnel) in tunnels.iter().enumerate() {
        let part = turn as f64 / tunnels.len() as f64;
        appoint(tunnel, from.after(scaled(window, part)));
    }
}

impl fmt::Debug for Tunnels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tunnels")
            .field("len", &self.len())
            .field("is_draining", &self.is_draining())
            .finish_non_exhaustive()
    }
}

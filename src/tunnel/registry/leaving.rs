//! Tunnels that end because of their upstreams: those of one that leaves, also where they open later, since they were on their way; and
//! some of the others where one is back.
//!
//! Knows names and a window. It must not know why an upstream leaves, nor how long.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::Instant;

use super::drain_state::Window;
use super::watch::TunnelWatch;
use super::{Tunnels, spread};
use crate::tunnel::end::End;
use crate::tunnel::websocket::EndRequest;

/// An upstream that leaves.
pub(super) struct Leaving {
    upstream: Weak<str>,
    /// Whether it still does.
    leaves: Box<dyn Fn() -> bool + Send + Sync>,
    request: EndRequest,
    window: Window,
}

impl Leaving {
    /// `leaves` is asked with the registry locked: it looks at a value and does nothing else.
    pub(super) fn new(
        upstream: &Arc<str>,
        leaves: impl Fn() -> bool + Send + Sync + 'static,
        request: EndRequest,
        window: Duration,
    ) -> Self {
        Leaving {
            upstream: Arc::downgrade(upstream),
            leaves: Box::new(leaves),
            request,
            window: Window::new(Duration::ZERO, window),
        }
    }

    /// Whether it is this one.
    pub(super) fn is(&self, upstream: &Arc<str>) -> bool {
        std::ptr::addr_eq(self.upstream.as_ptr(), Arc::as_ptr(upstream))
    }

    /// Whether it leaves no more, or has left: no tunnel opens to a name that nobody has.
    pub(super) fn is_over(&self) -> bool {
        self.upstream.strong_count() == 0 || !(self.leaves)()
    }

    pub(super) fn window(&self) -> Window {
        self.window
    }

    pub(super) fn request(&self) -> &EndRequest {
        &self.request
    }
}

impl Tunnels {
    /// Ends the tunnels to the upstream with this very name, as [`end_where`](Tunnels::end_where) does, and those that open to it as long
    /// as it `leaves`: they were on their way.
    pub(crate) fn evacuate(
        &self,
        upstream: &Arc<str>,
        leaves: impl Fn() -> bool + Send + Sync + 'static,
        request: &EndRequest,
        window: Duration,
    ) {
        let leaving = Leaving::new(upstream, leaves, request.clone(), window);
        // First: one that opens meanwhile has a turn by this, or is found below.
        let over = self.table().note_leaving(upstream, leaving);
        drop(over);
        let selected: Vec<_> = self.leading_to(upstream).collect();
        spread(&selected, Instant::now(), window, |tunnel, at| {
            tunnel.entry.move_at(at, End::Evacuated, request.clone());
        });
    }

    /// The upstream with this very name leaves no more: tunnels that [`evacuate`](Tunnels::evacuate) would end later go on.
    pub(crate) fn stay(&self, upstream: &Arc<str>) {
        for tunnel in self.leading_to(upstream) {
            tunnel.entry.stay(End::Evacuated);
        }
    }

    fn leading_to<'a>(&self, upstream: &'a Arc<str>) -> impl Iterator<Item = TunnelWatch> + use<'a> {
        let leads_there = |name: &Arc<str>| Arc::ptr_eq(name, upstream);
        self.iter()
            .filter(move |tunnel| tunnel.shared_upstream().is_some_and(leads_there))
    }

    /// Ends these tunnels with [`End::Rebalanced`], one after the other over a window from this instant on.
    pub(crate) fn rebalance(
        &self,
        tunnels: &[TunnelWatch],
        request: &EndRequest,
        from: Instant,
        window: Duration,
    ) {
        spread(tunnels, from, window, |tunnel, at| {
            tunnel.entry.move_at(at, End::Rebalanced, request.clone());
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tunnel::registry::Listing;

    fn listing(upstream: &Arc<str>) -> Listing {
        Listing::default().upstream(upstream.clone())
    }

    /// An upstream that comes back takes back what it finds: so nothing may be appointed for a tunnel that it has found already.
    #[tokio::test]
    async fn a_tunnel_that_can_be_found_has_its_end_already() {
        let (tunnels, upstream) = (Tunnels::new(), Arc::<str>::from("chat"));
        let hour = Duration::from_secs(3600);
        tunnels.evacuate(&upstream, || true, &EndRequest::default(), hour);
        let (entry, _) = tunnels.table().insert(&tunnels, listing(&upstream), false);
        assert!(entry.due().is_some(), "before anybody else can look");
        tunnels.stay(&upstream);
        assert_eq!(entry.due(), None);

        tunnels.table().note_drain(Instant::now(), Instant::now());
        let (entry, _) = tunnels.table().insert(&tunnels, listing(&upstream), false);
        assert!(entry.due().is_some());
        let (entry, _) = tunnels
            .table()
            .insert(&tunnels, Listing::default().signalled(), false);
        assert_eq!(entry.due(), None, "it waits for the drain by itself");
    }

    #[tokio::test]
    async fn one_that_opens_when_its_upstream_is_back_has_none() {
        let (tunnels, upstream) = (Tunnels::new(), Arc::<str>::from("chat"));
        let leaves = Arc::new(std::sync::atomic::AtomicBool::new(true));
        let still = leaves.clone();
        let still = move || still.load(std::sync::atomic::Ordering::Relaxed);
        tunnels.evacuate(
            &upstream,
            still,
            &EndRequest::default(),
            Duration::from_secs(3600),
        );
        let namesake = Arc::<str>::from("chat");
        for (listing, leaves_now, ends) in [
            (listing(&upstream), true, true),
            (listing(&namesake), true, false),
            (Listing::default(), true, false),
            (listing(&upstream), false, false),
        ] {
            leaves.store(leaves_now, std::sync::atomic::Ordering::Relaxed);
            let watched = tunnels.list(listing, false);
            assert_eq!(watched.watch().is_to_end(), ends, "{leaves_now}");
        }
    }
}

//! The places of tunnels in a registry, and the subscribers and waiters of a change.
//!
//! Knows places only. The lock around it is its owner's business, and so is everything that is called or dropped because of a change:
//! what a method returns is dropped without the lock.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use tokio::time::Instant;

use super::drain_state::Window;
use super::ended::Ended;
use super::entry::Entry;
use super::events::Queue;
#[cfg(feature = "gateway")]
use super::leaving::Leaving;
use super::listing::{Kind, Listing};
use super::wakers::{Wakers, Woken};
use super::{TunnelId, Tunnels};
use crate::side::Side;
#[cfg(feature = "metrics")]
use crate::telemetry::Moved;
use crate::tunnel::end::End;
use crate::tunnel::traffic::Traffic;
use crate::tunnel::websocket::EndRequest;

/// So many places are kept when no tunnel is left.
const FEW: usize = 64;

/// What a kind is found by: its group, its upstream, the place of that and its protocol. The first two are known by where their names
/// are, which no others have as long as the kind exists.
type KindKey = (usize, usize, Option<usize>, Option<Arc<str>>);

#[derive(Default)]
pub(super) struct Table {
    slots: Vec<Option<Arc<Entry>>>,
    free: Vec<u32>,
    len: usize,
    /// How many tunnels there have been.
    opened: u64,
    ended: Ended,
    /// What tunnels have in common. A few, mostly: to compare costs less than to hash.
    kinds: BTreeMap<KindKey, Weak<Kind>>,
    /// From so many on, those that nobody has any more are taken out.
    purged_from: usize,
    subscribers: Vec<Weak<Queue>>,
    finished: Wakers,
    window: Option<Window>,
    /// How many have opened since a drain started, or to a server that leaves.
    late: u32,
    #[cfg(feature = "gateway")]
    leaving: Vec<Leaving>,
    #[cfg(feature = "metrics")]
    bytes: Reported,
}

/// Bytes of the tunnels that have ended, and of all of them those that were reported, open ones included.
#[cfg(feature = "metrics")]
#[derive(Default)]
struct Reported {
    ended: Moved,
    reported: Moved,
}

#[cfg(feature = "metrics")]
impl Reported {
    /// In all so many bytes have moved, or more. Returns those of them that were not reported before.
    fn report(&mut self, moved: &Moved) -> Moved {
        let new = moved.without(&self.reported);
        self.reported.add(&new);
        new
    }
}

/// What is to be done for a tunnel that has ended.
pub(super) struct Removed {
    pub(super) subscribers: Vec<Arc<Queue>>,
    pub(super) woken: Option<Woken>,
    /// Bytes that were not reported before.
    #[cfg(feature = "metrics")]
    pub(super) moved: Moved,
    _entry: Arc<Entry>,
}

impl Table {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn opened(&self) -> u64 {
        self.opened
    }

    pub(super) fn ended(&self) -> &Ended {
        &self.ended
    }

    pub(super) fn get(&self, id: TunnelId) -> Option<Arc<Entry>> {
        let entry = self.slots.get(id.slot as usize)?.as_ref()?;
        (entry.id == id).then(|| entry.clone())
    }

    /// The tunnels from a place on, at most so many, and the place behind them. `None` if there is no such place.
    pub(super) fn some_from(&self, slot: usize, limit: usize, into: &mut Vec<Arc<Entry>>) -> Option<usize> {
        let rest = self.slots.get(slot..).filter(|rest| !rest.is_empty())?;
        let some = &rest[..rest.len().min(limit)];
        into.extend(some.iter().flatten().cloned());
        Some(slot + some.len())
    }

    /// Lists a tunnel that is about to run. Returns it, and the subscribers that are to have a report of it.
    pub(super) fn insert(
        &mut self,
        tunnels: &Tunnels,
        listing: Listing,
        is_framed: bool,
    ) -> (Arc<Entry>, Vec<Arc<Queue>>) {
        self.opened += 1;
        self.len += 1;
        let slot = self.free.pop();
        let id = TunnelId {
            // Never zero, which is no tunnel's.
            number: (self.opened as u32).max(1),
            // Four billion tunnels do not fit into any memory.
            slot: slot.unwrap_or(self.slots.len() as u32),
        };
        let kind = self.kind(tunnels, &listing);
        let entry = Arc::new(Entry::new(listing, id, Some(kind), is_framed));
        match slot.and_then(|slot| self.slots.get_mut(slot as usize)) {
            Some(place) => *place = Some(entry.clone()),
            None => self.slots.push(Some(entry.clone())),
        }
        self.appoint_late_end(&entry);
        (entry, self.subscribers())
    }

    /// Has a tunnel end that comes after the turns were given out: because of a drain, or because its upstream leaves.
    ///
    /// Whoever finds a tunnel in the table finds this with it. An end that was appointed later would be missed by an upstream that comes
    /// back in between, and that takes back what it finds. Nothing is called by this: a tunnel that does not run yet has no waker.
    fn appoint_late_end(&mut self, entry: &Entry) {
        if let Some(window) = self.window.filter(|_| !entry.is_signalled()) {
            entry.end_at(self.late_turn(window), End::Drained, EndRequest::default());
        }
        if let Some((at, request)) = self.evacuated_at(entry) {
            entry.move_at(at, End::Evacuated, request);
        }
    }

    /// The turn of one more tunnel that has come after the turns were given out.
    fn late_turn(&mut self, window: Window) -> Instant {
        // Multiples of the golden ratio are even at any number of them.
        const GOLDEN: u32 = 2_654_435_769;
        self.late = self.late.wrapping_add(1);
        let part = f64::from(self.late.wrapping_mul(GOLDEN)) / f64::from(u32::MAX);
        window.turn(Instant::now(), part as f32)
    }

    /// When a tunnel is to end, and with which words, because its upstream leaves.
    #[cfg(feature = "gateway")]
    fn evacuated_at(&mut self, entry: &Entry) -> Option<(Instant, EndRequest)> {
        if self.leaving.is_empty() {
            return None;
        }
        let upstream = entry.kind.as_ref()?.upstream.as_ref()?;
        let is_it = |leaving: &&Leaving| leaving.is(upstream) && !leaving.is_over();
        let leaving = self.leaving.iter().find(is_it)?;
        let (window, request) = (leaving.window(), leaving.request().clone());
        Some((self.late_turn(window), request))
    }

    #[cfg(not(feature = "gateway"))]
    fn evacuated_at(&mut self, _: &Entry) -> Option<(Instant, EndRequest)> {
        None
    }

    /// Tunnels that open to this upstream from now on are to end, as long as it leaves. Returns what is to be dropped.
    #[cfg(feature = "gateway")]
    pub(super) fn note_leaving(&mut self, upstream: &Arc<str>, leaving: Leaving) -> Vec<Leaving> {
        let is_over = |former: &Leaving| former.is(upstream) || former.is_over();
        let former = std::mem::take(&mut self.leaving).into_iter();
        let (over, rest) = former.partition(is_over);
        self.leaving = rest;
        self.leaving.push(leaving);
        over
    }

    pub(super) fn remove(&mut self, id: TunnelId, traffic: Option<&Traffic>) -> Option<Removed> {
        let place = self.slots.get_mut(id.slot as usize)?;
        let entry = place.take_if(|entry| entry.id == id)?;
        self.free.push(id.slot);
        self.len -= 1;
        let moved = |from| entry.bytes(from).load(Ordering::Relaxed);
        self.ended.add(
            traffic.map_or("dropped", |traffic| traffic.end().name()),
            moved(Side::Downstream),
            moved(Side::Upstream),
        );
        if self.len == 0 && self.slots.len() > FEW {
            // What many have needed is not kept for the few.
            (self.slots, self.free) = Default::default();
        }
        let woken = (self.len == 0 && self.finished.waiting() > 0).then(|| self.finished.take());
        Some(Removed {
            subscribers: self.subscribers(),
            woken,
            #[cfg(feature = "metrics")]
            moved: {
                self.bytes
                    .ended
                    .add(&traffic.map_or_else(|| entry.moved_by_mode(), Traffic::moved));
                let ended = self.bytes.ended;
                self.bytes.report(&ended)
            },
            _entry: entry,
        })
    }

    /// Bytes of the tunnels that have ended.
    #[cfg(feature = "metrics")]
    pub(super) fn moved_by_ended(&self) -> Moved {
        self.bytes.ended
    }

    /// In all so many bytes have moved, or more. Returns those of them that were not reported before.
    #[cfg(feature = "metrics")]
    pub(super) fn report(&mut self, moved: &Moved) -> Moved {
        self.bytes.report(moved)
    }

    fn kind(&mut self, tunnels: &Tunnels, listing: &Listing) -> Arc<Kind> {
        let upstream = listing.upstream.as_ref().map_or(0, |name| name.as_ptr().addr());
        let group = listing.group.as_ref().map_or(0, |name| name.as_ptr().addr());
        let key = (group, upstream, listing.place, listing.protocol.clone());
        if let Some(kind) = self.kinds.get(&key).and_then(Weak::upgrade) {
            return kind;
        }
        let kind = Arc::new(Kind {
            tunnels: tunnels.clone(),
            group: listing.group.clone(),
            upstream: listing.upstream.clone(),
            place: listing.place,
            protocol: listing.protocol.clone(),
        });
        if self.kinds.len() >= self.purged_from {
            self.kinds.retain(|_, kind| kind.strong_count() > 0);
            self.purged_from = self.kinds.len() * 2 + 16;
        }
        self.kinds.insert(key, Arc::downgrade(&kind));
        kind
    }

    pub(super) fn subscribe(&mut self, queue: Weak<Queue>) {
        self.subscribers.push(queue);
    }

    fn subscribers(&mut self) -> Vec<Arc<Queue>> {
        if self.subscribers.is_empty() {
            return Vec::new();
        }
        self.subscribers.retain(|queue| queue.strong_count() > 0);
        self.subscribers.iter().filter_map(Weak::upgrade).collect()
    }

    pub(super) fn finished(&mut self) -> &mut Wakers {
        &mut self.finished
    }

    /// Tunnels that open from now on have their turns in this window, or in the one that there was, if that ends sooner.
    pub(super) fn note_drain(&mut self, from: Instant, to: Instant) {
        let former = self.window.unwrap_or(Window { from, to });
        self.window = Some(Window {
            from: from.min(former.from),
            to: to.min(former.to),
        });
    }
}

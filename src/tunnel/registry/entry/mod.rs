//! What a tunnel and those who look at it share: its numbers, which the tunnel writes and anyone reads, and when it is to end,
//! which anyone writes and the tunnel reads.
//!
//! Knows one tunnel. It must not know how bytes move, nor which other tunnels there are.

mod frames;
mod steering;

use std::any::Any;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

pub(in crate::tunnel) use frames::Frames;
use steering::Steering;

use super::TunnelId;
use super::listing::{Kind, Label, Listing};
use crate::clock::After;
use crate::side::Side;
#[cfg(feature = "metrics")]
use crate::telemetry;

/// Instants of a tunnel are kept as numbers of these, from when it was made: four bytes last for 497 days.
const TICK: Duration = Duration::from_millis(10);
const TICKS_PER_SECOND: u64 = 100;

/// Spliced bytes are kept as numbers of these: four bytes last for 16 TiB.
#[cfg(feature = "metrics")]
const PAGE: u64 = 4096;

/// The tunnel still runs, or may.
const OPEN: u8 = 1;
/// One direction has ended.
const HALF_CLOSED: u8 = 2;
/// It is about to end.
const ENDING: u8 = 4;
/// It listens by itself for the drain of its registry.
const SIGNALLED: u8 = 8;

/// What a tunnel writes and reads with each message stands first, within 64 bytes, and what stands behind it is longer than a line of the
/// cache: tunnels whose entries are neighbours in memory write no line that the other one uses.
#[repr(C)]
pub(in crate::tunnel) struct Entry {
    from_downstream: AtomicU64,
    from_upstream: AtomicU64,
    /// What the registered waker is known by, to see without the lock that it is still the right one. Zero: there is none.
    waker: AtomicUsize,
    pub(super) made_at: Instant,
    /// When the last byte from each side moved.
    moved: [AtomicU32; 2],
    /// How many of the bytes from each side were spliced, in pages, the last one begun included.
    #[cfg(feature = "metrics")]
    spliced: [AtomicU32; 2],
    /// When the tunnel is to end, one more than the ticks until then. Zero: at no instant.
    due: AtomicU32,
    port: u16,
    ip_bits: u8,
    /// Written by the tunnel alone.
    flags: AtomicU8,
    steering: Mutex<Steering>,
    pub(super) id: TunnelId,
    pub(super) kind: Option<Arc<Kind>>,
    extra: Option<Box<Extra>>,
    ip: [u8; 16],
}

/// What few tunnels have.
struct Extra {
    label: Option<Label>,
    frames: Option<Frames>,
}

fn index(side: Side) -> usize {
    match side {
        Side::Downstream => 0,
        Side::Upstream => 1,
    }
}

impl Entry {
    pub(super) fn new(listing: Listing, id: TunnelId, kind: Option<Arc<Kind>>, is_framed: bool) -> Self {
        let (ip, ip_bits) = match listing.client {
            None => ([0; 16], 0),
            Some(IpAddr::V4(ip)) => (ip.to_ipv6_mapped().octets(), 32),
            Some(IpAddr::V6(ip)) => (ip.octets(), 128),
        };
        let frames = is_framed.then(Frames::default);
        let has_extra = listing.label.is_some() || frames.is_some();
        Entry {
            from_downstream: AtomicU64::new(0),
            from_upstream: AtomicU64::new(0),
            made_at: Instant::now(),
            waker: AtomicUsize::new(0),
            steering: Mutex::default(),
            id,
            kind,
            extra: has_extra.then(|| {
                Box::new(Extra {
                    label: listing.label,
                    frames,
                })
            }),
            moved: Default::default(),
            #[cfg(feature = "metrics")]
            spliced: Default::default(),
            due: AtomicU32::new(0),
            port: listing.port.unwrap_or(0),
            ip,
            ip_bits,
            flags: AtomicU8::new(OPEN | if listing.is_signalled { SIGNALLED } else { 0 }),
        }
    }

    pub(super) fn client(&self) -> Option<IpAddr> {
        let ip = Ipv6Addr::from(self.ip);
        match self.ip_bits {
            0 => None,
            32 => Some(IpAddr::V4(ip.to_ipv4_mapped().unwrap_or(Ipv4Addr::UNSPECIFIED))),
            _ => Some(IpAddr::V6(ip)),
        }
    }

    pub(super) fn client_port(&self) -> Option<u16> {
        Some(self.port).filter(|port| *port != 0)
    }

    pub(super) fn label(&self) -> Option<&(dyn Any + Send + Sync)> {
        self.extra.as_ref()?.label.as_ref().map(Label::value)
    }

    pub(in crate::tunnel) fn frames(&self) -> Option<&Frames> {
        self.extra.as_ref()?.frames.as_ref()
    }

    pub(super) fn bytes(&self, from: Side) -> &AtomicU64 {
        match from {
            Side::Downstream => &self.from_downstream,
            Side::Upstream => &self.from_upstream,
        }
    }

    /// Whether so many bytes from this side are not yet written down.
    pub(super) fn has_news(&self, from: Side, bytes: u64) -> bool {
        // Nobody else writes.
        self.bytes(from).load(Ordering::Relaxed) != bytes
    }

    /// So many bytes from this side have moved in all, the last of them at this instant.
    pub(super) fn moved(&self, from: Side, bytes: u64, at: Instant) {
        // Nobody else writes, so plain stores will do. Released: on what was spliced of them.
        self.bytes(from).store(bytes, Ordering::Release);
        self.moved[index(from)].store(self.ticks_until(at), Ordering::Relaxed);
    }

    /// So many of the bytes from this side have been spliced. Before [`moved`](Entry::moved), which includes them.
    #[cfg(feature = "metrics")]
    pub(super) fn note_spliced(&self, from: Side, bytes: u64) {
        let pages = u32::try_from(bytes.div_ceil(PAGE)).unwrap_or(u32::MAX);
        let counter = &self.spliced[index(from)];
        if counter.load(Ordering::Relaxed) != pages {
            counter.store(pages, Ordering::Release);
        }
    }

    /// How many bytes have moved from each side, and in which mode: never more than have, and at most a page less for each mode.
    #[cfg(feature = "metrics")]
    pub(super) fn moved_by_mode(&self) -> telemetry::Moved {
        let [from_downstream, from_upstream] = [Side::Downstream, Side::Upstream].map(|side| {
            // In this order: what is read as spliced later includes all that is among these bytes.
            let bytes = self.bytes(side).load(Ordering::Acquire);
            let pages = u64::from(self.spliced[index(side)].load(Ordering::Acquire));
            telemetry::Bytes {
                copied: bytes.saturating_sub(pages.saturating_mul(PAGE)),
                spliced: pages.saturating_sub(1).saturating_mul(PAGE),
            }
        });
        let frames = [Side::Downstream, Side::Upstream].map(|side| {
            let counts = self.frames().map(|frames| frames.counts(side));
            counts.map_or_else(Default::default, |counts| *counts.numbers())
        });
        telemetry::Moved {
            from_downstream,
            from_upstream,
            frames,
        }
    }

    pub(super) fn moved_at(&self, from: Side) -> Instant {
        self.at_tick(self.moved[index(from)].load(Ordering::Relaxed))
    }

    /// Rounded down.
    fn ticks_until(&self, at: Instant) -> u32 {
        // Once for each message, so not by a division of 128 bits.
        let time = at.saturating_duration_since(self.made_at);
        let of_seconds = time.as_secs().saturating_mul(TICKS_PER_SECOND);
        let ticks = of_seconds.saturating_add(u64::from(time.subsec_nanos() / TICK.subsec_nanos()));
        u32::try_from(ticks).unwrap_or(u32::MAX)
    }

    fn at_tick(&self, ticks: u32) -> Instant {
        self.made_at.after(TICK.saturating_mul(ticks))
    }

    fn has(&self, flag: u8) -> bool {
        self.flags.load(Ordering::Acquire) & flag != 0
    }

    pub(super) fn is_open(&self) -> bool {
        self.has(OPEN)
    }

    pub(super) fn is_half_closed(&self) -> bool {
        self.has(HALF_CLOSED)
    }

    pub(super) fn is_ending(&self) -> bool {
        self.has(ENDING)
    }

    pub(super) fn is_signalled(&self) -> bool {
        self.has(SIGNALLED)
    }

    /// Only the tunnel calls this.
    pub(super) fn note_state(&self, is_half_closed: bool, is_ending: bool) {
        let flags = self.flags.load(Ordering::Relaxed);
        let half_closed = if is_half_closed { HALF_CLOSED } else { 0 };
        let ending = if is_ending { ENDING } else { 0 };
        let changed = flags & !(HALF_CLOSED | ENDING) | half_closed | ending;
        if changed != flags {
            self.flags.store(changed, Ordering::Release);
        }
    }

    /// The tunnel is gone.
    pub(super) fn close(&self) {
        let flags = self.flags.load(Ordering::Relaxed);
        self.flags.store(flags & !OPEN, Ordering::Release);
        self.forget_end();
    }
}

#[cfg(all(test, target_pointer_width = "64"))]
mod tests {
    use super::*;
    use crate::tunnel::end::End;
    use crate::tunnel::websocket::EndRequest;

    #[test]
    fn it_is_small() {
        // With its two counts and its place in the registry at most 160 bytes.
        let spliced = if cfg!(feature = "metrics") { 8 } else { 0 };
        assert_eq!(size_of::<Entry>(), 128 + spliced);
    }

    #[test]
    fn neighbours_write_no_line_of_the_cache_that_the_other_uses() {
        const LINE: usize = 64;
        let busy = std::mem::offset_of!(Entry, steering);
        assert!(busy <= LINE, "{busy}");
        // The counts of an `Arc` and what the allocator keeps come on top.
        assert!(size_of::<Entry>() - busy >= LINE);
    }

    #[test]
    fn instants_are_kept_to_a_tick_and_never_early() {
        let entry = Entry::new(Listing::default(), TunnelId::UNLISTED, None, false);
        let at = |time| entry.made_at.after(time);
        for (time, expected) in [
            (Duration::ZERO, Duration::ZERO),
            (Duration::from_millis(1), TICK),
            (TICK, TICK),
            (Duration::from_millis(9_999), Duration::from_secs(10)),
            (Duration::from_secs(60), Duration::from_secs(60)),
        ] {
            entry.expire_at(Some(at(time)), EndRequest::default());
            assert_eq!(entry.due(), Some(at(expected)), "{time:?}");
        }
        entry.expire_at(Some(at(Duration::MAX)), EndRequest::default());
        assert_eq!(entry.due(), None, "beyond the clock of a tunnel");
        entry.expire_at(Some(at(TICK)), EndRequest::default());
        entry.expire_at(None, EndRequest::default());
        assert_eq!(entry.due(), None);
    }

    #[cfg(feature = "gateway")]
    #[test]
    fn what_was_appointed_because_of_a_server_can_be_taken_back() {
        let entry = Entry::new(Listing::default(), TunnelId::UNLISTED, None, false);
        let at = |seconds| entry.made_at.after(Duration::from_secs(seconds));
        entry.expire_at(Some(at(60)), EndRequest::default());
        assert!(!entry.is_to_end(), "a credential that is good for a while");
        entry.move_at(at(10), End::Evacuated, EndRequest::default());
        assert!(entry.is_to_end());
        entry.stay(End::Rebalanced);
        assert_eq!(entry.due(), Some(at(10)), "for another reason");
        // Later than that, so it comes to light only when that is taken back.
        entry.end_at(at(30), End::Requested, EndRequest::default());
        entry.stay(End::Evacuated);
        assert_eq!(entry.due(), Some(at(30)));
        assert_eq!(
            entry.take_due(at(30)),
            Some((End::Requested, EndRequest::default()))
        );
        entry.stay(End::Evacuated);
        assert_eq!(entry.due(), None);
    }

    #[test]
    fn the_earliest_appointment_counts() {
        let entry = Entry::new(Listing::default(), TunnelId::UNLISTED, None, false);
        let at = |seconds| entry.made_at.after(Duration::from_secs(seconds));
        entry.end_at(at(20), End::Requested, EndRequest::default());
        entry.end_at(at(30), End::Drained, EndRequest::default());
        assert_eq!(entry.due(), Some(at(20)));
        entry.expire_at(Some(at(10)), EndRequest::default());
        assert_eq!(entry.take_due(at(9)), None);
        assert_eq!(
            entry.take_due(at(10)),
            Some((End::Expired, EndRequest::default()))
        );
        assert_eq!(entry.take_due(at(40)), None, "it is ending");
    }
}

//! What a tunnel that knows its frames shows of them.
//!
//! Knows counters. It must not know how frames are scanned.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::index;
use crate::side::Side;
use crate::telemetry::FrameNumbers;
use crate::tunnel::websocket::{Counts, FrameCounts, RoundTrips};

/// What a tunnel that knows its frames counts of them, by the side that sends them. Made with the first of them.
#[derive(Default)]
pub(in crate::tunnel) struct Frames {
    sides: OnceLock<Box<[OfSide; 2]>>,
}

#[derive(Default)]
struct OfSide {
    /// Of what is written here.
    revision: AtomicU32,
    numbers: [AtomicU64; size_of::<FrameNumbers>() / 8],
    trips: AtomicU32,
    last_trip: AtomicU32,
    smallest_trip: AtomicU32,
    sum_of_trips: AtomicU64,
}

impl Frames {
    fn side(&self, from: Side) -> Option<&OfSide> {
        Some(&self.sides.get()?[index(from)])
    }

    pub(in crate::tunnel::registry) fn counts(&self, from: Side) -> FrameCounts {
        let numbers = |side: &OfSide| {
            side.numbers
                .each_ref()
                .map(|number| number.load(Ordering::Relaxed))
        };
        self.side(from)
            .map_or_else(FrameCounts::default, |side| FrameCounts::of(numbers(side)))
    }

    pub(in crate::tunnel::registry) fn round_trips(&self, with: Side) -> RoundTrips {
        let Some(side) = self.side(with) else {
            return RoundTrips::default();
        };
        RoundTrips {
            // First: the others are of these, or of more.
            count: side.trips.load(Ordering::Acquire),
            last: side.last_trip.load(Ordering::Relaxed),
            smallest: side.smallest_trip.load(Ordering::Relaxed),
            sum: side.sum_of_trips.load(Ordering::Relaxed),
        }
    }

    /// Only the tunnel calls this. `revision` is another one each time that something was counted, and zero before.
    pub(in crate::tunnel::registry) fn note(
        &self,
        from: Side,
        revision: u32,
        counts: impl FnOnce() -> Counts,
    ) {
        let noted = self.side(from).map(|side| side.revision.load(Ordering::Relaxed));
        if noted.unwrap_or_default() == revision {
            return;
        }
        let side = &self.sides.get_or_init(Box::default)[index(from)];
        side.revision.store(revision, Ordering::Relaxed);
        let counts = counts();
        for (place, number) in side.numbers.iter().zip(counts.frames.numbers()) {
            if place.load(Ordering::Relaxed) != *number {
                place.store(*number, Ordering::Relaxed);
            }
        }
        let RoundTrips {
            count,
            last,
            smallest,
            sum,
        } = counts.round_trips;
        if side.trips.load(Ordering::Relaxed) != count {
            side.last_trip.store(last, Ordering::Relaxed);
            side.smallest_trip.store(smallest, Ordering::Relaxed);
            side.sum_of_trips.store(sum, Ordering::Relaxed);
            side.trips.store(count, Ordering::Release);
        }
    }
}

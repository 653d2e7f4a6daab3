//! What a tunnel that knows its frames shows of them.
//!
//! Knows counters. It must not know how frames are scanned.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use super::index;
use crate::side::Side;
use crate::telemetry::FrameNumbers;
use crate::tunnel::websocket::{Counted, FrameCounts, RoundTrips, Tally};

/// What a tunnel that knows its frames counts of them, by the side that sends them. Made with the first of them.
#[derive(Default)]
pub(in crate::tunnel) struct Frames {
    sides: OnceLock<Box<[OfSide; 2]>>,
}

#[derive(Default)]
struct OfSide {
    /// Of what is written here.
    revision: AtomicU32,
    is_binary: AtomicBool,
    frames: AtomicU32,
    messages: AtomicU32,
    bytes: AtomicU32,
    answers: AtomicU32,
    trips: AtomicU32,
    last_trip: AtomicU32,
    smallest_trip: AtomicU32,
    sum_of_trips: AtomicU64,
    /// In place of the tally, where that is too small. Few tunnels have it.
    full: OnceLock<Box<[AtomicU64; size_of::<FrameNumbers>() / 8]>>,
}

impl OfSide {
    fn frame_counts(&self) -> FrameCounts {
        let full = self.full.get().map(|numbers| {
            let numbers = numbers.each_ref();
            FrameCounts::of(numbers.map(|number| number.load(Ordering::Relaxed)))
        });
        let counted = Counted {
            tally: Tally {
                // First: what it is of was written before.
                frames: self.frames.load(Ordering::Acquire),
                messages: self.messages.load(Ordering::Relaxed),
                bytes: self.bytes.load(Ordering::Relaxed),
            },
            is_binary: self.is_binary.load(Ordering::Relaxed),
            full: full.as_ref(),
            answers: self.answers.load(Ordering::Relaxed),
            round_trips: RoundTrips::default(),
        };
        counted.frame_counts()
    }

    fn note_frames(&self, counted: &Counted<'_>) {
        if let Some(counts) = counted.full {
            // The first of them are there before anybody looks here.
            let made = || Box::new(counts.numbers().map(AtomicU64::new));
            for (place, number) in self.full.get_or_init(made).iter().zip(counts.numbers()) {
                if place.load(Ordering::Relaxed) != *number {
                    place.store(*number, Ordering::Relaxed);
                }
            }
            return;
        }
        let Tally {
            frames,
            messages,
            bytes,
        } = counted.tally;
        self.is_binary.store(counted.is_binary, Ordering::Relaxed);
        self.messages.store(messages, Ordering::Relaxed);
        self.bytes.store(bytes, Ordering::Relaxed);
        self.frames.store(frames, Ordering::Release);
    }

    fn note_round_trips(&self, trips: RoundTrips) {
        let RoundTrips {
            count,
            last,
            smallest,
            sum,
        } = trips;
        if self.trips.load(Ordering::Relaxed) != count {
            self.last_trip.store(last, Ordering::Relaxed);
            self.smallest_trip.store(smallest, Ordering::Relaxed);
            self.sum_of_trips.store(sum, Ordering::Relaxed);
            self.trips.store(count, Ordering::Release);
        }
    }
}

impl Frames {
    fn side(&self, from: Side) -> Option<&OfSide> {
        Some(&self.sides.get()?[index(from)])
    }

    pub(in crate::tunnel::registry) fn counts(&self, from: Side) -> FrameCounts {
        self.side(from)
            .map_or_else(FrameCounts::default, OfSide::frame_counts)
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
    pub(in crate::tunnel::registry) fn note<'a>(
        &self,
        from: Side,
        revision: u32,
        counted: impl FnOnce() -> Counted<'a>,
    ) {
        let noted = self.side(from).map(|side| side.revision.load(Ordering::Relaxed));
        if noted.unwrap_or_default() == revision {
            return;
        }
        let side = &self.sides.get_or_init(Box::default)[index(from)];
        side.revision.store(revision, Ordering::Relaxed);
        let counted = counted();
        side.note_frames(&counted);
        side.answers.store(counted.answers, Ordering::Relaxed);
        side.note_round_trips(counted.round_trips);
    }
}

#[cfg(all(test, target_pointer_width = "64"))]
mod tests {
    use super::*;

    #[test]
    fn what_most_tunnels_count_takes_little_room() {
        assert_eq!(size_of::<[OfSide; 2]>(), 128);
    }
}

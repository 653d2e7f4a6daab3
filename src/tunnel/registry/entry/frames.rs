//! What a tunnel that knows its frames shows of them.
//!
//! Knows counters. It must not know how frames are scanned.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use super::index;
use crate::side::Side;
use crate::telemetry;
use crate::tunnel::websocket::FrameCounts;

/// What a tunnel that knows its frames counts of them, by the side that sends them.
#[derive(Default)]
pub(in crate::tunnel) struct Frames {
    frames: [AtomicU64; 2],
    messages: [AtomicU64; 2],
    /// In microseconds, of the last ping that was answered. Zero: none was.
    round_trip: [AtomicU32; 2],
    /// How many pings were answered.
    answers: [AtomicU32; 2],
}

impl Frames {
    pub(in crate::tunnel::registry) fn frames(&self, from: Side) -> u64 {
        self.frames[index(from)].load(Ordering::Relaxed)
    }

    pub(in crate::tunnel::registry) fn messages(&self, from: Side) -> u64 {
        self.messages[index(from)].load(Ordering::Relaxed)
    }

    pub(in crate::tunnel::registry) fn round_trip(&self, with: Side) -> Option<Duration> {
        match self.round_trip[index(with)].load(Ordering::Relaxed) {
            0 => None,
            micros => Some(Duration::from_micros(micros.into())),
        }
    }

    pub(in crate::tunnel::registry) fn note(&self, from: Side, counts: &FrameCounts) {
        self.frames[index(from)].store(counts.frames, Ordering::Relaxed);
        self.messages[index(from)].store(counts.messages, Ordering::Relaxed);
        let answers = &self.answers[index(from)];
        if answers.load(Ordering::Relaxed) == counts.answers {
            return;
        }
        answers.store(counts.answers, Ordering::Relaxed);
        if let Some(time) = counts.round_trip {
            let micros = u32::try_from(time.as_micros()).unwrap_or(u32::MAX).max(1);
            self.round_trip[index(from)].store(micros, Ordering::Relaxed);
            telemetry::ping_answered(from, time);
        }
    }
}

//! How many frames and messages each side has sent, and how long it took to answer a ping: counted only in a tunnel that somebody
//! looks at.
//!
//! Knows both directions: a ping goes out in one, and its answer comes in the other.

use std::time::Duration;

use tokio::time::Instant;

use crate::side::Side;
use crate::tunnel::engine::Engine;

/// What is counted of what one side sends.
#[derive(Default)]
pub(super) struct Counts {
    /// Control frames included.
    pub(super) frames: u64,
    /// Data frames that are the last of their message.
    pub(super) messages: u64,
    /// When the last ping that the side was sent has been answered.
    pub(super) answered_at: Option<Instant>,
    /// How many pings have been answered.
    pub(super) answers: u32,
}

/// What was counted of what one side has sent.
pub(in crate::tunnel) struct FrameCounts {
    pub(in crate::tunnel) frames: u64,
    pub(in crate::tunnel) messages: u64,
    /// How long it took to answer the last ping, if it has.
    pub(in crate::tunnel) round_trip: Option<Duration>,
    /// How many pings it has answered.
    pub(in crate::tunnel) answers: u32,
}

impl Engine {
    /// From now on frames are counted, if they are known.
    pub(in crate::tunnel) fn count_frames(&mut self) {
        for half in [&mut self.from_downstream, &mut self.from_upstream] {
            if let Some(framed) = &mut half.framed {
                framed.counts = Some(Box::default());
            }
        }
    }

    /// What was counted of what `side` has sent. `None` if nothing is counted.
    pub(in crate::tunnel) fn frame_counts(&self, side: Side) -> Option<FrameCounts> {
        let counts = self.half(side).framed()?.counts.as_ref()?;
        let pinged_at = self.half(!side).framed().and_then(|asking| asking.pinged_at);
        let round_trip = match (counts.answered_at, pinged_at) {
            (Some(answered_at), Some(pinged_at)) => answered_at.checked_duration_since(pinged_at),
            _ => None,
        };
        Some(FrameCounts {
            frames: counts.frames,
            messages: counts.messages,
            round_trip,
            answers: counts.answers,
        })
    }
}

//! What is counted of the frames that each side sends, and how long it takes to answer the tunnel's pings.
//!
//! Knows headers and instants. It must not know who looks at the numbers.

use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

use super::Framed;
use crate::side::Side;
use crate::telemetry::{self, FrameNumbers};
use crate::tunnel::end::Traffic;
use crate::tunnel::engine::Engine;
use crate::websocket::{OpCode, Scanned};

/// Text, binary, Close, ping, pong.
const KINDS: usize = 5;

/// What was counted of the frames that one side has sent: from [`Traffic::frame_counts`](crate::tunnel::Traffic::frame_counts) and
/// [`TunnelWatch::frame_counts`](crate::tunnel::TunnelWatch::frame_counts).
///
/// A data frame counts when its header has passed, and its payload as it comes; a control frame counts when it is whole. The frame that ended the
/// tunnel, because its side may not send it or by a [limit](crate::tunnel::MessageLimits), does not. A continuation counts for the
/// opcode that its message began with, so of [`OpCode::Continuation`] there is nothing. Lengths are those on the wire. The tunnel's own
/// frames are not counted, answers to its pings are.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct FrameCounts {
    numbers: FrameNumbers,
}

fn kind(opcode: OpCode) -> Option<usize> {
    match opcode {
        OpCode::Text => Some(0),
        OpCode::Binary => Some(1),
        OpCode::Close => Some(2),
        OpCode::Ping => Some(3),
        OpCode::Pong => Some(4),
        OpCode::Continuation => None,
    }
}

impl FrameCounts {
    /// How many frames of this opcode. Of [`OpCode::Text`] and [`OpCode::Binary`] with the continuations of their messages.
    #[must_use]
    pub fn frames(&self, opcode: OpCode) -> u64 {
        kind(opcode).map_or(0, |kind| self.numbers[kind])
    }

    /// How many bytes of payload these frames have.
    #[must_use]
    pub fn payload_bytes(&self, opcode: OpCode) -> u64 {
        kind(opcode).map_or(0, |kind| self.numbers[KINDS + kind])
    }

    /// How many messages of this opcode, counted with the header of their last frame. A control frame is a message.
    #[must_use]
    pub fn messages(&self, opcode: OpCode) -> u64 {
        match kind(opcode) {
            Some(kind @ (0 | 1)) => self.numbers[2 * KINDS + kind],
            Some(kind) => self.numbers[kind],
            None => 0,
        }
    }

    /// How many frames in all, control frames included.
    #[must_use]
    pub fn all_frames(&self) -> u64 {
        self.numbers[..KINDS].iter().sum()
    }

    /// How many text and binary messages.
    #[must_use]
    pub fn all_messages(&self) -> u64 {
        self.numbers[2 * KINDS..].iter().sum()
    }

    /// How many bytes of payload text and binary messages have.
    #[must_use]
    pub fn all_payload_bytes(&self) -> u64 {
        self.numbers[KINDS..KINDS + 2].iter().sum()
    }

    pub(in crate::tunnel) fn numbers(&self) -> &FrameNumbers {
        &self.numbers
    }

    pub(in crate::tunnel) fn of(numbers: FrameNumbers) -> Self {
        FrameCounts { numbers }
    }

    fn add(&mut self, kind: usize, payload: u64) {
        self.numbers[kind] += 1;
        self.numbers[KINDS + kind] = self.numbers[KINDS + kind].saturating_add(payload);
    }
}

impl fmt::Debug for FrameCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameCounts")
            .field("frames", &self.all_frames())
            .field("messages", &self.all_messages())
            .field("payload_bytes", &self.all_payload_bytes())
            .finish_non_exhaustive()
    }
}

/// How long one side took to answer pings of the tunnel's own: from [`Traffic::round_trips`](crate::tunnel::Traffic::round_trips) and
/// [`TunnelWatch::round_trips`](crate::tunnel::TunnelWatch::round_trips). Exact to a microsecond.
///
/// A time runs from when the ping was written to when the pong was read. What the side was sent or had sent before is ahead of both, so
/// this is how long a message takes there and back, and not the time of the network alone. An answer is not timed if its ping or
/// the answer had to wait because the other side took no bytes, or for a rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RoundTrips {
    pub(in crate::tunnel) count: u32,
    /// In microseconds.
    pub(in crate::tunnel) last: u32,
    pub(in crate::tunnel) smallest: u32,
    pub(in crate::tunnel) sum: u64,
}

impl RoundTrips {
    /// How many answers were timed.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The last time. `None` where no answer was timed.
    #[must_use]
    pub fn last(&self) -> Option<Duration> {
        self.some(self.last.into())
    }

    /// The smallest time.
    #[must_use]
    pub fn smallest(&self) -> Option<Duration> {
        self.some(self.smallest.into())
    }

    /// The mean of all times.
    #[must_use]
    pub fn mean(&self) -> Option<Duration> {
        self.some(self.sum / u64::from(self.count.max(1)))
    }

    fn some(&self, micros: u64) -> Option<Duration> {
        (self.count > 0).then(|| Duration::from_micros(micros))
    }

    fn add(&mut self, time: Duration) {
        let micros = u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
        self.smallest = match self.count {
            0 => micros,
            _ => self.smallest.min(micros),
        };
        self.last = micros;
        self.sum = self.sum.saturating_add(micros.into());
        self.count = self.count.saturating_add(1);
    }
}

/// What is counted of what one side sends. Made with its first frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::tunnel) struct Counts {
    pub(in crate::tunnel) frames: FrameCounts,
    pub(in crate::tunnel) round_trips: RoundTrips,
    /// Another one each time that something was counted.
    pub(in crate::tunnel) revision: u32,
    /// The message that has begun is binary.
    is_binary: bool,
    /// The last ping that the side was sent has been answered, and the time has not been taken.
    is_answered: bool,
}

impl Framed {
    /// Counts what was scanned, which is so long.
    pub(super) fn count(&mut self, scanned: &Scanned, length: usize) {
        let (opcode, payload, is_last) = match scanned {
            Scanned::Payload => return self.count_payload(length),
            // Not what it declares: that may never come.
            Scanned::Header(header) => (header.opcode, 0, header.fin),
            Scanned::Control(frame) => (frame.opcode(), frame.payload().len() as u64, false),
        };
        let answers = matches!(scanned, Scanned::Control(frame) if self.pings.last_is_answered_by(frame));
        let counts = self.counts.get_or_insert_with(Box::default);
        match opcode {
            OpCode::Text => counts.is_binary = false,
            OpCode::Binary => counts.is_binary = true,
            _ => {}
        }
        let kind = kind(opcode).unwrap_or(usize::from(counts.is_binary));
        counts.frames.add(kind, payload);
        counts.frames.numbers[2 * KINDS + usize::from(counts.is_binary)] += u64::from(is_last);
        counts.is_answered |= answers;
        counts.revision = counts.revision.wrapping_add(1);
    }

    /// So much of a data frame's payload has come.
    pub(super) fn count_payload(&mut self, length: usize) {
        let counts = self.counts.get_or_insert_with(Box::default);
        let payload = &mut counts.frames.numbers[KINDS + usize::from(counts.is_binary)];
        *payload = payload.saturating_add(length as u64);
        counts.revision = counts.revision.wrapping_add(1);
    }

    pub(in crate::tunnel) fn counts(&self) -> Option<&Counts> {
        self.counts.as_deref()
    }
}

impl Traffic {
    /// What was counted of the frames that `side` has sent. `None` in a tunnel that does not
    /// [know its frames](crate::tunnel::Tunnel::websocket).
    #[must_use]
    pub fn frame_counts(&self, side: Side) -> Option<FrameCounts> {
        Some(self.websocket.as_ref()?.counts[side as usize].frames)
    }

    /// How long `side` took to answer pings of the tunnel's own. `None` in a tunnel that does not
    /// [know its frames](crate::tunnel::Tunnel::websocket).
    #[must_use]
    pub fn round_trips(&self, side: Side) -> Option<RoundTrips> {
        Some(self.websocket.as_ref()?.counts[side as usize].round_trips)
    }
}

impl Engine {
    /// Takes the time of an answer to the last ping that `side` was sent, if one has come.
    pub(in crate::tunnel) fn time_answer(&mut self, side: Side, now: Instant) {
        let counts = self.half(side).framed().and_then(Framed::counts);
        if !counts.is_some_and(|counts| counts.is_answered) {
            return;
        }
        let asked_at = self.half(!side).framed().and_then(Framed::timed_ping);
        let framed = self.half_mut(side).framed.as_mut();
        let Some(counts) = framed.and_then(|framed| framed.counts.as_mut()) else {
            return;
        };
        counts.is_answered = false;
        if let Some(asking) = self.half_mut(!side).framed.as_mut() {
            // An answer that is sent again is no second round trip.
            asking.is_ping_timed = false;
        }
        let framed = self.half_mut(side).framed.as_mut();
        let Some(counts) = framed.and_then(|framed| framed.counts.as_mut()) else {
            return;
        };
        if let Some(time) = asked_at.and_then(|at| now.checked_duration_since(at)) {
            counts.round_trips.add(time);
            telemetry::ping_answered(side, time);
        }
    }

    /// What was counted of what `side` has sent. `None` where frames are not known.
    pub(in crate::tunnel) fn counts(&self, side: Side) -> Option<Counts> {
        let framed = self.half(side).framed()?;
        Some(framed.counts().copied().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_round_trips_the_last_the_smallest_and_the_mean_are_kept() {
        let micros = Duration::from_micros;
        let mut trips = RoundTrips::default();
        assert_eq!((trips.last(), trips.smallest(), trips.mean()), (None, None, None));
        for (time, last, smallest, mean) in [(30, 30, 30, 30), (10, 10, 10, 20), (50, 50, 10, 30)] {
            trips.add(micros(time));
            let found = (trips.last(), trips.smallest(), trips.mean());
            let expected = [last, smallest, mean].map(|time| Some(micros(time)));
            assert_eq!([found.0, found.1, found.2], expected);
        }
        trips.add(Duration::MAX);
        trips.add(Duration::ZERO);
        assert_eq!((trips.count(), trips.smallest()), (5, Some(Duration::ZERO)));
    }
}

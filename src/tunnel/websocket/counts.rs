//! What is counted of the frames that each side sends, and how long it takes to answer the tunnel's pings.
//!
//! Knows headers and instants. It must not know who looks at the numbers.

use std::fmt;

use tokio::time::Instant;

use super::injected::Pings;
use super::{Framed, RoundTrips};
use crate::side::Side;
use crate::telemetry::{self, FrameNumbers};
use crate::tunnel::engine::Engine;
use crate::tunnel::traffic::Traffic;
use crate::websocket::{FrameHeader, OpCode, Scanned};

/// Text, binary, Close, ping, pong.
const KINDS: usize = 5;
const PONGS: usize = 4;

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
        OpCode::Pong => Some(PONGS),
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

/// What is counted of what one side sends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::tunnel) struct Counts {
    pub(in crate::tunnel) frames: FrameCounts,
    pub(in crate::tunnel) round_trips: RoundTrips,
}

/// The same in the form in which it is kept.
pub(in crate::tunnel) struct Counted<'a> {
    pub(in crate::tunnel) tally: Tally,
    /// What the tally is of.
    pub(in crate::tunnel) is_binary: bool,
    /// In place of the tally.
    pub(in crate::tunnel) full: Option<&'a FrameCounts>,
    /// Answers to the tunnel's pings, which are in neither.
    pub(in crate::tunnel) answers: u32,
    pub(in crate::tunnel) round_trips: RoundTrips,
}

impl Counted<'_> {
    pub(in crate::tunnel) fn frame_counts(&self) -> FrameCounts {
        let tally = || self.tally.to_counts(self.is_binary);
        let mut frames = self.full.copied().unwrap_or_else(tally);
        let answers = u64::from(self.answers);
        frames.numbers[PONGS] += answers;
        frames.numbers[KINDS + PONGS] += answers * Pings::LENGTH as u64;
        frames
    }
}

/// What is counted as long as it is little: messages of one kind, and answers to the tunnel's pings beside them. Few tunnels see
/// anything else, and this takes an eighth of the memory.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::tunnel) struct Tally {
    pub(in crate::tunnel) frames: u32,
    pub(in crate::tunnel) messages: u32,
    pub(in crate::tunnel) bytes: u32,
}

impl Tally {
    /// False: it is too small for that.
    fn add_frame(&mut self, is_last: bool) -> bool {
        let frames = self.frames.checked_add(1);
        // There are no more messages than frames.
        self.messages += u32::from(frames.is_some() && is_last);
        self.frames = frames.unwrap_or(self.frames);
        frames.is_some()
    }

    /// False: it is too small for that.
    fn add_bytes(&mut self, length: usize) -> bool {
        let length = u32::try_from(length).ok();
        let bytes = length.and_then(|length| self.bytes.checked_add(length));
        self.bytes = bytes.unwrap_or(self.bytes);
        bytes.is_some()
    }

    fn to_counts(self, is_binary: bool) -> FrameCounts {
        let (mut counts, kind) = (FrameCounts::default(), usize::from(is_binary));
        counts.numbers[kind] = self.frames.into();
        counts.numbers[KINDS + kind] = self.bytes.into();
        counts.numbers[2 * KINDS + kind] = self.messages.into();
        counts
    }
}

impl Framed {
    /// Counts what was scanned, which is so long.
    pub(super) fn count(&mut self, scanned: &Scanned, length: usize) {
        match scanned {
            // Not what its header declares: that may never come.
            Scanned::Payload => self.count_payload(length),
            Scanned::Header(header) => self.count_frame(header),
            Scanned::Control(frame) if self.extra.pings.are_answered_by(frame) => {
                let is_last = self.extra.pings.last_is_answered_by(frame);
                let pings = &mut self.extra.pings;
                pings.answers = pings.answers.saturating_add(1);
                self.extra.is_answered |= is_last;
            }
            Scanned::Control(frame) => {
                let length = frame.payload().len() as u64;
                if let Some(kind) = kind(frame.opcode()) {
                    self.full_counts().add(kind, length);
                }
            }
        }
    }

    pub(super) fn count_frame(&mut self, header: &FrameHeader) {
        let is_binary = match header.opcode {
            OpCode::Continuation => self.is_binary,
            opcode => opcode == OpCode::Binary,
        };
        if is_binary != self.is_binary && self.tally.frames > 0 {
            self.full_counts();
        }
        self.is_binary = is_binary;
        if !self.has_full_counts() && self.tally.add_frame(header.fin) {
            return;
        }
        let kind = usize::from(is_binary);
        let counts = self.full_counts();
        counts.add(kind, 0);
        counts.numbers[2 * KINDS + kind] += u64::from(header.fin);
    }

    /// So much of a data frame's payload has come.
    pub(super) fn count_payload(&mut self, length: usize) {
        if !self.has_full_counts() && self.tally.add_bytes(length) {
            return;
        }
        let kind = KINDS + usize::from(self.is_binary);
        let payload = &mut self.full_counts().numbers[kind];
        *payload = payload.saturating_add(length as u64);
    }

    fn has_full_counts(&self) -> bool {
        self.rare().counts.is_some()
    }

    /// From now on everything is counted there, but for the answers to the tunnel's pings.
    fn full_counts(&mut self) -> &mut FrameCounts {
        let (tally, is_binary) = (std::mem::take(&mut self.tally), self.is_binary);
        let counts = &mut self.extra.rare.counts;
        counts.get_or_insert_with(|| Box::new(tally.to_counts(is_binary)))
    }

    pub(in crate::tunnel) fn counted(&self) -> Counted<'_> {
        Counted {
            tally: self.tally,
            is_binary: self.is_binary,
            full: self.rare().counts.as_deref(),
            answers: self.extra.pings.answers,
            round_trips: self.extra.round_trips,
        }
    }

    pub(in crate::tunnel) fn counts(&self) -> Counts {
        Counts {
            frames: self.counted().frame_counts(),
            round_trips: self.extra.round_trips,
        }
    }

    /// Another number each time that something was counted. Zero: nothing.
    pub(in crate::tunnel) fn counts_revision(&self) -> u32 {
        let of_tally = u64::from(self.tally.frames) + u64::from(self.tally.bytes);
        let counted = self.rare().counts.as_ref();
        let of_counts = counted.map_or(0, |counts| counts.numbers[..2 * KINDS].iter().sum());
        // Two that follow each other differ by much less than this number holds.
        (of_tally + of_counts + u64::from(self.extra.pings.answers) + u64::from(self.extra.round_trips.count))
            as u32
    }
}

impl Traffic {
    /// What was counted of the frames that `side` has sent. `None` in a tunnel that does not
    /// [know its frames](crate::tunnel::Tunnel::websocket).
    #[must_use]
    pub fn frame_counts(&self, side: Side) -> Option<FrameCounts> {
        Some(self.websocket.as_ref()?.counts[side as usize].frames)
    }

    /// How long `side` took to answer pings that the tunnel injects. `None` in a tunnel that does not
    /// [know its frames](crate::tunnel::Tunnel::websocket).
    #[must_use]
    pub fn round_trips(&self, side: Side) -> Option<RoundTrips> {
        Some(self.websocket.as_ref()?.counts[side as usize].round_trips)
    }
}

impl Engine {
    /// Takes the time of an answer to the last ping that `side` was sent, if one has come.
    pub(in crate::tunnel) fn time_answer(&mut self, side: Side, now: Instant) {
        let is_answered = |framed: &Framed| framed.extra.is_answered;
        if !self.half(side).framed().is_some_and(is_answered) {
            return;
        }
        let asked_at = self.half(!side).framed().and_then(Framed::timed_ping);
        let asking = self.half_mut(!side).framed.as_mut();
        if let Some(extra) = asking.and_then(|asking| asking.extra.get_mut()) {
            // An answer that is sent again is no second round trip.
            extra.is_ping_timed = false;
            extra.is_ping_read = true;
        }
        let Some(framed) = self.half_mut(side).framed.as_mut() else {
            return;
        };
        framed.extra.is_answered = false;
        if let Some(time) = asked_at.and_then(|at| now.checked_duration_since(at)) {
            framed.extra.round_trips.add(time);
            telemetry::ping_answered(side, time);
        }
    }

    /// What was counted of what `side` has sent. `None` where frames are not known.
    pub(in crate::tunnel) fn counts(&self, side: Side) -> Option<Counts> {
        self.half(side).framed().map(Framed::counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::websocket::ControlFrame;

    #[test]
    fn what_is_counted_in_little_room_is_the_same_as_in_much() {
        use crate::tunnel::websocket::WebSocketConfig;
        let frame = |opcode, fin| {
            Scanned::Header(FrameHeader {
                fin,
                ..FrameHeader::new(opcode, 9)
            })
        };
        let (text, binary) = (frame(OpCode::Text, false), frame(OpCode::Binary, true));
        let more = frame(OpCode::Continuation, true);
        let ping = Scanned::Control(ControlFrame::new(OpCode::Ping, b"12").unwrap());
        let mut framed = Framed::new(Side::Upstream, Instant::now(), &WebSocketConfig::default());
        let numbers = |framed: &Framed| {
            let counts = framed.counts().frames;
            let of = |opcode| {
                [
                    counts.frames(opcode),
                    counts.messages(opcode),
                    counts.payload_bytes(opcode),
                ]
            };
            (
                of(OpCode::Text),
                of(OpCode::Binary),
                of(OpCode::Ping)[0],
                framed.has_full_counts(),
            )
        };
        assert_eq!(framed.counts_revision(), 0);
        let check = |framed: &Framed, expected| assert_eq!(numbers(framed), expected);
        let count = |framed: &mut Framed, scanned: &Scanned, length| {
            let before = framed.counts_revision();
            framed.count(scanned, length);
            assert_ne!(framed.counts_revision(), before);
        };
        count(&mut framed, &text, 2);
        count(&mut framed, &Scanned::Payload, 9);
        count(&mut framed, &more, 2);
        check(&framed, ([2, 1, 9], [0; 3], 0, false));
        let most = u32::MAX as usize - 9;
        count(&mut framed, &Scanned::Payload, most);
        check(&framed, ([2, 1, u64::from(u32::MAX)], [0; 3], 0, false));
        count(&mut framed, &Scanned::Payload, 1);
        check(&framed, ([2, 1, 1 << 32], [0; 3], 0, true));
        count(&mut framed, &binary, 2);
        count(&mut framed, &Scanned::Payload, 7);
        check(&framed, ([2, 1, 1 << 32], [1, 1, 7], 0, true));

        for (second, expected) in [
            (&binary, ([1, 0, 5], [1, 1, 0], 0, true)),
            (&ping, ([1, 0, 5], [0; 3], 1, true)),
            (&more, ([2, 1, 5], [0; 3], 0, false)),
        ] {
            let mut framed = Framed::new(Side::Upstream, Instant::now(), &WebSocketConfig::default());
            framed.count(&text, 2);
            framed.count(&Scanned::Payload, 5);
            framed.count(second, 2);
            check(&framed, expected);
        }
    }
}

//! Whether a frame may pass, by its header alone; and where a rate of bytes delays, how much of its payload.
//!
//! Knows what one side has sent, and the time that it is given. It must not know what becomes of a frame that may not pass.

use std::time::Instant;

use super::bucket::Bucket;
use super::{MessageLimit, MessageLimits, Rate};
use crate::websocket::FrameHeader;

/// Where payload waits for its rate, so much of it goes on together, if the burst is no less.
const PIECE: u64 = 16 * 1024;

/// What becomes of a frame.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::tunnel) enum Admission {
    Pass,
    /// It may pass then.
    Wait(Instant),
    /// It exceeds this limit, which is of this size.
    Refuse(MessageLimit, u64),
}

/// What one side has sent, as far as its limits need it.
#[derive(Debug)]
pub(in crate::tunnel) struct Limiter {
    limits: MessageLimits,
    /// Of the message that has begun and not ended: its payload and its frames so far.
    message_bytes: u64,
    fragments: u64,
    control_frames: Option<Bucket>,
    messages: Option<Bucket>,
    bytes: Option<Bucket>,
    /// The last ping of the tunnel's own whose answer has passed without being counted.
    pub(in crate::tunnel::websocket) answered: u32,
}

impl Limiter {
    pub(in crate::tunnel) fn new(limits: MessageLimits, now: Instant) -> Self {
        let bucket = |rate: Option<_>| rate.map(|rate| Bucket::new(rate, now));
        // Payload that waits goes on when a timer fires, each millisecond at best: with less room the rate would not be reached.
        let least = |rate: Rate| if limits.throttle { rate.per_second / 500 } else { 0 };
        let byte_rate = limits
            .byte_rate
            .map(|rate| rate.burst(rate.burst.max(least(rate))));
        Limiter {
            limits,
            message_bytes: 0,
            fragments: 0,
            control_frames: bucket(limits.control_frame_rate),
            messages: bucket(limits.message_rate),
            bytes: bucket(byte_rate),
            answered: 0,
        }
    }

    /// A data frame, whose header takes `header_length` bytes. What does not pass leaves no trace.
    pub(in crate::tunnel) fn data_frame(
        &mut self,
        now: Instant,
        header: &FrameHeader,
        header_length: usize,
    ) -> Admission {
        let length = header.payload_length;
        let message_bytes = self.message_bytes.saturating_add(length);
        let fragments = self.fragments.saturating_add(1);
        for (found, allowed, limit) in [
            (length, self.limits.max_frame_bytes, MessageLimit::FrameBytes),
            (
                message_bytes,
                self.limits.max_message_bytes,
                MessageLimit::MessageBytes,
            ),
            (fragments, self.limits.max_fragments, MessageLimit::Fragments),
        ] {
            match allowed {
                Some(allowed) if found > allowed => return Admission::Refuse(limit, allowed),
                _ => {}
            }
        }
        let begins = self.fragments == 0;
        let throttle = self.limits.throttle;
        let cost = match throttle {
            // Its payload is counted as it passes.
            true => header_length as u64,
            false => length.saturating_add(header_length as u64),
        };
        let messages = self.messages.as_mut().filter(|_| begins);
        let decision = both(
            decide(messages, now, 1, MessageLimit::MessageRate, throttle),
            decide(self.bytes.as_mut(), now, cost, MessageLimit::ByteRate, throttle),
        );
        if decision == Admission::Pass {
            if let Some(bucket) = self.messages.as_mut().filter(|_| begins) {
                bucket.take(1);
            }
            if let Some(bucket) = &mut self.bytes {
                bucket.take(cost);
            }
            (self.message_bytes, self.fragments) = match header.fin {
                true => (0, 0),
                false => (message_bytes, fragments),
            };
        }
        decision
    }

    /// Whether payload has to [wait](Limiter::payload) for a rate.
    pub(in crate::tunnel) fn delays_payload(&self) -> bool {
        self.limits.throttle && self.bytes.is_some()
    }

    /// How much payload may pass at once. Zero: none, and [`payload`](Limiter::payload) says until when.
    pub(in crate::tunnel) fn payload_room(&mut self, now: Instant) -> u64 {
        match &mut self.bytes {
            Some(bucket) if self.limits.throttle => bucket.room(now),
            _ => u64::MAX,
        }
    }

    /// So much payload of a frame that has passed.
    pub(in crate::tunnel) fn payload(&mut self, now: Instant, length: u64) -> Admission {
        let Some(bucket) = self.bytes.as_mut().filter(|_| self.limits.throttle) else {
            return Admission::Pass;
        };
        // Not each byte by itself: a piece has room before it passes.
        let piece = length.min(PIECE).min(bucket.burst());
        match bucket.check(now, piece) {
            Ok(()) => {
                bucket.take(length);
                Admission::Pass
            }
            Err(at) => Admission::Wait(at),
        }
    }

    /// A ping or a pong.
    pub(in crate::tunnel) fn control_frame(&mut self, now: Instant) -> Admission {
        let limit = MessageLimit::ControlFrameRate;
        let decision = decide(self.control_frames.as_mut(), now, 1, limit, self.limits.throttle);
        if let (Admission::Pass, Some(bucket)) = (&decision, &mut self.control_frames) {
            bucket.take(1);
        }
        decision
    }
}

fn decide(
    bucket: Option<&mut Bucket>,
    now: Instant,
    cost: u64,
    limit: MessageLimit,
    throttle: bool,
) -> Admission {
    let Some(bucket) = bucket else {
        return Admission::Pass;
    };
    match bucket.check(now, cost) {
        // What does not fit into the burst is beyond the rate at any time.
        Ok(()) if throttle || cost <= bucket.burst() => Admission::Pass,
        Err(at) if throttle => Admission::Wait(at),
        _ => Admission::Refuse(limit, bucket.rate()),
    }
}

/// The stricter of two.
fn both(one: Admission, other: Admission) -> Admission {
    match (one, other) {
        (Admission::Pass, decision) | (decision, Admission::Pass) => decision,
        (Admission::Wait(one), Admission::Wait(other)) => Admission::Wait(one.max(other)),
        (decision, _) => decision,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::Rate;
    use super::*;
    use crate::websocket::OpCode;

    /// A name, the limits, the frames by their length and whether they are the last of their message, and what becomes of the last.
    type Row = (&'static str, MessageLimits, &'static [(u64, bool)], Admission);

    fn frame(length: u64, fin: bool) -> FrameHeader {
        FrameHeader {
            fin,
            ..FrameHeader::new(OpCode::Text, length)
        }
    }

    fn refuse(limit: MessageLimit, allowed: u64) -> Admission {
        Admission::Refuse(limit, allowed)
    }

    #[test]
    fn a_size_at_the_limit_passes_and_one_above_does_not() {
        const HUGE: u64 = u64::MAX >> 1;
        let none = MessageLimits::default();
        let cases: &[Row] = &[
            (
                "no limit",
                none,
                &[(HUGE, false), (HUGE, false), (HUGE, true)],
                Admission::Pass,
            ),
            (
                "a frame at it",
                none.max_frame_bytes(10),
                &[(10, true)],
                Admission::Pass,
            ),
            (
                "a frame above",
                none.max_frame_bytes(10),
                &[(11, true)],
                refuse(MessageLimit::FrameBytes, 10),
            ),
            (
                "an empty frame at zero",
                none.max_frame_bytes(0),
                &[(0, true)],
                Admission::Pass,
            ),
            (
                "one byte at zero",
                none.max_frame_bytes(0),
                &[(1, true)],
                refuse(MessageLimit::FrameBytes, 0),
            ),
            (
                "a message at it",
                none.max_message_bytes(10),
                &[(4, false), (6, true)],
                Admission::Pass,
            ),
            (
                "a message above",
                none.max_message_bytes(10),
                &[(4, false), (6, false), (1, true)],
                refuse(MessageLimit::MessageBytes, 10),
            ),
            (
                "each message for itself",
                none.max_message_bytes(10),
                &[(10, true), (10, true)],
                Admission::Pass,
            ),
            (
                "a sum beyond all numbers",
                none.max_message_bytes(u64::MAX - 1),
                &[(HUGE, false), (HUGE, false), (HUGE, true)],
                refuse(MessageLimit::MessageBytes, u64::MAX - 1),
            ),
            (
                "fragments at it",
                none.max_fragments(2),
                &[(0, false), (0, true), (0, true)],
                Admission::Pass,
            ),
            (
                "fragments above",
                none.max_fragments(2),
                &[(0, false), (0, false), (0, true)],
                refuse(MessageLimit::Fragments, 2),
            ),
            (
                "no fragments is one",
                none.max_fragments(0),
                &[(1, true)],
                Admission::Pass,
            ),
        ];
        for (name, limits, frames, last) in cases {
            let now = Instant::now();
            let mut limiter = Limiter::new(*limits, now);
            for (at, (length, fin)) in frames.iter().enumerate() {
                let decision = limiter.data_frame(now, &frame(*length, *fin), 2);
                let expected = if at + 1 == frames.len() {
                    last
                } else {
                    &Admission::Pass
                };
                assert_eq!(decision, *expected, "{name}, {at}");
            }
        }
    }

    #[test]
    fn a_rate_refuses_or_waits_and_counts_what_it_names() {
        let now = Instant::now();
        let second = now + Duration::from_secs(1);
        let one = || Rate::per_second(1);
        let none = MessageLimits::default();

        let mut limiter = Limiter::new(none.message_rate(one()), now);
        assert_eq!(limiter.data_frame(now, &frame(1, false), 2), Admission::Pass);
        assert_eq!(
            limiter.data_frame(now, &frame(1, true), 2),
            Admission::Pass,
            "the same message"
        );
        assert_eq!(limiter.control_frame(now), Admission::Pass, "no message");
        let refused = refuse(MessageLimit::MessageRate, 1);
        assert_eq!(limiter.data_frame(now, &frame(1, true), 2), refused);
        assert_eq!(limiter.data_frame(second, &frame(1, true), 2), Admission::Pass);

        let mut limiter = Limiter::new(none.control_frame_rate(one()).throttle(true), now);
        assert_eq!(limiter.control_frame(now), Admission::Pass);
        assert_eq!(limiter.control_frame(now), Admission::Wait(second));
        assert_eq!(
            limiter.data_frame(now, &frame(1, true), 2),
            Admission::Pass,
            "no control frame"
        );

        let mut limiter = Limiter::new(none.byte_rate(Rate::per_second(10).burst(12)), now);
        assert_eq!(
            limiter.data_frame(now, &frame(10, true), 2),
            Admission::Pass,
            "with its header"
        );
        let refused = refuse(MessageLimit::ByteRate, 10);
        assert_eq!(limiter.data_frame(now, &frame(0, true), 2), refused);

        // What waits for one takes nothing from the other.
        let limits = none
            .message_rate(Rate::per_second(2))
            .byte_rate(Rate::per_second(10))
            .throttle(true);
        let mut limiter = Limiter::new(limits, now);
        assert_eq!(limiter.data_frame(now, &frame(8, true), 2), Admission::Pass);
        assert_eq!(limiter.payload(now, 8), Admission::Pass);
        for _ in 0..5 {
            assert_eq!(
                limiter.data_frame(now, &frame(8, true), 2),
                Admission::Wait(now + Duration::from_millis(200))
            );
        }
        assert_eq!(limiter.data_frame(second, &frame(8, true), 2), Admission::Pass);
    }

    #[test]
    fn a_rate_of_bytes_refuses_what_no_burst_has_room_for_and_delays_each_part_of_it() {
        const HUGE: u64 = u64::MAX >> 1;
        let now = Instant::now();
        let at = |millis| now + Duration::from_millis(millis);
        let limits = MessageLimits::default().byte_rate(Rate::per_second(1000));
        let mut limiter = Limiter::new(limits, now);
        let refused = refuse(MessageLimit::ByteRate, 1000);
        for (length, expected) in [(999, &refused), (HUGE, &refused), (998, &Admission::Pass)] {
            assert_eq!(
                limiter.data_frame(now, &frame(length, true), 2),
                *expected,
                "{length}"
            );
        }
        assert_eq!(
            (limiter.payload_room(now), limiter.delays_payload()),
            (u64::MAX, false)
        );

        let mut limiter = Limiter::new(limits.throttle(true), now);
        assert!(limiter.delays_payload());
        assert_eq!(limiter.data_frame(now, &frame(HUGE, true), 2), Admission::Pass);
        assert_eq!(limiter.payload_room(now), 998);
        assert_eq!(limiter.payload(now, 998), Admission::Pass);
        assert_eq!(limiter.payload_room(now), 0);
        for (length, expected) in [(1, 1), (300, 300), (1000, 1000), (64 * 1024, 1000)] {
            assert_eq!(
                limiter.payload(now, length),
                Admission::Wait(at(expected)),
                "{length}"
            );
        }
        assert_eq!(limiter.payload_room(at(300)), 300);
        assert_eq!(limiter.payload(at(300), 300), Admission::Pass);
        assert_eq!(limiter.payload(at(300), 1), Admission::Wait(at(301)));

        // A burst below what passes between two looks at the clock would be the rate.
        let limits = MessageLimits::default().byte_rate(Rate::per_second(10_000_000).burst(1000));
        for (throttle, room) in [(true, 20_000), (false, u64::MAX)] {
            let mut limiter = Limiter::new(limits.throttle(throttle), now);
            assert_eq!(limiter.payload_room(now), room);
        }
    }
}

//! One direction by itself: what goes out of what is read, whether it is read or skipped, and what is copied of it.

use std::future::ready;
use std::task::{Context, Waker};
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::websocket::FrameHeader;

/// From the upstream, so that nothing is masked.
fn framed(limits: MessageLimits) -> Framed {
    let config = WebSocketConfig::default().limits(limits);
    Framed::new(Side::Upstream, Instant::now(), &config)
}

fn held(framed: &Framed) -> Bytes {
    framed.rare().held.clone().unwrap_or_default()
}

fn message(opcode: OpCode, fin: bool, payload: &[u8]) -> Vec<u8> {
    let header = FrameHeader {
        fin,
        ..FrameHeader::new(opcode, payload.len() as u64)
    };
    let mut bytes = Vec::new();
    header.encode(&mut bytes).unwrap();
    bytes.extend_from_slice(payload);
    bytes
}

/// As many messages of one byte as a read can bring.
const COUNT: usize = 64 * 1024 / 3;

fn tiny_messages() -> Vec<u8> {
    message(OpCode::Text, true, b"x").repeat(COUNT)
}

/// What is held has to be where it was when it was read, but for the last few bytes: then nothing has been copied since.
fn is_where_it_was(held: &Bytes, start: *const u8, left: usize) {
    assert_eq!(held.len(), left);
    let is_few = left <= 256;
    assert!(is_few || held.as_ptr() as usize == start as usize + 3 * COUNT - left);
}

#[test]
fn messages_that_wait_for_their_rate_are_not_copied_each_time() {
    let mut framed = framed(
        MessageLimits::default()
            .message_rate(Rate::per_second(1))
            .throttle(true),
    );
    let mut now = Instant::now();
    let read = tiny_messages();
    let mut out = framed.pass(now, &read).to_vec();
    let start = held(&framed).as_ptr().wrapping_sub(out.len());
    while framed.waits_until().is_some() {
        now += Duration::from_secs(1);
        let passed = framed.pass(now, &[]);
        assert_eq!(passed.len(), 3);
        out.extend_from_slice(&passed);
        drop(passed);
        is_where_it_was(&held(&framed), start, read.len() - out.len());
    }
    assert!(out == read);
}

#[test]
fn messages_that_wait_for_decisions_are_not_copied_each_time() {
    struct Asks;
    impl MessageTap for Asks {
        fn decide(&mut self, _: &MessageHead) -> Decision {
            Decision::Read(10)
        }
        fn read(&mut self, _: &MessageHead, _: &Bytes) -> Verdict {
            Verdict::wait(ready(Verdict::Pass))
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let _entered = runtime.enter();
    let mut framed = framed(MessageLimits::default());
    framed.extra.rare.own = Some(Box::new(Own::under(Tap::new(Asks), Side::Upstream)));
    let (now, read) = (Instant::now(), tiny_messages());
    let mut out = framed.pass(now, &read).to_vec();
    assert_eq!(out, b"");
    let start = held(&framed).as_ptr().wrapping_sub(3);
    let mut cx = Context::from_waker(Waker::noop());
    while let Some(bytes) = framed.poll_injected(&mut cx, now) {
        out.extend_from_slice(&bytes);
        if framed.is_paused() {
            // What is decided about is held elsewhere.
            is_where_it_was(&held(&framed), start, read.len() - out.len() - 3);
        }
    }
    assert!(out == read);
}

#[test]
fn payload_that_a_rate_may_delay_is_read_and_not_skipped() {
    let rate = MessageLimits::default().byte_rate(Rate::per_second(1 << 40));
    for (limits, is_skipped) in [(rate, true), (rate.throttle(true), false)] {
        let (now, mut framed) = (Instant::now(), framed(limits));
        assert_eq!(framed.may_look_ahead(), is_skipped);
        let frame = message(OpCode::Binary, true, &[7; 100_000]);
        assert_eq!(framed.pass(now, &frame[..1000]).len(), 1000);
        assert_eq!(framed.may_skip() > 0, is_skipped);
    }
}

#[cfg(feature = "deflate")]
#[test]
fn what_is_inflated_in_one_turn_is_bounded() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Counts what it is shown.
    struct Shown(Decision, Arc<AtomicUsize>);
    impl MessageTap for Shown {
        fn decide(&mut self, _: &MessageHead) -> Decision {
            self.0.clone()
        }
        fn read(&mut self, _: &MessageHead, payload: &Bytes) -> Verdict {
            self.1.fetch_add(payload.len(), Ordering::Relaxed);
            Verdict::Pass
        }
        fn observe(&mut self, _: &MessageHead, piece: &[u8], _: bool) -> Option<EndRequest> {
            self.1.fetch_add(piece.len(), Ordering::Relaxed);
            None
        }
    }

    /// A message of so many zeros, each independent of those before it.
    fn bomb(length: usize) -> Vec<u8> {
        let mut compress = flate2::Compress::new(flate2::Compression::best(), false);
        let mut payload = Vec::with_capacity(length / 500 + 100);
        compress
            .compress_vec(&vec![b'0'; length], &mut payload, flate2::FlushCompress::Sync)
            .unwrap();
        payload.truncate(payload.len() - 4);
        let mut bytes = message(OpCode::Binary, true, &payload);
        bytes[0] |= 0x40;
        bytes
    }

    const MEGABYTE: usize = 1 << 20;
    let agreed = crate::websocket::DeflateParameters::read("permessage-deflate; server_no_context_takeover");
    for (decision, length) in [
        (Decision::Observe, 40 * MEGABYTE),
        (Decision::Observe, 60_000),
        (Decision::Read(60_000), 60_000),
    ] {
        let bomb = bomb(length);
        let read = bomb.repeat(64 * 1024 / bomb.len());
        let shown = Arc::new(AtomicUsize::new(0));
        let tap = Tap::new(Shown(decision.clone(), shown.clone())).deflate(agreed);
        let config = WebSocketConfig::default().reserved_bits([true, false, false]);
        let mut framed = Framed::new(Side::Upstream, Instant::now(), &config);
        framed.extra.rare.own = Some(Box::new(Own::under(tap, Side::Upstream)));
        let (now, mut cx) = (Instant::now(), Context::from_waker(Waker::noop()));
        let (mut out, mut before) = (framed.pass(now, &read).to_vec(), 0);
        loop {
            let made = shown.load(Ordering::Relaxed) - before;
            assert!(made <= 3 * MEGABYTE / 2, "{decision:?}: {made} bytes in one turn");
            before += made;
            match framed.poll_injected(&mut cx, now) {
                Some(bytes) => out.extend_from_slice(&bytes),
                None => break,
            }
        }
        assert!(out == read, "{decision:?}");
        assert_eq!(before, length * (read.len() / bomb.len()), "{decision:?}");
    }
}

/// Decides by turns.
struct ByTurns(Vec<Decision>);

impl MessageTap for ByTurns {
    fn decide(&mut self, _: &MessageHead) -> Decision {
        self.0.rotate_left(1);
        self.0.last().cloned().unwrap_or(Decision::Pass)
    }
}

fn decisions() -> impl Strategy<Value = Option<Vec<Decision>>> {
    let decision = prop_oneof![
        4 => Just(Decision::Pass),
        1 => Just(Decision::Observe),
        1 => Just(Decision::Drop),
        1 => Just(Decision::Read(1 << 20)),
    ];
    prop::option::of(prop::collection::vec(decision, 1..5))
}

/// Messages in frames of all sizes, and pings between them.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let length = prop_oneof![2 => 0..200usize, 1 => 30_000..49_152usize, 3 => 49_152..80_000usize];
    let frames = prop::collection::vec((length, any::<bool>()), 1..4);
    prop::collection::vec(frames, 1..6).prop_map(|messages| {
        let mut bytes = Vec::new();
        for frames in messages {
            let last = frames.len() - 1;
            for (index, (length, is_followed)) in frames.into_iter().enumerate() {
                let opcode = if index == 0 {
                    OpCode::Binary
                } else {
                    OpCode::Continuation
                };
                let payload: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
                bytes.extend(message(opcode, index == last, &payload));
                if is_followed {
                    bytes.extend(message(OpCode::Ping, true, b"between"));
                }
            }
        }
        bytes
    })
}

/// One turn: whether it skips what it may, and how many bytes there are.
fn turns() -> impl Strategy<Value = Vec<(bool, usize)>> {
    let amount = prop_oneof![1 => 1..20usize, 1 => 1..5000usize, 3 => 1..200_000usize];
    prop::collection::vec((prop::bool::weighted(0.8), amount), 1..40)
}

fn tapped(decisions: Option<&Vec<Decision>>) -> Framed {
    let mut framed = framed(MessageLimits::default().max_fragments(100));
    if let Some(decisions) = decisions {
        let tap = Tap::new(ByTurns(decisions.clone()));
        framed.extra.rare.own = Some(Box::new(Own::under(tap, Side::Upstream)));
    }
    framed
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_skipped_and_what_is_read_come_to_the_same(
        bytes in stream(), turns in turns(), decisions in decisions(),
    ) {
        let now = Instant::now();
        let mut reference = tapped(decisions.as_ref());
        let expected = reference.pass(now, &bytes).to_vec();

        let mut framed = tapped(decisions.as_ref());
        let (mut out, mut rest, mut skipped) = (Vec::new(), &bytes[..], 0);
        for (skips, amount) in turns.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let there = &rest[..rest.len().min(*amount)];
            let mut limit = framed.may_skip();
            if *skips && limit == 0 && framed.may_look_ahead() {
                limit = framed.look_ahead(now, &there[..there.len().min(FrameHeader::MAX_LENGTH)]);
            }
            let count = match limit.min(there.len()) {
                0 => None,
                _ if !*skips => None,
                count => Some(count),
            };
            if let Some(count) = count {
                out.extend_from_slice(&there[..count]);
                framed.skip(now, count);
                skipped += count;
            } else {
                out.extend_from_slice(&framed.pass(now, there));
            }
            rest = &rest[count.unwrap_or(there.len())..];
        }
        prop_assert!(out == expected, "{} bytes of {} were skipped", skipped, bytes.len());
        prop_assert_eq!(framed.counts(), reference.counts());
        prop_assert!(framed.is_at_boundary());
        prop_assert_eq!(framed.of_sender(1000), 1000);
        prop_assert_eq!(framed.handed, reference.handed);
    }
}

#[test]
fn a_large_frame_is_passed_by_its_header_and_nothing_else_is() {
    let large = |opcode, fin| message(opcode, fin, &[0; 64 * 1024]);
    let limits = MessageLimits::default();
    let closing = |framed: &mut Framed| framed.queue(Injected::Close(CloseFrame::read(b"")));
    let nothing = |_: &mut Framed| {};
    type Case = (&'static str, MessageLimits, fn(&mut Framed), Vec<u8>, bool);
    let cases: [Case; 9] = [
        (
            "a large frame",
            limits,
            nothing,
            large(OpCode::Binary, true),
            true,
        ),
        (
            "the first of its message",
            limits,
            nothing,
            large(OpCode::Text, false),
            true,
        ),
        (
            "a small frame",
            limits,
            nothing,
            message(OpCode::Binary, true, &[0; 1000]),
            false,
        ),
        ("a ping", limits, nothing, message(OpCode::Ping, true, b""), false),
        (
            "a part of a header",
            limits,
            nothing,
            large(OpCode::Binary, true)[..9].to_vec(),
            false,
        ),
        (
            "no frame",
            limits,
            nothing,
            large(OpCode::Continuation, true),
            false,
        ),
        (
            "one that is too large",
            limits.max_frame_bytes(1000),
            nothing,
            large(OpCode::Binary, true),
            false,
        ),
        (
            "one before which something else has to go out",
            limits,
            closing,
            large(OpCode::Binary, true),
            false,
        ),
        (
            "one behind a byte that is held",
            limits,
            |framed| assert_eq!(framed.pass(Instant::now(), b"\x82").len(), 0),
            large(OpCode::Binary, true),
            false,
        ),
    ];
    for (name, limits, before, bytes, passes) in cases {
        let mut framed = framed(limits);
        before(&mut framed);
        let header = &bytes[..bytes.len().min(FrameHeader::MAX_LENGTH)];
        let limit = match framed.may_look_ahead() {
            true => framed.look_ahead(Instant::now(), header),
            false => 0,
        };
        assert_eq!(limit, if passes { bytes.len() } else { 0 }, "{name}");
        assert_eq!(framed.counts_revision() > 0, passes, "{name}");
        if passes {
            framed.queue(Injected::Close(CloseFrame::read(b"")));
            framed.skip(Instant::now(), 3);
            assert!(!framed.can_inject(), "within a header");
            framed.skip(Instant::now(), limit - 3);
            assert!(framed.can_inject(), "{name}");
        }
    }
}

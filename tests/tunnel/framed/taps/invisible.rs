//! Whatever the schedule, and whatever is decided: what arrives is what was sent, byte for byte, but for what was injected, dropped
//! or replaced.

use std::collections::VecDeque;

use proptest::prelude::*;
use switchover::tunnel::InjectError;

use super::super::schedules::whole;
use super::*;

/// What is decided about one message.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Plan {
    Pass,
    Observe,
    Drop,
    ReadAndPass,
    ReadAndDrop,
    ReadAndReplace,
    WaitAndPass(u64),
    WaitAndReplace(u64),
}

/// Frames of one message, with the control frames between them and behind it.
type Said = Vec<(Vec<Frame>, Plan)>;

#[derive(Clone, Debug)]
struct Case {
    says: [Said; 2],
    capacity: usize,
    seeds: [u64; 4],
    held: bool,
    /// Pauses between injected messages, in milliseconds, for either side.
    injected: [Vec<u64>; 2],
}

const REPLACED: &[u8] = b"replaced";
const INJECTED: &[u8] = b"injected";

fn messages() -> impl Strategy<Value = Said> {
    let length = prop_oneof![2 => 0..3usize, 3 => 0..200usize, 1 => 0..70_000usize];
    let control = (
        prop_oneof![Just(OpCode::Ping), Just(OpCode::Pong)],
        prop::collection::vec(any::<u8>(), 0..=125),
    );
    let controls = prop::collection::vec(
        control.prop_map(|(opcode, payload)| Frame::new(opcode, &payload)),
        0..2,
    );
    let plan = prop_oneof![
        Just(Plan::Pass),
        Just(Plan::Observe),
        Just(Plan::Drop),
        Just(Plan::ReadAndPass),
        Just(Plan::ReadAndDrop),
        Just(Plan::ReadAndReplace),
        (0..50u64).prop_map(Plan::WaitAndPass),
        (0..50u64).prop_map(Plan::WaitAndReplace),
    ];
    let message = (prop::collection::vec((length, controls), 1..5), plan).prop_map(|(parts, plan)| {
        let last = parts.len() - 1;
        let frames = parts
            .into_iter()
            .enumerate()
            .flat_map(|(index, (length, controls))| {
                let opcode = if index == 0 {
                    OpCode::Binary
                } else {
                    OpCode::Continuation
                };
                let frame = Frame {
                    opcode,
                    fin: index == last,
                    payload: pattern(length),
                };
                [vec![frame], controls].concat()
            });
        (frames.collect(), plan)
    });
    prop::collection::vec(message, 0..8)
}

fn cases() -> impl Strategy<Value = Case> {
    let capacity = prop_oneof![1 => 1..16usize, 3 => 100..100_000usize];
    let pauses = || prop::collection::vec(0..40u64, 0..6);
    (
        [messages(), messages()],
        capacity,
        any::<[u64; 4]>(),
        any::<bool>(),
        [pauses(), pauses()],
    )
        .prop_map(|(mut says, capacity, seeds, held, injected)| {
            if capacity < 16 {
                // With byte-sized capacities long streams only take time.
                let frames = says.iter_mut().flatten().flat_map(|(frames, _)| frames);
                frames.for_each(|frame| frame.payload.truncate(60));
            }
            Case {
                says,
                capacity,
                seeds,
                held,
                injected,
            }
        })
}

/// Does as planned, message by message. Sums up what it was shown.
struct Planned {
    plans: [VecDeque<Plan>; 2],
    now: [Plan; 2],
    shown: std::sync::Arc<std::sync::Mutex<[u64; 2]>>,
}

impl MessageTap for Planned {
    fn decide(&mut self, head: &MessageHead) -> Decision {
        let side = head.sender() as usize;
        self.now[side] = self.plans[side]
            .pop_front()
            .expect("a message that nobody has sent");
        match self.now[side] {
            Plan::Pass => Decision::Pass,
            Plan::Observe => Decision::Observe,
            Plan::Drop => Decision::Drop,
            _ => Decision::Read(1_000_000),
        }
    }

    fn read(&mut self, head: &MessageHead, payload: &Bytes) -> Verdict {
        let side = head.sender() as usize;
        self.shown.lock().unwrap()[side] += payload.len() as u64;
        let replaced = || Verdict::Replace([REPLACED, payload].concat().into());
        let wait = |time, verdict| {
            Verdict::wait(async move {
                tokio::time::sleep(milliseconds(time)).await;
                verdict
            })
        };
        match self.now[side] {
            Plan::ReadAndDrop => Verdict::Drop,
            Plan::ReadAndReplace => replaced(),
            Plan::WaitAndPass(time) => wait(time, Verdict::Pass),
            Plan::WaitAndReplace(time) => wait(time, replaced()),
            _ => Verdict::Pass,
        }
    }

    fn observe(&mut self, head: &MessageHead, piece: &[u8], _: bool) -> Option<EndRequest> {
        self.shown.lock().unwrap()[head.sender() as usize] += piece.len() as u64;
        None
    }
}

/// One frame as it was received.
struct Received {
    frame: Frame,
    raw: Vec<u8>,
}

fn parse(mut bytes: &[u8], sender: Side) -> Vec<Received> {
    let mut frames = Vec::new();
    let mut scanner = FrameScanner::new(sender);
    while let Some((frame, length)) = first_frame(bytes, sender) {
        scanner
            .advance(&bytes[..length])
            .expect("a frame that may not stand there");
        scanner.skip(frame.payload.len() as u64);
        let raw = bytes[..length].to_vec();
        bytes = &bytes[length..];
        frames.push(Received { frame, raw });
    }
    assert_eq!(bytes, b"", "the stream ends within a frame");
    frames
}

/// What has to arrive of what a side has said: its control frames, and the frames of its messages, of which some are replaced.
fn expected(said: &Said) -> (Vec<Frame>, Vec<(Frame, bool)>) {
    let mut controls = Vec::new();
    let mut frames = Vec::new();
    for (message, plan) in said {
        let (control, data): (Vec<Frame>, Vec<Frame>) = message
            .iter()
            .cloned()
            .partition(|frame| frame.opcode.is_control());
        controls.extend(control);
        match plan {
            Plan::Drop | Plan::ReadAndDrop => {}
            Plan::ReadAndReplace | Plan::WaitAndReplace(_) => {
                let payload = data.iter().flat_map(|frame| &frame.payload);
                let payload: Vec<u8> = REPLACED.iter().chain(payload).copied().collect();
                frames.push((Frame::new(OpCode::Binary, &payload), true));
            }
            _ => frames.extend(data.into_iter().map(|frame| (frame, false))),
        }
    }
    (controls, frames)
}

async fn inject(injector: MessageInjector, to: Side, pauses: Vec<u64>) -> Vec<Vec<u8>> {
    let mut sent = Vec::new();
    for (index, pause) in pauses.into_iter().enumerate() {
        tokio::time::sleep(milliseconds(pause)).await;
        let payload = [INJECTED, &[index as u8][..]].concat();
        match injector.send_binary(to, payload.clone()).await {
            Ok(()) => sent.push(payload),
            Err(InjectError { .. }) => break,
        }
    }
    sent
}

fn check(received: &[u8], sender: Side, said: &Said, injected: &[Vec<u8>]) {
    let (controls, messages) = expected(said);
    let (mut controls, mut messages, mut injected) = (controls.iter(), messages.iter(), injected.iter());
    for Received { frame, raw } in parse(received, sender) {
        if frame.opcode.is_control() {
            assert_eq!(Some(&frame), controls.next());
            assert_eq!(raw, frame.bytes(sender), "not as it was sent");
        } else if frame.payload.starts_with(INJECTED) {
            assert_eq!((Some(&frame.payload), frame.fin), (injected.next(), true));
        } else {
            let (next, is_replaced) = messages.next().expect("a frame that nobody has sent");
            assert!(frame == *next, "another frame");
            assert!(*is_replaced || raw == frame.bytes(sender), "not as it was sent");
        }
    }
    assert_eq!(
        (controls.next(), messages.next()),
        (None, None),
        "something is missing"
    );
}

async fn hold(case: &Case) {
    let faults = |seed| {
        let faults = Faults::seeded(seed).delay(milliseconds(seed % 3));
        if case.held {
            faults.hold_until_flush()
        } else {
            faults
        }
    };
    let table = Table::with_faults(case.capacity, faults(case.seeds[0]), faults(case.seeds[1]));
    let near_peer = table.near_peer.faults(Faults::seeded(case.seeds[2]));
    let far_peer = table.far_peer.faults(Faults::seeded(case.seeds[3]));
    let shown = std::sync::Arc::default();
    let tap = Planned {
        plans: [0, 1].map(|side| case.says[side].iter().map(|(_, plan)| *plan).collect()),
        now: [Plan::Pass; 2],
        shown: std::sync::Arc::clone(&shown),
    };
    let mut tunnel = seat(Side::Downstream, table.near, table.far)
        .config(unlimited())
        .websocket(bare())
        .tap(Tap::new(tap));
    let injector = tunnel.injector();
    let frames = |side: usize| -> Vec<Frame> {
        case.says[side]
            .iter()
            .flat_map(|(frames, _)| frames.clone())
            .collect()
    };
    let [to_near, to_far] = case.injected.clone();
    let (says_near, says_far) = (frames(0), frames(1));
    let (at_near, at_far, to_near, to_far, traffic) = tokio::join!(
        whole(near_peer, Side::Downstream, &says_near),
        whole(far_peer, Side::Upstream, &says_far),
        inject(injector.clone(), Side::Downstream, to_near),
        inject(injector, Side::Upstream, to_far),
        tunnel.run(),
    );
    traffic.unwrap();
    check(&at_near, Side::Upstream, &case.says[1], &to_near);
    check(&at_far, Side::Downstream, &case.says[0], &to_far);
    let looked_at = |side: usize| -> u64 {
        let seen = case.says[side]
            .iter()
            .filter(|(_, plan)| !matches!(plan, Plan::Pass | Plan::Drop));
        let frames = seen
            .flat_map(|(frames, _)| frames)
            .filter(|frame| !frame.opcode.is_control());
        frames.map(|frame| frame.payload.len() as u64).sum()
    };
    assert_eq!(
        *shown.lock().unwrap(),
        [looked_at(0), looked_at(1)],
        "what the tap was shown"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_arrives_is_what_was_sent_but_for_what_was_decided(case in cases()) {
        in_virtual_time(hold(&case));
    }

    #[test]
    fn a_tap_that_passes_everything_is_invisible(case in cases(), observes: bool) {
        let deliver = |tap: Option<Tap>| {
            let case = case.clone();
            in_virtual_time(async move {
                let table = Table::with_faults(case.capacity, Faults::seeded(case.seeds[0]), Faults::seeded(case.seeds[1]));
                let websocket = tap.as_ref().map(|_| bare());
                let tunnel = seat(Side::Downstream, table.near, table.far).websocket(websocket).tap(tap);
                let frames = |side: usize| -> Vec<Frame> { case.says[side].iter().flat_map(|(frames, _)| frames.clone()).collect() };
                let (near, far) = (frames(0), frames(1));
                let (at_near, at_far, traffic) = tokio::join!(
                    whole(table.near_peer, Side::Downstream, &near),
                    whole(table.far_peer, Side::Upstream, &far),
                    tunnel.run(),
                );
                let traffic = traffic.unwrap();
                (at_near, at_far, traffic.from_downstream(), traffic.from_upstream())
            })
        };
        let decision = if observes { Decision::Observe } else { Decision::Pass };
        let tap = Closures::new(move |_| decision.clone());
        prop_assert!(deliver(None) == deliver(Some(Tap::new(tap))));
    }
}

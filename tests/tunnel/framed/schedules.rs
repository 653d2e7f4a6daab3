//! Whatever the schedule: each end hears all that the other has said, and what else it hears are whole frames in their places.

use proptest::prelude::*;
use switchover::tunnel::{Drain, End};
use tokio::sync::mpsc;

use super::violations::close_for;
use super::*;

/// Two ends that say all they have to say, in pieces cut anywhere, while the tunnel asks after both.
#[derive(Clone, Debug)]
struct Conversation {
    says: [Vec<Frame>; 2],
    capacity: usize,
    seeds: [u64; 4],
    held: bool,
    pinging: bool,
    /// When the tunnel is drained, in milliseconds.
    drained_after: Option<u64>,
}

pub(crate) fn frames() -> impl Strategy<Value = Vec<Frame>> {
    let length = prop_oneof![3 => 0..200usize, 1 => 0..3000usize];
    let message = prop::collection::vec(length, 1..4).prop_map(|lengths| {
        let last = lengths.len() - 1;
        let frames = lengths.into_iter().enumerate();
        frames
            .map(|(index, length)| Frame {
                opcode: if index == 0 {
                    OpCode::Binary
                } else {
                    OpCode::Continuation
                },
                fin: index == last,
                payload: pattern(length),
            })
            .collect::<Vec<_>>()
    });
    let control = prop_oneof![Just(OpCode::Ping), Just(OpCode::Pong)];
    let control = (control, prop::collection::vec(any::<u8>(), 0..=125));
    let control = control.prop_map(|(opcode, payload)| vec![Frame::new(opcode, &payload)]);
    prop::collection::vec(prop_oneof![message, control], 0..12).prop_map(|said| said.concat())
}

fn conversations() -> impl Strategy<Value = Conversation> {
    let says = [frames(), frames()];
    let capacity = prop_oneof![1..16usize, 100..10_000usize];
    let drained_after = prop::option::of(0..1000u64);
    (
        says,
        capacity,
        any::<[u64; 4]>(),
        any::<bool>(),
        any::<bool>(),
        drained_after,
    )
        .prop_map(
            |(says, capacity, seeds, held, pinging, drained_after)| Conversation {
                says,
                capacity,
                seeds,
                held,
                pinging,
                drained_after,
            },
        )
}

/// What one end has received, and whether it was asked.
#[derive(Debug, Default)]
struct Received {
    frames: Vec<Frame>,
    pings: usize,
    close: Option<Frame>,
}

/// Says everything, answers what it is asked, then closes or just ends its stream; and checks every byte that it hears.
async fn attend(
    stream: Memory,
    side: Side,
    says: Vec<Frame>,
    asked: bool,
    expected: (usize, mpsc::UnboundedSender<Side>),
) -> Received {
    let (reading, mut writing) = tokio::io::split(stream);
    let (pong, mut pongs) = mpsc::unbounded_channel::<Frame>();
    let speak = async move {
        for frame in &says {
            while let Ok(pong) = pongs.try_recv() {
                writing.write_all(&pong.bytes(side)).await?;
            }
            writing.write_all(&frame.bytes(side)).await?;
        }
        // Pongs that come later are answered too, until the other end has been received to its end.
        while let Some(pong) = pongs.recv().await {
            let closes = pong.opcode == OpCode::Close;
            writing.write_all(&pong.bytes(side)).await?;
            if closes {
                break;
            }
        }
        writing.shutdown().await
    };
    let receive = async move {
        let mut received = Received::default();
        let mut peer = Peer::new(tokio::io::join(reading, tokio::io::sink()), side);
        let mut scanner = FrameScanner::new(!side);
        loop {
            if received.frames.len() == expected.0 {
                let _ = expected.1.send(side);
            }
            let Some(frame) = peer.next().await else {
                return received;
            };
            assert_eq!(received.close, None, "something follows a Close");
            let bytes = frame.bytes(!side);
            let whole = matches!(
                scanner.advance(&bytes),
                Ok(Some((_, Scanned::Header(_) | Scanned::Control(_))))
            );
            scanner.skip(frame.payload.len() as u64);
            assert!(whole, "{frame:?} may not stand there");
            match frame.opcode {
                OpCode::Close => {
                    let _ = pong.send(Frame::close(CloseCode::GOING_AWAY, ""));
                    received.close = Some(frame);
                }
                // Only the tunnel's pings are twelve bytes long and not of the other end's: see `strangers`.
                OpCode::Ping if asked && frame.payload.len() == 12 => {
                    received.pings += 1;
                    let _ = pong.send(Frame::new(OpCode::Pong, &frame.payload));
                }
                _ => received.frames.push(frame),
            }
        }
    };
    tokio::join!(speak, receive).1
}

async fn hold(conversation: Conversation) -> ([Received; 2], Traffic) {
    let Conversation {
        says,
        capacity,
        seeds,
        held,
        pinging,
        drained_after,
    } = conversation;
    let faults = |seed| {
        let faults = Faults::seeded(seed).delay(milliseconds(seed % 3));
        if held { faults.hold_until_flush() } else { faults }
    };
    let table = Table::with_faults(capacity, faults(seeds[0]), faults(seeds[1]));
    let near_peer = table.near_peer.faults(Faults::seeded(seeds[2]));
    let far_peer = table.far_peer.faults(Faults::seeded(seeds[3]));
    let mut websocket = bare();
    if pinging {
        // Longer than a pong takes to get through, or nothing else does.
        let shortest = if capacity < 16 { 150 } else { 30 };
        websocket = websocket
            .ping_interval(milliseconds(shortest + seeds[0] % 30))
            .pong_timeout(seconds(100_000));
    }
    let drain = Drain::new();
    let config = unlimited().half_close_timeout(seconds(10_000));
    let tunnel = seat(Side::Downstream, table.near, table.far)
        .config(config)
        .websocket(websocket);
    let (all, mut heard_all) = mpsc::unbounded_channel();
    let ends = drain.clone();
    tokio::spawn(async move {
        match drained_after {
            Some(time) => tokio::time::sleep(milliseconds(time)).await,
            // When both have received everything, and a few pings more.
            None => {
                let mut sides = [false; 2];
                while sides != [true; 2] {
                    if let Some(side) = heard_all.recv().await {
                        sides[usize::from(side == Side::Upstream)] = true;
                    }
                }
                tokio::time::sleep(milliseconds(500)).await;
            }
        }
        ends.complete_now();
    });
    let [near_says, far_says] = says;
    let expected = [(far_says.len(), all.clone()), (near_says.len(), all)];
    let [at_near, at_far] = expected;
    let (near, far, traffic) = tokio::join!(
        attend(near_peer, Side::Downstream, near_says, pinging, at_near),
        attend(far_peer, Side::Upstream, far_says, pinging, at_far),
        tunnel.drain(drain.signal()).run(),
    );
    ([near, far], traffic.unwrap())
}

/// The ends' own pings and pongs of twelve bytes are made longer, so that the peers here can tell whose a ping is. Byte-sized
/// capacities with long streams only take time.
fn strangers(conversation: &mut Conversation) {
    for frame in conversation.says.iter_mut().flatten() {
        if conversation.capacity < 16 {
            frame.payload.truncate(60);
        }
        if frame.opcode.is_control() && frame.payload.len() == 12 {
            frame.payload.push(0);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_end_hears_what_the_other_says_in_whole_frames(mut conversation in conversations()) {
        strangers(&mut conversation);
        let says = conversation.says.clone();
        let drained_early = conversation.drained_after.is_some();
        let ([near, far], traffic) = in_virtual_time(async {
            // Sooner than elsewhere: until then there are pings, and each takes its time.
            let held = tokio::time::timeout(seconds(200_000), hold(conversation));
            held.await.expect("the case hangs")
        });
        prop_assert_eq!(traffic.end(), End::Drained);
        for (received, said, side) in [(&near, &says[1], Side::Upstream), (&far, &says[0], Side::Downstream)] {
            // A drain may come before all is said; up to then nothing is missing.
            prop_assert!(said.starts_with(&received.frames), "{:?} of {:?}", received.frames, said);
            prop_assert!(drained_early || received.frames.len() == said.len());
            prop_assert_eq!(received.close.as_ref(), Some(&Frame::close(CloseCode::GOING_AWAY, "shutting down")));
            let bytes: usize = received.frames.iter().map(|frame| frame.bytes(side).len()).sum();
            prop_assert_eq!(delivered_from(side, &traffic), bytes as u64);
            prop_assert_eq!(traffic.close_from(side).and_then(|close| close.code()), Some(CloseCode::GOING_AWAY));
        }
    }

    /// Whatever comes, it goes on as it is up to the first thing that is no frame, and then there is a Close.
    #[test]
    fn bytes_that_are_no_frames_go_no_further(
        frames in frames(),
        garbage in prop::collection::vec(any::<u8>(), 0..300),
        seeds: [u64; 2],
        sender in prop_oneof![Just(Side::Downstream), Just(Side::Upstream)],
    ) {
        let said: Vec<u8> = frames.iter().flat_map(|frame| frame.bytes(sender)).chain(garbage).collect();
        let (received, traffic) = in_virtual_time(async {
            let table = Table::with_faults(1000, Faults::seeded(seeds[0]), Faults::seeded(seeds[1]));
            let (near_peer, far_peer) = (table.near_peer, table.far_peer);
            let tunnel = seat(sender, table.near, table.far).websocket(bare());
            let close = [Frame::close(CloseCode::NORMAL_CLOSURE, "")];
            let (_, received, traffic) = tokio::join!(
                blurt(near_peer, &said),
                whole(far_peer, !sender, &close),
                tunnel.run(),
            );
            (received, traffic.unwrap())
        });
        let passed = delivered_from(sender, &traffic) as usize;
        prop_assert!(received.starts_with(&said[..passed]));
        match traffic.end() {
            End::Violation { side, error } => {
                prop_assert_eq!(side, sender);
                let close = first_frame(&received[passed..], sender);
                prop_assert_eq!(close.map(|(frame, _)| frame), Some(close_for(sender, error)));
            }
            // Cut off in a frame, or closed in a way that happened to be one.
            _ => prop_assert!(passed == said.len() || traffic.close_from(sender).is_some()),
        }
    }

    /// Bytes that are all valid frames, cut anywhere: what a tunnel of bytes delivers, this one does.
    #[test]
    fn without_a_word_of_its_own_it_is_a_tunnel_of_bytes(mut conversation in conversations()) {
        strangers(&mut conversation);
        let deliver = |websocket: Option<WebSocketConfig>| {
            let Conversation { says, capacity, seeds, .. } = conversation.clone();
            in_virtual_time(async move {
                let table = Table::with_faults(capacity, Faults::seeded(seeds[0]), Faults::seeded(seeds[1]));
                let tunnel = seat(Side::Downstream, table.near, table.far).websocket(websocket);
                let (at_near, at_far, traffic) = tokio::join!(
                    whole(table.near_peer, Side::Downstream, &says[0]),
                    whole(table.far_peer, Side::Upstream, &says[1]),
                    tunnel.run(),
                );
                let traffic = traffic.unwrap();
                (at_near, at_far, traffic.from_downstream(), traffic.from_upstream())
            })
        };
        prop_assert!(deliver(None) == deliver(Some(bare())));
    }
}

/// Says everything, ends its stream, and reads all there is.
pub(crate) async fn whole(stream: Memory, side: Side, says: &[Frame]) -> Vec<u8> {
    let (mut reading, mut writing) = tokio::io::split(stream);
    let bytes: Vec<u8> = says.iter().flat_map(|frame| frame.bytes(side)).collect();
    let mut received = Vec::new();
    let speak = async {
        writing.write_all(&bytes).await.unwrap();
        writing.shutdown().await.unwrap();
    };
    let (_, read) = tokio::join!(speak, reading.read_to_end(&mut received));
    read.unwrap();
    received
}

/// Says this, whatever it is, and ends its stream.
pub(crate) async fn blurt(stream: Memory, bytes: &[u8]) -> Vec<u8> {
    let (mut reading, mut writing) = tokio::io::split(stream);
    let mut received = Vec::new();
    let speak = async {
        // The tunnel may have had enough.
        let _ = writing.write_all(bytes).await;
        let _ = writing.shutdown().await;
    };
    let _ = tokio::join!(speak, reading.read_to_end(&mut received));
    received
}

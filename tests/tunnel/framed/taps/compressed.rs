//! A tap that understands permessage-deflate (RFC 7692). The receivers here inflate too: what they cannot understand is a failed
//! test.

use std::sync::{Arc, Mutex};

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use proptest::prelude::*;
use switchover::tunnel::End;
use switchover::websocket::DeflateParameters;

use super::windows::SmallWindow;
use super::*;

const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// What compresses what one side says.
enum Deflater {
    /// With the largest window.
    Large {
        compress: Compress,
        takes_over: bool,
    },
    Small(SmallWindow),
}

impl Deflater {
    fn new(takes_over: bool) -> Self {
        let compress = Compress::new(Compression::default(), false);
        Deflater::Large { compress, takes_over }
    }

    /// RFC 7692, section 7.2.1.
    fn deflate(&mut self, text: &[u8]) -> Vec<u8> {
        let (compress, takes_over) = match self {
            Deflater::Small(window) => return window.deflate(text),
            Deflater::Large { compress, takes_over } => (compress, *takes_over),
        };
        let start = compress.total_in();
        let mut out = Vec::with_capacity(text.len() + 64);
        loop {
            let taken = usize::try_from(compress.total_in() - start).unwrap();
            out.reserve(64);
            compress
                .compress_vec(&text[taken..], &mut out, FlushCompress::Sync)
                .unwrap();
            if usize::try_from(compress.total_in() - start).unwrap() == text.len()
                && out.len() < out.capacity()
            {
                break;
            }
        }
        assert!(out.ends_with(&TAIL), "no empty block at the end");
        out.truncate(out.len() - TAIL.len());
        if !takes_over {
            compress.reset();
        }
        out
    }
}

/// What understands what the other side says.
struct Inflater {
    decompress: Decompress,
    takes_over: bool,
}

impl Inflater {
    fn new(takes_over: bool) -> Self {
        let decompress = Decompress::new(false);
        Inflater {
            decompress,
            takes_over,
        }
    }

    fn inflate(&mut self, payload: &[u8]) -> Vec<u8> {
        let input = [payload, &TAIL].concat();
        let (start, mut out) = (self.decompress.total_in(), Vec::new());
        loop {
            out.reserve(4096);
            let taken = usize::try_from(self.decompress.total_in() - start).unwrap();
            let status = self
                .decompress
                .decompress_vec(&input[taken..], &mut out, FlushDecompress::Sync);
            assert_ne!(status.expect("the receiver understands it"), Status::StreamEnd);
            if usize::try_from(self.decompress.total_in() - start).unwrap() == input.len()
                && out.len() < out.capacity()
            {
                break;
            }
        }
        if !self.takes_over {
            self.decompress.reset(false);
        }
        out
    }
}

/// A message of one side: its payload in fragments, the first of them with RSV1 if it is compressed.
fn message(sender: Side, compressed: bool, payload: &[u8], fragments: usize) -> Vec<Vec<u8>> {
    let size = payload.len().div_ceil(fragments).max(1);
    let mut pieces: Vec<&[u8]> = payload.chunks(size).collect();
    if pieces.is_empty() {
        pieces.push(&[]);
    }
    let last = pieces.len() - 1;
    let frames = pieces.into_iter().enumerate().map(|(index, piece)| {
        let opcode = if index == 0 {
            OpCode::Text
        } else {
            OpCode::Continuation
        };
        let frame = Frame {
            opcode,
            fin: index == last,
            payload: piece.to_vec(),
        };
        let mut bytes = frame.bytes(sender);
        if compressed && index == 0 {
            bytes[0] |= 0x40;
        }
        bytes
    });
    frames.collect()
}

/// A message as it was received.
#[derive(Debug)]
struct ReadMessage {
    is_compressed: bool,
    payload: Vec<u8>,
    raw: Vec<u8>,
}

/// The messages among these bytes; control frames are left out.
fn messages(mut bytes: &[u8], sender: Side) -> Vec<ReadMessage> {
    let mut read: Vec<ReadMessage> = Vec::new();
    let mut scanner = FrameScanner::new(sender).reserved_bits([true, false, false]);
    while let Ok(Some((header, start))) = FrameHeader::decode(bytes) {
        let end = start + usize::try_from(header.payload_length).unwrap();
        let mut payload = bytes[start..end].to_vec();
        apply_mask(&mut payload, header.mask.unwrap_or_default(), 0);
        scanner.advance(bytes).expect("a frame that may stand there");
        scanner.skip(header.payload_length);
        let raw = &bytes[..end];
        match header.opcode {
            OpCode::Continuation => {
                let message = read.last_mut().unwrap();
                message.payload.extend_from_slice(&payload);
                message.raw.extend_from_slice(raw);
            }
            opcode if opcode.is_control() => {}
            _ => read.push(ReadMessage {
                is_compressed: header.rsv[0],
                payload,
                raw: raw.to_vec(),
            }),
        }
        bytes = &bytes[end..];
    }
    assert_eq!(bytes, b"");
    read
}

fn agreed(takes_over: bool) -> DeflateParameters {
    let text = match takes_over {
        true => "permessage-deflate; server_max_window_bits=10",
        false => "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
    };
    DeflateParameters::read(text).unwrap()
}

/// What arrives of these bytes under a tap that inflates, and how the tunnel has ended.
async fn carry(near: Side, sent: &[u8], step: usize, tap: Tap) -> (Vec<u8>, Traffic) {
    let table = Table::new(100_000);
    let tunnel = seat(near, table.near, table.far)
        .config(unlimited().half_close_timeout(seconds(10)))
        .websocket(bare())
        .tap(tap);
    let (mut near_peer, mut far_peer) = (table.near_peer, table.far_peer);
    let mut received = Vec::new();
    let speak = async {
        for piece in sent.chunks(step) {
            if near_peer.write_all(piece).await.is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
        let _ = near_peer.shutdown().await;
    };
    let hear = async {
        far_peer.read_to_end(&mut received).await.unwrap();
        drop(far_peer);
    };
    let (_, _, traffic) = tokio::join!(speak, hear, tunnel.run());
    (received, traffic.unwrap())
}

const SAYINGS: [&str; 6] = [
    "the quick brown fox jumps over the lazy dog",
    "the quick brown fox jumps over the lazy dog, again",
    "",
    "the lazy dog does not mind the quick brown fox",
    "and the lazy dog jumps over the quick brown fox",
    "the end of the quick brown fox",
];

/// What is decided about one saying.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Plan {
    Pass,
    Observe,
    Drop,
    Read,
    ReadAndDrop,
    Replace,
    Wait,
}

const PLANS: [Plan; 7] = [
    Plan::Pass,
    Plan::Observe,
    Plan::Drop,
    Plan::Read,
    Plan::ReadAndDrop,
    Plan::Replace,
    Plan::Wait,
];

/// Does as planned, and notes what it was shown.
fn planned(plans: Vec<Plan>, shown: Arc<Mutex<Vec<String>>>) -> Closures {
    let (plan, mut plans) = (Arc::new(Mutex::new(Plan::Pass)), plans.into_iter());
    let (of_read, notes) = (Arc::clone(&plan), Arc::clone(&shown));
    let mut observed = Vec::new();
    let decide = move |_: &MessageHead| {
        let next = plans.next().unwrap();
        *plan.lock().unwrap() = next;
        match next {
            Plan::Pass => Decision::Pass,
            Plan::Observe => Decision::Observe,
            Plan::Drop => Decision::Drop,
            _ => Decision::Read(100_000),
        }
    };
    let read = move |_: &MessageHead, payload: &Bytes| {
        notes
            .lock()
            .unwrap()
            .push(String::from_utf8(payload.to_vec()).unwrap());
        match *of_read.lock().unwrap() {
            Plan::ReadAndDrop => Verdict::Drop,
            Plan::Replace => Verdict::Replace([b"not ", &payload[..]].concat().into()),
            Plan::Wait => Verdict::wait(async { Verdict::Pass }),
            _ => Verdict::Pass,
        }
    };
    Closures::new(decide)
        .read(read)
        .observe(move |_, piece, is_last| {
            observed.extend_from_slice(piece);
            if is_last {
                let text = String::from_utf8(std::mem::take(&mut observed)).unwrap();
                shown.lock().unwrap().push(text);
            }
            None
        })
}

/// One conversation in one direction: the texts, whether each is compressed, in how many fragments, and the plan for it.
async fn check(near: Side, takes_over: bool, step: usize, said: &[Said]) {
    converse(near, takes_over, Deflater::new(takes_over), step, said).await;
}

type Said = (String, bool, usize, Plan);

/// The same by one that compresses so.
async fn converse(near: Side, takes_over: bool, mut deflater: Deflater, step: usize, said: &[Said]) {
    let sent: Vec<Vec<Vec<u8>>> = said
        .iter()
        .map(|(text, compressed, fragments, _)| match compressed {
            true => message(near, true, &deflater.deflate(text.as_bytes()), *fragments),
            false => message(near, false, text.as_bytes(), *fragments),
        })
        .collect();
    let ping = Frame::new(OpCode::Ping, b"between").bytes(near);
    let bytes: Vec<u8> = sent
        .iter()
        .flatten()
        .flat_map(|frame| [&frame[..], &ping].concat())
        .collect();
    let shown = Arc::new(Mutex::new(Vec::new()));
    let plans = said.iter().map(|(.., plan)| *plan).collect();
    let tap = Tap::new(planned(plans, Arc::clone(&shown))).deflate(agreed(takes_over));
    let (received, _) = carry(near, &bytes, step, tap).await;
    let read = messages(&received, near);
    let goes_on = |plan: &Plan| !matches!(plan, Plan::Drop | Plan::ReadAndDrop);
    let expected: Vec<_> = said
        .iter()
        .zip(&sent)
        .filter(|((.., plan), _)| goes_on(plan))
        .collect();
    assert_eq!(read.len(), expected.len(), "messages are lost, or there are more");
    let mut inflater = Inflater::new(takes_over);
    for (read, ((text, _, _, plan), _)) in read.iter().zip(&expected) {
        let payload = match read.is_compressed {
            true => inflater.inflate(&read.payload),
            false => read.payload.clone(),
        };
        let text = if *plan == Plan::Replace {
            format!("not {text}")
        } else {
            text.clone()
        };
        assert_eq!(String::from_utf8(payload).unwrap(), text, "{plan:?}");
    }
    // Up to the first that is changed where others may refer to it, everything is as it came.
    let changes = |(_, compressed, _, plan): &(String, bool, usize, Plan)| {
        *compressed && takes_over && matches!(plan, Plan::Drop | Plan::ReadAndDrop | Plan::Replace)
    };
    let unchanged = said.iter().position(changes).unwrap_or(said.len());
    let first = said[..unchanged]
        .iter()
        .filter(|(.., plan)| goes_on(plan))
        .count();
    for (read, ((.., plan), sent)) in read.iter().zip(&expected).take(first) {
        assert!(
            *plan == Plan::Replace || read.raw == sent.concat(),
            "not as it came"
        );
    }
    let looked_at = said
        .iter()
        .filter(|(.., plan)| !matches!(plan, Plan::Pass | Plan::Drop));
    let looked_at: Vec<String> = looked_at.map(|(text, ..)| text.clone()).collect();
    assert_eq!(*shown.lock().unwrap(), looked_at);
}

mirrored! {
    virtual_time async fn each_plan_for_each_message(near: Side) {
        for takes_over in [true, false] {
            for at in 0..SAYINGS.len() {
                for plan in PLANS {
                    for (fragments, step) in [(1, usize::MAX), (3, 1), (3, 7)] {
                        let said = SAYINGS.iter().enumerate().map(|(index, text)| {
                            let plan = if index == at { plan } else { Plan::Read };
                            ((*text).to_owned(), true, fragments, plan)
                        });
                        check(near, takes_over, step, &said.collect::<Vec<_>>()).await;
                    }
                }
            }
        }
    }

    virtual_time async fn what_passes_unseen_is_remembered_where_others_refer_to_it(near: Side) {
        for first in [Plan::Pass, Plan::Drop, Plan::Observe] {
            let said = [
                (SAYINGS[0].to_owned(), true, 2, first),
                ("not compressed".to_owned(), false, 2, Plan::Read),
                (SAYINGS[0].to_owned(), true, 2, Plan::Read),
            ];
            check(near, true, usize::MAX, &said).await;
        }
    }

    virtual_time async fn rfc7692_7_2_3_examples(near: Side) {
        let stored = b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00";
        let cases: [(&str, bool, &[&[u8]]); 8] = [
            ("7.2.3.1, one block", true, &[b"\xf2\x48\xcd\xc9\xc9\x07\x00"]),
            ("7.2.3.2, the window of the message before", true, &[b"\xf2\x48\xcd\xc9\xc9\x07\x00", b"\xf2\x00\x11\x00\x00"]),
            ("no window", false, &[b"\xf2\x48\xcd\xc9\xc9\x07\x00", b"\xf2\x48\xcd\xc9\xc9\x07\x00"]),
            ("7.2.3.3, no compression", true, &[stored]),
            ("7.2.3.4, BFINAL", true, &[b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00", b"\xf2\x48\xcd\xc9\xc9\x07\x00"]),
            // The receiver begins a new stream with the next message. The tap has to do the same, or it is shown something else.
            ("BFINAL without the byte behind it", true, &[b"\xf3\x48\xcd\xc9\xc9\x07\x00", stored, stored]),
            ("and without a window", false, &[b"\xf3\x48\xcd\xc9\xc9\x07\x00", stored]),
            ("7.2.3.5, two blocks", true, &[b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"]),
        ];
        for (name, takes_over, payloads) in cases {
            for step in [1, usize::MAX] {
                let sent: Vec<u8> = payloads.iter().flat_map(|payload| message(near, true, payload, 1).concat()).collect();
                let count = Arc::new(Mutex::new(0));
                let counted = Arc::clone(&count);
                let tap = reads_text_of(near, 5).read(move |head, payload| {
                    assert_eq!((head.is_compressed(), &payload[..]), (true, &b"Hello"[..]), "{name}");
                    *counted.lock().unwrap() += 1;
                    Verdict::Pass
                });
                let (received, traffic) = carry(near, &sent, step, Tap::new(tap).deflate(agreed(takes_over))).await;
                assert_eq!((received, *count.lock().unwrap()), (sent, payloads.len()), "{name}, {}", traffic.end());
            }
        }
    }

    virtual_time async fn only_the_first_frame_of_a_message_says_that_it_is_compressed(near: Side) {
        let frames = message(near, true, &Deflater::new(true).deflate(b"hello"), 2);
        let ping = Frame::new(OpCode::Ping, b"").bytes(near);
        for (name, at) in [("the second", [&frames[0][..], &frames[1]]), ("a ping", [&frames[0], &ping])] {
            let [first, mut second] = at.map(<[u8]>::to_vec);
            second[0] |= 0x40;
            let tap = Tap::new(Closures::new(|_| Decision::Pass)).deflate(agreed(true));
            let (received, traffic) = carry(near, &[&first[..], &second].concat(), usize::MAX, tap).await;
            let error = switchover::websocket::FrameError::ReservedBit(1);
            assert_eq!(traffic.end(), End::Violation { side: near, error }, "{name}");
            assert_eq!(messages(&received, near)[0].raw, first, "{name}");
        }
    }

    virtual_time async fn a_bomb_ends_with_1009(near: Side) {
        let bomb = Deflater::new(true).deflate(&vec![b'0'; 20_000_000]);
        assert!(bomb.len() < 30_000);
        let cases = [
            (Decision::Read(1 << 20), 64 << 20),
            (Decision::Pass, 1 << 20),
            (Decision::Observe, 1 << 20),
            (Decision::Drop, 1 << 20),
        ];
        for (decision, limit) in cases {
            let seen = Arc::new(Mutex::new(0));
            let count = Arc::clone(&seen);
            let tap = Closures::new(move |_| decision.clone()).observe(move |_, piece, _| {
                *count.lock().unwrap() += piece.len();
                None
            });
            let tap = Tap::new(tap).deflate(agreed(true)).max_inflated_bytes(limit);
            let mut talk = tapped(near, Table::new(100_000), bare(), tap).0;
            for frame in message(near, true, &bomb, 3) {
                talk.near.stream.write_all(&frame).await.unwrap();
            }
            let close = Frame::close(CloseCode::MESSAGE_TOO_BIG, "the message is too big");
            assert_eq!(talk.near.next().await, Some(close));
            drop((talk.near.stream, talk.far.stream));
            assert_eq!(talk.tunnel.await.unwrap().unwrap().end(), End::Refused { side: near });
            assert!(*seen.lock().unwrap() <= 1 << 20);
        }
    }

    virtual_time async fn exactly_the_limit_is_read(near: Side) {
        for (length, fits) in [(1000, true), (1001, false)] {
            // What cannot be made smaller, and what can.
            let noise: Vec<u8> = (0..length as u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
            for text in [vec![b'0'; length], noise] {
                let sent = message(near, true, &Deflater::new(true).deflate(&text), 1).concat();
                let tap = Tap::new(reads_text_of(near, 1000)).deflate(agreed(true));
                let (received, traffic) = carry(near, &sent, usize::MAX, tap).await;
                assert_eq!((received == sent, traffic.end() == End::Refused { side: near }), (fits, !fits), "{length}");
            }
        }
    }

    virtual_time async fn what_cannot_be_inflated_ends_with_1007(near: Side) {
        for decision in [Decision::Read(1000), Decision::Observe, Decision::Pass, Decision::Drop] {
            let tap = Closures::new(move |_| decision.clone());
            let tap = Tap::new(tap).deflate(agreed(true));
            let mut talk = tapped(near, Table::new(1000), bare(), tap).0;
            // A block of a type that there is not.
            talk.near.stream.write_all(&message(near, true, b"\xff\xff\xff\xff", 1).concat()).await.unwrap();
            let close = Frame::close(CloseCode::INVALID_FRAME_PAYLOAD, "the compressed data are invalid");
            assert_eq!(talk.near.next().await, Some(close));
            drop((talk.near.stream, talk.far.stream));
            assert_eq!(talk.tunnel.await.unwrap().unwrap().end(), End::Refused { side: near });
        }
    }

    virtual_time async fn what_grows_on_its_way_goes_out_in_pieces(near: Side) {
        // After a drop it goes on without compression: 8 MB of 8 KB.
        let mut deflater = Deflater::new(true);
        let first = message(near, true, &deflater.deflate(b"dropped"), 1).concat();
        let large = vec![b'0'; 8_000_000];
        let sent = [first, message(near, true, &deflater.deflate(&large), 1).concat()].concat();
        let mut count = 0;
        let tap = Closures::new(move |_| {
            count += 1;
            if count == 1 { Decision::Drop } else { Decision::Pass }
        });
        let (received, _) = carry(near, &sent, usize::MAX, Tap::new(tap).deflate(agreed(true))).await;
        let read = messages(&received, near);
        assert_eq!((read.len(), read[0].is_compressed, read[0].payload == large), (1, false, true));
        let mut rest = &received[..];
        while let Ok(Some((header, start))) = FrameHeader::decode(rest) {
            assert!(header.payload_length < 1_200_000, "{} bytes at once", header.payload_length);
            rest = &rest[start + usize::try_from(header.payload_length).unwrap()..];
        }
    }
}

#[tokio::test(start_paused = true)]
async fn each_side_has_a_window_of_its_own() {
    let agreed = DeflateParameters::read("permessage-deflate; server_no_context_takeover").unwrap();
    for (near, takes_over) in [(Side::Downstream, true), (Side::Upstream, false)] {
        let mut deflater = Deflater::new(takes_over);
        let sent: Vec<u8> = SAYINGS
            .iter()
            .flat_map(|text| message(near, true, &deflater.deflate(text.as_bytes()), 2).concat())
            .collect();
        let (mut texts, mut inflater) = (SAYINGS.iter(), Inflater::new(takes_over));
        let tap = reads_text_of(near, 1000).read(move |_, payload| {
            assert_eq!(payload, texts.next().unwrap());
            if payload.len() == 47 {
                Verdict::Replace("other".into())
            } else {
                Verdict::Pass
            }
        });
        let (received, _) = carry(near, &sent, usize::MAX, Tap::new(tap).deflate(agreed)).await;
        let read = messages(&received, near);
        let texts: Vec<Vec<u8>> = read
            .iter()
            .map(|read| {
                if read.is_compressed {
                    inflater.inflate(&read.payload)
                } else {
                    read.payload.clone()
                }
            })
            .collect();
        for (text, said) in texts.iter().zip(SAYINGS) {
            let said = if said.len() == 47 { "other" } else { said };
            assert_eq!(text, said.as_bytes());
        }
        // Where none refers to another, one that is replaced changes no other.
        assert_eq!(read.last().unwrap().is_compressed, !takes_over);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_receiver_understands_all_that_goes_on(
        said in prop::collection::vec(
            ("[a-c ]{0,40}|[a-z]{0,3000}", any::<bool>(), 1..4usize, prop::sample::select(&PLANS[..])),
            0..12,
        ),
        near in prop_oneof![Just(Side::Downstream), Just(Side::Upstream)],
        takes_over: bool,
        step in prop_oneof![1..20usize, Just(100_000)],
    ) {
        in_virtual_time(check(near, takes_over, step, &said));
    }

    #[test]
    fn a_window_of_any_size_is_large_enough(
        said in prop::collection::vec(
            // Few words, so that what the window just reaches is there again.
            ("[ab]{0,700}|[a-d]{0,3000}|(lorem |ipsum |dolor ){0,300}", Just(true), 1..4usize, prop::sample::select(&PLANS[..])),
            1..8,
        ),
        bits in 8..=15u32,
        near in prop_oneof![Just(Side::Downstream), Just(Side::Upstream)],
        takes_over: bool,
        step in prop_oneof![7..60usize, Just(100_000)],
    ) {
        let deflater = Deflater::Small(SmallWindow::new(bits, takes_over));
        in_virtual_time(converse(near, takes_over, deflater, step, &said));
    }
}

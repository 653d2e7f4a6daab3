//! Where each frame of a stream begins and ends, and whether it may stand there (RFC 6455 5.4, 5.5). Payloads are skipped by their
//! length.
//!
//! It must not know the other direction, nor hold a byte: what is not whole yet stays with the caller.

use super::control::ControlFrame;
use super::frame::{FrameError, FrameHeader};
use super::opcode::OpCode;
use crate::side::Side;

/// Follows one direction of a WebSocket connection from frame to frame, as its bytes pass.
///
/// [`advance`](Self::advance) is called with the bytes that come next and says how many of them belong to one piece: the
/// header of a data frame, some payload, or a whole control frame. A header or a control frame that is cut off is not
/// consumed: the caller holds it back, at most 130 bytes, and comes again with the same bytes and more. So whatever has been
/// consumed ends either within the payload of a data frame or [between two frames](Self::is_at_boundary).
///
/// ```
/// use switchover::Side;
/// use switchover::websocket::{CloseCode, CloseFrame, FrameScanner, Scanned};
///
/// // "Hello" in two frames with a ping between them, then a Close.
/// let bytes = b"\x01\x03Hel\x89\x00\x80\x02lo\x88\x02\x03\xe8";
/// let (mut scanner, mut at) = (FrameScanner::new(Side::Upstream), 0);
/// let mut closed = None;
/// while let Some((length, scanned)) = scanner.advance(&bytes[at..])? {
///     at += length;
///     match scanned {
///         Scanned::Header(header) => println!("{} of {} bytes", header.opcode, header.payload_length),
///         Scanned::Payload => println!("{} bytes of it", length),
///         Scanned::Control(frame) => closed = Some(CloseFrame::read(frame.payload())),
///     }
/// }
/// assert_eq!(at, bytes.len());
/// assert_eq!(closed.and_then(|close| close.code()), Some(CloseCode::NORMAL_CLOSURE));
/// # Ok::<(), switchover::websocket::FrameError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameScanner {
    /// How much payload of the data frame that has begun is still to come.
    remaining: u64,
    reserved_bits: [bool; 3],
    /// RSV1 is that of compressed messages.
    compresses: bool,
    sender: Side,
    in_message: bool,
}

/// What the bytes are that a [`FrameScanner`] has consumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a frame has no other part")]
pub enum Scanned {
    /// The header of a data frame.
    Header(FrameHeader),
    /// Payload of the data frame that began last.
    Payload,
    /// A whole control frame, header included.
    Control(ControlFrame),
}

impl FrameScanner {
    /// At the start of what `sender` sends. No reserved bit may be set.
    #[must_use]
    pub const fn new(sender: Side) -> Self {
        Self {
            remaining: 0,
            reserved_bits: [false; 3],
            compresses: false,
            sender,
            in_message: false,
        }
    }

    /// Which of RSV1, RSV2 and RSV3 frames may have set, by the extensions that were agreed (RFC 6455 5.2).
    #[must_use]
    pub const fn reserved_bits(mut self, allowed: [bool; 3]) -> Self {
        self.reserved_bits = allowed;
        self
    }

    /// Whether RSV1 is the bit of compressed messages, and therefore only in their first frames. Default: false.
    ///
    /// RFC 7692 6: an endpoint "MUST NOT set the "Per-Message Compressed" bit of control frames and non-first fragments of a data
    /// message".
    #[must_use]
    pub const fn permessage_deflate(mut self, agreed: bool) -> Self {
        self.compresses = agreed;
        self
    }

    /// Consumes the next piece at the start of `bytes`, and says how long it is and what.
    ///
    /// `None`: the rest is not enough of a header or a control frame, or empty. It is to be given again, with more.
    ///
    /// # Errors
    ///
    /// [`FrameError`] if what begins here is no frame that the sender may send now. Everything before it was in order, and
    /// nothing of it is consumed: the scanner is [at the boundary](Self::is_at_boundary) before it, and stays there.
    pub fn advance(&mut self, bytes: &[u8]) -> Result<Option<(usize, Scanned)>, FrameError> {
        if bytes.is_empty() {
            return Ok(None);
        }
        if self.remaining > 0 {
            return Ok(Some((self.take_payload(bytes), Scanned::Payload)));
        }
        let Some((header, length)) = FrameHeader::decode(bytes)? else {
            return Ok(None);
        };
        self.check(&header)?;
        if header.opcode.is_control() {
            let frame = ControlFrame::read(&header, &bytes[length..]);
            return Ok(frame.map(|frame| (length + frame.payload().len(), Scanned::Control(frame))));
        }
        self.begin(&header);
        Ok(Some((length, Scanned::Header(header))))
    }

    /// Consumes the header of a data frame at the start of `bytes`, and says how long it is. `None`: another frame begins there, or one that
    /// may not, or not the whole header is there. Then nothing is consumed, and [`advance`](Self::advance) says which.
    #[cfg(feature = "tunnel")]
    pub(crate) fn take_data_header(&mut self, bytes: &[u8]) -> Option<(FrameHeader, usize)> {
        let (header, length) = FrameHeader::decode(bytes).ok()??;
        if header.opcode.is_control() || self.check(&header).is_err() {
            return None;
        }
        self.begin(&header);
        Some((header, length))
    }

    /// Consumes the payload at the start of `bytes` that belongs to the frame that began last, and says how long it is.
    pub(crate) fn take_payload(&mut self, bytes: &[u8]) -> usize {
        let length = usize::try_from(self.remaining).map_or(bytes.len(), |rest| rest.min(bytes.len()));
        self.skip(length as u64);
        length
    }

    fn begin(&mut self, header: &FrameHeader) {
        self.in_message = !header.fin;
        self.remaining = header.payload_length;
    }

    /// Takes note of payload that has passed without being looked at: at most what [remains](Self::remaining) of the frame.
    pub const fn skip(&mut self, count: u64) {
        self.remaining = self.remaining.saturating_sub(count);
    }

    /// How much payload of the data frame that has begun is still to come, in bytes.
    #[must_use]
    pub const fn remaining(&self) -> u64 {
        self.remaining
    }

    /// Whether what was consumed ends between two frames, so that another could stand here: a control frame always
    /// (RFC 6455 5.4), a data frame if it is not [within a message](Self::is_in_message).
    #[must_use]
    pub const fn is_at_boundary(&self) -> bool {
        self.remaining == 0
    }

    /// Whether a message has begun whose last frame has not.
    #[must_use]
    pub const fn is_in_message(&self) -> bool {
        self.in_message
    }

    /// Whose frames these are.
    #[must_use]
    pub const fn sender(&self) -> Side {
        self.sender
    }

    fn check(&self, header: &FrameHeader) -> Result<(), FrameError> {
        if header.rsv != [false; 3] {
            let [rsv1, rsv2, rsv3] = self.reserved_bits;
            let begins = matches!(header.opcode, OpCode::Text | OpCode::Binary);
            header.check_reserved_bits([rsv1 && (begins || !self.compresses), rsv2, rsv3])?;
        }
        header.check_mask(self.sender)?;
        // RFC 6455 5.4: "The fragments of one message MUST NOT be interleaved between the fragments of another message".
        match header.opcode {
            OpCode::Continuation if !self.in_message => Err(FrameError::NothingToContinue),
            OpCode::Text | OpCode::Binary if self.in_message => {
                Err(FrameError::MessageInterrupted(header.opcode))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::websocket::{ControlFrame, FrameHeader};

    /// What a scan comes to, whatever the pieces: headers and control frames with their places, and how much payload each
    /// data frame had.
    type Story = Vec<(usize, Scanned, u64)>;

    /// Scans a stream in pieces that end at `cuts`, and holds back what is not consumed, as a caller does.
    fn scan(
        scanner: &mut FrameScanner,
        stream: &[u8],
        cuts: &[usize],
    ) -> (Story, usize, Result<(), FrameError>) {
        let (mut story, mut at) = (Story::new(), 0);
        for end in cuts.iter().copied().chain([stream.len()]) {
            loop {
                match scanner.advance(&stream[at..end.max(at)]) {
                    Err(error) => return (story, at, Err(error)),
                    Ok(None) => break,
                    Ok(Some((length, Scanned::Payload))) => {
                        let (_, _, payload) = story.last_mut().expect("payload has a header");
                        *payload += length as u64;
                        at += length;
                    }
                    Ok(Some((length, scanned))) => {
                        story.push((at, scanned, 0));
                        at += length;
                    }
                }
            }
            assert!(
                end.saturating_sub(at) < ControlFrame::MAX_LENGTH,
                "held back too much"
            );
        }
        (story, at, Ok(()))
    }

    #[derive(Clone, Debug)]
    enum Part {
        Control(OpCode, Vec<u8>),
        /// A message in so many frames of these lengths, with pings between them where it is true.
        Message(OpCode, Vec<usize>, bool),
    }

    fn parts() -> impl Strategy<Value = Vec<Part>> {
        let opcode = prop_oneof![Just(OpCode::Ping), Just(OpCode::Pong), Just(OpCode::Close)];
        let control = (opcode, prop::collection::vec(any::<u8>(), 0..=125));
        let length = prop_oneof![4 => 0..200usize, 1 => 65_400..65_700usize];
        let data = prop_oneof![Just(OpCode::Text), Just(OpCode::Binary)];
        let message = (data, prop::collection::vec(length, 1..4), any::<bool>());
        prop::collection::vec(
            prop_oneof![
                control.prop_map(|(opcode, payload)| Part::Control(opcode, payload)),
                message.prop_map(|(opcode, lengths, pings)| Part::Message(opcode, lengths, pings)),
            ],
            0..6,
        )
    }

    /// The bytes of these parts, and what a scan has to say of them.
    fn stream(parts: &[Part], sender: Side) -> (Vec<u8>, Story) {
        let key = (sender == Side::Downstream).then_some([9, 8, 7, 6]);
        let (mut bytes, mut story) = (Vec::new(), Story::new());
        let control = |opcode, payload: &[u8], bytes: &mut Vec<u8>, story: &mut Story| {
            let frame = ControlFrame::new(opcode, payload).unwrap();
            story.push((bytes.len(), Scanned::Control(frame), 0));
            bytes.extend(frame.to_bytes(key));
        };
        for part in parts {
            match part {
                Part::Control(opcode, payload) => control(*opcode, payload, &mut bytes, &mut story),
                Part::Message(opcode, lengths, pings) => {
                    for (index, &length) in lengths.iter().enumerate() {
                        let opcode = if index == 0 { *opcode } else { OpCode::Continuation };
                        let header = FrameHeader {
                            fin: index + 1 == lengths.len(),
                            mask: key,
                            ..FrameHeader::new(opcode, length as u64)
                        };
                        story.push((bytes.len(), Scanned::Header(header), length as u64));
                        header.encode(&mut bytes).unwrap();
                        // Bytes that would be frames if they were not payload.
                        bytes.extend((0..length).map(|at| [0x88, 0x02, 0x03, 0xe8][at % 4]));
                        if *pings {
                            control(OpCode::Ping, b"between", &mut bytes, &mut story);
                        }
                    }
                }
            }
        }
        (bytes, story)
    }

    const SIDES: [Side; 2] = [Side::Downstream, Side::Upstream];

    proptest! {
        #[test]
        fn any_cutting_tells_the_same(parts in parts(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20)) {
            for sender in SIDES {
                let (bytes, story) = stream(&parts, sender);
                let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
                cuts.sort_unstable();
                let mut scanner = FrameScanner::new(sender);
                let scanned = scan(&mut scanner, &bytes, &cuts);
                prop_assert!(scanned == (story, bytes.len(), Ok(())));
                prop_assert!(scanner.is_at_boundary() && !scanner.is_in_message());
            }
        }

        #[test]
        fn byte_by_byte_tells_the_same(parts in parts()) {
            for sender in SIDES {
                let (bytes, story) = stream(&parts, sender);
                let cuts: Vec<usize> = (0..bytes.len()).collect();
                let scanned = scan(&mut FrameScanner::new(sender), &bytes, &cuts);
                prop_assert!(scanned == (story, bytes.len(), Ok(())));
            }
        }

        #[test]
        fn no_bytes_make_it_panic_or_go_round_in_circles(bytes: Vec<u8>, rsv: [bool; 3]) {
            for sender in SIDES {
                let mut scanner = FrameScanner::new(sender).reserved_bits(rsv);
                let (_, at, _) = scan(&mut scanner, &bytes, &[]);
                prop_assert!(at <= bytes.len());
            }
        }
    }

    #[test]
    fn what_may_not_stand_there_is_found_and_not_consumed() {
        let masked = |opcode, length| FrameHeader::new(opcode, length).masked([1; 4]);
        let rsv1 = FrameHeader {
            rsv: [true, false, false],
            ..masked(OpCode::Text, 0)
        };
        let open = FrameHeader {
            fin: false,
            ..masked(OpCode::Text, 0)
        };
        let cases = [
            (
                "not masked",
                FrameHeader::new(OpCode::Text, 0),
                FrameError::MaskMissing,
            ),
            ("RSV1", rsv1, FrameError::ReservedBit(1)),
            (
                "a continuation of nothing",
                masked(OpCode::Continuation, 0),
                FrameError::NothingToContinue,
            ),
        ];
        for (name, bad, error) in cases {
            let mut bytes = Vec::new();
            masked(OpCode::Binary, 1).encode(&mut bytes).unwrap();
            bytes.push(7);
            let good = bytes.len();
            bad.encode(&mut bytes).unwrap();
            for cuts in [vec![], (0..bytes.len()).collect::<Vec<_>>()] {
                let mut scanner = FrameScanner::new(Side::Downstream);
                let (story, at, outcome) = scan(&mut scanner, &bytes, &cuts);
                assert_eq!((story.len(), at, outcome), (1, good, Err(error)), "{name}");
                assert!(scanner.is_at_boundary(), "{name}");
            }
        }

        let mut bytes = Vec::new();
        open.encode(&mut bytes).unwrap();
        let good = bytes.len();
        masked(OpCode::Binary, 0).encode(&mut bytes).unwrap();
        let mut scanner = FrameScanner::new(Side::Downstream);
        let (_, at, outcome) = scan(&mut scanner, &bytes, &[]);
        assert_eq!(
            (at, outcome),
            (good, Err(FrameError::MessageInterrupted(OpCode::Binary)))
        );
        assert!(scanner.is_in_message());
    }

    #[test]
    fn a_bit_that_was_agreed_may_be_set() {
        let mut scanner = FrameScanner::new(Side::Upstream).reserved_bits([true, false, false]);
        assert!(scanner.advance(b"\xc1\x00").is_ok());
        assert_eq!(scanner.advance(b"\xa1\x00"), Err(FrameError::ReservedBit(2)));
    }

    #[test]
    fn rfc7692_6_the_bit_of_compression_is_in_first_frames_alone() {
        let with = |agreed| {
            let scanner = FrameScanner::new(Side::Upstream);
            scanner
                .reserved_bits([true, false, false])
                .permessage_deflate(agreed)
        };
        for (name, frame, is_first) in [
            ("text", b"\xc1\x00", true),
            ("binary", b"\xc2\x00", true),
            ("a continuation", b"\xc0\x00", false),
            ("a ping", b"\xc9\x00", false),
            ("a close", b"\xc8\x00", false),
        ] {
            for agreed in [false, true] {
                let mut scanner = with(agreed);
                if name == "a continuation" {
                    assert!(scanner.advance(b"\x41\x00").is_ok());
                }
                let found = scanner.advance(frame).map(drop);
                let expected = match is_first || !agreed {
                    true => Ok(()),
                    false => Err(FrameError::ReservedBit(1)),
                };
                assert_eq!(found, expected, "{name}, {agreed}");
            }
        }
    }

    #[test]
    fn payload_that_passed_elsewhere_is_counted() {
        let mut scanner = FrameScanner::new(Side::Upstream);
        scanner.advance(b"\x82\x7f\0\0\0\0\0\x01\0\0").unwrap();
        scanner.skip(65_000);
        assert_eq!((scanner.remaining(), scanner.is_at_boundary()), (536, false));
        scanner.skip(536);
        assert!(scanner.is_at_boundary());
        assert!(matches!(
            scanner.advance(b"\x8a\x00"),
            Ok(Some((2, Scanned::Control(_))))
        ));
    }
}

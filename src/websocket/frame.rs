//! The frame header: two to fourteen bytes that say what follows and how long it is (RFC 6455 5.2).
//!
//! It must not know the frames before or after this one (which message a continuation belongs to), which
//! extensions were agreed, or what a payload means. It never sees a payload.

use super::close::CloseCode;
use super::opcode::OpCode;
use crate::side::Side;

const FIN: u8 = 0x80;
const RESERVED: [u8; 3] = [0x40, 0x20, 0x10];
const OPCODE: u8 = 0x0f;
const MASKED: u8 = 0x80;
const LENGTH: u8 = 0x7f;
const LENGTH_IN_2_BYTES: u8 = 126;
const LENGTH_IN_8_BYTES: u8 = 127;

/// Everything that stands before a frame's payload.
///
/// [`decode`](Self::decode) and [`encode`](Self::encode) refuse what no endpoint may ever send. What depends on the
/// connection is a check of its own: [`check_mask`](Self::check_mask) on who sent the frame,
/// [`check_reserved_bits`](Self::check_reserved_bits) on the extensions that were agreed.
///
/// ```
/// use switchover::Side;
/// use switchover::websocket::{FrameHeader, OpCode, apply_mask};
///
/// // "Hello" from a client, and the first bytes of what it sends next (RFC 6455 5.7).
/// let mut wire = *b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58\x89";
/// let (header, length) = FrameHeader::decode(&wire)?.expect("the header is whole");
/// assert_eq!(header, FrameHeader::new(OpCode::Text, 5).masked([0x37, 0xfa, 0x21, 0x3d]));
/// header.check_mask(Side::Downstream)?;
/// header.check_reserved_bits([false; 3])?;
///
/// let payload = &mut wire[length..][..5];
/// apply_mask(payload, header.mask.unwrap_or_default(), 0);
/// assert_eq!(payload, b"Hello");
/// # Ok::<(), switchover::websocket::FrameError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "RFC 6455 has these parts")]
pub struct FrameHeader {
    /// Whether this is the last frame of its message.
    pub fin: bool,
    /// RSV1, RSV2 and RSV3: zero unless an extension gave them a meaning. `permessage-deflate` uses RSV1.
    pub rsv: [bool; 3],
    /// What the frame is.
    pub opcode: OpCode,
    /// The key that the payload is masked with: always from a client, never from a server.
    pub mask: Option<[u8; 4]>,
    /// How many bytes of payload follow the header; at most 2^63 - 1.
    pub payload_length: u64,
}

impl FrameHeader {
    /// The longest header: two bytes, eight of length, four of masking key.
    pub const MAX_LENGTH: usize = 14;

    /// The longest payload of a control frame, in bytes (RFC 6455 5.5).
    pub const MAX_CONTROL_PAYLOAD: u64 = 125;

    /// A frame that is a whole message, not masked, using no extension.
    #[must_use]
    pub const fn new(opcode: OpCode, payload_length: u64) -> Self {
        Self {
            fin: true,
            rsv: [false; 3],
            opcode,
            mask: None,
            payload_length,
        }
    }

    /// The same header with a masking key, as a client has to send it.
    ///
    /// RFC 6455 5.3: the key "MUST be derived from a strong source of entropy"; choosing it is up to the caller.
    #[must_use]
    pub const fn masked(self, key: [u8; 4]) -> Self {
        Self {
            mask: Some(key),
            ..self
        }
    }

    /// Reads the header at the start of `bytes`, and says how many bytes it took.
    ///
    /// `None` means that the header goes on beyond the end of `bytes`: call again with the same bytes and more.
    /// Whatever follows the header is not looked at.
    ///
    /// # Errors
    ///
    /// [`FrameError`], as soon as the bytes that show it are there, even if the header is not whole yet.
    pub fn decode(bytes: &[u8]) -> Result<Option<(Self, usize)>, FrameError> {
        let Some((&first, rest)) = bytes.split_first() else {
            return Ok(None);
        };
        let opcode = OpCode::from_bits(first & OPCODE).ok_or(FrameError::ReservedOpCode(first & OPCODE))?;
        let mut header = Self {
            fin: first & FIN != 0,
            ..Self::new(opcode, 0)
        };
        header.rsv = RESERVED.map(|bit| first & bit != 0);
        header.check()?;

        let Some((&second, rest)) = rest.split_first() else {
            return Ok(None);
        };
        let field = second & LENGTH;
        // 126 and 127 stand for a longer length, so a control frame is refused without waiting for that length.
        header.payload_length = u64::from(field);
        header.check()?;
        let Some((length, rest)) = split_length(field, rest) else {
            return Ok(None);
        };
        header.payload_length = length;
        header.check()?;
        // RFC 6455 5.2: "the minimal number of bytes MUST be used to encode the length".
        if length_field(length) != field {
            return Err(FrameError::LengthNotMinimal { length });
        }

        if second & MASKED == 0 {
            return Ok(Some((header, bytes.len() - rest.len())));
        }
        let Some((key, rest)) = rest.split_first_chunk() else {
            return Ok(None);
        };
        Ok(Some((header.masked(*key), bytes.len() - rest.len())))
    }

    /// Appends the header to `out`.
    ///
    /// # Errors
    ///
    /// [`FrameError`] if no endpoint may send such a header; then `out` is as it was.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), FrameError> {
        let mut header = [0; Self::MAX_LENGTH];
        let length = self.encode_into(&mut header)?;
        out.extend_from_slice(&header[..length]);
        Ok(())
    }

    /// Writes the header to the start of `out`, and says how many bytes it took.
    ///
    /// # Errors
    ///
    /// [`FrameError`] if no endpoint may send such a header; then `out` is as it was.
    pub fn encode_into(&self, out: &mut [u8; Self::MAX_LENGTH]) -> Result<usize, FrameError> {
        self.check()?;
        let field = length_field(self.payload_length);
        out[0] = self.opcode.bits() | if self.fin { FIN } else { 0 };
        for (bit, _) in RESERVED.iter().zip(self.rsv).filter(|(_, set)| *set) {
            out[0] |= bit;
        }
        out[1] = field | if self.mask.is_some() { MASKED } else { 0 };

        let wide = self.payload_length.to_be_bytes();
        let length: &[u8] = match field {
            LENGTH_IN_2_BYTES => &wide[6..],
            LENGTH_IN_8_BYTES => &wide,
            _ => &[],
        };
        let mut end = 2;
        for part in [length, self.mask.as_ref().map_or(&[], |key| &key[..])] {
            out[end..end + part.len()].copy_from_slice(part);
            end += part.len();
        }
        Ok(end)
    }

    /// Whether the frame is masked as the side that sent it has to: towards an upstream, the proxy is the client.
    ///
    /// RFC 6455 5.1: "a client MUST mask all frames that it sends to the server"; "a server MUST NOT mask any frames
    /// that it sends to the client". Either end closes the connection where the other does not keep to it.
    ///
    /// # Errors
    ///
    /// [`FrameError::MaskMissing`] from downstream, [`FrameError::MaskForbidden`] from upstream.
    pub const fn check_mask(&self, sender: Side) -> Result<(), FrameError> {
        match (sender, self.mask) {
            (Side::Downstream, None) => Err(FrameError::MaskMissing),
            (Side::Upstream, Some(_)) => Err(FrameError::MaskForbidden),
            _ => Ok(()),
        }
    }

    /// Whether the frame uses only the reserved bits that `allowed` names, RSV1 first.
    ///
    /// RFC 6455 5.2: they "MUST be 0 unless an extension is negotiated that defines meanings for non-zero values".
    ///
    /// # Errors
    ///
    /// [`FrameError::ReservedBit`] with the first bit that is set and not allowed.
    pub fn check_reserved_bits(&self, allowed: [bool; 3]) -> Result<(), FrameError> {
        match (1..)
            .zip(self.rsv.iter().zip(allowed))
            .find(|(_, (set, allowed))| **set && !allowed)
        {
            Some((number, _)) => Err(FrameError::ReservedBit(number)),
            None => Ok(()),
        }
    }

    /// What holds for every frame, from either side and with any extension.
    const fn check(&self) -> Result<(), FrameError> {
        // RFC 6455 5.5: "All control frames MUST have a payload length of 125 bytes or less and MUST NOT be
        // fragmented."
        if self.opcode.is_control() && !self.fin {
            return Err(FrameError::ControlFragmented(self.opcode));
        }
        if self.opcode.is_control() && self.payload_length > Self::MAX_CONTROL_PAYLOAD {
            return Err(FrameError::ControlTooLong(self.opcode));
        }
        // RFC 6455 5.2: of the 64 bits of a length, "the most significant bit MUST be 0".
        if self.payload_length > i64::MAX as u64 {
            return Err(FrameError::LengthTooLarge {
                length: self.payload_length,
            });
        }
        Ok(())
    }
}

/// The seven bits of the second byte for a payload of this length.
const fn length_field(length: u64) -> u8 {
    match length {
        0..=125 => length as u8,
        126..=0xffff => LENGTH_IN_2_BYTES,
        _ => LENGTH_IN_8_BYTES,
    }
}

/// The payload length for what the seven bits say, and the bytes after it. `None` if it is not all there yet.
fn split_length(field: u8, bytes: &[u8]) -> Option<(u64, &[u8])> {
    match field {
        LENGTH_IN_2_BYTES => bytes
            .split_first_chunk()
            .map(|(length, rest)| (u16::from_be_bytes(*length).into(), rest)),
        LENGTH_IN_8_BYTES => bytes
            .split_first_chunk()
            .map(|(length, rest)| (u64::from_be_bytes(*length), rest)),
        short => Some((short.into(), bytes)),
    }
}

/// Why bytes are not a frame header that may be sent, or that this side may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// An opcode that RFC 6455 5.2 keeps for later. "If an unknown opcode is received, the receiving endpoint MUST
    /// Fail the WebSocket Connection."
    #[error("reserved opcode {0:#x}")]
    ReservedOpCode(u8),
    /// A control frame without FIN (RFC 6455 5.5).
    #[error("a {0} frame in more than one part")]
    ControlFragmented(OpCode),
    /// A control frame with more than 125 bytes of payload (RFC 6455 5.5).
    #[error("a {0} frame with more than 125 bytes of payload")]
    ControlTooLong(OpCode),
    /// A length written with more bytes than it needs (RFC 6455 5.2).
    #[error("payload length {length} is written with more bytes than it needs")]
    LengthNotMinimal {
        /// The length that was written.
        length: u64,
    },
    /// A length of 2^63 or more (RFC 6455 5.2).
    #[error("payload length {length} does not fit in 63 bits")]
    LengthTooLarge {
        /// The length that was written.
        length: u64,
    },
    /// RSV1, RSV2 or RSV3 is set and no extension was agreed that uses it (RFC 6455 5.2).
    #[error("RSV{0} is set, and no extension was agreed that uses it")]
    ReservedBit(u8),
    /// A client's frame without a mask (RFC 6455 5.1).
    #[error("a frame from the client is not masked")]
    MaskMissing,
    /// A server's frame with a mask (RFC 6455 5.1).
    #[error("a frame from the server is masked")]
    MaskForbidden,
    /// A continuation where no message has begun (RFC 6455 5.4).
    #[error("a continuation frame continues nothing")]
    NothingToContinue,
    /// A new message before the last frame of the one that has begun (RFC 6455 5.4).
    #[error("a {0} frame stands between the frames of another message")]
    MessageInterrupted(OpCode),
}

impl FrameError {
    /// The code to close with: 1002 for every one of these (RFC 6455 5.1, 7.4.1).
    #[must_use]
    pub const fn close_code(self) -> CloseCode {
        CloseCode::PROTOCOL_ERROR
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

    /// Runs one input whole, with a tail, and byte by byte: what is not decided yet is `None`, and what is decided
    /// once stays so.
    fn assert_decodes(name: &str, bytes: &[u8], expected: Result<FrameHeader, FrameError>) {
        let expected = expected.map(|header| Some((header, bytes.len())));
        assert_eq!(FrameHeader::decode(bytes), expected, "{name}, whole");
        for tail in [&b"\x81\x00"[..], &[0xff; 20]] {
            let longer = [bytes, tail].concat();
            assert_eq!(FrameHeader::decode(&longer), expected, "{name}, with a tail");
        }
        for end in 0..bytes.len() {
            let early = FrameHeader::decode(&bytes[..end]);
            let consistent = early == Ok(None) || (expected.is_err() && early == expected);
            assert!(consistent, "{name}, after {end} bytes: {early:?}");
        }
    }

    #[test]
    fn rfc6455_5_7_examples() {
        let unfinished = FrameHeader {
            fin: false,
            ..FrameHeader::new(OpCode::Text, 3)
        };
        let cases: &[(&str, &[u8], FrameHeader)] = &[
            (
                "single text, not masked",
                b"\x81\x05",
                FrameHeader::new(OpCode::Text, 5),
            ),
            (
                "single text, masked",
                b"\x81\x85\x37\xfa\x21\x3d",
                FrameHeader::new(OpCode::Text, 5).masked(KEY),
            ),
            ("first part", b"\x01\x03", unfinished),
            (
                "last part",
                b"\x80\x02",
                FrameHeader::new(OpCode::Continuation, 2),
            ),
            ("ping, not masked", b"\x89\x05", FrameHeader::new(OpCode::Ping, 5)),
            (
                "pong, masked",
                b"\x8a\x85\x37\xfa\x21\x3d",
                FrameHeader::new(OpCode::Pong, 5).masked(KEY),
            ),
            (
                "256 bytes of binary",
                b"\x82\x7e\x01\x00",
                FrameHeader::new(OpCode::Binary, 256),
            ),
            (
                "64 KiB of binary",
                b"\x82\x7f\0\0\0\0\0\x01\0\0",
                FrameHeader::new(OpCode::Binary, 65_536),
            ),
        ];
        for (name, bytes, header) in cases {
            assert_decodes(name, bytes, Ok(*header));
            let mut encoded = b"before".to_vec();
            header.encode(&mut encoded).unwrap();
            assert_eq!(encoded, [b"before", *bytes].concat(), "{name}");
        }
    }

    #[test]
    fn rfc6455_5_2_lengths_at_their_limits() {
        let cases: &[(&[u8], u64)] = &[
            (b"\x82\x00", 0),
            (b"\x82\x7d", 125),
            (b"\x82\x7e\x00\x7e", 126),
            (b"\x82\x7e\x00\x7f", 127),
            (b"\x82\x7e\xff\xff", 65_535),
            (b"\x82\x7f\0\0\0\0\0\x01\0\0", 65_536),
            (b"\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff", (1 << 63) - 1),
        ];
        for &(bytes, length) in cases {
            let header = FrameHeader::new(OpCode::Binary, length);
            assert_decodes(&format!("{length} bytes"), bytes, Ok(header));
            let mut encoded = Vec::new();
            header.encode(&mut encoded).unwrap();
            assert_eq!(encoded, bytes, "{length} bytes");
        }
    }

    #[test]
    fn rfc6455_5_2_refuses_lengths() {
        let not_minimal = |length| FrameError::LengthNotMinimal { length };
        let too_large = |length| FrameError::LengthTooLarge { length };
        let cases: &[(&str, &[u8], FrameError)] = &[
            ("nothing in two bytes", b"\x82\x7e\x00\x00", not_minimal(0)),
            ("125 in two bytes", b"\x82\x7e\x00\x7d", not_minimal(125)),
            ("125 in two bytes, masked", b"\x82\xfe\x00\x7d", not_minimal(125)),
            (
                "125 in eight bytes",
                b"\x82\x7f\0\0\0\0\0\0\0\x7d",
                not_minimal(125),
            ),
            (
                "65535 in eight bytes",
                b"\x82\x7f\0\0\0\0\0\0\xff\xff",
                not_minimal(65_535),
            ),
            ("2^63", b"\x82\x7f\x80\0\0\0\0\0\0\0", too_large(1 << 63)),
            (
                "all ones",
                b"\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff",
                too_large(u64::MAX),
            ),
        ];
        for (name, bytes, error) in cases {
            assert_decodes(name, bytes, Err(*error));
        }
        let mut out = Vec::new();
        assert_eq!(
            FrameHeader::new(OpCode::Binary, 1 << 63).encode(&mut out),
            Err(too_large(1 << 63))
        );
        assert!(out.is_empty());
    }

    #[test]
    fn rfc6455_5_2_refuses_reserved_opcodes() {
        for code in [0x3, 0x4, 0x5, 0x6, 0x7, 0xb, 0xc, 0xd, 0xe, 0xf] {
            assert_decodes("FIN", &[0x80 | code, 0x00], Err(FrameError::ReservedOpCode(code)));
            assert_decodes("no FIN", &[code, 0x80], Err(FrameError::ReservedOpCode(code)));
        }
    }

    #[test]
    fn rfc6455_5_5_control_frames_are_short_and_whole() {
        for opcode in [OpCode::Close, OpCode::Ping, OpCode::Pong] {
            let first = 0x80 | opcode.bits();
            assert_decodes("125 bytes", &[first, 125], Ok(FrameHeader::new(opcode, 125)));
            assert_decodes(
                "126 bytes",
                &[first, 126, 0, 126],
                Err(FrameError::ControlTooLong(opcode)),
            );
            assert_decodes("64 KiB", &[first, 127], Err(FrameError::ControlTooLong(opcode)));
            assert_decodes(
                "no FIN",
                &[opcode.bits()],
                Err(FrameError::ControlFragmented(opcode)),
            );

            let mut out = [0xaa; FrameHeader::MAX_LENGTH];
            let long = FrameHeader::new(opcode, 126);
            assert_eq!(
                long.encode_into(&mut out),
                Err(FrameError::ControlTooLong(opcode))
            );
            let part = FrameHeader {
                fin: false,
                ..FrameHeader::new(opcode, 1)
            };
            assert_eq!(
                part.encode_into(&mut out),
                Err(FrameError::ControlFragmented(opcode))
            );
            assert_eq!(out, [0xaa; FrameHeader::MAX_LENGTH], "untouched");
        }
    }

    #[test]
    fn rfc6455_5_2_reserved_bits_need_an_extension() {
        let cases = [
            (0xc1, [true, false, false], 1),
            (0xa1, [false, true, false], 2),
            (0x91, [false, false, true], 3),
            (0xb1, [false, true, true], 2),
            (0xf1, [true, true, true], 1),
        ];
        for (first, rsv, number) in cases {
            let header = FrameHeader {
                rsv,
                ..FrameHeader::new(OpCode::Text, 0)
            };
            assert_decodes("reserved bits", &[first, 0x00], Ok(header));
            assert_eq!(
                header.check_reserved_bits([false; 3]),
                Err(FrameError::ReservedBit(number))
            );
            assert_eq!(header.check_reserved_bits(rsv), Ok(()));
        }
        let plain = FrameHeader::new(OpCode::Text, 0);
        assert_eq!(plain.check_reserved_bits([false; 3]), Ok(()));
        let compressed = FrameHeader {
            rsv: [true, false, true],
            ..plain
        };
        assert_eq!(
            compressed.check_reserved_bits([true, false, false]),
            Err(FrameError::ReservedBit(3))
        );
    }

    #[test]
    fn rfc6455_5_1_clients_mask_and_servers_do_not() {
        let plain = FrameHeader::new(OpCode::Text, 5);
        assert_eq!(plain.check_mask(Side::Downstream), Err(FrameError::MaskMissing));
        assert_eq!(plain.check_mask(Side::Upstream), Ok(()));
        assert_eq!(plain.masked(KEY).check_mask(Side::Downstream), Ok(()));
        assert_eq!(
            plain.masked(KEY).check_mask(Side::Upstream),
            Err(FrameError::MaskForbidden)
        );
        // A key of zeros masks nothing, and is a mask.
        assert_eq!(plain.masked([0; 4]).check_mask(Side::Downstream), Ok(()));
        assert_decodes("a key of zeros", b"\x81\x85\0\0\0\0", Ok(plain.masked([0; 4])));
    }

    fn any_header() -> impl Strategy<Value = FrameHeader> {
        let opcode = prop_oneof![
            Just(OpCode::Continuation),
            Just(OpCode::Text),
            Just(OpCode::Binary),
            Just(OpCode::Close),
            Just(OpCode::Ping),
            Just(OpCode::Pong)
        ];
        let length = prop_oneof![
            0_u64..=130,
            65_530_u64..=65_540,
            ((1_u64 << 63) - 3)..=((1 << 63) + 3),
            any::<u64>()
        ];
        (
            any::<bool>(),
            any::<[bool; 3]>(),
            opcode,
            any::<Option<[u8; 4]>>(),
            length,
        )
            .prop_map(|(fin, rsv, opcode, mask, payload_length)| FrameHeader {
                fin,
                rsv,
                opcode,
                mask,
                payload_length,
            })
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes_to_the_same(header in any_header(), tail: Vec<u8>) {
            let mut wire = Vec::new();
            match header.encode(&mut wire) {
                Ok(()) => {
                    let length = wire.len();
                    for end in 0..length {
                        prop_assert_eq!(FrameHeader::decode(&wire[..end]), Ok(None));
                    }
                    wire.extend_from_slice(&tail);
                    prop_assert_eq!(FrameHeader::decode(&wire), Ok(Some((header, length))));
                }
                Err(_) => prop_assert!(wire.is_empty()),
            }
        }

        #[test]
        fn what_decodes_encodes_to_the_same_bytes(bytes: [u8; 14], second in prop_oneof![Just(126), Just(127), any::<u8>()]) {
            let mut bytes = bytes;
            bytes[1] = second;
            if let Ok(Some((header, length))) = FrameHeader::decode(&bytes) {
                let mut encoded = Vec::new();
                header.encode(&mut encoded).unwrap();
                prop_assert_eq!(&encoded, &bytes[..length]);
            }
        }

        #[test]
        fn decode_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..20)) {
            let whole = FrameHeader::decode(&bytes);
            if let Ok(Some((_, length))) = whole {
                prop_assert!(length <= bytes.len().min(FrameHeader::MAX_LENGTH));
                prop_assert_eq!(FrameHeader::decode(&bytes[..length]), whole);
            }
        }
    }
}

//! A message that is held back: what came, so that it can go on unchanged.
//!
//! Knows the frames of one message. It must not know what is decided.

use super::super::injected::masking_key;
use crate::side::Side;
use crate::websocket::{FrameHeader, OpCode, apply_mask};

/// How many bytes of headers a message may have besides a quarter of its limit.
const HEADERS: usize = 16 * 1024;

/// What was read of a message. The payload is kept without its masks; with the headers it can be masked again.
pub(super) struct Collected {
    limit: usize,
    headers: Vec<u8>,
    payload: Vec<u8>,
}

/// The message is longer than it may be.
pub(super) struct TooLong;

impl Collected {
    pub(super) fn new(limit: usize) -> Self {
        Collected {
            limit,
            headers: Vec::new(),
            payload: Vec::new(),
        }
    }

    /// A frame begins. What is too long is refused before its payload comes.
    pub(super) fn header(&mut self, header: &FrameHeader, raw: &[u8]) -> Result<(), TooLong> {
        let length = usize::try_from(header.payload_length).unwrap_or(usize::MAX);
        let is_too_long = self.payload.len().saturating_add(length) > self.limit;
        if is_too_long || self.headers.len() + raw.len() > self.limit / 4 + HEADERS {
            return Err(TooLong);
        }
        self.headers.extend_from_slice(raw);
        Ok(())
    }

    /// Adds a piece of the payload, without its mask.
    pub(super) fn push(&mut self, plain: &[u8]) {
        append(&mut self.payload, plain, self.limit);
    }

    /// The same with its mask: this is the `offset` in the frame's payload at which the piece begins.
    pub(super) fn push_masked(&mut self, raw: &[u8], mask: Option<[u8; 4]>, offset: u64) {
        let start = self.payload.len();
        self.push(raw);
        if let Some(key) = mask {
            apply_mask(&mut self.payload[start..], key, offset);
        }
    }

    /// The headers and the payload.
    pub(super) fn into_parts(self) -> (Vec<u8>, Vec<u8>) {
        (self.headers, self.payload)
    }
}

/// Appends to what may come to `limit` bytes: unlike that of [`Vec::extend_from_slice`], its room does not grow beyond that.
pub(super) fn append(bytes: &mut Vec<u8>, piece: &[u8], limit: usize) {
    let needed = bytes.len() + piece.len();
    if needed > bytes.capacity() {
        let capacity = bytes.capacity().saturating_mul(2).min(limit).max(needed);
        bytes.reserve_exact(capacity - bytes.len());
    }
    bytes.extend_from_slice(piece);
}

/// The frames as they came: these headers, each with its share of the payload.
pub(super) fn to_frames(headers: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut frames = Vec::with_capacity(headers.len() + payload.len());
    let (mut headers, mut payload) = (headers, payload);
    while let Ok(Some((header, length))) = FrameHeader::decode(headers) {
        let (raw, others) = headers.split_at(length);
        let size =
            usize::try_from(header.payload_length).map_or(payload.len(), |size| size.min(payload.len()));
        let (own, rest) = payload.split_at(size);
        frames.extend_from_slice(raw);
        let start = frames.len();
        frames.extend_from_slice(own);
        apply_mask(&mut frames[start..], header.mask.unwrap_or_default(), 0);
        (headers, payload) = (others, rest);
    }
    frames
}

/// A frame as `sender` has to send it, not compressed.
pub(in crate::tunnel::websocket) fn frame(
    sender: Side,
    opcode: OpCode,
    fin: bool,
    payload: &[u8],
) -> Vec<u8> {
    let mask = masking_key(sender);
    let header = FrameHeader {
        fin,
        mask,
        ..FrameHeader::new(opcode, payload.len() as u64)
    };
    let mut bytes = Vec::with_capacity(FrameHeader::MAX_LENGTH + payload.len());
    // Only a control frame that is too long could fail.
    let encoded = header.encode(&mut bytes);
    debug_assert_eq!(encoded, Ok(()));
    let start = bytes.len();
    bytes.extend_from_slice(payload);
    apply_mask(&mut bytes[start..], mask.unwrap_or_default(), 0);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_collected_has_no_more_room_than_its_limit() {
        for (limit, piece) in [(1000, 7), (1000, 1000), (1024, 1), (100_000, 999)] {
            let mut bytes = Vec::new();
            while bytes.len() + piece <= limit {
                append(&mut bytes, &vec![b'x'; piece], limit);
                assert!(bytes.capacity() <= limit, "{limit} in pieces of {piece}");
            }
        }
    }

    #[test]
    fn a_message_is_too_long_when_a_header_says_so() {
        let header = |length| FrameHeader::new(OpCode::Text, length);
        let cases: &[(&[u64], bool)] = &[
            (&[10], true),
            (&[11], false),
            (&[4, 6], true),
            (&[4, 7], false),
            (&[u64::MAX >> 1], false),
        ];
        for (lengths, fits) in cases {
            let mut collected = Collected::new(10);
            let all_fit = lengths.iter().all(|length| {
                let fits = collected.header(&header(*length), b"\x81\x04").is_ok();
                collected.push(&vec![b'x'; (*length).min(10) as usize]);
                fits
            });
            assert_eq!(all_fit, *fits, "{lengths:?}");
        }
        let mut collected = Collected::new(10);
        let empty = (0..).take_while(|_| collected.header(&header(0), b"\x00\x80\0\0\0\0").is_ok());
        assert_eq!(empty.count(), (10 / 4 + HEADERS) / 6, "empty frames are not free");
    }
}

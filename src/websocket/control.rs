//! A control frame is small enough to be held whole, so its content is known (RFC 6455 5.5).
//!
//! It must not know who sent it, what was sent before, or what becomes of the connection.

use std::fmt;

use super::close::{CloseCode, ClosePayload};
use super::frame::FrameHeader;
use super::mask::apply_mask;
use super::opcode::OpCode;

const MAX_PAYLOAD: usize = FrameHeader::MAX_CONTROL_PAYLOAD as usize;

/// A whole Close, Ping or Pong, its mask removed.
///
/// ```
/// use switchover::websocket::{CloseCode, CloseFrame, ControlFrame, OpCode};
///
/// let ping = ControlFrame::new(OpCode::Ping, b"are you there?").expect("it is short enough");
/// assert_eq!(ping.payload(), b"are you there?");
///
/// let close = CloseFrame::new(CloseCode::GOING_AWAY, "restart").to_frame();
/// assert_eq!(close.to_bytes(None), b"\x88\x09\x03\xe9restart");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ControlFrame {
    opcode: OpCode,
    length: u8,
    payload: [u8; MAX_PAYLOAD],
}

impl ControlFrame {
    /// The longest control frame, in bytes: two of header, four of mask, 125 of payload.
    pub const MAX_LENGTH: usize = 2 + 4 + MAX_PAYLOAD;

    /// A control frame with this payload, not masked.
    ///
    /// `None` if the opcode is not one of a control frame, or if the payload is longer than 125 bytes.
    #[must_use]
    pub fn new(opcode: OpCode, payload: &[u8]) -> Option<Self> {
        if !opcode.is_control() {
            return None;
        }
        let mut frame = Self {
            opcode,
            length: u8::try_from(payload.len()).ok()?,
            payload: [0; MAX_PAYLOAD],
        };
        frame.payload.get_mut(..payload.len())?.copy_from_slice(payload);
        Some(frame)
    }

    /// Reads the payload that follows the header of a control frame. `None` if it is not all there.
    pub(super) fn read(header: &FrameHeader, bytes: &[u8]) -> Option<Self> {
        let length = usize::try_from(header.payload_length).ok()?;
        let mut frame = Self::new(header.opcode, bytes.get(..length)?)?;
        if let Some(key) = header.mask {
            apply_mask(&mut frame.payload[..length], key, 0);
        }
        Some(frame)
    }

    /// What it is.
    #[must_use]
    pub const fn opcode(&self) -> OpCode {
        self.opcode
    }

    /// Its payload, not masked.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.payload[..usize::from(self.length)]
    }

    /// The frame as it goes over the wire, masked with `key` where a client sends it.
    #[must_use]
    pub fn to_bytes(&self, key: Option<[u8; 4]>) -> Vec<u8> {
        let header = FrameHeader {
            mask: key,
            ..FrameHeader::new(self.opcode, u64::from(self.length))
        };
        let mut bytes = Vec::with_capacity(Self::MAX_LENGTH);
        // A control frame of this type is short and whole, so this cannot fail.
        let encoded = header.encode(&mut bytes);
        debug_assert_eq!(encoded, Ok(()));
        let start = bytes.len();
        bytes.extend_from_slice(self.payload());
        apply_mask(&mut bytes[start..], key.unwrap_or_default(), 0);
        bytes
    }
}

impl fmt::Debug for ControlFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ControlFrame")
            .field("opcode", &self.opcode)
            .field("payload", &self.payload())
            .finish()
    }
}

/// What a Close frame said, to be kept: also where no endpoint should have said so.
///
/// [`ClosePayload`] is for those who have to judge a payload. This is for a log. Its `Display` is one line: the code with its
/// name, and the reason in quotes and escaped, since it is a stranger's text.
///
/// ```
/// use switchover::websocket::{CloseCode, CloseFrame};
///
/// let close = CloseFrame::read(b"\x03\xe8bye\n");
/// assert_eq!((close.code(), close.reason()), (Some(CloseCode::NORMAL_CLOSURE), "bye\n"));
/// assert_eq!(close.to_string(), r#"1000 Normal Closure "bye\n""#);
/// assert_eq!(CloseFrame::read(b"").to_string(), "no code");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CloseFrame {
    code: Option<CloseCode>,
    reason: Box<str>,
}

impl CloseFrame {
    /// A code and a reason, cut where a Close frame has no room for more.
    #[must_use]
    pub fn new(code: CloseCode, reason: &str) -> Self {
        let mut end = reason.len().min(ClosePayload::MAX_REASON_LENGTH);
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        Self {
            code: Some(code),
            reason: reason[..end].into(),
        }
    }

    /// Reads the payload of a Close frame, its mask removed. Bytes that are no UTF-8 are replaced; of a payload that is half a
    /// code nothing is left.
    #[must_use]
    pub fn read(payload: &[u8]) -> Self {
        let (code, reason) = match payload.split_first_chunk() {
            Some((code, reason)) => (Some(CloseCode(u16::from_be_bytes(*code))), reason),
            None => (None, &[][..]),
        };
        Self {
            code,
            reason: String::from_utf8_lossy(reason).into(),
        }
    }

    /// The code. `None` if the frame had none, which is what an endpoint reports as
    /// [1005](CloseCode::NO_STATUS_RECEIVED).
    #[must_use]
    pub fn code(&self) -> Option<CloseCode> {
        self.code
    }

    /// The reason; often empty.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// The frame that says so, not masked.
    #[must_use]
    pub fn to_frame(&self) -> ControlFrame {
        let code = self.code.map(|code| code.0.to_be_bytes());
        let mut payload: Vec<u8> = code.into_iter().flatten().collect();
        payload.extend_from_slice(self.reason.as_bytes());
        // A reason that was read may be longer than it was on the wire, with its replacements.
        payload.truncate(MAX_PAYLOAD);
        let mut frame = ControlFrame {
            opcode: OpCode::Close,
            length: payload.len() as u8,
            payload: [0; MAX_PAYLOAD],
        };
        frame.payload[..payload.len()].copy_from_slice(&payload);
        frame
    }
}

impl fmt::Display for CloseFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            Some(code) => write!(f, "{code}")?,
            None => f.write_str("no code")?,
        }
        if self.reason.is_empty() {
            return Ok(());
        }
        write!(f, " {:?}", self.reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_short_control_frames_are_made() {
        assert!(ControlFrame::new(OpCode::Ping, &[0; 125]).is_some());
        assert!(ControlFrame::new(OpCode::Ping, &[0; 126]).is_none());
        assert!(ControlFrame::new(OpCode::Ping, &[0; 300]).is_none());
        assert!(ControlFrame::new(OpCode::Text, b"").is_none());
    }

    #[test]
    fn a_frame_reads_back_masked_or_not() {
        for key in [None, Some([1, 2, 3, 4])] {
            for length in [0, 1, 124, 125] {
                let frame = ControlFrame::new(OpCode::Pong, &vec![7; length]).unwrap();
                let bytes = frame.to_bytes(key);
                let (header, start) = FrameHeader::decode(&bytes).unwrap().unwrap();
                assert_eq!((header.mask, header.fin), (key, true));
                assert_eq!(ControlFrame::read(&header, &bytes[start..]), Some(frame));
                assert!(bytes.len() <= ControlFrame::MAX_LENGTH);
            }
        }
    }

    #[test]
    fn a_reason_is_cut_between_characters() {
        let close = CloseFrame::new(CloseCode::GOING_AWAY, &"ü".repeat(100));
        assert_eq!(close.reason().len(), 122);
        let frame = close.to_frame();
        assert_eq!(
            ClosePayload::decode(frame.payload()).unwrap().unwrap().reason,
            close.reason()
        );
    }

    #[test]
    fn what_should_not_have_been_sent_is_kept_as_far_as_it_goes() {
        let cases: [(&[u8], &str); 4] = [
            (b"\x03", "no code"),
            (b"\x03\xed", "1005 No Status Rcvd"),
            (b"\x03\xe8\xff", "1000 Normal Closure \"\u{fffd}\""),
            (b"\xff\xffx\x1b[2J", "65535 \"x\\u{1b}[2J\""),
        ];
        for (payload, text) in cases {
            let close = CloseFrame::read(payload);
            assert_eq!(close.to_string(), text);
            assert!(close.to_frame().payload().len() <= MAX_PAYLOAD);
        }
    }
}

//! The opcode: four bits that say what a frame is (RFC 6455 5.2, 11.8).
//!
//! It must not know anything else of a frame.

use std::fmt;

/// What a frame is (RFC 6455 11.8). The codes kept for later are refused, so they have no name here.
///
/// ```
/// use switchover::websocket::OpCode;
///
/// assert_eq!(OpCode::from_bits(0x9), Some(OpCode::Ping));
/// assert_eq!(OpCode::from_bits(0x3), None);
/// assert!(OpCode::Ping.is_control());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "RFC 6455 has these")]
pub enum OpCode {
    /// More of the message that a text or binary frame began.
    Continuation,
    /// A text message, or its first part.
    Text,
    /// A binary message, or its first part.
    Binary,
    /// The sender will send nothing more. The payload is a [`ClosePayload`](super::ClosePayload).
    Close,
    /// Asks for a pong with the same payload.
    Ping,
    /// Answers a ping, or just says that the sender is there.
    Pong,
}

impl OpCode {
    /// Whether this is a control frame: short, never in parts, allowed between the parts of a message (RFC 6455 5.5).
    #[must_use]
    pub const fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }

    /// The four bits on the wire.
    #[must_use]
    pub const fn bits(self) -> u8 {
        match self {
            Self::Continuation => 0x0,
            Self::Text => 0x1,
            Self::Binary => 0x2,
            Self::Close => 0x8,
            Self::Ping => 0x9,
            Self::Pong => 0xa,
        }
    }

    /// The meaning of four bits, or `None` where RFC 6455 keeps them for later.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Option<Self> {
        match bits {
            0x0 => Some(Self::Continuation),
            0x1 => Some(Self::Text),
            0x2 => Some(Self::Binary),
            0x8 => Some(Self::Close),
            0x9 => Some(Self::Ping),
            0xa => Some(Self::Pong),
            _ => None,
        }
    }
}

impl fmt::Display for OpCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Continuation => "continuation",
            Self::Text => "text",
            Self::Binary => "binary",
            Self::Close => "close",
            Self::Ping => "ping",
            Self::Pong => "pong",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc6455_11_8_the_registered_opcodes() {
        let cases = [
            (0x0, OpCode::Continuation, false),
            (0x1, OpCode::Text, false),
            (0x2, OpCode::Binary, false),
            (0x8, OpCode::Close, true),
            (0x9, OpCode::Ping, true),
            (0xa, OpCode::Pong, true),
        ];
        for (bits, opcode, control) in cases {
            assert_eq!(OpCode::from_bits(bits), Some(opcode), "{opcode}");
            assert_eq!(opcode.bits(), bits, "{opcode}");
            assert_eq!(opcode.is_control(), control, "{opcode}");
        }
    }

    #[test]
    fn rfc6455_5_2_nothing_else_is_an_opcode() {
        for bits in (0x3..=0x7).chain(0xb..=u8::MAX) {
            assert_eq!(OpCode::from_bits(bits), None, "{bits:#x}");
        }
    }
}

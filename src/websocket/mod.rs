//! What a proxy has to know of WebSocket: the key of the opening handshake, frame headers, close codes.
//!
//! Everything here is about bytes only. Nothing here reads or writes a stream, or knows HTTP. One file for each part:
//!
//! 1. `key.rs`: `Sec-WebSocket-Key` and the `Sec-WebSocket-Accept` that proves it was understood (RFC 6455 1.3).
//! 2. `frame.rs`: one frame header to and from bytes (RFC 6455 5.2); what a frame is, by `opcode.rs`.
//! 3. `mask.rs`: the masking of a payload (RFC 6455 5.3).
//! 4. `close.rs`: the status codes of a Close frame and its payload (RFC 6455 5.5.1, 7.4).
//! 5. `control.rs`: a whole control frame, and what a Close frame said (RFC 6455 5.5).
//! 6. `scanner.rs`: where the frames of a stream begin and end (RFC 6455 5.4).
//!
//! ```
//! use switchover::websocket::{CloseCode, ClosePayload, FrameHeader, OpCode};
//!
//! // "I am going away", as a server says it.
//! let mut payload = Vec::new();
//! ClosePayload::new(CloseCode::GOING_AWAY, "restart").encode(&mut payload)?;
//! let mut wire = Vec::new();
//! FrameHeader::new(OpCode::Close, payload.len() as u64).encode(&mut wire)?;
//! wire.extend_from_slice(&payload);
//! assert_eq!(wire, b"\x88\x09\x03\xe9restart");
//!
//! // The same bytes, read back.
//! let (header, length) = FrameHeader::decode(&wire)?.expect("the header is whole");
//! assert_eq!(header.opcode, OpCode::Close);
//! let close = ClosePayload::decode(&wire[length..])?.expect("the payload is not empty");
//! assert_eq!(close.code.to_string(), "1001 Going Away");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod close;
mod control;
mod deflate;
mod frame;
mod key;
mod mask;
mod opcode;
mod scanner;

pub use close::{CloseCode, ClosePayload, ClosePayloadError};
pub use control::{CloseFrame, ControlFrame};
pub use deflate::DeflateParameters;
pub use frame::{FrameError, FrameHeader};
pub use key::{KeyError, SecWebSocketAccept, SecWebSocketKey};
pub use mask::apply_mask;
pub use opcode::OpCode;
pub use scanner::{FrameScanner, Scanned};

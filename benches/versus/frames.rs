//! The messages: WebSocket frames, made once, so that a proxy that looks at frames can be given the same loads as one
//! that does not.

use std::sync::atomic::{AtomicUsize, Ordering};

use switchover::websocket::SecWebSocketKey;

static BULK_PAYLOAD: AtomicUsize = AtomicUsize::new(64 * 1024);

/// The payload of a frame of the bulk loads.
pub(crate) fn bulk_payload() -> usize {
    BULK_PAYLOAD.load(Ordering::Relaxed)
}

/// Before any load.
pub(crate) fn set_bulk_payload(bytes: usize) {
    BULK_PAYLOAD.store(bytes, Ordering::Relaxed);
}

/// A client's key. The same one each time: nothing here is secret.
pub(crate) fn key() -> SecWebSocketKey {
    SecWebSocketKey::generate(*b"versus, the same")
}

/// A binary message as a client sends it (RFC 6455, section 5.2). Masked, with a key of zeros: the payload stays
/// as it is, and nobody has to compute anything.
pub(crate) fn from_client(payload: usize) -> Vec<u8> {
    frame(payload, 0x80)
}

/// A binary message as a server sends it.
pub(crate) fn from_server(payload: usize) -> Vec<u8> {
    frame(payload, 0)
}

fn frame(payload: usize, mask_bit: u8) -> Vec<u8> {
    let mut frame = vec![0x82];
    match payload {
        0..126 => frame.push(mask_bit | payload.to_le_bytes()[0]),
        126..65536 => {
            frame.push(mask_bit | 126);
            frame.extend_from_slice(&payload.to_be_bytes()[6..]);
        }
        _ => {
            frame.push(mask_bit | 127);
            frame.extend_from_slice(&payload.to_be_bytes());
        }
    }
    if mask_bit != 0 {
        frame.extend_from_slice(&[0; 4]);
    }
    frame.resize(frame.len() + payload, b'.');
    frame
}

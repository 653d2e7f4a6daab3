//! The frame scanner: what it finds does not depend on how the bytes are cut, and what it accepts is written the same.

use switchover::Side;
use switchover::websocket::{FrameError, FrameScanner, Scanned};

use super::pieces;

/// What one reading of the bytes finds.
#[derive(Debug, PartialEq)]
pub(crate) struct Found {
    /// Headers and control frames, in order.
    pub(crate) frames: Vec<Scanned>,
    /// How many bytes are frames, as far as they are sound.
    pub(crate) consumed: usize,
    pub(crate) error: Option<FrameError>,
}

/// Reads bytes that arrive in pieces, as far as they go.
pub(crate) fn read(sender: Side, reserved_bits: [bool; 3], pieces: &[&[u8]]) -> Found {
    let mut scanner = FrameScanner::new(sender).reserved_bits(reserved_bits);
    let (mut frames, mut consumed, mut waiting) = (Vec::new(), 0, Vec::new());
    for piece in pieces {
        waiting.extend_from_slice(piece);
        loop {
            match scanner.advance(&waiting) {
                Ok(Some((length, scanned))) => {
                    assert!(0 < length && length <= waiting.len());
                    if scanned != Scanned::Payload {
                        frames.push(scanned);
                    }
                    consumed += length;
                    waiting.drain(..length);
                }
                Ok(None) => break,
                Err(error) => {
                    assert!(
                        scanner.is_at_boundary(),
                        "a frame that is refused begins at a boundary"
                    );
                    let error = Some(error);
                    return Found {
                        frames,
                        consumed,
                        error,
                    };
                }
            }
        }
        // A header and a control frame with its payload: nothing longer waits.
        assert!(waiting.len() < 14 + 125, "{} bytes wait", waiting.len());
    }
    Found {
        frames,
        consumed,
        error: None,
    }
}

pub(crate) fn scanner(data: &[u8]) {
    let Some((&first, data)) = data.split_first() else {
        return;
    };
    let sender = if first & 1 == 0 {
        Side::Downstream
    } else {
        Side::Upstream
    };
    let reserved_bits = [first & 2 != 0, first & 4 != 0, first & 8 != 0];
    let whole = read(sender, reserved_bits, &[data]);
    assert_eq!(
        whole,
        read(sender, reserved_bits, &pieces(data)),
        "the frames depend on how the bytes are cut"
    );
    for frame in &whole.frames {
        match frame {
            Scanned::Header(header) => {
                let mut bytes = Vec::new();
                header.encode(&mut bytes).expect("a header that was accepted");
                let again = switchover::websocket::FrameHeader::decode(&bytes);
                assert_eq!(again, Ok(Some((*header, bytes.len()))));
            }
            Scanned::Control(frame) => {
                let bytes = frame.to_bytes(None);
                assert!(frame.payload().len() <= 125 && bytes.ends_with(frame.payload()));
            }
            Scanned::Payload => {}
        }
    }
}

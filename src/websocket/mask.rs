//! A client's payload is combined with a four-byte key, so that the client cannot choose the bytes that a machine on the way sees
//! (RFC 6455 5.3, 10.3).
//!
//! It must not know frames, nor who has to mask.

/// Masks a payload, or takes the mask off: it is the same operation (RFC 6455 5.3).
///
/// `offset` is the place of `payload[0]` within the frame's payload, for a payload that comes in pieces.
///
/// ```
/// use switchover::websocket::apply_mask;
///
/// let key = [0x37, 0xfa, 0x21, 0x3d];
/// let mut payload = *b"Hello";
/// let (start, end) = payload.split_at_mut(3);
/// apply_mask(start, key, 0);
/// apply_mask(end, key, 3);
/// assert_eq!(payload, [0x7f, 0x9f, 0x4d, 0x51, 0x58]);
/// ```
pub fn apply_mask(payload: &mut [u8], mut key: [u8; 4], offset: u64) {
    // Turn the key so that its first byte is for payload[0].
    key.rotate_left((offset % 4) as usize);
    // Sixteen bytes at a time: with a length that the compiler knows, that is one instruction.
    let wide: [u8; 16] = std::array::from_fn(|index| key[index % 4]);
    let mut blocks = payload.chunks_exact_mut(wide.len());
    for block in &mut blocks {
        combine(block, wide);
    }
    combine(blocks.into_remainder(), wide);
}

fn combine(bytes: &mut [u8], key: [u8; 16]) {
    for (byte, key) in bytes.iter_mut().zip(key) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn masking_goes_byte_by_byte(payload: Vec<u8>, key: [u8; 4], offset: u64) {
            let mut masked = payload.clone();
            apply_mask(&mut masked, key, offset);
            // RFC 6455 5.3: octet i of the output is octet i of the input XOR octet (i mod 4) of the key.
            for (index, (masked, plain)) in masked.iter().zip(&payload).enumerate() {
                let octet = (offset % 4) as usize + index;
                prop_assert_eq!(*masked, plain ^ key[octet % 4]);
            }
            apply_mask(&mut masked, key, offset);
            prop_assert_eq!(masked, payload);
        }
    }
}

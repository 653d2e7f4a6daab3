//! CRC32c (RFC 4960, appendix B; the polynomial of Castagnoli), bit by bit: headers are short and rare.

/// The checksum of these bytes, one part after the other.
pub(super) fn crc32c<const N: usize>(parts: [&[u8]; N]) -> u32 {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    let bytes = parts.into_iter().flatten();
    let remainder = bytes.fold(u32::MAX, |remainder, &byte| {
        (0..8).fold(remainder ^ u32::from(byte), |remainder, _| {
            let shifted = remainder >> 1;
            if remainder & 1 == 1 {
                shifted ^ POLYNOMIAL
            } else {
                shifted
            }
        })
    });
    !remainder
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_checksums() {
        assert_eq!(crc32c([]), 0);
        assert_eq!(crc32c([b"123456789"]), 0xe306_9283);
        assert_eq!(crc32c([b"1234", b"", b"56789"]), 0xe306_9283);
        // RFC 3720, appendix B.4.
        assert_eq!(crc32c([&[0; 32]]), 0x8a91_36aa);
        assert_eq!(crc32c([&[0xff; 32]]), 0x62a8_ab43);
    }
}

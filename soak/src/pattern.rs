//! The bytes that are sent: each depends on its position and on the stream that it is of, so a byte that is lost, repeated or of
//! another tunnel is noticed where it arrives.

/// The byte of a stream at a position.
const fn byte(stream: u64, at: u64) -> u8 {
    (at.wrapping_mul(31) ^ (at >> 8).wrapping_mul(17) ^ stream.wrapping_mul(101)) as u8
}

/// The bytes of a stream from a position on.
pub(crate) fn bytes(stream: u64, from: u64, length: usize) -> Vec<u8> {
    (from..from + length as u64).map(|at| byte(stream, at)).collect()
}

/// Whether these are the bytes of the stream from the position on.
pub(crate) fn matches(stream: u64, from: u64, bytes: &[u8]) -> bool {
    bytes
        .iter()
        .zip(from..)
        .all(|(found, at)| *found == byte(stream, at))
}

/// Numbers that look random, by xorshift: the same seed gives the same.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) const fn between(&mut self, low: u64, high: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        low + self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % (high - low + 1)
    }
}

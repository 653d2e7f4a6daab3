//! Everything random here follows from a seed. A few lines suffice: statistical quality does not matter.

/// A sequence of numbers that a seed determines.
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    /// `purpose` makes sequences of the same seed differ.
    pub(super) fn new(seed: u64, purpose: u64) -> Self {
        let mut random = Random(seed ^ purpose.wrapping_mul(0xA076_1D64_78BD_642F));
        random.next();
        random
    }

    fn next(&mut self) -> u64 {
        // A counter through a mixing function: neighbouring seeds give unrelated sequences.
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 32)).wrapping_mul(0xE703_7ED1_A0B4_28DB);
        mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0x8EBC_6AF0_9C88_C6E3);
        mixed ^ (mixed >> 32)
    }

    /// A number from 0 up to, but not including, `end`, which must not be 0.
    pub(super) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}

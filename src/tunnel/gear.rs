//! The law of when a direction splices and when it copies: bulk is spliced, messages are copied.
//!
//! Splicing a small message costs more than copying it, and copying bulk costs more than splicing it. Knows sizes
//! only.

use super::scratch::SCRATCH_SIZE;

/// So many full reads in a row are bulk. One may be a large message.
const FULL_READS: u8 = 2;
/// So many short transfers in a row are messages again.
const SHORT_TRANSFERS: u8 = 8;
/// A transfer below this is short.
const SHORT: usize = 16 * 1024;

/// How a direction moves its bytes, and what speaks for moving them the other way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gear {
    Copying {
        full_reads: u8,
    },
    Splicing {
        short_transfers: u8,
    },
    /// Splicing is not wanted, or has turned out not to be possible here.
    OnlyCopying,
}

impl Gear {
    pub(super) fn new(may_splice: bool) -> Self {
        if may_splice {
            Gear::COPYING
        } else {
            Gear::OnlyCopying
        }
    }

    const COPYING: Gear = Gear::Copying { full_reads: 0 };

    pub(super) fn is_splicing(self) -> bool {
        matches!(self, Gear::Splicing { .. })
    }

    /// A read has brought so many bytes.
    pub(super) fn copied(&mut self, count: usize) {
        if let Gear::Copying { full_reads } = self {
            *full_reads = if count == SCRATCH_SIZE { *full_reads + 1 } else { 0 };
            if *full_reads == FULL_READS {
                *self = Gear::Splicing { short_transfers: 0 };
            }
        }
    }

    /// A splice has brought so many bytes.
    #[cfg_attr(not(all(target_os = "linux", feature = "splice")), allow(dead_code))]
    pub(super) fn spliced(&mut self, count: usize) {
        if let Gear::Splicing { short_transfers } = self {
            *short_transfers = if count < SHORT { *short_transfers + 1 } else { 0 };
            if *short_transfers == SHORT_TRANSFERS {
                *self = Gear::COPYING;
            }
        }
    }
}

/// What came of an attempt to fill a pipe.
#[cfg_attr(not(all(target_os = "linux", feature = "splice")), allow(dead_code))]
pub(super) enum Filled<P> {
    /// So many bytes are in the pipe.
    With(P, usize),
    /// The reader has nothing; a waker is registered.
    Waiting,
    /// The reader had nothing after all: try again.
    Again,
    /// The reader has ended.
    End,
    /// There is no pipe at the moment, or bytes stand in front of the reader.
    NotNow,
    /// Splicing cannot be done here.
    Impossible,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bulk_is_spliced_and_messages_are_copied() {
        let mut gear = Gear::new(true);
        for count in [SCRATCH_SIZE, 100, SCRATCH_SIZE, SCRATCH_SIZE - 1, SCRATCH_SIZE] {
            gear.copied(count);
            assert!(!gear.is_splicing());
        }
        gear.copied(SCRATCH_SIZE);
        assert!(gear.is_splicing());

        for count in [1, 2, 3, 4, 5, 6, 7, SHORT, 1, 2, 3, 4, 5, 6, 7] {
            gear.spliced(count);
            assert!(gear.is_splicing());
        }
        gear.spliced(SHORT - 1);
        assert_eq!(gear, Gear::COPYING);
    }

    #[test]
    fn a_direction_that_only_copies_stays_so() {
        let mut gear = Gear::new(false);
        for _ in 0..10 {
            gear.copied(SCRATCH_SIZE);
        }
        assert_eq!(gear, Gear::OnlyCopying);
    }
}

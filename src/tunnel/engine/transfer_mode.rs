//! When a direction splices and when it copies: by the mean size of its recent transfers.
//!
//! Splicing a small message costs more than copying it, and copying bulk costs more than splicing it. Where they meet depends on
//! the processor (`benches/transfers.rs`): a transfer of 16 KiB costs 0.8 to 1.0 of its copy on an Intel Xeon and 1.0 to 1.2 on an
//! AMD EPYC, one of 32 KiB 0.75 and 0.72. Much bulk is written in pieces of 16 KiB, so those are spliced.
//!
//! Knows sizes. It must not know streams or pipes.

use std::io;

/// Above this mean a direction splices.
const ENTER: u16 = 14 * 1024;
/// Below this mean it copies again. Far enough from [`ENTER`] that one size does not lead to and fro.
const LEAVE: u16 = 7 * 1024;
/// A transfer has this part in the mean.
const PART: i32 = 4;
/// A transfer counts for so much at most: one large message among small ones is no bulk.
const MOST: u16 = 32 * 1024;

/// How a direction moves its bytes, and the mean size of its recent transfers. One counts for [`MOST`] at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::tunnel) enum TransferMode {
    Copy {
        mean: u16,
    },
    Splice {
        mean: u16,
    },
    /// Splicing is not wanted, or has turned out not to be possible here.
    OnlyCopy,
}

impl TransferMode {
    pub(in crate::tunnel) fn new(may_splice: bool) -> Self {
        match may_splice {
            true => TransferMode::Copy { mean: 0 },
            false => TransferMode::OnlyCopy,
        }
    }

    pub(in crate::tunnel) fn is_splice(self) -> bool {
        matches!(self, TransferMode::Splice { .. })
    }

    /// A read has brought so many bytes.
    pub(in crate::tunnel) fn copied(&mut self, count: usize) {
        if let TransferMode::Copy { mean } = self {
            *mean = next_mean(*mean, count);
            if *mean > ENTER {
                *self = TransferMode::Splice { mean: *mean };
            }
        }
    }

    /// A splice has brought so many bytes.
    #[cfg_attr(not(all(target_os = "linux", feature = "splice")), allow(dead_code))]
    pub(in crate::tunnel) fn spliced(&mut self, count: usize) {
        if let TransferMode::Splice { mean } = self {
            *mean = next_mean(*mean, count);
            if *mean < LEAVE {
                *self = TransferMode::Copy { mean: *mean };
            }
        }
    }
}

fn next_mean(mean: u16, count: usize) -> u16 {
    let count = u16::try_from(count).unwrap_or(MOST).min(MOST);
    let next = i32::from(mean) + (i32::from(count) - i32::from(mean)) / PART;
    // It is between the two.
    u16::try_from(next).unwrap_or(u16::MAX)
}

/// What came of an attempt to fill a pipe.
#[cfg_attr(not(all(target_os = "linux", feature = "splice")), allow(dead_code))]
pub(in crate::tunnel) enum Filled<P> {
    /// So many bytes are in the pipe.
    With(P, usize),
    /// The reader has nothing; a waker is registered.
    Waiting,
    /// The reader had nothing after all: try again.
    Again,
    /// The reader has ended.
    End,
    /// There is no pipe at the moment, or bytes stand in front of the reader, or some that cannot be spliced.
    NotNow,
    /// Splicing cannot be done here.
    Impossible,
}

/// What came of a look at bytes that have not been read.
#[cfg_attr(not(all(target_os = "linux", feature = "splice")), allow(dead_code))]
pub(in crate::tunnel) enum Peeked {
    /// So many are there.
    Bytes(usize),
    /// The reader has nothing; a waker is registered.
    Waiting,
    /// The reader had nothing after all: try again.
    Again,
    /// It is to be read instead.
    NotNow,
    /// The reader has failed. A socket says so once, so nobody else learns of it.
    Failed(io::Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: usize = 1024;

    /// After how many transfers of a size in a row the other mode is taken, if it is.
    fn changes(mut mode: TransferMode, size: usize) -> Option<usize> {
        let from = mode.is_splice();
        (1..=1000).find(|_| {
            mode.copied(size);
            mode.spliced(size);
            mode.is_splice() != from
        })
    }

    #[test]
    fn bulk_is_spliced_and_messages_are_copied() {
        let copy = TransferMode::new(true);
        for (size, after) in [
            (1, None),
            (4 * KIB, None),
            (12 * KIB, None),
            (14 * KIB, None),
            (16 * KIB, Some(8)),
            (24 * KIB, Some(4)),
            (32 * KIB, Some(3)),
            (64 * KIB, Some(3)),
        ] {
            assert_eq!(changes(copy, size), after, "{size}");
        }
        let splice = TransferMode::Splice { mean: MOST };
        for (size, after) in [
            (1, Some(6)),
            (4 * KIB, Some(8)),
            (6 * KIB, Some(12)),
            (7 * KIB, None),
            (16 * KIB, None),
            (512 * KIB, None),
        ] {
            assert_eq!(changes(splice, size), after, "{size}");
        }
    }

    #[test]
    fn one_large_message_is_no_bulk_and_one_small_one_does_not_end_it() {
        let mut mode = TransferMode::new(true);
        for count in [64 * KIB, 100, 200, 64 * KIB, 100, 200] {
            mode.copied(count);
            assert!(!mode.is_splice());
        }
        let mut mode = TransferMode::Splice { mean: MOST };
        for count in [1, 512 * KIB, 1, 1, 512 * KIB, 1, 1, 512 * KIB] {
            mode.spliced(count);
            assert!(mode.is_splice());
        }
    }

    #[test]
    fn a_direction_that_only_copies_stays_so() {
        let mut mode = TransferMode::new(false);
        for _ in 0..10 {
            mode.copied(64 * KIB);
        }
        assert_eq!(mode, TransferMode::OnlyCopy);
    }
}

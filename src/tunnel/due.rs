//! The law of what a deadline means: which end of the tunnel, or none yet.
//!
//! Values only.

use super::end::End;
use crate::side::Side;

/// What happens at a deadline. Small, since it is worked out with every message.
#[derive(Clone, Copy)]
pub(super) enum Due {
    Idle,
    Lifetime,
    HalfCloseTimeout(Side),
    WriteTimeout(Side),
    /// The time for ending is over.
    Leave,
    /// The side is asked whether it is still there.
    Ping(Side),
    /// The side has not answered that.
    PingTimeout(Side),
}

impl Due {
    /// The end that it means. None if it means none.
    pub(super) fn end(self) -> Option<End> {
        Some(match self {
            Due::Idle => End::Idle,
            Due::Lifetime => End::Lifetime,
            Due::HalfCloseTimeout(open) => End::HalfCloseTimeout { open },
            Due::WriteTimeout(side) => End::WriteTimeout { side },
            Due::Leave => End::Drained,
            Due::Ping(_) => return None,
            Due::PingTimeout(side) => End::PingTimeout { side },
        })
    }
}

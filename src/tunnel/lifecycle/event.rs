//! What happens to a tunnel, and what is to be done about it.
//!
//! Values only.

use crate::side::Side;
use crate::tunnel::end::{End, Operation};
use crate::tunnel::websocket::Refusal;

/// How a tunnel has ended.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::tunnel) enum Outcome<C> {
    Ended(End),
    Failed { side: Side, cause: C },
}

/// Something that has happened.
#[derive(Debug)]
pub(in crate::tunnel) enum Event<C> {
    /// The direction from this side reads no more.
    Stopped(Side),
    /// The stream of this side has failed.
    Failed {
        side: Side,
        operation: Operation,
        /// It had been closed by its peer already.
        is_not_connected: bool,
        cause: C,
    },
    /// This side has sent what does not go on.
    Refused(Side, Refusal),
    /// Somebody wants this end: a drain, a request for this tunnel, or its expiry.
    EndWanted(End),
    /// What the directions know of Closes may have changed.
    Moved,
    /// Both directions have ended. Whether a side's stream can be made to end in a reset.
    BothEnded { can_reset: [bool; 2] },
    /// Both streams have given all that they had, while settling.
    Quiet,
    /// This deadline has passed.
    Deadline(Due),
}

/// What is to be done. A direction has the name of the side that it comes from.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::tunnel) enum Action<C> {
    /// The direction reads no more, and delivers what was read.
    Stop(Side),
    /// The direction ends at once: its writer is of no use.
    Abandon(Side),
    /// Nothing more is awaited of this side.
    Forget(Side),
    /// A Close for this side, because of this end.
    Close { to: Side, end: End },
    /// The same, in the place of the other side's Close.
    CloseInPlace { to: Side, end: End },
    /// A Close in the place of another does not wait any longer.
    CloseNow,
    /// A ping for this side.
    Ping(Side),
    /// What has come in the meantime is read and forgotten, once.
    Discard,
    /// The tunnel has ended.
    End(Outcome<C>),
}

/// What happens at a deadline. Small, since it is worked out with every message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::tunnel) enum Due {
    Idle,
    Lifetime,
    HalfCloseTimeout(Side),
    WriteTimeout(Side),
    /// The time for ending is over.
    Drop,
    /// A Close has waited long enough for the place of the other side's.
    Place,
    /// The side is asked whether it is still there.
    Ping(Side),
    /// The side has not answered that.
    PingTimeout(Side),
}

/// How a direction shuts its writer down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::tunnel) enum ShutdownMode {
    /// The stream ends in order.
    Orderly,
    /// Nothing is sent: dropping the stream says it, or an orderly end would be a lie.
    Silent,
}

//! What the two directions of a tunnel have come to, and the limits that hold for them.
//!
//! Values only.

use std::time::Instant;

use crate::side::Side;
use crate::tunnel::config::TunnelConfig;
use crate::tunnel::websocket::WebSocketSettings;

/// The limits that hold, and since when.
pub(in crate::tunnel) struct Limits<'a> {
    pub(in crate::tunnel) started: Instant,
    pub(in crate::tunnel) tunnel: &'a TunnelConfig,
    /// Of a tunnel that knows its frames.
    pub(in crate::tunnel) websocket: Option<&'a WebSocketSettings>,
}

/// What the two directions have come to, by the side that they come from.
pub(in crate::tunnel) struct View(pub(in crate::tunnel) [Direction; 2]);

#[derive(Clone, Copy)]
pub(in crate::tunnel) struct Direction {
    pub(in crate::tunnel) moved_at: Instant,
    /// Its writer takes no bytes.
    pub(in crate::tunnel) is_waiting: bool,
    /// Nothing is read, because the writer has not done its part, or because a decision is waited for.
    pub(in crate::tunnel) is_blocked: bool,
    /// Bytes that were read are not out.
    pub(in crate::tunnel) has_tail: bool,
    pub(in crate::tunnel) has_stopped: bool,
    pub(in crate::tunnel) has_ended: bool,
    pub(in crate::tunnel) frames: Option<Frames>,
}

/// What a direction knows of its frames.
#[derive(Clone, Copy)]
pub(in crate::tunnel) struct Frames {
    /// A Close has gone out, a peer's or our own.
    pub(in crate::tunnel) is_closed: bool,
    /// The sender has sent its Close.
    pub(in crate::tunnel) has_sender_closed: bool,
    /// Nothing is to be expected of the sender any more.
    pub(in crate::tunnel) is_done: bool,
    /// A Close of the tunnel's own has gone out.
    pub(in crate::tunnel) has_injected_close: bool,
    /// The receiver can be sent a Close because the sender has gone without one.
    pub(in crate::tunnel) can_close_abnormally: bool,
    /// A Close waits for the place of the sender's.
    pub(in crate::tunnel) awaits_place: bool,
    /// A frame of the tunnel's own waits for its place.
    pub(in crate::tunnel) has_queued: bool,
    /// Until when the sender is not read, because a frame waits for its rate.
    pub(in crate::tunnel) waits_until: Option<Instant>,
    pub(in crate::tunnel) last_read_at: Instant,
    pub(in crate::tunnel) pinged_at: Option<Instant>,
    /// How many bytes the receiver may not have read that went out before the last ping.
    pub(in crate::tunnel) before_ping: u64,
}

impl View {
    pub(super) fn from(&self, side: Side) -> &Direction {
        &self.0[side as usize]
    }

    pub(super) fn frames(&self, side: Side, is: impl FnOnce(&Frames) -> bool) -> bool {
        self.from(side).frames.as_ref().is_some_and(is)
    }

    pub(super) fn moved_at(&self) -> Instant {
        // What waits for its rate is not idle.
        let moved_at = |direction: &Direction| {
            let waits_until = direction.frames.as_ref().and_then(|frames| frames.waits_until);
            waits_until.map_or(direction.moved_at, |at| at.max(direction.moved_at))
        };
        moved_at(&self.0[0]).max(moved_at(&self.0[1]))
    }
}

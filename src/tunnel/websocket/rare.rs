//! What few directions have to keep of their frames: made with the first of it, so that an idle tunnel does not pay for it.
//!
//! Values only.

use std::ops::{Deref, DerefMut};

use bytes::Bytes;
use tokio::time::Instant;

use super::injected::Pings;
use super::limits::Limiter;
use super::output::Insertions;
use super::{FrameCounts, Injected, Own, Refusal, RoundTrips};
use crate::websocket::CloseFrame;

/// A value that is nothing until it is written to. To read it makes nothing.
pub(super) struct Lazy<T>(Option<Box<T>>);

/// What there is of it as long as there is nothing.
pub(super) trait Nothing: Default + 'static {
    const NOTHING: &'static Self;
}

impl<T> Lazy<T> {
    pub(super) const NOTHING: Self = Lazy(None);

    /// What there is, if there is something.
    pub(super) fn get(&self) -> Option<&T> {
        self.0.as_deref()
    }

    /// To change it only if there is something.
    pub(super) fn get_mut(&mut self) -> Option<&mut T> {
        self.0.as_deref_mut()
    }
}

impl<T> Default for Lazy<T> {
    fn default() -> Self {
        Lazy::NOTHING
    }
}

impl<T: Nothing> Deref for Lazy<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_deref().unwrap_or(T::NOTHING)
    }
}

impl<T: Nothing> DerefMut for Lazy<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.get_or_insert_default()
    }
}

/// Of a direction in which frames of the tunnel's own go, or whose sender is sent pings.
#[derive(Default)]
pub(super) struct Extra {
    /// A frame of the tunnel's own that goes out at the next boundary.
    pub(super) queued: Option<Box<Injected>>,
    pub(super) insertions: Insertions,
    /// The pings that the sender is sent, in the other direction.
    pub(super) pings: Pings,
    /// When a ping was last sent in this direction.
    pub(super) pinged_at: Option<Instant>,
    /// That ping was not held up, nor is its answer.
    pub(super) is_ping_timed: bool,
    /// The last ping that the sender was sent has been answered, and the time has not been taken.
    pub(super) is_answered: bool,
    /// That ping has been answered.
    pub(super) is_ping_read: bool,
    /// How many KiB went out before that ping and after the last one that had been answered by then, at most 255.
    pub(super) before_ping: u8,
    /// How many KiB had gone out before it in all.
    pub(super) ping_place: u32,
    pub(super) round_trips: RoundTrips,
    pub(super) rare: Lazy<Rare>,
}

impl Extra {
    /// Whether what the sender sends goes on as it comes: nothing is to be put in, held back, limited or decided, and nothing has ended.
    pub(super) fn is_plain(&self) -> bool {
        self.queued.is_none() && !self.is_answered && self.rare.get().is_none_or(Rare::is_plain)
    }
}

impl Rare {
    fn is_plain(&self) -> bool {
        // What waits for its rate has a limiter.
        let is_open = self.from_sender.is_none() && self.sent.is_none() && self.refusal.is_none();
        is_open && self.held.is_none() && self.limiter.is_none() && self.own.is_none()
    }
}

/// Of a direction that has limits, a tap or a handle, or that has closed, or holds something back.
#[derive(Default)]
pub(super) struct Rare {
    /// What was read of a header or of a control frame, until the rest is there: at most 130 bytes. Where a frame waits for its
    /// rate, all that was read from it on: at most 64 KiB and that. So what went out ends within a payload or between two frames.
    pub(super) held: Option<Bytes>,
    /// What the sender's Close said. It went on, unless the tunnel's own went before it.
    pub(super) from_sender: Option<Box<CloseFrame>>,
    /// What the tunnel's own Close said.
    pub(super) sent: Option<Box<CloseFrame>>,
    /// Why what the sender sends does not go on any more.
    pub(super) refusal: Option<Refusal>,
    /// Not where there are no limits.
    pub(super) limiter: Option<Box<Limiter>>,
    /// Until when what is held waits for its rate.
    pub(super) waits_until: Option<Instant>,
    /// What the caller decides and sends.
    pub(super) own: Option<Box<Own>>,
    /// What was counted, where that is more than messages of one kind.
    pub(super) counts: Option<Box<FrameCounts>>,
}

impl Extra {
    /// A ping goes out in this direction, behind so many KiB.
    pub(super) fn note_ping(&mut self, now: Instant, place: u32) {
        let unanswered = match self.is_ping_read {
            true => 0,
            false => self.before_ping.into(),
        };
        let before = place.wrapping_sub(self.ping_place).saturating_add(unanswered);
        self.before_ping = u8::try_from(before).unwrap_or(u8::MAX);
        (self.ping_place, self.is_ping_read) = (place, false);
        (self.pinged_at, self.is_ping_timed) = (Some(now), true);
    }
}

impl Nothing for Extra {
    const NOTHING: &'static Self = &Extra {
        queued: None,
        insertions: Insertions::NONE,
        pings: Pings::NONE,
        pinged_at: None,
        is_ping_timed: false,
        is_answered: false,
        is_ping_read: false,
        before_ping: 0,
        ping_place: 0,
        round_trips: RoundTrips::NONE,
        rare: Lazy::NOTHING,
    };
}

impl Nothing for Rare {
    const NOTHING: &'static Self = &Rare {
        held: None,
        from_sender: None,
        sent: None,
        refusal: None,
        limiter: None,
        waits_until: None,
        own: None,
        counts: None,
    };
}

#[cfg(all(test, target_pointer_width = "64"))]
mod tests {
    use super::super::Framed;
    use super::*;

    #[test]
    fn an_idle_direction_is_small_and_one_with_pings_is_little_larger() {
        // With the 8 bytes of an allocator's own these are 80, 112 and 144.
        assert_eq!(size_of::<Framed>(), 72);
        assert_eq!(size_of::<Extra>(), 104);
        assert!(size_of::<Rare>() <= 136);
    }
}

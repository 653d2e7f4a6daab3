//! The states of a tunnel.
//!
//! Values only: the table of transitions is at the head of `lifecycle.rs`.

use std::time::Instant;

use super::Outcome;
use crate::side::Side;
use crate::tunnel::end::End;

pub(super) enum State<C> {
    /// Both directions for themselves.
    Running {
        first: Option<Side>,
    },
    /// Nothing is read any more; what was read is delivered. Boxed, as all that is rare: every tunnel has room for what is not.
    Draining(Box<Draining>),
    /// The same of a tunnel that knows its frames: each side is sent a Close.
    Closing(Box<Closing<C>>),
    /// Both sides have sent a Close, and the stream of one has failed since: what is left of what it had sent is delivered.
    Closed(Box<Closed>),
    /// The stream of one side has failed; what it had sent is delivered.
    Failing(Box<Failing<C>>),
    /// Nothing left to move; the kernel gets a moment.
    Settling(Box<Settling<C>>),
    Ended,
}

pub(super) struct Draining {
    pub(super) since: Instant,
    pub(super) end: End,
}

pub(super) struct Closed {
    pub(super) since: Instant,
    pub(super) first: Side,
}

pub(super) struct Failing<C> {
    pub(super) since: Instant,
    pub(super) side: Side,
    pub(super) cause: C,
}

pub(super) struct Settling<C> {
    pub(super) until: Instant,
    pub(super) outcome: Outcome<C>,
}

pub(super) struct Closing<C> {
    pub(super) since: Instant,
    pub(super) end: End,
    /// Of the stream whose failure has ended the tunnel.
    pub(super) cause: Option<C>,
    /// Until when the sides may answer, once both have been sent a Close.
    pub(super) answers_until: Option<Instant>,
    /// Until when a Close may go out that has waited in vain for the other side's.
    pub(super) last_until: Option<Instant>,
    /// Both directions have ended.
    pub(super) settles_until: Option<Instant>,
}

impl<C> Closing<C> {
    pub(super) fn new(now: Instant, end: End, cause: Option<C>) -> Self {
        Closing {
            since: now,
            end,
            cause,
            answers_until: None,
            last_until: None,
            settles_until: None,
        }
    }
}

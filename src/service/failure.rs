//! A failure keeps its phase, side and cause on its way through hyper, which knows none of them.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use crate::connect::{AttemptOutcome, Attempts};
use crate::error::{Cause, Error, Phase};
use crate::handshake::BadSwitch;
use crate::http1::ChunkedError;
use crate::side::Side;

/// An [`Error`] on its way through hyper, to be found again by [`Failure::within`].
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) error: Arc<Error>,
    /// On a connection from the pool that the upstream has closed instead of an answer.
    is_stale: bool,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure {
            error: Arc::new(error),
            is_stale: false,
        }
    }
}

impl Failure {
    pub(super) fn new(phase: Phase, cause: impl Into<Cause>) -> Self {
        Failure::from(Error::new(phase, Side::Upstream, cause))
    }

    /// A connection from the pool that has ended without a byte of an answer: the upstream had closed it, as it may, when the
    /// request was sent.
    pub(super) fn stale() -> Self {
        Failure {
            is_stale: true,
            ..Failure::new(Phase::ResponseHead, Cause::Closed)
        }
    }

    /// An upstream that lets the relay wait for longer than this.
    pub(super) fn late(limit: Duration) -> Self {
        Failure::new(Phase::ResponseHead, Cause::TimedOut(limit))
    }

    /// A 101 to a request that asked for no upgrade.
    pub(super) fn unasked_switch() -> Self {
        Failure::unusable(BadSwitch::Unasked)
    }

    /// A client that stops in the middle of its request's body, leaves, or breaks the chunked coding.
    pub(super) fn of_client(error: &(dyn StdError + 'static), limit: Duration) -> Self {
        let cause = Failure::cause_of_client(error, limit);
        Failure::from(Error::new(Phase::Request, Side::Downstream, cause))
    }

    /// A request's body that turns out to be larger than it may be.
    pub(super) fn body_too_large(limit: u64) -> Self {
        let cause = Cause::BodyTooLarge(limit);
        Failure::from(Error::new(Phase::Request, Side::Downstream, cause))
    }

    pub(super) fn cause_of_client(error: &(dyn StdError + 'static), limit: Duration) -> Cause {
        let Some(io) = source_of::<io::Error>(error) else {
            return Cause::Closed;
        };
        let wrapped = io.get_ref();
        match wrapped.and_then(|inner| inner.downcast_ref::<ChunkedError>()) {
            Some(chunked) => Cause::Body(*chunked),
            None if io.kind() == io::ErrorKind::TimedOut => Cause::TimedOut(limit),
            None => Cause::Closed,
        }
    }

    /// A response that cannot be relayed.
    pub(super) fn unusable(why: BadSwitch) -> Self {
        Failure::new(Phase::ResponseHead, why)
    }

    /// The status of the answer. A client whose request cannot be read to its end is at fault itself, if it is still there.
    pub(super) fn status(&self) -> StatusCode {
        self.error.status().unwrap_or(match self.error.side() {
            Side::Downstream => StatusCode::BAD_REQUEST,
            Side::Upstream => StatusCode::BAD_GATEWAY,
        })
    }

    /// Whether the upstream had closed a kept connection, and says nothing by it.
    pub(super) fn is_stale(&self) -> bool {
        self.is_stale
    }

    /// Reports to the upstream that was asked. Returns whether to ask another.
    pub(super) fn report_to(&self, attempts: &Attempts) -> bool {
        let cause = Error::reason(&self.error);
        match self.is_stale {
            true => attempts.end_because(AttemptOutcome::Stale, cause.name(), cause),
            false => self.error.report_to(attempts),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl StdError for Failure {}

pub(super) fn source_of<'a, E: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

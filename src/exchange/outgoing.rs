//! What goes upstream, the same to each upstream that is asked, and what each of them answered.

#[cfg(feature = "hyper")]
use std::sync::Arc;

use http::StatusCode;
use tokio::time::Instant;

use crate::connect::{AttemptOutcome, Attempts, ConnectRequest, Trace};
use crate::error::{Error, Phase};
use crate::handshake::PendingUpgrade;
use crate::header::Hop;
use crate::http1::RequestHead;
use crate::telemetry::{self, Parent};
use crate::tunnel::Listing;

/// A request that goes upstream, and what has been tried for it.
pub(crate) struct Outgoing {
    // Boxed: it passes through many hands.
    head: Box<RequestHead>,
    hop: Hop,
    pending: PendingUpgrade,
    attempts: Attempts,
}

impl Outgoing {
    /// With a trace, what becomes of it is written down for a log.
    pub(crate) fn new(
        head: Box<RequestHead>,
        hop: Hop,
        pending: PendingUpgrade,
        trace: Option<Trace>,
    ) -> Self {
        if let Some(trace) = &trace {
            trace.located(hop);
        }
        Outgoing {
            head,
            hop,
            pending,
            attempts: Attempts::default().traced(trace),
        }
    }

    pub(super) fn head(&self) -> &RequestHead {
        &self.head
    }

    pub(super) fn pending(&self) -> &PendingUpgrade {
        &self.pending
    }

    /// What a connector may choose by, when it is about to.
    pub(super) fn request(&self, deadline: Instant) -> ConnectRequest<'_> {
        if let Some(trace) = self.attempts.trace() {
            trace.sets_out(None);
        }
        ConnectRequest::of_lines(&self.head, self.hop)
            .tracked(&self.attempts)
            .until(deadline)
    }

    /// Passes on what has become of a step, and reports a failure to the upstream that was asked.
    pub(super) fn reported<T>(&self, step: Result<T, Error>) -> Result<T, Error> {
        step.inspect_err(|error| {
            error.report_to(&self.attempts);
        })
    }

    pub(super) fn connected(&self) {
        self.attempts.connected();
    }

    pub(super) fn answered(&self, status: StatusCode) {
        self.attempts.end(AttemptOutcome::Answered(status));
    }

    /// The name of the upstream that was asked last, if it has one.
    #[cfg(feature = "hyper")]
    pub(crate) fn upstream(&self) -> Option<Arc<str>> {
        self.attempts.name()
    }

    /// The span that its tunnel comes from, with the upstream that has agreed.
    pub(crate) fn parent(&self) -> Parent {
        let parent = Parent::current();
        match telemetry::observes_requests() {
            true => parent.leading_to(self.attempts.group(), self.attempts.name()),
            false => parent,
        }
    }

    /// What a registry says of its tunnel: the client, and the upstream that has agreed.
    pub(super) fn listing(&self) -> Listing {
        let mut listing = Listing::default().client_at(self.hop.client(), self.hop.client_port());
        if let Some(group) = self.attempts.group() {
            listing = listing.group(group);
        }
        if let Some(place) = self.attempts.place() {
            listing = listing.place(place);
        }
        match self.attempts.name() {
            Some(name) => listing.upstream(name),
            None => listing,
        }
    }

    /// How many upstreams have been tried.
    pub(super) fn tries(&self) -> usize {
        self.attempts.count()
    }

    /// Whether another upstream may be asked after this error: the group wants it, and nothing can happen twice.
    pub(super) fn goes_on_after(&self, error: &Error) -> bool {
        // The time for connecting is over for all of them.
        let has_no_time = error.phase() == Phase::Connect && error.is_deadline();
        self.attempts.may_retry() && !has_no_time && (error.is_unsent() || self.is_repeatable())
    }

    /// Whether another upstream may be asked although this one has declined.
    pub(super) fn goes_on_after_decline(&self) -> bool {
        self.attempts.may_retry() && self.is_repeatable()
    }

    /// RFC 9110, section 9.2.2: a proxy must not repeat by itself what is not idempotent.
    fn is_repeatable(&self) -> bool {
        self.head.method().is_idempotent()
    }
}

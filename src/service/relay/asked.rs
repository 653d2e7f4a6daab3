//! What goes upstream, the same to whichever upstream it goes; what each of them has made of it; and when another may be asked:
//! where nothing can happen twice.

use http::StatusCode;

use crate::connect::{AttemptOutcome, Attempts, ConnectRequest, Trace};
use crate::header::Hop;
use crate::http1::RequestHead;
use crate::service::failure::Failure;

/// A request that goes upstream, and what has been tried for it.
pub(in crate::service) struct Asked {
    pub(super) head: RequestHead,
    hop: Hop,
    has_body: bool,
    attempts: Attempts,
    wants_fresh: bool,
    /// A byte of its body has been taken from the client.
    pub(super) has_begun: bool,
    /// The client has had something of an answer.
    pub(super) has_passed_interim: bool,
}

impl Asked {
    pub(super) fn new(head: RequestHead, hop: Hop, has_body: bool, trace: Option<Trace>) -> Self {
        if let Some(trace) = &trace {
            trace.located(hop);
        }
        Asked {
            head,
            hop,
            has_body,
            attempts: Attempts::default().traced(trace),
            wants_fresh: false,
            has_begun: false,
            has_passed_interim: false,
        }
    }

    /// It is about to be sent, to a server with this name if no connector knows a better one.
    pub(super) fn sets_out(&self, name: Option<&str>) {
        if let Some(trace) = self.attempts.trace() {
            trace.sets_out(name);
        }
    }

    /// There is a connection for it.
    pub(super) fn connected(&self) {
        self.attempts.connected();
    }

    /// What a connector may choose by.
    pub(super) fn connect_request(&self) -> ConnectRequest<'_> {
        self.connect_request_untracked().tracked(&self.attempts)
    }

    /// The same, of an attempt that has begun.
    pub(super) fn connect_request_untracked(&self) -> ConnectRequest<'_> {
        ConnectRequest::of_lines(&self.head, self.hop).ordinary()
    }

    /// Whether it goes over a fresh connection: the upstream had closed a kept one.
    pub(super) fn wants_fresh(&self) -> bool {
        self.wants_fresh
    }

    /// How many servers have been tried.
    pub(super) fn tries(&self) -> usize {
        self.attempts.count()
    }

    /// Reports its outcome to the server, and says whether another may be asked.
    pub(super) fn goes_on_after(&self, answered: Result<StatusCode, &Failure>) -> bool {
        let again = match answered {
            Ok(status) => self.attempts.end(AttemptOutcome::Answered(status)),
            Err(failure) => failure.report_to(&self.attempts),
        };
        let may = match answered {
            Err(failure) if failure.error.is_unsent() => !self.has_begun,
            _ => self.is_repeatable(),
        };
        again && may
    }

    /// Once more over a fresh connection, where the upstream had closed a kept one: it cannot have begun to answer, and may
    /// have read the request. Whether that is possible; it is so once.
    pub(super) fn starts_afresh_after(&mut self, failure: &Failure) -> bool {
        if !failure.is_stale() || self.wants_fresh || !self.is_repeatable() {
            return false;
        }
        self.wants_fresh = true;
        // The servers that were tried may be tried again: this one is not to blame.
        let trace = self.attempts.trace().cloned();
        self.attempts = Attempts::default().traced(trace);
        true
    }

    /// Whether it may be sent although it may have been received before (RFC 9110, section 9.2.2), and the client has not
    /// received it either.
    fn is_repeatable(&self) -> bool {
        !self.has_body && self.head.method().is_idempotent() && !self.has_passed_interim
    }
}

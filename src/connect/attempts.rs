//! The attempts of one request: which upstreams it was sent to, each at most once, and how each attempt has ended.
//!
//! Must not know connections. Of HTTP it knows the status of an answer.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::StatusCode;
use tokio::time::Instant;

use crate::telemetry;

use super::{ConnectError, Shortage, Trace};

/// How an attempt has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AttemptOutcome {
    /// With a connection. Nobody will report what becomes of it.
    Connected,
    /// With the head of a final answer that can be relayed, or of a switch.
    Answered(StatusCode),
    /// Without a connection, or with one that broke before a head had arrived.
    Failed,
    /// At a deadline, before there was a connection or a head.
    TimedOut,
    /// With bytes that are no acceptable head.
    Invalid,
    /// On a pooled connection that the server had closed meanwhile, or over HTTP/2 with word that the server has not processed the
    /// request: a GOAWAY without an error, or REFUSED_STREAM (RFC 9113, sections 6.8 and 8.7). That is no fault of the server's.
    Stale,
    /// For want of resources of this host. It says nothing about the upstream.
    Shortage(Shortage),
    /// Because nobody waits for it any more. It says nothing about the upstream.
    GivenUp,
}

impl AttemptOutcome {
    /// The outcome as one word, for logs and metrics: `connected`, `answered`, `failed`, `timed-out`, `invalid`, `stale`,
    /// `given-up`, or the name of the [`Shortage`]. No word changes in a minor version.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            AttemptOutcome::Connected => "connected",
            AttemptOutcome::Answered(_) => "answered",
            AttemptOutcome::Failed => "failed",
            AttemptOutcome::TimedOut => "timed-out",
            AttemptOutcome::Invalid => "invalid",
            AttemptOutcome::Stale => "stale",
            AttemptOutcome::Shortage(shortage) => shortage.name(),
            AttemptOutcome::GivenUp => "given-up",
        }
    }
}

/// Distinguishes one upstream from another. Every value that [`unique`](UpstreamId::unique) returns is a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UpstreamId(u64);

impl UpstreamId {
    /// An id that no other upstream of this process has.
    #[must_use]
    pub fn unique() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        UpstreamId(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// An upstream that a connector has chosen for a request, and that learns how the attempt has ended.
///
/// Only a connector with a choice of its own implements it; [`Group`](crate::upstream::Group) does. The
/// [module](super#a-discovery-connector) has an example.
pub trait Candidate: Send + Sync {
    /// The id of the upstream. All attempts on one upstream return the same id.
    fn id(&self) -> UpstreamId;

    /// Reports how the attempt has ended. Returns whether another upstream may be asked for the same request; the caller knows
    /// whether that is still possible. It is called once for each attempt, in the task of the request, and must not block.
    fn attempt_ended(&self, ended: AttemptEnd) -> bool;

    /// The upstream's name in logs. Default: it has no name.
    fn name(&self) -> Option<&str> {
        None
    }

    /// The same, for a caller that keeps it. Default: a copy. An upstream that many requests are tried on shares it.
    fn shared_name(&self) -> Option<Arc<str>> {
        self.name().map(Arc::from)
    }

    /// The name of the group that the upstream is one of, for a registry of tunnels. Default: none, or it has no name.
    fn shared_group(&self) -> Option<Arc<str>> {
        None
    }

    /// The place of the upstream in its group, which tells apart those with the same name. Default: none.
    fn place(&self) -> Option<usize> {
        None
    }
}

/// The end of an attempt, and what its request has cost by then.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct AttemptEnd {
    /// How the attempt has ended.
    pub outcome: AttemptOutcome,
    /// How many attempts the request has had, this one included.
    pub attempts: usize,
    /// The time since the first of them began.
    pub elapsed: Duration,
}

/// The attempts of one request, in their order.
///
/// The caller that sends the request makes a value, hands it to the connector with
/// [`ConnectRequest::tracked`](super::ConnectRequest::tracked), and reports how the request went on with [`end`](Attempts::end). A
/// connector with a choice [begins](Attempts::begin) each of its attempts here, and chooses no upstream twice. Any number of other
/// connectors may stand in between; they need not know of it.
///
/// An attempt that nobody has ended is [given up](AttemptOutcome::GivenUp) when this value is dropped.
#[derive(Default)]
pub struct Attempts {
    state: Mutex<State>,
    trace: Option<Trace>,
}

#[derive(Default)]
struct State {
    /// By itself, because most requests have no other.
    first: Option<(Arc<dyn Candidate>, Instant)>,
    others: Vec<Arc<dyn Candidate>>,
    last: Last,
}

/// What is known of the last attempt.
#[derive(Clone, Copy, Default)]
enum Last {
    #[default]
    UnderWay,
    Ended {
        may_retry: bool,
    },
}

impl Attempts {
    /// Records the attempts in a trace as well, for a log. Default: none.
    #[must_use]
    pub fn traced(mut self, trace: impl Into<Option<Trace>>) -> Self {
        self.trace = trace.into();
        self
    }

    pub(crate) fn trace(&self) -> Option<&Trace> {
        self.trace.as_ref()
    }

    /// Begins an attempt. An attempt before it that has not ended is given up.
    pub fn begin<C: Candidate + 'static>(&self, candidate: Arc<C>) {
        self.end_first(AttemptOutcome::GivenUp);
        if let Some(trace) = &self.trace {
            trace.begin(candidate.name());
        }
        if self.count() > 0 {
            telemetry::retried(candidate.name());
        }
        let mut state = self.state();
        match state.first {
            None => state.first = Some((candidate, Instant::now())),
            Some(_) => state.others.push(candidate),
        }
        state.last = Last::UnderWay;
    }

    /// Reports how the last attempt has ended. Returns whether another upstream may be asked; where no attempt has begun, none
    /// may. The first report counts, and a later one changes nothing.
    pub fn end(&self, outcome: AttemptOutcome) -> bool {
        if let Some(trace) = &self.trace {
            trace.end(outcome, None);
        }
        self.end_first(outcome)
    }

    /// As [`end`](Attempts::end), with the reason for the log.
    pub(crate) fn end_because(
        &self,
        outcome: AttemptOutcome,
        reason: &'static str,
        detail: &impl fmt::Display,
    ) -> bool {
        if let Some(trace) = &self.trace {
            trace.end(outcome, Some((reason, detail.to_string())));
        }
        self.end_first(outcome)
    }

    /// Reports that there is no connection to the last candidate.
    pub(crate) fn end_unconnected(&self, error: &ConnectError) -> bool {
        if let Some(trace) = self.trace.as_ref().filter(|_| error.is_exhaustion()) {
            trace.stays();
        }
        self.end_because(error.outcome(), error.name(), error)
    }

    /// There is a connection, for the log.
    pub(crate) fn connected(&self) {
        if let Some(trace) = &self.trace {
            trace.connected();
        }
    }

    fn end_first(&self, outcome: AttemptOutcome) -> bool {
        let ended = {
            let mut state = self.state();
            if let Last::Ended { may_retry } = state.last {
                return may_retry;
            }
            state.last = Last::Ended { may_retry: false };
            state.current(outcome)
        };
        // Without the lock: what a candidate does is its own business.
        let may_retry = ended.is_some_and(|(candidate, end)| candidate.attempt_ended(end));
        self.state().last = Last::Ended { may_retry };
        may_retry
    }

    /// Whether the last attempt has ended, and its candidate permits to ask another upstream.
    #[must_use]
    pub fn may_retry(&self) -> bool {
        matches!(self.state().last, Last::Ended { may_retry: true })
    }

    /// Whether an attempt on this upstream has begun.
    #[must_use]
    pub fn contains(&self, upstream: UpstreamId) -> bool {
        let state = self.state();
        let is_it = |candidate: &Arc<dyn Candidate>| candidate.id() == upstream;
        state.first.as_ref().is_some_and(|(first, _)| is_it(first)) || state.others.iter().any(is_it)
    }

    /// The name of the last candidate.
    pub(crate) fn name(&self) -> Option<Arc<str>> {
        self.last()?.shared_name()
    }

    /// The name of its group.
    pub(crate) fn group(&self) -> Option<Arc<str>> {
        self.last()?.shared_group()
    }

    /// Its place in the group.
    pub(crate) fn place(&self) -> Option<usize> {
        self.last()?.place()
    }

    fn last(&self) -> Option<Arc<dyn Candidate>> {
        let state = self.state();
        let (first, _) = state.first.as_ref()?;
        Some(state.others.last().unwrap_or(first).clone())
    }

    /// How many attempts have begun.
    #[must_use]
    pub fn count(&self) -> usize {
        self.state().count()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics halfway.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn count(&self) -> usize {
        usize::from(self.first.is_some()) + self.others.len()
    }

    /// The last candidate, and what it learns of its end.
    fn current(&self, outcome: AttemptOutcome) -> Option<(Arc<dyn Candidate>, AttemptEnd)> {
        let (first, since) = self.first.as_ref()?;
        let end = AttemptEnd {
            outcome,
            attempts: self.count(),
            elapsed: since.elapsed(),
        };
        Some((self.others.last().unwrap_or(first).clone(), end))
    }
}

impl Drop for Attempts {
    fn drop(&mut self) {
        self.end(AttemptOutcome::GivenUp);
    }
}

impl fmt::Debug for Attempts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempts")
            .field("count", &self.count())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fake {
        id: UpstreamId,
        reported: Mutex<Vec<(AttemptOutcome, usize)>>,
    }

    impl Candidate for Fake {
        fn id(&self) -> UpstreamId {
            self.id
        }

        fn attempt_ended(&self, ended: AttemptEnd) -> bool {
            self.reported
                .lock()
                .unwrap()
                .push((ended.outcome, ended.attempts));
            ended.outcome == AttemptOutcome::Failed
        }
    }

    impl Fake {
        fn new() -> Arc<Self> {
            Arc::new(Fake {
                id: UpstreamId::unique(),
                reported: Mutex::default(),
            })
        }

        fn reported(&self) -> Vec<(AttemptOutcome, usize)> {
            self.reported.lock().unwrap().clone()
        }
    }

    #[test]
    fn every_candidate_learns_the_first_report_and_no_other() {
        let candidates = [Fake::new(), Fake::new(), Fake::new()];
        let attempts = Attempts::default();
        assert!(!attempts.end(AttemptOutcome::Failed), "no attempt has begun");
        attempts.begin(candidates[0].clone());
        assert!(attempts.end(AttemptOutcome::Failed) && attempts.end(AttemptOutcome::TimedOut));
        assert!(attempts.may_retry());
        attempts.begin(candidates[1].clone());
        attempts.begin(candidates[2].clone());
        assert_eq!(attempts.count(), 3);
        assert!(attempts.contains(candidates[1].id()) && !attempts.contains(UpstreamId::unique()));
        drop(attempts);
        let reported: Vec<_> = candidates.iter().map(|candidate| candidate.reported()).collect();
        let expected = [
            vec![(AttemptOutcome::Failed, 1)],
            vec![(AttemptOutcome::GivenUp, 2)],
            vec![(AttemptOutcome::GivenUp, 3)],
        ];
        assert_eq!(reported, expected);
    }

    #[test]
    fn what_has_ended_is_not_given_up() {
        let candidate = Fake::new();
        let attempts = Attempts::default();
        attempts.begin(candidate.clone());
        assert!(!attempts.end(AttemptOutcome::Answered(StatusCode::OK)));
        drop(attempts);
        assert_eq!(
            candidate.reported(),
            [(AttemptOutcome::Answered(StatusCode::OK), 1)]
        );
    }
}

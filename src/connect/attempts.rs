//! Law: what has been tried for one request, each place once, and each place is told once how it went.
//!
//! Knows no connection, and of HTTP the status of an answer.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::StatusCode;
use tokio::time::Instant;

use super::{ConnectError, Shortage, Trace};

/// How an attempt has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// With a connection. Nobody will say what has become of it.
    Connected,
    /// With the head of a final answer that can be relayed, or of a switch.
    Answered(StatusCode),
    /// Without a connection, or with one that broke before it had brought a head.
    Failed,
    /// At a deadline, before a connection or a head was there.
    TimedOut,
    /// With bytes that are no acceptable head.
    Invalid,
    /// On a connection that had been kept from an earlier request, and that the server had closed meanwhile: no fault of
    /// its.
    Stale,
    /// For want of resources of this host. It says nothing of the place.
    Shortage(Shortage),
    /// Because nobody waits for it any more. It says nothing of the place.
    GivenUp,
}

impl Outcome {
    /// In a word, for logs and metrics: `connected`, `answered`, `failed`, `timed-out`, `invalid`, `stale`, `given-up`, or the
    /// name of the [`Shortage`]. None of them changes in a minor version.
    pub const fn name(self) -> &'static str {
        match self {
            Outcome::Connected => "connected",
            Outcome::Answered(_) => "answered",
            Outcome::Failed => "failed",
            Outcome::TimedOut => "timed-out",
            Outcome::Invalid => "invalid",
            Outcome::Stale => "stale",
            Outcome::Shortage(shortage) => shortage.name(),
            Outcome::GivenUp => "given-up",
        }
    }
}

/// A place that connections are tried to.
pub trait Tried: Send + Sync {
    /// Hears how the attempt has ended. Returns whether it is worth trying another place for the same request: whoever
    /// asks knows whether that is still possible.
    fn ended(&self, outcome: Outcome, so_far: SoFar) -> bool;

    /// What it is called in logs. Default: it has no name.
    fn name(&self) -> Option<&str> {
        None
    }

    /// What tells one place from another. Default: where this value is. One that is made anew for each attempt gives the
    /// address of what it shares with the others of the same place.
    fn place(&self) -> *const () {
        std::ptr::from_ref(self).cast()
    }
}

/// What one request has cost so far.
#[derive(Clone, Copy, Debug)]
pub struct SoFar {
    /// How many places have been tried, this one included.
    pub attempts: usize,
    /// How long it is since the first was.
    pub elapsed: Duration,
}

/// What has been tried for one request: the places, in their order.
///
/// Whoever sends the request makes one, hands it to the connector with
/// [`ConnectRequest::tracked`](super::ConnectRequest::tracked), and [tells](Attempts::tell) it how it went on. A connector
/// that has a choice [begins](Attempts::begin) each of its attempts here, and chooses none a second time. In between any
/// number of other connectors may stand, which know nothing of it.
///
/// An attempt that has not been told is one [given up](Outcome::GivenUp) when this is dropped.
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicUsize, Ordering};
/// use switchover::connect::{Attempts, Outcome, SoFar, Tried};
///
/// #[derive(Default)]
/// struct Failures(AtomicUsize);
///
/// impl Tried for Failures {
///     fn ended(&self, outcome: Outcome, so_far: SoFar) -> bool {
///         let failed = matches!(outcome, Outcome::Failed | Outcome::TimedOut);
///         self.0.fetch_add(usize::from(failed), Ordering::Relaxed);
///         failed && so_far.attempts < 2
///     }
/// }
///
/// let (one, another) = (Arc::new(Failures::default()), Arc::new(Failures::default()));
/// let attempts = Attempts::default();
/// attempts.begin(one.clone());
/// assert!(attempts.tell(Outcome::Failed));
/// assert!(attempts.contains(&one) && !attempts.contains(&another));
/// attempts.begin(another);
/// assert!(!attempts.tell(Outcome::TimedOut));
/// assert_eq!(one.0.load(Ordering::Relaxed), 1);
/// ```
#[derive(Default)]
pub struct Attempts {
    state: Mutex<State>,
    trace: Option<Trace>,
}

#[derive(Default)]
struct State {
    /// By itself, because mostly there is no other.
    first: Option<(Arc<dyn Tried>, Instant)>,
    others: Vec<Arc<dyn Tried>>,
    last: Last,
}

/// What is known of the last attempt.
#[derive(Clone, Copy, Default)]
enum Last {
    #[default]
    UnderWay,
    Told {
        again: bool,
    },
}

impl Attempts {
    /// The same, written down for a log. Default: nothing is.
    #[must_use]
    pub fn traced(mut self, trace: impl Into<Option<Trace>>) -> Self {
        self.trace = trace.into();
        self
    }

    pub(crate) fn trace(&self) -> Option<&Trace> {
        self.trace.as_ref()
    }

    /// Begins an attempt. One before it that has not been told is given up.
    pub fn begin<T: Tried + 'static>(&self, place: Arc<T>) {
        self.tell_first(Outcome::GivenUp);
        if let Some(trace) = &self.trace {
            trace.begin(place.name());
        }
        let mut state = self.state();
        match state.first {
            None => state.first = Some((place, Instant::now())),
            Some(_) => state.others.push(place),
        }
        state.last = Last::UnderWay;
    }

    /// Tells the last place how the attempt there has ended. Returns whether to try another, which is never so where
    /// nothing has begun. A place hears the first word only.
    pub fn tell(&self, outcome: Outcome) -> bool {
        if let Some(trace) = &self.trace {
            trace.end(outcome, None);
        }
        self.tell_first(outcome)
    }

    /// As [`tell`](Attempts::tell), with the reason for the log.
    pub(crate) fn tell_why(&self, outcome: Outcome, reason: &'static str, why: &impl fmt::Display) -> bool {
        if let Some(trace) = &self.trace {
            trace.end(outcome, Some((reason, why.to_string())));
        }
        self.tell_first(outcome)
    }

    /// Tells the last place why there is no connection to it.
    pub(crate) fn tell_unconnected(&self, error: &ConnectError) -> bool {
        if let Some(trace) = self.trace.as_ref().filter(|_| error.is_exhaustion()) {
            trace.stays();
        }
        self.tell_why(error.outcome(), error.name(), error)
    }

    /// There is a connection, for the log.
    pub(crate) fn connected(&self) {
        if let Some(trace) = &self.trace {
            trace.connected();
        }
    }

    fn tell_first(&self, outcome: Outcome) -> bool {
        let told = {
            let mut state = self.state();
            if let Last::Told { again } = state.last {
                return again;
            }
            state.last = Last::Told { again: false };
            state.current()
        };
        // Without the lock: what it does is its own business.
        let again = told.is_some_and(|(place, so_far)| place.ended(outcome, so_far));
        self.state().last = Last::Told { again };
        again
    }

    /// What the last place that was told has said: whether to try another.
    pub fn again(&self) -> bool {
        matches!(self.state().last, Last::Told { again: true })
    }

    /// Whether a place has been tried.
    pub fn contains<T: Tried + 'static>(&self, place: &Arc<T>) -> bool {
        self.has(place.place())
    }

    /// As [`contains`](Attempts::contains), by what tells the place from others.
    pub(crate) fn has(&self, place: *const ()) -> bool {
        let state = self.state();
        let is_it = |tried: &Arc<dyn Tried>| tried.place() == place;
        state.first.as_ref().is_some_and(|(first, _)| is_it(first)) || state.others.iter().any(is_it)
    }

    /// How many places have been tried.
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

    /// The last place, and what has been spent.
    fn current(&self) -> Option<(Arc<dyn Tried>, SoFar)> {
        let (first, since) = self.first.as_ref()?;
        let so_far = SoFar {
            attempts: self.count(),
            elapsed: since.elapsed(),
        };
        Some((self.others.last().unwrap_or(first).clone(), so_far))
    }
}

impl Drop for Attempts {
    fn drop(&mut self) {
        self.tell(Outcome::GivenUp);
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

    #[derive(Default)]
    struct Place {
        heard: Mutex<Vec<(Outcome, usize)>>,
    }

    impl Tried for Place {
        fn ended(&self, outcome: Outcome, so_far: SoFar) -> bool {
            self.heard.lock().unwrap().push((outcome, so_far.attempts));
            outcome == Outcome::Failed
        }
    }

    impl Place {
        fn heard(&self) -> Vec<(Outcome, usize)> {
            self.heard.lock().unwrap().clone()
        }
    }

    #[test]
    fn every_place_hears_the_first_word_and_no_other() {
        let places = [Arc::new(Place::default()), Arc::default(), Arc::default()];
        let attempts = Attempts::default();
        assert!(!attempts.tell(Outcome::Failed), "nobody is there to hear it");
        attempts.begin(places[0].clone());
        assert!(attempts.tell(Outcome::Failed) && attempts.tell(Outcome::TimedOut));
        attempts.begin(places[1].clone());
        attempts.begin(places[2].clone());
        assert_eq!(attempts.count(), 3);
        drop(attempts);
        let heard: Vec<_> = places.iter().map(|place| place.heard()).collect();
        let expected = [
            vec![(Outcome::Failed, 1)],
            vec![(Outcome::GivenUp, 2)],
            vec![(Outcome::GivenUp, 3)],
        ];
        assert_eq!(heard, expected);
    }

    #[test]
    fn what_has_ended_is_not_given_up() {
        let place = Arc::new(Place::default());
        let attempts = Attempts::default();
        attempts.begin(place.clone());
        assert!(!attempts.tell(Outcome::Answered(StatusCode::OK)));
        drop(attempts);
        assert_eq!(place.heard(), [(Outcome::Answered(StatusCode::OK), 1)]);
    }
}

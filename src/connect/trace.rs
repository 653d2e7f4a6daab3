//! What a log can learn about one request: each attempt on an upstream and how it ended, the client, and what the client was
//! sent.
//!
//! The door writes it, and the caller that mounts the door reads it. Nothing is decided by it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::StatusCode;
use tokio::time::Instant;

use super::AttemptOutcome;
use crate::header::Hop;

/// What has become of one request: for a log. Cheap to clone; all clones are of the same request.
///
/// A caller that wants to know makes one for each request and hands it in: with
/// [`Incoming::set_trace`](crate::gateway::Incoming::set_trace), `Destination::trace`, or among the extensions of a request
/// to a service. It is filled in as the request goes on, and stays readable whatever becomes of that: also where serving it
/// has failed, or was given up. A request without one costs nothing.
///
/// ```
/// use switchover::connect::{AttemptOutcome, Trace};
/// use switchover::gateway::{Accepted, Acceptor, Negotiated};
/// use switchover::upstream::{Group, Server};
///
/// # async fn serve(acceptor: Acceptor, client: tokio::net::TcpStream) -> Result<(), Box<dyn std::error::Error>> {
/// let group = Group::of([Server::to("10.0.0.1:9000"), Server::to("10.0.0.2:9000")]);
/// let peer = client.peer_addr()?;
/// if let Accepted::Upgrade(mut incoming) = acceptor.accept(client, peer).await? {
///     let trace = Trace::new();
///     incoming.set_trace(trace.clone());
///     let negotiated = incoming.negotiate(&group).await;
///     for attempt in trace.attempts() {
///         let (name, outcome) = (attempt.upstream.unwrap_or_default(), attempt.outcome);
///         println!("{name}: {outcome:?} after {:?}: {:?}", attempt.took, attempt.detail);
///     }
///     println!("{:?}, {} bytes", trace.status(), trace.bytes_sent());
///     drop(negotiated);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Trace {
    shared: Arc<Mutex<State>>,
}

/// One attempt of a request on an upstream.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Attempt {
    /// What its group calls it, or the authority of its destination. None where a connector leads that has no names.
    pub upstream: Option<String>,
    /// When it began.
    pub began: Instant,
    /// How long it took to connect, TLS included. None where that has failed, and where an ordinary request went over a
    /// connection of a pool, which may have been there before.
    pub connected_after: Option<Duration>,
    /// How long it took to the outcome: to the head of the answer, where one has come.
    pub took: Option<Duration>,
    /// How it has ended; none while it is under way.
    pub outcome: Option<AttemptOutcome>,
    /// Why it has failed, in a word: [`Cause::name`](crate::Cause::name).
    pub reason: Option<&'static str>,
    /// Why it has failed, for people. It may name addresses.
    pub detail: Option<String>,
}

impl Attempt {
    fn end(&mut self, outcome: AttemptOutcome) {
        self.outcome = Some(outcome);
        self.took = Some(self.began.elapsed());
    }
}

#[derive(Debug, Default)]
struct State {
    attempts: Vec<Attempt>,
    /// Since when there is something to be tried that nobody has given a name yet.
    unnamed: Option<(Instant, Option<String>)>,
    hop: Option<Hop>,
    status: Option<StatusCode>,
    bytes_sent: u64,
    body_bytes_sent: u64,
}

impl Trace {
    /// Of a request of which nothing is known yet.
    #[must_use]
    pub fn new() -> Self {
        Trace::default()
    }

    /// The upstreams that it was tried on, in their order.
    #[must_use]
    pub fn attempts(&self) -> Vec<Attempt> {
        self.state().attempts.clone()
    }

    /// The hop that it came over, with the client behind [trusted proxies](crate::header::TrustedProxies). None before it
    /// goes upstream.
    #[must_use]
    pub fn hop(&self) -> Option<Hop> {
        self.state().hop
    }

    /// The status that the client was sent; none if it was sent no whole head, and where hyper's server sends it.
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        self.state().status
    }

    /// How many bytes of HTTP the client's stream has taken: heads, interim ones too, body and framing. Of a write that has
    /// failed halfway nothing is counted, and nothing where hyper's server writes.
    #[must_use]
    pub fn bytes_sent(&self) -> u64 {
        self.state().bytes_sent
    }

    /// How many of them stand behind the head of the final response.
    #[must_use]
    pub fn body_bytes_sent(&self) -> u64 {
        self.state().body_bytes_sent
    }

    /// Something is about to be tried: the connector may name it later, or not.
    pub(crate) fn sets_out(&self, name: Option<&str>) {
        self.state().unnamed = Some((Instant::now(), name.map(str::to_owned)));
    }

    pub(super) fn begin(&self, name: Option<&str>) {
        let mut state = self.state();
        state.unnamed = None;
        if let Some(former) = state.last() {
            former.end(AttemptOutcome::GivenUp);
        }
        state.push(Instant::now(), name.map(str::to_owned));
    }

    /// Nothing has been tried after all.
    pub(super) fn stays(&self) {
        self.state().unnamed = None;
    }

    pub(super) fn connected(&self) {
        if let Some(last) = self.state().last() {
            last.connected_after.get_or_insert_with(|| last.began.elapsed());
        }
    }

    pub(super) fn end(&self, outcome: AttemptOutcome, why: Option<(&'static str, String)>) {
        if let Some(last) = self.state().last() {
            last.end(outcome);
            if let Some((reason, detail)) = why {
                (last.reason, last.detail) = (Some(reason), Some(detail));
            }
        }
    }

    pub(crate) fn located(&self, hop: Hop) {
        self.state().hop = Some(hop);
    }

    /// The client has been sent the head of a final response.
    pub(crate) fn answered(&self, status: StatusCode) {
        self.state().status = Some(status);
    }

    pub(crate) fn sent(&self, bytes: u64, of_body: u64) {
        let mut state = self.state();
        state.bytes_sent += bytes;
        state.body_bytes_sent += of_body;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics halfway.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn push(&mut self, began: Instant, upstream: Option<String>) {
        self.attempts.push(Attempt {
            upstream,
            began,
            connected_after: None,
            took: None,
            outcome: None,
            reason: None,
            detail: None,
        });
    }

    /// The one that is under way.
    fn last(&mut self) -> Option<&mut Attempt> {
        if let Some((began, name)) = self.unnamed.take() {
            self.push(began, name);
        }
        self.attempts.last_mut().filter(|last| last.outcome.is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reported(trace: &Trace) -> Vec<(Option<String>, Option<AttemptOutcome>, Option<&'static str>)> {
        let attempts = trace.attempts().into_iter();
        attempts
            .map(|tried| (tried.upstream, tried.outcome, tried.reason))
            .collect()
    }

    #[test]
    fn a_connector_without_names_is_one_try() {
        let trace = Trace::new();
        trace.sets_out(None);
        assert_eq!(reported(&trace), []);
        trace.connected();
        assert_eq!(reported(&trace), [(None, None, None)]);
        trace.end(AttemptOutcome::Answered(StatusCode::OK), None);
        trace.end(AttemptOutcome::GivenUp, None);
        assert_eq!(
            reported(&trace),
            [(None, Some(AttemptOutcome::Answered(StatusCode::OK)), None)]
        );
        let tried = trace.attempts().remove(0);
        assert!(tried.connected_after.is_some() && tried.connected_after <= tried.took);
    }

    #[test]
    fn those_with_names_come_in_their_order_each_with_its_first_outcome() {
        let trace = Trace::new();
        trace.sets_out(None);
        trace.begin(Some("a"));
        trace.end(
            AttemptOutcome::Failed,
            Some(("refused", "no connection".to_owned())),
        );
        trace.end(AttemptOutcome::TimedOut, None);
        trace.begin(Some("b"));
        trace.connected();
        let a = (
            Some("a".to_owned()),
            Some(AttemptOutcome::Failed),
            Some("refused"),
        );
        assert_eq!(reported(&trace), [a, (Some("b".to_owned()), None, None)]);
    }

    #[test]
    fn what_was_not_tried_is_not_reported() {
        let trace = Trace::new();
        trace.sets_out(None);
        trace.stays();
        trace.end(AttemptOutcome::Failed, None);
        assert_eq!(reported(&trace), []);
    }
}

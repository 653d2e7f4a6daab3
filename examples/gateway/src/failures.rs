//! What has not become a tunnel or an answer: the last few, each with what is wrong and what to change.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use http::{Request, Response, StatusCode};
use switchover::connect::ConnectError;
use switchover::diagnose::{Attempt, Failure as Diagnosed, Finding, TlsFault};
use switchover::handshake::Rejection;
use switchover::{Cause, Error, Phase, Side};

/// How many are kept.
const KEPT: usize = 100;
/// The most characters of a text.
const MOST_OF_A_TEXT: usize = 500;

/// The failures of all workers. Nothing is kept unless an operator can see it.
#[derive(Default)]
pub(crate) struct Failures {
    is_kept: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    total: u64,
    last: VecDeque<Failure>,
}

/// One of them.
#[derive(Clone)]
pub(crate) struct Failure {
    pub(crate) at: SystemTime,
    pub(crate) peer: SocketAddr,
    pub(crate) side: &'static str,
    pub(crate) phase: &'static str,
    /// As the access log and the metrics have it.
    pub(crate) reason: &'static str,
    /// The name of what `doctor` finds, where it finds something.
    pub(crate) finding: Option<&'static str>,
    pub(crate) what: String,
    /// What to change. Empty if that is not known.
    pub(crate) remedy: String,
}

impl Failures {
    pub(crate) fn new(is_kept: bool) -> Failures {
        Failures {
            is_kept,
            state: Mutex::default(),
        }
    }

    pub(crate) fn is_kept(&self) -> bool {
        self.is_kept
    }

    /// A request was refused here.
    pub(crate) fn refused(&self, peer: SocketAddr, why: &Rejection) {
        let place = (Side::Downstream, Phase::RequestHead.name(), why.name());
        self.add(peer, place, None, || (why.to_string(), why.hint().to_owned()));
    }

    /// A side has failed.
    pub(crate) fn failed(&self, peer: SocketAddr, error: &Error) {
        let found = found(error);
        let place = (error.side(), error.phase().name(), error.reason().name());
        self.add(peer, place, found.as_ref().map(Finding::name), || match &found {
            Some(finding) => (
                format!("{} ({})", finding.sentence(), error.reason()),
                remedy(finding),
            ),
            None => (error.reason().to_string(), String::new()),
        });
    }

    /// The upstream has answered an upgrade with another status.
    pub(crate) fn declined(&self, peer: SocketAddr, status: StatusCode) {
        if !self.is_kept {
            return;
        }
        let mut answer = Response::new(());
        *answer.status_mut() = status;
        let findings = attempt().answered(answer.into_parts().0).findings();
        self.add(
            peer,
            (Side::Upstream, Phase::ResponseHead.name(), "declined"),
            findings.first().map(Finding::name),
            || match findings.first() {
                Some(finding) => (
                    format!("the upstream has answered {status}: {}", finding.sentence()),
                    remedy(finding),
                ),
                None => (format!("the upstream has answered {status}"), String::new()),
            },
        );
    }

    fn add(
        &self,
        peer: SocketAddr,
        (side, phase, reason): (Side, &'static str, &'static str),
        finding: Option<&'static str>,
        words: impl FnOnce() -> (String, String),
    ) {
        if !self.is_kept {
            return;
        }
        let (what, remedy) = words();
        let failure = Failure {
            at: SystemTime::now(),
            peer,
            side: match side {
                Side::Downstream => "downstream",
                Side::Upstream => "upstream",
            },
            phase,
            reason,
            finding,
            what: what.chars().take(MOST_OF_A_TEXT).collect(),
            remedy,
        };
        let mut state = self.state();
        state.total += 1;
        let oldest = if state.last.len() == KEPT {
            state.last.pop_front()
        } else {
            None
        };
        state.last.push_back(failure);
        drop(state);
        drop(oldest);
    }

    /// How many there were.
    pub(crate) fn total(&self) -> u64 {
        self.state().total
    }

    /// The last ones, the latest first.
    pub(crate) fn last(&self) -> Vec<Failure> {
        self.state().last.iter().rev().cloned().collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics halfway.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was asked has no part in a finding of a failure or of a status, so no request is kept for it.
fn attempt() -> Attempt {
    Attempt::new(Request::new(()).into_parts().0)
}

fn remedy(finding: &Finding) -> String {
    finding.change().to_owned()
}

/// What is wrong with the upstream, if the error shows it.
fn found(error: &Error) -> Option<Finding> {
    if error.side() == Side::Downstream || error.phase() == Phase::Tunnel {
        return None;
    }
    let failure = match error.reason() {
        Cause::Connect(ConnectError::Resolve { .. }) => Diagnosed::Unresolved,
        Cause::Connect(ConnectError::Failed { error, .. }) => Diagnosed::of_connecting(error.kind()),
        Cause::Connect(ConnectError::Tls { hint, .. }) | Cause::Tls { hint, .. } => Diagnosed::Tls {
            fault: TlsFault::Other,
            hint: Some(hint),
        },
        Cause::TimedOut(_) if error.phase() == Phase::Connect => Diagnosed::ConnectTimedOut,
        Cause::TimedOut(_) => Diagnosed::AnswerTimedOut,
        Cause::Closed => Diagnosed::Closed,
        Cause::HeadCutShort => Diagnosed::CutShort { bytes: 0 },
        Cause::Io(error) => Diagnosed::of_exchange(error.kind()),
        Cause::Head(error) => Diagnosed::Malformed(error.clone()),
        _ => return None,
    };
    let findings = attempt().failed(failure).findings();
    findings.into_iter().next()
}

//! What is known of one attempt, and the order in which its facts are judged. Must not know what a fact means.

use http::{StatusCode, request, response};

use super::{
    Answer, Conversation, Diagnosis, Failure, Finding, Product, Severity, arrived, declined, product, switch,
};
use crate::handshake::{BadSwitch, HandshakePolicy, UpgradeRequest, Verdict};
use crate::header::{Forwarding, Hop};
use crate::http1::encode_request;

/// What is known of one attempt to open a WebSocket. Facts are added as they become known.
#[derive(Clone, Debug)]
pub struct Attempt {
    pub(super) request: request::Parts,
    pub(super) outcome: Option<Outcome>,
    pub(super) arrived: Option<request::Parts>,
    pub(super) variations: Vec<(Variation, Result<Answer, Failure>)>,
    pub(super) conversation: Conversation,
}

#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "there is one for each attempt")]
pub(super) enum Outcome {
    Failed(Failure),
    Answered(Answer),
}

/// The same attempt with one thing changed, to find out on what the answer depends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Variation {
    /// Without `Upgrade` and `Connection`: the request that an origin receives where both are lost.
    WithoutUpgrade,
    /// Without `Origin`.
    WithoutOrigin,
    /// With the `Origin` of the host itself.
    OwnOrigin,
    /// Without subprotocols.
    WithoutSubprotocol,
    /// With `Host` without its port, or with the default port of the scheme where it has none.
    HostPort,
    /// With nothing but the fields of the handshake, where the head is large.
    ShortHead,
}

impl Attempt {
    /// An attempt with this request, as it was sent: a WebSocket handshake in HTTP/1.1. Its URI may have scheme and
    /// authority, or just the path.
    pub fn new(request: request::Parts) -> Self {
        Attempt {
            request,
            outcome: None,
            arrived: None,
            variations: Vec::new(),
            conversation: Conversation::default(),
        }
    }

    /// No response head came.
    #[must_use]
    pub fn failed(mut self, failure: Failure) -> Self {
        self.outcome = Some(Outcome::Failed(failure));
        self
    }

    /// The answer, a 101 or another final one.
    #[must_use]
    pub fn answered(mut self, answer: impl Into<Answer>) -> Self {
        self.outcome = Some(Outcome::Answered(answer.into()));
        self
    }

    /// The request as the origin says that it has arrived there. Default: not known.
    #[must_use]
    pub fn arrived(mut self, request: request::Parts) -> Self {
        self.arrived = Some(request);
        self
    }

    /// The answer to a variation, or why there was none. Default: no variation was tried.
    #[must_use]
    pub fn varied(mut self, variation: Variation, answered: Result<Answer, Failure>) -> Self {
        self.variations.push((variation, answered));
        self
    }

    /// What became of the connection after the 101. Default: not known.
    #[must_use]
    pub fn conversation(mut self, conversation: Conversation) -> Self {
        self.conversation = conversation;
        self
    }

    /// The request that was sent.
    pub fn request(&self) -> &request::Parts {
        &self.request
    }

    /// The request that has arrived at the origin, if that is known.
    pub fn arrived_request(&self) -> Option<&request::Parts> {
        self.arrived.as_ref()
    }

    /// The answer, if there is one.
    pub fn answer(&self) -> Option<&Answer> {
        match &self.outcome {
            Some(Outcome::Answered(answer)) => Some(answer),
            _ => None,
        }
    }

    /// The head of the answer, if there is one.
    pub fn response(&self) -> Option<&response::Parts> {
        self.answer().map(Answer::head)
    }

    /// Why there is no answer, if there is none.
    pub fn failure(&self) -> Option<&Failure> {
        match &self.outcome {
            Some(Outcome::Failed(failure)) => Some(failure),
            _ => None,
        }
    }

    /// Whether a client would take the answer for a switch to WebSocket: by [`PendingUpgrade::judge`], with the request
    /// that was sent.
    ///
    /// [`PendingUpgrade::judge`]: crate::handshake::PendingUpgrade::judge
    pub fn is_switched(&self) -> bool {
        self.response()
            .is_some_and(|response| matches!(self.judge(response), Ok(Some(Verdict::Switched(_)))))
    }

    /// Whether the upgrade can be used: it is switched, and nothing was found that is an [error](Severity::Error).
    pub fn works(&self) -> bool {
        self.is_switched()
            && !self
                .findings()
                .iter()
                .any(|finding| finding.severity() == Severity::Error)
    }

    /// `None` where the request that was sent is no handshake itself.
    pub(super) fn judge(&self, response: &response::Parts) -> Result<Option<Verdict>, BadSwitch> {
        let parsed = UpgradeRequest::parse(&self.request, &HandshakePolicy::default());
        let Ok(Some(upgrade)) = parsed else {
            return Ok(None);
        };
        let (_, pending) = upgrade.forward(self.request.clone(), Hop::unknown(), &Forwarding::default());
        pending.judge(response.clone()).map(Some)
    }

    /// The answer to a variation that was tried.
    pub(super) fn answer_to(&self, variation: Variation) -> Option<&Result<Answer, Failure>> {
        let tried = self.variations.iter().find(|(tried, _)| *tried == variation);
        tried.map(|(_, answered)| answered)
    }

    /// How many bytes the head has that was sent.
    pub(super) fn head_length(&self) -> usize {
        let mut bytes = Vec::new();
        encode_request(&self.request, &mut bytes);
        bytes.len()
    }

    /// The products on the way, by the answer.
    pub(super) fn seen(&self) -> (Option<String>, Vec<Product>) {
        match &self.outcome {
            Some(Outcome::Answered(answer)) => product::seen(answer.headers(), answer.text()),
            _ => (None, Vec::new()),
        }
    }

    /// What is wrong, the worst first; of those that are equally bad, the nearest cause first. None for a healthy attempt.
    pub fn findings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        if let Some(arrived) = &self.arrived {
            arrived::compare(&self.request, arrived, &mut findings);
        }
        match &self.outcome {
            None => {}
            Some(Outcome::Failed(failure)) => {
                findings.extend(declined::too_large(self, None));
                findings.push(failure.finding());
                // Servers of WebSocket alone let an ordinary request wait.
                let same = matches!(self.answer_to(Variation::WithoutUpgrade), Some(Err(without)) if without == failure);
                if same && *failure == Failure::AnswerTimedOut {
                    let detail = "a request without Upgrade is not answered either";
                    findings.push(Finding::likely(Diagnosis::UpgradeLost).detail(detail));
                }
            }
            Some(Outcome::Answered(answer)) => {
                match answer.status() {
                    StatusCode::SWITCHING_PROTOCOLS => switch::judge(self, answer.head(), &mut findings),
                    _ => declined::judge(self, answer, &mut findings),
                }
                let (seen, products) = self.seen();
                for finding in &mut findings {
                    finding.seen_on_the_way(seen.clone(), &products);
                }
            }
        }
        findings.sort_by_key(Finding::severity);
        findings
    }
}

//! Law: what is known of one attempt, and that every fact of it is looked at.

use http::{StatusCode, request, response};

use super::{Conversation, Failure, Finding, Product, Severity, answer, arrived, product, switch};
use crate::handshake::{BadSwitch, HandshakePolicy, UpgradeRequest, Verdict};
use crate::header::{Forwarding, Hop};

/// How much of a body is looked at: enough for an error page.
const MAX_BODY: usize = 4096;

/// What is known of one attempt to open a WebSocket. Facts are added as they become known.
#[derive(Clone, Debug)]
pub struct Attempt {
    pub(super) request: request::Parts,
    pub(super) outcome: Option<Outcome>,
    pub(super) arrived: Option<request::Parts>,
    pub(super) variations: Vec<(Variation, Result<StatusCode, Failure>)>,
    pub(super) conversation: Conversation,
}

#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "there is one for each attempt")]
pub(super) enum Outcome {
    Failed(Failure),
    Answered(response::Parts, String),
}

/// The same attempt with one thing changed, to tell what the answer depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Variation {
    /// Without `Upgrade` and `Connection`: what an origin gets to see where both are lost.
    WithoutUpgrade,
    /// Without `Origin`.
    WithoutOrigin,
    /// With the `Origin` of the host itself.
    OwnOrigin,
    /// Without subprotocols.
    WithoutSubprotocol,
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

    /// It came to no response head.
    #[must_use]
    pub fn failed(mut self, failure: Failure) -> Self {
        self.outcome = Some(Outcome::Failed(failure));
        self
    }

    /// The answer: its head, a 101 or another final one, and the beginning of its body.
    #[must_use]
    pub fn answered(mut self, response: response::Parts, body: impl AsRef<[u8]>) -> Self {
        let body = body.as_ref();
        let text = String::from_utf8_lossy(&body[..body.len().min(MAX_BODY)]).into_owned();
        self.outcome = Some(Outcome::Answered(response, text));
        self
    }

    /// The request as the origin says that it has arrived there. Default: not known.
    #[must_use]
    pub fn arrived(mut self, request: request::Parts) -> Self {
        self.arrived = Some(request);
        self
    }

    /// What a variation was answered: the status, or why there was no answer. Default: none was tried.
    #[must_use]
    pub fn varied(mut self, variation: Variation, answered: Result<StatusCode, Failure>) -> Self {
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

    /// The head of the answer, if there is one.
    pub fn response(&self) -> Option<&response::Parts> {
        match &self.outcome {
            Some(Outcome::Answered(response, _)) => Some(response),
            _ => None,
        }
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

    /// What a variation was answered that was tried.
    pub(super) fn answer_to(&self, variation: Variation) -> Option<&Result<StatusCode, Failure>> {
        let tried = self.variations.iter().find(|(tried, _)| *tried == variation);
        tried.map(|(_, answered)| answered)
    }

    /// Who was seen on the way, by the answer.
    pub(super) fn seen(&self) -> (Option<String>, Vec<Product>) {
        match &self.outcome {
            Some(Outcome::Answered(response, body)) => product::seen(&response.headers, body),
            _ => (None, Vec::new()),
        }
    }

    /// What is wrong, the worst first; of those that are as bad, the nearest cause first. None for a healthy attempt.
    pub fn findings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        if let Some(arrived) = &self.arrived {
            arrived::compare(&self.request, arrived, &mut findings);
        }
        match &self.outcome {
            None => {}
            Some(Outcome::Failed(failure)) => findings.push(failure.finding()),
            Some(Outcome::Answered(response, body)) => {
                match response.status {
                    StatusCode::SWITCHING_PROTOCOLS => switch::judge(self, response, &mut findings),
                    _ => answer::judge(self, response, body, &mut findings),
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

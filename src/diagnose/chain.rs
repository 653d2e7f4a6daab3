//! Law: of attempts at the same upgrade from outside to inside, where it is lost: between the last that fails and the first
//! that works.

use http::StatusCode;

use super::{Attempt, Diagnosis, Failure, Finding, Severity, Variation};
use crate::head::encode_response;

/// A buffer of this size is what nginx has for the head of a response, by default (4 KiB, one page of memory).
const SMALLEST_BUFFER: usize = 4096;

/// Attempts at the same upgrade: the first at the public URL, each next one a hop further inwards, the last at the
/// application itself.
#[derive(Clone, Debug)]
pub struct Chain {
    findings: Vec<Vec<Finding>>,
    lost_after: Option<usize>,
    works: Vec<bool>,
}

impl Chain {
    /// Looks at all of them. A finding that the attempts beside it make clearer is replaced by a better one.
    pub fn new(attempts: &[Attempt]) -> Self {
        let mut findings: Vec<Vec<Finding>> = attempts.iter().map(Attempt::findings).collect();
        let works: Vec<bool> = attempts.iter().map(Attempt::works).collect();
        let working = works.iter().rev().take_while(|works| **works).count();
        let first_working = attempts.len() - working;
        let lost_after = (working > 0).then(|| first_working.checked_sub(1)).flatten();
        if let (Some(lost_after), Some(inner)) = (lost_after, attempts.get(first_working)) {
            refine(&attempts[lost_after], inner, &mut findings[lost_after]);
        }
        Chain {
            findings,
            lost_after,
            works,
        }
    }

    /// What is wrong with each attempt, in their order.
    pub fn findings(&self) -> &[Vec<Finding>] {
        &self.findings
    }

    /// Whether each attempt works.
    pub fn works(&self) -> &[bool] {
        &self.works
    }

    /// Between which two attempts the upgrade is lost: the last that fails and the first that works. None where all work,
    /// and where the innermost fails: then it is the application's, or nobody gets as far as that.
    pub fn lost_between(&self) -> Option<(usize, usize)> {
        self.lost_after.map(|outer| (outer, outer + 1))
    }
}

/// What works one hop further in is not the application's fault.
fn refine(outer: &Attempt, inner: &Attempt, findings: &mut Vec<Finding>) {
    let Some(mut better) = better(outer, inner, findings) else {
        return;
    };
    let (seen, products) = outer.seen();
    better.seen_on_the_way(seen, &products);
    // Suppositions go, and what a certain finding explains.
    let explains = better.is_certain();
    findings.retain(|finding| {
        finding.severity() > Severity::Error || finding.is_certain() && !(explains && may_be_a_loss(finding))
    });
    findings.insert(0, better);
}

fn better(outer: &Attempt, inner: &Attempt, findings: &[Finding]) -> Option<Finding> {
    let found = |diagnosis| findings.iter().any(|finding| finding.diagnosis() == diagnosis);
    let head = head_length(inner);
    if found(Diagnosis::BadGateway) && head >= SMALLEST_BUFFER {
        let detail = format!("it has {head} bytes one hop further in");
        return Some(Finding::likely(Diagnosis::ResponseHeadTooLarge).detail(detail));
    }
    if !findings.iter().any(may_be_a_loss) {
        return None;
    }
    let same = "the answer is that which is given one hop further in to the same request without Upgrade";
    match inner.answer_to(Variation::WithoutUpgrade) {
        Some(Ok(status)) if answered(outer, *status) => {
            Some(Finding::certain(Diagnosis::UpgradeLost).detail(same))
        }
        Some(Err(failure)) if is_failure_of(outer, failure) => {
            Some(Finding::certain(Diagnosis::UpgradeLost).detail(same))
        }
        // What a proxy makes of a server that closes instead of an answer. There are other reasons.
        Some(Err(Failure::Closed | Failure::Reset)) if answered(outer, StatusCode::BAD_GATEWAY) => Some(
            Finding::likely(Diagnosis::UpgradeLost).detail("one hop further in nothing else is answered"),
        ),
        _ if found(Diagnosis::UpgradeLost) => {
            Some(Finding::likely(Diagnosis::UpgradeLost).detail("one hop further in it is a 101"))
        }
        _ => None,
    }
}

fn head_length(attempt: &Attempt) -> usize {
    let mut bytes = Vec::new();
    if let Some(response) = attempt.response() {
        encode_response(response, &mut bytes);
    }
    bytes.len()
}

fn answered(attempt: &Attempt, status: StatusCode) -> bool {
    attempt
        .response()
        .is_some_and(|response| response.status == status)
}

/// Whether it failed in the same way; a proxy that has waited for as long as it may says so by 504.
fn is_failure_of(outer: &Attempt, inner: &Failure) -> bool {
    match inner {
        Failure::Unanswered => outer.failure() == Some(inner) || answered(outer, StatusCode::GATEWAY_TIMEOUT),
        Failure::Closed | Failure::Reset => outer.failure() == Some(inner),
        _ => false,
    }
}

/// What an upgrade that was lost looks like from outside: whatever the origin says to an ordinary request. A server of
/// WebSocket alone may not answer one at all.
fn may_be_a_loss(finding: &Finding) -> bool {
    match finding.diagnosis() {
        // The page of a proxy's own is certain, and no page of the origin's.
        Diagnosis::UpgradeLost | Diagnosis::NotFound | Diagnosis::MethodChanged => !finding.is_certain(),
        Diagnosis::NoAnswer
        | Diagnosis::ClosedUnanswered
        | Diagnosis::ResetUnanswered
        | Diagnosis::BadGateway
        | Diagnosis::GatewayTimeout
        | Diagnosis::UnexpectedStatus
        | Diagnosis::ServerError => true,
        _ => false,
    }
}

//! Law: of attempts at the same upgrade from outside to inside, where it is lost: between the last that fails and the first
//! that works.

use http::StatusCode;

use super::{Attempt, Diagnosis, Finding, Severity, Variation};
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
    let mut better = Vec::new();
    let head = inner.response().map_or(0, |response| {
        let mut bytes = Vec::new();
        encode_response(response, &mut bytes);
        bytes.len()
    });
    if head >= SMALLEST_BUFFER
        && findings
            .iter()
            .any(|finding| finding.diagnosis() == Diagnosis::BadGateway)
    {
        let detail = format!("it has {head} bytes one hop further in");
        better.push(Finding::likely(Diagnosis::ResponseHeadTooLarge).detail(detail));
    } else if findings.iter().any(may_be_a_loss) {
        if answers_as_without_upgrade(outer, inner) {
            let detail =
                "the answer is that which is given one hop further in to the same request without Upgrade";
            better.push(Finding::certain(Diagnosis::UpgradeLost).detail(detail));
        } else if findings
            .iter()
            .any(|finding| finding.diagnosis() == Diagnosis::UpgradeLost)
        {
            let detail = "one hop further in it is a 101";
            better.push(Finding::likely(Diagnosis::UpgradeLost).detail(detail));
        }
    }
    if better.is_empty() {
        return;
    }
    let (seen, products) = outer.seen();
    for finding in &mut better {
        finding.seen_on_the_way(seen.clone(), &products);
    }
    // Suppositions go, and what a certain finding explains.
    let explained = better.iter().all(Finding::is_certain);
    findings.retain(|finding| {
        finding.severity() > Severity::Error || finding.is_certain() && !(explained && may_be_a_loss(finding))
    });
    better.append(findings);
    *findings = better;
}

/// What an upgrade that was lost looks like from outside: whatever the origin says to an ordinary request. A server of
/// WebSocket alone may not answer one at all.
fn may_be_a_loss(finding: &Finding) -> bool {
    match finding.diagnosis() {
        Diagnosis::UpgradeLost => !finding.is_certain(),
        Diagnosis::NotFound
        | Diagnosis::NoAnswer
        | Diagnosis::ClosedUnanswered
        | Diagnosis::ResetUnanswered
        | Diagnosis::BadGateway
        | Diagnosis::GatewayTimeout
        | Diagnosis::UnexpectedStatus
        | Diagnosis::ServerError => true,
        _ => false,
    }
}

fn answers_as_without_upgrade(outer: &Attempt, inner: &Attempt) -> bool {
    let Some(without) = inner.status_of(Variation::WithoutUpgrade) else {
        return false;
    };
    let answered = outer.response().map(|response| response.status);
    match without {
        Some(status) => answered == Some(status),
        // Not 502: that comes at once.
        None => answered.is_none_or(|status| status == StatusCode::GATEWAY_TIMEOUT),
    }
}

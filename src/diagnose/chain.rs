//! Where an upgrade is lost, of attempts from outside to inside: between the last that fails and the first that works. What is
//! concluded from two answers is supposed: neither shows what arrived.

use http::StatusCode;

use super::{Answer, Attempt, Diagnosis, Failure, Finding, Severity, Variation};
use crate::http1::encode_response;

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
    #[must_use]
    pub fn findings(&self) -> &[Vec<Finding>] {
        &self.findings
    }

    /// Whether each attempt works.
    #[must_use]
    pub fn works(&self) -> &[bool] {
        &self.works
    }

    /// Between which two attempts the upgrade is lost: the last that fails and the first that works. None where all work,
    /// and where the innermost fails: then it is the application's, or nobody gets as far as that.
    #[must_use]
    pub fn lost_between(&self) -> Option<(usize, usize)> {
        self.lost_after.map(|outer| (outer, outer + 1))
    }
}

/// What works one hop further in is not the application's fault.
fn refine(outer: &Attempt, inner: &Attempt, findings: &mut Vec<Finding>) {
    let Some(Better {
        mut finding,
        explains,
    }) = better(outer, inner, findings)
    else {
        return;
    };
    let (seen, products) = outer.seen();
    finding.seen_on_the_way(seen, &products);
    let same = finding.diagnosis();
    let first = findings
        .iter()
        .position(|found| found.diagnosis() == same && !explains);
    // Suppositions go, and so does what the better finding explains.
    findings.retain(|found| {
        found.severity() > Severity::Error || found.is_certain() && !(explains && may_be_a_loss(found))
    });
    let place = first.unwrap_or(0).min(findings.len());
    findings.insert(place, finding);
}

fn found(findings: &[Finding], diagnosis: Diagnosis) -> bool {
    findings.iter().any(|finding| finding.diagnosis() == diagnosis)
}

/// A finding that two attempts allow, and one does not.
struct Better {
    finding: Finding,
    /// Whether it says why the answer is what it is. Nothing is certain of it: what arrived was not seen.
    explains: bool,
}

fn better(outer: &Attempt, inner: &Attempt, findings: &[Finding]) -> Option<Better> {
    let found = |diagnosis| found(findings, diagnosis);
    let better = |diagnosis, detail: &dyn std::fmt::Display, explains| {
        let finding = Finding::likely(diagnosis).detail(detail);
        Some(Better { finding, explains })
    };
    let head = response_length(inner);
    if found(Diagnosis::BadGateway) && head >= SMALLEST_BUFFER {
        let detail = format!("it has {head} bytes one hop further in");
        return better(Diagnosis::ResponseHeadTooLarge, &detail, false);
    }
    if !findings.iter().any(may_be_a_loss) {
        return None;
    }
    let without = inner.answer_to(Variation::WithoutUpgrade);
    let to_same = |request: &str| {
        let words = outer
            .answer()
            .map_or("no answer".to_owned(), Answer::status_and_words);
        format!("{words}, as one hop further in to the same request {request}")
    };
    match without {
        Some(Ok(answer)) if answered(outer, answer) => {
            return better(Diagnosis::UpgradeLost, &to_same("without Upgrade"), true);
        }
        Some(Err(failure)) if is_failure_of(outer, failure) => {
            return better(Diagnosis::UpgradeLost, &to_same("without Upgrade"), true);
        }
        // What a proxy makes of a server that closes instead of an answer. There are other reasons.
        Some(Err(Failure::Closed | Failure::Reset)) if found(Diagnosis::BadGateway) => {
            let detail = "one hop further in, a request without Upgrade is not answered";
            return better(Diagnosis::UpgradeLost, &detail, false);
        }
        _ => {}
    }
    if let Some(Ok(answer)) = inner.answer_to(Variation::HostPort) {
        if answered(outer, answer) {
            let words = to_same("with another port in Host");
            return better(Diagnosis::HostRefused, &words, true);
        }
    }
    if found(Diagnosis::UpgradeLost) && !found(Diagnosis::RequestRefused) {
        return better(Diagnosis::UpgradeLost, &"one hop further in it is a 101", false);
    }
    None
}

fn response_length(attempt: &Attempt) -> usize {
    let mut bytes = Vec::new();
    if let Some(response) = attempt.response() {
        encode_response(response, &mut bytes);
    }
    bytes.len()
}

fn answered(attempt: &Attempt, with: &Answer) -> bool {
    attempt.answer().is_some_and(|answer| answer.says_the_same(with))
}

/// Whether it failed in the same way; a proxy that has waited for as long as it may says so by 504.
fn is_failure_of(outer: &Attempt, inner: &Failure) -> bool {
    match inner {
        Failure::AnswerTimedOut => {
            let timed_out = |answer: &Answer| answer.status() == StatusCode::GATEWAY_TIMEOUT;
            outer.failure() == Some(inner) || outer.answer().is_some_and(timed_out)
        }
        Failure::Closed | Failure::Reset => outer.failure() == Some(inner),
        _ => false,
    }
}

/// What an upgrade that was lost looks like from outside: whatever the origin answers to an ordinary request. A server of
/// WebSocket alone may not answer one at all.
fn may_be_a_loss(finding: &Finding) -> bool {
    matches!(
        finding.diagnosis(),
        Diagnosis::BadGateway
            | Diagnosis::ClosedUnanswered
            | Diagnosis::GatewayTimeout
            | Diagnosis::MethodNotAllowed
            | Diagnosis::NoAnswer
            | Diagnosis::NotFound
            | Diagnosis::PageServed
            | Diagnosis::Redirect
            | Diagnosis::RedirectToLogin
            | Diagnosis::RequestRefused
            | Diagnosis::ResetUnanswered
            | Diagnosis::ServerError
            | Diagnosis::UnexpectedStatus
    ) || finding.diagnosis() == Diagnosis::UpgradeLost && !finding.is_certain()
}

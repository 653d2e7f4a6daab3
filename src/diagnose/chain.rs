//! Law: of attempts at the same upgrade from outside to inside, where it is lost: between the last that fails and the first
//! that works.

use super::{Attempt, Diagnosis, Finding};
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

/// What one hop further in works cannot be the application's fault.
fn refine(outer: &Attempt, inner: &Attempt, findings: &mut [Finding]) {
    let head = inner.response().map_or(0, |response| {
        let mut bytes = Vec::new();
        encode_response(response, &mut bytes);
        bytes.len()
    });
    for finding in findings {
        let better = match finding.diagnosis() {
            Diagnosis::BadGateway if head >= SMALLEST_BUFFER => {
                let detail = format!("it has {head} bytes one hop further in");
                Finding::likely(Diagnosis::ResponseHeadTooLarge).detail(detail)
            }
            Diagnosis::UpgradeLost if !finding.is_certain() => {
                Finding::certain(Diagnosis::UpgradeLost).detail("one hop further in it is a 101")
            }
            _ => continue,
        };
        let seen = finding.seen().map(str::to_owned);
        let products = outer.products();
        *finding = better;
        finding.seen_on_the_way(seen, &products);
    }
}

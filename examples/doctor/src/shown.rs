//! The report, to be read: the verdict first, then each URL with its findings, then what shows them.

use std::fmt::Write as _;

use switchover::diagnose::{Chain, Finding, Severity};

use super::evidence::lines;
use super::examination::Examination;
use super::secrets::Secrets;
use super::url::Url;

/// All that was found.
pub(crate) struct Report<'a> {
    pub(crate) urls: &'a [Url],
    pub(crate) examinations: &'a [Examination],
    pub(crate) chain: &'a Chain,
    pub(crate) secrets: &'a Secrets,
}

impl Report<'_> {
    pub(crate) fn url(&self, index: usize) -> String {
        self.secrets.mask(&self.urls[index].to_string())
    }

    pub(crate) fn notes(&self, index: usize) -> Vec<String> {
        let notes = self.examinations[index].notes.iter();
        notes.map(|note| self.secrets.mask(note)).collect()
    }

    /// In one line: where it fails, why, and what to change.
    pub(crate) fn verdict(&self) -> String {
        let works = self.chain.works();
        let last = works.len() - 1;
        let single = works.len() == 1;
        let (at, start) = match self.chain.lost_between() {
            Some((outer, inner)) => {
                let (outside, inside) = (self.url(outer), self.url(inner));
                (outer, format!("It works at {inside} and fails at {outside}: "))
            }
            None if works.iter().all(|works| *works) => {
                let worst = self
                    .chain
                    .findings()
                    .iter()
                    .position(|found| warning(found).is_some());
                match worst {
                    None if single => return "It works.".to_owned(),
                    None => return "It works at all URLs.".to_owned(),
                    Some(at) => (at, "It works, with a warning: ".to_owned()),
                }
            }
            None if single => (last, "It fails: ".to_owned()),
            None => (
                last,
                format!("It fails at the innermost URL too, {}: ", self.url(last)),
            ),
        };
        // A URL that fails has an error; an answer that is no switch to a request that is no handshake has none.
        let Some(finding) = warning(&self.chain.findings()[at]) else {
            return format!(
                "{start}the request that was sent is no WebSocket handshake. Remove --header flags."
            );
        };
        let line = match finding.lines()[..] {
            [(product, line)] => format!(" In {product}: {line}"),
            _ => String::new(),
        };
        let sentence = self.secrets.mask(&finding.sentence());
        format!("{start}{sentence}. {}{line}", finding.change())
    }

    /// Whether something is wrong, and not just worth knowing.
    pub(crate) fn has_a_fault(&self) -> bool {
        let works = self.chain.works().iter().all(|works| *works);
        !works || self.chain.findings().iter().any(|found| warning(found).is_some())
    }

    pub(crate) fn as_text(&self) -> String {
        let mut text = format!("{}\n\n", self.verdict());
        for index in 0..self.urls.len() {
            // Writing to a String cannot fail.
            let _ = self.one(&mut text, index);
        }
        text
    }

    fn one(&self, text: &mut String, index: usize) -> std::fmt::Result {
        writeln!(text, "{}", self.url(index))?;
        let findings = &self.chain.findings()[index];
        if findings.is_empty() && self.chain.works()[index] {
            writeln!(text, "  ok: the upgrade works, and nothing is wrong")?;
        }
        for finding in findings {
            let sentence = self.secrets.mask(&finding.sentence());
            writeln!(text, "  {} {}: {sentence}", finding.severity(), finding.name())?;
            if let Some(seen) = finding.seen() {
                writeln!(text, "    seen       {}", self.secrets.mask(seen))?;
            }
            writeln!(text, "    change     {}", finding.change())?;
            for (product, line) in finding.lines() {
                writeln!(text, "    {product:<11}{line}")?;
            }
            writeln!(text, "    source     {}", finding.reference())?;
        }
        for line in lines(&self.examinations[index], self.secrets) {
            writeln!(text, "  | {line}")?;
        }
        for note in self.notes(index) {
            writeln!(text, "  | {note}")?;
        }
        writeln!(text)
    }
}

/// The first that is no mere notice; the worst come first.
fn warning(findings: &[Finding]) -> Option<&Finding> {
    findings
        .iter()
        .find(|finding| finding.severity() < Severity::Notice)
}

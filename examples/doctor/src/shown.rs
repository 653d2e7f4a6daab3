//! What was found, to be read: the hop first, then each URL with its findings, then what shows them.

use std::fmt::Write as _;

use switchover::diagnose::{Attempt, Chain, Finding};

use super::evidence::{lines, shown};
use super::url::Url;

pub(crate) fn as_text(urls: &[Url], attempts: &[Attempt], notes: &[Vec<String>], chain: &Chain) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = summary(&mut text, urls, chain);
    for (index, (url, attempt)) in urls.iter().zip(attempts).enumerate() {
        let _ = one(&mut text, url, attempt, &notes[index], &chain.findings()[index]);
    }
    text
}

fn summary(text: &mut String, urls: &[Url], chain: &Chain) -> std::fmt::Result {
    if urls.len() < 2 {
        return Ok(());
    }
    match chain.lost_between() {
        Some((outer, inner)) => writeln!(
            text,
            "The upgrade is lost between {} and {}: look at the configuration of what answers at the former.\n",
            urls[outer], urls[inner]
        ),
        None if chain.works().iter().all(|works| *works) => {
            writeln!(text, "The upgrade works at all URLs.\n")
        }
        None => writeln!(
            text,
            "The upgrade fails at the innermost URL too, {}: begin there.\n",
            urls[urls.len() - 1]
        ),
    }
}

fn one(
    text: &mut String,
    url: &Url,
    attempt: &Attempt,
    notes: &[String],
    findings: &[Finding],
) -> std::fmt::Result {
    writeln!(text, "{url}")?;
    if findings.is_empty() {
        writeln!(text, "  ok: the upgrade works, and nothing is wrong")?;
    }
    for finding in findings {
        writeln!(
            text,
            "  {} {}: {}",
            finding.severity(),
            finding.name(),
            shown(&finding.sentence())
        )?;
        if let Some(seen) = finding.seen() {
            writeln!(text, "    seen       {}", shown(seen))?;
        }
        writeln!(text, "    change     {}", finding.change())?;
        for (product, line) in finding.lines() {
            writeln!(text, "    {product:<11}{line}")?;
        }
        writeln!(text, "    source     {}", finding.source())?;
    }
    for line in lines(attempt) {
        writeln!(text, "  | {line}")?;
    }
    for note in notes {
        writeln!(text, "  | {note}")?;
    }
    writeln!(text)
}

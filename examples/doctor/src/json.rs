//! What was found, as JSON: for programs, by the names that stay.

use serde_json::{Map, Value, json};
use switchover::diagnose::{Attempt, Chain, Finding};

use super::evidence::lines;
use super::url::Url;

pub(crate) fn of(urls: &[Url], attempts: &[Attempt], notes: &[Vec<String>], chain: &Chain) -> String {
    let each = urls
        .iter()
        .zip(attempts)
        .enumerate()
        .map(|(index, (url, attempt))| {
            let findings: Vec<Value> = chain.findings()[index].iter().map(finding).collect();
            let evidence: Vec<String> = lines(attempt).into_iter().chain(notes[index].clone()).collect();
            json!({
                "url": url.to_string(),
                "works": chain.works()[index],
                "status": attempt.response().map(|response| response.status.as_u16()),
                "findings": findings,
                "evidence": evidence,
            })
        });
    let lost = chain.lost_between();
    let whole = json!({
        "urls": each.collect::<Vec<Value>>(),
        "lost_between": lost.map(|(outer, inner)| [urls[outer].to_string(), urls[inner].to_string()]),
    });
    format!("{whole}\n")
}

fn finding(finding: &Finding) -> Value {
    let lines = finding.lines().into_iter();
    let lines: Map<String, Value> = lines
        .map(|(product, line)| (product.to_string(), line.into()))
        .collect();
    json!({
        "name": finding.name(),
        "severity": finding.severity().to_string(),
        "certain": finding.is_certain(),
        "sentence": finding.sentence(),
        "seen": finding.seen(),
        "change": finding.change(),
        "lines": lines,
        "source": finding.source(),
    })
}

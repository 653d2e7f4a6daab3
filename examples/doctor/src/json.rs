//! The report as JSON, by names that stay. The table of its fields is in the README of this program.

use serde_json::{Map, Value, json};
use switchover::diagnose::Finding;

use super::evidence::{Body, lines, status_line};
use super::shown::Report;

/// It is raised when a field is removed or changes its meaning. New fields do not raise it.
const FORMAT: u32 = 1;

pub(crate) fn of(report: &Report<'_>) -> String {
    let secrets = report.secrets;
    let each = report
        .examinations
        .iter()
        .enumerate()
        .map(|(index, examination)| {
            let findings = report.chain.findings()[index].iter();
            let findings: Vec<Value> = findings.map(|found| finding(found, report)).collect();
            let lines = lines(examination, secrets);
            let evidence: Vec<String> = lines.into_iter().chain(report.notes(index)).collect();
            let body = Body::of(examination, secrets).map(|body| {
                json!({
                    "kind": body.kind.to_string(),
                    "bytes": body.bytes,
                    "cut": body.is_cut,
                    "text": (!body.text.is_empty()).then_some(body.text),
                })
            });
            json!({
                "url": report.url(index),
                "works": report.chain.works()[index],
                "status": examination.attempt.response().map(|response| response.status.as_u16()),
                "status_line": status_line(examination, secrets),
                "body": body,
                "findings": findings,
                "evidence": evidence,
            })
        });
    let lost = report.chain.lost_between();
    let whole = json!({
        "format": FORMAT,
        "version": env!("CARGO_PKG_VERSION"),
        "verdict": report.verdict(),
        "urls": each.collect::<Vec<Value>>(),
        "lost_between": lost.map(|(outer, inner)| [report.url(outer), report.url(inner)]),
    });
    format!("{whole}\n")
}

fn finding(finding: &Finding, report: &Report<'_>) -> Value {
    let lines = finding.lines().into_iter();
    let lines: Map<String, Value> = lines
        .map(|(product, line)| (product.to_string(), line.into()))
        .collect();
    json!({
        "name": finding.name(),
        "severity": finding.severity().to_string(),
        "certain": finding.is_certain(),
        "sentence": report.secrets.mask(&finding.sentence()),
        "seen": finding.seen().map(|seen| report.secrets.mask(seen)),
        "change": finding.change(),
        "lines": lines,
        "source": finding.reference(),
    })
}

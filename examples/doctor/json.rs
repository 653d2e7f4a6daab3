//! What was found, as JSON: for programs, by the names that stay.

use std::fmt::Write as _;

use switchover::diagnose::{Attempt, Chain, Finding};

use super::evidence::lines;
use super::url::Url;

pub(crate) fn of(urls: &[Url], attempts: &[Attempt], notes: &[Vec<String>], chain: &Chain) -> String {
    let each = urls
        .iter()
        .zip(attempts)
        .enumerate()
        .map(|(index, (url, attempt))| {
            let status = attempt
                .response()
                .map(|response| response.status.as_u16().to_string());
            object(&[
                ("url", string(&url.to_string())),
                ("works", chain.works()[index].to_string()),
                ("status", status.unwrap_or("null".to_owned())),
                ("findings", array(chain.findings()[index].iter().map(finding))),
                (
                    "evidence",
                    array(
                        lines(attempt)
                            .iter()
                            .chain(&notes[index])
                            .map(|line| string(line)),
                    ),
                ),
            ])
        });
    let lost = chain.lost_between().map(|(outer, inner)| {
        array(
            [&urls[outer], &urls[inner]]
                .into_iter()
                .map(|url| string(&url.to_string())),
        )
    });
    let whole = object(&[
        ("urls", array(each)),
        ("lost_between", lost.unwrap_or("null".to_owned())),
    ]);
    format!("{whole}\n")
}

fn finding(finding: &Finding) -> String {
    let lines = finding.lines().into_iter();
    let lines: Vec<(String, String)> = lines
        .map(|(product, line)| (product.to_string(), string(line)))
        .collect();
    let lines: Vec<(&str, String)> = lines
        .iter()
        .map(|(product, line)| (&**product, line.clone()))
        .collect();
    object(&[
        ("name", string(finding.name())),
        ("severity", string(&finding.severity().to_string())),
        ("certain", finding.is_certain().to_string()),
        ("sentence", string(&finding.sentence())),
        ("seen", finding.seen().map_or("null".to_owned(), string)),
        ("change", string(finding.change())),
        ("lines", object(&lines)),
        ("source", string(finding.source())),
    ])
}

fn object(members: &[(&str, String)]) -> String {
    let members: Vec<String> = members
        .iter()
        .map(|(name, value)| format!("{}:{value}", string(name)))
        .collect();
    format!("{{{}}}", members.join(","))
}

fn array(elements: impl IntoIterator<Item = String>) -> String {
    let elements: Vec<String> = elements.into_iter().collect();
    format!("[{}]", elements.join(","))
}

/// RFC 8259, section 7.
fn string(text: &str) -> String {
    let mut escaped = String::from("\"");
    for char in text.chars() {
        match char {
            '"' | '\\' => escaped.extend(['\\', char]),
            // Writing to a String cannot fail.
            char if char.is_control() => drop(write!(escaped, "\\u{:04x}", u32::from(char))),
            char => escaped.push(char),
        }
    }
    escaped.push('"');
    escaped
}

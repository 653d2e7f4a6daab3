//! The manual says nothing that no test holds: each row of its pages on threats and defaults, and each entry of its page on
//! departures, names the tests that would fail if it were not so, in a comment at its end, `<!-- tests/…/file.rs::name -->`.

use std::path::Path;

const THREATS: &str = include_str!("../src/manual/threats.md");
const DEFAULTS: &str = include_str!("../src/manual/defaults.md");
const OPERATORS: &str = include_str!("../src/manual/operators.md");
const GATEWAY: &str = include_str!("../examples/gateway/README.md");
const DEPARTURES: &str = include_str!("../src/manual/departures.md");

/// The rows of a page's table, without its head.
fn rows(page: &str) -> Vec<&str> {
    let mut rows = page.lines().filter(|line| line.starts_with('|'));
    rows.by_ref()
        .find(|line| line.starts_with("|---"))
        .expect("a table");
    rows.collect()
}

/// The entries of a page's lists, each with the lines that belong to it.
fn entries(page: &str) -> Vec<&str> {
    page.split("\n- ").skip(1).collect()
}

/// The tests that a row names.
fn tests_of(row: &str) -> Vec<&str> {
    let comment = row
        .split_once("<!--")
        .and_then(|(_, rest)| rest.split_once("-->"));
    comment.map_or(Vec::new(), |(names, _)| names.split_whitespace().collect())
}

/// Whether a file has a test of this name: a function under an attribute, or one of those that run mirrored.
fn has_test(file: &str, name: &str) -> bool {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    lines.iter().enumerate().any(|(at, line)| {
        let is_it = line.contains(&format!("fn {name}("));
        let attributes = lines[..at].iter().rev().take_while(|line| line.starts_with('#'));
        let is_test = |line: &&str| line.starts_with("#[test]") || line.starts_with("#[tokio::test");
        let is_mirrored = line.starts_with("virtual_time ") || line.starts_with("real_time ");
        is_it && (is_mirrored || attributes.into_iter().any(is_test))
    })
}

/// What these parts of the manual lack: a test, or one that exists.
fn faults(parts: &[&str]) -> Vec<String> {
    let of_part = |part: &&str| {
        let tests = tests_of(part);
        let none = tests.is_empty().then(|| format!("no test: {part}"));
        let missing = tests.into_iter().filter(|test| {
            let place = test.split_once("::");
            place.is_none_or(|(file, name)| !has_test(file, name))
        });
        let missing: Vec<String> = missing.map(|test| format!("there is no {test}")).collect();
        none.into_iter().chain(missing).collect::<Vec<String>>()
    };
    parts.iter().flat_map(of_part).collect()
}

#[test]
fn every_threat_default_and_departure_is_held_by_a_test() {
    for parts in [rows(THREATS), rows(DEFAULTS), entries(DEPARTURES)] {
        assert!(parts.len() > 40, "{}", parts.len());
        let faults = faults(&parts);
        assert!(faults.is_empty(), "{faults:#?}");
    }
}

/// The README names a test for each thing that a loop of copies forgets, and each of them exists.
#[test]
fn what_the_readme_promises_is_held_by_a_test() {
    let readme = include_str!("../README.md");
    let table = readme.split("## What sixty lines").nth(1).expect("the table");
    let rows = rows(table.split("\n## ").next().unwrap());
    assert!(rows.len() > 9, "{rows:?}");
    for row in rows {
        let test = row.split('`').rev().nth(1).unwrap();
        let (file, name) = test.split_once("::").expect("a file and a test");
        assert!(has_test(file, name), "there is no {test}");
    }
}

/// The words in backticks of a text.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The rows of the table below a heading, cell by cell.
fn table_below<'a>(page: &'a str, heading: &str) -> Vec<Vec<&'a str>> {
    let (_, section) = page.split_once(heading).expect(heading);
    let section = section.split("\n## ").next().unwrap_or(section);
    let cells = |row: &'a str| row.trim_matches('|').split('|').map(str::trim).collect();
    rows(section).into_iter().map(cells).collect()
}

/// What the page says is one thing by several names is called so in the places that it names. That these places say what the code
/// does is for the tests of metrics, of spans, of the access log and of the administration.
#[test]
fn each_word_of_the_table_of_words_stands_in_its_place() {
    let sections = ["## Metrics", "## Spans and events"].map(|heading| {
        let (_, section) = OPERATORS.split_once(heading).expect(heading);
        section.split("\n## ").next().unwrap_or(section)
    });
    let (_, administration) = OPERATORS
        .split_once("## The administration of the program gateway")
        .expect("the administration");
    let administration = administration.to_owned()
        + include_str!("../examples/gateway/src/admin/tunnels.rs")
        + include_str!("../examples/gateway/src/admin/mod.rs")
        + include_str!("../examples/gateway/src/admin/history.rs")
        + include_str!("../examples/gateway/src/health.rs");
    let table = table_below(OPERATORS, "## One word for one thing");
    assert!(table.len() >= 10, "{table:?}");
    let mut missing = Vec::new();
    for row in &table {
        let [what, metrics, spans, log, admin] = row[..] else {
            panic!("five cells: {row:?}");
        };
        for (place, text, cell) in [
            ("metrics", sections[0], metrics),
            ("spans", sections[1], spans),
            ("access log", GATEWAY, log),
            ("administration", &*administration, admin),
        ] {
            let stands = |word: &str| match word.starts_with('.') {
                true => text.contains(word),
                false => [format!("`{word}`"), format!("\"{word}\"")]
                    .iter()
                    .any(|quoted| text.contains(quoted)),
            };
            missing.extend(
                words(cell)
                    .filter(|word| !stands(word))
                    .map(|word| format!("{what}: {word} in {place}")),
            );
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

//! What the library brings into a program: licences that anybody may use, no package in two versions, and as many packages as the
//! manual says.

use std::collections::BTreeMap;
use std::process::Command;

/// The packages of the library with all its features, and what each is licensed under.
fn packages(target: &[&str]) -> BTreeMap<(String, String), String> {
    packages_of(&[&["--features", "full,aws-lc-rs"], target].concat())
}

fn packages_of(arguments: &[&str]) -> BTreeMap<(String, String), String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--package", "switchover", "--locked", "--edges", "normal"])
        .args(["--prefix", "none", "--format", "{lib}|{p}|{l}"])
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).unwrap();
    let packages = text.lines().filter(|line| !line.is_empty()).map(|line| {
        let mut parts = line.trim_end_matches(" (*)").split('|').skip(1);
        let mut package = parts.next().unwrap().split(' ');
        let (name, version) = (package.next().unwrap(), package.next().unwrap());
        let licence = parts.next().unwrap();
        ((name.to_owned(), version.to_owned()), licence.to_owned())
    });
    packages.collect()
}

/// Whether an expression is met by these licences. It has no nesting deeper than alternatives in parentheses.
fn is_met(expression: &str, permitted: &[&str]) -> bool {
    expression.split(" AND ").all(|part| {
        let part = part.trim_matches(['(', ')']).replace(" OR ", "/");
        part.split('/').any(|one| permitted.contains(&one.trim()))
    })
}

const PERMITTED: &[&str] = &["MIT", "Apache-2.0", "ISC", "BSD-3-Clause", "Unicode-3.0"];

#[test]
fn every_package_has_a_permissive_licence() {
    let packages = packages(&["--target", "all"]);
    assert!(packages.len() > 40, "only {} packages", packages.len());
    let refused: Vec<_> = packages
        .iter()
        .filter(|(_, licence)| !is_met(licence, PERMITTED))
        .collect();
    assert!(refused.is_empty(), "{refused:#?}");
}

#[test]
fn no_package_comes_in_two_versions() {
    let packages = packages(&[]);
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, version) in packages.keys() {
        versions.entry(name).or_default().push(version);
    }
    versions.retain(|_, versions| versions.len() > 1);
    assert!(versions.is_empty(), "{versions:#?}");
}

#[test]
fn an_expression_is_met_by_one_of_each_part() {
    for (expression, met) in [
        ("MIT", true),
        ("GPL-3.0-only", false),
        ("GPL-2.0-only OR MIT", true),
        ("Apache-2.0 / MIT", true),
        ("MIT AND GPL-3.0-only", false),
        ("Apache-2.0 AND ISC", true),
        ("(MIT OR GPL-3.0-only) AND ISC", true),
        ("(MIT OR ISC) AND OpenSSL", false),
        ("", false),
    ] {
        assert_eq!(is_met(expression, PERMITTED), met, "{expression:?}");
    }
}

/// The table of the manual's page `performance`: features, and how many packages are in the tree then, the library included.
#[test]
fn the_manual_says_how_many_packages_there_are() {
    let page = include_str!("../src/manual/performance.md");
    let table = page.split("| features | packages |").nth(1).expect("the table");
    let rows: Vec<&str> = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .collect();
    assert!(rows.len() > 8, "{rows:?}");
    for row in rows {
        let [_, features, count, ..] = row.split('|').map(str::trim).collect::<Vec<_>>()[..] else {
            panic!("{row}");
        };
        for features in features.split(", ") {
            let features = features.trim_matches('`').replace("none", "");
            let found = packages_of(&[
                "--no-default-features",
                "--features",
                &features,
                "--target",
                "x86_64-unknown-linux-gnu",
            ]);
            assert_eq!(found.len().to_string(), count, "{features}");
        }
    }
}

//! `limit_conn`: how many requests a client may have at once, by zones that count for each address.

use std::collections::BTreeMap;

use crate::tree::Directive;

use super::{Level, quoted};

/// The zones that have an equivalent, with what each client is allowed there: those whose key is the address, and whose limit is the same
/// wherever they stand.
#[derive(Debug, Default)]
pub(crate) struct Zones(BTreeMap<String, usize>);

impl Zones {
    pub(super) fn of(http: &Directive) -> Zones {
        let by_address = http
            .lines()
            .iter()
            .filter(|line| line.name == "limit_conn_zone")
            .filter(|line| matches!(line.first(), "$binary_remote_addr" | "$remote_addr"));
        let mut uses = Vec::new();
        collect(http.lines(), &mut uses);
        let zones = by_address.filter_map(|line| {
            let name = name(line)?;
            let mut limits = uses
                .iter()
                .filter(|(zone, _)| zone == name)
                .map(|(_, limit)| *limit);
            let limit = limits.next()??;
            limits
                .all(|other| other == Some(limit))
                .then(|| (name.to_owned(), limit))
        });
        Zones(zones.collect())
    }

    /// Whether a `limit_conn` is done.
    pub(super) fn has(&self, line: &Directive) -> bool {
        self.0.contains_key(line.first())
    }

    /// Whether what a `limit_conn_zone` counts is counted.
    pub(super) fn counts(&self, line: &Directive) -> bool {
        name(line).is_some_and(|name| self.0.contains_key(name))
    }

    /// Those of a location, as an expression.
    pub(super) fn places(&self, level: &Level<'_>) -> String {
        let lines = level.all("limit_conn").filter(|line| self.has(line));
        let zones: Vec<String> = lines
            .map(|line| format!("shared.zones[{}].clone()", quoted(line.first())))
            .collect();
        match zones.is_empty() {
            true => "Vec::new()".to_owned(),
            false => format!("vec![{}]", zones.join(", ")),
        }
    }

    /// All of them, as an expression.
    pub(super) fn table(&self) -> String {
        let zones: Vec<String> = self
            .0
            .iter()
            .map(|(name, limit)| format!("({}, PeerCap::new({limit}))", quoted(name)))
            .collect();
        format!("HashMap::from([{}])", zones.join(", "))
    }
}

/// The name in a `limit_conn_zone`.
fn name(line: &Directive) -> Option<&str> {
    line.argument(1).strip_prefix("zone=")?.split(':').next()
}

/// The zone and the limit of each `limit_conn`.
fn collect(lines: &[Directive], uses: &mut Vec<(String, Option<usize>)>) {
    for line in lines {
        if line.name == "limit_conn" {
            uses.push((line.first().to_owned(), line.argument(1).parse().ok()));
        }
        collect(line.lines(), uses);
    }
}

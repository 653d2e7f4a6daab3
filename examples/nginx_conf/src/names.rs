//! The variables that a configuration defines: by `map`, `geo`, `split_clients`, `set`, `auth_request_set`, and by named groups of
//! regular expressions. A variable may be used before it is defined.

use super::findings::Findings;
use super::geo::Geo;
use super::maps::Map;
use super::regex;
use super::split::Split;
use super::text;
use super::tree::Directive;

/// The names, in small letters. A variable has its place among them as its number.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    known: Vec<String>,
    /// `$upstream_response_length` stands somewhere.
    has_body_lengths: bool,
    /// `$upstream_bytes_sent` or `$upstream_bytes_received` does.
    has_byte_counts: bool,
}

/// Where the value of a variable comes from, as long as a request has not been given one.
#[derive(Clone, Debug)]
pub(crate) enum Definition {
    /// `set`, `auth_request_set`, a named group: empty until then.
    Assigned,
    Map(Map),
    Geo(Geo),
    Split(Split),
}

impl Names {
    /// All that these lines define, and the lines within them.
    pub(crate) fn of(lines: &[Directive]) -> Names {
        let mut names = Names::default();
        names.collect(lines);
        names
    }

    pub(crate) fn number(&self, name: &str) -> Option<usize> {
        let lower = name.to_ascii_lowercase();
        self.known.iter().position(|known| *known == lower)
    }

    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether a variable may be asked for the length of an upstream's answer.
    pub(crate) fn has_body_lengths(&self) -> bool {
        self.has_body_lengths
    }

    /// Whether a variable may be asked for how many bytes an upstream was sent, or has sent.
    pub(crate) fn has_byte_counts(&self) -> bool {
        self.has_byte_counts
    }

    fn add(&mut self, name: &str) {
        if !name.is_empty() && self.number(name).is_none() {
            self.known.push(name.to_ascii_lowercase());
        }
    }

    fn collect(&mut self, lines: &[Directive]) {
        for line in lines {
            let names = |name: &str| {
                let mut arguments = line.arguments.iter();
                arguments.any(|argument| argument.to_ascii_lowercase().contains(name))
            };
            self.has_body_lengths |= names("upstream_response_length");
            self.has_byte_counts |= names("upstream_bytes_");
            let defined = match &*line.name {
                "map" | "split_clients" => line.argument(1),
                "geo" => line.arguments.last().map_or("", String::as_str),
                "set" | "auth_request_set" => line.first(),
                "valid_referers" => "$invalid_referer",
                _ => "",
            };
            if let Some((name, "")) = defined.strip_prefix('$').map(text::name) {
                self.add(name);
            }
            if matches!(
                &*line.name,
                "location" | "server_name" | "if" | "rewrite" | "proxy_redirect"
            ) {
                let named = line
                    .arguments
                    .iter()
                    .flat_map(|argument| regex::names_in(argument));
                named.for_each(|name| self.add(&name));
            }
            if line.name == "map" {
                let cases = line.lines().iter().filter(|case| case.name.starts_with('~'));
                let named = cases.flat_map(|case| regex::names_in(&case.name));
                named.for_each(|name| self.add(&name));
            }
            self.collect(line.lines());
        }
    }
}

/// All definitions, by the numbers of their names.
pub(crate) fn definitions(lines: &[&Directive], names: &Names, findings: &mut Findings) -> Vec<Definition> {
    let mut definitions = vec![Definition::Assigned; names.len()];
    for line in lines {
        let read = match &*line.name {
            "map" => super::maps::read(line, names, findings).map(|(name, map)| (name, Definition::Map(map))),
            "geo" => super::geo::read(line, names, findings).map(|(name, geo)| (name, Definition::Geo(geo))),
            "split_clients" => super::split::read(line, names, findings)
                .map(|(name, split)| (name, Definition::Split(split))),
            _ => continue,
        };
        match read {
            Ok((number, definition)) => definitions[number] = definition,
            Err(why) => findings.error(&line.place, format!("{}: {why}", line.name)),
        }
    }
    definitions
}

/// The number of the variable that a line defines.
pub(crate) fn defined(argument: &str, names: &Names) -> Result<usize, String> {
    let name = argument.strip_prefix('$').map(text::name);
    match name {
        Some((name, "")) => names
            .number(name)
            .ok_or_else(|| format!("{argument} is not a variable")),
        _ => Err(format!("\"{argument}\" is not the name of a variable")),
    }
}

//! `map`: a variable whose value is chosen by another value.

use super::findings::Findings;
use super::pattern::Pattern;
use super::text::{self, Text};
use super::tree::Directive;

/// All maps of a configuration, by index.
pub(crate) type Maps = Vec<Map>;

#[derive(Clone, Debug)]
pub(crate) struct Map {
    pub(crate) source: Text,
    cases: Vec<(Case, Text)>,
    default: Text,
}

#[derive(Clone, Debug)]
enum Case {
    /// In small letters.
    Exactly(String),
    Pattern(Pattern),
}

impl Map {
    /// The value for a source: of the text that it is, else of the first pattern that it has, else the default. Texts have
    /// no case.
    pub(crate) fn choose(&self, source: &str) -> &Text {
        let small = source.to_ascii_lowercase();
        let exact = |case: &Case| matches!(case, Case::Exactly(text) if *text == small);
        let pattern = |case: &Case| matches!(case, Case::Pattern(pattern) if pattern.matches(source));
        let find = |fits: &dyn Fn(&Case) -> bool| self.cases.iter().find(|(case, _)| fits(case));
        find(&exact)
            .or_else(|| find(&pattern))
            .map_or(&self.default, |(_, value)| value)
    }
}

/// The names of the variables that maps define. They may be used before their maps are read.
pub(crate) fn names(maps: &[&Directive], findings: &mut Findings) -> Vec<String> {
    let mut names = Vec::new();
    for map in maps {
        let name = map.argument(1).strip_prefix('$').map(text::name);
        match name {
            Some((name, "")) if !name.is_empty() && map.arguments.len() == 2 => names.push(name.to_owned()),
            _ => {
                findings.error(&map.place, "map takes a value and the name of a variable");
                names.push(String::new());
            }
        }
    }
    names
}

/// Whether a condition asks for what a map has chosen, itself or by way of another map: then a case that is never chosen could
/// open what the condition keeps closed.
pub(crate) fn are_asked_for(lines: &[Directive], names: &[String]) -> bool {
    let names_one = |argument: &String| {
        let mut variables = argument
            .split('$')
            .skip(1)
            .map(|rest| rest.trim_start_matches('{'));
        variables.any(|rest| names.iter().any(|name| text::name(rest).0 == name.as_str()))
    };
    lines.iter().any(|line| {
        let asks = line.name == "if" && line.arguments.iter().any(names_one);
        asks || are_asked_for(line.lines(), names)
    })
}

/// A map with its values.
pub(crate) fn read(map: &Directive, names: &[String], are_asked_for: bool, findings: &mut Findings) -> Map {
    let mut read = Map {
        source: Text::parse(map.first(), names, &map.place, findings),
        cases: Vec::new(),
        default: Text::default(),
    };
    for line in map.lines() {
        let value = match (&*line.name, &line.arguments[..]) {
            ("hostnames" | "volatile", []) => {
                if line.name == "hostnames" {
                    findings.warning(
                        &line.place,
                        "hostnames is not carried out: texts are compared as they are",
                    );
                }
                continue;
            }
            (_, [value]) => Text::parse(value, names, &line.place, findings),
            _ => {
                findings.error(&line.place, "a line of map is a text and its value");
                continue;
            }
        };
        match line.name.strip_prefix('~') {
            Some(_) => match line.name.parse::<Pattern>() {
                Ok(pattern) => read.cases.push((Case::Pattern(pattern), value)),
                Err(why) if are_asked_for => {
                    let text = format!("{}: {why}, and an if asks for what a map has chosen", line.name);
                    findings.error(&line.place, text);
                }
                Err(why) => findings.warning(&line.place, format!("{}: {why}: never chosen", line.name)),
            },
            None if line.name == "default" => read.default = value,
            None => {
                // A backslash in front makes a text of what would be something else.
                let text = line.name.strip_prefix('\\').unwrap_or(&line.name);
                read.cases.push((Case::Exactly(text.to_ascii_lowercase()), value));
            }
        }
    }
    read
}

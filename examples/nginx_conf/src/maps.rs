//! `map`: a variable whose value is chosen by another value.

use std::collections::HashMap;

use super::findings::Findings;
use super::names::{self, Names};
use super::regex::{Captures, GivenUp, Regex};
use super::text::Text;
use super::tree::Directive;

#[derive(Clone, Debug)]
pub(crate) struct Map {
    pub(crate) source: Text,
    /// In small letters. Of two the first holds.
    exact: HashMap<String, Text>,
    /// `hostnames`: by what a name ends with, the longest first, and by what it begins with.
    ends: Vec<(String, Text)>,
    begins: Vec<(String, Text)>,
    patterns: Vec<(Regex, Text)>,
    default: Text,
    has_hostnames: bool,
    /// The value is chosen whenever it is asked for, not once for a request.
    pub(crate) is_volatile: bool,
}

/// What was chosen, and the groups of the regular expression by which it was.
pub(crate) struct Chosen<'a> {
    pub(crate) value: &'a Text,
    pub(crate) by: Option<(&'a Regex, Captures)>,
}

impl Map {
    /// The value for a source: of the text that it is, else of a name with a mask, else of the first pattern that it has, else
    /// the default. Texts have no case.
    pub(crate) fn choose(&self, source: &str) -> Result<Chosen<'_>, GivenUp> {
        let mut small = source.to_ascii_lowercase();
        if self.has_hostnames && small.ends_with('.') {
            small.pop();
        }
        let exact = self.exact.get(&small);
        let masked = || {
            let ends = self.ends.iter().find(|(suffix, _)| small.ends_with(&**suffix));
            let found = ends.or_else(|| {
                self.begins
                    .iter()
                    .find(|(prefix, _)| small.starts_with(&**prefix))
            });
            found.map(|(_, value)| value)
        };
        if let Some(value) = exact.or_else(masked) {
            return Ok(Chosen { value, by: None });
        }
        for (regex, value) in &self.patterns {
            if let Some(captures) = regex.captures(source)? {
                let by = Some((regex, captures));
                return Ok(Chosen { value, by });
            }
        }
        Ok(Chosen {
            value: &self.default,
            by: None,
        })
    }

    fn add(&mut self, case: &str, value: Text) -> Result<(), String> {
        if let Some(escaped) = case.strip_prefix('\\') {
            self.exact.entry(escaped.to_ascii_lowercase()).or_insert(value);
            return Ok(());
        }
        let small = case.to_ascii_lowercase();
        match case {
            "default" => self.default = value,
            _ if case.starts_with('~') => self.patterns.push((Regex::behind_tilde(case)?, value)),
            _ if !self.has_hostnames => {
                self.exact.entry(small).or_insert(value);
            }
            _ => {
                if let Some(suffix) = small.strip_prefix('*').filter(|suffix| suffix.starts_with('.')) {
                    self.ends.push((suffix.to_owned(), value));
                } else if let Some(bare) = small.strip_prefix('.') {
                    self.exact.entry(bare.to_owned()).or_insert(value.clone());
                    self.ends.push((small, value));
                } else if let Some(prefix) = small.strip_suffix('*').filter(|prefix| prefix.ends_with('.')) {
                    self.begins.push((prefix.to_owned(), value));
                } else {
                    self.exact.entry(small).or_insert(value);
                }
            }
        }
        Ok(())
    }
}

/// A map with its values, and the number of the variable that it defines.
pub(crate) fn read(map: &Directive, names: &Names, findings: &mut Findings) -> Result<(usize, Map), String> {
    let [source, variable] = &map.arguments[..] else {
        return Err("it takes a value and the name of a variable".to_owned());
    };
    let number = names::defined(variable, names)?;
    let has = |name: &str| {
        map.lines()
            .iter()
            .any(|line| line.name == name && line.arguments.is_empty())
    };
    let mut read = Map {
        source: Text::parse(source, names, &map.place, findings),
        exact: HashMap::new(),
        ends: Vec::new(),
        begins: Vec::new(),
        patterns: Vec::new(),
        default: Text::default(),
        has_hostnames: has("hostnames"),
        is_volatile: has("volatile"),
    };
    for line in map.lines() {
        match (&*line.name, &line.arguments[..]) {
            ("hostnames" | "volatile", []) => {}
            (case, [value]) => {
                let value = Text::parse(value, names, &line.place, findings);
                if let Err(why) = read.add(case, value) {
                    findings.error(&line.place, why);
                }
            }
            _ => findings.error(&line.place, "a line of map is a text and its value"),
        }
    }
    // The longest mask holds.
    read.ends
        .sort_by_key(|(suffix, _)| std::cmp::Reverse(suffix.len()));
    read.begins
        .sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
    Ok((number, read))
}

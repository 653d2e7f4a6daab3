//! Values with variables: parsed once, put together for each request.

use std::borrow::Cow;

use switchover::header::rules::Template;

pub(crate) use super::asked::Asked;

use super::findings::{Findings, Place};
use super::names::Names;
use super::variable_names::{Plain, is_nginxs};
use super::variables::Own;

/// The variables of what comes in and goes out by its own name.
const FAMILIES: [&str; 6] = [
    "http_",
    "arg_",
    "cookie_",
    "sent_http_",
    "upstream_http_",
    "upstream_cookie_",
];

/// A value with variables.
#[derive(Clone, Debug, Default)]
pub(crate) struct Text {
    source: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug)]
enum Part {
    Literal(String),
    /// One variable of the library's.
    Library(Template),
    Own(Own),
    /// One that the configuration defines, by its number.
    Defined(usize),
    /// One of a family that the configuration defines too: its own value until then.
    Either(usize, Box<Part>),
    /// A group of the last regular expression.
    Group(usize),
}

impl Text {
    /// What a decision may depend on: a variable that is not there is an error.
    pub(crate) fn parse(source: &str, names: &Names, place: &Place, findings: &mut Findings) -> Text {
        Text::read(source, names, place, findings, Findings::error)
    }

    /// What only goes into a field or a log: one of nginx's variables that is not there stands for nothing, with a warning.
    pub(crate) fn parse_shown(source: &str, names: &Names, place: &Place, findings: &mut Findings) -> Text {
        Text::read(source, names, place, findings, Findings::warning)
    }

    fn read(
        source: &str,
        names: &Names,
        place: &Place,
        findings: &mut Findings,
        missing: fn(&mut Findings, &Place, String),
    ) -> Text {
        let mut parts = Vec::new();
        let mut rest = source;
        while let Some((before, after)) = rest.split_once('$') {
            if !before.is_empty() {
                parts.push(Part::Literal(before.to_owned()));
            }
            let (name, after) = name(after);
            rest = after;
            match Part::variable(name, names) {
                Some(part) => parts.push(part),
                None if name.is_empty() => {
                    let text = format!("{source:?}: a dollar sign stands before the name of a variable");
                    findings.error(place, text);
                }
                None if is_nginxs(name) => {
                    let text = format!("the variable ${name} is not carried out: it stands for nothing");
                    missing(findings, place, text);
                    parts.push(Part::Own(Own::Plain(Plain::NotHere)));
                }
                None => {
                    let text = format!("there is no variable ${name}; nginx does not start either");
                    findings.error(place, text);
                }
            }
        }
        if !rest.is_empty() {
            parts.push(Part::Literal(rest.to_owned()));
        }
        Text {
            source: source.to_owned(),
            parts,
        }
    }

    /// Whether a variable is there without the configuration, so that nothing else may define it. Those of a family, as
    /// `$http_NAME`, may be.
    pub(crate) fn has_own_value(variable: &str) -> bool {
        let name = variable.strip_prefix('$').map_or("", |rest| name(rest).0);
        let of_family = FAMILIES
            .iter()
            .any(|family| name.to_ascii_lowercase().starts_with(family));
        let is_librarys = || format!("${{{name}}}").parse::<Template>().is_ok();
        !of_family && (Own::named(name).is_some() || is_librarys())
    }

    /// A text in which a dollar sign is one.
    pub(crate) fn literal(text: &str) -> Text {
        Text {
            source: text.to_owned(),
            parts: vec![Part::Literal(text.to_owned())],
        }
    }

    /// As it is written in the configuration.
    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    /// The value, where it has no variables.
    pub(crate) fn constant(&self) -> Option<&str> {
        match &self.parts[..] {
            [] => Some(""),
            [Part::Literal(text)] => Some(text),
            _ => None,
        }
    }

    /// Without what is behind the first sign of a kind in it, which is another text.
    pub(crate) fn split_once(&self, sign: char) -> Option<(Text, Text)> {
        for (at, part) in self.parts.iter().enumerate() {
            let Part::Literal(literal) = part else { continue };
            let Some((before, behind)) = literal.split_once(sign) else {
                continue;
            };
            let of = |parts: Vec<Part>| Text {
                source: String::new(),
                parts,
            };
            let mut first = self.parts[..at].to_vec();
            first.push(Part::Literal(before.to_owned()));
            let mut second = vec![Part::Literal(behind.to_owned())];
            second.extend_from_slice(&self.parts[at + 1..]);
            return Some((of(first), of(second)));
        }
        None
    }

    pub(crate) fn value(&self, asked: &Asked<'_>) -> String {
        self.value_at(asked, 0)
    }

    pub(crate) fn value_at(&self, asked: &Asked<'_>, depth: usize) -> String {
        let values = self.parts.iter().map(|part| part.value(asked, depth));
        values.fold(String::new(), |all, value| all + &value)
    }

    /// The value, with what each variable stands for changed in some way: for a log, in which nothing that a client has
    /// sent may look like another line.
    pub(crate) fn value_with(&self, asked: &Asked<'_>, change: impl Fn(&str) -> String) -> String {
        let values = self.parts.iter().map(|part| match part {
            Part::Literal(text) => text.clone(),
            variable => change(&variable.value(asked, 0)),
        });
        values.collect()
    }

    /// The value, with what groups stand for changed in some way.
    pub(crate) fn value_with_groups(&self, asked: &Asked<'_>, change: impl Fn(&str) -> String) -> String {
        let values = self.parts.iter().map(|part| match part {
            Part::Group(_) => change(&part.value(asked, 0)),
            other => other.value(asked, 0).into_owned(),
        });
        values.collect()
    }
}

impl Part {
    fn variable(name: &str, names: &Names) -> Option<Part> {
        if let [digit @ b'0'..=b'9'] = name.as_bytes() {
            return Some(Part::Group(usize::from(digit - b'0')));
        }
        // What has a value of its own keeps it: `set $args` changes the one there is.
        let library = || format!("${{{name}}}").parse().ok().map(Part::Library);
        let own = Own::named(name).map(Part::Own).or_else(library);
        match (own, names.number(name)) {
            (Some(own), Some(number))
                if FAMILIES
                    .iter()
                    .any(|family| name.to_ascii_lowercase().starts_with(family)) =>
            {
                Some(Part::Either(number, Box::new(own)))
            }
            (Some(own @ Part::Own(_)), _) => Some(own),
            (_, Some(number)) => Some(Part::Defined(number)),
            (own, None) => own,
        }
    }

    fn value<'a>(&'a self, asked: &Asked<'_>, depth: usize) -> Cow<'a, str> {
        match self {
            Part::Literal(text) => text.into(),
            Part::Own(own) => own.value(asked).into(),
            Part::Library(template) => {
                let value = template.value(&asked.variables());
                let text = value.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
                text.unwrap_or_default().into()
            }
            Part::Group(number) => {
                let state = asked.state.lock();
                state
                    .captures
                    .get(*number)
                    .cloned()
                    .flatten()
                    .unwrap_or_default()
                    .into()
            }
            Part::Either(number, own) => {
                let value = asked.state.lock().values.get(*number).cloned().flatten();
                value.map_or_else(|| own.value(asked, depth), Cow::from)
            }
            Part::Defined(number) => asked.defined(*number, depth).into(),
        }
    }
}

/// The name that follows a dollar sign, and what follows the name. The name of a group is one digit.
pub(crate) fn name(after: &str) -> (&str, &str) {
    if let Some((name, rest)) = after.strip_prefix('{').and_then(|braced| braced.split_once('}')) {
        return (name, rest);
    }
    if after.starts_with(|sign: char| sign.is_ascii_digit()) {
        return after.split_at(1);
    }
    let end = after.find(|sign: char| !sign.is_ascii_alphanumeric() && sign != '_');
    after.split_at(end.unwrap_or(after.len()))
}

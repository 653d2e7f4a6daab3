//! Values with variables: parsed once, put together for each request. Most variables are the library's own; the maps of
//! the configuration and what only a log wants to know come to them.

use std::borrow::Cow;

use http::request;
use switchover::header::Hop;
use switchover::header::rules::{Template, Variables};

use super::findings::{Findings, Place};
use super::maps::Maps;
use super::proxy_pass::Target;
use super::real_ip::Proxied;
use super::variables::{Ending, Own};

/// How often one map may lead to another.
const DEEPEST: usize = 8;

/// A value with variables.
#[derive(Clone, Debug, Default)]
pub(crate) struct Text {
    source: String,
    /// As the library writes it, without the variables that there are none of.
    template: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug)]
enum Part {
    Literal(String),
    /// One variable of the library's.
    Library(Template),
    Own(Own),
    /// The map with this index.
    Map(usize),
}

/// A request, as far as variables want to know of it.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) head: &'a request::Parts,
    pub(crate) hop: &'a Hop,
    pub(crate) proxied: Proxied,
    /// `$request_id`.
    pub(crate) id: u128,
    pub(crate) server_name: &'a str,
    /// Where it goes; none where the answer is one of the configuration's own.
    pub(crate) target: Option<&'a Target>,
    pub(crate) maps: &'a Maps,
    /// How it has ended; none as long as it has not.
    pub(crate) ending: Option<&'a Ending>,
}

impl Asked<'_> {
    pub(crate) fn variables(&self) -> Variables<'_> {
        Variables::new(self.head, self.hop)
            .server_name(self.server_name)
            .upstream(self.target.map_or("", |target| &target.host))
    }
}

impl Text {
    /// A variable that there is none of stands for nothing, and that is told.
    pub(crate) fn parse(source: &str, names: &[String], place: &Place, findings: &mut Findings) -> Text {
        let mut parts = Vec::new();
        let mut template = String::new();
        let mut rest = source;
        while let Some((before, after)) = rest.split_once('$') {
            if !before.is_empty() {
                template += before;
                parts.push(Part::Literal(before.to_owned()));
            }
            let (name, after) = name(after);
            rest = after;
            match Part::variable(name, names) {
                Some(part) => {
                    template += &format!("${{{name}}}");
                    parts.push(part);
                }
                None if name.is_empty() => {
                    let text = format!("{source:?}: a dollar sign stands before the name of a variable");
                    findings.error(place, text);
                }
                None => {
                    let text = format!("there is no variable ${name} here: it stands for nothing");
                    findings.warning(place, text);
                }
            }
        }
        if !rest.is_empty() {
            template += rest;
            parts.push(Part::Literal(rest.to_owned()));
        }
        Text {
            source: source.to_owned(),
            template,
            parts,
        }
    }

    /// Whether there are all the variables that a text has in it.
    pub(crate) fn is_known(source: &str, names: &[String]) -> bool {
        let mut after_dollars = source.split('$').skip(1).map(name);
        after_dollars.all(|(name, _)| Part::variable(name, names).is_some())
    }

    /// A text in which a dollar sign is one.
    pub(crate) fn literal(text: &str) -> Text {
        Text {
            source: text.to_owned(),
            template: text.replace('$', "$$"),
            parts: vec![Part::Literal(text.to_owned())],
        }
    }

    /// As the library has it, where it is [the library's](Text::is_librarys).
    pub(crate) fn template(&self) -> &str {
        &self.template
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

    /// Whether the library can put it together by itself.
    pub(crate) fn is_librarys(&self) -> bool {
        let librarys = |part: &Part| matches!(part, Part::Literal(_) | Part::Library(_));
        self.parts.iter().all(librarys)
    }

    pub(crate) fn value(&self, asked: &Asked<'_>) -> String {
        self.value_at(asked, 0)
    }

    fn value_at(&self, asked: &Asked<'_>, depth: usize) -> String {
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
}

impl Part {
    fn variable(name: &str, names: &[String]) -> Option<Part> {
        if let Some(index) = names.iter().position(|known| known.eq_ignore_ascii_case(name)) {
            return Some(Part::Map(index));
        }
        let own = Own::named(name).map(Part::Own);
        own.or_else(|| Some(Part::Library(format!("${{{name}}}").parse().ok()?)))
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
            Part::Map(index) if depth < DEEPEST => asked.maps.get(*index).map_or(Cow::Borrowed(""), |map| {
                let source = map.source.value_at(asked, depth + 1);
                map.choose(&source).value_at(asked, depth + 1).into()
            }),
            Part::Map(_) => "".into(),
        }
    }
}

/// The name that follows a dollar sign, and what follows the name.
pub(crate) fn name(after: &str) -> (&str, &str) {
    if let Some((name, rest)) = after.strip_prefix('{').and_then(|braced| braced.split_once('}')) {
        return (name, rest);
    }
    let end = after.find(|sign: char| !sign.is_ascii_alphanumeric() && sign != '_');
    after.split_at(end.unwrap_or(after.len()))
}

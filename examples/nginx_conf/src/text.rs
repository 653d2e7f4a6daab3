//! Values with variables: parsed once, put together for each request.

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::Instant;

use http::request;
use switchover::header::Hop;
use switchover::header::rules::{Template, Variables};

use super::findings::{Findings, Place};
use super::names::{Definition, Names};
use super::opening::Facts;
use super::proxy_pass::Target;
use super::real_ip::Proxied;
use super::referer;
use super::state::Shared;
use super::variables::{self, Ending, Own};

/// How often one variable may lead to another.
const DEEPEST: usize = 16;

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

/// A request, as far as variables want to know of it.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) head: &'a request::Parts,
    pub(crate) hop: &'a Hop,
    pub(crate) proxied: Proxied,
    pub(crate) facts: &'a Facts,
    /// `$request_id`.
    pub(crate) id: u128,
    pub(crate) begun: Instant,
    pub(crate) server_name: &'a str,
    /// Where it goes; none where the answer is one of the configuration's own.
    pub(crate) target: Option<&'a Target>,
    pub(crate) names: &'a Names,
    pub(crate) definitions: &'a [Definition],
    pub(crate) state: &'a Shared,
    /// How it has ended; none as long as it has not.
    pub(crate) ending: Option<&'a Ending>,
}

impl Asked<'_> {
    pub(crate) fn variables(&self) -> Variables<'_> {
        Variables::new(self.head, self.hop)
            .server_name(self.server_name)
            .upstream(self.target.map_or("", |target| &target.host))
    }

    /// Matches a text, and keeps the groups.
    pub(crate) fn matches(&self, regex: &super::regex::Regex, text: &str) -> bool {
        match regex.captures(text) {
            Ok(None) => false,
            Ok(Some(captures)) => {
                self.keep(regex, captures);
                true
            }
            Err(_) => {
                self.state.fail();
                false
            }
        }
    }

    /// Keeps the groups of a match.
    pub(crate) fn keep(&self, regex: &super::regex::Regex, captures: super::regex::Captures) {
        let numbers = regex.names().iter();
        let numbers = numbers.filter_map(|(name, group)| Some((*group, self.names.number(name)?)));
        let numbers: Vec<_> = numbers.collect();
        self.state.matched(regex, captures, &numbers);
    }

    /// `$invalid_referer`: by what holds in the location.
    fn invalid_referer(&self) -> String {
        let location = self.state.lock().location.clone();
        let referers = location
            .as_ref()
            .and_then(|location| location.handling.referers.as_ref());
        let field = self
            .head
            .headers
            .get(http::header::REFERER)
            .and_then(|value| value.to_str().ok());
        match referers.map(|referers| referers.are_invalid(field)) {
            None | Some(Ok(false)) => String::new(),
            Some(Ok(true)) => "1".to_owned(),
            Some(Err(_)) => {
                self.state.fail();
                String::new()
            }
        }
    }

    /// The value of a variable that the configuration defines.
    pub(crate) fn defined(&self, number: usize, depth: usize) -> String {
        if let Some(value) = self.state.lock().values.get(number).cloned().flatten() {
            return value;
        }
        if referer::number(self.names) == Some(number) {
            return self.invalid_referer();
        }
        let (value, is_kept) = match self.definitions.get(number) {
            _ if depth >= DEEPEST => {
                self.state.fail();
                return String::new();
            }
            None | Some(Definition::Assigned) => return String::new(),
            Some(Definition::Map(map)) => {
                let source = map.source.value_at(self, depth + 1);
                match map.choose(&source) {
                    Ok(chosen) => {
                        if let Some((regex, captures)) = chosen.by {
                            self.keep(regex, captures);
                        }
                        (chosen.value.value_at(self, depth + 1), !map.is_volatile)
                    }
                    Err(_) => {
                        self.state.fail();
                        return String::new();
                    }
                }
            }
            Some(Definition::Geo(geo)) => {
                let address: Option<IpAddr> = match (&geo.source, &geo.proxies) {
                    (Some(source), _) => source.value_at(self, depth + 1).parse().ok(),
                    (None, Some(proxies)) => proxies.locate(*self.hop, &self.head.headers).client(),
                    (None, None) => self.hop.client(),
                };
                (geo.choose(address).to_owned(), true)
            }
            Some(Definition::Split(split)) => {
                let source = split.source.value_at(self, depth + 1);
                let chosen = split.choose(&source);
                (
                    chosen.map_or(String::new(), |text| text.value_at(self, depth + 1)),
                    true,
                )
            }
        };
        if is_kept {
            if let Some(slot) = self.state.lock().values.get_mut(number) {
                *slot = Some(value.clone());
            }
        }
        value
    }
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
                None if variables::is_nginxs(name) => {
                    let text = format!("the variable ${name} is not carried out: it stands for nothing");
                    missing(findings, place, text);
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

//! `proxy_redirect`: what the client is told of where an upstream sends it.

use switchover::header::rules::{HeaderRules, RuleError};
use switchover::route::PathPattern;

use super::findings::{Findings, Place};
use super::text::{Asked, Text};
use super::tree::Directive;

/// One `proxy_redirect`.
#[derive(Clone, Debug)]
pub(crate) enum Redirection {
    /// What holds without a line: what `proxy_pass` names becomes what the location is for.
    Default,
    Prefix(Prefix),
    Off,
}

/// A start of addresses, and what takes its place.
#[derive(Clone, Debug)]
pub(crate) struct Prefix {
    from: Text,
    to: Text,
    place: Place,
}

impl Redirection {
    /// None for what is not carried out, which is told.
    pub(crate) fn read(
        line: &Directive,
        names: &[String],
        findings: &mut Findings,
    ) -> Result<Option<Redirection>, String> {
        let place = &line.place;
        Ok(match &line.arguments[..] {
            [word] if word == "off" => Some(Redirection::Off),
            [word] if word == "default" => Some(Redirection::Default),
            [from, _] if from.starts_with('~') => {
                let text = format!("{}: regular expressions are not carried out", line.shown());
                findings.warning(place, text);
                None
            }
            [from, to] => Some(Redirection::Prefix(Prefix {
                from: Text::parse(from, names, place, findings),
                to: Text::parse(to, names, place, findings),
                place: place.clone(),
            })),
            _ => return Err("proxy_redirect takes off, default, or two texts".to_owned()),
        })
    }

    /// What holds in a location for this path, with this URL.
    pub(crate) fn of_location(
        said: &[Redirection],
        url: &str,
        pattern: &PathPattern,
        place: &Place,
    ) -> Vec<Prefix> {
        let default = || {
            let (from, to) = default(url, pattern);
            Prefix {
                from: Text::literal(&from),
                to: Text::literal(&to),
                place: place.clone(),
            }
        };
        let mut prefixes = Vec::new();
        for redirection in said {
            match redirection {
                Redirection::Off => return Vec::new(),
                Redirection::Default => prefixes.push(default()),
                Redirection::Prefix(prefix) => prefixes.push(prefix.clone()),
            }
        }
        if said.is_empty() {
            prefixes.push(default());
        }
        prefixes
    }
}

/// What is replaced by what, where nothing is said.
fn default(url: &str, pattern: &PathPattern) -> (String, String) {
    let path = pattern.path().to_owned();
    let has_path = url.split_once("://").is_some_and(|(_, rest)| rest.contains('/'));
    match (url.ends_with('/'), path.ends_with('/')) {
        _ if !has_path => (format!("{url}/"), "/".to_owned()),
        // Where the two are joined by one slash on the way up, they are on the way down.
        (true, false) if !pattern.is_exact() => (url.to_owned(), format!("{path}/")),
        (false, true) if !pattern.is_exact() => (format!("{url}/"), path),
        _ => (url.to_owned(), path),
    }
}

impl Prefix {
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// Whether the library can put it together by itself.
    pub(crate) fn is_librarys(&self) -> bool {
        self.from.is_librarys() && self.to.is_librarys()
    }

    /// Adds it to rules: for all requests, or as it is for this one.
    pub(crate) fn added_to(
        &self,
        rules: HeaderRules,
        asked: Option<&Asked<'_>>,
    ) -> Result<HeaderRules, RuleError> {
        let text = |text: &Text| match asked {
            // A dollar sign that a client has sent is none of a variable.
            Some(asked) => text.value(asked).replace('$', "$$"),
            None => text.template().to_owned(),
        };
        rules.redirect(&text(&self.from), &text(&self.to))
    }
}

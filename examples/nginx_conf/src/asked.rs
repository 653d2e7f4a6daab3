//! A request as variables see it.

use std::net::IpAddr;
use std::time::Instant;

use http::request;
use switchover::header::Hop;
use switchover::header::rules::Variables;

use super::names::{Definition, Names};
use super::opening::Facts;
use super::proxy_pass::Target;
use super::real_ip::Proxied;
use super::referer;
use super::regex::{Captures, Regex};
use super::state::Shared;
use super::variables::Ending;

/// How often one variable may lead to another.
const DEEPEST: usize = 16;

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

    /// Writes a step down, if somebody wants to know.
    pub(crate) fn explain(&self, step: impl FnOnce() -> String) {
        if let Some(story) = &mut self.state.lock().story {
            story.push(step());
        }
    }

    /// Matches a text, and keeps the groups.
    pub(crate) fn matches(&self, regex: &Regex, text: &str) -> bool {
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

    /// As `matches`, in `rewrite` and `if`: no match leaves no groups, as in nginx.
    pub(crate) fn tests(&self, regex: &Regex, text: &str) -> bool {
        let is_match = self.matches(regex, text);
        if !is_match {
            self.state.lock().captures.clear();
        }
        is_match
    }

    /// Keeps the groups of a match.
    pub(crate) fn keep(&self, regex: &Regex, captures: Captures) {
        let numbers = regex.names().iter();
        let numbers = numbers.filter_map(|(name, group)| Some((*group, self.names.number(name)?)));
        let numbers: Vec<_> = numbers.collect();
        self.state.matched(captures, &numbers);
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
            .map(http::HeaderValue::as_bytes);
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
                (geo.choose(address).to_owned(), !geo.is_volatile)
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

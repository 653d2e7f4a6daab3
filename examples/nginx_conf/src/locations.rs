//! Which location a path belongs to: exact paths, prefixes and regular expressions, in nginx's order, level by level.

use std::sync::Arc;

use switchover::route::{NoRoute, PathReading};

use super::location::Location;
use super::regex::{Captures, GivenUp, Regex};

/// What a location is for.
#[derive(Clone, Debug)]
pub(crate) enum Pattern {
    Exact(String),
    Prefix {
        path: String,
        /// `^~`: no regular expression is tried when this is the longest.
        is_last: bool,
    },
    Regex(Regex),
    Named(String),
    /// Of a server without a location, of an `if`, of a `limit_except`: nothing by itself.
    None,
}

impl Pattern {
    /// Why a request comes to its location, for an explanation.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Pattern::Exact(_) => "the path is this one",
            Pattern::Prefix { is_last: true, .. } => {
                "the longest prefix; regular expressions are not tried behind it"
            }
            Pattern::Prefix { .. } => "the longest prefix, and no regular expression matches",
            Pattern::Regex(_) => "the first regular expression that matches, in the order of the file",
            Pattern::Named(_) => "by its name",
            Pattern::None => "no location is for the path",
        }
    }

    /// What follows `location`.
    pub(crate) fn read(arguments: &[String]) -> Result<Pattern, String> {
        let (modifier, path) = match arguments {
            [modifier, path] => (&**modifier, &**path),
            [one] => match one.split_at(one.find(['/', '@']).unwrap_or(0)) {
                // Without a space between them.
                (modifier @ ("=" | "^~"), path) => (modifier, path),
                _ if one.starts_with("~*") => ("~*", &one[2..]),
                _ if one.starts_with('~') => ("~", &one[1..]),
                _ => ("", &**one),
            },
            _ => return Err("location takes a path, perhaps behind =, ^~, ~ or ~*".to_owned()),
        };
        Ok(match modifier {
            "=" => Pattern::Exact(path.to_owned()),
            "^~" => Pattern::Prefix {
                path: path.to_owned(),
                is_last: true,
            },
            "~" | "~*" => Pattern::Regex(Regex::new(path, modifier == "~*")?),
            "" if path.starts_with('@') => Pattern::Named(path.to_owned()),
            "" => Pattern::Prefix {
                path: path.to_owned(),
                is_last: false,
            },
            other => return Err(format!("location: {other} is neither =, ^~, ~ nor ~*")),
        })
    }

    /// The path that all of its paths begin with, where there is one.
    pub(crate) fn prefix(&self) -> Option<&str> {
        match self {
            Pattern::Exact(path) | Pattern::Prefix { path, .. } => Some(path),
            _ => None,
        }
    }

    /// Whether a location for this may stand in one for another.
    pub(crate) fn stands_in(&self, outer: &Pattern) -> Result<(), String> {
        match (self, outer) {
            (_, Pattern::None) => Ok(()),
            (_, Pattern::Exact(_) | Pattern::Named(_)) => Err(format!(
                "stands in location {}, of which there is nothing more to say",
                outer.shown()
            )),
            (Pattern::Named(_), _) => {
                Err("stands in another: one by a name belongs to the server".to_owned())
            }
            (Pattern::Exact(path) | Pattern::Prefix { path, .. }, outer) => {
                let start = match outer {
                    // As it is written, in nginx too.
                    Pattern::Regex(regex) => regex.source(),
                    outer => outer.prefix().unwrap_or_default(),
                };
                match path.starts_with(start) {
                    true => Ok(()),
                    false => Err(format!("is outside location {start}")),
                }
            }
            (Pattern::Regex(_) | Pattern::None, _) => Ok(()),
        }
    }

    /// As it is written.
    pub(crate) fn shown(&self) -> String {
        match self {
            Pattern::Exact(path) => format!("= {path}"),
            Pattern::Prefix { path, is_last: true } => format!("^~ {path}"),
            Pattern::Prefix { path, .. } => path.clone(),
            Pattern::Regex(regex) => format!("~ {}", regex.source()),
            Pattern::Named(name) => name.clone(),
            Pattern::None => "(the server itself)".to_owned(),
        }
    }
}

/// The locations of one level.
#[derive(Clone, Debug, Default)]
pub(crate) struct Locations {
    exact: Vec<(String, Arc<Location>)>,
    /// The longest first.
    prefixes: Vec<(String, bool, Arc<Location>)>,
    regexes: Vec<(Regex, Arc<Location>)>,
    named: Vec<(String, Arc<Location>)>,
}

/// The location of a path.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) location: Arc<Location>,
    /// The groups of the regular expression that led to it.
    pub(crate) by: Option<(Regex, Captures)>,
    /// The path is that of the location but for the slash at its end.
    pub(crate) lacks_slash: bool,
}

/// Why a path has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotFound {
    /// The server itself answers.
    None,
    Ambiguous,
    GivenUp,
}

impl From<GivenUp> for NotFound {
    fn from(_: GivenUp) -> Self {
        NotFound::GivenUp
    }
}

impl Locations {
    pub(crate) fn add(&mut self, pattern: &Pattern, location: Arc<Location>) -> Result<(), String> {
        let twice = |path: &str| Err(format!("there is a location {path} already"));
        match pattern {
            Pattern::Exact(path) if self.exact.iter().any(|(known, _)| known == path) => return twice(path),
            Pattern::Prefix { path, .. } if self.prefixes.iter().any(|(known, ..)| known == path) => {
                return twice(path);
            }
            Pattern::Named(name) if self.named.iter().any(|(known, _)| known == name) => return twice(name),
            Pattern::Exact(path) => self.exact.push((path.clone(), location)),
            Pattern::Prefix { path, is_last } => {
                let at = self
                    .prefixes
                    .partition_point(|(known, ..)| known.len() >= path.len());
                self.prefixes.insert(at, (path.clone(), *is_last, location));
            }
            Pattern::Regex(regex) => self.regexes.push((regex.clone(), location)),
            Pattern::Named(name) => self.named.push((name.clone(), location)),
            Pattern::None => {}
        }
        Ok(())
    }

    pub(crate) fn named(&self, name: &str) -> Option<&Arc<Location>> {
        self.named
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, location)| location)
    }

    /// All of this level.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Location> {
        let exact = self.exact.iter().map(|(_, location)| location);
        let prefixes = self.prefixes.iter().map(|(.., location)| location);
        let regexes = self.regexes.iter().map(|(_, location)| location);
        let named = self.named.iter().map(|(_, location)| location);
        exact
            .chain(prefixes)
            .chain(regexes)
            .chain(named)
            .map(|location| &**location)
    }

    /// The location of a decoded path, and whether a redirection to it with a slash is what nginx answers.
    pub(crate) fn find(&self, path: &str) -> Result<Found, NotFound> {
        let mut found = None;
        self.find_here(path, &mut found)?;
        found.ok_or(NotFound::None)
    }

    /// The location of a client's own target: where its path can be read in several ways, all of them have to lead to the
    /// same, unless only nginx's counts.
    pub(crate) fn find_target(
        &self,
        target: &str,
        uri: &str,
        reading: PathReading,
    ) -> Result<Found, NotFound> {
        let pick = |path: &[u8]| Some(Place::of(self.find(&String::from_utf8_lossy(path))));
        match reading {
            PathReading::Unanimous => match reading.choose(target, pick) {
                Err(NoRoute::Ambiguous) => Err(NotFound::Ambiguous),
                _ => self.find(uri),
            },
            _ => self.find(uri),
        }
    }

    fn find_here(&self, path: &str, found: &mut Option<Found>) -> Result<Search, GivenUp> {
        if let Some((_, location)) = self.exact.iter().find(|(exact, _)| exact == path) {
            *found = Some(Found::plain(location));
            return Ok(Search::Done);
        }
        let longest = self
            .prefixes
            .iter()
            .find(|(prefix, ..)| path.starts_with(&**prefix));
        let is_whole = longest.is_some_and(|(prefix, ..)| prefix == path);
        if let Some(location) = self.with_slash(path).filter(|_| !is_whole) {
            *found = Some(Found {
                lacks_slash: true,
                ..Found::plain(location)
            });
            return Ok(Search::Done);
        }
        let mut is_last = false;
        if let Some((_, last, location)) = longest {
            is_last = *last;
            *found = Some(Found::plain(location));
            match location.inner.find_here(path, found)? {
                Search::Inner => {}
                done => return Ok(done),
            }
        }
        if is_last {
            return Ok(Search::Inner);
        }
        for (regex, location) in &self.regexes {
            if let Some(captures) = regex.captures(path)? {
                *found = Some(Found {
                    location: location.clone(),
                    by: Some((regex.clone(), captures)),
                    lacks_slash: false,
                });
                location.inner.find_here(path, found)?;
                return Ok(Search::Done);
            }
        }
        Ok(Search::Inner)
    }
}

impl Locations {
    /// The location of the path with a slash behind it, where nginx redirects to that: it has an upstream.
    fn with_slash(&self, path: &str) -> Option<&Arc<Location>> {
        let prefixes = self
            .prefixes
            .iter()
            .map(|(prefix, _, location)| (prefix, location));
        let exact = self.exact.iter().map(|(path, location)| (path, location));
        let mut all = prefixes.chain(exact);
        let found = all
            .find(|(known, location)| location.redirects_to_slash && known.strip_suffix('/') == Some(path));
        found.map(|(_, location)| location)
    }
}

/// Where a search has come to.
enum Search {
    /// Regular expressions of an outer level may still take the path.
    Inner,
    Done,
}

impl Found {
    fn plain(location: &Arc<Location>) -> Found {
        Found {
            location: location.clone(),
            by: None,
            lacks_slash: false,
        }
    }
}

/// What readings of a path have to agree on.
#[derive(PartialEq)]
enum Place {
    At(*const Location, bool),
    Not(NotFound),
}

impl Place {
    fn of(found: Result<Found, NotFound>) -> Place {
        match found {
            Ok(found) => Place::At(Arc::as_ptr(&found.location), found.lacks_slash),
            Err(why) => Place::Not(why),
        }
    }
}

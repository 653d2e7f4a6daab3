//! This file finds the location of a path within one server, as nginx does: the exact one, else the longest prefix.

use http::uri::PathAndQuery;

use super::percent;
use super::reading::{self, NoRoute, PathReading};
use super::{Found, PathPattern, RouteError};

/// The locations of one server, each with a value of the caller's.
///
/// ```
/// use switchover::route::{Hosts, Locations, NoRoute};
///
/// // nginx: the server first, by its name; the location then, in that server alone.
/// let mut api = Locations::default();
/// api.add("/ws".parse()?, "sockets")?;
/// let mut other = Locations::default();
/// other.add("/".parse()?, "everything else")?;
/// let mut hosts = Hosts::default();
/// hosts.add_default([], other).unwrap();
/// hosts.add(["api.example.com".parse().unwrap()], api).unwrap();
///
/// let find = |host, target| hosts.find(Some(host)).unwrap().find(target).map(|found| *found.value);
/// assert_eq!(find("api.example.com", "/ws?token=1"), Ok("sockets"));
/// assert_eq!(find("api.example.com", "/"), Err(NoRoute::NotFound));
/// assert_eq!(find("example.com", "/"), Ok("everything else"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Locations<T> {
    /// In the order in which they are tried.
    entries: Vec<(PathPattern, T)>,
    reading: PathReading,
}

impl<T> Default for Locations<T> {
    fn default() -> Self {
        Locations {
            entries: Vec::new(),
            reading: PathReading::default(),
        }
    }
}

impl<T> Locations<T> {
    /// Adds a location.
    ///
    /// # Errors
    ///
    /// One with the same pattern is there already, as nginx says too.
    pub fn add(&mut self, pattern: PathPattern, value: T) -> Result<(), RouteError> {
        if self.entries.iter().any(|(other, _)| *other == pattern) {
            return Err(RouteError::Duplicate(pattern.to_string()));
        }
        self.entries.push((pattern, value));
        self.entries.sort_by_key(|(pattern, _)| pattern.rank());
        Ok(())
    }

    /// How a path is matched that can be read in more than one way. Default [`PathReading::Unanimous`].
    #[must_use]
    pub fn reading(mut self, reading: PathReading) -> Self {
        self.reading = reading;
        self
    }

    /// The location for a path, or for a target with its query: the exact one, else the one with the longest prefix.
    ///
    /// # Errors
    ///
    /// [`NoRoute`]: none matches, or the path leads to several.
    pub fn find(&self, target: &str) -> Result<Found<'_, T>, NoRoute> {
        let index = reading::choose(reading::without_query(target), self.reading, |path| {
            self.position(path)
        })?;
        let (pattern, value) = &self.entries[index];
        Ok(Found::new(value, pattern, self.reading))
    }

    /// Where nginx would redirect a request, with 301: the path is that of a location but for the slash at its end,
    /// and has no location of its own. The query goes along.
    ///
    /// [`find`](Locations::find) does not look at this: it takes the location that does match, if there is one. No
    /// browser follows a redirect of a WebSocket handshake.
    #[must_use]
    pub fn redirect(&self, target: &str) -> Option<PathAndQuery> {
        let path = reading::without_query(target);
        let with_slash = |path: &[u8]| {
            let own = self.position(path).map(|index| self.entries[index].0.path());
            if own.is_some_and(|own| own.as_bytes() == path) {
                return None;
            }
            self.entries.iter().position(|(pattern, _)| {
                pattern.path().strip_suffix('/').map(str::as_bytes) == Some(path) && !path.is_empty()
            })
        };
        let index = reading::choose(path, self.reading, with_slash).ok()?;
        let location = percent::escape(self.entries[index].0.path().as_bytes());
        PathAndQuery::try_from(location + &target[path.len()..]).ok()
    }

    /// All patterns with their values, in the order in which they are tried.
    pub fn iter(&self) -> impl Iterator<Item = (&PathPattern, &T)> {
        self.entries.iter().map(|(pattern, value)| (pattern, value))
    }

    fn position(&self, path: &[u8]) -> Option<usize> {
        self.entries.iter().position(|(pattern, _)| pattern.matches(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn locations(patterns: &'static [&'static str]) -> Locations<&'static str> {
        let mut locations = Locations::default();
        for pattern in patterns {
            locations.add(pattern.parse().unwrap(), *pattern).unwrap();
        }
        locations
    }

    #[test]
    fn a_slash_is_missing() {
        let locations = locations(&[
            "/", "/ws/", "= /one/", "/both", "/both/", "= /exact", "/exact/", "/a b/",
        ]);
        for (target, expected) in [
            ("/ws", Some("/ws/")),
            ("/ws?a=b", Some("/ws/?a=b")),
            ("/%77s", Some("/ws/")),
            ("/one", Some("/one/")),
            ("/a%20b?c", Some("/a%20b/?c")),
            ("/ws/", None),
            ("/wsx", None),
            ("/both", None),
            ("/exact", None),
            ("/", None),
            ("/x", None),
            ("//ws", None),
            ("/x/../ws", None),
        ] {
            let redirect = locations.redirect(target);
            assert_eq!(redirect.as_ref().map(PathAndQuery::as_str), expected, "{target}");
        }
    }

    #[test]
    fn a_location_is_there_once() {
        let mut locations = locations(&["/a", "= /a"]);
        let again = locations.add("^~ /a".parse().unwrap(), "");
        assert_eq!(again, Err(RouteError::Duplicate("/a".to_owned())));
        assert_eq!(locations.iter().count(), 2);
    }
}

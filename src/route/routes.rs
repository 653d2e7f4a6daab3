//! One flat table of routes: those for the host first, the nearest host before the wider one, then the path.

use super::reading::{self, NoRoute, PathReading};
use super::{Found, RouteError, RoutePattern};
use crate::http1::host_name;

/// Routes, each with a value of the caller's: an upstream, mostly.
///
/// A request that no route for its own host matches goes on to wider wildcards, and then to the routes for every host.
/// nginx does not do that: [`Hosts`](super::Hosts) does as nginx.
#[derive(Clone, Debug)]
pub struct Routes<T> {
    /// In the order in which they are tried.
    entries: Vec<(RoutePattern, T)>,
    reading: PathReading,
}

impl<T> Default for Routes<T> {
    fn default() -> Self {
        Routes {
            entries: Vec::new(),
            reading: PathReading::default(),
        }
    }
}

impl<T> Routes<T> {
    /// Adds a route.
    ///
    /// # Errors
    ///
    /// [`RouteError::Duplicate`]: there is one with the same pattern already, and the new one would never be found.
    pub fn add(&mut self, pattern: RoutePattern, value: T) -> Result<(), RouteError> {
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

    /// The route for a request: of those that match, the one with the nearest host (exact, the longest wildcard at the
    /// start, the longest wildcard at the end, every host), and of these the exact path, or else the longest prefix.
    ///
    /// `host` is the value of `Host`; its port does not count. A query may follow the path.
    ///
    /// # Errors
    ///
    /// [`NoRoute`]: none matches, or the path leads to several. It becomes a [`Rejection`](crate::handshake::Rejection), 404 or 400.
    pub fn find(&self, host: Option<&str>, path: &str) -> Result<Found<'_, T>, NoRoute> {
        // Those with a host come first: where there are none, nobody asks for the name.
        let by_host = self
            .entries
            .first()
            .is_some_and(|(pattern, _)| pattern.host().is_some());
        let name = host.filter(|_| by_host).map(host_name);
        let name = name.as_deref();
        let index = reading::choose(reading::without_query(path), self.reading, |path| {
            let matches = |(pattern, _): &(RoutePattern, T)| pattern.matches(name, path);
            self.entries.iter().position(matches)
        })?;
        let (pattern, value) = &self.entries[index];
        Ok(Found::new(value, pattern.path(), self.reading))
    }

    /// All values, in the order in which they are tried.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.entries.iter().map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes(patterns: &'static [&'static str]) -> Routes<&'static str> {
        let mut routes = Routes::default();
        for pattern in patterns {
            routes.add(pattern.parse().unwrap(), *pattern).unwrap();
        }
        routes
    }

    #[test]
    fn host_before_prefix_and_longest_prefix_first() {
        let routes = routes(&[
            "/",
            "/a",
            "/a/b",
            "=/a/b",
            "h.example/",
            "h.example/a",
            "h.example:81/port",
            "*.example/w",
            "*.w.example/w",
            "h.*/w",
            "h.*=/a/b",
        ]);
        let cases = [
            (None, "/", "/"),
            (None, "/a", "/a"),
            (None, "/a/b", "=/a/b"),
            (None, "/a/b?c", "=/a/b"),
            (None, "/a/b/c", "/a/b"),
            (Some("other"), "/a/b/", "/a/b"),
            (Some("h.example"), "/a/b", "h.example/a"),
            (Some("H.Example:8080"), "/x", "h.example/"),
            (Some("h.example."), "/x", "h.example/"),
            (Some("h.example:81"), "/port", "h.example:81/port"),
            (Some("x.example"), "/w", "*.example/w"),
            (Some("x.example"), "/a", "/a"),
            (Some("x.w.example"), "/w", "*.w.example/w"),
            (Some("h.other"), "/w", "h.*/w"),
            (Some("h.other"), "/a/b", "h.*=/a/b"),
            (Some("h.other"), "/a/b/c", "/a/b"),
            (Some("[::1]:80"), "/a", "/a"),
        ];
        for (host, path, expected) in cases {
            let found = routes.find(host, path).map(|found| *found.value);
            assert_eq!(found, Ok(expected), "{host:?} {path}");
        }
    }

    #[test]
    fn a_route_is_there_once() {
        let mut routes = routes(&["/a", "=/a", "h.example/a"]);
        for again in ["/a", "/%61", "H.example/a"] {
            let pattern = again.parse::<RoutePattern>().unwrap();
            let refused = Err(RouteError::Duplicate(pattern.to_string()));
            assert_eq!(routes.add(pattern, "again"), refused, "{again}");
        }
        assert_eq!(routes.find(None, "/a/b").map(|found| *found.value), Ok("/a"));
        assert_eq!(routes.values().count(), 3);
    }

    #[test]
    fn an_ambiguous_path_differs_from_a_missing_route() {
        let routes = routes(&["/public/", "h.example/"]);
        let find = |host, path| routes.find(host, path).map(|found| *found.value);
        assert_eq!(find(None, "/x"), Err(NoRoute::NotFound));
        assert_eq!(find(None, "/public/../x"), Err(NoRoute::Ambiguous));
        assert_eq!(find(Some("h.example"), "/public/../x"), Ok("h.example/"));
        assert_eq!(find(None, "*"), Err(NoRoute::NotFound));
    }
}

//! How a route is written in one word: `[HOST]/PREFIX`, or `[HOST]=/PATH` for one path alone.

use std::fmt;
use std::str::FromStr;

use http::uri::PathAndQuery;

use super::{HostPattern, HostPatternError, PathPattern, PathPatternError};
use super::{percent, reading};

/// What a route is chosen by: `[HOST]/PREFIX`, or `[HOST]=/PATH`, which is that path alone.
///
/// The host is a [`HostPattern`]: `example.com`, `*.example.com`, `.example.com` or `www.example.*`; without one the
/// route is for every host. Prefix and path are written as in a URL, with percent-encoding, and compared decoded: `/ws`
/// also matches `/wsx`, as in nginx.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoutePattern {
    host: Option<HostPattern>,
    path: PathPattern,
}

/// A text that is not a route's pattern, or a pattern that cannot be added.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RouteError {
    /// No slash, or a path that cannot stand in a URL, or one with a query.
    #[error("a route is [HOST]/PREFIX, as in /chat or example.com/chat, or [HOST]=/PATH")]
    Form,
    /// The host.
    #[error("the host of a route: {0}")]
    Host(HostPatternError),
    /// The path.
    #[error("the path of a route: {0}")]
    Path(PathPatternError),
    /// It is there already.
    #[error("{0} is there already")]
    Duplicate(String),
}

impl From<HostPatternError> for RouteError {
    fn from(error: HostPatternError) -> Self {
        RouteError::Host(error)
    }
}

impl From<PathPatternError> for RouteError {
    fn from(error: PathPatternError) -> Self {
        RouteError::Path(error)
    }
}

impl RoutePattern {
    /// A route for these hosts, or for every host.
    #[must_use]
    pub fn new(host: Option<HostPattern>, path: PathPattern) -> Self {
        RoutePattern { host, path }
    }

    /// The hosts; none means every host.
    #[must_use]
    pub fn host(&self) -> Option<&HostPattern> {
        self.host.as_ref()
    }

    /// The paths.
    #[must_use]
    pub fn path(&self) -> &PathPattern {
        &self.path
    }

    pub(super) fn matches(&self, name: Option<&str>, path: &[u8]) -> bool {
        let for_host = match (&self.host, name) {
            (None, _) => true,
            (Some(host), Some(name)) => host.matches_name(name),
            (Some(_), None) => false,
        };
        for_host && self.path.matches(path)
    }

    /// Sorts what is tried first to the front.
    pub(super) fn rank(&self) -> impl Ord + use<> {
        let host = self.host.as_ref().map(HostPattern::rank);
        (host.is_none(), host, self.path.rank())
    }
}

impl FromStr for RoutePattern {
    type Err = RouteError;

    fn from_str(text: &str) -> Result<Self, RouteError> {
        let (host, path) = text.split_at(text.find('/').ok_or(RouteError::Form)?);
        if path.contains(['?', '#']) || PathAndQuery::try_from(path).is_err() {
            return Err(RouteError::Form);
        }
        if !reading::is_plain_path(path) {
            return Err(PathPatternError::NotPlain.into());
        }
        let decoded = percent::decode(path, percent::KEEP_SLASHES);
        let decoded = std::str::from_utf8(&decoded).map_err(|_| RouteError::Form)?;
        // No host ends with an equals sign: it is the mark of an exact path.
        let (host, path) = match host.strip_suffix('=') {
            Some(host) => (host, PathPattern::exact(decoded)?),
            None => (host, PathPattern::prefix(decoded)?),
        };
        let host = match host {
            "" => None,
            host => Some(host.parse()?),
        };
        Ok(RoutePattern { host, path })
    }
}

impl fmt::Display for RoutePattern {
    /// For people: the path is decoded.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(host) = &self.host {
            host.fmt(f)?;
        }
        f.write_str(if self.path.is_exact() { "=" } else { "" })?;
        f.write_str(self.path.path())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (good, shown) in [
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("=/a", "=/a"),
            ("/a=b", "/a=b"),
            ("/a%20b", "/a b"),
            ("/caf%C3%A9", "/caf\u{e9}"),
            ("example.com/", "example.com/"),
            ("Example.com=/a", "example.com=/a"),
            ("*.example.com/", "*.example.com/"),
            (".example.com=/", ".example.com=/"),
            ("www.example.*/a", "www.example.*/a"),
            ("[::1]:80/x", "[::1]/x"),
        ] {
            let pattern = good.parse::<RoutePattern>();
            assert_eq!(pattern.map(|pattern| pattern.to_string()), Ok(shown.to_owned()));
        }
        for bad in [
            "",
            "example.com",
            "=",
            "==/a",
            "user@example.com/",
            "*.*/",
            "*/a",
            "~a/",
            "/a?b",
            "/a b",
            "/a#b",
            "/a//b",
            "/a/../b",
            "/a%2Fb",
            "/a%2e%2e/%2e%2e/",
            "/a;b",
            "/a%00",
            "/a%ff",
        ] {
            assert!(bad.parse::<RoutePattern>().is_err(), "{bad}");
        }
    }
}

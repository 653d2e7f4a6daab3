//! Floor 3: which upstream a request goes to, by host and longest prefix. Pure; knows no upstream.
//!
//! ```
//! use switchover::route::{Routes, RoutePattern};
//!
//! let mut routes = Routes::default();
//! routes.add("/".parse::<RoutePattern>()?, "everything else");
//! routes.add("/api/ws".parse()?, "the API's socket");
//! routes.add("chat.example.com/".parse()?, "the chat");
//!
//! let found = routes.find(Some("example.com:8080"), "/api/ws/7").unwrap();
//! assert_eq!(*found.value, "the API's socket");
//! assert_eq!(found.replace_prefix("/ws", "/api/ws/7?x=1").unwrap(), "/ws/7?x=1");
//! assert_eq!(*routes.find(Some("Chat.Example.com"), "/").unwrap().value, "the chat");
//! # Ok::<(), switchover::route::RouteError>(())
//! ```

use std::str::FromStr;

use http::uri::PathAndQuery;

use crate::head::validate_host;

/// What a route is chosen by: `[HOST]/PREFIX`.
///
/// The prefix is compared with the beginning of the path as it is on the wire, byte by byte, without decoding: `/ws`
/// also matches `/wsx`, as in nginx. Without a host, the route is for every host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoutePattern {
    host: Option<String>,
    prefix: String,
}

/// A text that is not a route's pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a route is [HOST]/PREFIX, as in /chat or example.com/chat")]
pub struct RouteError;

impl FromStr for RoutePattern {
    type Err = RouteError;

    fn from_str(text: &str) -> Result<Self, RouteError> {
        let slash = text.find('/').ok_or(RouteError)?;
        let (host, prefix) = text.split_at(slash);
        if !host.is_empty() && validate_host(host.as_bytes()).is_err() {
            return Err(RouteError);
        }
        if prefix.contains(['?', '#']) || PathAndQuery::try_from(prefix).is_err() {
            return Err(RouteError);
        }
        let host = (!host.is_empty()).then(|| host.to_ascii_lowercase());
        Ok(RoutePattern {
            host,
            prefix: prefix.to_owned(),
        })
    }
}

/// Routes, each with a value of the caller's: an upstream, mostly.
#[derive(Clone, Debug)]
pub struct Routes<T> {
    /// The longest prefix first; routes with a host before those without.
    entries: Vec<(RoutePattern, T)>,
}

impl<T> Default for Routes<T> {
    fn default() -> Self {
        Routes { entries: Vec::new() }
    }
}

impl<T> Routes<T> {
    /// Adds a route. One with the same pattern as an earlier one is never found.
    pub fn add(&mut self, pattern: RoutePattern, value: T) {
        self.entries.push((pattern, value));
        self.entries
            .sort_by_key(|(pattern, _)| (pattern.host.is_none(), usize::MAX - pattern.prefix.len()));
    }

    /// The route for a request: among those for its host the one with the longest prefix of its path, else among
    /// those for every host. `host` is the value of `Host`; its port does not count.
    pub fn find(&self, host: Option<&str>, path: &str) -> Option<Found<'_, T>> {
        let host = host.map(without_port);
        let matches = |pattern: &RoutePattern| {
            let for_host = match (&pattern.host, host) {
                (None, _) => true,
                (Some(wanted), Some(host)) => {
                    wanted.eq_ignore_ascii_case(host) || without_port(wanted).eq_ignore_ascii_case(host)
                }
                (Some(_), None) => false,
            };
            for_host && path.starts_with(&pattern.prefix)
        };
        let (pattern, value) = self.entries.iter().find(|(pattern, _)| matches(pattern))?;
        Some(Found {
            value,
            prefix: &pattern.prefix,
        })
    }

    /// All values, in the order in which they are tried.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.entries.iter().map(|(_, value)| value)
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => name,
        _ => host,
    }
}

/// A route that matches.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a, T> {
    /// The value of the route.
    pub value: &'a T,
    prefix: &'a str,
}

impl<T> Found<'_, T> {
    /// The target with the matched prefix replaced, query and percent-encoding untouched: what nginx does for a
    /// `proxy_pass` with a URI.
    ///
    /// Where one of the two ends with a slash and the other does not, they are joined by exactly one: neither
    /// `//` nor `/basename` comes of it. `None` for a target that does not begin with the prefix.
    pub fn replace_prefix(&self, replacement: &str, target: &str) -> Option<PathAndQuery> {
        let rest = target.strip_prefix(self.prefix)?;
        let joined = if replacement.ends_with('/') && rest.starts_with('/') {
            format!("{replacement}{}", &rest[1..])
        } else if self.prefix.ends_with('/') && !replacement.ends_with('/') && !ends_path(rest) {
            format!("{replacement}/{rest}")
        } else {
            format!("{replacement}{rest}")
        };
        PathAndQuery::try_from(joined).ok()
    }
}

/// Whether no more of the path follows.
fn ends_path(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with(['/', '?'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_matched_prefix_is_replaced() {
        let cases = [
            ("/api/v1/ws", "/ws", "/api/v1/ws", "/ws"),
            ("/api/v1/ws", "/ws", "/api/v1/ws?x=/y", "/ws?x=/y"),
            ("/api/v1/ws", "/ws", "/api/v1/ws/7%2F8", "/ws/7%2F8"),
            ("/ws", "/chat", "/wsx", "/chatx"),
            ("/app/", "/", "/app/x", "/x"),
            ("/app/", "/", "/app/", "/"),
            ("/app", "/", "/app/x", "/x"),
            ("/app", "/", "/app", "/"),
            ("/app", "/", "/app?q", "/?q"),
            ("/app/", "/base", "/app/x", "/base/x"),
            ("/app/", "/base", "/app/", "/base"),
            ("/app/", "/base", "/app/?q", "/base?q"),
            ("/app", "/base/", "/app/x", "/base/x"),
            ("/", "/base", "/x/y", "/base/x/y"),
            ("/", "/base/", "/x/y", "/base/x/y"),
        ];
        for (prefix, replacement, target, expected) in cases {
            let mut routes = Routes::default();
            routes.add(prefix.parse().unwrap(), ());
            let found = routes.find(None, target).expect(target);
            let replaced = found.replace_prefix(replacement, target).unwrap();
            assert_eq!(replaced, expected, "{prefix} -> {replacement}: {target}");
        }
    }

    #[test]
    fn host_before_prefix_and_longest_prefix_first() {
        let mut routes = Routes::default();
        for pattern in [
            "/",
            "/a",
            "/a/b",
            "h.example/",
            "h.example/a",
            "h.example:81/port",
        ] {
            routes.add(pattern.parse().unwrap(), pattern);
        }
        let cases = [
            (None, "/", "/"),
            (None, "/a", "/a"),
            (None, "/a/b/c", "/a/b"),
            (Some("other"), "/a/b", "/a/b"),
            (Some("h.example"), "/a/b", "h.example/a"),
            (Some("H.Example:8080"), "/x", "h.example/"),
            (Some("h.example:81"), "/port", "h.example:81/port"),
            (Some("[::1]:80"), "/a", "/a"),
        ];
        for (host, path, expected) in cases {
            assert_eq!(
                routes.find(host, path).map(|found| *found.value),
                Some(expected),
                "{host:?} {path}"
            );
        }
    }

    #[test]
    fn patterns() {
        for good in ["/", "/a/b", "example.com/", "[::1]:80/x"] {
            assert!(good.parse::<RoutePattern>().is_ok(), "{good}");
        }
        for bad in ["", "example.com", "user@example.com/", "/a?b", "/a b", "/a#b"] {
            assert!(bad.parse::<RoutePattern>().is_err(), "{bad}");
        }
    }
}

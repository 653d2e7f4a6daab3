//! The target that a route sends upstream: the matched prefix is replaced, and no path beside the route can be reached.

use http::uri::PathAndQuery;

use super::PathPattern;
use super::percent;
use super::reading::{self, PathReading};

/// A route or location that matches.
#[derive(Debug)]
pub struct Found<'a, T> {
    /// The value of the route.
    pub value: &'a T,
    pattern: &'a PathPattern,
    reading: PathReading,
}

impl<T> Clone for Found<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Found<'_, T> {}

impl<'a, T> Found<'a, T> {
    pub(super) fn new(value: &'a T, pattern: &'a PathPattern, reading: PathReading) -> Self {
        Found {
            value,
            pattern,
            reading,
        }
    }

    /// What has matched.
    #[must_use]
    pub fn pattern(&self) -> &'a PathPattern {
        self.pattern
    }

    /// The target with the matched prefix replaced, query and percent-encoding untouched: what nginx does for a
    /// `proxy_pass` with a URI.
    ///
    /// Where one of the two ends with a slash and the other does not, they are joined by exactly one: neither `//`
    /// nor `/basename` comes of it.
    ///
    /// `None` for a target that does not begin with the prefix, and for one that would climb out of the replacement:
    /// `/app../x`, where `/app` becomes `/base/`. Nor for one with a `#`: a request target has no fragment (RFC 9112, section
    /// 3.2).
    ///
    /// Under [`PathReading::Nginx`] a path that can be read in several ways is replaced by its one reading.
    #[must_use]
    pub fn replace_prefix(&self, replacement: &str, target: &str) -> Option<PathAndQuery> {
        // What is cut off as a fragment later would be checked as a part of the path here.
        if target.contains('#') {
            return None;
        }
        let (path, query) = target.split_at(reading::without_query(target).len());
        let prefix = self.pattern.path();
        let normalized;
        let rest = if self.reading == PathReading::Nginx && !reading::is_plain_path(path) {
            let read = reading::path_as_nginx(path).ok()?;
            let rest = read.strip_prefix(prefix.as_bytes())?;
            normalized = match path.contains('%') {
                true => percent::escape(rest),
                false => std::str::from_utf8(rest).ok()?.to_owned(),
            };
            &normalized[..]
        } else {
            &path[percent::length_of(path, prefix.as_bytes())?..]
        };
        if self.pattern.is_exact() && !rest.is_empty() {
            return None;
        }
        let joined = if replacement.ends_with('/') {
            format!("{replacement}{}", rest.trim_start_matches('/'))
        } else if prefix.ends_with('/') && !rest.is_empty() && !rest.starts_with('/') {
            format!("{replacement}/{rest}")
        } else {
            format!("{replacement}{rest}")
        };
        // What stands behind the replacement's last segment may go down and up again, but not into it.
        let from = replacement.len() - usize::from(replacement.ends_with('/'));
        let below = joined
            .get(from..)
            .and_then(|rest| rest.find('/').map(|slash| from + slash));
        if below.is_some_and(|below| reading::climbs(&joined[below..])) {
            return None;
        }
        PathAndQuery::try_from(joined + query).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Locations;
    use super::*;

    #[test]
    fn a_fragment_hides_no_way_out_of_the_replacement() {
        // A target has none (RFC 9112, section 3.2), and `PathAndQuery` cuts off what it takes for one.
        let mut locations = Locations::default();
        locations.add(PathPattern::prefix("/app").unwrap(), ()).unwrap();
        for target in ["/app/..#x", "/app/..#/y?z", "/app/x#", "/app?a#b"] {
            let replaced = locations
                .find(target)
                .map(|found| found.replace_prefix("/base", target));
            assert!(!matches!(replaced, Ok(Some(_))), "{target} became {replaced:?}");
        }
    }

    #[test]
    fn the_matched_prefix_is_replaced() {
        let cases = [
            ("/api/v1/ws", "/ws", "/api/v1/ws", "/ws"),
            ("/api/v1/ws", "/ws", "/api/v1/ws?x=/y", "/ws?x=/y"),
            ("/api/v1/ws", "/ws", "/api/v1/ws?x=/../y", "/ws?x=/../y"),
            ("/api/v1/ws", "/ws", "/api/v1/ws/7%2F8", "/ws/7%2F8"),
            ("/api/v1/ws", "/ws", "/%61pi/v1/ws/%7e", "/ws/%7e"),
            ("/ws", "/chat", "/wsx", "/chatx"),
            ("/app/", "/", "/app/x", "/x"),
            ("/app/", "/", "/app/", "/"),
            ("/app", "/", "/app/x", "/x"),
            ("/app", "/", "/app", "/"),
            ("/app", "/", "/app//x", "/x"),
            ("/app", "/", "/app?q", "/?q"),
            ("/app/", "/base", "/app/x", "/base/x"),
            ("/app/", "/base", "/app/", "/base"),
            ("/app/", "/base", "/app/?q", "/base?q"),
            ("/app", "/base/", "/app/x", "/base/x"),
            ("/app", "/base/", "/app/a/../b", "/base/a/../b"),
            ("/", "/base", "/x/y", "/base/x/y"),
            ("/", "/base/", "/x/y", "/base/x/y"),
            ("= /one", "/two", "/one", "/two"),
            ("= /one", "/two/", "/one?q", "/two/?q"),
        ];
        for (pattern, replacement, target, expected) in cases {
            let mut locations = Locations::default();
            locations.add(pattern.parse().unwrap(), ()).unwrap();
            let found = locations.find(target).expect(target);
            let replaced = found.replace_prefix(replacement, target).expect(target);
            assert_eq!(replaced, expected, "{pattern} -> {replacement}: {target}");
        }
    }

    #[test]
    fn nothing_climbs_out_of_the_replacement() {
        for (prefix, replacement, target) in [
            ("/app", "/base/", "/app../secret"),
            ("/app", "/base/", "/app..%2fsecret"),
            ("/app", "/base/", "/app..;/secret"),
            ("/app", "/base/", "/app.%2e/secret"),
            ("/app", "/base/", "/app..\\secret"),
            ("/", "/base", "/../secret"),
            ("/", "/base/", "/a/../../secret"),
            ("/ap", "/app", "/ap/../apple"),
        ] {
            let mut locations = Locations::default();
            locations.add(prefix.parse().unwrap(), ()).unwrap();
            let found = locations.find(target).expect(target);
            assert_eq!(found.replace_prefix(replacement, target), None, "{target}");
        }
    }

    #[test]
    fn what_nginx_reads_replaces_what_was_sent_where_only_that_counts() {
        let mut locations = Locations::default().reading(PathReading::Nginx);
        locations.add("/app".parse().unwrap(), ()).unwrap();
        for (target, expected) in [
            ("//app//x?y=//z", Some("/base/x?y=//z")),
            ("/x/..%2Fapp/a%20b%3F%25%c3%a9", Some("/base/a%20b%3F%25%C3%A9")),
            ("/app/x%2d", Some("/base/x%2d")),
            ("/app../x", Some("/base../x")),
            ("/app/../x", None),
            ("/app/%zz", None),
            ("/app/%00", None),
        ] {
            let found = locations.find(target).ok();
            let replaced = found.and_then(|found| found.replace_prefix("/base", target));
            assert_eq!(replaced.as_ref().map(PathAndQuery::as_str), expected, "{target}");
        }
    }

    /// How far a path climbs above where it begins, at most, read in one careless way or another.
    fn climbs(path: &str, merges: bool, slashes: &[&str]) -> bool {
        let mut path = path.replace("%2e", ".").replace("%3b", ";");
        for slash in slashes {
            path = path.replace(slash, "/");
        }
        let mut depth = 0;
        path.split('/').skip(1).any(|segment| {
            match segment.split(';').next() {
                Some("..") => depth -= 1,
                Some(".") => {}
                Some("") if merges => {}
                _ => depth += 1,
            }
            depth < 0
        })
    }

    proptest! {
        #[test]
        fn no_target_climbs_out_of_its_replacement(
            pieces in proptest::collection::vec(
                prop::sample::select(vec!["/", "..", ".", "%2e", "%2f", "%5c", "\\", ";", "%3b", "a", "app", "x"]),
                0..9,
            ),
            prefix in prop::sample::select(vec!["/", "/app", "/app/", "/a"]),
            replacement in prop::sample::select(vec!["/", "/base", "/base/", "/app"]),
            reading in prop::sample::select(vec![PathReading::Unanimous, PathReading::Nginx]),
        ) {
            let target = format!("{prefix}{}", pieces.concat());
            let mut locations = Locations::default().reading(reading);
            locations.add(prefix.parse().unwrap(), ()).unwrap();
            let found = locations.find(&target).ok();
            if let Some(replaced) = found.and_then(|found| found.replace_prefix(replacement, &target)) {
                let base = replacement.trim_end_matches('/');
                let rest = replaced.as_str().strip_prefix(base).unwrap();
                // What is glued to the last segment of the replacement is still that segment.
                let below = rest.find('/').map_or("", |slash| &rest[slash..]);
                for slashes in [&[][..], &["%2f"], &["\\", "%5c"], &["\\", "%5c", "%2f"]] {
                    for merges in [true, false] {
                        prop_assert!(!climbs(below, merges, slashes), "{} -> {}", target, replaced);
                    }
                }
            }
        }
    }
}

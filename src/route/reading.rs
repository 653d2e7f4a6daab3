//! This file decides in which ways a path can be read. A route is found only where every reading leads to it.
//!
//! `/a/..%2Fb`, `/a//b`, `/a\..\b` and `/a/..;/b` name one thing to one server and another thing to the next. A proxy
//! that picks its route by one reading, in front of an origin that takes another, lets a request for one route out at
//! the end of the other. So a path is read in all the ways that are in use, and if they do not agree on the route
//! there is none.

use crate::handshake::Rejection;
use std::borrow::Cow;

use super::percent::{DECODE_SLASHES, KEEP_SLASHES, decode, is_encoded_slash};
use crate::token;

/// How a path is matched that can be read in more than one way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum PathReading {
    /// Only a route to which every reading leads is found.
    ///
    /// The readings: as it was sent, and with dot segments resolved; each with and without encoded slashes decoded,
    /// repeated slashes merged, backslashes taken for slashes, parameters (`;…`) taken off segments, and the end cut
    /// off at a NUL. Other percent-encoding is decoded once in all of them (RFC 3986, section 6.2.2.2).
    ///
    /// A path that holds none of these has one reading. One that does is found too, as long as no route lies between
    /// its readings: `/a/../b` where there is only `/`, `/files/a%2Fb` where `/files` is the only route that it could
    /// be. Of more than 8 KiB, it is not looked at that closely, and not found.
    #[default]
    Unanimous,
    /// Only nginx's reading counts: decoded, with dot segments resolved and repeated slashes merged. A path with an
    /// invalid percent-encoding, with a NUL, or that climbs above the root matches nothing; nginx answers 400.
    ///
    /// For clients that send `//`, and origins that are known to read paths as nginx does. Danger: the target goes
    /// upstream as it came, and an origin that reads it otherwise serves what belongs to another route.
    Nginx,
}

impl PathReading {
    /// What a router of the caller's own picks for a target, for one whose patterns are none of this module's: `pick` is given
    /// the path, without the query, in each reading that counts.
    ///
    /// ```
    /// use switchover::route::{NoRoute, PathReading};
    ///
    /// let pick = |path: &[u8]| Some(path.starts_with(b"/admin/"));
    /// assert_eq!(PathReading::Unanimous.choose("/%61dmin/?a=b", pick), Ok(true));
    /// assert_eq!(PathReading::Unanimous.choose("/x/..%2Fadmin/", pick), Err(NoRoute::Ambiguous));
    /// assert_eq!(PathReading::Nginx.choose("/x/..%2Fadmin/", pick), Ok(true));
    /// ```
    ///
    /// # Errors
    ///
    /// [`NoRoute`]; `NotFound` where `pick` returns none, and for a target that does not begin with a slash.
    pub fn choose<C: PartialEq>(self, target: &str, pick: impl Fn(&[u8]) -> Option<C>) -> Result<C, NoRoute> {
        choose(without_query(target), self, pick)
    }
}

/// Why a request has no route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoRoute {
    /// None for this path.
    #[error("there is no route for this host and path")]
    NotFound,
    /// The path can be read in more than one way, and the readings lead to different routes. The answer is 400.
    #[error("the path can be read in more than one way, and the readings lead to different routes")]
    Ambiguous,
    /// With [`PathReading::Nginx`]: a path for which nginx answers 400.
    #[error("the path has an invalid percent-encoding, a NUL, or climbs above the root")]
    Malformed,
}

impl From<NoRoute> for Rejection {
    fn from(why: NoRoute) -> Self {
        match why {
            NoRoute::NotFound => Rejection::NoRoute,
            NoRoute::Ambiguous | NoRoute::Malformed => Rejection::AmbiguousPath,
        }
    }
}

/// Whether a path has only one reading: no dot segments, empty segments, encoded slashes, backslashes, semicolons or
/// NULs, encoded or not.
///
/// For a proxy that refuses all others, whatever its routes are. A query may follow the path.
///
/// ```
/// use switchover::route::is_plain_path;
///
/// assert!(is_plain_path("/a/b%20c/d.e?f=/../g"));
/// for path in ["/a/../b", "/a/%2e%2e/b", "/a%2Fb", "/a//b", "/a;b", "/a\\b"] {
///     assert!(!is_plain_path(path), "{path}");
/// }
/// ```
#[must_use]
pub fn is_plain_path(path: &str) -> bool {
    let path = without_query(path);
    Oddities::of(path, &decode(path, KEEP_SLASHES)) == Oddities::NONE
}

/// As [`is_plain_path`], for a path that is decoded already.
pub(super) fn is_plain_when_decoded(path: &[u8]) -> bool {
    Oddities::of_decoded(path) == Oddities::NONE
}

/// What `pick` chooses for a path without a query.
pub(super) fn choose<C: PartialEq>(
    path: &str,
    reading: PathReading,
    pick: impl Fn(&[u8]) -> Option<C>,
) -> Result<C, NoRoute> {
    if !path.starts_with('/') {
        return Err(NoRoute::NotFound);
    }
    if reading == PathReading::Nginx {
        return pick(&path_as_nginx(path)?).ok_or(NoRoute::NotFound);
    }
    let decoded = decode(path, KEEP_SLASHES);
    let choice = pick(&decoded);
    match readings(path, &decoded, |reading| pick(&reading.path) == choice) {
        true => choice.ok_or(NoRoute::NotFound),
        false => Err(NoRoute::Ambiguous),
    }
}

/// A path as nginx reads it, which is its `$uri`: decoded, with dot segments resolved and repeated slashes merged. A query
/// may follow, and is no part of it.
///
/// For rules on paths that are not routes. A rule on the path as it came is got around with `/%61dmin`.
///
/// # Errors
///
/// [`NoRoute::Malformed`] where nginx answers 400.
///
/// ```
/// use switchover::route::path_as_nginx;
///
/// assert_eq!(path_as_nginx("/x/..//%61dmin?a=b").unwrap(), b"/admin");
/// assert!(path_as_nginx("/%zz").is_err());
/// ```
pub fn path_as_nginx(path: &str) -> Result<Vec<u8>, NoRoute> {
    let path = without_query(path);
    let mut escapes = path.split('%').skip(1);
    let valid = escapes.all(|rest| rest.as_bytes().get(..2).is_some_and(is_hex));
    let read = resolve(decode(path, DECODE_SLASHES), MERGE);
    if !valid || read.climbed || read.path.contains(&0) {
        return Err(NoRoute::Malformed);
    }
    Ok(read.path)
}

/// Whether a path, in any reading, climbs above where it begins.
pub(super) fn climbs(path: &str) -> bool {
    !readings(path, &decode(path, KEEP_SLASHES), |reading| !reading.climbed)
}

/// The path of a target.
pub(super) fn without_query(target: &str) -> &str {
    token::find(target.as_bytes(), b'?').map_or(target, |query| &target[..query])
}

/// The longest path that is read in more than one way. There are up to 32 readings, each as long as the path; nginx takes
/// no longer request line by default.
const LONGEST: usize = 8 * 1024;

// What can be read in two ways. The first five are also what a reading does about it.
const ENCODED_SLASH: u8 = 1;
const BACKSLASH: u8 = 2;
const PARAMETERS: u8 = 4;
const NUL: u8 = 8;
const MERGE: u8 = 16;
const DOTS: u8 = 32;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Oddities(u8);

impl Oddities {
    const NONE: Oddities = Oddities(0);

    /// Of a path, and the same decoded except for slashes.
    fn of(path: &str, decoded: &[u8]) -> Oddities {
        let Oddities(found) = Oddities::of_decoded(decoded);
        let was_encoded = token::find(path.as_bytes(), b'%').is_some();
        // What was decoded once and still looks encoded is text; only the sender's own `%2F` counts.
        match was_encoded && path.as_bytes().windows(3).any(is_encoded_slash) {
            true => Oddities(found | ENCODED_SLASH),
            false => Oddities(found),
        }
    }

    fn of_decoded(decoded: &[u8]) -> Oddities {
        let mut found = 0;
        for &byte in decoded {
            found |= match byte {
                b'\\' => BACKSLASH,
                b';' => PARAMETERS,
                0 => NUL,
                _ => 0,
            };
        }
        let mut segments = decoded.split(|&byte| byte == b'/').skip(1).peekable();
        while let Some(segment) = segments.next() {
            found |= match segment {
                b"." | b".." => DOTS,
                // The last one is empty in every path that ends with a slash.
                b"" if segments.peek().is_some() => MERGE,
                _ => 0,
            };
        }
        Oddities(found)
    }
}

/// Whether all readings of a path, besides the one that it is sent in, are `fine`. It is given decoded too, except for slashes.
fn readings(path: &str, decoded: &[u8], fine: impl Fn(Read) -> bool) -> bool {
    let oddities = Oddities::of(path, decoded);
    if oddities == Oddities::NONE {
        return true;
    }
    if path.len() > LONGEST {
        return false;
    }
    let all_decoded = decode(path, DECODE_SLASHES);
    let decoded = [decoded, &all_decoded[..]];
    // Slashes that are next to each other only once others are decoded are merged too.
    let variations = oddities.0 & !DOTS | MERGE;
    (0..DOTS).filter(|how| how & !variations == 0).all(|how| {
        let decoded = decoded[usize::from(how & ENCODED_SLASH != 0)];
        fine(resolve(Cow::Borrowed(decoded), how))
    })
}

struct Read {
    path: Vec<u8>,
    /// A `..` had nothing left to take back.
    climbed: bool,
}

/// A decoded path with dot segments resolved (RFC 3986, section 5.2.4) and what else a reading does.
fn resolve(mut decoded: Cow<'_, [u8]>, how: u8) -> Read {
    if how & NUL != 0 {
        if let Some(end) = decoded.iter().position(|&byte| byte == 0) {
            decoded.to_mut().truncate(end);
        }
    }
    if how & BACKSLASH != 0 {
        for byte in decoded.to_mut() {
            if *byte == b'\\' {
                *byte = b'/';
            }
        }
    }
    let mut resolved = Vec::with_capacity(decoded.len());
    let mut climbed = false;
    let mut segments = decoded.split(|&byte| byte == b'/').skip(1).peekable();
    while let Some(mut segment) = segments.next() {
        if how & PARAMETERS != 0 {
            segment = segment.split(|&byte| byte == b';').next().unwrap_or_default();
        }
        match segment {
            b".." => match resolved.iter().rposition(|&byte| byte == b'/') {
                Some(parent) => resolved.truncate(parent),
                None => climbed = true,
            },
            b"." => {}
            b"" if how & MERGE != 0 => {}
            _ => {
                resolved.push(b'/');
                resolved.extend_from_slice(segment);
                continue;
            }
        }
        if segments.peek().is_none() {
            resolved.push(b'/');
        }
    }
    if resolved.is_empty() {
        resolved.push(b'/');
    }
    Read {
        path: resolved,
        climbed,
    }
}

fn is_hex(bytes: &[u8]) -> bool {
    bytes.iter().all(u8::is_ascii_hexdigit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_as_nginx_reads_it() {
        let cases: &[(&str, Option<&str>)] = &[
            ("/", Some("/")),
            ("/a/b", Some("/a/b")),
            ("/a/b/", Some("/a/b/")),
            ("//a///b//", Some("/a/b/")),
            ("/a/./b", Some("/a/b")),
            ("/a/.", Some("/a/")),
            ("/a/../b", Some("/b")),
            ("/a/..", Some("/")),
            ("/a/%2e%2E/b", Some("/b")),
            ("/a/..%2Fb", Some("/b")),
            ("/a%2fb", Some("/a/b")),
            ("/a//../b", Some("/b")),
            ("/a/..b/...", Some("/a/..b/...")),
            ("/%61%20b", Some("/a b")),
            ("/%252e%252e/a", Some("/%2e%2e/a")),
            ("/a/..;/b", Some("/a/..;/b")),
            ("/a\\..\\b", Some("/a\\..\\b")),
            ("/../a", None),
            ("/a/../../b", None),
            ("/%zz", None),
            ("/a%2", None),
            ("/a%", None),
            ("/a%00", None),
        ];
        for (path, expected) in cases {
            let read = path_as_nginx(path)
                .ok()
                .map(|read| String::from_utf8_lossy(&read).into_owned());
            assert_eq!(read.as_deref(), *expected, "{path}");
        }
    }

    /// Every path here is a way past a fence that has been used somewhere.
    #[test]
    fn a_path_that_leads_to_two_routes_leads_to_none() {
        let pick = |path: &[u8]| match path {
            _ if path.starts_with(b"/admin") => Some("admin"),
            _ if path.starts_with(b"/public/") => Some("public"),
            _ => None,
        };
        for path in [
            "/public/../admin",
            "/public/%2e%2e/admin",
            "/public/.%2e/admin",
            "/public/..%2fadmin",
            "/public%2f..%2fadmin",
            "/public/..\\admin",
            "/public/..%5Cadmin",
            "/public/..;/admin",
            "/public/..;a=b/admin",
            "/public/..;%2fadmin",
            "/public/x/../../admin",
            "/public/x%2Fy/../../admin",
            "/public/x//../../admin",
            "/public/x%00/../../admin",
            "//admin",
            "/./admin",
            "/x/../admin",
            "/%2fadmin",
            "/;/admin",
            "/admin/../public/",
            "/admin/..%2fpublic/",
            "/admin/../x",
        ] {
            let found = choose(path, PathReading::Unanimous, pick);
            assert_eq!(found, Err(NoRoute::Ambiguous), "{path}");
        }
        for (path, expected) in [
            ("/public/", "public"),
            ("/public/a%2Fb", "public"),
            ("/public/a/../b", "public"),
            ("/public//a", "public"),
            ("/public/a;b=c", "public"),
            ("/public/%2561", "public"),
            ("/public/%zz%", "public"),
            ("/public/%00", "public"),
            ("/%61dmin", "admin"),
            ("/admin/.", "admin"),
            ("/admin/..admin", "admin"),
        ] {
            let found = choose(path, PathReading::Unanimous, pick);
            assert_eq!(found, Ok(expected), "{path}");
        }
        for path in ["/", "/other", "/other/../x", "*", "", "admin"] {
            let found = choose(path, PathReading::Unanimous, pick);
            assert_eq!(found, Err(NoRoute::NotFound), "{path}");
        }
    }

    #[test]
    fn climbing() {
        for path in [
            "/..",
            "/a/../..",
            "/..%2f",
            "/%2e%2e",
            "/..;/",
            "/..\\x",
            "/..%00x",
            "/a//../../..",
        ] {
            assert!(climbs(path), "{path}");
        }
        for path in ["", "/", "/a/..", "/...", "/..a", "/a/../b", "/%252e%252e"] {
            assert!(!climbs(path), "{path}");
        }
    }
}

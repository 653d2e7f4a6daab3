//! This file decides which paths a location matches: one path exactly, or all that begin with a prefix. The exact one is first, then
//! the longest prefix (nginx: `location`).

use std::cmp::Reverse;
use std::fmt;
use std::str::FromStr;

use super::reading;

/// What a location is chosen by: one path, or a prefix of paths.
///
/// Parsed from nginx's notation: `= /path` is exact, `/prefix` and `^~ /prefix` are prefixes; `^~` only matters beside
/// regular expressions, which there are none of here. The text is compared with the decoded path, byte by byte and by
/// case: `/ws` also matches `/wsx`.
///
/// ```
/// use switchover::route::PathPattern;
///
/// let exact: PathPattern = "= /ws".parse()?;
/// assert!(exact.matches(b"/ws") && !exact.matches(b"/ws/"));
/// let prefix: PathPattern = "^~ /ws".parse()?;
/// assert!(prefix.matches(b"/ws") && prefix.matches(b"/wsx"));
/// assert!("~ \\.php$".parse::<PathPattern>().is_err());
/// # Ok::<(), switchover::route::PathPatternError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PathPattern {
    exact: bool,
    path: String,
}

/// A text that is not a location.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PathPatternError {
    /// It does not begin with a slash, as every path does.
    #[error("a location begins with a slash")]
    NoSlash,
    /// A path with several readings, of which a request could take only some.
    #[error("a location has no dot segments, empty segments, backslashes, semicolons and control bytes")]
    NotPlain,
    /// `~` and `~*`.
    #[error("locations by regular expression are not supported")]
    RegularExpression,
    /// `@name`.
    #[error("named locations are not supported")]
    Named,
}

impl PathPattern {
    /// This path and no other, decoded: a space is a space, not `%20`.
    ///
    /// # Errors
    ///
    /// [`PathPatternError::NoSlash`], [`PathPatternError::NotPlain`].
    pub fn exact(path: &str) -> Result<Self, PathPatternError> {
        Self::new(true, path)
    }

    /// All paths that begin with this one, decoded.
    ///
    /// # Errors
    ///
    /// As [`exact`](PathPattern::exact).
    pub fn prefix(path: &str) -> Result<Self, PathPatternError> {
        Self::new(false, path)
    }

    fn new(exact: bool, path: &str) -> Result<Self, PathPatternError> {
        if !path.starts_with('/') {
            return Err(PathPatternError::NoSlash);
        }
        if !reading::is_plain_when_decoded(path.as_bytes())
            || path.bytes().any(|byte| byte.is_ascii_control())
        {
            return Err(PathPatternError::NotPlain);
        }
        Ok(PathPattern {
            exact,
            path: path.to_owned(),
        })
    }

    /// The path, decoded.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether it is one path, not a prefix.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.exact
    }

    /// Whether a decoded path without a query matches.
    #[must_use]
    pub fn matches(&self, path: &[u8]) -> bool {
        match self.exact {
            true => path == self.path.as_bytes(),
            false => path.starts_with(self.path.as_bytes()),
        }
    }

    /// Sorts what is tried first to the front.
    pub(super) fn rank(&self) -> impl Ord + use<> {
        (!self.exact, Reverse(self.path.len()))
    }
}

impl FromStr for PathPattern {
    type Err = PathPatternError;

    fn from_str(text: &str) -> Result<Self, PathPatternError> {
        if let Some(path) = text.strip_prefix('=') {
            return PathPattern::exact(path.trim_start());
        }
        if let Some(path) = text.strip_prefix("^~") {
            return PathPattern::prefix(path.trim_start());
        }
        match text.as_bytes().first() {
            Some(b'~') => Err(PathPatternError::RegularExpression),
            Some(b'@') => Err(PathPatternError::Named),
            _ => PathPattern::prefix(text),
        }
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.exact { "= " } else { "" })?;
        f.write_str(&self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notations() {
        use PathPatternError::*;
        let cases: &[(&str, Result<&str, PathPatternError>)] = &[
            ("/", Ok("/")),
            ("/a/b", Ok("/a/b")),
            ("= /a", Ok("= /a")),
            ("=/a", Ok("= /a")),
            ("^~ /a/", Ok("/a/")),
            ("^~/a", Ok("/a")),
            ("/a b", Ok("/a b")),
            ("/a%20b?", Ok("/a%20b?")),
            ("/caf\u{e9}", Ok("/caf\u{e9}")),
            ("", Err(NoSlash)),
            ("a", Err(NoSlash)),
            ("= a", Err(NoSlash)),
            ("=", Err(NoSlash)),
            ("/a//b", Err(NotPlain)),
            ("/a/../b", Err(NotPlain)),
            ("/a/.", Err(NotPlain)),
            ("/a\\b", Err(NotPlain)),
            ("/a;b", Err(NotPlain)),
            ("/a\0", Err(NotPlain)),
            ("/a\n", Err(NotPlain)),
            ("~ /a", Err(RegularExpression)),
            ("~* /a", Err(RegularExpression)),
            ("@a", Err(Named)),
        ];
        for (text, expected) in cases {
            let parsed = text.parse::<PathPattern>().map(|pattern| pattern.to_string());
            assert_eq!(parsed.as_deref(), expected.as_ref().copied(), "{text:?}");
        }
    }
}

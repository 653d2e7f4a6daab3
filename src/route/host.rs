//! This file decides which hosts a server name matches (nginx: `server_name`).

use std::fmt;
use std::str::FromStr;

use crate::http1::{host_name, validate_host};

/// The name of a server: `example.com`, `*.example.com`, `.example.com` (both of them), `www.example.*`, or nothing,
/// for requests without `Host`.
///
/// An asterisk stands for one label or more. Names have no case, a port in them does not count, and a name that no
/// host can have, such as `_`, is never found.
///
/// ```
/// use switchover::route::HostPattern;
///
/// let pattern: HostPattern = "*.example.com".parse()?;
/// assert!(pattern.matches("a.b.Example.com:8080"));
/// assert!(!pattern.matches("example.com"));
/// # Ok::<(), switchover::route::HostPatternError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPattern(pub(super) Kind);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Exact(String),
    /// What follows the asterisk and its dot.
    Start(String),
    /// As `Start`, and that name itself.
    StartOrBare(String),
    /// What precedes the dot and its asterisk.
    End(String),
}

/// A text that is not the name of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HostPatternError {
    /// `~…`.
    #[error("server names by regular expression are not supported")]
    RegularExpression,
    /// An asterisk that is not the first label, or not the last, or not alone in it, or one of two.
    #[error("a wildcard is one whole label at the start or at the end, as in *.example.com or www.example.*")]
    Wildcard,
    /// Not a host.
    #[error("a server name is a host, with a port at most")]
    Invalid,
}

impl FromStr for HostPattern {
    type Err = HostPatternError;

    fn from_str(text: &str) -> Result<Self, HostPatternError> {
        if text.is_empty() {
            return Ok(HostPattern(Kind::Exact(String::new())));
        }
        if text.starts_with('~') {
            return Err(HostPatternError::RegularExpression);
        }
        // An equals sign may stand in a host by the grammar. In a route it marks an exact path.
        if text.contains('=') {
            return Err(HostPatternError::Invalid);
        }
        if let Some(suffix) = text.strip_prefix("*.") {
            return Ok(HostPattern(Kind::Start(literal(suffix)?)));
        }
        if let Some(prefix) = text.strip_suffix(".*") {
            return Ok(HostPattern(Kind::End(literal(prefix)?)));
        }
        if let Some(suffix) = text.strip_prefix('.') {
            return Ok(HostPattern(Kind::StartOrBare(literal(suffix)?)));
        }
        Ok(HostPattern(Kind::Exact(literal(text)?)))
    }
}

fn literal(text: &str) -> Result<String, HostPatternError> {
    if text.contains('*') {
        return Err(HostPatternError::Wildcard);
    }
    if text.starts_with('.') || validate_host(text.as_bytes()).is_err() {
        return Err(HostPatternError::Invalid);
    }
    Ok(host_name(text).into_owned())
}

impl HostPattern {
    /// Whether the value of a `Host` is one of these.
    #[must_use]
    pub fn matches(&self, host: &str) -> bool {
        self.matches_name(&host_name(host))
    }

    pub(super) fn matches_name(&self, name: &str) -> bool {
        let below = |suffix: &str| {
            name.strip_suffix(suffix)
                .is_some_and(|labels| labels.ends_with('.'))
        };
        match &self.0 {
            Kind::Exact(exact) => name == exact,
            Kind::Start(suffix) => below(suffix),
            Kind::StartOrBare(suffix) => name == suffix || below(suffix),
            Kind::End(prefix) => name
                .strip_prefix(&prefix[..])
                .and_then(|rest| rest.strip_prefix('.'))
                .is_some_and(|labels| !labels.is_empty()),
        }
    }

    /// Sorts what is tried first to the front.
    pub(super) fn rank(&self) -> impl Ord + use<> {
        let (kind, length) = match &self.0 {
            Kind::Exact(_) => (0, 0),
            Kind::Start(suffix) | Kind::StartOrBare(suffix) => (1, suffix.len()),
            Kind::End(prefix) => (2, prefix.len()),
        };
        (kind, usize::MAX - length)
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Exact(name) => f.write_str(name),
            Kind::Start(suffix) => write!(f, "*.{suffix}"),
            Kind::StartOrBare(suffix) => write!(f, ".{suffix}"),
            Kind::End(prefix) => write!(f, "{prefix}.*"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        use HostPatternError::*;
        let cases: &[(&str, Result<&str, HostPatternError>)] = &[
            ("", Ok("")),
            ("_", Ok("_")),
            ("Example.COM", Ok("example.com")),
            ("example.com.", Ok("example.com")),
            ("example.com:81", Ok("example.com")),
            ("[::1]:80", Ok("[::1]")),
            ("*.Example.com", Ok("*.example.com")),
            (".example.com", Ok(".example.com")),
            ("www.example.*", Ok("www.example.*")),
            ("www.*", Ok("www.*")),
            ("*", Err(Wildcard)),
            ("*.", Err(Invalid)),
            (".", Err(Invalid)),
            (".*", Err(Invalid)),
            ("*.*", Err(Wildcard)),
            ("*.example.*", Err(Wildcard)),
            (".example.*", Err(Invalid)),
            ("w*.example.com", Err(Wildcard)),
            ("www.*.com", Err(Wildcard)),
            ("*example.com", Err(Wildcard)),
            ("..example.com", Err(Invalid)),
            ("~^www\\.", Err(RegularExpression)),
            ("a=b.example", Err(Invalid)),
            ("a/b", Err(Invalid)),
            ("a b", Err(Invalid)),
            ("user@example.com", Err(Invalid)),
        ];
        for (text, expected) in cases {
            let parsed = text.parse::<HostPattern>().map(|pattern| pattern.to_string());
            assert_eq!(parsed.as_deref(), expected.as_ref().copied(), "{text:?}");
        }
    }
}

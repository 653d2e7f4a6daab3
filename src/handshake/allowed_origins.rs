//! Which origins may open a socket (RFC 6455, section 10.2): by patterns, or by a function of the caller's.
//!
//! Decides by the `Origin` field alone. Must not know routes or upstreams.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use http::header::ORIGIN;
use http::request::Parts;

use super::{Origin, OriginError, Rejection, Repeated, single};
use crate::http1::AnyRequest;

/// What an `Origin` is compared with: an origin, or one of a few forms that browsers send.
///
/// | pattern | allows |
/// |---|---|
/// | `https://example.com`, `http://localhost:3000` | this [`Origin`]: scheme, host and port, all three |
/// | `https://*.example.com`, `https://*.example.com:8443` | each host with exactly one label before `example.com`, of this scheme and port: `https://app.example.com`, but neither `https://example.com` nor `https://a.b.example.com` |
/// | `null` | the opaque origin: sandboxed frames, `data:` pages, and local files in most browsers |
/// | `file://` | local files, as some embedded browsers send it |
///
/// The asterisk stands for one whole label, as in a certificate (RFC 9525, section 6.3), and nowhere else: all other
/// patterns with one are refused.
///
/// Danger: any page can make its origin `null`, by opening the socket from a sandboxed frame.
///
/// ```
/// use switchover::handshake::OriginPattern;
///
/// let pattern: OriginPattern = "https://*.example.com".parse().unwrap();
/// assert!(pattern.matches("https://app.example.com"));
/// assert!(!pattern.matches("https://a.b.example.com"));
/// assert!(!pattern.matches("https://evil-example.com"));
/// assert!("https://app*.example.com".parse::<OriginPattern>().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OriginPattern(Pattern);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Pattern {
    Exactly(Origin),
    /// Any one label before the host.
    UnderHost(Origin),
    Null,
    File,
}

/// A text that is no [`OriginPattern`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OriginPatternError {
    /// An asterisk elsewhere than in place of the first label.
    #[error(
        "an asterisk stands for the whole first label of a host and for nothing else, as in https://*.example.com"
    )]
    Wildcard,
    /// Neither an origin nor one of the words.
    #[error("{0}; or null, or file://, or https://*.HOST for one label before HOST")]
    Origin(OriginError),
}

impl From<OriginError> for OriginPatternError {
    fn from(error: OriginError) -> Self {
        OriginPatternError::Origin(error)
    }
}

/// What an `Origin` is when it is not scheme, host and port (RFC 6454, section 7.1; HTML, "opaque origin").
const NULL: &str = "null";
const FILE: &str = "file://";

impl OriginPattern {
    /// Whether an `Origin` field with this value is allowed.
    #[must_use]
    pub fn matches(&self, origin: &str) -> bool {
        match &self.0 {
            Pattern::Null => origin == NULL,
            Pattern::File => origin.eq_ignore_ascii_case(FILE),
            Pattern::Exactly(allowed) => origin.parse().is_ok_and(|origin: Origin| origin == *allowed),
            Pattern::UnderHost(parent) => origin
                .parse()
                .is_ok_and(|origin: Origin| origin.parent().is_some_and(|found| found == *parent)),
        }
    }
}

impl FromStr for OriginPattern {
    type Err = OriginPatternError;

    fn from_str(text: &str) -> Result<Self, OriginPatternError> {
        if text == NULL {
            return Ok(OriginPattern(Pattern::Null));
        }
        if text.eq_ignore_ascii_case(FILE) {
            return Ok(OriginPattern(Pattern::File));
        }
        let under = text
            .split_once("://*.")
            .map(|(scheme, rest)| format!("{scheme}://{rest}"));
        if under.as_deref().unwrap_or(text).contains('*') {
            return Err(OriginPatternError::Wildcard);
        }
        Ok(OriginPattern(match under {
            Some(parent) => Pattern::UnderHost(parent.parse()?),
            None => Pattern::Exactly(text.parse()?),
        }))
    }
}

impl From<Origin> for OriginPattern {
    fn from(origin: Origin) -> Self {
        OriginPattern(Pattern::Exactly(origin))
    }
}

impl fmt::Display for OriginPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Pattern::Exactly(origin) => origin.fmt(f),
            Pattern::UnderHost(parent) => {
                let text = parent.to_string();
                f.write_str(&text.replacen("://", "://*.", 1))
            }
            Pattern::Null => f.write_str(NULL),
            Pattern::File => f.write_str(FILE),
        }
    }
}

type Predicate = dyn Fn(&str, &Parts) -> bool + Send + Sync;

/// The allow-list of a policy.
#[derive(Clone, Default)]
pub(super) struct AllowedOrigins {
    patterns: Vec<OriginPattern>,
    predicate: Option<Arc<Predicate>>,
    missing: bool,
}

impl AllowedOrigins {
    pub(super) fn add(&mut self, pattern: OriginPattern) {
        self.patterns.push(pattern);
    }

    pub(super) fn allow_if(&mut self, predicate: impl Fn(&str, &Parts) -> bool + Send + Sync + 'static) {
        self.predicate = Some(Arc::new(predicate));
    }

    pub(super) fn allow_missing(&mut self, allow: bool) {
        self.missing = allow;
    }

    pub(super) fn check(&self, head: &impl AnyRequest) -> Result<(), Rejection> {
        if self.patterns.is_empty() && self.predicate.is_none() {
            return Ok(());
        }
        match single(head.fields(), &ORIGIN) {
            Ok(None) if self.missing => Ok(()),
            Ok(None) => Err(Rejection::OriginMissing),
            Ok(Some(origin)) if self.allows(origin, head) => Ok(()),
            Ok(Some(_)) | Err(Repeated) => Err(Rejection::OriginNotAllowed),
        }
    }

    fn allows(&self, origin: &[u8], head: &impl AnyRequest) -> bool {
        let Ok(origin) = std::str::from_utf8(origin) else {
            return false;
        };
        self.patterns.iter().any(|pattern| pattern.matches(origin))
            || self
                .predicate
                .as_ref()
                .is_some_and(|allows| allows(origin, head.as_parts()))
    }
}

impl fmt::Debug for AllowedOrigins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AllowedOrigins")
            .field("patterns", &self.patterns)
            .field("predicate", &self.predicate.is_some())
            .field("missing", &self.missing)
            .finish()
    }
}

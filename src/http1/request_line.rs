//! How a request line is taken apart, and what is wrong with one that is malformed (RFC 9112, section 3).
//!
//! The scan has already refused control bytes and a line that does not end with CRLF. What a target means is not decided
//! here.

use http::Version;

use super::{HeadError, TargetError};
use crate::token;

/// What is wrong with a request line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestLineError {
    /// White space before the method.
    #[error("it begins with white space")]
    LeadingWhiteSpace,
    /// White space behind the version.
    #[error("it ends with white space")]
    TrailingWhiteSpace,
    /// A tab, or more than one space, between two parts.
    #[error("its parts are not separated by exactly one space each")]
    Separator,
    /// A method that is not a token (RFC 9110, section 9.1).
    #[error("its method is not a token")]
    Method,
    /// A method, and nothing or only a version behind it.
    #[error("it has no target")]
    NoTarget,
    /// A method and a target, as in HTTP/0.9.
    #[error("it has no HTTP version")]
    NoVersion,
    /// A version that is not `HTTP/`, a digit, a dot and a digit, in this case of letters (RFC 9112, section 2.3).
    #[error("its last part is not an HTTP version, as HTTP/1.1 is, in capitals")]
    Version,
}

impl RequestLineError {
    /// In a word, for logs and metrics: `request-line-leading-space`, `request-line-trailing-space`, `request-line-separator`,
    /// `request-line-method`, `request-line-no-target`, `request-line-no-version`, `request-line-version`. None of them changes
    /// in a minor version.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            RequestLineError::LeadingWhiteSpace => "request-line-leading-space",
            RequestLineError::TrailingWhiteSpace => "request-line-trailing-space",
            RequestLineError::Separator => "request-line-separator",
            RequestLineError::Method => "request-line-method",
            RequestLineError::NoTarget => "request-line-no-target",
            RequestLineError::NoVersion => "request-line-no-version",
            RequestLineError::Version => "request-line-version",
        }
    }
}

/// The three parts of a request line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RequestLine<'a> {
    pub(super) method: &'a str,
    pub(super) target: &'a [u8],
    pub(super) version: Version,
}

impl<'a> RequestLine<'a> {
    /// Takes a line without its CRLF apart.
    pub(super) fn parse(line: &'a [u8]) -> Result<Self, HeadError> {
        let (method, rest) = match split_first(line) {
            Some(parts) => parts,
            None if line.contains(&b'\t') => return Err(RequestLineError::Separator.into()),
            None if token::is_token(line) => return Err(RequestLineError::NoTarget.into()),
            None => return Err(RequestLineError::Method.into()),
        };
        let method = method_of(method)?;
        match rest {
            [] => return Err(RequestLineError::NoTarget.into()),
            [.., b' ' | b'\t'] => return Err(RequestLineError::TrailingWhiteSpace.into()),
            _ => {}
        }
        let (target, version) = match split_last(rest) {
            Some(parts) => parts,
            None if names_http(rest) => return Err(RequestLineError::NoTarget.into()),
            None if rest.contains(&b'\t') => return Err(RequestLineError::Separator.into()),
            None => return Err(RequestLineError::NoVersion.into()),
        };
        if !names_http(version) {
            return Err(RequestLineError::NoVersion.into());
        }
        match target {
            [] => return Err(RequestLineError::NoTarget.into()),
            [b' ' | b'\t', ..] | [.., b' ' | b'\t'] => return Err(RequestLineError::Separator.into()),
            _ if target.iter().any(|byte| matches!(byte, b' ' | b'\t')) => {
                return Err(TargetError::WhiteSpace.into());
            }
            _ => {}
        }
        let version = version_of(version)?;
        Ok(RequestLine {
            method,
            target,
            version,
        })
    }
}

fn split_first(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = line.iter().position(|&byte| byte == b' ')?;
    Some((&line[..at], &line[at + 1..]))
}

fn split_last(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = rest.iter().rposition(|&byte| byte == b' ')?;
    Some((&rest[..at], &rest[at + 1..]))
}

fn method_of(method: &[u8]) -> Result<&str, RequestLineError> {
    match std::str::from_utf8(method) {
        _ if method.contains(&b'\t') => Err(RequestLineError::Separator),
        Ok("") => Err(RequestLineError::LeadingWhiteSpace),
        Ok(text) if token::is_token(method) => Ok(text),
        _ => Err(RequestLineError::Method),
    }
}

/// Whether the last word of a line is meant as a version.
fn names_http(word: &[u8]) -> bool {
    word.get(..4)
        .is_some_and(|name| name.eq_ignore_ascii_case(b"HTTP"))
}

fn version_of(version: &[u8]) -> Result<Version, HeadError> {
    match version {
        b"HTTP/1.1" => Ok(Version::HTTP_11),
        b"HTTP/1.0" => Ok(Version::HTTP_10),
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => Err(HeadError::Version),
        _ => Err(RequestLineError::Version.into()),
    }
}

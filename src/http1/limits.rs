//! How much of a message head is read before it is refused.

use http::header::{COOKIE, HeaderName, HeaderValue};
use http::{Version, request};

use super::HeadError;

/// Limits on one message head.
///
/// What others use: nginx reads a request head into at most 4 buffers of 8 KiB and an upstream's head into one of
/// 4 KiB; hyper allows about 400 KiB and 100 fields; Apache 8,190 bytes a line and 100 fields; IIS 16 KiB.
///
/// ```
/// use switchover::http1::HeadLimits;
///
/// let limits = HeadLimits::default().max_bytes(16 * 1024).max_fields(64);
/// assert_eq!(limits.bytes(), 16 * 1024);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    bytes: usize,
    fields: usize,
}

impl HeadLimits {
    const MOST_FIELDS: usize = 16 * 1024;

    /// The most bytes in a head: start line, all field lines and the empty line. Default 65,536.
    ///
    /// A connection whose head is under way holds a buffer of up to this size. A request beyond it is answered 414
    /// if its first line alone is too long, else 431; an upstream's answer beyond it becomes a 502.
    #[must_use]
    pub const fn max_bytes(mut self, bytes: usize) -> Self {
        self.bytes = bytes;
        self
    }

    /// The most field lines in a head. Default 128, at most 16,384. A request beyond it is answered 431.
    #[must_use]
    pub const fn max_fields(mut self, fields: usize) -> Self {
        // A `HeaderMap` panics above 24,576 fields, and the proxy adds some of its own.
        self.fields = if fields < Self::MOST_FIELDS {
            fields
        } else {
            Self::MOST_FIELDS
        };
        self
    }

    /// The most bytes in a head.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Checks a request head that another parser has taken in, of any version of HTTP, as if its lines had arrived as those
    /// of HTTP/1.1. The crumbs of a `Cookie` of HTTP/2 (RFC 9113, section 8.2.3) are one field.
    pub(crate) fn check(&self, parts: &request::Parts) -> Result<(), HeadError> {
        let crumbs = match parts.version {
            Version::HTTP_2 | Version::HTTP_3 => parts.headers.get_all(COOKIE).iter().count(),
            _ => 0,
        };
        if parts.headers.len() - crumbs.saturating_sub(1) > self.fields {
            return Err(HeadError::TooManyFields { limit: self.fields });
        }
        let target = &parts.uri;
        let of_target = [
            target.scheme_str(),
            target.authority().map(|authority| authority.as_str()),
            target.path_and_query().map(|path| path.as_str()),
        ];
        let of_target: usize = of_target.into_iter().flatten().map(str::len).sum();
        let limit = self.bytes;
        let first_line = parts.method.as_str().len() + of_target + "  HTTP/1.1\r\n".len();
        if first_line > limit {
            return Err(HeadError::StartLineTooLong { limit });
        }
        let line =
            |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len() + ": \r\n".len();
        if first_line + parts.headers.iter().map(line).sum::<usize>() + "\r\n".len() > limit {
            return Err(HeadError::TooLarge { limit });
        }
        Ok(())
    }

    /// The most field lines in a head.
    #[must_use]
    pub const fn fields(&self) -> usize {
        self.fields
    }
}

impl Default for HeadLimits {
    fn default() -> Self {
        HeadLimits {
            bytes: 64 * 1024,
            fields: 128,
        }
    }
}

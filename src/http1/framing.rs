//! How long the body of a message is (RFC 9112, section 6.3), and which framings are refused as ambiguous.

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{Method, StatusCode, Version, request, response};

use super::any_fields::AnyFields;
use crate::token;

/// How the end of a message's body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "RFC 9112 has no fifth framing")]
pub enum BodyLength {
    /// There is no body.
    None,
    /// A count of bytes, not zero.
    Exactly(u64),
    /// The chunked coding marks the end.
    Chunked,
    /// The body ends where the connection does. Responses only.
    UntilClose,
}

/// What is wrong with `Content-Length` and `Transfer-Encoding`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FramingError {
    /// Both are there.
    #[error("both Content-Length and Transfer-Encoding are there")]
    Both,
    /// A `Content-Length` that is not a decimal number that fits 64 bits.
    #[error("Content-Length is not a number")]
    InvalidLength,
    /// Two differing values of `Content-Length`; in a request two of any value.
    #[error("Content-Length is repeated")]
    RepeatedLength,
    /// A transfer coding other than `chunked` under a final `chunked`.
    #[error("a transfer coding other than chunked")]
    UnknownCoding,
    /// A `Transfer-Encoding` that is empty, repeats `chunked`, or does not end with it.
    #[error("Transfer-Encoding is not just chunked")]
    InvalidCoding,
    /// `Transfer-Encoding` in an HTTP/1.0 message (RFC 9112, section 6.1).
    #[error("Transfer-Encoding in an HTTP/1.0 message")]
    CodingInHttp10,
}

impl FramingError {
    /// In a word, for logs and metrics: `length-and-coding`, `invalid-length`, `repeated-length`, `unknown-coding`,
    /// `invalid-coding`, `coding-in-http-1-0`. None of them changes in a minor version.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            FramingError::Both => "length-and-coding",
            FramingError::InvalidLength => "invalid-length",
            FramingError::RepeatedLength => "repeated-length",
            FramingError::UnknownCoding => "unknown-coding",
            FramingError::InvalidCoding => "invalid-coding",
            FramingError::CodingInHttp10 => "coding-in-http-1-0",
        }
    }
}

impl BodyLength {
    /// The length of a request's body.
    ///
    /// # Errors
    ///
    /// [`FramingError`]: the answer is 501 for an unknown coding and 400 for the rest.
    pub fn of_request(parts: &request::Parts) -> Result<Self, FramingError> {
        Self::of_asked(parts.version, &parts.headers)
    }

    /// As [`of_request`](Self::of_request), whatever holds the fields.
    pub(crate) fn of_asked(version: Version, fields: &impl AnyFields) -> Result<Self, FramingError> {
        if is_chunked(version, fields)? {
            return Ok(BodyLength::Chunked);
        }
        let mut lines = fields.lines(&CONTENT_LENGTH);
        let length = match (lines.next(), lines.next()) {
            (None, _) => return Ok(BodyLength::None),
            (Some(line), None) => decimal(line).ok_or(FramingError::InvalidLength)?,
            (Some(_), Some(_)) => return Err(FramingError::RepeatedLength),
        };
        Ok(match length {
            0 => BodyLength::None,
            length => BodyLength::Exactly(length),
        })
    }

    /// The length of the body of a response to a request with the method given.
    ///
    /// # Errors
    ///
    /// [`FramingError`]: the answer to the client is 502.
    pub fn of_response(parts: &response::Parts, method: &Method) -> Result<Self, FramingError> {
        Self::of_answer(parts.version, parts.status, &parts.headers, method)
    }

    /// As [`of_response`](Self::of_response), whatever holds the fields.
    pub(crate) fn of_answer(
        version: Version,
        status: StatusCode,
        fields: &impl AnyFields,
        method: &Method,
    ) -> Result<Self, FramingError> {
        if status.is_informational() {
            return Ok(BodyLength::None);
        }
        let chunked = is_chunked(version, fields)?;
        let length = content_length(fields)?;
        let without_body = matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        Ok(match length {
            _ if without_body || *method == Method::HEAD => BodyLength::None,
            _ if chunked => BodyLength::Chunked,
            Some(0) => BodyLength::None,
            Some(length) => BodyLength::Exactly(length),
            None => BodyLength::UntilClose,
        })
    }
}

/// Whether the single coding `chunked` is applied. Anything else in `Transfer-Encoding` is refused.
fn is_chunked(version: Version, fields: &impl AnyFields) -> Result<bool, FramingError> {
    if !fields.contains(&TRANSFER_ENCODING) {
        return Ok(false);
    }
    if fields.contains(&CONTENT_LENGTH) {
        return Err(FramingError::Both);
    }
    if version < Version::HTTP_11 {
        return Err(FramingError::CodingInHttp10);
    }
    let mut codings = fields
        .lines(&TRANSFER_ENCODING)
        .flat_map(token::unquoted_elements);
    let (mut chunked, mut others, mut last_is_chunked) = (0, 0, false);
    for coding in &mut codings {
        last_is_chunked = coding.eq_ignore_ascii_case(b"chunked");
        if last_is_chunked {
            chunked += 1
        } else {
            others += 1
        }
    }
    match (chunked, others, last_is_chunked) {
        (1, 0, _) => Ok(true),
        (1, _, true) => Err(FramingError::UnknownCoding),
        _ => Err(FramingError::InvalidCoding),
    }
}

/// The value that all `Content-Length` lines agree on (RFC 9110, section 8.6).
fn content_length(fields: &impl AnyFields) -> Result<Option<u64>, FramingError> {
    let mut agreed = None;
    for line in fields.lines(&CONTENT_LENGTH) {
        let length = decimal(line).ok_or(FramingError::InvalidLength)?;
        if agreed.is_some_and(|agreed| agreed != length) {
            return Err(FramingError::RepeatedLength);
        }
        agreed = Some(length);
    }
    Ok(agreed)
}

fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

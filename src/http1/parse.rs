//! What the lines of a head mean. The scan has said where it ends and that its bytes are sound.

use bytes::Bytes;
use http::header::{HOST, HeaderMap, HeaderValue};
use http::{Method, StatusCode, Uri, Version, request, response};

#[cfg(feature = "gateway")]
use super::ChunkedError;
use super::any_fields::AnyFields;
use super::fields::{Received, field_lines};
use super::host::{check_host_of, check_replaced_host};
use super::lists::check_request_lists;
use super::marks::mask_of;
use super::request_line::{RequestLine, RequestLineError};
use super::singleton::{check_request_singletons, check_response_singletons};
use super::{BodyLength, HeadError, HeadLimits, HeadScan, RequestTarget, TargetError};
use crate::token;

/// The marks of the lists that are counted, and of the fields that frame a body: most heads have none of them.
const LISTS_MASK: u64 = mask_of(&["forwarded", "te", "trailer", "via", "x-forwarded-for"]);
const FRAMING_MASK: u64 = mask_of(&["content-length", "transfer-encoding"]);

/// What there is so far of a head.
#[derive(Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "a value to take apart at once, never stored"
)]
#[expect(clippy::exhaustive_enums, reason = "a head is whole or not")]
pub enum Parsed<T> {
    /// Sound so far, and not yet whole.
    Partial,
    /// The whole head.
    Complete {
        /// The head as `http` types.
        parts: T,
        /// How many bytes of the buffer it took. What follows belongs to the body, or to the next protocol.
        consumed: usize,
    },
}

/// Parses a request head from bytes that hold everything since its first byte.
///
/// The framing is checked too: [`BodyLength::of_request`] cannot fail on what this returns. An absolute-form
/// target replaces `Host` by its authority (RFC 9112, section 3.2.2).
///
/// # Errors
///
/// [`HeadError`], as early as it is known; [`HeadError::status`] is the answer.
pub fn parse_request(buffer: &[u8], limits: &HeadLimits) -> Result<Parsed<request::Parts>, HeadError> {
    let mut scan = HeadScan::request();
    match scan.advance(buffer, limits)? {
        None => Ok(Parsed::Partial),
        Some(consumed) => request_from_head(Bytes::copy_from_slice(&buffer[..consumed]), &scan)
            .map(ReadRequest::into_parts)
            .map(|parts| Parsed::Complete { parts, consumed }),
    }
}

/// Parses a response head from bytes that hold everything since its first byte.
///
/// # Errors
///
/// [`HeadError`], as early as it is known. The answer to the client is 502.
pub fn parse_response(buffer: &[u8], limits: &HeadLimits) -> Result<Parsed<response::Parts>, HeadError> {
    let mut scan = HeadScan::response();
    match scan.advance(buffer, limits)? {
        None => Ok(Parsed::Partial),
        Some(consumed) => response_from_head(Bytes::copy_from_slice(&buffer[..consumed]), &scan)
            .map(ResponseHead::into_parts)
            .map(|parts| Parsed::Complete { parts, consumed }),
    }
}

/// A request head as it was read, with its fields in a map or in a list.
#[derive(Debug)]
pub(crate) struct ReadRequest<F> {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) version: Version,
    pub(crate) fields: F,
    /// How long the body is, which has to be asked to check the framing.
    #[cfg_attr(not(feature = "gateway"), allow(dead_code))]
    pub(crate) body: BodyLength,
}

impl ReadRequest<HeaderMap> {
    /// The head as the type of `http`.
    pub(crate) fn into_parts(self) -> request::Parts {
        let (mut parts, ()) = http::Request::new(()).into_parts();
        parts.method = self.method;
        parts.uri = self.uri;
        parts.version = self.version;
        parts.headers = self.fields;
        parts
    }
}

/// Parses the whole request head that the scan has found the end of.
pub(crate) fn request_from_head<F>(head: Bytes, scan: &HeadScan) -> Result<ReadRequest<F>, HeadError>
where
    F: AnyFields + Received,
{
    let line_start = head
        .iter()
        .position(|byte| !matches!(byte, b'\r' | b'\n'))
        .unwrap_or_default();
    let line_length = token::find(&head[line_start..], b'\r');
    let line_end = line_start + line_length.ok_or(RequestLineError::NoTarget)?;
    let RequestLine {
        method,
        target,
        version,
    } = RequestLine::parse(&head[line_start..line_end])?;
    let method = Method::from_bytes(method.as_bytes()).map_err(|_| RequestLineError::Method)?;
    let target = RequestTarget::from_shared(&method, head.slice_ref(target))?;
    let (mut fields, marks): (F, _) =
        field_lines(&head, line_end + 2, scan.fields() + F::ADDED, scan.field_ends())?;
    match target {
        RequestTarget::Absolute { .. } => check_replaced_host(version, &fields)?,
        _ => check_host_of(version, &fields)?,
    }
    check_request_singletons(&fields)?;
    if marks.may_have_any(LISTS_MASK) {
        check_request_lists(&fields)?;
    }
    if let RequestTarget::Absolute { authority, .. } = &target {
        // RFC 9112, section 3.2.2: a proxy ignores the Host received and replaces it by the target's.
        let host = HeaderValue::from_str(authority.as_str()).map_err(|_| TargetError::Authority)?;
        fields.set(HOST, host);
    }
    let body = match marks.may_have_any(FRAMING_MASK) {
        true => BodyLength::of_asked(version, &fields)?,
        false => BodyLength::None,
    };
    Ok(ReadRequest {
        method,
        uri: target.into_uri(),
        version,
        fields,
        body,
    })
}

/// A response head, with its fields in a map or in a list.
#[derive(Clone, Debug)]
pub(crate) struct ResponseHead<F> {
    pub(crate) status: StatusCode,
    pub(crate) version: Version,
    pub(crate) fields: F,
}

impl ResponseHead<HeaderMap> {
    /// The head as the type of `http`.
    pub(crate) fn into_parts(self) -> response::Parts {
        let (mut parts, ()) = http::Response::new(()).into_parts();
        parts.status = self.status;
        parts.version = self.version;
        parts.headers = self.fields;
        parts
    }
}

/// Parses the whole response head that the scan has found the end of.
pub(crate) fn response_from_head<F>(head: Bytes, scan: &HeadScan) -> Result<ResponseHead<F>, HeadError>
where
    F: AnyFields + Received,
{
    let line_end = token::find(&head, b'\r').ok_or(HeadError::StartLine)?;
    let (version, status) = status_line(&head[..line_end])?;
    // Room for one or two that a proxy adds.
    let (fields, _): (F, _) = field_lines(&head, line_end + 2, scan.fields() + 2, scan.field_ends())?;
    check_response_singletons(&fields)?;
    // The framing is known only with the request's method, but what no method makes right is refused here.
    BodyLength::of_answer(version, status, &fields, &Method::GET)?;
    Ok(ResponseHead {
        status,
        version,
        fields,
    })
}

/// RFC 9112, section 4. No recipient needs the reason phrase; servers are known that leave out the space before an empty one.
fn status_line(line: &[u8]) -> Result<(Version, StatusCode), HeadError> {
    let (version, rest) = match line.split_at_checked(b"HTTP/1.1 ".len()) {
        Some((b"HTTP/1.1 ", rest)) => (Version::HTTP_11, rest),
        Some((b"HTTP/1.0 ", rest)) => (Version::HTTP_10, rest),
        _ => return Err(HeadError::Version),
    };
    match rest.split_at_checked(3) {
        Some((status, [] | [b' ', ..])) => StatusCode::from_bytes(status)
            .map(|status| (version, status))
            .map_err(|_| HeadError::StartLine),
        _ => Err(HeadError::StartLine),
    }
}

/// Parses the trailer section that a scanner has found the end of, with its empty line.
#[cfg(feature = "gateway")]
pub(crate) fn trailer_fields(section: &[u8]) -> Result<HeaderMap, ChunkedError> {
    let lines = section.iter().filter(|byte| **byte == b'\n').count();
    let parsed = field_lines(&Bytes::copy_from_slice(section), 0, lines, &[]);
    parsed
        .map(|(fields, _)| fields)
        .map_err(|_| ChunkedError::TrailerName)
}

#[cfg(test)]
mod tests {
    use http::HeaderName;
    use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};

    use super::super::lists::LISTS;
    use super::super::marks::Marks;
    use super::*;

    #[test]
    fn a_mask_has_the_marks_of_its_names() {
        let marked = |name: &HeaderName| {
            let mut marks = Marks::default();
            marks.add(name);
            marks
        };
        assert!(LISTS.iter().all(|name| marked(name).may_have_any(LISTS_MASK)));
        let framing = [CONTENT_LENGTH, TRANSFER_ENCODING];
        assert!(framing.iter().all(|name| marked(name).may_have_any(FRAMING_MASK)));
        assert!(!marked(&HOST).may_have_any(LISTS_MASK | FRAMING_MASK));
    }
}

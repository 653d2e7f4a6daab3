//! What the lines of a head mean. The scan has said where it ends and that its bytes are sound.

use std::mem::MaybeUninit;

use bytes::Bytes;
use http::header::{HOST, HeaderName, HeaderValue};
use http::{HeaderMap, Method, StatusCode, Version, request, response};

#[cfg(feature = "gateway")]
use super::ChunkedError;
use super::lists::check_request_lists;
use super::request_line::{RequestLine, RequestLineError};
use super::singleton::{check_request_singletons, check_response_singletons};
use super::{BodyLength, HeadError, HeadLimits, HeadScan, RequestTarget, TargetError, check_host};

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
            .map(|parts| Parsed::Complete { parts, consumed }),
    }
}

/// Parses the whole request head that the scan has found the end of.
pub(crate) fn request_from_head(head: Bytes, scan: &HeadScan) -> Result<request::Parts, HeadError> {
    let line_start = head
        .iter()
        .position(|byte| !matches!(byte, b'\r' | b'\n'))
        .unwrap_or_default();
    let line_length = head[line_start..].iter().position(|&byte| byte == b'\r');
    let line_end = line_start + line_length.ok_or(RequestLineError::NoTarget)?;
    let RequestLine {
        method,
        target,
        version,
    } = RequestLine::parse(&head[line_start..line_end])?;
    let method = Method::from_bytes(method.as_bytes()).map_err(|_| RequestLineError::Method)?;
    let target = RequestTarget::from_shared(&method, head.slice_ref(target))?;
    let mut headers = field_lines(&head, line_end + 2, scan)?;
    check_host(version, &headers)?;
    check_request_singletons(&headers)?;
    check_request_lists(&headers)?;
    if let RequestTarget::Absolute { authority, .. } = &target {
        // RFC 9112, section 3.2.2: a proxy ignores the Host received and replaces it by the target's.
        let host = HeaderValue::from_str(authority.as_str()).map_err(|_| TargetError::Authority)?;
        headers.insert(HOST, host);
    }

    let (mut parts, ()) = http::Request::new(()).into_parts();
    parts.method = method;
    parts.uri = target.into_uri();
    parts.version = version;
    parts.headers = headers;
    BodyLength::of_request(&parts)?;
    Ok(parts)
}

/// Parses the field lines of a request, which begin at this offset of its head.
fn field_lines(head: &Bytes, at: usize, scan: &HeadScan) -> Result<HeaderMap, HeadError> {
    const ORDINARY: usize = 32;
    let mut ordinary = [httparse::EMPTY_HEADER; ORDINARY];
    let mut many = Vec::new();
    let fields = match scan.fields() {
        0..=ORDINARY => &mut ordinary[..],
        count => {
            many.resize(count, httparse::EMPTY_HEADER);
            &mut many[..]
        }
    };
    match httparse::parse_headers(head.get(at..).unwrap_or_default(), fields).map_err(head_error)? {
        httparse::Status::Complete((_, fields)) => header_map(head, fields),
        httparse::Status::Partial => Err(HeadError::FieldName),
    }
}

/// Parses the whole response head that the scan has found the end of.
pub(crate) fn response_from_head(head: Bytes, scan: &HeadScan) -> Result<response::Parts, HeadError> {
    with_fields(scan, |fields| {
        let mut parsed = httparse::Response::new(&mut []);
        let config = httparse::ParserConfig::default();
        let status = config
            .parse_response_with_uninit_headers(&mut parsed, &head, fields)
            .map_err(head_error)?;
        let (true, Some(code)) = (status.is_complete(), parsed.code) else {
            return Err(HeadError::StartLine);
        };
        let (mut parts, ()) = http::Response::new(()).into_parts();
        parts.status = StatusCode::from_u16(code).map_err(|_| HeadError::StartLine)?;
        parts.version = http_version(parsed.version)?;
        parts.headers = header_map(&head, parsed.headers)?;
        check_response_singletons(&parts.headers)?;
        // The framing is known only with the request's method, but what no method makes right is refused here.
        BodyLength::of_response(&parts, &Method::GET)?;
        Ok(parts)
    })
}

/// Parses the trailer section that a scanner has found the end of, with its empty line.
#[cfg(feature = "gateway")]
pub(crate) fn trailer_fields(section: &[u8]) -> Result<HeaderMap, ChunkedError> {
    let lines = section.iter().filter(|byte| **byte == b'\n').count();
    let mut fields = vec![httparse::EMPTY_HEADER; lines];
    let section = Bytes::copy_from_slice(section);
    match httparse::parse_headers(&section, &mut fields) {
        Ok(httparse::Status::Complete((_, fields))) => {
            header_map(&section, fields).map_err(|_| ChunkedError::TrailerName)
        }
        _ => Err(ChunkedError::TrailerName),
    }
}

/// Calls `parse` with room for just the fields that the scan has counted: on the stack for all ordinary heads.
fn with_fields<'head, T>(
    scan: &HeadScan,
    parse: impl FnOnce(&mut [MaybeUninit<httparse::Header<'head>>]) -> Result<T, HeadError>,
) -> Result<T, HeadError> {
    const ORDINARY: usize = 32;
    let fields = scan.fields();
    if fields <= ORDINARY {
        parse(&mut [const { MaybeUninit::uninit() }; ORDINARY])
    } else {
        parse(&mut vec![MaybeUninit::uninit(); fields])
    }
}

fn header_map(head: &Bytes, fields: &[httparse::Header<'_>]) -> Result<HeaderMap, HeadError> {
    let mut headers = HeaderMap::with_capacity(fields.len());
    for field in fields {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| HeadError::FieldName)?;
        // An empty value has no place in the head to point to.
        let value = if field.value.is_empty() {
            Bytes::new()
        } else {
            head.slice_ref(field.value)
        };
        let value = HeaderValue::from_maybe_shared(value).map_err(|_| HeadError::FieldValue)?;
        headers.append(name, value);
    }
    Ok(headers)
}

fn http_version(minor: Option<u8>) -> Result<Version, HeadError> {
    match minor {
        Some(1) => Ok(Version::HTTP_11),
        Some(0) => Ok(Version::HTTP_10),
        _ => Err(HeadError::Version),
    }
}

fn head_error(error: httparse::Error) -> HeadError {
    match error {
        httparse::Error::HeaderName => HeadError::FieldName,
        httparse::Error::HeaderValue => HeadError::FieldValue,
        httparse::Error::Version => HeadError::Version,
        _ => HeadError::StartLine,
    }
}

//! Heads as bytes: fields in the order of the map or the list, repetitions kept, names in the spelling of the RFCs.

use http::header::HeaderName;
use http::{Method, StatusCode, Uri, request, response};

use super::any_fields::AnyFields;
use super::names::line_start;

pub(super) const LINE_END: &[u8] = b"\r\n";

/// Appends a request head, ending with the empty line. The version written is always HTTP/1.1.
///
/// The target is the URI's path and query (`/` where it has none), which is what an origin expects
/// (RFC 9112, section 3.2.1).
///
/// ```
/// let (parts, ()) = http::Request::get("http://example.com/chat?room=1")
///     .header("sec-websocket-version", "13")
///     .body(())
///     .unwrap()
///     .into_parts();
/// let mut bytes = Vec::new();
/// switchover::http1::encode_request(&parts, &mut bytes);
/// assert_eq!(bytes, b"GET /chat?room=1 HTTP/1.1\r\nSec-WebSocket-Version: 13\r\n\r\n");
/// ```
pub fn encode_request(parts: &request::Parts, into: &mut Vec<u8>) {
    encode_asked(&parts.method, &parts.uri, &parts.headers, into);
}

/// As [`encode_request`], whatever holds the fields.
pub(super) fn encode_asked(method: &Method, uri: &Uri, fields: &impl AnyFields, into: &mut Vec<u8>) {
    reserve(fields, into);
    into.extend_from_slice(method.as_str().as_bytes());
    into.push(b' ');
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    // RFC 9112, section 3.2.1: an empty path is sent as "/", also where a query follows it.
    if target.starts_with('?') {
        into.push(b'/');
    }
    into.extend_from_slice(target.as_bytes());
    into.extend_from_slice(b" HTTP/1.1\r\n");
    encode_fields(fields, into);
}

/// Appends a response head, ending with the empty line. The version written is always HTTP/1.1.
///
/// The reason phrase is the canonical one of the status, or empty where it has none: no recipient may rely on it
/// (RFC 9112, section 4).
pub fn encode_response(parts: &response::Parts, into: &mut Vec<u8>) {
    encode_answer(parts.status, None, &parts.headers, into);
}

/// As [`encode_response`], with this reason phrase if it is not the canonical one, and whatever holds the fields.
pub(crate) fn encode_answer(
    status: StatusCode,
    reason: Option<&[u8]>,
    fields: &impl AnyFields,
    into: &mut Vec<u8>,
) {
    let canonical = || status.canonical_reason().unwrap_or_default().as_bytes();
    reserve(fields, into);
    into.extend_from_slice(b"HTTP/1.1 ");
    into.extend_from_slice(status.as_str().as_bytes());
    into.push(b' ');
    into.extend_from_slice(reason.unwrap_or_else(canonical));
    into.extend_from_slice(b"\r\n");
    encode_fields(fields, into);
}

/// Makes room for as much as heads mostly have. Where it is too little the buffer grows once more, which is cheaper than to add up
/// all lengths of every head.
fn reserve(fields: &impl AnyFields, into: &mut Vec<u8>) {
    const START_LINE: usize = 128;
    const FIELD_LINE: usize = 48;
    into.reserve(START_LINE + fields.count() * FIELD_LINE);
}

/// Appends field lines, ending with the empty line.
pub(crate) fn encode_fields(fields: &impl AnyFields, into: &mut Vec<u8>) {
    fields.encode(into);
    into.extend_from_slice(b"\r\n");
}

/// Appends one field line.
pub(super) fn encode_line(name: &HeaderName, value: &[u8], into: &mut Vec<u8>) {
    encode_line_start(name, into);
    into.extend_from_slice(value);
    into.extend_from_slice(LINE_END);
}

fn encode_line_start(name: &HeaderName, into: &mut Vec<u8>) {
    if let Some(start) = line_start(name) {
        into.extend_from_slice(start.as_bytes());
        return;
    }
    let name = name.as_str();
    let start = into.len();
    into.extend_from_slice(name.as_bytes());
    let mut is_first = true;
    for byte in &mut into[start..] {
        if is_first {
            byte.make_ascii_uppercase();
        }
        is_first = *byte == b'-';
    }
    into.extend_from_slice(b": ");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_spelled_as_is_usual() {
        for name in [
            "Host",
            "Sec-WebSocket-Key",
            "X-A",
            "Set-Cookie",
            "X_a-B9--C-",
            "-",
        ] {
            let mut encoded = Vec::new();
            encode_line_start(&HeaderName::from_bytes(name.as_bytes()).unwrap(), &mut encoded);
            assert_eq!(encoded, [name.as_bytes(), b": "].concat());
        }
    }
}

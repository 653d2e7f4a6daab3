//! What a span says of a request: this file decides what of it may be said.

use http::Version;
use http::header::{HOST, HeaderName};

use crate::header::Hop;
use crate::http1::{AnyFields, AnyRequest, host_and_port};
use crate::telemetry::{self, Asked, Kind, ObservedRequest};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// A request that is observed from now on. Of its target only the path is looked at, and of its fields the host and `traceparent`.
pub(crate) fn observed(kind: Kind, head: &impl AnyRequest, version: Version, hop: Hop) -> ObservedRequest {
    // Where nobody observes, nobody reads what these would look for.
    let is_read = telemetry::observes_requests();
    let host = if is_read { authority(head) } else { None }.unzip();
    let traceparent = if is_read { traceparent(head.fields()) } else { None };
    let asked = Asked {
        method: head.method().as_str(),
        path: head.uri().path(),
        scheme: hop.scheme(),
        version: match version {
            Version::HTTP_10 => "1.0",
            Version::HTTP_2 => "2",
            _ => "1.1",
        },
        host: host.0,
        port: host.1.flatten(),
        client: hop.client(),
        client_port: hop.client_port(),
        traceparent,
    };
    ObservedRequest::start(kind, &asked)
}

fn authority(head: &impl AnyRequest) -> Option<(&str, Option<u16>)> {
    match head.uri().authority() {
        Some(authority) => Some((authority.host(), authority.port_u16())),
        None => host_and_port(head.fields().first(&HOST)?),
    }
}

/// The field of W3C Trace Context, section 3.2, if it is one: a caller bridges it to its own tracer.
fn traceparent(fields: &impl AnyFields) -> Option<&str> {
    let value = fields.first(&TRACEPARENT)?;
    let value = std::str::from_utf8(value).ok()?;
    let is_one = value.len() == 55 && value.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit());
    is_one.then_some(value)
}

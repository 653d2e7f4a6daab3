//! The answer to a request that its client wants to go no further: this proxy answers "as the final recipient" (RFC 9110, section
//! 7.6.2).
//!
//! It says nothing of the origin's: which methods it knows, or that it is there.

use http::header::{
    ALLOW, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HeaderValue, PROXY_AUTHORIZATION,
};
use http::{Method, Response, StatusCode, request};

use crate::handshake::{Rejection, last_response};
use crate::header::max_forwards;
use crate::http1::{AnyRequest, encode_request};

/// The answer, if the request ends here.
pub(super) fn answer(head: &impl AnyRequest) -> Option<Response<String>> {
    if !max_forwards::ends_here(head.method(), head.fields()) {
        return None;
    }
    if *head.method() == Method::TRACE {
        let mut response = last_response(StatusCode::OK, received(head.as_parts()));
        let message = HeaderValue::from_static("message/http");
        response.headers_mut().insert(CONTENT_TYPE, message);
        return Some(response);
    }
    let mut response = last_response(StatusCode::OK, String::new());
    // What goes through here, which a refused TRACE says too.
    let allowed = Rejection::Trace.headers().remove(ALLOW);
    let headers = response.headers_mut();
    headers.remove(CONTENT_TYPE);
    headers.extend(allowed.map(|allowed| (ALLOW, allowed)));
    // RFC 9110, section 9.3.7.
    headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    Some(response)
}

/// RFC 9110, section 9.3.8: the message that was received, without what is likely to be secret.
fn received(head: &request::Parts) -> String {
    let mut parts = head.clone();
    for secret in [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION] {
        parts.headers.remove(secret);
    }
    let mut message = Vec::new();
    encode_request(&parts, &mut message);
    String::from_utf8_lossy(&message).into_owned()
}

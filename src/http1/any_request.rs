//! What a decision asks of a request head, whatever holds it: the type that callers know, or the one in which a request passes through.

use http::{Method, Uri, Version, request};

use super::any_fields::AnyFields;

/// A request head.
#[cfg_attr(not(feature = "gateway"), allow(dead_code))]
pub(crate) trait AnyRequest {
    /// What holds its fields.
    type Fields: AnyFields;

    fn method(&self) -> &Method;

    fn uri(&self) -> &Uri;

    fn version(&self) -> Version;

    fn fields(&self) -> &Self::Fields;

    /// As the type of `http`, for a caller of the crate's.
    fn as_parts(&self) -> &request::Parts;
}

impl AnyRequest for request::Parts {
    type Fields = http::HeaderMap;

    fn method(&self) -> &Method {
        &self.method
    }

    fn uri(&self) -> &Uri {
        &self.uri
    }

    fn version(&self) -> Version {
        self.version
    }

    fn fields(&self) -> &http::HeaderMap {
        &self.headers
    }

    fn as_parts(&self) -> &request::Parts {
        self
    }
}

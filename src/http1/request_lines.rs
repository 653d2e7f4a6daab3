//! A request head on its way upstream, with its fields in a list. The types of `http` are made of it when a connector asks for them.

use std::sync::OnceLock;

use http::{Extensions, Method, Uri, Version, request};

use super::encode::encode_asked;
use super::field_list::FieldList;

/// A request head that is about to be sent.
#[derive(Debug)]
pub(crate) struct RequestLines {
    method: Method,
    uri: Uri,
    fields: FieldList,
    extensions: Extensions,
    parts: OnceLock<Box<request::Parts>>,
}

impl RequestLines {
    pub(crate) fn new(method: Method, uri: Uri, fields: FieldList, extensions: Extensions) -> Self {
        RequestLines {
            method,
            uri,
            fields,
            extensions,
            parts: OnceLock::new(),
        }
    }

    pub(crate) fn method(&self) -> &Method {
        &self.method
    }

    /// Appends the head, as [`encode_request`](super::encode_request) does.
    pub(crate) fn encode(&self, into: &mut Vec<u8>) {
        encode_asked(&self.method, &self.uri, &self.fields, into);
    }

    /// The head as the type of `http`.
    pub(crate) fn parts(&self) -> &request::Parts {
        self.parts.get_or_init(|| {
            let (mut parts, ()) = http::Request::new(()).into_parts();
            parts.method = self.method.clone();
            parts.uri = self.uri.clone();
            parts.version = Version::HTTP_11;
            parts.headers = self.fields.to_map();
            parts.extensions = self.extensions.clone();
            Box::new(parts)
        })
    }
}

//! A request head on its way through a proxy, with its fields as lines in their order. The types of `http` are made of it when they are
//! asked for.

use std::ops::Deref;
use std::sync::OnceLock;

use http::header::HeaderName;
use http::{Extensions, Method, Uri, Version, request};

use super::any_fields::AnyFields;
use super::any_request::AnyRequest;
use super::encode::encode_asked;
use super::field_list::FieldList;
use super::parse::ReadRequest;

/// A request head as it was read, or as it is about to be sent.
///
/// It derefs to [`request::Parts`], whose map of fields is made when they are first asked for. A proxy that needs no more than the
/// [method](RequestHead::method), the [target](RequestHead::uri) and single [fields](RequestHead::field) is spared the map.
///
/// ```
/// use http::header::HOST;
/// use switchover::http1::RequestHead;
///
/// let (parts, ()) = http::Request::get("/chat").header("host", "example.com").body(()).unwrap().into_parts();
/// let head = RequestHead::from(parts);
/// assert_eq!(head.uri().path(), "/chat");
/// assert_eq!(head.field(&HOST), Some(&b"example.com"[..]));
/// // Here the map is made.
/// assert_eq!(head.headers.len(), 1);
/// ```
#[derive(Clone, Debug)]
pub struct RequestHead {
    method: Method,
    uri: Uri,
    version: Version,
    fields: FieldList,
    extensions: Extensions,
    parts: OnceLock<Box<request::Parts>>,
}

#[cfg_attr(not(feature = "hyper"), allow(dead_code))]
impl RequestHead {
    /// The method.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// The target, as [`request::Parts`] have it.
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// The version.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The value of the first line of a field.
    pub fn field(&self, name: &HeaderName) -> Option<&[u8]> {
        self.fields.first(name)
    }

    /// The head as the type of `http`. It is made when it is first asked for.
    pub fn parts(&self) -> &request::Parts {
        self.parts.get_or_init(|| {
            let (mut parts, ()) = http::Request::new(()).into_parts();
            parts.method = self.method.clone();
            parts.uri = self.uri.clone();
            parts.version = self.version;
            parts.headers = self.fields.to_map();
            parts.extensions = self.extensions.clone();
            Box::new(parts)
        })
    }

    /// As [`parts`](RequestHead::parts), for a caller that changes them. What is to go on is made of them by `From`.
    #[must_use]
    pub fn into_parts(mut self) -> request::Parts {
        self.parts();
        match self.parts.take() {
            Some(parts) => *parts,
            None => http::Request::new(()).into_parts().0,
        }
    }

    pub(crate) fn fields(&self) -> &FieldList {
        &self.fields
    }

    pub(crate) fn fields_mut(&mut self) -> &mut FieldList {
        self.parts = OnceLock::new();
        &mut self.fields
    }

    /// What its fields are changed by.
    pub(crate) fn method_and_fields(&mut self) -> (&Method, &mut FieldList) {
        self.parts = OnceLock::new();
        (&self.method, &mut self.fields)
    }

    /// From now on it is a request in HTTP/1.1, and for this target if it is another.
    pub(crate) fn is_for(&mut self, target: Option<Uri>) {
        self.parts = OnceLock::new();
        self.version = Version::HTTP_11;
        if let Some(target) = target {
            self.uri = target;
        }
    }

    pub(crate) fn extensions_mut(&mut self) -> &mut Extensions {
        self.parts = OnceLock::new();
        &mut self.extensions
    }

    /// A copy with room for what a proxy adds.
    pub(crate) fn copied(&self) -> Self {
        RequestHead {
            method: self.method.clone(),
            uri: self.uri.clone(),
            version: self.version,
            fields: self.fields.copied(),
            extensions: self.extensions.clone(),
            parts: OnceLock::new(),
        }
    }

    /// Appends the head, as [`encode_request`](super::encode_request) does.
    pub(crate) fn encode(&self, into: &mut Vec<u8>) {
        encode_asked(&self.method, &self.uri, &self.fields, into);
    }
}

impl From<request::Parts> for RequestHead {
    fn from(parts: request::Parts) -> Self {
        RequestHead {
            fields: FieldList::of(&parts.headers),
            method: parts.method,
            uri: parts.uri,
            version: parts.version,
            extensions: parts.extensions,
            parts: OnceLock::new(),
        }
    }
}

impl From<ReadRequest<FieldList>> for RequestHead {
    fn from(read: ReadRequest<FieldList>) -> Self {
        RequestHead {
            method: read.method,
            uri: read.uri,
            version: read.version,
            fields: read.fields,
            extensions: Extensions::new(),
            parts: OnceLock::new(),
        }
    }
}

impl Deref for RequestHead {
    type Target = request::Parts;

    fn deref(&self) -> &request::Parts {
        self.parts()
    }
}

impl AnyRequest for RequestHead {
    type Fields = FieldList;

    fn method(&self) -> &Method {
        &self.method
    }

    fn uri(&self) -> &Uri {
        &self.uri
    }

    fn version(&self) -> Version {
        self.version
    }

    fn fields(&self) -> &FieldList {
        &self.fields
    }

    fn as_parts(&self) -> &request::Parts {
        self.parts()
    }
}

#[cfg(test)]
mod tests {
    use http::header::{ACCEPT, HOST, HeaderValue};

    use super::*;

    fn head() -> RequestHead {
        let request = http::Request::get("/a?b")
            .header(HOST, "h")
            .header(ACCEPT, "1")
            .header("x-a", "2")
            .header(ACCEPT, "3")
            .extension(7u8);
        RequestHead::from(request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn parts_say_what_the_head_says() {
        let head = head();
        let (expected, ()) = http::Request::get("/a?b").body(()).unwrap().into_parts();
        assert_eq!((&head.method, &head.uri), (&expected.method, &expected.uri));
        assert_eq!((head.method(), head.uri()), (&expected.method, &expected.uri));
        assert_eq!(head.version(), head.version);
        assert_eq!(head.field(&ACCEPT), Some(&b"1"[..]));
        assert!(head.headers.get_all(ACCEPT).iter().eq(["1", "3"]));
        assert_eq!(head.extensions.get(), Some(&7u8));
        let parts = head.clone().into_parts();
        assert_eq!(parts.headers, head.headers);
        assert_eq!(RequestHead::from(parts).headers, head.headers);
    }

    #[test]
    fn a_change_is_seen_in_parts_that_were_made_before() {
        let mut head = head();
        assert_eq!(head.headers.len(), 4);
        head.fields_mut().set(ACCEPT, HeaderValue::from_static("4"));
        assert!(head.headers.get_all(ACCEPT).iter().eq(["4"]));
        head.is_for(Some("/c".parse().unwrap()));
        assert_eq!(head.uri, "/c");
        assert_eq!(head.headers.len(), 3);
    }
}

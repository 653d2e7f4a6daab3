//! What a tunnel was asked for: the label of each in the registry.

use http::header::HOST;
use http::request::Parts;

/// The most bytes that are kept of a host or a path.
const MOST: usize = 256;

/// Host and path of the request. The query may hold a credential, and is not kept.
pub(crate) struct Asked {
    host: Box<str>,
    path: Box<str>,
}

impl Asked {
    pub(crate) fn new(head: &Parts) -> Asked {
        let host = match (head.uri.authority(), head.headers.get(HOST)) {
            (Some(authority), _) => authority.as_str().into(),
            (None, Some(host)) => String::from_utf8_lossy(host.as_bytes()),
            (None, None) => "".into(),
        };
        Asked {
            host: shortened(&host).into(),
            path: shortened(head.uri.path()).into(),
        }
    }

    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }
}

fn shortened(text: &str) -> &str {
    let end = (0..=MOST.min(text.len()))
        .rev()
        .find(|at| text.is_char_boundary(*at));
    &text[..end.unwrap_or(0)]
}

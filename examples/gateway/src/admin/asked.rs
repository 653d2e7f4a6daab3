//! What a tunnel was asked for: the label of each in the registry.

use http::Uri;

use crate::record::start_of;

/// The most bytes that are kept of a host or a path.
pub(super) const MOST: usize = 256;

/// Host and path of the request. The query may hold a credential, and is not kept.
pub(crate) struct Asked {
    /// One after the other: each tunnel has these, and an allocation of its own for each would cost more than most of them are long.
    text: Box<str>,
    host: u16,
    is_whole: bool,
}

impl Asked {
    /// Of a request with this target and this field `Host`.
    pub(crate) fn new(uri: &Uri, host: Option<&[u8]>) -> Asked {
        let host = match (uri.authority(), host) {
            (Some(authority), _) => authority.as_str().into(),
            (None, host) => String::from_utf8_lossy(host.unwrap_or_default()),
        };
        let (host, path) = (start_of(&host, MOST), start_of(uri.path(), MOST));
        Asked {
            text: [host, path].concat().into(),
            host: host.len() as u16,
            is_whole: path.len() == uri.path().len(),
        }
    }

    pub(crate) fn host(&self) -> &str {
        &self.text[..self.host.into()]
    }

    pub(crate) fn path(&self) -> &str {
        &self.text[self.host.into()..]
    }

    /// Whether no byte of the path is missing.
    pub(crate) fn is_whole(&self) -> bool {
        self.is_whole
    }
}

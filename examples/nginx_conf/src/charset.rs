//! `charset`: which `Content-Type` is completed by one. Texts are not translated: nginx does that by `charset_map` alone, and without one
//! `override_charset` changes nothing there either.

use http::StatusCode;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};

use super::text::{Asked, Text};

/// The types that it is for where nothing else is said, as in nginx.
const TYPES: [&str; 6] = [
    "text/html",
    "text/xml",
    "text/plain",
    "text/vnd.wap.wml",
    "application/javascript",
    "application/rss+xml",
];

/// `charset` and `charset_types` of a location.
#[derive(Clone, Debug, Default)]
pub(crate) struct Charset {
    /// None is `off`.
    pub(crate) name: Option<Text>,
    pub(crate) types: Option<Vec<String>>,
}

impl Charset {
    fn is_for(&self, kind: &str) -> bool {
        let is = |known: &str| kind.eq_ignore_ascii_case(known);
        match &self.types {
            // text/html is always one of them.
            Some(types) => is("text/html") || types.iter().any(|known| known == "*" || is(known)),
            None => TYPES.into_iter().any(is),
        }
    }

    /// Completes the type of an answer; as in nginx, not of one that sends its client elsewhere.
    pub(crate) fn apply(&self, headers: &mut HeaderMap, status: StatusCode, asked: &Asked<'_>) {
        if matches!(status, StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND) {
            return;
        }
        let Some(name) = &self.name else {
            return;
        };
        let Some(value) = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()) else {
            return;
        };
        let (kind, parameters) = value.split_once(';').unwrap_or((value, ""));
        let kind = kind.trim();
        let has_charset = parameters.to_ascii_lowercase().contains("charset=");
        if !self.is_for(kind) || has_charset || headers.contains_key(CONTENT_ENCODING) {
            return;
        }
        let name = name.value(asked);
        if name.is_empty() {
            return;
        }
        let completed = format!("{value}; charset={name}");
        if let Ok(completed) = HeaderValue::try_from(completed) {
            headers.insert(CONTENT_TYPE, completed);
        }
    }
}

//! Conditional requests for files, as in nginx: what a client's `If-…` fields say of the file's `ETag` and `Last-Modified`.

use std::fs::Metadata;
use std::time::{Duration, SystemTime};

use http::header::{
    ETAG, HeaderMap, HeaderName, HeaderValue, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE,
    IF_UNMODIFIED_SINCE, LAST_MODIFIED, RANGE,
};

use super::clock::Moment;

/// `if_modified_since`: when a file is not modified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Since {
    /// Never.
    Off,
    /// Its time is the client's.
    #[default]
    Exact,
    /// Its time is the client's, or before it.
    Before,
}

impl Since {
    pub(crate) fn read(word: &str) -> Result<Since, String> {
        match word {
            "off" => Ok(Since::Off),
            "exact" => Ok(Since::Exact),
            "before" => Ok(Since::Before),
            other => Err(format!("{other:?} is neither off, exact nor before")),
        }
    }
}

/// What a client's fields come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The file is sent; a part of it, where the client asks for a part that may still be sent.
    Send { ranges: bool },
    /// 304.
    NotModified,
    /// 412.
    Failed,
}

/// What a file is known by.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Validators {
    etag: Option<String>,
    /// In whole seconds, as a field has it.
    modified: Option<SystemTime>,
}

impl Validators {
    /// None of a file system without times.
    pub(crate) fn of(file: &Metadata, has_etag: bool) -> Validators {
        let time = file.modified().ok();
        let seconds = time.and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
        let seconds = seconds.map(|time| time.as_secs());
        Validators {
            // In nginx's form: caches in front of several proxies see one file.
            etag: seconds
                .filter(|_| has_etag)
                .map(|seconds| format!("\"{seconds:x}-{:x}\"", file.len())),
            modified: seconds.map(|seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)),
        }
    }

    /// The fields of an answer that has the file, or says that it is not modified.
    pub(crate) fn apply(&self, headers: &mut HeaderMap) {
        let etag = self.etag.as_deref();
        if let Some(etag) = etag.and_then(|etag| HeaderValue::try_from(etag).ok()) {
            headers.insert(ETAG, etag);
        }
        let modified = self.modified.map(|time| Moment::of(time).in_fields());
        if let Some(modified) = modified.and_then(|time| HeaderValue::try_from(time).ok()) {
            headers.insert(LAST_MODIFIED, modified);
        }
    }

    /// In nginx's order. Both fields that ask for a 304 have to agree to it (RFC 9110, section 13.2.2, lets `If-None-Match` alone
    /// decide, and then less is sent).
    pub(crate) fn judge(&self, asked: &HeaderMap, since: Since) -> Verdict {
        let is_later = |field: &str| {
            let limit = Moment::read(field);
            limit.zip(self.modified).is_some_and(|(limit, own)| own > limit)
        };
        if text(asked, &IF_UNMODIFIED_SINCE).is_some_and(is_later) {
            return Verdict::Failed;
        }
        if asked.contains_key(IF_MATCH) && !self.is_among(asked, &IF_MATCH, false) {
            return Verdict::Failed;
        }
        let is_same_time = text(asked, &IF_MODIFIED_SINCE).map(|field| self.is_unmodified(field, since));
        let is_same_tag = asked
            .contains_key(IF_NONE_MATCH)
            .then(|| self.is_among(asked, &IF_NONE_MATCH, true));
        match (is_same_time, is_same_tag) {
            (None, None) | (Some(false), _) | (_, Some(false)) => Verdict::Send {
                ranges: self.allows_ranges(asked),
            },
            _ => Verdict::NotModified,
        }
    }

    fn is_unmodified(&self, field: &str, since: Since) -> bool {
        match (Moment::read(field), self.modified, since) {
            (_, _, Since::Off) => false,
            (Some(limit), Some(own), Since::Exact) => own == limit,
            (Some(limit), Some(own), Since::Before) => own <= limit,
            _ => false,
        }
    }

    /// Whether a list of tags has that of the file.
    fn is_among(&self, asked: &HeaderMap, name: &HeaderName, is_weak: bool) -> bool {
        let lines = asked.get_all(name).iter().filter_map(|line| line.to_str().ok());
        let mut tags = lines.flat_map(|line| line.split(',')).map(str::trim);
        tags.any(|tag| tag == "*" || self.is_tag(tag, is_weak))
    }

    fn is_tag(&self, tag: &str, is_weak: bool) -> bool {
        let tag = match is_weak {
            true => tag.strip_prefix("W/").unwrap_or(tag),
            false => tag,
        };
        self.etag.as_deref() == Some(tag)
    }

    /// A part of another file than the client has had is of no use to it. One range at a time is sent: of several the file is.
    fn allows_ranges(&self, asked: &HeaderMap) -> bool {
        let is_one = text(asked, &RANGE).is_some_and(|range| !range.contains(','));
        let is_same = match asked.get(IF_RANGE).map(HeaderValue::to_str) {
            None => true,
            Some(Ok(tag)) if tag.ends_with('"') => self.is_tag(tag, false),
            Some(Ok(date)) => self.is_unmodified(date, Since::Exact),
            Some(Err(_)) => false,
        };
        is_one && is_same
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const EARLIER: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const LATER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";
    const SEND: Verdict = Verdict::Send { ranges: false };
    const PART: Verdict = Verdict::Send { ranges: true };

    fn judged(fields: &[(&'static str, &str)], since: Since) -> Verdict {
        let validators = Validators {
            etag: Some("\"a-1\"".to_owned()),
            modified: Moment::read(TIME),
        };
        let fields = fields.iter().map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_str(value).unwrap(),
            )
        });
        validators.judge(&fields.collect(), since)
    }

    #[test]
    fn what_fields_come_to() {
        for (fields, expected) in [
            (&[][..], SEND),
            (&[("if-none-match", "\"a-1\"")], Verdict::NotModified),
            (&[("if-none-match", "W/\"a-1\"")], Verdict::NotModified),
            (&[("if-none-match", "\"b\", \"a-1\"")], Verdict::NotModified),
            (&[("if-none-match", "*")], Verdict::NotModified),
            (&[("if-none-match", "\"a-2\"")], SEND),
            (&[("if-none-match", "a-1")], SEND),
            (&[("if-modified-since", TIME)], Verdict::NotModified),
            (&[("if-modified-since", EARLIER)], SEND),
            (&[("if-modified-since", LATER)], SEND),
            (&[("if-modified-since", "yesterday")], SEND),
            (
                &[("if-none-match", "\"a-1\""), ("if-modified-since", EARLIER)],
                SEND,
            ),
            (&[("if-none-match", "\"b\""), ("if-modified-since", TIME)], SEND),
            (&[("if-match", "\"a-1\"")], SEND),
            (&[("if-match", "W/\"a-1\"")], Verdict::Failed),
            (&[("if-match", "\"b\"")], Verdict::Failed),
            (&[("if-match", "*")], SEND),
            (&[("if-unmodified-since", TIME)], SEND),
            (&[("if-unmodified-since", LATER)], SEND),
            (&[("if-unmodified-since", EARLIER)], Verdict::Failed),
            (&[("range", "bytes=0-1")], PART),
            (&[("range", "bytes=0-1,3-4")], SEND),
            (&[("range", "bytes=0-1"), ("if-range", "\"a-1\"")], PART),
            (&[("range", "bytes=0-1"), ("if-range", "W/\"a-1\"")], SEND),
            (&[("range", "bytes=0-1"), ("if-range", "\"b\"")], SEND),
            (&[("range", "bytes=0-1"), ("if-range", TIME)], PART),
            (&[("range", "bytes=0-1"), ("if-range", LATER)], SEND),
        ] {
            assert_eq!(judged(fields, Since::Exact), expected, "{fields:?}");
        }
    }

    #[test]
    fn how_dates_are_compared() {
        for (since, earlier, same, later) in [
            (Since::Off, SEND, SEND, SEND),
            (Since::Exact, SEND, Verdict::NotModified, SEND),
            (Since::Before, SEND, Verdict::NotModified, Verdict::NotModified),
        ] {
            for (date, expected) in [(EARLIER, earlier), (TIME, same), (LATER, later)] {
                assert_eq!(
                    judged(&[("if-modified-since", date)], since),
                    expected,
                    "{since:?} {date}"
                );
            }
        }
    }
}

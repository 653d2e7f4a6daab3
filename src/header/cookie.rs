//! An HTTP/1.1 request has one `Cookie` line, however many crumbs an HTTP/2 or HTTP/3 request has (RFC 9113, section 8.2.3;
//! RFC 9114, section 4.2.1).

use bytes::Bytes;
use http::header::{COOKIE, Entry, HeaderMap, HeaderValue};

/// Joins all `Cookie` lines into one, where the first of them stood. "These MUST be concatenated into a single octet
/// string using the two-octet delimiter of 0x3b, 0x20".
pub(crate) fn join_crumbs(headers: &mut HeaderMap) {
    let Entry::Occupied(mut crumbs) = headers.entry(COOKIE) else {
        return;
    };
    let mut joined = Vec::new();
    for (at, crumb) in crumbs.iter().enumerate() {
        if at > 0 {
            joined.extend_from_slice(b"; ");
        }
        joined.extend_from_slice(crumb.as_bytes());
    }
    if joined.len() == crumbs.get().len() {
        return;
    }
    // What was sound in pieces is sound as a whole.
    if let Ok(value) = HeaderValue::from_maybe_shared(Bytes::from(joined)) {
        crumbs.insert(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crumbs_by_how_many_there_are() {
        let cases: &[(&[&str], Option<&str>)] = &[
            (&[], None),
            (&["a=1"], Some("a=1")),
            (&["a=1; b=2"], Some("a=1; b=2")),
            (&["a=1", "b=2", "c=3"], Some("a=1; b=2; c=3")),
            (&["a=1; b=2", "c=3"], Some("a=1; b=2; c=3")),
            (&["a=1", "a=1"], Some("a=1; a=1")),
            (&["", "a=1"], Some("; a=1")),
            (&[""], Some("")),
            (&["a=\u{e9}", "b=\""], Some("a=\u{e9}; b=\"")),
        ];
        for (crumbs, expected) in cases {
            let mut headers = HeaderMap::new();
            headers.insert("x-before", HeaderValue::from_static("1"));
            for crumb in *crumbs {
                headers.append(COOKIE, HeaderValue::from_bytes(crumb.as_bytes()).unwrap());
            }
            headers.insert("x-after", HeaderValue::from_static("2"));
            join_crumbs(&mut headers);
            let lines: Vec<&[u8]> = headers
                .get_all(COOKIE)
                .iter()
                .map(HeaderValue::as_bytes)
                .collect();
            let expected: Vec<&[u8]> = expected.iter().map(|line| line.as_bytes()).collect();
            assert_eq!(lines, expected, "{crumbs:?}");
            assert_eq!(headers.keys().next().unwrap(), "x-before");
            assert_eq!(headers.keys().last().unwrap(), "x-after");
        }
    }
}

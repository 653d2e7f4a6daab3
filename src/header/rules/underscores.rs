//! This file decides which of a client's fields are dropped for their names.

use http::header::HeaderName;

use super::{HeaderRules, owned};
use crate::http1::AnyFields;
use crate::token;

/// What becomes of a client's fields whose names have an underscore.
///
/// Back ends that take fields as environment variables (CGI, WSGI, PHP) cannot distinguish `X_User` from `X-User`. A client
/// that sends the one gets past a proxy that sets the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Underscores {
    /// Those go that look like a field which the proxy sets or removes: by a rule, for forwarding, or of its own
    /// (`Content_Length`). The rest stays: nothing hangs on them, and a field that is dropped silently is hard to
    /// find. The default.
    #[default]
    DropLookAlikes,
    /// All of them go: nginx's default, `underscores_in_headers off`. Right where the origin reads fields that this
    /// proxy does not know of, and that another one sets.
    DropAll,
    /// All stay but those that look like forwarding fields: `underscores_in_headers on`. Danger: as above.
    Keep,
}

/// Whether two different names look the same to a back end that has no hyphens.
fn look_alike(name: &HeaderName, other: &HeaderName) -> bool {
    let folded = |byte: u8| if byte == b'_' { b'-' } else { byte };
    let (name, other) = (name.as_str().as_bytes(), other.as_str().as_bytes());
    name.len() == other.len()
        && name != other
        && name
            .iter()
            .zip(other)
            .all(|(&byte, &other)| folded(byte) == folded(other))
}

/// Whether a name has only letters, digits, hyphens and underscores.
fn is_plain(name: &HeaderName) -> bool {
    let mut bytes = name.as_str().bytes();
    bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

impl HeaderRules {
    /// Drops the client's fields whose names have other characters than letters, digits, hyphens and underscores, such as
    /// `X.User`: nginx's `ignore_invalid_headers on`. HTTP allows more (RFC 9110, section 5.6.2), but to some origins this is
    /// `X-User`. Rules may still set such fields. Default: false, and all names pass.
    #[must_use]
    pub fn only_plain_names(mut self, only: bool) -> Self {
        self.change().only_plain_names = only;
        self
    }

    /// False if it drops none of these fields, which is so for most requests: then no name has to be looked at.
    pub(super) fn may_drop(&self, fields: &impl AnyFields) -> bool {
        let has_rules = self.0.only_plain_names || !self.0.request.is_empty();
        has_rules || fields.may_have_underscores()
    }

    /// Whether a client's field is dropped for its name.
    pub(super) fn drops(&self, name: &HeaderName) -> bool {
        if self.0.only_plain_names && !is_plain(name) {
            return true;
        }
        // It is asked of every field of every request.
        let has_underscore = |name: &HeaderName| token::contains(name.as_str().as_bytes(), b'_');
        let underscored = has_underscore(name);
        let replaced = || {
            if self.0.request.is_empty() {
                return false;
            }
            let replacing = self.0.request.iter().filter(|(_, action)| action.replaces());
            let mut names = replacing
                .map(|(name, _)| name)
                .filter(|rule| underscored || has_underscore(rule));
            names.any(|rule| look_alike(name, rule))
        };
        match self.0.underscores {
            Underscores::Keep => false,
            Underscores::DropAll => underscored || replaced(),
            Underscores::DropLookAlikes => replaced() || underscored && owned::looks_owned(name),
        }
    }
}

#[cfg(all(test, feature = "gateway"))]
mod tests {
    use bytes::Bytes;
    use http::header::HeaderMap;

    use super::*;
    use crate::http1::{FieldList, HeadLimits, HeadScan, RequestHead, request_from_head};

    fn received(lines: &str) -> RequestHead {
        let head = Bytes::from(format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n"));
        let mut scan = HeadScan::request();
        scan.advance(&head, &HeadLimits::default()).unwrap();
        request_from_head::<FieldList>(head, &scan).unwrap().into()
    }

    #[test]
    fn names_are_looked_at_where_one_may_be_dropped() {
        let none = HeaderRules::default;
        let rules = none().set_on_request("X-User", "a").unwrap();
        let cases = [
            ("X-User: 1\r\n", none(), false),
            ("X-User: 1\r\n", none().underscores(Underscores::DropAll), false),
            ("X.User: 1\r\n", none().only_plain_names(true), true),
            ("X_User: 1\r\n", none(), true),
            (
                "X_User: 1\r\nAccept: */*\r\n",
                none().underscores(Underscores::DropAll),
                true,
            ),
            ("Content_Length: 1\r\n", none(), true),
            ("X_User: 1\r\n", rules.clone(), true),
            ("X-User: 1\r\n", rules, true),
        ];
        for (lines, rules, expected) in cases {
            let head = received(lines);
            assert_eq!(rules.may_drop(head.fields()), expected, "{lines}");
            let map: HeaderMap = head.fields().to_map();
            assert!(rules.may_drop(&map), "nobody has looked at the names of a map");
            assert!(expected || !map.keys().any(|name| rules.drops(name)), "{lines}");
        }
    }
}

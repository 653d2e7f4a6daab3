//! This file rewrites where an upstream redirects a client: the start of an address that only the proxy can reach becomes the start
//! of the address that the client knows.

use http::header::{HeaderName, HeaderValue, LOCATION, REFRESH};

use super::template::Template;
use super::variables::Variables;
use crate::http1::AnyFields;

/// One rule, as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Redirect {
    from: Template,
    to: Template,
}

/// One rule, for one request. The first part is never empty.
#[derive(Clone, Debug)]
pub(super) struct PreparedRedirect {
    from: HeaderValue,
    to: HeaderValue,
}

impl Redirect {
    pub(super) fn new(from: Template, to: Template) -> Self {
        Redirect { from, to }
    }

    /// None where there is nothing to look for.
    pub(super) fn prepare(&self, variables: &Variables<'_>) -> Option<PreparedRedirect> {
        let to = self.to.value(variables);
        Some(PreparedRedirect {
            from: self.from.value(variables)?,
            to: to.unwrap_or(HeaderValue::from_static("")),
        })
    }
}

/// Changes `Location`, and the address in `Refresh`, by the first rule that fits.
pub(super) fn apply(redirects: &[PreparedRedirect], fields: &mut impl AnyFields) {
    if redirects.is_empty() {
        return;
    }
    let mut change = |name: HeaderName, begin: fn(&[u8]) -> Option<usize>| {
        let Some(value) = fields.first(&name) else {
            return;
        };
        let changed = begin(value).and_then(|begin| {
            let mut rules = redirects.iter();
            rules.find_map(|redirect| redirect.changed(value, begin))
        });
        if let Some(changed) = changed {
            fields.change_first(&name, changed);
        }
    };
    change(LOCATION, |_| Some(0));
    change(REFRESH, address_in_refresh);
}

impl PreparedRedirect {
    /// The value with another start of the address in it, which begins here.
    fn changed(&self, value: &[u8], begin: usize) -> Option<HeaderValue> {
        let (before, address) = value.split_at_checked(begin)?;
        let rest = address.strip_prefix(self.from.as_bytes())?;
        HeaderValue::from_bytes(&[before, self.to.as_bytes(), rest].concat()).ok()
    }
}

/// `5; url=http://…`, in any case. No RFC says more of it.
fn address_in_refresh(value: &[u8]) -> Option<usize> {
    const WORD: &[u8] = b"url=";
    let mut words = value.windows(WORD.len());
    let at = words.position(|word| word.eq_ignore_ascii_case(WORD))?;
    Some(at + WORD.len())
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;
    use crate::header::Hop;
    use crate::header::rules::HeaderRules;

    #[test]
    fn what_an_address_becomes() {
        let rules = [
            ("http://backend:9000/two/", "/one/"),
            ("http://backend:9000/", "https://$host/"),
            ("http://$host:9000", ""),
            ("$http_none", "/never"),
        ];
        let rules = rules
            .into_iter()
            .fold(HeaderRules::default(), |rules, (from, to)| {
                rules.redirect(from, to).unwrap()
            });
        let request = http::Request::get("/").header("host", "a.example");
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let hop = Hop::unknown();
        let cases = [
            ("location", "http://backend:9000/two/x?y", "/one/x?y"),
            ("location", "http://backend:9000/two", "https://a.example/two"),
            ("location", "http://a.example:9000/x", "/x"),
            ("location", "http://a.example:9000", ""),
            ("location", "HTTP://backend:9000/", "HTTP://backend:9000/"),
            ("location", "/two/x", "/two/x"),
            (
                "location",
                "http://else.example/http://backend:9000/",
                "http://else.example/http://backend:9000/",
            ),
            ("refresh", "5; url=http://backend:9000/two/", "5; url=/one/"),
            (
                "refresh",
                "5;URL=http://backend:9000/",
                "5;URL=https://a.example/",
            ),
            ("refresh", "http://backend:9000/two/", "http://backend:9000/two/"),
            ("refresh", "5; url=", "5; url="),
            ("x-other", "http://backend:9000/two/", "http://backend:9000/two/"),
        ];
        for (name, value, expected) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static(value));
            rules.apply_to_response(
                &mut headers,
                http::StatusCode::FOUND,
                &Variables::new(&parts, &hop),
            );
            assert_eq!(headers[name], expected, "{name}: {value}");
        }
    }
}

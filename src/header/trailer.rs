//! Which fields a trailer section may hold when it goes on.
//!
//! RFC 9110, section 6.5.1: a recipient that merges trailer fields into the head acts on them as if they had been there, when
//! routing, framing and access were decided without them. What decides any of that ends here, and so does what the message's head has
//! lost at this hop, to a nomination of `Connection` or to a rule, or was given here. The rest goes on. The same rule holds for requests and
//! for responses.
//!
//! ```
//! use http::HeaderMap;
//! use switchover::header::trailer;
//!
//! let mut trailers = HeaderMap::new();
//! trailers.insert("content-length", "5".parse().unwrap());
//! trailers.insert("grpc-status", "0".parse().unwrap());
//! trailer::strip(&mut trailers);
//! assert_eq!(trailers.len(), 1);
//! assert!(trailers.contains_key("grpc-status"));
//! ```

#[cfg(feature = "gateway")]
use std::collections::HashSet;
#[cfg(feature = "gateway")]
use std::sync::Arc;

#[cfg(feature = "gateway")]
use http::StatusCode;
use http::header::{HeaderMap, HeaderName};

use super::forwarded::is_forwarding_field;
use super::hop_by_hop;
#[cfg(feature = "gateway")]
use super::rules::HeaderRules;
use crate::http1::AnyFields;

/// Fields that end here in a trailer section, besides those that end at this hop in a head
/// ([`hop_by_hop::FIXED`]), those that begin with `If-` or `Sec-`, and what proxies say of a client.
pub const FORBIDDEN: [&str; 31] = [
    // Framing and routing.
    "host",
    "content-length",
    "trailer",
    "max-forwards",
    "via",
    // How the content is processed.
    "content-encoding",
    "content-location",
    "content-range",
    "content-type",
    // What a request asks for, and in whose name.
    "authorization",
    "cookie",
    "expect",
    "origin",
    "proxy",
    "range",
    "referer",
    "user-agent",
    // What a response decides.
    "accept-ranges",
    "age",
    "cache-control",
    "date",
    "expires",
    "location",
    "pragma",
    "proxy-status",
    "retry-after",
    "set-cookie",
    "strict-transport-security",
    "vary",
    "warning",
    "www-authenticate",
];

/// Whether a field of a trailer section goes on.
pub fn is_allowed(name: &HeaderName) -> bool {
    let text = name.as_str();
    !(FORBIDDEN.contains(&text)
        || hop_by_hop::is_fixed(name)
        || is_forwarding_field(name)
        || ["if-", "sec-"].iter().any(|prefix| text.starts_with(prefix)))
}

/// Removes what must not go on, whatever the head has. The order of the others stays. A caller that knows the head removes what its
/// `Connection` nominates as well (RFC 9110, section 7.6.1).
pub fn strip(trailers: &mut HeaderMap) {
    trailers.keep_only(is_allowed);
}

/// What ends here of one message's trailer section besides what [ends in any](is_allowed): a field must not come in behind the head
/// that the head has lost, or that was set in it.
#[derive(Clone, Debug)]
#[cfg(feature = "gateway")]
pub(crate) struct Ending {
    /// RFC 9110, section 7.6.1: "remove any header or trailer field(s) from the message with the same name as the connection-option".
    nominated: HashSet<HeaderName>,
    rules: Vec<HeaderRules>,
    /// None for a request.
    status: Option<StatusCode>,
}

#[cfg(feature = "gateway")]
impl Ending {
    /// Of a request with these fields, as they have come.
    pub(crate) fn of_request(fields: &impl AnyFields, rules: &HeaderRules) -> Arc<Self> {
        Arc::new(Ending {
            nominated: hop_by_hop::nominated(fields),
            rules: vec![rules.clone()],
            status: None,
        })
    }

    /// Of a response with these fields, as they have come.
    pub(crate) fn of_response(
        fields: &impl AnyFields,
        rules: Option<&HeaderRules>,
        status: StatusCode,
    ) -> Arc<Self> {
        Arc::new(Ending {
            nominated: hop_by_hop::nominated(fields),
            rules: rules.into_iter().cloned().collect(),
            status: Some(status),
        })
    }

    /// With what other rules decide.
    pub(crate) fn add(&mut self, rules: &HeaderRules) {
        self.rules.push(rules.clone());
    }

    /// Removes what must not go on of this message.
    pub(crate) fn strip(&self, trailers: &mut HeaderMap) {
        let is_decided = |name: &HeaderName| {
            let mut rules = self.rules.iter();
            rules.any(|rules| match self.status {
                None => rules.decides_on_request(name),
                Some(status) => rules.decides_on_response(name, status),
            })
        };
        trailers.keep_only(|name| is_allowed(name) && !self.nominated.contains(name) && !is_decided(name));
    }
}

#[cfg(all(test, feature = "gateway"))]
mod tests {
    use http::header::HeaderValue;

    use super::super::rules::Statuses;
    use super::*;

    fn fields(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let line = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        lines.iter().map(line).collect()
    }

    fn left(ending: &Ending, names: &'static [&'static str]) -> String {
        let lines: Vec<_> = names.iter().map(|name| (*name, "1")).collect();
        let mut trailers = fields(&lines);
        ending.strip(&mut trailers);
        let mut left: Vec<_> = trailers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        left.join(" ")
    }

    #[test]
    fn what_a_head_has_lost_and_what_was_set_in_it() {
        const NAMES: &[&str] = &[
            "x-add",
            "x-hop",
            "x-remove",
            "x-set",
            "x_set",
            "x-sum",
            "content-length",
        ];
        let rules = HeaderRules::default();
        let rules = rules.set_on_request("X-Set", "1").unwrap();
        let rules = rules.add_on_request("X-Add", "1").unwrap();
        let rules = rules.remove_on_request("X-Remove").unwrap();
        let rules = rules.set_on_response("X-Set", "1", Statuses::Usual).unwrap();
        let rules = rules.add_on_response("X-Add", "1", Statuses::Always).unwrap();
        let rules = rules.remove_on_response("X-Remove").unwrap();
        let (no_rules, none) = (HeaderRules::default(), fields(&[]));
        let nominating = fields(&[("connection", "close, X-Hop"), ("connection", "x-set")]);
        let (ok, refused) = (StatusCode::OK, StatusCode::FORBIDDEN);
        for (ending, expected) in [
            (
                Ending::of_request(&none, &no_rules),
                "x-add x-hop x-remove x-set x-sum x_set",
            ),
            (
                Ending::of_request(&nominating, &no_rules),
                "x-add x-remove x-sum x_set",
            ),
            (Ending::of_request(&none, &rules), "x-add x-hop x-sum"),
            (Ending::of_request(&nominating, &rules), "x-add x-sum"),
            (
                Ending::of_response(&none, None, ok),
                "x-add x-hop x-remove x-set x-sum x_set",
            ),
            (
                Ending::of_response(&nominating, None, ok),
                "x-add x-remove x-sum x_set",
            ),
            (
                Ending::of_response(&none, Some(&rules), ok),
                "x-add x-hop x-sum x_set",
            ),
            (
                Ending::of_response(&none, Some(&rules), refused),
                "x-add x-hop x-set x-sum x_set",
            ),
        ] {
            assert_eq!(left(&ending, NAMES), expected, "{ending:?}");
        }
    }

    /// No client may have it removed, in a head or behind it.
    #[test]
    fn a_protected_field_stays_where_it_is_allowed() {
        let nominating = fields(&[("connection", "access-control-max-age")]);
        let ending = Ending::of_response(&nominating, None, StatusCode::OK);
        assert_eq!(
            left(&ending, &["access-control-max-age"]),
            "access-control-max-age"
        );
    }
}

//! How rules change the fields of a message when their values are known.

use http::StatusCode;
use http::header::{HOST, HeaderMap, HeaderName, HeaderValue};

use super::redirects::{self, PreparedRedirect};
use super::{Action, HeaderRules};
use crate::http1::AnyFields;

/// The rules with the values for one request, for it and for its response.
#[derive(Clone, Debug)]
pub struct PreparedRules {
    pub(super) rules: HeaderRules,
    pub(super) host: Option<HeaderValue>,
    /// One for each rule.
    pub(super) request: Vec<Option<HeaderValue>>,
    pub(super) response: Vec<Option<HeaderValue>>,
    pub(super) redirects: Vec<PreparedRedirect>,
}

impl PreparedRules {
    /// Applies the rules to the request. Call it after [`hop_by_hop::strip`](crate::header::hop_by_hop::strip) and
    /// [`ForwardedRules::apply`](crate::header::ForwardedRules::apply).
    pub fn apply_to_request(&self, headers: &mut HeaderMap) {
        headers.keep_only(|name| !self.drops(name));
        self.set_on_request(headers);
    }

    /// False if it [drops](Self::drops) none of these fields.
    pub(crate) fn may_drop(&self, fields: &impl AnyFields) -> bool {
        self.rules.may_drop(fields)
    }

    /// Whether a field of the client's ends here for its name.
    pub(crate) fn drops(&self, name: &HeaderName) -> bool {
        self.rules.drops(name)
    }

    /// As [`apply_to_request`](Self::apply_to_request), where what they [drop](Self::drops) is gone.
    pub(crate) fn set_on_request(&self, fields: &mut impl AnyFields) {
        if let Some(host) = &self.host {
            fields.set(HOST, host.clone());
        }
        for ((name, action), value) in self.rules.0.request.iter().zip(&self.request) {
            action.apply(fields, name, value);
        }
    }

    /// The host and port of the upstream, where the rules [know it](HeaderRules::upstream).
    #[cfg(feature = "hyper")]
    pub(crate) fn upstream(&self) -> Option<&str> {
        Some(&*self.rules.0.upstream).filter(|name| !name.is_empty())
    }

    /// The rules without the values.
    #[cfg(feature = "gateway")]
    pub(crate) fn rules(&self) -> &HeaderRules {
        &self.rules
    }

    /// Whether there are rules for requests.
    pub fn touches_requests(&self) -> bool {
        !self.request.is_empty()
    }

    /// Whether there are rules for responses.
    pub fn touches_responses(&self) -> bool {
        !self.response.is_empty() || !self.redirects.is_empty()
    }

    /// Applies the rules to the response, final or 101. Call it after
    /// [`hop_by_hop::strip`](crate::header::hop_by_hop::strip).
    pub fn apply_to_response(&self, headers: &mut HeaderMap, status: StatusCode) {
        self.apply_to_answer(headers, status);
    }

    /// As [`apply_to_response`](Self::apply_to_response), whatever holds the fields.
    pub(crate) fn apply_to_answer(&self, fields: &mut impl AnyFields, status: StatusCode) {
        redirects::apply(&self.redirects, fields);
        for ((name, action, statuses), value) in self.rules.0.response.iter().zip(&self.response) {
            if statuses.contains(status) {
                action.apply(fields, name, value);
            }
        }
    }
}

impl Action {
    fn apply(&self, fields: &mut impl AnyFields, name: &HeaderName, value: &Option<HeaderValue>) {
        match (self, value.clone()) {
            (Action::Set(_), Some(value)) => fields.set(name.clone(), value),
            (Action::Add(_), Some(value)) => fields.add(name.clone(), value),
            (Action::Add(_), None) => {}
            (Action::Set(_) | Action::Remove, _) => fields.take_out(name),
        }
    }
}

//! This file decides which `Host` the origin receives.

use std::str::FromStr;

use http::header::HeaderValue;

use super::{RuleError, Template, Variables};
use crate::http1::validate_host;

/// Which `Host` goes upstream.
///
/// From nginx's `proxy_set_header Host …`: `$http_host` is [`Client`](HostRule::Client), `$proxy_host`, nginx's own
/// default, is [`Upstream`](HostRule::Upstream), and everything else a [`Value`](HostRule::Value).
///
/// ```
/// use switchover::header::rules::HostRule;
///
/// assert_eq!("$http_host".parse(), Ok(HostRule::Client));
/// assert_eq!("$proxy_host".parse(), Ok(HostRule::Upstream));
/// assert!("$host:$server_port".parse::<HostRule>().is_ok());
/// assert!("a b".parse::<HostRule>().is_err());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum HostRule {
    /// The client's own, which is valid: others have been refused. The default, other than in nginx: WebSocket servers
    /// compare it with `Origin`.
    #[default]
    Client,
    /// The upstream's: `$proxy_host`. Where that is not known, the client's.
    Upstream,
    /// A value with variables. Where it comes out as no valid host, the client's.
    Value(Template),
}

impl HostRule {
    /// The value to set, if it is not the client's own.
    pub(super) fn value(&self, variables: &Variables<'_>) -> Option<HeaderValue> {
        let value = match self {
            HostRule::Client => None,
            HostRule::Upstream => HeaderValue::from_str(variables.upstream_host()).ok(),
            HostRule::Value(template) => template.value(variables),
        };
        value.filter(|value| validate_host(value.as_bytes()).is_ok())
    }
}

impl FromStr for HostRule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        match text {
            "$http_host" | "${http_host}" => return Ok(HostRule::Client),
            "$proxy_host" | "${proxy_host}" => return Ok(HostRule::Upstream),
            _ => {}
        }
        let template: Template = text.parse()?;
        match template.constant() {
            Some(value) if validate_host(value.as_bytes()).is_err() => Err(RuleError::InvalidHost),
            _ => Ok(HostRule::Value(template)),
        }
    }
}

//! What the caller decides about one ordinary request: its upstream, its target, and its header rules.

use std::sync::LazyLock;

use http::uri::{Authority, PathAndQuery, Scheme};

use crate::connect::Trace;
use crate::header::HeaderRules;

/// Where a request goes.
#[derive(Clone, Debug)]
pub struct Destination {
    pub(super) scheme: Scheme,
    pub(super) authority: Authority,
    pub(super) target: Option<PathAndQuery>,
    pub(super) rules: Option<HeaderRules>,
    pub(super) trace: Option<Trace>,
}

impl Default for Destination {
    /// Where the connector leads of a relay that has one ([`Relay::through`](crate::service::Relay::through)), with the client's own
    /// target.
    fn default() -> Self {
        static AUTHORITY: LazyLock<Authority> = LazyLock::new(|| Authority::from_static("upstream"));
        Destination::new(AUTHORITY.clone())
    }
}

impl Destination {
    /// To an HTTP/1.1 server at this host and port, with the client's own target.
    pub fn new(authority: Authority) -> Self {
        Destination {
            scheme: Scheme::HTTP,
            authority,
            target: None,
            rules: None,
            trace: None,
        }
    }

    /// Over TLS, on port 443 where the authority has none. The server's certificate has to be for the authority's host, by
    /// what [`RelayConfig::tls`](crate::service::RelayConfig::tls) believes.
    #[cfg(feature = "rustls")]
    #[must_use]
    pub fn over_tls(mut self) -> Self {
        self.scheme = Scheme::HTTPS;
        self
    }

    /// With another target: a route that replaces a prefix.
    #[must_use]
    pub fn target(mut self, target: PathAndQuery) -> Self {
        self.target = Some(target);
        self
    }

    /// With other rules for fields than the [relay's](crate::service::Relay::forwarding).
    #[must_use]
    pub fn header_rules(mut self, rules: HeaderRules) -> Self {
        self.rules = Some(rules);
        self
    }

    /// Of one request, what becomes of it written down: the servers that it is tried on, and what the client is sent. Default:
    /// it is not.
    #[must_use]
    pub fn trace(mut self, trace: Trace) -> Self {
        self.trace = Some(trace);
        self
    }
}

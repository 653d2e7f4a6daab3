//! Everything that an origin is sent beside the client's own request, in one value: what it learns about the client, and which
//! fields are set, added and removed. Code that forwards a request, an upgrade or an ordinary one, asks this value.
//!
//! Must not know what becomes of the request.

use super::{ForwardedRules, HeaderRules};

/// What goes out to origins beside the client's own fields, and what comes back beside theirs. Cheap to clone.
///
/// A gateway and a service are given one, and it holds for upgrades and for ordinary requests alike:
/// [`GatewayConfig::forwarding`](crate::gateway::GatewayConfig::forwarding),
/// [`ServiceConfig::forwarding`](crate::service::ServiceConfig::forwarding). A [`Relay`](crate::service::Relay) beside a gateway
/// takes [the gateway's](crate::service::Relay::forwarding).
///
/// ```
/// use switchover::header::rules::HostRule;
/// use switchover::header::{ForwardedRules, Forwarding, HeaderRules, TrustedProxies};
///
/// let balancers = TrustedProxies::new(["10.0.0.0/8".parse()?]);
/// let forwarding = Forwarding::default()
///     .forwarded(ForwardedRules::default().trusted(balancers))
///     .header_rules(HeaderRules::default().host(HostRule::Upstream));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Forwarding {
    forwarded: ForwardedRules,
    rules: HeaderRules,
}

impl Forwarding {
    /// What the origin learns about the client, and which proxies are trusted to say who the client is. Default
    /// [`ForwardedRules::default`]: the client's own claims are replaced.
    #[must_use]
    pub fn forwarded(mut self, rules: ForwardedRules) -> Self {
        self.forwarded = rules;
        self
    }

    /// Which fields are set, added and removed on requests and on their answers (a 101 included), which `Host` goes up, and
    /// which redirects are rewritten. Default [`HeaderRules::default`].
    ///
    /// What depends on the route replaces these rules for one request: [`Incoming::set_header_rules`],
    /// [`Destination::header_rules`].
    ///
    /// [`Incoming::set_header_rules`]: crate::gateway::Incoming::set_header_rules
    /// [`Destination::header_rules`]: crate::service::Destination::header_rules
    #[must_use]
    pub fn header_rules(mut self, rules: HeaderRules) -> Self {
        self.rules = rules;
        self
    }

    /// The rules of [`forwarded`](Forwarding::forwarded), to apply them to a request that is forwarded by hand.
    #[must_use]
    pub fn forwarded_rules(&self) -> &ForwardedRules {
        &self.forwarded
    }

    /// The rules for fields.
    pub(crate) fn rules(&self) -> &HeaderRules {
        &self.rules
    }
}

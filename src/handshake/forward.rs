//! Step (4) of the walk: this file makes the request that goes upstream. It removes hop-by-hop fields first and adds the proxy's
//! own fields after that.

#[cfg(feature = "gateway")]
use http::Uri;
use http::header::{
    CONTENT_LENGTH, HeaderName, HeaderValue, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_PROTOCOL,
    TRANSFER_ENCODING,
};
use http::request::Parts;
use http::{Method, Version};

use super::{PendingUpgrade, UpgradeRequest};
use crate::header::rules::{PreparedRules, Variables};
use crate::header::{ForwardedRules, Forwarding, Hop, hop_by_hop, max_forwards};
#[cfg(feature = "gateway")]
use crate::http1::RequestHead;
use crate::http1::{AnyFields, BodyLength};

impl UpgradeRequest {
    /// Takes `Expect: 100-continue` out of a request with a body. If it was there, the caller owes the client a 100:
    /// a proxy may ask for the content by itself (RFC 9110, section 10.1.1).
    #[cfg(feature = "gateway")]
    pub(crate) fn take_expectation(&mut self, fields: &mut impl AnyFields) -> bool {
        fields.take_out(&http::header::EXPECT);
        std::mem::take(&mut self.expects_continue)
    }

    /// Step (4) of the walk: makes of the client's request the one to send upstream, and of the proof the
    /// [`PendingUpgrade`] that judges the answer.
    ///
    /// `hop` is the client's address, or more ([`Hop`]); `forwarding` says what the origin gets beside the client's own fields. `Upgrade` names the allowed protocols only; `Connection` is ours
    /// alone. The target and the method stay as they are, and so does `Host`, unless a rule says otherwise.
    pub fn forward(
        self,
        mut parts: Parts,
        hop: impl Into<Hop>,
        forwarding: &Forwarding,
    ) -> (Parts, PendingUpgrade) {
        let hop = forwarding.forwarded_rules().locate(hop.into(), &parts.headers);
        let rules = forwarding.rules().prepare(&Variables::new(&parts, &hop));
        let rewriting = Rewriting::new(forwarding, hop, rules);
        let pending = self.rewrite(&parts.method, &mut parts.headers, rewriting);
        parts.version = Version::HTTP_11;
        (parts, pending)
    }

    /// As [`forward`](UpgradeRequest::forward), of a request that is about to be sent, to this target if it is another than the
    /// client's.
    #[cfg(feature = "gateway")]
    pub(crate) fn forward_to(
        self,
        head: &mut RequestHead,
        target: Option<Uri>,
        hop: Hop,
        forwarding: &Forwarding,
    ) -> PendingUpgrade {
        let hop = forwarding.forwarded_rules().locate_by(hop, head.fields());
        // The rules know the client's own target.
        let rules = forwarding.rules().prepare(&Variables::of_head(head, &hop));
        head.is_for(target);
        let rewriting = Rewriting::new(forwarding, hop, rules);
        let (method, fields) = head.method_and_fields();
        self.rewrite(method, fields, rewriting)
    }

    fn rewrite(
        mut self,
        method: &Method,
        fields: &mut impl AnyFields,
        rewriting: Rewriting<'_>,
    ) -> PendingUpgrade {
        let Rewriting {
            forwarded,
            hop,
            rules,
        } = rewriting;
        let inbound = forwarded.inbound_of(&hop);
        let without_body = self.body == BodyLength::None;
        let may_drop = rules.may_drop(fields);
        let also = |name: &HeaderName| {
            without_body && name == CONTENT_LENGTH
                || forwarded.removes(inbound, name)
                || may_drop && rules.drops(name)
        };
        // `parse` has counted the options, which is the only thing that this could refuse.
        let _ = hop_by_hop::strip_for_switch(fields, self.protocols.to_value(), also);
        max_forwards::count(method, fields);
        if self.body == BodyLength::Chunked {
            fields.set(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        if let Some([only]) = self.offer.as_ref().map(|offer| &offer.subprotocols[..]) {
            fields.set(SEC_WEBSOCKET_PROTOCOL, only.clone());
        }
        forwarded.add(fields, &hop);
        rules.set_on_request(fields);
        // What a rule has taken out has not been offered.
        if let Some(offer) = self.offer.as_mut().filter(|_| rules.touches_requests()) {
            if !fields.contains(&SEC_WEBSOCKET_EXTENSIONS) {
                offer.extensions.clear();
            }
            if !fields.contains(&SEC_WEBSOCKET_PROTOCOL) {
                offer.subprotocols.clear();
            }
        }
        PendingUpgrade::new(
            self.protocols,
            self.offer,
            self.expects_continue,
            method.clone(),
            rules,
        )
    }
}

/// What the client's fields are rewritten by.
struct Rewriting<'a> {
    forwarded: &'a ForwardedRules,
    /// With the client that is behind trusted proxies.
    hop: Hop,
    /// The operator's rules, with what they say of this request.
    rules: PreparedRules,
}

impl<'a> Rewriting<'a> {
    fn new(forwarding: &'a Forwarding, hop: Hop, rules: PreparedRules) -> Self {
        Rewriting {
            forwarded: forwarding.forwarded_rules(),
            hop,
            rules,
        }
    }
}

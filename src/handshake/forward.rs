//! Step (4) of the walk: this file makes the request that goes upstream. It removes hop-by-hop fields first and adds the proxy's
//! own fields after that.

use http::Version;
use http::header::{
    CONTENT_LENGTH, HeaderName, HeaderValue, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_PROTOCOL,
    TRANSFER_ENCODING,
};
use http::request::Parts;

use super::{PendingUpgrade, UpgradeRequest};
use crate::header::rules::Variables;
use crate::header::{Forwarding, Hop, hop_by_hop, max_forwards};
use crate::http1::BodyLength;

impl UpgradeRequest {
    /// Takes `Expect: 100-continue` out of a request with a body. If it was there, the caller owes the client a 100:
    /// a proxy may ask for the content by itself (RFC 9110, section 10.1.1).
    #[cfg(feature = "gateway")]
    pub(crate) fn take_expectation(&mut self, parts: &mut Parts) -> bool {
        crate::header::remove(&mut parts.headers, &http::header::EXPECT);
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
        let pending = self.forward_in_place(&mut parts, hop.into(), forwarding);
        (parts, pending)
    }

    /// As [`forward`](UpgradeRequest::forward), of a request that stays where it is.
    pub(crate) fn forward_in_place(
        mut self,
        parts: &mut Parts,
        hop: Hop,
        forwarding: &Forwarding,
    ) -> PendingUpgrade {
        let forwarded = forwarding.forwarded_rules();
        let hop = forwarded.locate(hop, &parts.headers);
        let inbound = forwarded.inbound_of(&hop);
        let prepared = forwarding.rules().prepare(&Variables::new(parts, &hop));
        let headers = &mut parts.headers;
        let without_body = self.body == BodyLength::None;
        let also = |name: &HeaderName| {
            without_body && name == CONTENT_LENGTH || forwarded.removes(inbound, name) || prepared.drops(name)
        };
        // `parse` has counted the options, which is the only thing that this could refuse.
        let _ = hop_by_hop::strip_for_switch(headers, self.protocols.to_value(), also);
        max_forwards::count(&parts.method, headers);
        if self.body == BodyLength::Chunked {
            headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        if let Some([only]) = self.offer.as_ref().map(|offer| &offer.subprotocols[..]) {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, only.clone());
        }
        forwarded.add(headers, &hop);
        prepared.set_on_request(headers);
        // What a rule has taken out has not been offered.
        if let Some(offer) = self.offer.as_mut().filter(|_| prepared.touches_requests()) {
            if !headers.contains_key(SEC_WEBSOCKET_EXTENSIONS) {
                offer.extensions.clear();
            }
            if !headers.contains_key(SEC_WEBSOCKET_PROTOCOL) {
                offer.subprotocols.clear();
            }
        }
        parts.version = Version::HTTP_11;

        PendingUpgrade::new(
            self.protocols,
            self.offer,
            self.expects_continue,
            parts.method.clone(),
            prepared,
        )
    }
}

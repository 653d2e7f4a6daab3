//! What makes a switch (RFC 9110, section 15.2.2; RFC 6455, section 4.1). The only place where [`Switched`] is made: from
//! what was asked and what was answered, both.

use std::collections::HashSet;
#[cfg(feature = "gateway")]
use std::sync::Arc;

use http::header::{
    CONTENT_LENGTH, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS,
    SEC_WEBSOCKET_PROTOCOL, TE, TRANSFER_ENCODING, UPGRADE,
};
use http::response::Parts;
use http::{Method, StatusCode, Version};

use super::bad_switch::BadSwitch;
use super::request::WebSocketOffer;
use super::{Repeated, bytes, extension_names, single, subprotocol_names};
use crate::header::connection::has_option;
use crate::header::rules::PreparedRules;
#[cfg(feature = "gateway")]
use crate::header::trailer::Ending;
use crate::header::{Protocol, Protocols, final_answer, hop_by_hop};
use crate::http1::{AnswerHead, AnyFields, BodyLength};
use crate::token::MAX_ELEMENTS;
use crate::websocket::DeflateParameters;

/// An upgrade that has been asked for and not been answered.
#[derive(Debug)]
pub struct PendingUpgrade {
    protocols: Protocols,
    offer: Option<WebSocketOffer>,
    expects_continue: bool,
    method: Method,
    /// None where they say nothing of responses, as mostly. Boxed, as all that is rare.
    rules: Option<Box<PreparedRules>>,
}

/// What an answer to an upgrade request is.
#[derive(Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "a value to take apart at once, never stored"
)]
#[expect(clippy::exhaustive_enums, reason = "HTTP has no fourth answer")]
pub enum Verdict {
    /// An interim response: not the answer yet.
    Interim {
        /// Judges the next response.
        pending: PendingUpgrade,
        /// What to send to the client; none for a 100 that it did not ask for.
        response: Option<Parts>,
    },
    /// The origin goes on with HTTP.
    Declined(Declined),
    /// Both sides agree on another protocol.
    Switched(Switched),
}

/// A verdict apart from what judges the next response.
#[allow(
    clippy::large_enum_variant,
    reason = "a value to take apart at once, never stored"
)]
pub(crate) enum Judged {
    Interim(Option<AnswerHead>),
    Declined(Declined),
    Switched(Switched),
}

/// A final answer other than 101. The connection closes after it (RFC 9931).
#[derive(Debug)]
pub struct Declined {
    response: AnswerHead,
    body: BodyLength,
    /// Of a trailer section, where there may be one.
    #[cfg(feature = "gateway")]
    ending: Option<Arc<Ending>>,
}

/// The proof that both sides have agreed on a protocol. Nothing but [`PendingUpgrade::judge`] makes one.
#[derive(Debug)]
pub struct Switched {
    protocol: Protocol,
    subprotocol: Option<HeaderValue>,
    reserved_bits: [bool; 3],
    deflate: Option<DeflateParameters>,
    response: AnswerHead,
}

/// What a head says, whatever holds it.
enum Decided {
    /// Whether the client is to get it.
    Interim(bool),
    Declined(BodyLength),
    Switched(Agreed),
}

struct Agreed {
    protocol: Protocol,
    subprotocol: Option<HeaderValue>,
    reserved_bits: [bool; 3],
    deflate: Option<DeflateParameters>,
}

impl PendingUpgrade {
    pub(super) fn new(
        protocols: Protocols,
        offer: Option<WebSocketOffer>,
        expects_continue: bool,
        method: Method,
        rules: PreparedRules,
    ) -> Self {
        PendingUpgrade {
            protocols,
            offer,
            expects_continue,
            method,
            rules: rules.touches_responses().then(|| Box::new(rules)),
        }
    }

    /// Step (7) of the walk: judges the head of a response.
    ///
    /// Whatever the verdict, the head in it is ready to be sent to the client: hop-by-hop fields removed, the
    /// proxy's own set.
    ///
    /// # Errors
    ///
    /// [`BadSwitch`]: nothing may be tunnelled, the upstream connection must close, the client gets a 502.
    pub fn judge(self, response: Parts) -> Result<Verdict, BadSwitch> {
        Ok(match self.judge_one(response.into())? {
            Judged::Interim(response) => Verdict::Interim {
                pending: self,
                response: response.map(AnswerHead::into_parts),
            },
            Judged::Declined(declined) => Verdict::Declined(declined),
            Judged::Switched(switched) => Verdict::Switched(switched),
        })
    }

    /// Judges the head of a response, and can judge another: the next one, or that of another upstream which is asked the
    /// same.
    pub(crate) fn judge_one(&self, mut response: AnswerHead) -> Result<Judged, BadSwitch> {
        #[cfg(feature = "gateway")]
        let ending = self.ending_of(&response);
        let decided = match &mut response {
            AnswerHead::Parts(parts) => self.decide(parts.status, parts.version, &mut parts.headers),
            AnswerHead::Lines(head, _) => self.decide(head.status, head.version, &mut head.fields),
        };
        let decided = decided?;
        response.set_version(Version::HTTP_11);
        Ok(match decided {
            Decided::Interim(is_wanted) => Judged::Interim(is_wanted.then_some(response)),
            Decided::Declined(body) => Judged::Declined(Declined {
                response,
                body,
                #[cfg(feature = "gateway")]
                ending,
            }),
            Decided::Switched(agreed) => {
                let switched = Switched {
                    protocol: agreed.protocol,
                    subprotocol: agreed.subprotocol,
                    reserved_bits: agreed.reserved_bits,
                    deflate: agreed.deflate,
                    response,
                };
                Judged::Switched(switched)
            }
        })
    }

    /// What ends here of the trailer section that a response may have. Of its head as it has come.
    #[cfg(feature = "gateway")]
    fn ending_of(&self, response: &AnswerHead) -> Option<Arc<Ending>> {
        let rules = self.rules.as_deref().map(PreparedRules::rules);
        match response {
            AnswerHead::Parts(parts) if parts.headers.contains_key(TRANSFER_ENCODING) => {
                Some(Ending::of_response(&parts.headers, rules, parts.status))
            }
            AnswerHead::Lines(head, _) if head.fields.contains(&TRANSFER_ENCODING) => {
                Some(Ending::of_response(&head.fields, rules, head.status))
            }
            _ => None,
        }
    }

    /// Decides what a response is, and makes its fields ready to be sent to the client.
    fn decide(
        &self,
        status: StatusCode,
        version: Version,
        fields: &mut impl AnyFields,
    ) -> Result<Decided, BadSwitch> {
        if status == StatusCode::SWITCHING_PROTOCOLS {
            return self.switch(version, fields).map(Decided::Switched);
        }
        if status.is_informational() {
            // RFC 9110, sections 6.4.1 and 8.6: neither length nor coding in a 1xx.
            hop_by_hop::strip_and(fields, |name| name == CONTENT_LENGTH)?;
            let is_wanted = status != StatusCode::CONTINUE || self.expects_continue;
            return Ok(Decided::Interim(is_wanted));
        }
        let body = BodyLength::of_answer(version, status, fields, &self.method)?;
        // A client of HTTP/2 is answered by a translation of this.
        final_answer::make_ready(fields, status, Version::HTTP_11, true)?;
        if body == BodyLength::Chunked {
            fields.set(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        self.apply_rules(fields, status);
        Ok(Decided::Declined(body))
    }

    /// After all else: no rule can touch what has been set here.
    fn apply_rules(&self, fields: &mut impl AnyFields, status: StatusCode) {
        if let Some(rules) = &self.rules {
            rules.apply_to_answer(fields, status);
        }
    }

    /// The one protocol that the 101 names, as it was asked for.
    fn selected(&self, fields: &impl AnyFields) -> Result<Protocol, BadSwitch> {
        // Most name `websocket` and nothing else.
        let websocket = self.protocols.iter().find(|asked| asked.is_websocket());
        if let Some(websocket) = websocket.filter(|_| is_only_websocket(fields)) {
            return Ok(websocket.clone());
        }
        let answered = Protocols::named_by(fields)?;
        let mut answered = answered.iter();
        let first = answered.next().ok_or(BadSwitch::UpgradeMissing)?;
        let mut others = answered.peekable();
        if others.peek().is_some() {
            return Err(match others.all(|other| other == first) {
                true => BadSwitch::UpgradeRepeated,
                false => BadSwitch::UpgradeSeveral,
            });
        }
        let asked = self.protocols.iter().find(|asked| *asked == first);
        asked.cloned().ok_or(BadSwitch::UpgradeNotOffered)
    }

    fn switch(&self, version: Version, fields: &mut impl AnyFields) -> Result<Agreed, BadSwitch> {
        if version != Version::HTTP_11 {
            return Err(BadSwitch::Version);
        }
        if !has_option(fields, "upgrade") {
            return Err(BadSwitch::Connection);
        }
        let protocol = self.selected(fields)?;
        let (subprotocol, extensions) = match &self.offer {
            Some(offer) if protocol.is_websocket() => offer.check(fields)?,
            _ => (None, None),
        };
        let reserved_bits = extensions.map_or([false; 3], reserved_bits);
        let deflate = extensions.and_then(deflate);

        // RFC 9110, section 10.1.4: it means nothing in a response.
        fields.take_out(&TE);
        // RFC 9110, sections 6.4.1 and 8.6: neither length nor coding in a 1xx.
        let length = |name: &HeaderName| *name == CONTENT_LENGTH;
        hop_by_hop::strip_for_switch(fields, protocol.to_value(), length)?;
        self.apply_rules(fields, StatusCode::SWITCHING_PROTOCOLS);
        Ok(Agreed {
            protocol,
            subprotocol,
            reserved_bits,
            deflate,
        })
    }
}

/// Applies rules that are known only when the upstream has answered.
#[cfg(feature = "gateway")]
fn apply(rules: &PreparedRules, response: &mut AnswerHead) {
    let status = response.status();
    match response {
        AnswerHead::Parts(parts) => rules.apply_to_answer(&mut parts.headers, status),
        AnswerHead::Lines(head, parts) => {
            rules.apply_to_answer(&mut head.fields, status);
            parts.take();
        }
    }
}

/// Whether `Upgrade` is there once, and is the word alone.
fn is_only_websocket(fields: &impl AnyFields) -> bool {
    single(fields, &UPGRADE)
        .is_ok_and(|line| line.is_some_and(|line| line.eq_ignore_ascii_case(b"websocket")))
}

/// What frames may have set by the extensions that were selected (RFC 6455, section 9.1; RFC 7692, section 6).
fn reserved_bits(selected: &[u8]) -> [bool; 3] {
    let mut bits = [false; 3];
    for name in extension_names([selected].into_iter()) {
        match name.eq_ignore_ascii_case(b"permessage-deflate") {
            true => bits[0] = true,
            // Which bits it uses is its own affair.
            false => bits = [true; 3],
        }
    }
    bits
}

/// What was selected about compression.
fn deflate(selected: &[u8]) -> Option<DeflateParameters> {
    DeflateParameters::read(std::str::from_utf8(selected).ok()?)
}

/// What a 101 has selected of what was offered: the subprotocol, and the line of extensions.
type Selected<'a> = (Option<HeaderValue>, Option<&'a [u8]>);

impl WebSocketOffer {
    /// RFC 6455, section 4.1: the checks 4 to 6 that a client makes on the server's handshake.
    fn check<'a>(&self, fields: &'a impl AnyFields) -> Result<Selected<'a>, BadSwitch> {
        let accept = single(fields, &SEC_WEBSOCKET_ACCEPT).map_err(|Repeated| BadSwitch::AcceptRepeated)?;
        let accept = accept.ok_or(BadSwitch::AcceptMissing)?;
        if !self.key.accept().matches(accept) {
            return Err(BadSwitch::AcceptWrong);
        }

        let extensions = self.selected_extensions(fields)?;
        Ok((self.selected_subprotocol(fields)?, extensions))
    }

    /// RFC 6455, section 4.1: check 5, "an extension that was not present in the client's handshake".
    fn selected_extensions<'a>(&self, fields: &'a impl AnyFields) -> Result<Option<&'a [u8]>, BadSwitch> {
        let selected = single(fields, &SEC_WEBSOCKET_EXTENSIONS);
        let Some(line) = selected.map_err(|Repeated| BadSwitch::ExtensionsRepeated)? else {
            return Ok(None);
        };
        let selected = || extension_names([line].into_iter()).map(<[u8]>::to_ascii_lowercase);
        if selected().nth(MAX_ELEMENTS).is_some() {
            return Err(BadSwitch::TooManyExtensions);
        }
        let offered: HashSet<Vec<u8>> = extension_names(bytes(&self.extensions))
            .map(<[u8]>::to_ascii_lowercase)
            .collect();
        match selected().all(|name| offered.contains(&name)) {
            true => Ok(Some(line)),
            false => Err(BadSwitch::ExtensionNotOffered),
        }
    }

    /// RFC 6455, section 4.1: check 6, "a subprotocol that was not present in the client's handshake". Byte for byte.
    fn selected_subprotocol(&self, fields: &impl AnyFields) -> Result<Option<HeaderValue>, BadSwitch> {
        let selected = single(fields, &SEC_WEBSOCKET_PROTOCOL);
        let Some(selected) = selected.map_err(|Repeated| BadSwitch::SubprotocolRepeated)? else {
            return Ok(None);
        };
        let is_offered =
            |name: &[u8]| subprotocol_names(bytes(&self.subprotocols)).any(|offered| offered == name);
        let mut names = subprotocol_names([selected].into_iter());
        match (names.next(), names.next()) {
            (Some(_), None) if is_offered(selected) => Ok(HeaderValue::from_bytes(selected).ok()),
            (None, _) => Err(BadSwitch::SubprotocolEmpty),
            (Some(first), Some(second)) if is_offered(first) && is_offered(second) => {
                Err(BadSwitch::SubprotocolSeveral)
            }
            _ => Err(BadSwitch::SubprotocolNotOffered),
        }
    }
}

impl Declined {
    /// The head to send to the client, with `Connection: close`.
    #[must_use]
    pub fn response(&self) -> &Parts {
        self.response.parts()
    }

    /// Rules that are known only now. They cannot touch what the proxy has set.
    #[cfg(feature = "gateway")]
    pub(crate) fn apply(&mut self, rules: &PreparedRules) {
        apply(rules, &mut self.response);
        if let Some(ending) = &mut self.ending {
            Arc::make_mut(ending).add(rules.rules());
        }
    }

    /// What ends here of the body's trailer section.
    #[cfg(feature = "gateway")]
    pub(crate) fn take_ending(&mut self) -> Option<Arc<Ending>> {
        self.ending.take()
    }

    #[cfg(feature = "gateway")]
    pub(crate) fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// How the end of the body is found.
    #[must_use]
    pub fn body_length(&self) -> BodyLength {
        self.body
    }

    /// The head to send to the client.
    #[must_use]
    pub fn into_response(self) -> Parts {
        self.response.into_parts()
    }
}

impl Switched {
    /// The protocol that both sides speak from here on.
    pub fn protocol(&self) -> &Protocol {
        &self.protocol
    }

    /// The WebSocket subprotocol that the origin has selected.
    pub fn subprotocol(&self) -> Option<&HeaderValue> {
        self.subprotocol.as_ref()
    }

    /// Which of RSV1, RSV2 and RSV3 the frames of a WebSocket connection may have set, by the extensions that the origin has
    /// selected (RFC 6455, section 5.2): none without any, RSV1 with `permessage-deflate` (RFC 7692), all with one that is not
    /// known here.
    pub fn reserved_bits(&self) -> [bool; 3] {
        self.reserved_bits
    }

    /// What the origin has selected about compression (RFC 7692). `None`: permessage-deflate is not among the extensions.
    pub fn deflate(&self) -> Option<DeflateParameters> {
        self.deflate
    }

    /// Rules that are known only now. They cannot touch what the proxy has set.
    #[cfg(feature = "gateway")]
    pub(crate) fn apply(&mut self, rules: &PreparedRules) {
        apply(rules, &mut self.response);
    }

    #[cfg(feature = "gateway")]
    pub(crate) fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// The 101 to send to the client.
    pub fn response(&self) -> &Parts {
        self.response.parts()
    }

    /// The 101 to send to the client, and the protocol.
    pub fn into_response(self) -> (Parts, Protocol) {
        (self.response.into_parts(), self.protocol)
    }

    /// As [`into_response`](Switched::into_response), for a caller that writes the head.
    #[cfg(feature = "gateway")]
    pub(crate) fn into_head(self) -> (AnswerHead, Protocol) {
        (self.response, self.protocol)
    }
}

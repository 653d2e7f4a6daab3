//! What the proxy reports to the origin about the client: `X-Forwarded-*`, `X-Real-IP`, `Forwarded` (RFC 7239) and `Via` (RFC 9110,
//! section 7.6.3). A client's own claims are not believed unless the caller trusts it.
//!
//! Applied after hop-by-hop removal, so no nomination reaches what is set here.
//!
//! ```
//! use http::HeaderMap;
//! use switchover::header::{ForwardedRules, Hop};
//!
//! let mut headers = HeaderMap::new();
//! headers.insert("host", "example.com".parse().unwrap());
//! headers.insert("x-forwarded-for", "6.6.6.6".parse().unwrap());
//! let hop = Hop::from("192.0.2.1".parse::<std::net::IpAddr>().unwrap());
//! ForwardedRules::default().apply(&mut headers, &hop);
//! assert_eq!(headers["x-forwarded-for"], "192.0.2.1");
//! assert_eq!(headers["x-forwarded-proto"], "http");
//! assert_eq!(headers["forwarded"], "for=192.0.2.1;host=example.com;proto=http");
//! assert_eq!(headers["via"], "1.1 switchover");
//! ```

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use http::header::{FORWARDED, HOST, HeaderMap, HeaderName, HeaderValue, VIA};

use super::address_text::AddressText;
use super::{Hop, TrustedProxies};
use crate::http1::AnyFields;
use crate::token;

pub(super) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// What becomes of the forwarding fields that the peer itself sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Inbound {
    /// They are removed and replaced by what the proxy knows. The only safe choice for peers that may be anyone.
    #[default]
    Replace,
    /// `X-Forwarded-For` and `Forwarded` grow by one element; the rest stays where the peer sent it and is set
    /// where it did not. For peers that are proxies one trusts.
    Append,
    /// They go on as they came; only what is missing is set.
    Trust,
}

/// The name of a proxy in `Via` is not a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the name of a proxy in Via must be a token (RFC 9110, section 5.6.2): letters, digits, and !#$%&'*+-.^_`|~"
)]
#[expect(clippy::exhaustive_structs, reason = "a sentence without parts")]
pub struct InvalidViaName;

/// Which forwarding fields are set, and what becomes of the client's.
#[derive(Clone, Debug)]
pub struct ForwardedRules {
    inbound: Inbound,
    trusted: Option<TrustedProxies>,
    kept: Option<Arc<[HeaderName]>>,
    x_forwarded: bool,
    forwarded: bool,
    /// As it is for HTTP/1.1.
    via: Option<HeaderValue>,
}

impl Default for ForwardedRules {
    /// [`Inbound::Replace`], all fields set, `Via: 1.1 switchover`.
    fn default() -> Self {
        ForwardedRules {
            inbound: Inbound::Replace,
            trusted: None,
            kept: None,
            x_forwarded: true,
            forwarded: true,
            via: Some(HeaderValue::from_static("1.1 switchover")),
        }
    }
}

impl ForwardedRules {
    /// What becomes of the fields of every peer. Default [`Inbound::Replace`].
    #[must_use]
    pub fn inbound(mut self, inbound: Inbound) -> Self {
        self.inbound = inbound;
        self.trusted = None;
        self
    }

    /// [`Inbound::Append`] for peers that are among these proxies, [`Inbound::Replace`] for all others. Takes the place
    /// of [`inbound`](ForwardedRules::inbound).
    ///
    /// `X-Real-IP` is then the client that [`TrustedProxies::locate`] finds behind them, whatever they have sent in it:
    /// many a proxy that appends to `X-Forwarded-For` lets the client's own `X-Real-IP` through.
    ///
    /// ```
    /// use http::HeaderMap;
    /// use switchover::header::{ForwardedRules, Hop, TrustedProxies};
    ///
    /// let rules = ForwardedRules::default().trusted(TrustedProxies::new(["10.0.0.0/8".parse().unwrap()]));
    /// let mut headers = HeaderMap::new();
    /// headers.insert("x-forwarded-for", "192.0.2.1".parse().unwrap());
    /// rules.apply(&mut headers, &Hop::from("10.0.0.1".parse::<std::net::IpAddr>().unwrap()));
    /// assert_eq!(headers["x-forwarded-for"], "192.0.2.1, 10.0.0.1");
    /// assert_eq!(headers["x-real-ip"], "192.0.2.1");
    /// ```
    #[must_use]
    pub fn trusted(mut self, proxies: TrustedProxies) -> Self {
        self.trusted = Some(proxies);
        self
    }

    /// The hop with the client that is behind the [trusted](ForwardedRules::trusted) proxies, if there are any. Call it
    /// while the headers are still the client's.
    #[must_use]
    pub fn locate(&self, hop: Hop, headers: &HeaderMap) -> Hop {
        self.locate_by(hop, headers)
    }

    /// As [`locate`](ForwardedRules::locate), whatever holds the fields.
    pub(crate) fn locate_by(&self, hop: Hop, fields: &impl AnyFields) -> Hop {
        match &self.trusted {
            Some(proxies) => proxies.locate_by(hop, fields),
            None => hop,
        }
    }

    /// Whether `X-Forwarded-For`, `-Proto`, `-Host` and `X-Real-IP` are set. Default true. Under
    /// [`Inbound::Replace`] the client's own are removed in either case.
    #[must_use]
    pub fn x_forwarded(mut self, set: bool) -> Self {
        self.x_forwarded = set;
        self
    }

    /// Lets these forwarding fields pass, whatever happens to the others: those that a layer of the application sets in front of
    /// the proxy, such as `X-Forwarded-User` or `X-Forwarded-Prefix`. Default: none; under [`Inbound::Replace`] every field whose
    /// name begins with `X-Forwarded-` is removed. A name with underscores is removed even if it is named here.
    ///
    /// Danger: the layer must set or remove these fields on every request. A field that it leaves alone is the client's own claim,
    /// and the origin believes it.
    ///
    /// ```
    /// use http::{HeaderMap, HeaderName};
    /// use switchover::header::{ForwardedRules, Hop};
    ///
    /// let rules = ForwardedRules::default().keep([HeaderName::from_static("x-forwarded-user")]);
    /// let mut headers = HeaderMap::new();
    /// headers.insert("x-forwarded-user", "ada".parse().unwrap());
    /// headers.insert("x-forwarded-prefix", "/app".parse().unwrap());
    /// rules.apply(&mut headers, &Hop::unknown());
    /// assert_eq!(headers["x-forwarded-user"], "ada");
    /// assert!(!headers.contains_key("x-forwarded-prefix"));
    /// ```
    #[must_use]
    pub fn keep(mut self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        self.kept = Some(names.into_iter().collect());
        self
    }

    /// Whether `Forwarded` is set. Default true. Under [`Inbound::Replace`] the client's own is removed in either
    /// case.
    #[must_use]
    pub fn forwarded(mut self, set: bool) -> Self {
        self.forwarded = set;
        self
    }

    /// The name under which the proxy adds itself to `Via` (RFC 9110, section 7.6.3). Default `switchover`.
    ///
    /// # Errors
    ///
    /// [`InvalidViaName`] where the name is not a token.
    pub fn via(mut self, name: &str) -> Result<Self, InvalidViaName> {
        if !token::is_token(name.as_bytes()) {
            return Err(InvalidViaName);
        }
        let value = HeaderValue::try_from(format!("1.1 {name}"));
        self.via = Some(value.map_err(|_| InvalidViaName)?);
        Ok(self)
    }

    /// No `Via` is added. A proxy that leaves it out cannot be seen in a chain of proxies, and a loop of requests is not
    /// found by it.
    #[must_use]
    pub fn without_via(mut self) -> Self {
        self.via = None;
        self
    }

    /// Sets the fields on a request that is about to go upstream. Call it after
    /// [`hop_by_hop::strip`](super::hop_by_hop::strip).
    pub fn apply(&self, headers: &mut HeaderMap, hop: &Hop) {
        let hop = self.locate(*hop, headers);
        let inbound = self.inbound_of(&hop);
        headers.keep_only(|name| !self.removes(inbound, name));
        self.add(headers, &hop);
    }

    /// What becomes of the fields of this peer.
    pub(crate) fn inbound_of(&self, hop: &Hop) -> Inbound {
        match &self.trusted {
            Some(proxies) if proxies.trusts(hop) => Inbound::Append,
            Some(_) => Inbound::Replace,
            None => self.inbound,
        }
    }

    /// Whether a field of the peer's ends here.
    pub(crate) fn removes(&self, inbound: Inbound, name: &HeaderName) -> bool {
        match forwarding_field(name.as_str()) {
            Forwarding::No => false,
            Forwarding::Yes if self.keeps(name) => false,
            Forwarding::Yes => {
                inbound == Inbound::Replace
                    || self.trusted.is_some() && self.x_forwarded && *name == X_REAL_IP
            }
            Forwarding::LookAlike => true,
        }
    }

    fn keeps(&self, name: &HeaderName) -> bool {
        self.kept.as_ref().is_some_and(|kept| kept.contains(name))
    }

    /// Sets the proxy's own fields, where those that it [removes](Self::removes) are gone. `hop` is one that has been
    /// [located](Self::locate).
    pub(crate) fn add(&self, fields: &mut impl AnyFields, hop: &Hop) {
        // As many as there are below: a map that has no room for them would grow more than once.
        fields.make_room(6);
        let inbound = self.inbound_of(hop);
        let peer = AddressText::of(hop.peer());
        let element = self
            .forwarded
            .then(|| forwarded_element(hop, &peer, fields.first(&HOST)));
        if self.x_forwarded {
            list(fields, inbound, X_FORWARDED_FOR, &peer);
            fields.add_if_none(X_FORWARDED_PROTO, hop.scheme().as_bytes());
            fields.copy_if_none(&HOST, X_FORWARDED_HOST);
            match hop.client() {
                client if client == hop.peer() => fields.add_if_none(X_REAL_IP, &peer),
                client => fields.add_if_none(X_REAL_IP, &AddressText::of(client)),
            };
        }
        if let Some(element) = element {
            list(fields, inbound, FORWARDED, &element);
        }
        if let Some(via) = &self.via {
            append_element(fields, VIA, &via_element(via.as_bytes(), hop));
        }
    }
}

/// The version that the request came in, and the proxy's name (RFC 9110, section 7.6.3).
fn via_element<'a>(usual: &'a [u8], hop: &Hop) -> Cow<'a, [u8]> {
    let version = hop.received_protocol().as_bytes();
    if usual.starts_with(version) {
        return Cow::Borrowed(usual);
    }
    let name = usual.get(version.len()..).unwrap_or_default();
    Cow::Owned([version, name].concat())
}

/// Sets a field that is a list with one element for each hop.
fn list(fields: &mut impl AnyFields, inbound: Inbound, name: HeaderName, element: &[u8]) {
    if inbound == Inbound::Trust {
        fields.add_if_none(name, element);
    } else {
        append_element(fields, name, element);
    }
}

enum Forwarding {
    No,
    Yes,
    /// The same name with underscores, which many back ends cannot distinguish from the one with hyphens.
    LookAlike,
}

/// Whether a field says something of the client that a proxy says, or looks like one that does.
pub(super) fn is_forwarding_field(name: &HeaderName) -> bool {
    !matches!(forwarding_field(name.as_str()), Forwarding::No)
}

fn forwarding_field(name: &str) -> Forwarding {
    const NAMES: [&[u8]; 3] = [b"forwarded", b"x-forwarded", b"x-real-ip"];
    const PREFIX: &[u8] = b"x-forwarded-";

    if !matches!(name.as_bytes().first(), Some(b'x' | b'f')) {
        return Forwarding::No;
    }
    let same = |byte: &u8, expected: &u8| byte == expected || *byte == b'_' && *expected == b'-';
    let alike = |expected: &[u8], bytes: &[u8]| {
        bytes.len() == expected.len()
            && bytes
                .iter()
                .zip(expected)
                .all(|(byte, expected)| same(byte, expected))
    };
    let bytes = name.as_bytes();
    let found = NAMES.iter().any(|expected| alike(expected, bytes))
        || bytes.len() > PREFIX.len() && alike(PREFIX, &bytes[..PREFIX.len()]);
    match (found, name.contains('_')) {
        (false, _) => Forwarding::No,
        (true, false) => Forwarding::Yes,
        (true, true) => Forwarding::LookAlike,
    }
}

/// `for=…;host=…;proto=…` (RFC 7239, section 4).
fn forwarded_element(hop: &Hop, peer: &[u8], host: Option<&[u8]>) -> Vec<u8> {
    let [before, after]: [&[u8]; 2] = match hop.peer() {
        // RFC 7239, section 6: an IPv6 address is bracketed, and brackets want quotes.
        Some(IpAddr::V6(_)) => [b"for=\"[", b"]\""],
        _ => [b"for=", b""],
    };
    let [host_before, host_after]: [&[u8]; 2] = match host {
        Some(host) if token::is_token(host) => [b";host=", b""],
        Some(_) => [b";host=\"", b"\""],
        None => [b"", b""],
    };
    let host = bare(host.unwrap_or_default());
    let scheme = hop.scheme().as_bytes();
    [
        before,
        peer,
        after,
        host_before,
        &host,
        host_after,
        b";proto=",
        scheme,
    ]
    .concat()
}

/// A text that needs no escapes within quotes.
fn bare(text: &[u8]) -> Cow<'_, [u8]> {
    let needs_escape = |byte: &u8| matches!(byte, b'"' | b'\\');
    match text.iter().any(needs_escape) {
        false => Cow::Borrowed(text),
        true => Cow::Owned(text.iter().copied().filter(|byte| !needs_escape(byte)).collect()),
    }
}

/// Adds an element to a list field. All lines become one, since many back ends read only the first. Lines without an element go, and
/// so does a `Forwarded` whose quoted-string is never closed: what the proxy adds would be a part of that string (RFC 7239, section
/// 4).
fn append_element(fields: &mut impl AnyFields, name: HeaderName, element: &[u8]) {
    if fields.add_if_none(name.clone(), element) {
        return;
    }
    let may_have_quotes = name == FORWARDED;
    let mut joined = Vec::new();
    for line in fields.lines(&name) {
        if token::trim_ows(line).is_empty() || may_have_quotes && token::is_open(line) {
            continue;
        }
        joined.extend_from_slice(line);
        joined.extend_from_slice(b", ");
    }
    joined.extend_from_slice(element);
    fields.set_text(name, &joined);
}

//! Law: what the proxy tells the origin about the client: `X-Forwarded-*`, `X-Real-IP`, `Forwarded` (RFC 7239) and
//! `Via` (RFC 9110, section 7.6.3); and that a client's own claims are not believed unless the caller says so.
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

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use http::header::{Entry, FORWARDED, HOST, HeaderMap, HeaderName, HeaderValue, VIA};

use super::retain;
use crate::token;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// What the proxy knows of the hop that a request came over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hop {
    peer: Option<IpAddr>,
    tls: bool,
}

impl Hop {
    /// A hop from a peer with no address: a Unix socket, a stream in memory. Its `for` is `unknown`.
    pub const fn unknown() -> Self {
        Hop {
            peer: None,
            tls: false,
        }
    }

    /// Whether the request came over TLS: its scheme is then `https`, otherwise `http`; `ws` and `wss` are not
    /// schemes that back ends expect here. Default false.
    #[must_use]
    pub const fn tls(mut self, tls: bool) -> Self {
        self.tls = tls;
        self
    }

    /// The address of the peer.
    pub const fn peer(&self) -> Option<IpAddr> {
        self.peer
    }

    /// `https` over TLS, else `http`.
    pub const fn scheme(&self) -> &'static str {
        if self.tls { "https" } else { "http" }
    }
}

impl From<IpAddr> for Hop {
    /// A dual-stack listener sees IPv4 peers as IPv4-mapped IPv6 addresses; they are told as IPv4.
    fn from(peer: IpAddr) -> Self {
        Hop {
            peer: Some(peer.to_canonical()),
            tls: false,
        }
    }
}

impl From<SocketAddr> for Hop {
    fn from(peer: SocketAddr) -> Self {
        Hop::from(peer.ip())
    }
}

/// What becomes of the forwarding fields that the peer itself sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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

/// Which forwarding fields are set, and what becomes of the client's.
#[derive(Clone, Debug)]
pub struct ForwardedRules {
    inbound: Inbound,
    x_forwarded: bool,
    forwarded: bool,
    via: Option<HeaderValue>,
}

impl Default for ForwardedRules {
    /// [`Inbound::Replace`], all fields set, `Via: 1.1 switchover`.
    fn default() -> Self {
        ForwardedRules {
            inbound: Inbound::Replace,
            x_forwarded: true,
            forwarded: true,
            via: Some(HeaderValue::from_static("1.1 switchover")),
        }
    }
}

impl ForwardedRules {
    /// What becomes of the peer's own fields. Default [`Inbound::Replace`].
    #[must_use]
    pub fn inbound(mut self, inbound: Inbound) -> Self {
        self.inbound = inbound;
        self
    }

    /// Whether `X-Forwarded-For`, `-Proto`, `-Host` and `X-Real-IP` are set. Default true. Under
    /// [`Inbound::Replace`] the client's own are removed in either case.
    #[must_use]
    pub fn x_forwarded(mut self, set: bool) -> Self {
        self.x_forwarded = set;
        self
    }

    /// Whether `Forwarded` is set. Default true. Under [`Inbound::Replace`] the client's own is removed in either
    /// case.
    #[must_use]
    pub fn forwarded(mut self, set: bool) -> Self {
        self.forwarded = set;
        self
    }

    /// The name under which the proxy adds itself to `Via`: a token. `None` adds nothing. Default `switchover`.
    ///
    /// A name that is not a token is ignored, and the former one stays.
    #[must_use]
    pub fn via(mut self, name: Option<&str>) -> Self {
        self.via = match name {
            None => None,
            Some(name) if token::is_token(name.as_bytes()) => {
                HeaderValue::try_from(format!("1.1 {name}")).ok()
            }
            Some(_) => self.via,
        };
        self
    }

    /// Sets the fields on a request that is about to go upstream. Call it after
    /// [`hop_by_hop::strip`](super::hop_by_hop::strip).
    pub fn apply(&self, headers: &mut HeaderMap, hop: &Hop) {
        retain(headers, |name| !self.removes(name));
        self.add(headers, hop);
    }

    /// Whether a field of the peer's ends here.
    pub(crate) fn removes(&self, name: &HeaderName) -> bool {
        match forwarding_field(name.as_str()) {
            Forwarding::No => false,
            Forwarding::Yes => self.inbound == Inbound::Replace,
            Forwarding::LookAlike => true,
        }
    }

    /// Sets the proxy's own fields, where those that it [removes](Self::removes) are gone.
    pub(crate) fn add(&self, headers: &mut HeaderMap, hop: &Hop) {
        let peer = hop.peer.map(|peer| {
            // The longest address has 39 characters; `to_string` would grow the text piece by piece.
            let mut text = String::with_capacity(40);
            let _ = write!(text, "{peer}");
            text
        });
        let host = headers.get(HOST).cloned();
        if self.x_forwarded {
            let peer = peer.as_deref().and_then(|peer| HeaderValue::from_str(peer).ok());
            // RFC 7239, section 6.2 has the word for a peer that is not known.
            let peer = peer.unwrap_or(HeaderValue::from_static("unknown"));
            self.list(headers, X_FORWARDED_FOR, peer.clone());
            headers
                .entry(X_FORWARDED_PROTO)
                .or_insert(HeaderValue::from_static(hop.scheme()));
            if let Some(host) = host.clone() {
                headers.entry(X_FORWARDED_HOST).or_insert(host);
            }
            headers.entry(X_REAL_IP).or_insert(peer);
        }
        if self.forwarded {
            if let Some(element) = forwarded_element(hop, peer.as_deref(), host.as_ref()) {
                self.list(headers, FORWARDED, element);
            }
        }
        if let Some(via) = &self.via {
            append_element(headers, VIA, via.clone());
        }
    }

    /// Sets a field that is a list with one element for each hop.
    fn list(&self, headers: &mut HeaderMap, name: HeaderName, element: HeaderValue) {
        if self.inbound != Inbound::Trust || !headers.contains_key(&name) {
            append_element(headers, name, element);
        }
    }
}

enum Forwarding {
    No,
    Yes,
    /// The same name with underscores, which many back ends cannot tell from the one with hyphens.
    LookAlike,
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
fn forwarded_element(hop: &Hop, peer: Option<&str>, host: Option<&HeaderValue>) -> Option<HeaderValue> {
    let mut element = Vec::with_capacity(96);
    let (before, after): (&[u8], &[u8]) = match hop.peer {
        // RFC 7239, section 6: an IPv6 address is bracketed, and brackets want quotes.
        Some(IpAddr::V6(_)) => (b"for=\"[", b"]\""),
        _ => (b"for=", b""),
    };
    element.extend_from_slice(before);
    element.extend_from_slice(peer.unwrap_or("unknown").as_bytes());
    element.extend_from_slice(after);
    match host.map(HeaderValue::as_bytes) {
        Some(host) if token::is_token(host) => {
            element.extend_from_slice(b";host=");
            element.extend_from_slice(host);
        }
        Some(host) => {
            element.extend_from_slice(b";host=\"");
            element.extend(host.iter().filter(|byte| !matches!(byte, b'"' | b'\\')));
            element.push(b'"');
        }
        None => {}
    }
    element.extend_from_slice(b";proto=");
    element.extend_from_slice(hop.scheme().as_bytes());
    HeaderValue::from_maybe_shared(Bytes::from(element)).ok()
}

/// Adds an element to a list field. All lines become one, since many back ends read only the first.
fn append_element(headers: &mut HeaderMap, name: HeaderName, element: HeaderValue) {
    let mut lines = match headers.entry(name) {
        Entry::Vacant(vacant) => {
            vacant.insert(element);
            return;
        }
        Entry::Occupied(lines) => lines,
    };
    let mut joined = Vec::new();
    for line in lines.iter() {
        joined.extend_from_slice(line.as_bytes());
        joined.extend_from_slice(b", ");
    }
    joined.extend_from_slice(element.as_bytes());
    if let Ok(value) = HeaderValue::from_maybe_shared(Bytes::from(joined)) {
        lines.insert(value);
    }
}

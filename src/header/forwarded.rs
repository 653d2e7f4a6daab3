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

use http::header::{FORWARDED, HOST, HeaderMap, HeaderName, HeaderValue, VIA};

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
        let replace = self.inbound == Inbound::Replace;
        retain(headers, |name| match forwarding_field(name.as_str()) {
            Forwarding::No => true,
            Forwarding::Yes => !replace,
            Forwarding::LookAlike => false,
        });
        if self.x_forwarded {
            self.set_x_forwarded(headers, hop);
        }
        if self.forwarded {
            let host = headers.get(HOST).and_then(|host| host.to_str().ok());
            let element = forwarded_element(hop, host);
            self.list(headers, FORWARDED, element);
        }
        if let Some(via) = &self.via {
            append_element(headers, VIA, via.clone());
        }
    }

    fn set_x_forwarded(&self, headers: &mut HeaderMap, hop: &Hop) {
        let peer = peer_value(hop);
        self.list(headers, X_FORWARDED_FOR, Some(peer.clone()));
        let single = [
            (X_FORWARDED_PROTO, Some(HeaderValue::from_static(hop.scheme()))),
            (X_FORWARDED_HOST, headers.get(HOST).cloned()),
            (X_REAL_IP, Some(peer)),
        ];
        for (name, value) in single {
            if let (false, Some(value)) = (headers.contains_key(&name), value) {
                headers.insert(name, value);
            }
        }
    }

    /// Sets a field that is a list with one element for each hop.
    fn list(&self, headers: &mut HeaderMap, name: HeaderName, element: Option<HeaderValue>) {
        if self.inbound == Inbound::Trust && headers.contains_key(&name) {
            return;
        }
        if let Some(element) = element {
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

/// The peer's address, or the word for one that is not known (RFC 7239, section 6.2).
fn peer_value(hop: &Hop) -> HeaderValue {
    let address = hop
        .peer
        .and_then(|peer| HeaderValue::try_from(peer.to_string()).ok());
    address.unwrap_or(HeaderValue::from_static("unknown"))
}

/// `for=…;host=…;proto=…` (RFC 7239, section 4).
fn forwarded_element(hop: &Hop, host: Option<&str>) -> Option<HeaderValue> {
    let mut element = String::with_capacity(64);
    match hop.peer {
        None => element.push_str("for=unknown"),
        Some(IpAddr::V4(address)) => write!(element, "for={address}").ok()?,
        // RFC 7239, section 6: an IPv6 address is bracketed, and brackets want quotes.
        Some(IpAddr::V6(address)) => write!(element, "for=\"[{address}]\"").ok()?,
    }
    match host {
        Some(host) if token::is_token(host.as_bytes()) => write!(element, ";host={host}").ok()?,
        Some(host) => write!(element, ";host=\"{}\"", host.replace(['"', '\\'], "")).ok()?,
        None => {}
    }
    write!(element, ";proto={}", hop.scheme()).ok()?;
    HeaderValue::try_from(element).ok()
}

/// Adds an element to a list field. All lines become one, since many back ends read only the first.
fn append_element(headers: &mut HeaderMap, name: HeaderName, element: HeaderValue) {
    if !headers.contains_key(&name) {
        headers.insert(name, element);
        return;
    }
    let mut joined = Vec::new();
    for line in headers.get_all(&name) {
        joined.extend_from_slice(line.as_bytes());
        joined.extend_from_slice(b", ");
    }
    joined.extend_from_slice(element.as_bytes());
    if let Ok(value) = HeaderValue::from_maybe_shared(bytes::Bytes::from(joined)) {
        headers.insert(name, value);
    }
}

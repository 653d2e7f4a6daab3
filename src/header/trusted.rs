//! This file decides which peers are believed when they name a client, and which client that is (nginx: `set_real_ip_from`,
//! `real_ip_header X-Forwarded-For`, `real_ip_recursive on`).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use http::HeaderMap;

use super::Hop;
use super::forwarded::X_FORWARDED_FOR;
use crate::http1::AnyFields;
use crate::token;

/// How many proxies in a row are walked over. Nobody has as many; a longer list is an attempt to make the proxy work.
const MOST_PROXIES: usize = 32;

/// A range of addresses in CIDR notation, or one address: `10.0.0.0/8`, `2001:db8::/32`, `192.0.2.1`.
///
/// Bits behind the prefix do not count, as in nginx. IPv4-mapped IPv6 addresses are IPv4 addresses here: `::/0` is all
/// of IPv6, and nothing of IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// A text that is not a range of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a network is an address, or an address with the length of its prefix, as in 10.0.0.0/8")]
#[expect(clippy::exhaustive_structs, reason = "a sentence without parts")]
pub struct NetworkError;

impl Network {
    /// The addresses that have their first `prefix` bits in common with `address`.
    ///
    /// # Errors
    ///
    /// A prefix longer than the address: 32 bits in IPv4, 128 in IPv6.
    pub fn new(address: IpAddr, prefix: u8) -> Result<Self, NetworkError> {
        let (address, prefix) = match (address.to_canonical(), address) {
            (IpAddr::V4(mapped), IpAddr::V6(_)) if (96..=128).contains(&prefix) => {
                (mapped.into(), prefix - 96)
            }
            _ => (address, prefix),
        };
        if prefix > if address.is_ipv4() { 32 } else { 128 } {
            return Err(NetworkError);
        }
        Ok(Network {
            address: first_bits(address, prefix),
            prefix,
        })
    }

    /// Whether an address is one of them.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.address.is_ipv4() && first_bits(address, self.prefix) == self.address
    }
}

/// The address with all bits behind the prefix cleared.
fn first_bits(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            Ipv4Addr::from_bits(address.to_bits() & mask).into()
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
            Ipv6Addr::from_bits(address.to_bits() & mask).into()
        }
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NetworkError)?;
        let prefix = match prefix {
            None if address.is_ipv4() => 32,
            None => 128,
            // `parse` would take a plus sign.
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().map_err(|_| NetworkError)?
            }
            Some(_) => return Err(NetworkError),
        };
        Network::new(address, prefix)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// The proxies whose `X-Forwarded-For` is believed.
///
/// ```
/// use http::HeaderMap;
/// use switchover::header::{Hop, TrustedProxies};
///
/// let proxies = TrustedProxies::new(["10.0.0.0/8".parse()?]);
/// let mut headers = HeaderMap::new();
/// headers.insert("x-forwarded-for", "6.6.6.6, 192.0.2.1, 10.0.0.7".parse().unwrap());
///
/// let peer: std::net::IpAddr = "10.0.0.1".parse().unwrap();
/// let hop = proxies.locate(Hop::from(peer), &headers);
/// assert_eq!(hop.client(), "192.0.2.1".parse().ok(), "what stands before it is the client's own tale");
/// assert_eq!(hop.peer(), Some(peer));
/// # Ok::<(), switchover::header::NetworkError>(())
/// ```
///
/// Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    networks: Arc<[Network]>,
    unknown: bool,
    nearest: bool,
}

impl TrustedProxies {
    /// Proxies with addresses in these networks. The default is none.
    pub fn new(networks: impl IntoIterator<Item = Network>) -> Self {
        TrustedProxies {
            networks: networks.into_iter().collect(),
            unknown: false,
            nearest: false,
        }
    }

    /// Whether a peer without an address is trusted: one on a Unix socket, nginx's `set_real_ip_from unix:`. Default
    /// false.
    #[must_use]
    pub fn trust_unknown(mut self, trust: bool) -> Self {
        self.unknown = trust;
        self
    }

    /// Whether the walk goes on over trusted addresses: nginx's `real_ip_recursive`, which is off there by default. If
    /// not, the last element is the client, trusted or not. Default true.
    #[must_use]
    pub fn recursive(mut self, recursive: bool) -> Self {
        self.nearest = !recursive;
        self
    }

    /// Whether an address is one of theirs.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(address))
    }

    /// Whether the peer itself is one of them.
    #[must_use]
    pub fn trusts(&self, hop: &Hop) -> bool {
        hop.peer().map_or(self.unknown, |peer| self.contains(peer))
    }

    /// The hop with its client: from the end of `X-Forwarded-For`, over all its lines, the first address that is not
    /// a trusted proxy's.
    ///
    /// The walk ends where the list ends, at an element that is no address (with or without a port), and after 32
    /// proxies; the client is then the last address that a trusted proxy has vouched for. Where the peer is not
    /// trusted, it is the client.
    #[must_use]
    pub fn locate(&self, hop: Hop, headers: &HeaderMap) -> Hop {
        self.locate_by(hop, headers)
    }

    /// As [`locate`](TrustedProxies::locate), whatever holds the fields.
    pub(super) fn locate_by(&self, hop: Hop, fields: &impl AnyFields) -> Hop {
        if !self.trusts(&hop) {
            return hop;
        }
        let lines: Vec<&[u8]> = fields.lines(&X_FORWARDED_FOR).collect();
        let elements = lines
            .into_iter()
            .rev()
            .flat_map(elements_from_the_end)
            .map(forwarded_address);
        let mut client = hop;
        for element in elements.take(MOST_PROXIES) {
            let Some((address, port)) = element else { break };
            client = hop.behind(address, port);
            if self.nearest || !self.contains(address) {
                break;
            }
        }
        client
    }
}

impl FromIterator<Network> for TrustedProxies {
    fn from_iter<I: IntoIterator<Item = Network>>(networks: I) -> Self {
        TrustedProxies::new(networks)
    }
}

fn elements_from_the_end(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let elements = line.rsplit(|&byte| byte == b',');
    elements
        .map(token::trim_ows)
        .filter(|element| !element.is_empty())
}

/// `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1` or `[2001:db8::1]:80`.
fn forwarded_address(element: &[u8]) -> Option<(IpAddr, Option<u16>)> {
    let text = std::str::from_utf8(element).ok()?;
    let bracketed = || -> Option<IpAddr> {
        let address: Ipv6Addr = text.strip_prefix('[')?.strip_suffix(']')?.parse().ok()?;
        Some(address.into())
    };
    let address = text
        .parse()
        .ok()
        .or_else(bracketed)
        .map(|address| (address, None));
    let with_port = || {
        let address: SocketAddr = text.parse().ok()?;
        Some((address.ip(), Some(address.port())))
    };
    let (address, port): (IpAddr, _) = address.or_else(with_port)?;
    Some((address.to_canonical(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks() {
        let cases: &[(&str, Option<&str>)] = &[
            ("10.0.0.0/8", Some("10.0.0.0/8")),
            ("10.1.2.3/8", Some("10.0.0.0/8")),
            ("10.1.2.3", Some("10.1.2.3/32")),
            ("10.1.2.3/32", Some("10.1.2.3/32")),
            ("0.0.0.0/0", Some("0.0.0.0/0")),
            ("255.255.255.255/0", Some("0.0.0.0/0")),
            ("2001:db8::ff/32", Some("2001:db8::/32")),
            ("::1", Some("::1/128")),
            ("::/0", Some("::/0")),
            ("::ffff:10.0.0.1/104", Some("10.0.0.0/8")),
            ("::ffff:10.0.0.1", Some("10.0.0.1/32")),
            ("::ffff:10.0.0.1/64", Some("::/64")),
            ("10.0.0.0/33", None),
            ("::/129", None),
            ("::ffff:10.0.0.1/129", None),
            ("10.0.0.0/", None),
            ("10.0.0.0/+8", None),
            ("10.0.0.0/-1", None),
            ("10.0.0.0/8/8", None),
            ("10.0.0.0/255.0.0.0", None),
            ("10.0.0", None),
            ("010.0.0.1", None),
            ("", None),
            ("/8", None),
            ("localhost", None),
        ];
        for (text, expected) in cases {
            let parsed = text.parse::<Network>().ok().map(|network| network.to_string());
            assert_eq!(parsed.as_deref(), *expected, "{text:?}");
        }
    }

    #[test]
    fn what_a_network_contains() {
        let cases = [
            ("10.0.0.0/8", "10.255.255.255", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("10.0.0.0/8", "::ffff:10.0.0.1", true),
            ("10.0.0.0/8", "::a00:1", false),
            ("10.0.0.0/31", "10.0.0.1", true),
            ("10.0.0.0/31", "10.0.0.2", false),
            ("0.0.0.0/0", "255.0.0.1", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "::1", true),
            ("::/0", "10.0.0.1", false),
            ("::/0", "::ffff:10.0.0.1", false),
            ("2001:db8::/33", "2001:db8:7fff::1", true),
            ("2001:db8::/33", "2001:db8:8000::1", false),
        ];
        for (network, address, expected) in cases {
            let network: Network = network.parse().unwrap();
            assert_eq!(
                network.contains(address.parse().unwrap()),
                expected,
                "{network} {address}"
            );
        }
    }

    #[test]
    fn the_addresses_of_elements() {
        let cases = [
            ("192.0.2.1", Some(("192.0.2.1", None))),
            ("192.0.2.1:80", Some(("192.0.2.1", Some(80)))),
            ("2001:db8::1", Some(("2001:db8::1", None))),
            ("[2001:db8::1]", Some(("2001:db8::1", None))),
            ("[2001:db8::1]:80", Some(("2001:db8::1", Some(80)))),
            ("::ffff:192.0.2.1", Some(("192.0.2.1", None))),
            ("192.0.2.1:", None),
            ("192.0.2.1:99999", None),
            ("192.0.2.01", None),
            ("\"192.0.2.1\"", None),
            ("[192.0.2.1]", None),
            ("unknown", None),
            ("_hidden", None),
            ("192.0.2.1 192.0.2.2", None),
        ];
        for (element, expected) in cases {
            let expected = expected.map(|(address, port)| (address.parse().unwrap(), port));
            assert_eq!(forwarded_address(element.as_bytes()), expected, "{element}");
        }
    }
}

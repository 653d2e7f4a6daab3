//! `listen`: an address, and what is said of it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

use super::findings::Findings;
use super::tree::Directive;

/// Where clients connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// One `listen` of a server.
#[derive(Clone, Debug)]
pub(crate) struct Listen {
    pub(crate) address: Address,
    pub(crate) is_default: bool,
    pub(crate) is_tls: bool,
    pub(crate) is_http2: bool,
    /// The PROXY protocol's header comes first.
    pub(crate) is_proxied: bool,
    /// `ipv6only=off`: for IPv4 as well.
    pub(crate) is_dual: bool,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => address.fmt(f),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Address {
    /// None where one is not said, but found.
    pub(crate) fn port(&self) -> Option<u16> {
        match self {
            Address::Tcp(address) => Some(address.port()).filter(|port| *port > 0),
            Address::Unix(_) => None,
        }
    }
}

impl Listen {
    /// What holds for a server without a line.
    pub(crate) fn everywhere() -> Listen {
        Listen {
            address: Address::Tcp(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 80))),
            is_default: false,
            is_tls: false,
            is_http2: false,
            is_proxied: false,
            is_dual: false,
        }
    }

    /// More than one where a range of ports is said.
    pub(crate) fn read(line: &Directive, findings: &mut Findings) -> Vec<Listen> {
        let place = &line.place;
        let found: Result<Vec<Vec<Address>>, String> =
            ports(line.first()).iter().map(|text| addresses(text)).collect();
        let addresses: Vec<Address> = match found {
            Ok(found) => found.into_iter().flatten().collect(),
            Err(why) => {
                findings.error(place, format!("listen {}: {why}", line.first()));
                return Vec::new();
            }
        };
        let mut listen = Listen::everywhere();
        for parameter in line.arguments.iter().skip(1) {
            match parameter.split_once('=').map_or(&**parameter, |(name, _)| name) {
                "default_server" | "default" => listen.is_default = true,
                "ssl" => listen.is_tls = true,
                "ipv6only" => listen.is_dual = parameter == "ipv6only=off",
                "http2" => listen.is_http2 = true,
                "spdy" => {
                    findings.warning(
                        place,
                        format!("listen … {parameter}: only HTTP/1.1 and HTTP/2 are spoken here"),
                    );
                }
                // Over UDP: nobody listens there for TCP because of this line.
                "quic" => {
                    let text =
                        "listen … quic: only HTTP/1.1 and HTTP/2 are spoken here, and this line is left out";
                    findings.warning(place, text);
                    return Vec::new();
                }
                "proxy_protocol" => listen.is_proxied = true,
                "backlog" | "bind" | "deferred" | "fastopen" | "rcvbuf" | "reuseport" | "setfib"
                | "sndbuf" | "so_keepalive" | "accept_filter" => {}
                _ => findings.error(place, format!("listen … {parameter}: there is no such parameter")),
            }
        }
        let with = |address| Listen {
            address,
            ..listen.clone()
        };
        addresses.into_iter().map(with).collect()
    }
}

/// `ADDRESS:8000-8003` for each of its ports; all else as it is.
fn ports(text: &str) -> Vec<String> {
    let (host, range) = text
        .rsplit_once(':')
        .map_or(("", text), |(host, range)| (host, range));
    let ends = range.split_once('-');
    let ends = ends.and_then(|(first, last)| Some((first.parse::<u16>().ok()?, last.parse::<u16>().ok()?)));
    match ends {
        Some((first, last)) if first <= last && !text.starts_with("unix:") => {
            let colon = if host.is_empty() { "" } else { ":" };
            (first..=last)
                .map(|port| format!("{host}{colon}{port}"))
                .collect()
        }
        _ => vec![text.to_owned()],
    }
}

/// Of a name, all that it has.
fn addresses(text: &str) -> Result<Vec<Address>, String> {
    if let Some(path) = text.strip_prefix("unix:") {
        return Ok(vec![Address::Unix(PathBuf::from(path))]);
    }
    let everywhere = |port| SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    let port = |text: &str| text.parse::<u16>().ok();
    if let Some(port) = port(text.strip_prefix("*:").unwrap_or(text)) {
        return Ok(vec![Address::Tcp(everywhere(port))]);
    }
    if let Ok(address) = text.parse() {
        return Ok(vec![Address::Tcp(address)]);
    }
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
        .unwrap_or(text);
    if let Ok(host) = bare.parse::<IpAddr>() {
        return Ok(vec![Address::Tcp(SocketAddr::from((host, 80)))]);
    }
    let named = match text.rsplit_once(':') {
        Some((_, after)) if port(after).is_some() => text.to_owned(),
        _ => format!("{text}:80"),
    };
    let mut addresses: Vec<SocketAddr> = named.to_socket_addrs().map_err(|why| why.to_string())?.collect();
    addresses.sort_unstable();
    addresses.dedup();
    match addresses.is_empty() {
        true => Err("the name has no address".to_owned()),
        false => Ok(addresses.into_iter().map(Address::Tcp).collect()),
    }
}

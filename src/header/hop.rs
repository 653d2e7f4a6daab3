//! What the proxy knows of the hop that a request came over.

use std::net::{IpAddr, SocketAddr};

use http::Version;

/// What the proxy knows of the hop that a request came over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hop {
    peer: Option<IpAddr>,
    port: Option<u16>,
    client: Option<(IpAddr, Option<u16>)>,
    server: Option<IpAddr>,
    server_port: Option<u16>,
    tls: bool,
    version: Version,
}

impl Hop {
    /// A hop from a peer with no address: a Unix socket, a stream in memory. Its `for` is `unknown`.
    #[must_use]
    pub const fn unknown() -> Self {
        Hop {
            peer: None,
            port: None,
            client: None,
            server: None,
            server_port: None,
            tls: false,
            version: Version::HTTP_11,
        }
    }

    /// Whether the request came over TLS: its scheme is then `https`, otherwise `http`; `ws` and `wss` are not
    /// schemes that back ends expect here. Default false.
    #[must_use]
    pub const fn tls(mut self, tls: bool) -> Self {
        self.tls = tls;
        self
    }

    /// The version of HTTP that the request came in, for `Via`. Default HTTP/1.1. The services know it by themselves.
    #[must_use]
    pub const fn version(mut self, version: Version) -> Self {
        self.version = version;
        self
    }

    /// The address and port that the request came in at: the local address of its connection. Default: not known.
    #[must_use]
    pub const fn at(mut self, address: SocketAddr) -> Self {
        self.server = Some(address.ip().to_canonical());
        self.at_port(address.port())
    }

    /// The port that the request came in at, for the variable `$server_port`. Default: not known.
    #[must_use]
    pub const fn at_port(mut self, port: u16) -> Self {
        self.server_port = Some(port);
        self
    }

    /// The client behind proxies that are trusted. Only [`TrustedProxies`](super::TrustedProxies) finds it.
    pub(super) const fn behind(mut self, client: IpAddr, port: Option<u16>) -> Self {
        self.client = Some((client, port));
        self
    }

    /// The address of the peer.
    #[must_use]
    pub const fn peer(&self) -> Option<IpAddr> {
        self.peer
    }

    /// The address of the client: the one that [`TrustedProxies`](super::TrustedProxies) has found behind the peer, or
    /// else the peer's.
    #[must_use]
    pub fn client(&self) -> Option<IpAddr> {
        self.client.map_or(self.peer, |(address, _)| Some(address))
    }

    /// The client's port, where it is known.
    #[must_use]
    pub fn client_port(&self) -> Option<u16> {
        self.client.map_or(self.port, |(_, port)| port)
    }

    /// The address that the request came in at, where it is known.
    #[must_use]
    pub const fn server_address(&self) -> Option<IpAddr> {
        self.server
    }

    /// The port that the request came in at, where it is known.
    #[must_use]
    pub const fn server_port(&self) -> Option<u16> {
        self.server_port
    }

    /// The version as `Via` has it (RFC 9110, section 7.6.3).
    pub(super) const fn received_protocol(&self) -> &'static str {
        match self.version {
            Version::HTTP_10 | Version::HTTP_09 => "1.0",
            Version::HTTP_2 => "2.0",
            Version::HTTP_3 => "3.0",
            _ => "1.1",
        }
    }

    /// `https` over TLS, else `http`.
    #[must_use]
    pub const fn scheme(&self) -> &'static str {
        if self.tls { "https" } else { "http" }
    }
}

impl From<IpAddr> for Hop {
    /// A dual-stack listener sees IPv4 peers as IPv4-mapped IPv6 addresses; they are reported as IPv4.
    fn from(peer: IpAddr) -> Self {
        Hop {
            peer: Some(peer.to_canonical()),
            ..Hop::unknown()
        }
    }
}

impl From<SocketAddr> for Hop {
    fn from(peer: SocketAddr) -> Self {
        Hop {
            port: Some(peer.port()),
            ..Hop::from(peer.ip())
        }
    }
}

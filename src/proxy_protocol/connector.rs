//! This connector writes the client's addresses before anything else, and its connections serve this one client.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::AsyncWriteExt;

use crate::connect::{Connect, ConnectError, ConnectRequest};
use crate::header::Hop;
use crate::proxy_protocol::ProxyHeader;

/// The version of the PROXY protocol that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Version {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

/// Connects with another connector, and writes a PROXY protocol header first.
///
/// The source is the client of the [`Hop`], behind [trusted](crate::header::TrustedProxies) proxies too; the destination is
/// where it has connected to ([`Hop::at`]), or address and port zero where that is not known. A hop without an address is
/// `UNKNOWN`, in version 2 unspecified.
///
/// For TLS, put it inside: `TlsConnect::new(ProxyProtocolConnect::new(…), …)`. The caller's deadline for connecting covers the
/// writing too.
///
/// Its [pooling](Connect::pooling) is [`Pooling::Never`](crate::connect::Pooling::Never), whatever is in it: a connection is one client's, and no other's request may go
/// over it.
///
/// # Errors
///
/// Those of the other connector, and [`ConnectError::Failed`] where the header cannot be written.
#[derive(Clone, Debug)]
pub struct ProxyProtocolConnect<C> {
    connect: C,
    version: Version,
}

impl<C> ProxyProtocolConnect<C> {
    /// Over the connections that another connector makes.
    pub fn new(connect: C, version: Version) -> Self {
        ProxyProtocolConnect { connect, version }
    }
}

impl<C: Connect> Connect for ProxyProtocolConnect<C> {
    type Stream = C::Stream;

    async fn connect(&self, request: ConnectRequest<'_>) -> Result<C::Stream, ConnectError> {
        let mut stream = self.connect.connect(request).await?;
        let header = header_of(&request.hop());
        let bytes = match self.version {
            Version::V1 => header.encode_v1(),
            Version::V2 => header.encode_v2(),
        };
        let written = async {
            stream.write_all(&bytes).await?;
            stream.flush().await
        };
        written.await.map_err(|source| ConnectError::Failed {
            name: "the upstream, with a PROXY protocol header".to_owned(),
            error: source,
        })?;
        Ok(stream)
    }

    fn authority(&self) -> Option<&str> {
        self.connect.authority()
    }
}

fn header_of(hop: &Hop) -> ProxyHeader {
    let Some(client) = hop.client() else {
        return ProxyHeader::Unknown;
    };
    let nowhere: IpAddr = match client {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    ProxyHeader::tcp(
        SocketAddr::new(client, hop.client_port().unwrap_or(0)),
        SocketAddr::new(
            hop.server_address().unwrap_or(nowhere),
            hop.server_port().unwrap_or(0),
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_upstream_receives() {
        let hop = |address: &str| Hop::from(address.parse::<SocketAddr>().unwrap());
        let at = |hop: Hop, address: &str| hop.at(address.parse().unwrap());
        let cases = [
            (
                at(hop("192.0.2.1:5000"), "198.51.100.1:443"),
                "TCP4 192.0.2.1 198.51.100.1 5000 443",
            ),
            (
                at(hop("[2001:db8::1]:5000"), "[2001:db8::2]:443"),
                "TCP6 2001:db8::1 2001:db8::2 5000 443",
            ),
            (
                at(hop("[::ffff:192.0.2.1]:5000"), "[::ffff:198.51.100.1]:443"),
                "TCP4 192.0.2.1 198.51.100.1 5000 443",
            ),
            (hop("192.0.2.1:5000"), "TCP4 192.0.2.1 0.0.0.0 5000 0"),
            (
                hop("192.0.2.1:5000").at_port(80),
                "TCP4 192.0.2.1 0.0.0.0 5000 80",
            ),
            (hop("[2001:db8::1]:5000"), "TCP6 2001:db8::1 :: 5000 0"),
            (
                Hop::from("192.0.2.1".parse::<IpAddr>().unwrap()),
                "TCP4 192.0.2.1 0.0.0.0 0 0",
            ),
            (Hop::unknown(), "UNKNOWN"),
            (at(Hop::unknown(), "198.51.100.1:443"), "UNKNOWN"),
        ];
        for (hop, expected) in cases {
            let line = header_of(&hop).encode_v1();
            assert_eq!(String::from_utf8(line).unwrap(), format!("PROXY {expected}\r\n"));
        }
    }
}

//! The PROXY protocol, versions 1 and 2, by HAProxy's `proxy-protocol.txt`: from bytes and back to bytes, without IO and clock;
//! and, with the feature `gateway`, on connections: [`ProxyProtocolAcceptor`], [`ProxyProtocolConnect`].
//!
//! Knows the hop that a connection came over, and no HTTP.
//!
//! A load balancer that relays connections writes, before anything else, whose connection it is. Read it only where
//! such a balancer and nobody else can connect: a peer that may write this header may claim any address. It is expected or it is
//! not; nothing here guesses (section 2: "MUST not try to guess whether the protocol header is present or not").
//!
//! ```
//! use switchover::proxy_protocol::{Parsed, ProxyHeader, parse};
//!
//! let bytes = b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\nGET / HTTP/1.1\r\n";
//! assert!(matches!(parse(&bytes[..20]), Ok(Parsed::Partial)));
//! let Ok(Parsed::Complete { header, consumed, .. }) = parse(bytes) else { panic!() };
//! assert_eq!(header.source(), "192.0.2.1:56324".parse().ok());
//! assert_eq!(&bytes[consumed..], b"GET / HTTP/1.1\r\n");
//! assert_eq!(header.encode_v1(), &bytes[..consumed]);
//! assert!(parse(b"GET / HTTP/1.1\r\n").is_err());
//! ```
//!
//! # On connections
//!
//! With the feature `gateway`.
//!
//! From a balancer, [`ProxyProtocolAcceptor`] reads the header before anything else is read. What comes of it goes to any
//! door, TLS in between or not.
//!
//! ```no_run
//! use switchover::gateway::next_connection;
//! use switchover::header::TrustedProxies;
//! use switchover::proxy_protocol::ProxyProtocolAcceptor;
//! use switchover::{Gateway, TcpConnect};
//!
//! # async fn run(listener: tokio::net::TcpListener) -> Result<(), Box<dyn std::error::Error>> {
//! let acceptor = ProxyProtocolAcceptor::new(TrustedProxies::new(["10.0.0.0/8".parse()?]));
//! let gateway = Gateway::builder(TcpConnect::to("127.0.0.1:9000")).build();
//! loop {
//!     let (stream, peer) = next_connection(&listener).await;
//!     let (acceptor, gateway) = (acceptor.clone(), gateway.clone());
//!     // In a task of its own: a balancer that dawdles over its header holds up no one else.
//!     tokio::spawn(async move {
//!         match acceptor.accept(stream, peer).await {
//!             Ok(proxied) => drop(gateway.serve(proxied.stream, proxied.hop).await),
//!             Err(error) => eprintln!("{peer}: {error}"),
//!         }
//!     });
//! }
//! # }
//! ```
//!
//! To an upstream, [`ProxyProtocolConnect`] is one more [`Connect`](crate::connect::Connect), which writes the header first on
//! each connection, before TLS:
//!
//! ```
//! use switchover::TcpConnect;
//! use switchover::proxy_protocol::{ProxyProtocolConnect, Version};
//!
//! let connect = ProxyProtocolConnect::new(TcpConnect::to("10.0.0.7:9000"), Version::V2);
//! ```

#[cfg(feature = "gateway")]
mod acceptor;
mod binary;
mod checksum;
#[cfg(feature = "gateway")]
mod connector;
mod text;
mod tlv;

#[cfg(feature = "gateway")]
pub use self::acceptor::{Proxied, ProxyAcceptError, ProxyProtocolAcceptor};
pub use self::binary::MAX_LENGTH;
#[cfg(feature = "gateway")]
pub use self::connector::{ProxyProtocolConnect, Version};
pub use self::tlv::Tlvs;

use std::net::SocketAddr;

/// What a header says of the connection that it stands before.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the specification names these kinds")]
pub enum ProxyHeader {
    /// The connection is the sender's own: a health check. Its addresses are those of the connection itself.
    Local,
    /// Relayed, for a client of which nothing is known. The addresses are those of the connection itself.
    Unknown,
    /// Relayed, between two internet addresses.
    Internet {
        /// How the client is connected.
        transport: Transport,
        /// The client.
        source: SocketAddr,
        /// Where the client has connected to.
        destination: SocketAddr,
    },
    /// Relayed, between two Unix sockets.
    Unix {
        /// How the client is connected.
        transport: Transport,
        /// The client's path, at most 108 bytes, without the zero bytes at its end. One that begins with a zero byte is
        /// in the abstract namespace.
        source: Vec<u8>,
        /// The path that the client has connected to.
        destination: Vec<u8>,
    },
}

/// How a client is connected to the sender of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the specification has two")]
pub enum Transport {
    /// TCP, or a Unix stream socket.
    Stream,
    /// UDP, or a Unix datagram socket.
    Datagram,
}

/// What there is so far of a header.
#[derive(Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a header is whole or not")]
pub enum Parsed<'a> {
    /// Sound so far, and not yet whole.
    Partial,
    /// The whole header.
    Complete {
        /// What it says.
        header: ProxyHeader,
        /// What it says besides (version 2).
        tlvs: Tlvs<'a>,
        /// How many bytes of the buffer it took. What follows is the client's.
        consumed: usize,
    },
}

/// Why bytes are no header. The connection must be closed (section 2.1: "must be discarded").
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyHeaderError {
    /// Neither `PROXY ` nor the signature of version 2.
    #[error("the connection does not begin with a PROXY protocol header")]
    Signature,
    /// A line of version 1 without its end within 107 bytes.
    #[error("the line of version 1 is longer than 107 bytes")]
    LineTooLong,
    /// A carriage return or line feed alone.
    #[error("the line of version 1 does not end with CRLF")]
    LineEnd,
    /// Neither `TCP4` nor `TCP6` nor `UNKNOWN`.
    #[error("the protocol in version 1 is not TCP4, TCP6 or UNKNOWN")]
    Protocol,
    /// Not two addresses of the family and two ports, one space between each.
    #[error("version 1 has no two addresses and two ports")]
    Addresses,
    /// A version of the binary format other than 2.
    #[error("the version of the binary header is not 2")]
    Version,
    /// A command other than LOCAL and PROXY.
    #[error("the command in version 2 is not LOCAL or PROXY")]
    Command,
    /// An address family or transport that there is none of.
    #[error("the address family or the transport in version 2 is unassigned")]
    Family,
    /// A length that the addresses do not fit in.
    #[error("version 2 has no room for its addresses")]
    TooShort,
    /// A length beyond [`MAX_LENGTH`].
    #[error("version 2 has a header of more than {MAX_LENGTH} bytes")]
    TooLong,
    /// What follows the addresses is not a sequence of types, lengths and values.
    #[error("what follows the addresses in version 2 breaks off")]
    Tlv,
    /// A checksum that is not that of the header.
    #[error("the checksum in version 2 is wrong")]
    Checksum,
}

/// Parses a header of either version from bytes that hold everything since the first byte of the connection.
///
/// # Errors
///
/// [`ProxyHeaderError`], as early as it is known.
pub fn parse(bytes: &[u8]) -> Result<Parsed<'_>, ProxyHeaderError> {
    // The signatures differ in their first byte.
    match bytes.first() {
        None => Ok(Parsed::Partial),
        Some(b'P') => text::parse(bytes),
        Some(_) => binary::parse(bytes),
    }
}

impl ProxyHeader {
    /// A TCP connection from a client.
    #[must_use]
    pub fn tcp(source: SocketAddr, destination: SocketAddr) -> Self {
        ProxyHeader::Internet {
            transport: Transport::Stream,
            source,
            destination,
        }
    }

    /// The client's address, if it has one: what a [`Hop`](crate::header::Hop) is made from. Else the connection's own
    /// peer is all that is known.
    #[must_use]
    pub fn source(&self) -> Option<SocketAddr> {
        match self {
            ProxyHeader::Internet { source, .. } => Some(*source),
            _ => None,
        }
    }

    /// The address that the client has connected to, if there is one.
    #[must_use]
    pub fn destination(&self) -> Option<SocketAddr> {
        match self {
            ProxyHeader::Internet { destination, .. } => Some(*destination),
            _ => None,
        }
    }

    /// The header in version 1, which knows TCP only: everything else is `UNKNOWN` there.
    ///
    /// Addresses of two families become IPv6.
    #[must_use]
    pub fn encode_v1(&self) -> Vec<u8> {
        text::encode(self)
    }

    /// The header in version 2, without a checksum.
    ///
    /// Addresses of two families become IPv6. A path that is longer than 108 bytes is cut off there, as every socket's is.
    #[must_use]
    pub fn encode_v2(&self) -> Vec<u8> {
        binary::encode(self)
    }
}

/// Two addresses of one family.
fn same_family(source: SocketAddr, destination: SocketAddr) -> (SocketAddr, SocketAddr) {
    let mapped = |address: SocketAddr| match address {
        SocketAddr::V4(v4) => SocketAddr::from((v4.ip().to_ipv6_mapped(), v4.port())),
        SocketAddr::V6(_) => address,
    };
    match source.is_ipv4() == destination.is_ipv4() {
        true => (source, destination),
        false => (mapped(source), mapped(destination)),
    }
}

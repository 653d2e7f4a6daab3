//! Version 2 (`proxy-protocol.txt`, section 2.2): a signature, a length, addresses, and what may follow them.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{Parsed, ProxyHeader, ProxyHeaderError, Tlvs, Transport, same_family};

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// Signature, version and command, family and transport, length.
const FIXED: usize = 16;

/// The longest header of version 2 that is taken, in bytes, from its signature to its end: 4 KiB, as in nginx.
/// `proxy-protocol.txt` has no limit but the 64 KiB of its length field, and says that a header is always smaller than
/// one segment.
pub const MAX_LENGTH: usize = 4096;

const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;

const INET: u8 = 1;
const INET6: u8 = 2;
const UNIX: u8 = 3;

/// How long a path is in a header, whatever its own length.
const PATH: usize = 108;

pub(super) fn parse(bytes: &[u8]) -> Result<Parsed<'_>, ProxyHeaderError> {
    let known = bytes.len().min(SIGNATURE.len());
    if bytes[..known] != SIGNATURE[..known] {
        return Err(ProxyHeaderError::Signature);
    }
    let command = match bytes.get(12) {
        None => return Ok(Parsed::Partial),
        Some(&command) if command >> 4 != 2 => return Err(ProxyHeaderError::Version),
        Some(&command @ (LOCAL | PROXY)) => command,
        // "Receivers must drop connections presenting unexpected values here."
        Some(_) => return Err(ProxyHeaderError::Command),
    };
    let Some(&kind) = bytes.get(13) else {
        return Ok(Parsed::Partial);
    };
    let (family, transport) = (kind >> 4, kind & 0xf);
    // LOCAL: the receiver must "discard the protocol block including the family which is ignored".
    if command == PROXY && (family > UNIX || transport > 2) {
        return Err(ProxyHeaderError::Family);
    }
    let Some(&[high, low]) = bytes.get(14..FIXED) else {
        return Ok(Parsed::Partial);
    };
    let end = FIXED + usize::from(u16::from_be_bytes([high, low]));
    if end > MAX_LENGTH {
        return Err(ProxyHeaderError::TooLong);
    }
    let transport = match transport {
        1 => Some(Transport::Stream),
        2 => Some(Transport::Datagram),
        _ => None,
    };
    let addresses = match (command, family, transport) {
        (PROXY, INET, Some(_)) => 12,
        (PROXY, INET6, Some(_)) => 36,
        (PROXY, UNIX, Some(_)) => 2 * PATH,
        // "The receiver should ignore address information": there is nothing in it whose place is known.
        _ => end - FIXED,
    };
    if FIXED + addresses > end {
        return Err(ProxyHeaderError::TooShort);
    }
    let Some(header) = bytes.get(..end) else {
        return Ok(Parsed::Partial);
    };
    let (block, rest) = header[FIXED..].split_at(addresses);
    let tlvs = Tlvs::parse(rest)?;
    if !tlvs.checksum_is_right(header, FIXED + addresses) {
        return Err(ProxyHeaderError::Checksum);
    }
    Ok(Parsed::Complete {
        header: match (command, transport) {
            (LOCAL, _) => ProxyHeader::Local,
            (_, Some(transport)) => relayed(family, transport, block),
            (_, None) => ProxyHeader::Unknown,
        },
        tlvs,
        consumed: end,
    })
}

/// What the address block says. It is as long as the family wants.
fn relayed(family: u8, transport: Transport, block: &[u8]) -> ProxyHeader {
    let internet = |source, destination| ProxyHeader::Internet {
        transport,
        source,
        destination,
    };
    let mut reader = Reader(block);
    match family {
        INET => {
            let (from, to) = (Ipv4Addr::from(reader.take()), Ipv4Addr::from(reader.take()));
            let (from_port, to_port) = (reader.port(), reader.port());
            internet((from, from_port).into(), (to, to_port).into())
        }
        INET6 => {
            let (from, to) = (Ipv6Addr::from(reader.take()), Ipv6Addr::from(reader.take()));
            let (from_port, to_port) = (reader.port(), reader.port());
            internet((from, from_port).into(), (to, to_port).into())
        }
        UNIX => ProxyHeader::Unix {
            transport,
            source: path(reader.take::<PATH>()),
            destination: path(reader.take::<PATH>()),
        },
        _ => ProxyHeader::Unknown,
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    /// The next bytes; zeroes where there are none, which the length check has ruled out.
    fn take<const N: usize>(&mut self) -> [u8; N] {
        match self.0.split_first_chunk() {
            Some((taken, rest)) => {
                self.0 = rest;
                *taken
            }
            None => [0; N],
        }
    }

    fn port(&mut self) -> u16 {
        u16::from_be_bytes(self.take())
    }
}

fn path(bytes: [u8; PATH]) -> Vec<u8> {
    let length = bytes
        .iter()
        .rposition(|&byte| byte != 0)
        .map_or(0, |last| last + 1);
    bytes[..length].to_vec()
}

pub(super) fn encode(header: &ProxyHeader) -> Vec<u8> {
    let mut block = Vec::new();
    let (command, family, transport) = match header {
        ProxyHeader::Local => (LOCAL, 0, None),
        ProxyHeader::Unknown => (PROXY, 0, None),
        ProxyHeader::Internet {
            transport,
            source,
            destination,
        } => {
            let (source, destination) = same_family(*source, *destination);
            for address in [source, destination] {
                match address {
                    SocketAddr::V4(v4) => block.extend_from_slice(&v4.ip().octets()),
                    SocketAddr::V6(v6) => block.extend_from_slice(&v6.ip().octets()),
                }
            }
            block.extend_from_slice(&source.port().to_be_bytes());
            block.extend_from_slice(&destination.port().to_be_bytes());
            (
                PROXY,
                if source.is_ipv4() { INET } else { INET6 },
                Some(transport),
            )
        }
        ProxyHeader::Unix {
            transport,
            source,
            destination,
        } => {
            for path in [source, destination] {
                let mut padded = [0; PATH];
                let length = path.len().min(PATH);
                padded[..length].copy_from_slice(&path[..length]);
                block.extend_from_slice(&padded);
            }
            (PROXY, UNIX, Some(transport))
        }
    };
    let transport = match transport {
        None => 0,
        Some(Transport::Stream) => 1,
        Some(Transport::Datagram) => 2,
    };
    let mut bytes = SIGNATURE.to_vec();
    bytes.extend_from_slice(&[command, family << 4 | transport]);
    // At most twice 108.
    bytes.extend_from_slice(&(block.len() as u16).to_be_bytes());
    bytes.extend_from_slice(&block);
    bytes
}

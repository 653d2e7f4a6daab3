//! Version 1 (`proxy-protocol.txt`, section 2.1): one line of text, matched exactly.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use super::{Parsed, ProxyHeader, ProxyHeaderError, Tlvs, Transport, same_family};

const SIGNATURE: &[u8] = b"PROXY ";

/// With its CRLF: "5 + 1 + 7 + 1 + 39 + 1 + 39 + 1 + 5 + 1 + 5 + 2 = 107 chars".
const LONGEST_LINE: usize = 107;

pub(super) fn parse(bytes: &[u8]) -> Result<Parsed<'_>, ProxyHeaderError> {
    let known = bytes.len().min(SIGNATURE.len());
    if bytes[..known] != SIGNATURE[..known] {
        return Err(ProxyHeaderError::Signature);
    }
    let within = &bytes[..bytes.len().min(LONGEST_LINE)];
    let end = within.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
    // "The receiver must not tolerate a single CR or LF character to end the line".
    match end.map(|end| &within[end..]) {
        None if within.len() == LONGEST_LINE => Err(ProxyHeaderError::LineTooLong),
        Some([b'\r']) if within.len() == LONGEST_LINE => Err(ProxyHeaderError::LineTooLong),
        None | Some([b'\r']) => Ok(Parsed::Partial),
        Some([b'\r', b'\n', ..]) => {
            let end = end.unwrap_or_default();
            Ok(Parsed::Complete {
                header: line(&within[SIGNATURE.len()..end])?,
                tlvs: Tlvs::NONE,
                consumed: end + 2,
            })
        }
        Some(_) => Err(ProxyHeaderError::LineEnd),
    }
}

/// What stands between `PROXY ` and the CRLF.
fn line(line: &[u8]) -> Result<ProxyHeader, ProxyHeaderError> {
    let mut words = line.split(|&byte| byte == b' ');
    let protocol = words.next().unwrap_or_default();
    let mut word = || -> Result<&str, ProxyHeaderError> {
        let word = words.next().and_then(|word| std::str::from_utf8(word).ok());
        word.ok_or(ProxyHeaderError::Addresses)
    };
    let (source, destination): (IpAddr, IpAddr) = match protocol {
        // "the receiver must ignore anything presented before the CRLF"
        b"UNKNOWN" => return Ok(ProxyHeader::Unknown),
        b"TCP4" => (address::<Ipv4Addr>(word()?)?, address::<Ipv4Addr>(word()?)?),
        b"TCP6" => (address::<Ipv6Addr>(word()?)?, address::<Ipv6Addr>(word()?)?),
        _ => return Err(ProxyHeaderError::Protocol),
    };
    let (source_port, destination_port) = (port(word()?)?, port(word()?)?);
    match words.next() {
        Some(_) => Err(ProxyHeaderError::Addresses),
        None => Ok(ProxyHeader::tcp(
            SocketAddr::new(source, source_port),
            SocketAddr::new(destination, destination_port),
        )),
    }
}

/// "Heading zeroes are not permitted in front of numbers": the standard library does not take them either.
fn address<A: FromStr + Into<IpAddr>>(word: &str) -> Result<IpAddr, ProxyHeaderError> {
    let address = word.parse::<A>().map_err(|_| ProxyHeaderError::Addresses)?;
    Ok(address.into())
}

fn port(word: &str) -> Result<u16, ProxyHeaderError> {
    let canonical = word == "0" || !word.starts_with(['0', '+']);
    let port = word.parse().ok().filter(|_| canonical);
    port.ok_or(ProxyHeaderError::Addresses)
}

pub(super) fn encode(header: &ProxyHeader) -> Vec<u8> {
    match header {
        ProxyHeader::Internet {
            transport: Transport::Stream,
            source,
            destination,
        } => {
            let (source, destination) = same_family(*source, *destination);
            let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
            let (from, to) = (source.ip(), destination.ip());
            format!(
                "PROXY {family} {from} {to} {} {}\r\n",
                source.port(),
                destination.port()
            )
            .into_bytes()
        }
        _ => b"PROXY UNKNOWN\r\n".to_vec(),
    }
}

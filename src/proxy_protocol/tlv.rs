//! What may follow the addresses in version 2 (`proxy-protocol.txt`, section 2.2): types, lengths and values, each within the
//! header, and a checksum that must be right where there is one.

use super::ProxyHeaderError;
use super::checksum::crc32c;

/// What follows the addresses: types and values, in the order in which they stand.
///
/// Their bounds have been checked, and nothing else: what a value means is its reader's business. The types are those
/// of `proxy-protocol.txt`, section 2.2: 0x01 is the protocol by ALPN, 0x02 the host name that the client asked for, 0x05
/// an identifier, 0x20 TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tlvs<'a> {
    rest: &'a [u8],
}

/// `PP2_TYPE_CRC32C`.
const CHECKSUM: u8 = 0x03;

impl<'a> Tlvs<'a> {
    pub(super) const NONE: Tlvs<'static> = Tlvs { rest: &[] };

    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, ProxyHeaderError> {
        let tlvs = Tlvs { rest: bytes };
        let mut left = tlvs;
        while left.next().is_some() {}
        match left.rest {
            [] => Ok(tlvs),
            _ => Err(ProxyHeaderError::Tlv),
        }
    }

    /// The first value of a type.
    #[must_use]
    pub fn get(self, kind: u8) -> Option<&'a [u8]> {
        let mut all = self;
        all.find_map(|(other, value)| (other == kind).then_some(value))
    }

    /// Whether the checksum, if there is one, is that of the whole header with the checksum itself as zero (section
    /// 2.2.3). `offset` is where the first of these stands in it.
    pub(super) fn checksum_is_right(self, header: &[u8], offset: usize) -> bool {
        let mut left = self;
        loop {
            let at = offset + self.rest.len() - left.rest.len();
            match left.next() {
                None => return true,
                Some((CHECKSUM, value)) => {
                    // Type and length are three bytes.
                    let (before, after) = (&header[..at + 3], &header[at + 3 + value.len()..]);
                    let zero = [0; 4];
                    return *value == crc32c([before, &zero, after]).to_be_bytes();
                }
                Some(_) => {}
            }
        }
    }
}

impl<'a> Iterator for Tlvs<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let ([kind, high, low], rest) = self.rest.split_first_chunk()?;
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let (value, rest) = rest.split_at_checked(length)?;
        self.rest = rest;
        Some((*kind, value))
    }
}

//! How an address is written in a field.

use std::io::Write;
use std::net::IpAddr;
use std::ops::Deref;

/// An address as text, without an allocation.
pub(super) struct AddressText {
    /// The longest address of IPv6 has 39 characters, and 45 where its end is one of IPv4.
    text: [u8; 45],
    length: usize,
}

impl AddressText {
    pub(super) fn of(address: Option<IpAddr>) -> Self {
        let (mut text, mut length) = ([b'.'; 45], 0);
        match address {
            Some(IpAddr::V4(address)) => {
                for number in address.octets() {
                    // By hand: `Display` can pad, which costs ten times as much.
                    for unit in [100, 10, 1] {
                        if number >= unit || unit == 1 {
                            text[length] = b'0' + number / unit % 10;
                            length += 1;
                        }
                    }
                    // Over a dot.
                    length += 1;
                }
                length -= 1;
            }
            Some(IpAddr::V6(address)) => {
                let mut left = &mut text[..];
                // There is room for the longest.
                let _ = write!(left, "{address}");
                length = 45 - left.len();
            }
            // RFC 7239, section 6.2 has the word for a peer that is not known.
            None => {
                let unknown = b"unknown";
                length = unknown.len();
                text[..length].copy_from_slice(unknown);
            }
        }
        AddressText { text, length }
    }
}

impl Deref for AddressText {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.text[..self.length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_written_as_it_is_displayed() {
        for address in [
            "0.0.0.0",
            "1.20.255.9",
            "255.255.255.255",
            "100.99.10.101",
            "::",
            "::1",
            "2001:db8::8a2e:370:7334",
            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "::ffff:255.255.255.255",
        ] {
            let parsed: IpAddr = address.parse().unwrap();
            assert_eq!(&*AddressText::of(Some(parsed)), address.as_bytes());
        }
        assert_eq!(&*AddressText::of(None), b"unknown");
    }
}

//! Numbers as text, without the formatting machinery of the standard library, which costs more than the rest of a record.

use std::fmt::Write;
use std::net::SocketAddr;

/// The digits of the largest number.
const MOST: usize = 20;

/// Appends a number.
pub(crate) fn push(number: u64, into: &mut String) {
    push_padded(number, 1, into);
}

/// Appends a number with zeros in front, so that it has so many digits at least; at most 20.
pub(crate) fn push_padded(mut number: u64, digits: usize, into: &mut String) {
    let mut text = [b'0'; MOST];
    let mut at = MOST;
    while number > 0 {
        at -= 1;
        text[at] += (number % 10) as u8;
        number /= 10;
    }
    for digit in &text[at.min(MOST - digits.min(MOST))..] {
        into.push(char::from(*digit));
    }
}

/// Appends a number of thousandths with three digits behind the point.
pub(crate) fn push_thousandths(number: u64, into: &mut String) {
    push(number / 1000, into);
    into.push('.');
    push_padded(number % 1000, 3, into);
}

/// Appends an address with its port.
pub(crate) fn push_address(address: SocketAddr, into: &mut String) {
    let SocketAddr::V4(address) = address else {
        let _ = write!(into, "{address}");
        return;
    };
    for (index, octet) in address.ip().octets().into_iter().enumerate() {
        if index > 0 {
            into.push('.');
        }
        push(octet.into(), into);
    }
    into.push(':');
    push(address.port().into(), into);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_the_standard_library_has_them() {
        for number in [0, 1, 9, 10, 99, 100, 12_345, u64::MAX / 10, u64::MAX] {
            let mut text = "x".to_owned();
            push(number, &mut text);
            push_padded(number, 3, &mut text);
            push_thousandths(number, &mut text);
            let (whole, rest) = (number / 1000, number % 1000);
            assert_eq!(text, format!("x{number}{number:03}{whole}.{rest:03}"));
        }
    }

    #[test]
    fn addresses_as_the_standard_library_has_them() {
        for address in [
            "127.0.0.1:80",
            "0.0.0.0:0",
            "255.100.10.1:65535",
            "[::1]:8080",
            "[fe80::1%3]:1",
        ] {
            let address: SocketAddr = address.parse().unwrap();
            let mut text = "x".to_owned();
            push_address(address, &mut text);
            assert_eq!(text, format!("x{address}"));
        }
    }
}

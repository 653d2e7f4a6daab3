//! Exactly one valid `Host` in an HTTP/1.1 request (RFC 9112, section 3.2), the name in it, and when two are the same.

use std::borrow::Cow;
use std::net::Ipv6Addr;

use http::header::HOST;
use http::{HeaderMap, Version};

use super::any_fields::AnyFields;
use crate::token;

/// What is wrong with the `Host` of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// An HTTP/1.1 request without it.
    #[error("the Host field is missing")]
    Missing,
    /// More than one.
    #[error("the Host field is repeated")]
    Repeated,
    /// Not `uri-host [ ":" port ]`: empty, with spaces, user information, a path, an empty label, a port that is none.
    #[error("the Host field is not a host with an optional port")]
    Invalid,
    /// In HTTP/2 and HTTP/3: not the authority that the request is for (RFC 9113, section 8.3.1).
    #[error("the Host field differs from the :authority")]
    Differs,
    /// In HTTP/2 and HTTP/3: neither an `:authority` nor a `Host`. The client has sent none, or a layer in front has replaced
    /// the URI, and with it the authority, which stands nowhere else.
    #[error("the request names no authority: its URI has none, and there is no Host field")]
    NoAuthority,
}

impl HostError {
    /// In a word, for logs and metrics: `host-missing`, `host-repeated`, `host-invalid`, `host-differs`, `no-authority`. None
    /// of them changes in a minor version.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            HostError::Missing => "host-missing",
            HostError::Repeated => "host-repeated",
            HostError::Invalid => "host-invalid",
            HostError::Differs => "host-differs",
            HostError::NoAuthority => "no-authority",
        }
    }
}

/// Checks the `Host` of a request: exactly one in HTTP/1.1, at most one in HTTP/1.0, and valid.
///
/// # Errors
///
/// The rule that is broken; the answer is 400.
pub fn check_host(version: Version, headers: &HeaderMap) -> Result<(), HostError> {
    check_host_of(version, headers)
}

/// As [`check_host`], whatever holds the fields.
pub(super) fn check_host_of(version: Version, fields: &impl AnyFields) -> Result<(), HostError> {
    let mut values = fields.lines(&HOST);
    match (values.next(), values.next()) {
        (None, _) if version >= Version::HTTP_11 => Err(HostError::Missing),
        (None, _) => Ok(()),
        (Some(_), Some(_)) => Err(HostError::Repeated),
        (Some(host), None) => validate_host(host),
    }
}

/// As [`check_host`], beside a target that names the authority. It takes the place of the field (RFC 9112, section 3.2.2), which may
/// be empty therefore: it is for a target whose authority is not known (section 3.2).
pub(super) fn check_replaced_host(version: Version, fields: &impl AnyFields) -> Result<(), HostError> {
    match check_host_of(version, fields) {
        Err(HostError::Invalid) if fields.first(&HOST).is_some_and(<[u8]>::is_empty) => Ok(()),
        checked => checked,
    }
}

/// Checks that the bytes are `uri-host [ ":" port ]` (RFC 9110, section 7.2; RFC 3986, section 3.2.2).
///
/// An empty host is refused: an `http` URI must not have one (RFC 9110, section 4.2.1). So is a name with an empty label:
/// one dot may end a name, which is the root of the DNS, and no other label is empty (RFC 1035, section 2.3.1). A name such
/// as `a..` is compared by no rule and is served by origins that strip its dots.
///
/// ```
/// use switchover::http1::validate_host;
///
/// assert!(validate_host(b"example.com:8080").is_ok());
/// assert!(validate_host(b"example.com.").is_ok());
/// assert!(validate_host(b"example.com..").is_err());
/// assert!(validate_host(b"[::1]").is_ok());
/// assert!(validate_host(b"user@example.com").is_err());
/// ```
///
/// # Errors
///
/// [`HostError::Invalid`] if they are not.
pub fn validate_host(bytes: &[u8]) -> Result<(), HostError> {
    let (host, port) = split_port(bytes);
    let host_is_valid = match host {
        [b'[', address @ .., b']'] => is_ip_literal(address),
        _ => is_registered_name(host),
    };
    let port_is_valid = match port {
        None | Some([]) => true,
        Some(digits) => digits.len() <= 5 && decimal(digits).is_some_and(|port| port <= 65_535),
    };
    if host_is_valid && port_is_valid {
        Ok(())
    } else {
        Err(HostError::Invalid)
    }
}

/// The name in a valid `Host` as it was sent, and the port.
#[cfg(feature = "gateway")]
pub(crate) fn host_and_port(host: &[u8]) -> Option<(&str, Option<u16>)> {
    validate_host(host).ok()?;
    let (name, port) = split_port(host);
    let port = port.filter(|digits| !digits.is_empty()).and_then(decimal);
    Some((
        std::str::from_utf8(name).ok()?,
        port.and_then(|port| port.try_into().ok()),
    ))
}

/// The name in a `Host` in the form in which names are compared: without the port, without a dot at its end, in lower
/// case. What nginx calls `$host`.
///
/// Percent-encoded letters, digits, hyphens, dots, underscores and tildes are decoded (RFC 3986, section 6.2.2.2): a rule
/// on `admin.example` holds for `%61dmin.example` too. The brackets of an IPv6 address stay, and the address has its
/// shortest form (RFC 5952).
///
/// ```
/// use switchover::http1::host_name;
///
/// assert_eq!(host_name("Example.com.:8080"), "example.com");
/// assert_eq!(host_name("[0:0::1]:80"), "[::1]");
/// ```
#[must_use]
pub fn host_name(host: &str) -> Cow<'_, str> {
    let name = match host.rfind(':') {
        // The last colon of an address in brackets belongs to the address.
        Some(at) if !host[at..].contains(']') => &host[..at],
        _ => host,
    };
    if let Some(address) = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return match address.parse::<Ipv6Addr>() {
            Ok(address) => Cow::Owned(format!("[{address}]")),
            Err(_) => Cow::Borrowed(name),
        };
    }
    if name.contains('%') {
        let decoded = decode_unreserved(name).to_ascii_lowercase();
        return Cow::Owned(decoded.strip_suffix('.').unwrap_or(&decoded).to_owned());
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    match name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        true => Cow::Owned(name.to_ascii_lowercase()),
        false => Cow::Borrowed(name),
    }
}

/// Whether two valid hosts of a URI with this scheme have the same name and the same port. One without a port has that of the scheme
/// (RFC 3986, section 6.2.3).
pub(super) fn is_same_host(one: &[u8], other: &[u8], scheme: Option<&str>) -> bool {
    let (Ok(one), Ok(other)) = (std::str::from_utf8(one), std::str::from_utf8(other)) else {
        return false;
    };
    let usual = match scheme {
        Some(scheme) if scheme.eq_ignore_ascii_case("https") => Some(443),
        Some(scheme) if scheme.eq_ignore_ascii_case("http") => Some(80),
        _ => None,
    };
    let port = |host: &str| {
        let digits = split_port(host.as_bytes()).1.filter(|digits| !digits.is_empty());
        digits.and_then(decimal).or(usual)
    };
    port(one) == port(other) && host_name(one) == host_name(other)
}

/// Decodes what need not have been encoded (RFC 3986, section 2.3). A percent sign that encodes something else stays.
fn decode_unreserved(name: &str) -> String {
    let mut decoded = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(at) = rest.find('%') {
        decoded.push_str(&rest[..at]);
        let encoded = rest.get(at + 1..at + 3);
        let byte = encoded.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match byte {
            Some(byte @ (b'-' | b'.' | b'_' | b'~' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z')) => {
                decoded.push(char::from(byte));
                rest = &rest[at + 3..];
            }
            _ => {
                decoded.push('%');
                rest = &rest[at + 1..];
            }
        }
    }
    decoded.push_str(rest);
    decoded
}

fn split_port(bytes: &[u8]) -> (&[u8], Option<&[u8]>) {
    // The colons of an address in brackets belong to the address.
    let after_literal = match bytes.first() {
        Some(b'[') => bytes
            .iter()
            .rposition(|&byte| byte == b']')
            .map_or(0, |at| at + 1),
        _ => 0,
    };
    match token::find(&bytes[after_literal..], b':') {
        Some(at) => (
            &bytes[..after_literal + at],
            Some(&bytes[after_literal + at + 1..]),
        ),
        None => (bytes, None),
    }
}

fn is_ip_literal(address: &[u8]) -> bool {
    std::str::from_utf8(address).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok())
}

fn is_registered_name(host: &[u8]) -> bool {
    let mut bytes = host.iter();
    // What precedes a name is as a dot: no label is empty.
    let mut former = b'.';
    while let Some(&byte) = bytes.next() {
        let byte = match byte {
            // An encoded dot counts as one: a program that decodes the name sees one.
            b'%' => match (bytes.next().and_then(hex), bytes.next().and_then(hex)) {
                (Some(high), Some(low)) if high * 16 + low == b'.' => b'.',
                (Some(_), Some(_)) => b'%',
                _ => return false,
            },
            byte if IN_NAMES[usize::from(byte)] => byte,
            _ => return false,
        };
        if byte == b'.' && former == b'.' {
            return false;
        }
        former = byte;
    }
    // A name of dots alone was refused at its first; what ends with one has a label before it.
    !host.is_empty()
}

/// What may stand in a name as it is (RFC 3986, section 3.2.2), except for a comma.
const IN_NAMES: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        table[byte as usize] = matches!(byte,
            b'.' | b'-' | b'_' | b'~' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b';' | b'='
            | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z');
        byte += 1;
    }
    table
};

fn hex(digit: &u8) -> Option<u8> {
    char::from(*digit)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

fn decimal(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0u32, |number, digit| {
        digit
            .is_ascii_digit()
            .then(|| number * 10 + u32::from(digit - b'0'))
    })
}

#[cfg(all(test, feature = "gateway"))]
mod tests {
    use super::*;

    #[test]
    fn a_host_in_its_parts() {
        let cases = [
            ("a.example", Some(("a.example", None))),
            ("A.example.:8080", Some(("A.example.", Some(8080)))),
            ("a:", Some(("a", None))),
            ("[::1]:80", Some(("[::1]", Some(80)))),
            ("[::1]", Some(("[::1]", None))),
            ("user:secret@a", None),
            ("a:65536", None),
            ("", None),
        ];
        for (host, expected) in cases {
            assert_eq!(host_and_port(host.as_bytes()), expected, "{host}");
        }
    }
}

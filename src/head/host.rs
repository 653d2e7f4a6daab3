//! Law: exactly one valid `Host` in an HTTP/1.1 request (RFC 9112, section 3.2), and the name in it.

use std::borrow::Cow;

use http::header::HOST;
use http::{HeaderMap, Version};

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
    /// Not `uri-host [ ":" port ]`: empty, with spaces, user information, a path, a port that is none.
    #[error("the Host field is not a host with an optional port")]
    Invalid,
    /// In HTTP/2 and HTTP/3: not the authority that the request is for (RFC 9113, section 8.3.1).
    #[error("the Host field differs from the :authority")]
    Differs,
}

/// Checks the `Host` of a request: exactly one in HTTP/1.1, at most one in HTTP/1.0, and valid.
///
/// # Errors
///
/// The rule that is broken; the answer is 400.
pub fn check_host(version: Version, headers: &HeaderMap) -> Result<(), HostError> {
    let mut values = headers.get_all(HOST).iter();
    match (values.next(), values.next()) {
        (None, _) if version >= Version::HTTP_11 => Err(HostError::Missing),
        (None, _) => Ok(()),
        (Some(_), Some(_)) => Err(HostError::Repeated),
        (Some(host), None) => validate_host(host.as_bytes()),
    }
}

/// Checks that the bytes are `uri-host [ ":" port ]` (RFC 9110, section 7.2; RFC 3986, section 3.2.2).
///
/// An empty host is refused: an `http` URI must not have one (RFC 9110, section 4.2.1).
///
/// ```
/// use switchover::head::validate_host;
///
/// assert!(validate_host(b"example.com:8080").is_ok());
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

/// The name in a `Host`: without the port, without a dot at its end, in lower case. What nginx calls `$host`.
///
/// The brackets of an IPv6 address stay.
///
/// ```
/// use switchover::head::host_name;
///
/// assert_eq!(host_name("Example.com.:8080"), "example.com");
/// assert_eq!(host_name("[::1]:80"), "[::1]");
/// ```
pub fn host_name(host: &str) -> Cow<'_, str> {
    let name = match host.rfind(':') {
        // The last colon of an address in brackets belongs to the address.
        Some(at) if !host[at..].contains(']') => &host[..at],
        _ => host,
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    match name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        true => Cow::Owned(name.to_ascii_lowercase()),
        false => Cow::Borrowed(name),
    }
}

fn split_port(bytes: &[u8]) -> (&[u8], Option<&[u8]>) {
    let after_literal = bytes
        .iter()
        .rposition(|&byte| byte == b']')
        .map_or(0, |at| at + 1);
    match bytes[after_literal..].iter().position(|&byte| byte == b':') {
        Some(at) => (
            &bytes[..after_literal + at],
            Some(&bytes[after_literal + at + 1..]),
        ),
        None => (bytes, None),
    }
}

fn is_ip_literal(address: &[u8]) -> bool {
    std::str::from_utf8(address).is_ok_and(|text| text.parse::<std::net::Ipv6Addr>().is_ok())
}

fn is_registered_name(host: &[u8]) -> bool {
    let mut bytes = host.iter();
    while let Some(&byte) = bytes.next() {
        let valid = match byte {
            b'%' => {
                bytes.next().is_some_and(u8::is_ascii_hexdigit)
                    && bytes.next().is_some_and(u8::is_ascii_hexdigit)
            }
            b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b';'
            | b'=' => true,
            _ => byte.is_ascii_alphanumeric(),
        };
        if !valid {
            return false;
        }
    }
    !host.is_empty()
}

fn decimal(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0u32, |number, digit| {
        digit
            .is_ascii_digit()
            .then(|| number * 10 + u32::from(digit - b'0'))
    })
}

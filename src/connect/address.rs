//! What is a host and port, and what is not: looked at once, when a connector is made.
//!
//! It must not know how to resolve a host, nor who connects to it.

use std::net::{Ipv6Addr, SocketAddr};

/// Why a text is no host and port.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// It is a URL.
    #[error("{text:?} is a URL; an address is a host and port, as in `chat.internal:9000`")]
    Url {
        /// As given.
        text: String,
    },
    /// It has no port, or one that is no number below 65,536.
    #[error("{text:?} has no port; an address is a host and port, as in `chat.internal:9000`")]
    Port {
        /// As given.
        text: String,
    },
    /// Its host is empty, or has a character that no host has.
    #[error(
        "{text:?} has no valid host; an address is a host and port, as in `chat.internal:9000` or `[::1]:9000`"
    )]
    Host {
        /// As given.
        text: String,
    },
}

/// Looks at a host and port. A literal address is returned.
pub(super) fn check(text: &str) -> Result<Option<SocketAddr>, AddressError> {
    if let Ok(address) = text.parse() {
        return Ok(Some(address));
    }
    let text = || text.to_owned();
    let refused = text();
    if refused.contains("://") {
        return Err(AddressError::Url { text: text() });
    }
    let Some((host, port)) = refused.rsplit_once(':') else {
        return Err(AddressError::Port { text: text() });
    };
    let is_port = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    // An IPv6 address without brackets ends with what looks like a port.
    if !is_port || port.parse::<u16>().is_err() || refused.parse::<Ipv6Addr>().is_ok() {
        return Err(AddressError::Port { text: text() });
    }
    // RFC 3986, section 3.2: what ends a host, or stands before it, is no part of it. A zone stands in brackets.
    let is_bracketed = host.starts_with('[') && host.ends_with(']');
    let is_of_host = |character: char| match character {
        '/' | '?' | '#' | '@' | '\\' => false,
        '[' | ']' | ':' | '%' => is_bracketed,
        _ => !character.is_whitespace() && !character.is_control(),
    };
    match !host.is_empty() && host.chars().all(is_of_host) {
        true => Ok(None),
        false => Err(AddressError::Host { text: text() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports() {
        for literal in ["127.0.0.1:9000", "[::1]:9000", "[fe80::1%2]:80"] {
            assert!(check(literal).unwrap().is_some(), "{literal}");
        }
        for name in [
            "localhost:80",
            "chat.internal:9000",
            "chat.internal.:9000",
            "my_host:1",
            "a:0",
            "[fe80::1%eth0]:80",
        ] {
            assert_eq!(check(name), Ok(None), "{name}");
        }
    }

    #[test]
    fn what_is_none_is_named() {
        let (url, port, host) = ("is a URL", "has no port", "has no valid host");
        for (text, expected) in [
            ("http://chat.internal:9000", url),
            ("https://chat.internal", url),
            ("unix:///run/chat.sock", url),
            ("chat.internal", port),
            ("chat.internal:", port),
            ("chat.internal:http", port),
            ("chat.internal:65536", port),
            ("chat.internal:+80", port),
            ("chat.internal:80/path", port),
            ("127.0.0.1", port),
            ("::1", port),
            ("", port),
            ("/run/chat.sock", port),
            (":80", host),
            ("chat internal:80", host),
            ("user@chat.internal:80", host),
            ("a/b:80", host),
            ("a:b:80", host),
        ] {
            let error = check(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}

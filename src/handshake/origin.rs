//! When two origins are the same (RFC 6454, section 5): scheme, host and port, all three.
//!
//! Must not know which of them are allowed.

use std::fmt;
use std::str::FromStr;

use crate::http1::validate_host;

/// A web origin: scheme, host and port, as browsers send it in `Origin`.
///
/// `ws` and `wss` are read as `http` and `https`, whose pages open such sockets. A default port and no port are the
/// same, and so are cases.
///
/// ```
/// use switchover::handshake::Origin;
///
/// let origin: Origin = "https://Example.com:443".parse().unwrap();
/// assert_eq!(origin, "https://example.com".parse().unwrap());
/// assert_ne!(origin, "http://example.com".parse().unwrap());
/// assert!("https://example.com/".parse::<Origin>().is_err(), "an origin has no path");
/// assert!("null".parse::<Origin>().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    scheme: String,
    host: String,
    port: u16,
}

/// A text that is not an origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an origin is scheme://host or scheme://host:port, without a path")]
#[expect(clippy::exhaustive_structs, reason = "a sentence without parts")]
pub struct OriginError;

impl FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        let (scheme, authority) = text.split_once("://").ok_or(OriginError)?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "ws" => "http".to_owned(),
            "wss" => "https".to_owned(),
            other if is_scheme(other) => other.to_owned(),
            _ => return Err(OriginError),
        };
        validate_host(authority.as_bytes()).map_err(|_| OriginError)?;
        // RFC 3986 has it in a host; no web origin does, and here it would look like a pattern.
        if authority.contains('*') {
            return Err(OriginError);
        }
        let default_port = match scheme.as_str() {
            "http" => 80,
            "https" => 443,
            _ => 0,
        };
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(|_| OriginError)?),
            _ => (authority, default_port),
        };
        Ok(Origin {
            scheme,
            host: host.to_ascii_lowercase(),
            port,
        })
    }
}

impl Origin {
    /// The same origin without the first label of its host. None where a label is all that the host has.
    pub(super) fn parent(&self) -> Option<Origin> {
        let (label, rest) = self.host.split_once('.')?;
        (!label.is_empty() && !rest.is_empty()).then(|| Origin {
            scheme: self.scheme.clone(),
            host: rest.to_owned(),
            port: self.port,
        })
    }
}

/// RFC 3986, section 3.1; lower case already.
fn is_scheme(scheme: &str) -> bool {
    scheme.starts_with(|first: char| first.is_ascii_lowercase())
        && scheme
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'+' | b'-' | b'.'))
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)?;
        match (self.scheme.as_str(), self.port) {
            ("http", 80) | ("https", 443) | (_, 0) => Ok(()),
            (_, port) => write!(f, ":{port}"),
        }
    }
}

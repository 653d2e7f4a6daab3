//! How a URL becomes a connector.

use std::fmt;
use std::sync::Arc;

#[cfg(unix)]
use crate::connect::UnixConnect;
use crate::connect::{AddressError, AnyConnect, TcpConnect};
#[cfg(feature = "rustls")]
use crate::tls::{TlsClientConfig, TlsConfigError, TlsConnect};

/// Why a URL names no upstream.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// Another scheme, or none.
    #[error("{url:?} is no URL of an upstream: it begins with http://, ws://, https://, wss:// or unix:")]
    Scheme {
        /// As given.
        url: String,
    },
    /// It has a path or a query, of which a connection knows nothing.
    #[error("{url:?} has a path; what becomes of the path of a request is said where requests are routed")]
    Path {
        /// As given.
        url: String,
    },
    /// The host or the port is not valid.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// `https` or `wss`, and nothing says how TLS is spoken.
    #[error(
        "{url:?} is over TLS: use `UrlConnector::tls`, which takes a TlsClientConfig (feature `ring` or `aws-lc-rs`)"
    )]
    Tls {
        /// As given.
        url: String,
    },
    /// The host is no name that a certificate could be for.
    #[cfg(feature = "rustls")]
    #[error(transparent)]
    Name(#[from] TlsConfigError),
}

/// Makes connectors of URLs: a text that a person has written becomes a connector, whatever its kind. TLS, and what belongs to each
/// TCP connection, are settings. Cheap to clone.
///
/// ```
/// use std::net::Ipv4Addr;
/// use switchover::tls::TlsClientConfig;
/// use switchover::upstream::UrlConnector;
///
/// # fn doc(tls: TlsClientConfig) -> Result<(), switchover::upstream::UrlError> {
/// let room = UrlConnector::new().connector("ws://chat.internal:9000")?;
/// // `https` and `wss` are never spoken to in plain text, so they need a setting.
/// let urls = UrlConnector::new().tls(tls).tcp(|connect| connect.local_address(Ipv4Addr::new(10, 0, 0, 2).into()));
/// let chat = urls.connector("wss://chat.example")?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
#[must_use]
pub struct UrlConnector {
    tcp: Option<Arc<OnTcp>>,
    #[cfg(feature = "rustls")]
    tls: Option<TlsClientConfig>,
}

type OnTcp = dyn Fn(TcpConnect) -> TcpConnect + Send + Sync;

impl UrlConnector {
    /// For `http`, `ws` and `unix` URLs, by the defaults of [`TcpConnect`].
    pub fn new() -> Self {
        UrlConnector::default()
    }

    /// How TLS is spoken to `https` and `wss` URLs. Default: those are refused.
    #[cfg(feature = "rustls")]
    pub fn tls(mut self, config: TlsClientConfig) -> Self {
        self.tls = Some(config);
        self
    }

    /// Changes each connector over TCP, below TLS as well: its source address, socket or resolver. Default: none is changed.
    pub fn tcp(mut self, change: impl Fn(TcpConnect) -> TcpConnect + Send + Sync + 'static) -> Self {
        self.tcp = Some(Arc::new(change));
        self
    }

    /// The connector for the upstream of a URL: `http://host:port`, `ws://host:port`, `https://host:port`, `wss://host:port`, or
    /// `unix:/path`. The port is 80 where none is given, and 443 over TLS. The certificate has to be for the host.
    ///
    /// # Errors
    ///
    /// [`UrlError`]; [`UrlError::Tls`] for `https` and `wss` without [`tls`](UrlConnector::tls).
    pub fn connector(&self, url: &str) -> Result<AnyConnect, UrlError> {
        match Kind::of(url)? {
            Kind::Plain(authority) => Ok(AnyConnect::new(self.over_tcp(&authority)?)),
            Kind::Encrypted(authority) => self.over_tls(url, &authority),
            #[cfg(unix)]
            Kind::Unix(path) => Ok(AnyConnect::new(UnixConnect::to(path))),
        }
    }

    fn over_tcp(&self, authority: &str) -> Result<TcpConnect, UrlError> {
        let connect = authority.parse()?;
        Ok(match &self.tcp {
            Some(change) => change(connect),
            None => connect,
        })
    }

    #[cfg(feature = "rustls")]
    fn over_tls(&self, url: &str, authority: &str) -> Result<AnyConnect, UrlError> {
        let no_tls = || UrlError::Tls { url: url.to_owned() };
        let tls = self.tls.clone().ok_or_else(no_tls)?;
        let connect = self.over_tcp(authority)?;
        let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
        Ok(AnyConnect::new(TlsConnect::new(connect, host, tls)?))
    }

    #[cfg(not(feature = "rustls"))]
    fn over_tls(&self, url: &str, _: &str) -> Result<AnyConnect, UrlError> {
        Err(UrlError::Tls { url: url.to_owned() })
    }
}

impl fmt::Debug for UrlConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UrlConnector").finish_non_exhaustive()
    }
}

enum Kind {
    /// A host and port.
    Plain(String),
    /// The same, over TLS.
    Encrypted(String),
    #[cfg(unix)]
    Unix(String),
}

impl Kind {
    fn of(url: &str) -> Result<Kind, UrlError> {
        let after = |scheme: &str| {
            let begins = url
                .get(..scheme.len())
                .is_some_and(|begin| begin.eq_ignore_ascii_case(scheme));
            begins.then(|| &url[scheme.len()..])
        };
        #[cfg(unix)]
        if let Some(path) = after("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return match path.starts_with('/') {
                true => Ok(Kind::Unix(path.to_owned())),
                false => Err(UrlError::Scheme { url: url.to_owned() }),
            };
        }
        for scheme in ["http://", "ws://"] {
            if let Some(rest) = after(scheme) {
                return Ok(Kind::Plain(authority(url, rest, 80)?));
            }
        }
        for scheme in ["https://", "wss://"] {
            if let Some(rest) = after(scheme) {
                return Ok(Kind::Encrypted(authority(url, rest, 443)?));
            }
        }
        Err(UrlError::Scheme { url: url.to_owned() })
    }
}

/// Host and port of what follows the scheme.
fn authority(url: &str, rest: &str, port: u16) -> Result<String, UrlError> {
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.contains(['/', '?', '#']) {
        return Err(UrlError::Path { url: url.to_owned() });
    }
    // The last colon of an IPv6 address stands within its brackets.
    let after_host = rest.rsplit_once(']').map_or(rest, |(_, after)| after);
    Ok(match after_host.contains(':') {
        true => rest.to_owned(),
        false => format!("{rest}:{port}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_upstreams() {
        for url in [
            "http://a:1",
            "WS://a",
            "http://[::1]",
            "http://[::1]:80/",
            "http://10.0.0.1/",
        ] {
            assert!(UrlConnector::new().connector(url).is_ok(), "{url}");
        }
        #[cfg(unix)]
        for url in ["unix:/run/a.sock", "unix:///run/a.sock"] {
            assert!(UrlConnector::new().connector(url).is_ok(), "{url}");
        }
    }

    #[test]
    fn what_is_none_is_named() {
        let (scheme, path, tls) = ("begins with http://", "has a path", "is over TLS");
        for (url, expected) in [
            ("a:1", scheme),
            ("/run/a.sock", scheme),
            ("ftp://a", scheme),
            ("unix:run/a.sock", scheme),
            ("http://a/b", path),
            ("ws://a?b", path),
            ("wss://a/b", path),
            ("https://a", tls),
            ("wss://a:1", tls),
            ("http://", "has no valid host"),
            ("http://a:b", "has no port"),
            ("http://user@a", "has no valid host"),
        ] {
            let error = UrlConnector::new()
                .connector(url)
                .map(drop)
                .unwrap_err()
                .to_string();
            assert!(error.contains(expected), "{url}: {error}");
        }
    }

    #[test]
    fn authorities() {
        for (rest, expected) in [
            ("a", "a:80"),
            ("a:9/", "a:9"),
            ("[::1]", "[::1]:80"),
            ("[::1]:9", "[::1]:9"),
        ] {
            assert_eq!(authority("", rest, 80).unwrap(), expected);
        }
    }
}

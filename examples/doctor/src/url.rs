//! Where to: a URL as a WebSocket client reads it.

use std::fmt;

use http::Uri;
use http::uri::{Authority, PathAndQuery};
use switchover::http1::validate_host;

/// A URL of ws, wss, http or https.
#[derive(Clone, Debug)]
pub(crate) struct Url {
    pub(crate) secure: bool,
    pub(crate) authority: Authority,
    pub(crate) target: PathAndQuery,
}

impl Url {
    pub(crate) fn parse(text: &str) -> Result<Url, String> {
        // A fragment is not sent, and no WebSocket URL has one (RFC 6455, section 3).
        let text = text.split('#').next().unwrap_or_default();
        let uri: Uri = text.parse().map_err(|_| "not a URL, as ws://HOST:PORT/PATH")?;
        // RFC 3986, section 3.1: schemes have no case.
        let secure = match uri.scheme_str().map(str::to_ascii_lowercase).as_deref() {
            Some("ws" | "http") => false,
            Some("wss" | "https") => true,
            _ => return Err("a URL begins with ws://, wss://, http:// or https://".to_owned()),
        };
        let authority = uri.authority().cloned().ok_or("it names no host")?;
        if authority.as_str().contains('@') {
            return Err("give credentials by --header 'Authorization: …'".to_owned());
        }
        validate_host(authority.as_str().as_bytes())
            .map_err(|_| format!("{authority} is not a host with an optional port up to 65535"))?;
        let target = uri.path_and_query().cloned();
        Ok(Url {
            secure,
            authority: as_browsers_write_it(&authority, secure)?,
            target: target.unwrap_or(PathAndQuery::from_static("/")),
        })
    }

    /// Host and port to connect to.
    pub(crate) fn address(&self) -> String {
        let port = self
            .authority
            .port_u16()
            .unwrap_or(if self.secure { 443 } else { 80 });
        format!("{}:{port}", self.authority.host())
    }

    /// As the request of HTTP has it.
    pub(crate) fn uri(&self) -> Uri {
        let scheme = if self.secure { "https" } else { "http" };
        let parts = Uri::builder().scheme(scheme).authority(self.authority.clone());
        parts
            .path_and_query(self.target.clone())
            .build()
            .expect("all parts are there")
    }

    /// The origin of the pages of this site (RFC 6454, section 6.1).
    pub(crate) fn origin(&self) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        format!("{scheme}://{}", self.authority)
    }
}

/// In lower case, and with a port only where it is not that of the scheme: what a server compares with is what browsers send.
fn as_browsers_write_it(authority: &Authority, secure: bool) -> Result<Authority, String> {
    let host = authority.host().to_ascii_lowercase();
    let usual = if secure { 443 } else { 80 };
    let written = match authority.port_u16().filter(|port| *port != usual) {
        Some(port) => format!("{host}:{port}"),
        None => host,
    };
    written.parse().map_err(|_| format!("{authority} is not a host"))
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "wss" } else { "ws" };
        write!(f, "{scheme}://{}{}", self.authority, self.target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_and_origin_are_those_of_a_browser() {
        for (url, host, origin, address) in [
            (
                "wss://Example.com:443/a",
                "example.com",
                "https://example.com",
                "example.com:443",
            ),
            (
                "ws://EXAMPLE.com:80",
                "example.com",
                "http://example.com",
                "example.com:80",
            ),
            ("wss://a:80/", "a:80", "https://a:80", "a:80"),
            ("ws://a:443/", "a:443", "http://a:443", "a:443"),
            ("https://a:/", "a", "https://a", "a:443"),
            ("ws://[::1]:80/", "[::1]", "http://[::1]", "[::1]:80"),
            (
                "ws://[::A]:9000/",
                "[::a]:9000",
                "http://[::a]:9000",
                "[::a]:9000",
            ),
        ] {
            let parsed = Url::parse(url).unwrap();
            assert_eq!(parsed.authority.as_str(), host, "{url}");
            assert_eq!(parsed.origin(), origin, "{url}");
            assert_eq!(parsed.address(), address, "{url}");
        }
    }
}

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
            authority,
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

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "wss" } else { "ws" };
        write!(f, "{scheme}://{}{}", self.authority, self.target)
    }
}

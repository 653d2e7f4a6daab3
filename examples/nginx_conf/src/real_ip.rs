//! `set_real_ip_from`, `real_ip_header`, `real_ip_recursive`: who the client is behind proxies that are trusted.

use std::net::{SocketAddr, ToSocketAddrs};

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use switchover::header::{Hop, Network, TrustedProxies};

use super::findings::Findings;
use super::scope::Scope;
use super::tree::Directive;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// One `set_real_ip_from`.
#[derive(Clone, Debug)]
pub(crate) enum Trusted {
    Networks(Vec<Network>),
    /// A client that comes over a Unix socket.
    Unix,
}

/// Where the client's address is said.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    Field(HeaderName),
    /// Before the first byte of the connection.
    ProxyProtocol,
}

/// What the header of the PROXY protocol has said of a connection.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Proxied {
    pub(crate) client: Option<SocketAddr>,
    pub(crate) server: Option<SocketAddr>,
}

/// Whom to believe, and what.
#[derive(Clone, Debug)]
pub(crate) struct RealIp {
    proxies: TrustedProxies,
    source: Source,
}

impl Trusted {
    pub(crate) fn read(line: &Directive, findings: &mut Findings) -> Result<Trusted, String> {
        let text = line.first();
        if text == "unix:" {
            return Ok(Trusted::Unix);
        }
        if text.ends_with("/0") {
            let text = "every client may say here who it is: name the proxies that there are";
            findings.hint(&line.place, format!("{}: {text}", line.shown()));
        }
        if let Ok(network) = text.parse() {
            return Ok(Trusted::Networks(vec![network]));
        }
        let addresses = (text, 0).to_socket_addrs();
        let addresses = addresses.map_err(|why| format!("{text:?} is no network: {why}"))?;
        let single = addresses.filter_map(|address| address.ip().to_string().parse().ok());
        Ok(Trusted::Networks(single.collect()))
    }
}

impl Source {
    pub(crate) fn read(text: &str) -> Result<Source, String> {
        match text {
            "proxy_protocol" => Ok(Source::ProxyProtocol),
            name => match HeaderName::from_bytes(name.as_bytes()) {
                Ok(name) => Ok(Source::Field(name)),
                Err(_) => Err(format!("{name:?} is not the name of a field")),
            },
        }
    }
}

impl RealIp {
    /// None where nobody is believed.
    pub(crate) fn new(scope: &Scope) -> Option<RealIp> {
        let (mut networks, mut unix) = (Vec::new(), false);
        for trusted in &scope.trusted {
            match trusted {
                Trusted::Networks(named) => networks.extend(named),
                Trusted::Unix => unix = true,
            }
        }
        let source = scope.real_ip_source.as_ref();
        let recursive = scope.real_ip_recursive.as_ref().is_some_and(|said| said.value);
        let proxies = TrustedProxies::new(networks)
            .trust_unknown(unix)
            .recursive(recursive);
        (!scope.trusted.is_empty()).then(|| RealIp {
            proxies,
            source: source.map_or(Source::Field(X_REAL_IP), |said| said.value.clone()),
        })
    }

    /// The hop with its client.
    pub(crate) fn locate(&self, hop: Hop, headers: &HeaderMap, proxied: Proxied) -> Hop {
        // The library reads one field, and walks over proxies in it. Of any other source there is one line.
        let line = match &self.source {
            Source::Field(name) if *name == X_FORWARDED_FOR => return self.proxies.locate(hop, headers),
            Source::Field(name) => headers.get(name).cloned(),
            Source::ProxyProtocol => {
                let client = proxied.client.map(|client| client.to_string());
                client.and_then(|client| HeaderValue::try_from(client).ok())
            }
        };
        let mut said = HeaderMap::new();
        if let Some(line) = line {
            said.insert(X_FORWARDED_FOR, line);
        }
        self.proxies.locate(hop, &said)
    }
}

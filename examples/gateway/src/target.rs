//! What a route says: a pattern, and the servers that requests which match it go to.

use std::fmt;
use std::time::Duration;

use http::uri::{Authority, PathAndQuery};
use switchover::route::RoutePattern;

use super::flags::{duration, positive};

/// Where a route leads.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Target {
    pub(crate) servers: Vec<ServerUrl>,
    /// What replaces the matched prefix.
    pub(crate) path: Option<String>,
}

impl Target {
    /// The host that requests are for, by the first URL: without a port that goes without saying. As in nginx, that of a socket is
    /// `localhost`.
    pub(crate) fn host(&self) -> String {
        let first = self.servers.first();
        match first.map(|server| (&server.address, server.tls)) {
            Some((Address::Tcp(authority), tls)) => {
                let usual = if tls { ":443" } else { ":80" };
                let authority = authority.as_str();
                authority.strip_suffix(usual).unwrap_or(authority).to_owned()
            }
            Some((Address::Unix(_), _)) | None => "localhost".to_owned(),
        }
    }
}

/// A server of a route.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ServerUrl {
    pub(crate) address: Address,
    pub(crate) tls: bool,
    pub(crate) share: Share,
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Address {
    /// Host and port.
    Tcp(Authority),
    /// The path of a Unix socket.
    Unix(String),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(authority) => authority.fmt(f),
            Address::Unix(path) => write!(f, "unix:{path}"),
        }
    }
}

/// How much of a route's requests a server gets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Share {
    pub(crate) weight: u32,
    pub(crate) max_tunnels: Option<usize>,
    pub(crate) backup: bool,
    /// Each address of the name is a server of its own, and they are asked for again this often.
    pub(crate) resolve: Option<Duration>,
}

impl Default for Share {
    fn default() -> Self {
        Share {
            weight: 1,
            max_tunnels: None,
            backup: false,
            resolve: None,
        }
    }
}

pub(super) fn route(text: &str) -> Result<(RoutePattern, Target), String> {
    // The pattern may hold equals signs too: the one meant stands before the first URL.
    let scheme = text.find("://").and_then(|scheme| text[..scheme].rfind('='));
    let socket = text.find("=unix:");
    let equals = scheme.into_iter().chain(socket).min();
    let equals = equals.ok_or(
        "a route is [HOST]/PREFIX=URL, and a URL begins with http://, https://, ws://, wss:// or unix:/",
    )?;
    let (pattern, urls) = (&text[..equals], &text[equals + 1..]);
    let pattern = pattern.parse::<RoutePattern>().map_err(|why| why.to_string())?;
    let mut target: Option<Target> = None;
    for url in urls.split(',') {
        let (server, path) = server(url)?;
        let target = target.get_or_insert_with(|| Target {
            servers: Vec::new(),
            path: path.clone(),
        });
        if target.path != path {
            return Err("all URLs of a route must have the same path".to_owned());
        }
        target.servers.push(server);
    }
    target
        .map(|target| (pattern, target))
        .ok_or_else(|| "a route needs a URL".to_owned())
}

fn server(url: &str) -> Result<(ServerUrl, Option<String>), String> {
    let (url, share) = share(url)?;
    if let Some(rest) = url.strip_prefix("unix:") {
        return on_socket(rest, share);
    }
    let (scheme, rest) = url
        .split_once("://")
        .ok_or("a URL is http://HOST:PORT or http://HOST:PORT/PATH")?;
    // RFC 3986, section 3.1: schemes have no case.
    let (tls, port) = match &*scheme.to_ascii_lowercase() {
        "http" | "ws" => (false, 80),
        "https" | "wss" => (true, 443),
        _ => {
            return Err(format!("the scheme {scheme} is none of http, https, ws and wss"));
        }
    };
    let (host, path) = match rest.find('/') {
        Some(at) => (&rest[..at], Some(rest[at..].to_owned())),
        None => (rest, None),
    };
    if switchover::http1::validate_host(host.as_bytes()).is_err() {
        return Err(format!("a URL names a host, with a port if it is not {port}"));
    }
    let path = path.map(checked_path).transpose()?;
    let authority = match host.rsplit_once(':') {
        // RFC 3986, section 3.2.3: an empty one is as none.
        Some((host, "")) => format!("{host}:{port}"),
        Some((_, port)) if !port.ends_with(']') => host.to_owned(),
        _ => format!("{host}:{port}"),
    };
    let authority = authority.parse().map_err(|_| "a URL names a host")?;
    Ok((
        ServerUrl {
            address: Address::Tcp(authority),
            tls,
            share,
        },
        path,
    ))
}

/// What stands behind `unix:`, written as nginx has it: the path of the socket, and behind another colon that of the requests.
fn on_socket(rest: &str, share: Share) -> Result<(ServerUrl, Option<String>), String> {
    let (socket, path) = match rest.split_once(':') {
        Some((socket, path)) => (socket, Some(path.to_owned())),
        None => (rest, None),
    };
    if !socket.starts_with('/') || path.as_ref().is_some_and(|path| !path.starts_with('/')) {
        return Err("a Unix socket is unix:/PATH or unix:/PATH:/REPLACEMENT".to_owned());
    }
    if share.resolve.is_some() {
        return Err("resolve is for names; a Unix socket has none".to_owned());
    }
    let server = ServerUrl {
        address: Address::Unix(socket.to_owned()),
        tls: false,
        share,
    };
    Ok((server, path.map(checked_path).transpose()?))
}

fn checked_path(path: String) -> Result<String, String> {
    match path.contains(['?', '#']) {
        true => Err("the URL of a route has a path at most, no query and no fragment".to_owned()),
        false if path.parse::<PathAndQuery>().is_err() => Err(
            "the path of a URL has no spaces and no other bytes that are to be percent-encoded".to_owned(),
        ),
        false => Ok(path),
    }
}

/// The URL, and what stands behind it.
fn share(text: &str) -> Result<(&str, Share), String> {
    let mut share = Share::default();
    let mut parts = text.split(';');
    let url = parts.next().unwrap_or_default();
    for setting in parts {
        let (name, value) = setting.split_once('=').unwrap_or((setting, ""));
        let number = || positive(value).map_err(|why| format!("{setting}: {why}"));
        match name {
            "weight" => share.weight = u32::try_from(number()?).unwrap_or(u32::MAX),
            "max-tunnels" => share.max_tunnels = Some(number()?),
            "backup" if setting == name => share.backup = true,
            "resolve" => share.resolve = Some(duration(value).map_err(|why| format!("{setting}: {why}"))?),
            _ => {
                return Err(format!(
                    "{setting} is none of weight=N, max-tunnels=N, backup and resolve=DURATION"
                ));
            }
        }
    }
    Ok((url, share))
}

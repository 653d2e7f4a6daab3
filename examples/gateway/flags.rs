//! The flags of the gateway: what each means, and a clear word about one that is wrong.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use http::uri::Authority;
use switchover::handshake::Origin;
use switchover::header::Protocol;
use switchover::header::rules::{HeaderRules, HostRule};
use switchover::route::RoutePattern;

pub(crate) const USAGE: &str = "\
An HTTP gateway that carries upgrades, WebSocket above all, and relays everything else.

  --listen ADDR              listen here; repeatable (127.0.0.1:8080)
  --route '[HOST]/PREFIX=URL[,URL...]'
                             send what matches to URL (http, https, ws or wss); repeatable. The longest prefix wins. A
                             URL with a path replaces the matched prefix, one without keeps the request target.
                             Several URLs take turns, and the next one steps in where a connection fails. HOST may be
                             a wildcard, *.example.com, .example.com or www.example.*; [HOST]=/PATH=URL is for that
                             path alone
  --tls-cert FILE            speak TLS on all listeners, with this certificate chain (PEM); needs --tls-key. Clients may
                             speak HTTP/2 there, and open WebSockets over it (RFC 8441)
  --tls-key FILE             the private key of the first certificate in the chain (PEM)
  --upstream-ca FILE         believe https and wss servers only by these roots (PEM; the system's roots). Their
                             certificates must be for the host of the URL
  --workers N                threads, each with its own runtime and its own listening sockets (1)
  --connect-timeout DURATION connecting to an upstream, TLS handshake included; then 504 (10s)
  --handshake-timeout DURATION
                             from the connection to the head of the answer; then 504 (as --read-timeout, or 60s)
  --read-timeout DURATION    a tunnel without a byte in either direction ends (5m); also the wait for an answer
  --send-timeout DURATION    a side that does not take bytes meant for it (60s)
  --header-timeout DURATION  a request head, from the first byte to the last; then 408. Before it, as long again for the
                             TLS handshake (30s)
  --linger-timeout DURATION  after one side of a tunnel has ended, silence of the other (30s)
  --drain-timeout DURATION   after SIGTERM, how long tunnels may go on (30s); a second SIGTERM ends them at once
  --max-tunnels N            upgrades beyond this many, by all workers together, get a 503 (no limit)
  --max-header-bytes N       the largest head, request or response (65536)
  --set-header 'NAME: VALUE' set a field on requests, with nginx's variables: 'X-Real-IP: $remote_addr'; repeatable.
                             An empty value removes the field. Host is set too, to '$host' as to any other value
  --allow-upgrade TOKEN      a protocol that may be switched to; repeatable (websocket)
  --incomplete-handshakes relay|refuse
                             a WebSocket handshake that has lost its upgrade on the way, to a proxy in front that does
                             not carry it: relayed as the ordinary request that is left of it, or refused with 426 and
                             what to change there (relay)
  --allow-origin ORIGIN      an Origin that may open a WebSocket; repeatable (any)

DURATION is a number with ms, s, m or h. Without --route there is a demo: open the address that it listens on.
";

#[derive(Debug)]
pub(crate) struct Flags {
    pub(crate) listen: Vec<SocketAddr>,
    pub(crate) routes: Vec<(RoutePattern, Target)>,
    pub(crate) tls_cert: Option<PathBuf>,
    pub(crate) tls_key: Option<PathBuf>,
    pub(crate) upstream_ca: Option<PathBuf>,
    pub(crate) workers: usize,
    pub(crate) connect_timeout: Duration,
    pub(crate) handshake_timeout: Option<Duration>,
    pub(crate) read_timeout: Option<Duration>,
    pub(crate) send_timeout: Duration,
    pub(crate) header_timeout: Duration,
    pub(crate) linger_timeout: Duration,
    pub(crate) drain_timeout: Duration,
    pub(crate) max_tunnels: Option<usize>,
    pub(crate) max_header_bytes: usize,
    pub(crate) upgrades: Vec<Protocol>,
    pub(crate) refuses_incomplete: bool,
    pub(crate) origins: Vec<Origin>,
    pub(crate) header_rules: HeaderRules,
}

/// Where a route leads.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Target {
    pub(crate) servers: Vec<ServerUrl>,
    /// What replaces the matched prefix.
    pub(crate) path: Option<String>,
}

/// A server of a route.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ServerUrl {
    /// Host and port.
    pub(crate) authority: Authority,
    pub(crate) tls: bool,
}

impl Default for Flags {
    fn default() -> Self {
        Flags {
            listen: Vec::new(),
            routes: Vec::new(),
            tls_cert: None,
            tls_key: None,
            upstream_ca: None,
            workers: 1,
            connect_timeout: Duration::from_secs(10),
            handshake_timeout: None,
            read_timeout: None,
            send_timeout: Duration::from_secs(60),
            header_timeout: Duration::from_secs(30),
            linger_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(30),
            max_tunnels: None,
            max_header_bytes: 64 * 1024,
            upgrades: Vec::new(),
            refuses_incomplete: false,
            origins: Vec::new(),
            header_rules: HeaderRules::default(),
        }
    }
}

impl Flags {
    pub(crate) fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Flags, String> {
        let mut flags = Flags::default();
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let (flag, attached) = match argument.split_once('=') {
                Some((flag, value)) if flag.starts_with("--") => (flag.to_owned(), Some(value.to_owned())),
                _ => (argument, None),
            };
            if flag == "--help" || flag == "-h" {
                return Err(USAGE.to_owned());
            }
            let value = attached
                .or_else(|| arguments.next())
                .ok_or(format!("{flag} needs a value; see --help"))?;
            flags
                .set(&flag, &value)
                .map_err(|why| format!("{flag} {value}: {why}"))?;
        }
        if flags.tls_cert.is_some() != flags.tls_key.is_some() {
            return Err("--tls-cert and --tls-key need each other".to_owned());
        }
        if flags.listen.is_empty() {
            flags.listen.push(SocketAddr::from(([127, 0, 0, 1], 8080)));
        }
        Ok(flags)
    }

    fn set(&mut self, flag: &str, value: &str) -> Result<(), String> {
        match flag {
            "--listen" => self.listen.push(address(value)?),
            "--route" => self.routes.push(route(value)?),
            "--tls-cert" => self.tls_cert = Some(value.into()),
            "--tls-key" => self.tls_key = Some(value.into()),
            "--upstream-ca" => self.upstream_ca = Some(value.into()),
            "--workers" => self.workers = positive(value)?,
            "--connect-timeout" => self.connect_timeout = duration(value)?,
            "--handshake-timeout" => self.handshake_timeout = Some(duration(value)?),
            "--read-timeout" => self.read_timeout = Some(duration(value)?),
            "--send-timeout" => self.send_timeout = duration(value)?,
            "--header-timeout" => self.header_timeout = duration(value)?,
            "--linger-timeout" => self.linger_timeout = duration(value)?,
            "--drain-timeout" => self.drain_timeout = duration(value)?,
            "--max-tunnels" => self.max_tunnels = Some(positive(value)?),
            "--max-header-bytes" => self.max_header_bytes = positive(value)?,
            "--allow-upgrade" => self
                .upgrades
                .push(value.parse::<Protocol>().map_err(|why| why.to_string())?),
            "--incomplete-handshakes" => {
                self.refuses_incomplete = match value {
                    "relay" => false,
                    "refuse" => true,
                    _ => return Err("expected relay or refuse".to_owned()),
                }
            }
            "--allow-origin" => self
                .origins
                .push(value.parse::<Origin>().map_err(|why| why.to_string())?),
            "--set-header" => self.header_rules = set_header(self.header_rules.clone(), value)?,
            "--tunnel-mode" if value == "stream" => {}
            "--tunnel-mode" | "--ping-interval" | "--access-log" => {
                return Err("this version cannot do that yet".to_owned());
            }
            _ => return Err("there is no such flag; see --help".to_owned()),
        }
        Ok(())
    }
}

/// The first address that a name has.
fn address(text: &str) -> Result<SocketAddr, String> {
    let mut addresses = text
        .to_socket_addrs()
        .map_err(|why| format!("an address is HOST:PORT: {why}"))?;
    addresses
        .next()
        .ok_or_else(|| "the name has no address".to_owned())
}

fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err("expected a whole number above zero".to_owned()),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let unit = text
        .find(|byte: char| !byte.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(unit);
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60 * 1000,
        "h" => 60 * 60 * 1000,
        _ => 0,
    };
    let number: u64 = number.parse().unwrap_or(0);
    match number.checked_mul(milliseconds) {
        Some(milliseconds) if milliseconds > 0 => Ok(Duration::from_millis(milliseconds)),
        _ => Err("expected a duration above zero, as in 500ms, 2s, 10m or 1h".to_owned()),
    }
}

fn route(text: &str) -> Result<(RoutePattern, Target), String> {
    // The pattern may hold equals signs too: the one meant stands before the first URL.
    let scheme = text.find("://").ok_or("a route is [HOST]/PREFIX=URL")?;
    let equals = text[..scheme].rfind('=').ok_or("a route is [HOST]/PREFIX=URL")?;
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

fn set_header(rules: HeaderRules, text: &str) -> Result<HeaderRules, String> {
    let (name, value) = text.split_once(':').ok_or("a field is NAME: VALUE")?;
    let value = value.trim();
    match name.eq_ignore_ascii_case("host") {
        true => value.parse::<HostRule>().map(|host| rules.host(host)),
        false => rules.set_on_request(name, value),
    }
    .map_err(|why| why.to_string())
}

fn server(url: &str) -> Result<(ServerUrl, Option<String>), String> {
    let (scheme, rest) = url
        .split_once("://")
        .ok_or("a URL is http://HOST:PORT or http://HOST:PORT/PATH")?;
    let (tls, port) = match scheme {
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
    if switchover::head::validate_host(host.as_bytes()).is_err() {
        return Err(format!("a URL names a host, with a port if it is not {port}"));
    }
    if path.as_ref().is_some_and(|path| path.contains(['?', '#'])) {
        return Err("the URL of a route has a path at most, no query and no fragment".to_owned());
    }
    let authority = match host.rsplit_once(':') {
        Some((_, port)) if !port.ends_with(']') => host.to_owned(),
        _ => format!("{host}:{port}"),
    };
    let authority = authority.parse().map_err(|_| "a URL names a host")?;
    Ok((ServerUrl { authority, tls }, path))
}

//! The flags of the gateway: what each means, and a clear word about one that is wrong.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use switchover::handshake::{HandshakePolicy, OriginPattern};
use switchover::header::rules::{HeaderRules, HostRule};
use switchover::header::{Network, NetworkError, Protocol};
use switchover::proxy_protocol::Version;
use switchover::route::RoutePattern;
use switchover::tunnel::WebSocketConfig;
use switchover::upstream::{Balance, BalanceError};

use super::access_log::{AccessLog, Writing};
use super::target::{self, Target};

pub(crate) const USAGE: &str = "\
An HTTP gateway that carries upgrades, WebSocket above all, and relays everything else.

  --listen ADDR              listen here; repeatable (127.0.0.1:8080)
  --route '[HOST]/PREFIX=URL[,URL...]'
                             send what matches to URL (http, https, ws or wss); repeatable. The longest prefix wins. A
                             URL with a path replaces the matched prefix, one without keeps the request target.
                             Several URLs take turns, and the next one steps in where one fails before it has
                             answered. Behind a URL: ;weight=N, ;max-tunnels=N, ;backup, and ;resolve=DURATION for a name
                             each of whose addresses is a server, asked for again as often as that. HOST may be a
                             wildcard, *.example.com, .example.com or www.example.*; [HOST]=/PATH=URL is for that path
                             alone
  --balance HOW              how the URLs of a route take turns: round-robin, least-tunnels, random, power-of-two (of two by
                             chance the one with fewer tunnels), or hash:KEY for the same one each time, where KEY is
                             client, header:NAME, cookie:NAME or query:NAME (round-robin)
  --tls-cert FILE            speak TLS on all listeners, with this certificate chain (PEM); needs --tls-key. Clients may
                             speak HTTP/2 there, and open WebSockets over it (RFC 8441)
  --tls-key FILE             the private key of the first certificate in the chain (PEM)
  --upstream-ca FILE         believe https and wss servers only by these roots (PEM; the system's roots). Their
                             certificates must be for the host of the URL
  --accept-proxy-protocol NETWORK
                             connections come from balancers in this network (10.0.0.0/8) and begin with a PROXY
                             protocol header; all others are closed. Repeatable
  --send-proxy-protocol v1|v2
                             begin connections to upstreams with such a header
  --workers N                threads, each with its own runtime and its own listening sockets (1)
  --connect-timeout DURATION connecting to an upstream, TLS handshake included; then 504 (10s)
  --handshake-timeout DURATION
                             from the connection to the head of the answer; then 504 (as --read-timeout, or 60s)
  --read-timeout DURATION    a tunnel without a byte in either direction ends (5m); also the wait for an answer
  --send-timeout DURATION    a side that does not take bytes meant for it (60s)
  --header-timeout DURATION  a request head, from the first byte to the last; then 408. Before it, as long again for the
                             TLS handshake (30s)
  --keep-alive-timeout DURATION
                             a connection on which nothing is asked for, after an answer (75s)
  --linger-timeout DURATION  after one side of a tunnel has ended, silence of the other (30s)
  --tunnel-mode stream|websocket
                             what a tunnel knows of a WebSocket: its bytes, or its frames. With frames it ends with a Close
                             1001 to both ends where it is the gateway that ends it, as after SIGTERM, and a side that
                             sends what is no frame is sent a Close 1002 (stream)
  --ping-interval DURATION   send a ping to a side of a WebSocket that has been silent for so long; needs --tunnel-mode
                             websocket (no pings)
  --pong-timeout DURATION    how long such a side may stay silent then; needs --ping-interval (10s)
  --drain-timeout DURATION   after SIGTERM, how long tunnels may go on (30s); a second SIGTERM ends them at once
  --drain-spread DURATION    the last part of that time, over which the tunnels that are left end one after the other, and
                             not all at once (0s)
  --drain-delay DURATION     after SIGTERM, how long everything goes on as before, but for /ready, so that a balancer can
                             take notice (0s)
  --health ADDR              answer probes here, also while draining: /live, /ready (503 from SIGTERM on) and /status
  --max-tunnels N            upgrades beyond this many, by all workers together, get a 503 (no limit)
  --max-tunnels-per-client N upgrades of one client, by its address or the first 64 bits of it, beyond this many get a 429
                             (no limit)
  --max-header-bytes N       the largest head, request or response (65536)
  --set-header 'NAME: VALUE' set a field on requests, with nginx's variables: 'X-Real-IP: $remote_addr'; repeatable.
                             An empty value removes the field. Host is set too, to '$host' as to any other value
  --trace refuse|relay       a TRACE is answered 405 (refuse), or goes upstream
  --allow-upgrade TOKEN      a protocol that may be switched to; repeatable (websocket). '*' is any but HTTP: h2c needs its
                             name
  --upgrade-body auto|allow|refuse
                             a body in an upgrade request, which goes up before the tunnel begins: in all but WebSocket
                             handshakes, in all, or in none (auto)
  --subprotocols any|tokens  what a WebSocket client may offer as subprotocols: any names, as kubectl does, or different
                             tokens alone; else 400 (any)
  --incomplete-handshakes relay|refuse
                             a WebSocket handshake that has lost its upgrade on the way, to a proxy in front that does
                             not carry it: relayed as the ordinary request that is left of it, or refused with 426 and
                             what to change there (relay)
  --early-half-close drop|serve
                             a client that ends its write side before its upgrade is answered has left, and its upstream is
                             freed, or still gets its answer and what follows (drop)
  --allow-origin ORIGIN      an Origin that may open a WebSocket: https://example.com, https://*.example.com for exactly one
                             label before the name, null, or file://; repeatable (any)
  --access-log -|FILE        a line of JSON for each tunnel that opens and for each that ends, for each other request, and
                             for each connection that fails before a request; to standard output, or appended to FILE,
                             which SIGUSR1 opens anew (none)
  --access-log-query keep|drop
                             what the log has of a query: all, or only that there was one. Browsers cannot set fields on
                             WebSockets, so tokens stand in queries (drop)

DURATION is a number with ms, s, m or h, above zero unless zero is its default. Without --route there is a demo: open the address that it listens on.
";

#[derive(Debug)]
pub(crate) struct Flags {
    pub(crate) listen: Vec<SocketAddr>,
    pub(crate) routes: Vec<(RoutePattern, Target)>,
    pub(crate) tls_cert: Option<PathBuf>,
    pub(crate) tls_key: Option<PathBuf>,
    pub(crate) upstream_ca: Option<PathBuf>,
    pub(crate) balance: Balance,
    pub(crate) balancers: Vec<Network>,
    pub(crate) send_proxy_protocol: Option<Version>,
    pub(crate) workers: usize,
    pub(crate) connect_timeout: Duration,
    pub(crate) handshake_timeout: Option<Duration>,
    pub(crate) read_timeout: Option<Duration>,
    pub(crate) send_timeout: Duration,
    pub(crate) header_timeout: Duration,
    pub(crate) keep_alive_timeout: Duration,
    pub(crate) linger_timeout: Duration,
    knows_frames: bool,
    ping_interval: Option<Duration>,
    pong_timeout: Option<Duration>,
    pub(crate) drain_timeout: Duration,
    pub(crate) drain_spread: Duration,
    pub(crate) drain_delay: Duration,
    pub(crate) health: Option<SocketAddr>,
    pub(crate) max_tunnels: Option<usize>,
    pub(crate) max_tunnels_per_client: Option<usize>,
    pub(crate) max_header_bytes: usize,
    upgrades: Vec<Protocol>,
    any_upgrade: bool,
    upgrade_body: Option<bool>,
    subprotocol_tokens: bool,
    pub(crate) allows_trace: bool,
    pub(crate) early_half_close: bool,
    refuses_incomplete: bool,
    origins: Vec<OriginPattern>,
    pub(crate) header_rules: HeaderRules,
    access_log: Option<String>,
    access_log_query: bool,
}

impl Default for Flags {
    fn default() -> Self {
        Flags {
            listen: Vec::new(),
            routes: Vec::new(),
            tls_cert: None,
            tls_key: None,
            upstream_ca: None,
            balance: Balance::default(),
            balancers: Vec::new(),
            send_proxy_protocol: None,
            workers: 1,
            connect_timeout: Duration::from_secs(10),
            handshake_timeout: None,
            read_timeout: None,
            send_timeout: Duration::from_secs(60),
            header_timeout: Duration::from_secs(30),
            keep_alive_timeout: Duration::from_secs(75),
            linger_timeout: Duration::from_secs(30),
            knows_frames: false,
            ping_interval: None,
            pong_timeout: None,
            drain_timeout: Duration::from_secs(30),
            drain_spread: Duration::ZERO,
            drain_delay: Duration::ZERO,
            health: None,
            max_tunnels: None,
            max_tunnels_per_client: None,
            max_header_bytes: 64 * 1024,
            upgrades: Vec::new(),
            any_upgrade: false,
            upgrade_body: None,
            subprotocol_tokens: false,
            allows_trace: false,
            early_half_close: false,
            refuses_incomplete: false,
            origins: Vec::new(),
            header_rules: HeaderRules::default(),
            access_log: None,
            access_log_query: false,
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
        if flags.drain_spread > flags.drain_timeout {
            return Err("--drain-spread is a part of --drain-timeout, and cannot be longer".to_owned());
        }
        if flags.ping_interval.is_some() && !flags.knows_frames {
            return Err("--ping-interval needs --tunnel-mode websocket".to_owned());
        }
        if flags.pong_timeout.is_some() && flags.ping_interval.is_none() {
            return Err("--pong-timeout needs --ping-interval".to_owned());
        }
        if flags.listen.is_empty() {
            flags.listen.push(SocketAddr::from(([127, 0, 0, 1], 8080)));
        }
        Ok(flags)
    }

    /// Where requests are told of, if anywhere, and what waits for that.
    pub(crate) fn access_log(&self) -> io::Result<Option<(AccessLog, Writing)>> {
        let place = self.access_log.as_deref();
        let opened = place.map(|place| AccessLog::open(place, self.access_log_query));
        opened.transpose()
    }

    /// How tunnels treat the frames of a WebSocket, if they know them.
    pub(crate) fn websocket(&self) -> Option<WebSocketConfig> {
        let default = WebSocketConfig::default();
        let config = default
            .ping_interval(self.ping_interval)
            // Less than there is for it at the end of a drain.
            .close_timeout(Duration::from_millis(1500))
            .pong_timeout(self.pong_timeout.unwrap_or(default.get_pong_timeout()));
        self.knows_frames.then_some(config)
    }

    /// Which upgrades are let through.
    pub(crate) fn policy(&self) -> HandshakePolicy {
        let named = self.upgrades.iter().cloned();
        let mut policy = match (self.any_upgrade, self.upgrades.is_empty()) {
            (true, _) => named.fold(HandshakePolicy::any_protocol(), HandshakePolicy::allow),
            (false, true) => HandshakePolicy::default(),
            (false, false) => HandshakePolicy::default().allow_only(named),
        };
        if let Some(allow) = self.upgrade_body {
            policy = policy.allow_request_body(allow);
        }
        policy = policy
            .require_subprotocol_tokens(self.subprotocol_tokens)
            .refuse_incomplete_handshakes(self.refuses_incomplete);
        self.origins
            .iter()
            .cloned()
            .fold(policy, HandshakePolicy::allow_origin)
    }

    fn set(&mut self, flag: &str, value: &str) -> Result<(), String> {
        match flag {
            "--listen" => self.listen.push(address(value)?),
            "--route" => self.routes.push(target::route(value)?),
            "--tls-cert" => self.tls_cert = Some(value.into()),
            "--tls-key" => self.tls_key = Some(value.into()),
            "--upstream-ca" => self.upstream_ca = Some(value.into()),
            "--balance" => self.balance = value.parse().map_err(|why: BalanceError| why.to_string())?,
            "--accept-proxy-protocol" => {
                let network = value.parse().map_err(|why: NetworkError| why.to_string())?;
                self.balancers.push(network);
            }
            "--send-proxy-protocol" => {
                self.send_proxy_protocol = match value {
                    "v1" => Some(Version::V1),
                    "v2" => Some(Version::V2),
                    _ => return Err("expected v1 or v2".to_owned()),
                }
            }
            "--workers" => self.workers = positive(value)?,
            "--connect-timeout" => self.connect_timeout = duration(value)?,
            "--handshake-timeout" => self.handshake_timeout = Some(duration(value)?),
            "--read-timeout" => self.read_timeout = Some(duration(value)?),
            "--send-timeout" => self.send_timeout = duration(value)?,
            "--header-timeout" => self.header_timeout = duration(value)?,
            "--keep-alive-timeout" => self.keep_alive_timeout = duration(value)?,
            "--linger-timeout" => self.linger_timeout = duration(value)?,
            "--drain-timeout" => self.drain_timeout = duration(value)?,
            "--drain-spread" => self.drain_spread = duration_or_zero(value)?,
            "--drain-delay" => self.drain_delay = duration_or_zero(value)?,
            "--health" => self.health = Some(address(value)?),
            "--max-tunnels" => self.max_tunnels = Some(positive(value)?),
            "--max-tunnels-per-client" => self.max_tunnels_per_client = Some(positive(value)?),
            "--max-header-bytes" => self.max_header_bytes = positive(value)?,
            "--trace" => {
                self.allows_trace = match value {
                    "refuse" => false,
                    "relay" => true,
                    _ => return Err("expected refuse or relay".to_owned()),
                }
            }
            "--allow-upgrade" if value == "*" => self.any_upgrade = true,
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
            "--upgrade-body" => {
                self.upgrade_body = match value {
                    "auto" => None,
                    "allow" => Some(true),
                    "refuse" => Some(false),
                    _ => return Err("expected auto, allow or refuse".to_owned()),
                }
            }
            "--early-half-close" => {
                self.early_half_close = match value {
                    "drop" => false,
                    "serve" => true,
                    _ => return Err("expected drop or serve".to_owned()),
                }
            }
            "--subprotocols" => {
                self.subprotocol_tokens = match value {
                    "any" => false,
                    "tokens" => true,
                    _ => return Err("expected any or tokens".to_owned()),
                }
            }
            "--allow-origin" => self
                .origins
                .push(value.parse::<OriginPattern>().map_err(|why| why.to_string())?),
            "--set-header" => self.header_rules = set_header(self.header_rules.clone(), value)?,
            "--access-log" => self.access_log = Some(value.to_owned()),
            "--access-log-query" => {
                self.access_log_query = match value {
                    "keep" => true,
                    "drop" => false,
                    _ => return Err("expected keep or drop".to_owned()),
                }
            }
            "--tunnel-mode" => {
                self.knows_frames = match value {
                    "stream" => false,
                    "websocket" => true,
                    _ => return Err("expected stream or websocket".to_owned()),
                }
            }
            "--ping-interval" => self.ping_interval = Some(duration(value)?),
            "--pong-timeout" => self.pong_timeout = Some(duration(value)?),
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

pub(super) fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err("expected a whole number above zero".to_owned()),
    }
}

fn duration_or_zero(text: &str) -> Result<Duration, String> {
    match text.trim_end_matches(|byte: char| byte.is_ascii_lowercase()) {
        "0" => Ok(Duration::ZERO),
        _ => duration(text),
    }
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
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

fn set_header(rules: HeaderRules, text: &str) -> Result<HeaderRules, String> {
    let (name, value) = text.split_once(':').ok_or("a field is NAME: VALUE")?;
    let value = value.trim();
    match name.eq_ignore_ascii_case("host") {
        true => value.parse::<HostRule>().map(|host| rules.host(host)),
        false => rules.set_on_request(name, value),
    }
    .map_err(|why| why.to_string())
}

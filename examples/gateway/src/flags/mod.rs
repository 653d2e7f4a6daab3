//! The flags of the gateway: what each means, and a clear word about one that is wrong.

mod frames;
mod moving;
mod usage;
mod values;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use switchover::handshake::{HandshakePolicy, OriginPattern};
use switchover::header::rules::HeaderRules;
use switchover::header::{Network, NetworkError, Protocol};
use switchover::proxy_protocol::Version;
use switchover::route::RoutePattern;
use switchover::tunnel::{Tunnels, WebSocketConfig};
use switchover::upstream::{Balance, BalanceError, Evacuation};
use tracing_core::LevelFilter;

use frames::FrameFlags;
use moving::MovingFlags;
pub(crate) use usage::{USAGE, VERSION};
use values::{address, either, host_name, set_header, upgrade};
pub(crate) use values::{duration, duration_or_zero, positive};

use super::access_log::{AccessLog, Writing};
use super::log;
use super::target::{self, Target};

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
    frames: FrameFlags,
    moving: MovingFlags,
    pub(crate) drain_timeout: Duration,
    pub(crate) drain_spread: Duration,
    pub(crate) drain_delay: Duration,
    pub(crate) health: Option<SocketAddr>,
    pub(crate) admin: Option<SocketAddr>,
    pub(crate) admin_token_file: Option<PathBuf>,
    pub(crate) admin_hosts: Vec<String>,
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
    access_log_query: Option<bool>,
    pub(crate) log: Option<LevelFilter>,
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
            frames: FrameFlags::default(),
            moving: MovingFlags::default(),
            drain_timeout: Duration::from_secs(30),
            drain_spread: Duration::ZERO,
            drain_delay: Duration::ZERO,
            health: None,
            admin: None,
            admin_token_file: None,
            admin_hosts: Vec::new(),
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
            access_log_query: None,
            log: None,
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
            match &*flag {
                "-h" | "--help" => return Err(USAGE.to_owned()),
                "-V" | "--version" => return Err(VERSION.to_owned()),
                _ if !usage::has(&flag) => return Err(format!("{flag}: there is no such flag; see --help")),
                _ => {}
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
        flags.frames.check()?;
        flags.moving.check(flags.websocket().is_some())?;
        flags.check_admin()?;
        if flags.listen.is_empty() {
            flags.listen.push(SocketAddr::from(([127, 0, 0, 1], 8080)));
        }
        Ok(flags)
    }

    /// The administration is for operators. Where other hosts can reach it, it needs a token.
    fn check_admin(&self) -> Result<(), String> {
        match self.admin {
            None if self.admin_token_file.is_some() => Err("--admin-token-file needs --admin".to_owned()),
            None if !self.admin_hosts.is_empty() => Err("--admin-host needs --admin".to_owned()),
            Some(address) if !address.ip().is_loopback() && self.admin_token_file.is_none() => Err(format!(
                "--admin {address}: other hosts can reach this address: use 127.0.0.1, or set --admin-token-file"
            )),
            _ => Ok(()),
        }
    }

    /// Flags that change nothing here, and that others may have set for all gateways alike: a word about each.
    pub(crate) fn unused(&self) -> Vec<String> {
        let mut words = Vec::new();
        if self.access_log_query.is_some() && self.access_log.is_none() {
            words.push("--access-log-query is for --access-log, and there is none".to_owned());
        }
        let mut servers = self.routes.iter().flat_map(|(_, target)| &target.servers);
        if self.upstream_ca.is_some() && !servers.any(|server| server.tls) {
            words.push("--upstream-ca is for https and wss servers, and no --route has one".to_owned());
        }
        let is_allowed =
            self.any_upgrade || self.upgrades.is_empty() || self.upgrades.iter().any(Protocol::is_websocket);
        for (flag, is_set) in [
            ("--subprotocols tokens", self.subprotocol_tokens),
            ("--incomplete-handshakes refuse", self.refuses_incomplete),
            ("--tunnel-mode websocket", self.frames.config().is_some()),
        ] {
            if is_set && !is_allowed {
                words.push(format!(
                    "{flag} is for WebSockets, and --allow-upgrade names other protocols alone"
                ));
            }
        }
        // RFC 7540, section 3.2.1: its request has a field for one hop, and RFC 9113, section 3.1 has withdrawn it.
        if self
            .upgrades
            .iter()
            .any(|protocol| protocol.name().eq_ignore_ascii_case("h2c"))
        {
            words.push(
                "an upgrade to h2c goes up without HTTP2-Settings, and servers that keep to RFC 7540 decline it; with --tls-cert \
                 clients may speak HTTP/2 here"
                    .to_owned(),
            );
        }
        words
    }

    /// Where requests are logged, if anywhere, and what waits for that.
    pub(crate) fn access_log(&self) -> io::Result<Option<(AccessLog, Writing)>> {
        let place = self.access_log.as_deref();
        let opened = place.map(|place| AccessLog::open(place, self.access_log_query.unwrap_or_default()));
        opened.transpose()
    }

    /// How tunnels treat the frames of a WebSocket, if they know them.
    pub(crate) fn websocket(&self) -> Option<WebSocketConfig> {
        self.frames.config()
    }

    /// Whether tunnels may end because of their servers.
    pub(crate) fn evacuates(&self) -> bool {
        self.moving.is_set()
    }

    /// What becomes of the tunnels in this registry whose server leaves.
    pub(crate) fn evacuation(&self, tunnels: &Tunnels) -> Option<Evacuation> {
        self.moving.evacuation(tunnels)
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
            "--route" => self.add_route(target::route(value)?)?,
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
            "--half-close-timeout" | "--linger-timeout" => self.linger_timeout = duration(value)?,
            "--drain-timeout" => self.drain_timeout = duration(value)?,
            "--drain-spread" => self.drain_spread = duration_or_zero(value)?,
            "--drain-delay" => self.drain_delay = duration_or_zero(value)?,
            "--health" => self.health = Some(address(value)?),
            "--admin" => self.admin = Some(address(value)?),
            "--admin-token-file" => self.admin_token_file = Some(value.into()),
            "--admin-host" => self.admin_hosts.push(host_name(value)?),
            "--max-tunnels" => self.max_tunnels = Some(positive(value)?),
            "--max-tunnels-per-client" => self.max_tunnels_per_client = Some(positive(value)?),
            "--max-header-bytes" => self.max_header_bytes = positive(value)?,
            "--trace" => self.allows_trace = either(value, "refuse", "relay")?,
            "--allow-upgrade" if value == "*" => self.any_upgrade = true,
            "--allow-upgrade" => self.upgrades.push(upgrade(value)?),
            "--incomplete-handshakes" => self.refuses_incomplete = either(value, "relay", "refuse")?,
            "--upgrade-body" => {
                self.upgrade_body = match value {
                    "auto" => None,
                    "allow" => Some(true),
                    "refuse" => Some(false),
                    _ => return Err("expected auto, allow or refuse".to_owned()),
                }
            }
            "--early-half-close" => self.early_half_close = either(value, "drop", "serve")?,
            "--subprotocols" => self.subprotocol_tokens = either(value, "any", "tokens")?,
            "--allow-origin" => self
                .origins
                .push(value.parse::<OriginPattern>().map_err(|why| why.to_string())?),
            "--set-header" => self.header_rules = set_header(self.header_rules.clone(), value)?,
            "--access-log" => self.access_log = Some(value.to_owned()),
            "--access-log-query" => self.access_log_query = Some(either(value, "drop", "keep")?),
            "--log" => self.log = Some(log::level(value)?),
            _ if self.frames.set(flag, value)? => {}
            _ if self.moving.set(flag, value)? => {}
            _ => return Err("there is no such flag; see --help".to_owned()),
        }
        Ok(())
    }

    fn add_route(&mut self, (pattern, target): (RoutePattern, Target)) -> Result<(), String> {
        if self.routes.iter().any(|(other, _)| *other == pattern) {
            return Err(format!("{pattern} has a route already"));
        }
        self.routes.push((pattern, target));
        Ok(())
    }
}

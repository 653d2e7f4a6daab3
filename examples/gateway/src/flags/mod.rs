//! The flags of the gateway: what each means, and a clear word about one that is wrong.

mod usage;
mod values;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use switchover::Side;
use switchover::handshake::{HandshakePolicy, OriginPattern};
use switchover::header::rules::HeaderRules;
use switchover::header::{Network, NetworkError, Protocol};
use switchover::proxy_protocol::Version;
use switchover::route::RoutePattern;
use switchover::tunnel::{EndRequest, MessageLimits, WebSocketConfig};
use switchover::upstream::{Balance, BalanceError};
use tracing_core::LevelFilter;

pub(crate) use usage::{USAGE, VERSION};
use values::{address, admin_address, close, either, host_name, rate, set_header};
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
    knows_frames: bool,
    ping_interval: Option<Duration>,
    pong_timeout: Option<Duration>,
    /// Of what clients send, and the flag that was the first to set one.
    message_limits: MessageLimits,
    message_limit_by: Option<String>,
    has_rate: bool,
    delays: Option<bool>,
    drain_close: Option<EndRequest>,
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
    access_log_query: bool,
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
            knows_frames: false,
            ping_interval: None,
            pong_timeout: None,
            message_limits: MessageLimits::default(),
            message_limit_by: None,
            has_rate: false,
            delays: None,
            drain_close: None,
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
            access_log_query: false,
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
        if flags.ping_interval.is_some() && !flags.knows_frames {
            return Err("--ping-interval needs --tunnel-mode websocket".to_owned());
        }
        if flags.pong_timeout.is_some() && flags.ping_interval.is_none() {
            return Err("--pong-timeout needs --ping-interval".to_owned());
        }
        flags.check_admin()?;
        if let (Some(flag), false) = (&flags.message_limit_by, flags.knows_frames) {
            return Err(format!("{flag} needs --tunnel-mode websocket"));
        }
        if flags.drain_close.is_some() && !flags.knows_frames {
            return Err("--drain-close needs --tunnel-mode websocket".to_owned());
        }
        if flags.delays.is_some() && !flags.has_rate {
            return Err("--over-rate needs --max-messages-per-second or --max-bytes-per-second".to_owned());
        }
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

    /// Where requests are logged, if anywhere, and what waits for that.
    pub(crate) fn access_log(&self) -> io::Result<Option<(AccessLog, Writing)>> {
        let place = self.access_log.as_deref();
        let opened = place.map(|place| AccessLog::open(place, self.access_log_query));
        opened.transpose()
    }

    /// How tunnels treat the frames of a WebSocket, if they know them.
    pub(crate) fn websocket(&self) -> Option<WebSocketConfig> {
        let default = WebSocketConfig::default();
        let pong_timeout = self.pong_timeout.unwrap_or(default.pong_limit());
        let config = default
            .ping_interval(self.ping_interval)
            // Less than there is for it at the end of a drain.
            .close_timeout(Duration::from_millis(1500))
            .pong_timeout(pong_timeout)
            .drain_close(self.drain_close.clone().unwrap_or_default())
            .limits_from(
                Side::Downstream,
                self.message_limits.throttle(self.delays.unwrap_or_default()),
            );
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
            "--admin" => self.admin = Some(admin_address(value)?),
            "--admin-token-file" => self.admin_token_file = Some(value.into()),
            "--admin-host" => self.admin_hosts.push(host_name(value)?),
            "--max-tunnels" => self.max_tunnels = Some(positive(value)?),
            "--max-tunnels-per-client" => self.max_tunnels_per_client = Some(positive(value)?),
            "--max-header-bytes" => self.max_header_bytes = positive(value)?,
            "--trace" => self.allows_trace = either(value, "refuse", "relay")?,
            "--allow-upgrade" if value == "*" => self.any_upgrade = true,
            "--allow-upgrade" => self
                .upgrades
                .push(value.parse::<Protocol>().map_err(|why| why.to_string())?),
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
            "--access-log-query" => self.access_log_query = either(value, "drop", "keep")?,
            "--log" => self.log = Some(log::level(value)?),
            "--tunnel-mode" => self.knows_frames = either(value, "stream", "websocket")?,
            "--ping-interval" => self.ping_interval = Some(duration(value)?),
            "--pong-timeout" => self.pong_timeout = Some(duration(value)?),
            "--drain-close" => self.drain_close = Some(close(value)?),
            "--over-rate" => self.delays = Some(either(value, "close", "delay")?),
            _ => return self.set_message_limit(flag, value),
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

    fn set_message_limit(&mut self, flag: &str, value: &str) -> Result<(), String> {
        let limits = self.message_limits;
        self.message_limits = match flag {
            "--max-message-bytes" => limits.max_message_bytes(positive(value)? as u64),
            "--max-frame-bytes" => limits.max_frame_bytes(positive(value)? as u64),
            "--max-messages-per-second" => limits.message_rate(rate(value)?),
            "--max-bytes-per-second" => limits.byte_rate(rate(value)?),
            _ => return Err("there is no such flag; see --help".to_owned()),
        };
        self.has_rate |= flag.ends_with("-per-second");
        self.message_limit_by.get_or_insert_with(|| flag.to_owned());
        Ok(())
    }
}

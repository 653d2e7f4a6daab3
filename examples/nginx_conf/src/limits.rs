//! Deadlines and limits of a configuration as the library's. What is not said is as in nginx, but for the sizes of heads,
//! which are the library's own unless nginx's are asked for.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use switchover::gateway::GatewayConfig;
use switchover::handshake::HandshakePolicy;
use switchover::header::{ForwardedRules, Forwarding, Inbound, Network, Protocol, TrustedProxies};
use switchover::http1::HeadLimits;
use switchover::http2::Http2ServerConfig;
use switchover::proxy_protocol::ProxyProtocolAcceptor;
use switchover::route::PathReading;
use switchover::service::RelayConfig;
use switchover::tunnel::{Cap, TunnelConfig};

use super::scope::{At, Scope};

const MINUTE: Duration = Duration::from_secs(60);

/// nginx has no limit on how many fields a head has, and the library one of 128.
const MANY_FIELDS: usize = 1024;

/// The library's limit on the bytes of a head.
const LARGE: u64 = 64 << 10;

/// What holds for all of a configuration.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// `--nginx-defaults`.
    pub(crate) nginx_heads: bool,
    /// `--nginx-tls`.
    pub(crate) nginx_tls: bool,
    /// `--nginx-paths`.
    pub(crate) reading: PathReading,
    /// By `worker_connections`.
    pub(crate) tunnels: Option<Cap>,
    /// `--allow-upgrade`.
    pub(crate) protocols: Vec<Protocol>,
}

fn or<T: Copy>(said: &Option<At<T>>, default: T) -> T {
    said.as_ref().map_or(default, |said| said.value)
}

/// The longer of the two waits for a side that takes nothing.
fn send_timeout(scope: &Scope) -> Duration {
    or(&scope.send_timeout, MINUTE).max(or(&scope.upstream_send_timeout, MINUTE))
}

/// Nothing that the configuration does not say.
pub(crate) fn silent() -> Forwarding {
    let nothing = ForwardedRules::default()
        .inbound(Inbound::Trust)
        .x_forwarded(false)
        .forwarded(false)
        .without_via();
    Forwarding::default().forwarded(nothing)
}

/// Of anyone who connects: who is to be believed is for `set_real_ip_from` to say.
pub(crate) fn proxied(scope: &Scope) -> ProxyProtocolAcceptor {
    let everyone = [IpAddr::from(Ipv4Addr::UNSPECIFIED), Ipv6Addr::UNSPECIFIED.into()];
    let everyone = everyone
        .into_iter()
        .filter_map(|address| Network::new(address, 0).ok());
    let anyone = TrustedProxies::new(everyone).trust_unknown(true);
    ProxyProtocolAcceptor::new(anyone).header_timeout(header_timeout(scope))
}

/// For each server that is asked.
pub(crate) fn connect_timeout(scope: &Scope) -> Duration {
    or(&scope.connect_timeout, MINUTE)
}

/// `client_header_timeout`.
pub(crate) fn header_timeout(scope: &Scope) -> Duration {
    or(&scope.header_timeout, MINUTE)
}

/// `keepalive_timeout`.
fn keep_alive(scope: &Scope) -> Duration {
    or(&scope.keep_alive, Duration::from_secs(75))
}

/// For all of them together, of which each has its own. It ends nothing but the wait for a name that does not resolve.
fn connecting(scope: &Scope) -> Duration {
    connect_timeout(scope).saturating_mul(64)
}

impl Limits {
    /// For the heads of requests, before it is known which location they are for. What asks for an upgrade is asked again
    /// there.
    pub(crate) fn of_listener(&self, scope: &Scope) -> GatewayConfig {
        GatewayConfig::default()
            .policy(HandshakePolicy::default().allow_only([]))
            .request_limits(self.request_heads(scope))
            .header_timeout(header_timeout(scope))
            .keep_alive_timeout(keep_alive(scope))
            .send_timeout(or(&scope.send_timeout, MINUTE))
    }

    /// For clients of HTTP/2, who are offered no upgrades: nginx has none there, and browsers then make them over HTTP/1.1.
    pub(crate) fn of_http2(&self, scope: &Scope) -> Http2ServerConfig {
        let bytes = u32::try_from(self.request_head_bytes(scope)).unwrap_or(u32::MAX);
        Http2ServerConfig::default()
            .extended_connect(false)
            // nginx asks for no sign of life: a client that reads slowly has its PING behind what it has not read.
            .ping_interval(None)
            // Uploads from far away wait for a round trip for each window.
            .window(256 * 1024)
            .header_timeout(header_timeout(scope))
            .idle_timeout(keep_alive(scope))
            .send_timeout(or(&scope.send_timeout, MINUTE))
            .max_head_bytes(bytes)
            .max_head_fields(MANY_FIELDS)
    }

    /// WebSocket, and what `--allow-upgrade` names.
    pub(crate) fn policy(&self) -> HandshakePolicy {
        let protocols = self.protocols.iter().cloned();
        protocols.fold(HandshakePolicy::default(), HandshakePolicy::allow)
    }

    /// For the upgrades of a location. Their heads have been accepted already.
    pub(crate) fn of_upgrades(&self, scope: &Scope) -> GatewayConfig {
        let read_timeout = or(&scope.upstream_read_timeout, MINUTE);
        let tunnel = TunnelConfig::default()
            .idle_timeout(read_timeout)
            .write_timeout(send_timeout(scope));
        GatewayConfig::default()
            .policy(self.policy())
            .forwarding(silent())
            .tunnel(Arc::new(tunnel))
            .request_limits(
                HeadLimits::default()
                    .max_bytes(usize::MAX)
                    .max_fields(MANY_FIELDS),
            )
            .response_limits(self.response_heads(scope))
            .connect_timeout(connecting(scope))
            .handshake_timeout(read_timeout)
            .read_timeout(read_timeout)
            .send_timeout(or(&scope.send_timeout, MINUTE))
            .allow_early_half_close(or(&scope.ignores_abort, false))
            .cap(self.tunnels.clone())
    }

    /// For the ordinary requests of a location.
    pub(crate) fn of_relay(&self, scope: &Scope) -> RelayConfig {
        // No limit is written as 0.
        let largest_body = Some(or(&scope.largest_body, 1 << 20)).filter(|limit| *limit > 0);
        RelayConfig::default()
            .response_limits(self.response_heads(scope))
            .connect_timeout(connecting(scope))
            .read_timeout(or(&scope.upstream_read_timeout, MINUTE))
            .request_body_timeout(or(&scope.body_timeout, MINUTE))
            .max_request_body(largest_body)
            .send_timeout(send_timeout(scope))
            .allow_early_half_close(or(&scope.ignores_abort, false))
    }

    pub(crate) fn request_heads(&self, scope: &Scope) -> HeadLimits {
        limits(self.request_head_bytes(scope))
    }

    fn request_head_bytes(&self, scope: &Scope) -> u64 {
        let default = self.nginx_heads.then_some((4, 8 << 10));
        let said = scope.request_heads.as_ref().map(|said| said.value);
        let Some((number, size)) = said.or(default) else {
            return LARGE;
        };
        let first = or(&scope.first_request_head, 1 << 10);
        // What does not fit the first buffer goes to the others.
        number.saturating_mul(size).saturating_add(first)
    }

    fn response_heads(&self, scope: &Scope) -> HeadLimits {
        let default = self.nginx_heads.then_some(4 << 10);
        let said = scope.response_head.as_ref().map(|said| said.value);
        limits(said.or(default).unwrap_or(LARGE))
    }
}

fn limits(bytes: u64) -> HeadLimits {
    HeadLimits::default()
        .max_bytes(usize::try_from(bytes).unwrap_or(usize::MAX))
        .max_fields(MANY_FIELDS)
}

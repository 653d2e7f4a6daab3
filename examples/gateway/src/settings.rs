//! What the flags come to: routes with their upstreams, and one configuration for all workers.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::Uri;
use http::uri::PathAndQuery;
use switchover::gateway::{Acceptor, GatewayConfig};
use switchover::handshake::Rejection;
use switchover::header::TrustedProxies;
use switchover::http1::HeadLimits;
use switchover::http2::Http2Server;
use switchover::proxy_protocol::ProxyProtocolAcceptor;
use switchover::route::Routes;
use switchover::service::{Relay, RelayConfig, ServiceConfig};
use switchover::tls::{TlsAcceptor, TlsClientConfig};
use switchover::tunnel::{Cap, Drain, PeerCap, TunnelConfig, Tunnels};
use switchover::upstream::Group;
use switchover::{Error, UpgradeConfig};

use super::access_log::AccessLog;
use super::failures::Failures;
use super::flags::Flags;
use super::upstream::{Server, Upstream};
use super::{http2, tls};

/// What all workers share.
pub(crate) struct Settings {
    pub(crate) flags: Flags,
    routes: Routes<Upstream>,
    /// What every connection begins with, if they come from balancers.
    pub(crate) proxied: Option<ProxyProtocolAcceptor>,
    /// What every connection goes through first, if TLS is spoken here.
    pub(crate) tls: Option<TlsAcceptor>,
    pub(crate) acceptor: Acceptor,
    pub(crate) http2: Http2Server,
    relay: RelayConfig,
    pub(crate) head_limits: HeadLimits,
    pub(crate) talks: bool,
    is_draining: AtomicBool,
    /// Started when the drain is to be over at once.
    pub(crate) hurry: Drain,
    pub(crate) log: Option<AccessLog>,
    /// Where tunnels are listed, if an operator can see them or they may end because of their servers.
    pub(crate) tunnels: Option<Tunnels>,
    /// Where all tunnels over HTTP/2 are listed: they may outlive their connections.
    pub(crate) http2_tunnels: Tunnels,
    pub(crate) failures: Arc<Failures>,
}

impl Settings {
    pub(crate) fn new(
        mut flags: Flags,
        talks: bool,
        log: Option<AccessLog>,
        drain: &Drain,
    ) -> io::Result<Self> {
        let (tls, client) = (tls::acceptor(&flags)?, tls::client(&flags)?);
        let head_wait = flags
            .handshake_timeout
            .or(flags.read_timeout)
            .unwrap_or(Duration::from_secs(60));
        let body_wait = flags.read_timeout.unwrap_or(Duration::from_secs(60));
        let limits = HeadLimits::default().max_bytes(flags.max_header_bytes);
        let tunnel = TunnelConfig::default()
            .idle_timeout(flags.read_timeout.unwrap_or(Duration::from_secs(5 * 60)))
            .write_timeout(flags.send_timeout)
            .half_close_timeout(flags.linger_timeout);
        let upgrade = UpgradeConfig::default()
            .policy(flags.policy())
            .tunnel(tunnel)
            .websocket(flags.websocket())
            .response_limits(limits)
            .connect_timeout(flags.connect_timeout)
            .handshake_timeout(head_wait)
            .read_timeout(body_wait)
            .cap(flags.max_tunnels.map(Cap::new))
            .peer_cap(flags.max_tunnels_per_client.map(PeerCap::new));
        let listed = Tunnels::from(drain.clone());
        let is_listed = flags.admin.is_some() || flags.evacuates();
        let tunnels = is_listed.then(|| listed.clone());
        let mut service = ServiceConfig::default()
            .upgrade(upgrade.clone())
            .request_limits(limits)
            .tunnels(listed.clone());
        let failures = Arc::new(Failures::new(flags.admin.is_some()));
        if log.is_some() || failures.is_kept() {
            service = http2::reporting(service, failures.clone());
        }
        let routes = routes(&mut flags, client.as_ref(), &service, &listed)?;
        let config = GatewayConfig::default()
            .upgrade(upgrade.tunnels(tunnels.clone()))
            .request_limits(limits)
            .header_timeout(flags.header_timeout)
            .allow_early_half_close(flags.early_half_close)
            .keep_alive_timeout(flags.keep_alive_timeout)
            .send_timeout(flags.send_timeout);
        let relay = RelayConfig::default()
            .connect_timeout(flags.connect_timeout)
            .read_timeout(body_wait)
            .head_timeout(head_wait)
            .send_timeout(flags.send_timeout)
            .response_limits(limits)
            .request_limits(limits)
            .allow_trace(flags.allows_trace)
            .drain(drain.clone());
        let proxied = match flags.balancers.is_empty() {
            true => None,
            false => {
                let balancers = TrustedProxies::new(flags.balancers.drain(..));
                Some(ProxyProtocolAcceptor::new(balancers).header_timeout(flags.header_timeout))
            }
        };
        let http2 = http2::server(&flags);
        Ok(Settings {
            flags,
            routes,
            proxied,
            tls,
            acceptor: Acceptor::new(config),
            head_limits: limits,
            http2,
            relay,
            talks,
            is_draining: AtomicBool::new(false),
            hurry: Drain::new(),
            log,
            tunnels,
            http2_tunnels: listed,
            failures,
        })
    }

    pub(crate) fn route(
        &self,
        host: Option<&[u8]>,
        uri: &Uri,
    ) -> Result<(&Upstream, Option<PathAndQuery>), Rejection> {
        let host = host.and_then(|host| std::str::from_utf8(host).ok());
        let target = match uri.path_and_query().map_or("/", PathAndQuery::as_str) {
            // OPTIONS for the server as a whole: it has no path to go by, nor one to replace.
            "*" => return Ok((self.routes.find(host, "/")?.value, None)),
            target => target,
        };
        let found = self.routes.find(host, target)?;
        let replaced = match &found.value.path {
            Some(path) => Some(
                found
                    .replace_prefix(path, target)
                    .ok_or(Rejection::AmbiguousPath)?,
            ),
            None => None,
        };
        Ok((found.value, replaced))
    }

    /// A relay to each upstream, by its number, for one runtime.
    pub(crate) fn relays(&self) -> Vec<Relay<Group<Server>>> {
        let relay = |upstream: &Upstream| {
            Relay::through(upstream.group.clone(), self.relay.clone()).forwarding(upstream.forwarding.clone())
        };
        self.upstreams().into_iter().map(relay).collect()
    }

    /// In the order of the flags.
    pub(crate) fn upstreams(&self) -> Vec<&Upstream> {
        let mut upstreams: Vec<&Upstream> = self.routes.values().collect();
        upstreams.sort_by_key(|upstream| upstream.index);
        upstreams
    }

    /// From now on nobody is to be sent here any more.
    pub(crate) fn leave(&self) {
        self.is_draining.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_leaving(&self) -> bool {
        self.is_draining.load(Ordering::Relaxed)
    }

    /// A request was refused here.
    pub(crate) fn refused(&self, peer: SocketAddr, why: &Rejection) {
        self.failures.refused(peer, why);
        self.report(peer, || format!("{} {why}. {}", why.status(), why.hint()));
    }

    /// A side has failed.
    pub(crate) fn failed(&self, peer: SocketAddr, error: &Error) {
        self.failures.failed(peer, error);
        self.report(peer, || format!("{} {}: {error}", error.side(), error.phase()));
    }

    /// In the demo a person is watching; elsewhere nobody has asked for a line on each connection.
    pub(crate) fn report(&self, peer: SocketAddr, what: impl FnOnce() -> String) {
        if self.talks {
            // `eprintln!` would panic where nobody reads that any more.
            let _ = writeln!(io::stderr(), "{peer} {}", what());
        }
    }
}

fn routes(
    flags: &mut Flags,
    client: Option<&TlsClientConfig>,
    service: &ServiceConfig,
    tunnels: &Tunnels,
) -> io::Result<Routes<Upstream>> {
    let mut routes = Routes::default();
    for (index, (pattern, target)) in std::mem::take(&mut flags.routes).into_iter().enumerate() {
        let evacuation = flags.evacuation(tunnels);
        let upstream = Upstream::new(index, &pattern, target, flags, client, service, evacuation)?;
        routes
            .add(pattern, upstream)
            .map_err(|error| io::Error::other(format!("--route: {error}")))?;
    }
    Ok(routes)
}

//! What the flags come to: routes with their upstreams, and one configuration for all workers.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::header::HOST;
use http::request;
use http::uri::PathAndQuery;
use switchover::UpgradeConfig;
use switchover::connect::{Connect, ConnectError, ConnectRequest};
use switchover::gateway::{Acceptor, GatewayConfig};
use switchover::handshake::{HandshakePolicy, Rejection};
use switchover::head::HeadLimits;
use switchover::route::{RoutePattern, Routes};
use switchover::service::{Destination, RelayConfig, ServiceConfig, UpgradeService};
use switchover::tls::{TlsAcceptor, TlsClientConfig};
use switchover::tunnel::{AnyStream, Cap, Drain, TunnelConfig};

use super::flags::{Flags, Target};
use super::tls::{self, Server};

/// What all workers share.
pub(crate) struct Settings {
    pub(crate) flags: Flags,
    routes: Routes<Upstream>,
    /// What every connection goes through first, if TLS is spoken here.
    pub(crate) tls: Option<TlsAcceptor>,
    pub(crate) acceptor: Acceptor,
    pub(crate) relay: RelayConfig,
    pub(crate) talks: bool,
}

/// Where a route leads.
pub(crate) struct Upstream {
    servers: Arc<Servers>,
    /// For clients that speak HTTP/2.
    pub(crate) upgrades: UpgradeService<Arc<Servers>>,
}

/// The servers of a route, which take turns.
pub(crate) struct Servers {
    connects: Vec<Server>,
    target: Target,
    turn: AtomicUsize,
}

impl Settings {
    pub(crate) fn new(mut flags: Flags, talks: bool, drain: &Drain) -> io::Result<Self> {
        let (tls, client) = (tls::acceptor(&flags)?, tls::client(&flags)?);
        let mut policy = HandshakePolicy::default()
            .header_rules(flags.header_rules.clone())
            .refuse_incomplete_handshakes(flags.refuses_incomplete);
        if !flags.upgrades.is_empty() {
            policy = policy.allow_only(flags.upgrades.drain(..));
        }
        for origin in flags.origins.drain(..) {
            policy = policy.allow_origin(origin);
        }
        let head_wait = flags
            .handshake_timeout
            .or(flags.read_timeout)
            .unwrap_or(Duration::from_secs(60));
        let body_wait = flags.read_timeout.unwrap_or(Duration::from_secs(60));
        let limits = HeadLimits::default().max_bytes(flags.max_header_bytes);
        let tunnel = TunnelConfig::default()
            .idle_timeout(flags.read_timeout.unwrap_or(Duration::from_secs(5 * 60)))
            .stalled_write_timeout(flags.send_timeout)
            .linger_timeout(flags.linger_timeout);
        let upgrade = UpgradeConfig::default()
            .policy(policy)
            .tunnel(tunnel)
            .response_limits(limits)
            .connect_timeout(flags.connect_timeout)
            .handshake_timeout(head_wait)
            .read_timeout(body_wait)
            .cap(flags.max_tunnels.map(Cap::new));
        let service = ServiceConfig::default()
            .upgrade(upgrade.clone())
            .tunnels(drain.clone().into());
        let routes = routes(flags.routes.drain(..), client.as_ref(), &service)?;
        let config = GatewayConfig::default()
            .upgrade(upgrade)
            .request_limits(limits)
            .header_timeout(flags.header_timeout)
            .send_timeout(flags.send_timeout);
        let mut relay = RelayConfig::default()
            .connect_timeout(flags.connect_timeout)
            .read_timeout(head_wait.max(body_wait))
            .send_timeout(flags.send_timeout)
            .response_limits(limits)
            .header_rules(flags.header_rules.clone());
        if let Some(client) = client {
            relay = relay.tls(client);
        }
        Ok(Settings {
            flags,
            routes,
            tls,
            acceptor: Acceptor::new(config),
            relay,
            talks,
        })
    }

    pub(crate) fn route(
        &self,
        head: &request::Parts,
    ) -> Result<(&Upstream, Option<PathAndQuery>), Rejection> {
        let host = head.headers.get(HOST).and_then(|host| host.to_str().ok());
        let target = match head.uri.path_and_query().map_or("/", PathAndQuery::as_str) {
            // OPTIONS for the server as a whole: it has no path to go by, nor one to replace.
            "*" => return Ok((self.routes.resolve(host, "/")?.value, None)),
            target => target,
        };
        let found = self.routes.resolve(host, target)?;
        let replaced = match &found.value.servers.target.path {
            Some(path) => Some(
                found
                    .replace_prefix(path, target)
                    .ok_or(Rejection::AmbiguousPath)?,
            ),
            None => None,
        };
        Ok((found.value, replaced))
    }

    /// In the demo a person is watching; elsewhere nobody has asked for a line on each connection.
    pub(crate) fn tell(&self, peer: SocketAddr, what: impl FnOnce() -> String) {
        if self.talks {
            eprintln!("{peer} {}", what());
        }
    }
}

fn routes(
    targets: impl Iterator<Item = (RoutePattern, Target)>,
    client: Option<&TlsClientConfig>,
    service: &ServiceConfig,
) -> io::Result<Routes<Upstream>> {
    let mut routes = Routes::default();
    for (pattern, target) in targets {
        let connects = target.servers.iter().map(|url| Server::new(url, client));
        let servers = Arc::new(Servers {
            connects: connects.collect::<io::Result<_>>()?,
            target,
            turn: AtomicUsize::new(0),
        });
        let upgrades = UpgradeService::new(servers.clone()).config(service.clone());
        routes.add(pattern, Upstream { servers, upgrades });
    }
    Ok(routes)
}

impl Upstream {
    /// Where the next ordinary request goes.
    pub(crate) fn destination(&self) -> Destination {
        self.servers.destination()
    }

    /// What the next upgrade connects to.
    pub(crate) fn connect(&self) -> &Servers {
        &self.servers
    }
}

impl Servers {
    fn next(&self) -> usize {
        self.turn.fetch_add(1, Ordering::Relaxed)
    }

    fn destination(&self) -> Destination {
        let server = &self.target.servers[self.next() % self.target.servers.len()];
        let destination = Destination::new(server.authority.clone());
        match server.tls {
            true => destination.over_tls(),
            false => destination,
        }
    }
}

impl Connect for Servers {
    type Stream = AnyStream;

    async fn connect(&self, request: ConnectRequest<'_>) -> Result<AnyStream, ConnectError> {
        let first = self.next();
        let mut failed = ConnectError::NoUpstream;
        for offset in 0..self.connects.len() {
            match self.connects[(first + offset) % self.connects.len()]
                .connect(request)
                .await
            {
                Ok(stream) => return Ok(stream),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }
}

//! What the flags come to: routes with their upstreams, and one configuration for all workers.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::header::HOST;
use http::request;
use http::uri::PathAndQuery;
use switchover::connect::{Connect, ConnectError, ConnectRequest};
use switchover::gateway::{Acceptor, GatewayConfig};
use switchover::handshake::{HandshakePolicy, Rejection};
use switchover::head::HeadLimits;
use switchover::route::Routes;
use switchover::service::{Destination, RelayConfig};
use switchover::tls::TlsAcceptor;
use switchover::tunnel::{AnyStream, Cap, TunnelConfig};

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

/// The servers of a route, which take turns.
pub(crate) struct Upstream {
    connects: Vec<Server>,
    target: Target,
    turn: AtomicUsize,
}

impl Settings {
    pub(crate) fn new(mut flags: Flags, talks: bool) -> io::Result<Self> {
        let (tls, client) = (tls::acceptor(&flags)?, tls::client(&flags)?);
        let mut routes = Routes::default();
        for (pattern, target) in flags.routes.drain(..) {
            let servers = target.servers.iter();
            let upstream = Upstream {
                connects: servers
                    .map(|url| Server::new(url, client.as_ref()))
                    .collect::<io::Result<_>>()?,
                target,
                turn: AtomicUsize::new(0),
            };
            routes.add(pattern, upstream);
        }
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
        let config = GatewayConfig::default()
            .policy(policy)
            .tunnel(tunnel)
            .request_limits(limits)
            .response_limits(limits)
            .header_timeout(flags.header_timeout)
            .connect_timeout(flags.connect_timeout)
            .handshake_timeout(head_wait)
            .send_timeout(flags.send_timeout)
            .read_timeout(body_wait)
            .cap(flags.max_tunnels.map(Cap::new));
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
        let replaced = match &found.value.target.path {
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

impl Upstream {
    fn next(&self) -> usize {
        self.turn.fetch_add(1, Ordering::Relaxed)
    }

    /// Where the next ordinary request goes.
    pub(crate) fn destination(&self) -> Destination {
        let server = &self.target.servers[self.next() % self.target.servers.len()];
        let destination = Destination::new(server.authority.clone());
        match server.tls {
            true => destination.over_tls(),
            false => destination,
        }
    }
}

impl Connect for Upstream {
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

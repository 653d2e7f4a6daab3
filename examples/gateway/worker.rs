//! One worker of the gateway: a thread with its own runtime, its own listening sockets, its own pool of upstream
//! connections.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::header::HOST;
use http::request;
use http::uri::{Authority, PathAndQuery};
use switchover::connect::{Connect, ConnectError, ConnectRequest, TcpConnect};
use switchover::gateway::{Accepted, Acceptor, GatewayConfig, Outcome};
use switchover::handshake::{HandshakePolicy, Rejection};
use switchover::head::HeadLimits;
use switchover::header::Hop;
use switchover::route::Routes;
use switchover::service::{Destination, Relay, RelayConfig};
use switchover::tunnel::{Rewind, TunnelConfig};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::flags::{Flags, Target};

/// What SIGTERM sets going in a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    Running,
    /// Nothing new is accepted; what is open goes on.
    Draining,
    /// Tunnels end now.
    Stopped,
}

/// What all workers share.
pub(crate) struct Settings {
    pub(crate) flags: Flags,
    routes: Routes<Upstream>,
    acceptor: Acceptor,
    relay: RelayConfig,
    talks: bool,
}

/// The servers of a route, which take turns.
struct Upstream {
    connects: Vec<TcpConnect>,
    target: Target,
    turn: AtomicUsize,
}

impl Settings {
    pub(crate) fn new(mut flags: Flags, talks: bool) -> Self {
        let mut routes = Routes::default();
        for (pattern, target) in flags.routes.drain(..) {
            let connects = target
                .servers
                .iter()
                .map(|server| TcpConnect::to(server.as_str()))
                .collect();
            routes.add(
                pattern,
                Upstream {
                    connects,
                    target,
                    turn: AtomicUsize::new(0),
                },
            );
        }
        let mut policy = HandshakePolicy::default();
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
            .read_timeout(body_wait);
        let relay = RelayConfig::default()
            .connect_timeout(flags.connect_timeout)
            .read_timeout(head_wait.max(body_wait))
            .send_timeout(flags.send_timeout)
            .response_limits(limits);
        Settings {
            flags,
            routes,
            acceptor: Acceptor::new(config),
            relay,
            talks,
        }
    }

    fn route(&self, head: &request::Parts) -> Option<(&Upstream, Option<PathAndQuery>)> {
        let host = head.headers.get(HOST).and_then(|host| host.to_str().ok());
        let target = match head.uri.path_and_query().map_or("/", PathAndQuery::as_str) {
            // OPTIONS for the server as a whole: it has no path to go by, nor one to replace.
            "*" => return self.routes.find(host, "/").map(|found| (found.value, None)),
            target => target,
        };
        let found = self.routes.find(host, target)?;
        let replaced = match &found.value.target.path {
            Some(path) => Some(found.replace_prefix(path, target)?),
            None => None,
        };
        Some((found.value, replaced))
    }

    /// In the demo a person is watching; elsewhere nobody has asked for a line on each connection.
    fn tell(&self, peer: SocketAddr, what: impl FnOnce() -> String) {
        if self.talks {
            eprintln!("{peer} {}", what());
        }
    }
}

impl Upstream {
    fn next(&self) -> usize {
        self.turn.fetch_add(1, Ordering::Relaxed)
    }

    fn next_server(&self) -> Authority {
        self.target.servers[self.next() % self.target.servers.len()].clone()
    }
}

impl Connect for Upstream {
    type Stream = TcpStream;

    async fn connect(&self, request: ConnectRequest<'_>) -> Result<TcpStream, ConnectError> {
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

/// Runs a worker until `drains` says true or its sender is gone, and then until its last connection has ended or the
/// time for that has.
pub(crate) fn run(
    listeners: Vec<TcpListener>,
    settings: Arc<Settings>,
    mut drains: watch::Receiver<bool>,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let relay = Relay::new(settings.relay.clone());
        // Whatever is open holds a receiver: the channel is closed when the last of them has ended.
        let (stage, watched) = watch::channel(Stage::Running);
        for listener in listeners {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            tokio::spawn(accept(listener, relay.clone(), settings.clone(), watched.clone()));
        }
        drop(watched);
        let _ = drains.wait_for(|drains| *drains).await;
        stage.send_replace(Stage::Draining);
        if timeout(settings.flags.drain_timeout, stage.closed())
            .await
            .is_err()
        {
            stage.send_replace(Stage::Stopped);
            let _ = timeout(Duration::from_secs(2), stage.closed()).await;
        }
        Ok(())
    })
}

async fn until(stage: &mut watch::Receiver<Stage>, wanted: Stage) {
    // An error means that the sender is gone, and with it the process.
    let _ = stage.wait_for(|stage| *stage >= wanted).await;
}

async fn accept(
    listener: tokio::net::TcpListener,
    relay: Relay,
    settings: Arc<Settings>,
    mut stage: watch::Receiver<Stage>,
) {
    let watched = stage.clone();
    let mut draining = std::pin::pin!(until(&mut stage, Stage::Draining));
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut draining => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                // A message must not wait for the next one to fill a segment.
                let _ = stream.set_nodelay(true);
                tokio::spawn(connection(
                    stream,
                    peer,
                    relay.clone(),
                    settings.clone(),
                    watched.clone(),
                ));
            }
            // The peer was gone before it was accepted.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            // Out of descriptors or memory: the tunnels that are open go on, and some of them will end.
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    }
}

/// Serves a connection to its end: ordinary requests as long as they come, and at most one upgrade.
async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    relay: Relay,
    settings: Arc<Settings>,
    mut stage: watch::Receiver<Stage>,
) {
    let hop = Hop::from(peer);
    let Some(stream) = speaks(
        Rewind::new(stream, Default::default()),
        &mut stage,
        settings.flags.header_timeout,
    )
    .await
    else {
        return;
    };
    let (stream, _) = stream.into_parts();
    let mut accepted = Box::pin(settings.acceptor.accept(stream, hop)).await;
    loop {
        match accepted {
            Ok(Accepted::Upgrade(mut incoming)) => {
                let Some((upstream, target)) = settings.route(incoming.head()) else {
                    let _ = incoming.reject(Rejection::NoRoute).await;
                    return;
                };
                if let Some(target) = target {
                    incoming.set_target(target);
                }
                let outcome = incoming.proxy_until(upstream, stopped(stage)).await;
                settings.tell(peer, || describe(&outcome));
                return;
            }
            Ok(Accepted::Ordinary(head, stream)) => {
                let Some(next) = Box::pin(ordinary(*head, stream, hop, peer, &relay, &settings)).await else {
                    return;
                };
                let Some(next) = speaks(next, &mut stage, Duration::from_secs(75)).await else {
                    return;
                };
                accepted = Box::pin(settings.acceptor.resume(next, hop)).await;
            }
            Ok(Accepted::Rejected(why)) => {
                return settings.tell(peer, || format!("{} {why}. {}", why.status(), why.hint()));
            }
            Ok(Accepted::Closed) => return,
            Err(error) => {
                return settings.tell(peer, || format!("{} {}: {error}", error.side(), error.phase()));
            }
        }
    }
}

/// Waits for the first byte of a request. A connection that has nothing to say is not kept when the gateway drains.
async fn speaks(
    stream: Rewind<TcpStream>,
    stage: &mut watch::Receiver<Stage>,
    limit: Duration,
) -> Option<Rewind<TcpStream>> {
    if !stream.front().is_empty() {
        return Some(stream);
    }
    let readable = timeout(limit, stream.get_ref().readable());
    tokio::select! {
        biased;
        readable = readable => readable.is_ok().then_some(stream),
        () = until(stage, Stage::Draining) => None,
    }
}

/// Relays one ordinary request. Returns the connection if it can carry another.
async fn ordinary(
    head: request::Parts,
    stream: Rewind<TcpStream>,
    hop: Hop,
    peer: SocketAddr,
    relay: &Relay,
    settings: &Settings,
) -> Option<Rewind<TcpStream>> {
    let Some((upstream, target)) = settings.route(&head) else {
        let _ = settings.acceptor.reject(stream, &head, Rejection::NoRoute).await;
        return None;
    };
    let mut destination = Destination::new(upstream.next_server());
    if let Some(target) = target {
        destination = destination.target(target);
    }
    match relay.serve(stream, &head, destination, hop).await {
        Ok(relayed) => {
            if let Some(failure) = &relayed.failure {
                settings.tell(peer, || {
                    format!("{} {}: {failure}", failure.side(), failure.phase())
                });
            }
            relayed.stream
        }
        Err(error) => {
            settings.tell(peer, || format!("{} {}: {error}", error.side(), error.phase()));
            None
        }
    }
}

async fn stopped(mut stage: watch::Receiver<Stage>) {
    until(&mut stage, Stage::Stopped).await;
}

fn describe(outcome: &Result<Outcome<TcpStream>, switchover::Error>) -> String {
    match outcome {
        Ok(Outcome::Tunnelled { protocol, traffic }) => format!("{protocol}: {traffic}"),
        Ok(Outcome::Declined(status)) => format!("the upstream said {status}"),
        Ok(_) => "closed".to_owned(),
        Err(error) => format!("{} {}: {error}", error.side(), error.phase()),
    }
}

//! One worker of the gateway: a thread with its own runtime, its own listening sockets, its own pool of upstream
//! connections.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::header::HOST;
use http::request;
use http::uri::{Authority, PathAndQuery};
use switchover::Error;
use switchover::connect::{Connect, ConnectError, ConnectRequest, TcpConnect};
use switchover::gateway::{Accepted, Acceptor, Established, GatewayConfig, Negotiated};
use switchover::handshake::{HandshakePolicy, Rejection};
use switchover::head::HeadLimits;
use switchover::header::Hop;
use switchover::route::Routes;
use switchover::service::{Destination, Relay, RelayConfig};
use switchover::tunnel::{Cap, Drain, Permit, Rewind, TunnelConfig};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::flags::{Flags, Target};

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
            .read_timeout(body_wait)
            .cap(flags.max_tunnels.map(Cap::new));
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

/// What the connections of one worker share.
struct Worker {
    settings: Arc<Settings>,
    relay: Relay,
    drain: Drain,
    /// Its listeners and connections.
    open: Cap,
    /// Told of every connection.
    accepts: Notify,
}

/// The runtime of one worker.
pub(crate) fn runtime() -> io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// Runs a worker until the drain starts, and then until its last connection has ended or the time for that has.
pub(crate) async fn run(
    listeners: Vec<TcpListener>,
    settings: Arc<Settings>,
    drain: Drain,
) -> io::Result<()> {
    let relay = Relay::new(settings.relay.clone());
    let worker = Arc::new(Worker {
        settings,
        relay,
        drain,
        open: Cap::unlimited(),
        accepts: Notify::new(),
    });
    for listener in listeners {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        tokio::spawn(accept(listener, worker.clone(), worker.open.try_acquire()));
    }
    tokio::spawn(beat(worker.clone()));
    worker.drain.started().await;
    // The drain ends the tunnels when its grace is over; the rest is for what they still have to deliver.
    let limit = worker.settings.flags.drain_timeout + Duration::from_secs(2);
    let _ = timeout(limit, worker.open.emptied()).await;
    Ok(())
}

/// Keeps a timer due before any other while connections come in.
///
/// The runtime wakes itself, with two system calls, whenever a timer is set that is due before all others; the first
/// deadline of a connection mostly would be. With this one in front, none is. A worker that accepts nothing is left in
/// peace.
async fn beat(worker: Arc<Worker>) {
    loop {
        worker.accepts.notified().await;
        sleep(Duration::from_millis(500)).await;
    }
}

async fn accept(listener: tokio::net::TcpListener, worker: Arc<Worker>, _open: Option<Permit>) {
    let mut end = worker.drain.started();
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut end => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                // A message must not wait for the next one to fill a segment. On Linux the listener has passed that on.
                if cfg!(not(target_os = "linux")) {
                    let _ = stream.set_nodelay(true);
                }
                worker.accepts.notify_one();
                tokio::spawn(connection(stream, peer, worker.clone()));
            }
            // The peer was gone before it was accepted.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            // Out of descriptors or memory: the tunnels that are open go on, and some of them will end.
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    }
}

/// Serves a connection to its end: ordinary requests as long as they come, and at most one upgrade.
///
/// A future is as large as its largest state, so everything up to the tunnel is boxed, and gone before the tunnel runs.
fn connection(stream: TcpStream, peer: SocketAddr, worker: Arc<Worker>) -> impl Future<Output = ()> {
    let open = worker.open.try_acquire();
    let drain = worker.drain.clone();
    let settings = worker
        .settings
        .talks
        .then(|| Box::new((worker.settings.clone(), peer)));
    let requests = Box::pin(requests(stream, peer, worker));
    async move {
        let (protocol, carrying) = {
            let Some(established) = requests.await else { return };
            let protocol = settings
                .is_some()
                .then(|| Box::new(established.protocol().clone()));
            (protocol, established.run_until(drain.signal()))
        };
        // Pinned where it is: awaited by value it would stand in this future twice.
        let traffic = pin!(carrying).await;
        if let (Some(settings), Some(protocol)) = (settings, protocol) {
            settings.0.tell(settings.1, || match traffic {
                Ok(traffic) => format!("{protocol}: {traffic}"),
                Err(error) => format!("{protocol}: {} {}: {error}", error.side(), error.phase()),
            });
        }
        drop(open);
    }
}

/// Everything that comes before a tunnel. None if the connection has ended without one.
async fn requests(
    stream: TcpStream,
    peer: SocketAddr,
    worker: Arc<Worker>,
) -> Option<Box<Established<TcpStream, TcpStream>>> {
    let (settings, drain, hop) = (&worker.settings, &worker.drain, Hop::from(peer));
    let failed =
        |error: Error| settings.tell(peer, || format!("{} {}: {error}", error.side(), error.phase()));
    let mut accepted = settings.acceptor.accept_until(stream, hop, drain.started()).await;
    loop {
        match accepted.map_err(failed).ok()? {
            Accepted::Upgrade(mut incoming) => {
                let Some((upstream, target)) = settings.route(incoming.head()) else {
                    incoming.reject(Rejection::NoRoute).await.ok()?;
                    return None;
                };
                if let Some(target) = target {
                    incoming.set_target(target);
                }
                return match incoming.negotiate(upstream).await.map_err(failed).ok()? {
                    Negotiated::Switched(established) => Some(established),
                    Negotiated::Declined(status) => {
                        settings.tell(peer, || format!("the upstream said {status}"));
                        None
                    }
                };
            }
            Accepted::Ordinary(head, stream) => {
                let next = Box::pin(ordinary(*head, stream, hop, peer, &worker)).await?;
                accepted = settings.acceptor.resume_until(next, hop, drain.started()).await;
            }
            Accepted::Rejected(why) => {
                settings.tell(peer, || format!("{} {why}. {}", why.status(), why.hint()));
                return None;
            }
            Accepted::Closed => return None,
        }
    }
}

/// Relays one ordinary request. Returns the connection if it can carry another.
async fn ordinary(
    head: request::Parts,
    stream: Rewind<TcpStream>,
    hop: Hop,
    peer: SocketAddr,
    worker: &Worker,
) -> Option<Rewind<TcpStream>> {
    let settings = &worker.settings;
    let failed =
        |error: &Error| settings.tell(peer, || format!("{} {}: {error}", error.side(), error.phase()));
    let Some((upstream, target)) = settings.route(&head) else {
        settings
            .acceptor
            .reject(stream, &head, Rejection::NoRoute)
            .await
            .ok()?;
        return None;
    };
    let mut destination = Destination::new(upstream.next_server());
    if let Some(target) = target {
        destination = destination.target(target);
    }
    let relayed = worker.relay.serve(stream, &head, destination, hop).await;
    let relayed = relayed.inspect_err(|error| failed(error)).ok()?;
    if let Some(failure) = &relayed.failure {
        failed(failure);
    }
    relayed.stream
}

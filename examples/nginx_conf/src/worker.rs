//! One worker: a thread with its own runtime, its own listening sockets, and its own idle connections to upstreams.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use switchover::header::Hop;
use switchover::service::{Relay, RelayConfig};
use switchover::tunnel::{AnyStream, Cap, Drain, Permit};
use switchover::upstream::Group;
use tokio::runtime::Runtime;
use tokio::time::sleep;

use super::configuration::Configuration;
use super::connection;
use super::limits;
use super::proxy::{Pass, Proxy};
use super::proxy_pass::known_as;
use super::route::{Leading, Route};
use super::server::Listener;
use super::sockets::Listening;
use super::upstreams::Upstream;

/// What the connections of one worker share.
pub(crate) struct Worker {
    pub(crate) configuration: Arc<Configuration>,
    /// One for each location with `proxy_pass`, by its number.
    pub(crate) relays: Vec<Relay<Leading>>,
    /// For answers that no upstream has given.
    pub(crate) own_answers: RelayConfig,
    /// Those that URLs with variables have led to.
    dynamic: Mutex<Dynamic>,
    pub(crate) drain: Drain,
    /// Its listeners and connections.
    open: Cap,
}

/// Beyond as many, those that URLs with variables have led to are forgotten.
const MOST_DYNAMIC: usize = 1024;

#[derive(Default)]
struct Dynamic {
    relays: HashMap<(usize, String), (Leading, Relay<Leading>)>,
    upstreams: HashMap<String, Arc<Upstream>>,
}

impl Worker {
    pub(crate) fn new(configuration: Arc<Configuration>, drain: Drain) -> Worker {
        Worker {
            relays: configuration.proxies.iter().map(|proxy| fixed(proxy)).collect(),
            own_answers: RelayConfig::default(),
            dynamic: Mutex::default(),
            configuration,
            drain,
            open: Cap::unlimited(),
        }
    }

    pub(crate) fn listener(&self, index: usize) -> &Listener {
        &self.configuration.listeners[index]
    }

    /// `$connection`.
    pub(crate) fn next_connection(&self) -> u64 {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        NEXT.fetch_add(1, Ordering::Relaxed)
    }

    /// What a URL with variables has led to.
    pub(crate) fn upstream_for(&self, key: &str, make: impl FnOnce() -> Upstream) -> Arc<Upstream> {
        let mut dynamic = self.dynamic.lock().unwrap_or_else(PoisonError::into_inner);
        if dynamic.upstreams.len() >= MOST_DYNAMIC {
            dynamic.upstreams.clear();
        }
        let known = dynamic.upstreams.entry(known_as(key));
        known.or_insert_with(|| Arc::new(make())).clone()
    }

    /// The relay of a location to one of the places that it leads to.
    pub(crate) fn relay_for(
        &self,
        proxy: &Proxy,
        key: &str,
        upstream: &Upstream,
        lead: impl FnOnce() -> Result<Leading, String>,
    ) -> Result<(Leading, Relay<Leading>), String> {
        let mut dynamic = self.dynamic.lock().unwrap_or_else(PoisonError::into_inner);
        if dynamic.relays.len() >= MOST_DYNAMIC {
            dynamic.relays.clear();
        }
        let key = (proxy.index, key.to_owned());
        if let Some(known) = dynamic.relays.get(&key) {
            return Ok(known.clone());
        }
        let group = lead()?;
        let relay = Relay::through(group.clone(), upstream.relay(&proxy.relay)).forwarding(limits::silent());
        dynamic.relays.insert(key, (group.clone(), relay.clone()));
        Ok((group, relay))
    }
}

/// The runtime of one worker.
pub(crate) fn runtime() -> io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// Runs a worker until the drain starts, and then until its last connection has ended.
pub(crate) async fn run(
    sockets: Vec<Listening>,
    configuration: Arc<Configuration>,
    drain: Drain,
) -> io::Result<()> {
    let worker = Arc::new(Worker::new(configuration, drain));
    for (index, socket) in sockets.into_iter().enumerate() {
        let (worker, open) = (worker.clone(), worker.open.try_acquire());
        let socket = Socket::new(socket)?;
        tokio::spawn(accept(worker, index, open, socket));
    }
    worker.drain.started().await;
    tokio::select! {
        () = worker.open.emptied() => {}
        // Asked to end at once: what there is to say is said in this time.
        () = async { worker.drain.signal().await; sleep(Duration::from_secs(2)).await } => {}
    }
    Ok(())
}

/// The relay of a location. One whose URL has variables has none of its own that is ever asked.
fn fixed(proxy: &Proxy) -> Relay<Leading> {
    let (group, config) = match &proxy.whom {
        Pass::Fixed { group, upstream, .. } => (group.clone(), upstream.relay(&proxy.relay)),
        Pass::Variable(_) => {
            let none = Group::builder().build().connect_with(Route::plain());
            (none, proxy.relay.clone())
        }
    };
    Relay::through(group, config).forwarding(limits::silent())
}

async fn accept(worker: Arc<Worker>, index: usize, _open: Option<Permit>, socket: Socket) {
    let mut end = worker.drain.started();
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut end => return,
            accepted = socket.accept() => accepted,
        };
        match accepted {
            Ok((stream, hop, server)) => {
                let (worker, open) = (worker.clone(), worker.open.try_acquire());
                let served = connection::serve(stream, hop, server, index, worker);
                tokio::spawn(async move {
                    served.await;
                    drop(open);
                });
            }
            // The peer was gone before it was accepted.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            // Out of descriptors or memory: the tunnels that are open go on, and some of them will end.
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    }
}

/// A listening socket on the worker's runtime.
enum Socket {
    Tcp(tokio::net::TcpListener, u16),
    Unix(tokio::net::UnixListener),
}

impl Socket {
    fn new(socket: Listening) -> io::Result<Socket> {
        Ok(match socket {
            Listening::Tcp(socket) => {
                let port = socket.local_addr()?.port();
                Socket::Tcp(tokio::net::TcpListener::from_std(socket)?, port)
            }
            Listening::Unix(socket) => Socket::Unix(tokio::net::UnixListener::from_std(socket)?),
        })
    }

    async fn accept(&self) -> io::Result<(AnyStream, Hop, Option<IpAddr>)> {
        match self {
            Socket::Tcp(socket, port) => {
                let (stream, peer) = socket.accept().await?;
                if cfg!(not(target_os = "linux")) {
                    let _ = stream.set_nodelay(true);
                }
                let server = stream.local_addr().ok().map(|address| address.ip());
                Ok((AnyStream::from(stream), Hop::from(peer).at_port(*port), server))
            }
            Socket::Unix(socket) => {
                let (stream, _) = socket.accept().await?;
                Ok((AnyStream::from(stream), Hop::unknown(), None))
            }
        }
    }
}

//! One worker: a thread with its own runtime, its own listening sockets, and its own idle connections to upstreams.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use switchover::header::Hop;
use switchover::service::Relay;
use switchover::tunnel::{AnyStream, Cap, Drain, Permit};
use tokio::runtime::Runtime;
use tokio::time::sleep;

use super::configuration::Configuration;
use super::connection;
use super::route::Leading;
use super::server::Listener;
use super::sockets::Listening;

/// What the connections of one worker share.
pub(crate) struct Worker {
    pub(crate) configuration: Arc<Configuration>,
    /// One for each location with `proxy_pass`, by its number.
    pub(crate) relays: Vec<Relay<Leading>>,
    pub(crate) drain: Drain,
    /// Its listeners and connections.
    open: Cap,
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
    let proxies = configuration.proxies.iter();
    let worker = Arc::new(Worker {
        relays: proxies
            .map(|proxy| {
                Relay::through(proxy.group.clone(), proxy.relay.clone()).forwarding(super::limits::silent())
            })
            .collect(),
        configuration,
        drain,
        open: Cap::unlimited(),
    });
    for (index, socket) in sockets.into_iter().enumerate() {
        let (worker, open) = (worker.clone(), worker.open.try_acquire());
        let socket = Socket::new(socket)?;
        tokio::spawn(accept(worker, index, open, socket));
    }
    worker.drain.started().await;
    tokio::select! {
        () = worker.open.emptied() => {}
        // Told to end at once: what there is to say is said in this time.
        () = async { worker.drain.signal().await; sleep(Duration::from_secs(2)).await } => {}
    }
    Ok(())
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
            Ok((stream, hop)) => {
                let (worker, open) = (worker.clone(), worker.open.try_acquire());
                let served = connection::serve(stream, hop, index, worker);
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

    async fn accept(&self) -> io::Result<(AnyStream, Hop)> {
        match self {
            Socket::Tcp(socket, port) => {
                let (stream, peer) = socket.accept().await?;
                if cfg!(not(target_os = "linux")) {
                    let _ = stream.set_nodelay(true);
                }
                Ok((AnyStream::from(stream), Hop::from(peer).at_port(*port)))
            }
            Socket::Unix(socket) => {
                let (stream, _) = socket.accept().await?;
                Ok((AnyStream::from(stream), Hop::unknown()))
            }
        }
    }
}

impl Worker {
    pub(crate) fn listener(&self, index: usize) -> &Listener {
        &self.configuration.listeners[index]
    }
}

//! A gateway of one's own on tokio: for WebSocket only, with a status page.
//!
//! Everything about one connection is in [`Server::connection`]; the rest is a listener and an end.

#![forbid(unsafe_code)]

mod upstreams;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{Response, StatusCode, request};
use switchover::Error;
use switchover::gateway::{Accepted, Acceptor, GatewayConfig, Incoming, Negotiated};
use switchover::handshake::Rejection;
use switchover::tunnel::{Cap, Drain, Rewind, TunnelWatch};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::UnboundedSender;

pub use upstreams::Upstreams;

/// What all connections share. Cheap to clone.
#[derive(Clone)]
pub struct Server {
    shared: Arc<Shared>,
}

struct Shared {
    acceptor: Acceptor,
    upstreams: Upstreams,
    drain: Drain,
    /// Open connections, whatever they do. How many of them may be tunnels is the acceptor's business.
    connections: Cap,
    tunnels: Mutex<BTreeMap<SocketAddr, TunnelWatch>>,
    /// One line for each connection that has ended.
    lines: UnboundedSender<String>,
}

impl Server {
    /// A server that tells `lines` how each connection has ended, and ends when `drain` does.
    pub fn new(
        config: GatewayConfig,
        upstreams: Upstreams,
        drain: Drain,
        lines: UnboundedSender<String>,
    ) -> Self {
        Server {
            shared: Arc::new(Shared {
                acceptor: Acceptor::new(config),
                upstreams,
                drain,
                connections: Cap::unlimited(),
                tunnels: Mutex::default(),
                lines,
            }),
        }
    }

    /// Accepts connections until the drain starts, and returns when the last one has ended.
    ///
    /// # Errors
    ///
    /// The listener fails in a way that does not pass.
    pub async fn run(&self, listener: TcpListener) -> io::Result<()> {
        let mut draining = self.shared.drain.started();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = &mut draining => break,
            };
            match accepted {
                Ok((client, peer)) => self.spawn(client, peer),
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                // Out of descriptors: the connections that are open go on, and some of them will end.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
        drop(listener);
        self.shared.connections.emptied().await;
        Ok(())
    }

    fn spawn(&self, client: TcpStream, peer: SocketAddr) {
        let server = self.clone();
        let permit = self.shared.connections.try_acquire();
        tokio::spawn(async move {
            // Messages must not wait for one another. A socket that does not take the option is about to fail anyway.
            let _ = client.set_nodelay(true);
            let line = match server.connection(client, peer).await {
                Ok(line) => line,
                Err(error) => format!("{} failed, {}: {error}", error.side(), error.phase()),
            };
            // Nobody may be listening.
            let _ = server.shared.lines.send(format!("{peer} {line}"));
            drop(permit);
        });
    }

    /// Serves a connection to its end, and says how that was.
    async fn connection(&self, client: TcpStream, peer: SocketAddr) -> Result<String, Error> {
        let Shared { acceptor, drain, .. } = &*self.shared;
        match acceptor.accept_until(client, peer, drain.started()).await? {
            Accepted::Upgrade(incoming) => self.upgrade(*incoming, peer).await,
            Accepted::Ordinary(head, stream) => self.page(&head, stream).await,
            Accepted::Rejected(why, _) => Ok(rejected(&why)),
            Accepted::Closed => Ok("closed without a request".to_owned()),
        }
    }

    async fn upgrade(&self, incoming: Incoming<TcpStream>, peer: SocketAddr) -> Result<String, Error> {
        let Shared { upstreams, drain, .. } = &*self.shared;
        // Before anything is connected: a path that nobody serves is a 404, not a 502.
        if upstreams.find(incoming.head()).is_none() {
            return Ok(rejected(&incoming.reject(Rejection::NoRoute).await?));
        }
        let mut established = match incoming.negotiate(upstreams).await? {
            Negotiated::Switched(established) => established,
            Negotiated::Declined(status) => return Ok(format!("the origin said {status}")),
        };
        let protocol = established.protocol().clone();
        let _listed = Listed::new(&self.shared, peer, established.watch());
        let traffic = established.run_until(drain.signal()).await?;
        Ok(format!("{protocol}: {traffic}"))
    }

    /// There is one page: what goes on.
    async fn page(&self, head: &request::Parts, stream: Rewind<TcpStream>) -> Result<String, Error> {
        let response = match head.uri.path() {
            "/status" => Response::new(self.status()),
            _ => {
                let mut response = Response::new("only WebSocket is spoken here\n".to_owned());
                *response.status_mut() = StatusCode::NOT_FOUND;
                response
            }
        };
        let line = format!("{} {}: {}", head.method, head.uri, response.status());
        self.shared.acceptor.respond(stream, head, response).await?;
        Ok(line)
    }

    fn status(&self) -> String {
        let mut text = String::new();
        for (peer, tunnel) in self.shared.tunnels().iter() {
            let (up, down) = (tunnel.from_downstream(), tunnel.from_upstream());
            // Writing to a string does not fail.
            let _ = writeln!(text, "{peer} {up} B up, {down} B down");
        }
        text
    }

    /// Ends the tunnel of a client in order. False if it has none.
    pub fn end(&self, peer: SocketAddr) -> bool {
        let tunnels = self.shared.tunnels();
        let tunnel = tunnels.get(&peer);
        tunnel.inspect(|tunnel| tunnel.end()).is_some()
    }
}

impl Shared {
    fn tunnels(&self) -> std::sync::MutexGuard<'_, BTreeMap<SocketAddr, TunnelWatch>> {
        self.tunnels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A tunnel on the status page, for as long as it runs: also if its future is dropped.
struct Listed<'a> {
    shared: &'a Shared,
    peer: SocketAddr,
}

impl<'a> Listed<'a> {
    fn new(shared: &'a Shared, peer: SocketAddr, watch: TunnelWatch) -> Self {
        shared.tunnels().insert(peer, watch);
        Listed { shared, peer }
    }
}

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        self.shared.tunnels().remove(&self.peer);
    }
}

fn rejected(why: &Rejection) -> String {
    format!("{} {why}. {}", why.status(), why.hint())
}

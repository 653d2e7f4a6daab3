//! The PROXY protocol on connections: from balancers, to upstreams, and from one gateway to the next.

mod from_balancers;
mod through;
mod to_upstreams;

use std::net::SocketAddr;

use switchover::header::TrustedProxies;
use tokio::net::{TcpListener, TcpStream};

/// The balancers of the tests, which are all peers.
fn loopback() -> TrustedProxies {
    TrustedProxies::new(["127.0.0.0/8".parse().unwrap()])
}

/// A client's socket, the one accepted for it, and its peer.
async fn pair() -> (TcpStream, TcpStream, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
    let (accepted, peer) = accepted.unwrap();
    (client.unwrap(), accepted, peer)
}

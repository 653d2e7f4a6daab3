//! How connections are taken from a listener: one that cannot be taken now ends neither the listener nor what is open.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

/// How long a listener rests after an error. Tunnels that end meanwhile give back what was missing.
const REST: Duration = Duration::from_millis(50);

/// The next connection of a listener, with `TCP_NODELAY` set: a tunnel carries messages, and must not hold one back for the
/// next.
///
/// A loop around this one call has no error to handle. A peer that has gone before it was accepted is skipped. Where the
/// process is out of descriptors or memory, the connections that are open go on and the listener is asked again every 50
/// milliseconds; a client that connects meanwhile waits in the listener's backlog.
///
/// # Cancel safety
///
/// Dropping the future loses no connection.
///
/// ```no_run
/// use switchover::gateway::next_connection;
/// use switchover::{Gateway, TcpConnect};
///
/// # async fn run(listener: tokio::net::TcpListener) {
/// let gateway = Gateway::builder(TcpConnect::to("127.0.0.1:9000")).build();
/// loop {
///     let (client, peer) = next_connection(&listener).await;
///     let gateway = gateway.clone();
///     tokio::spawn(async move { drop(gateway.serve(client, peer).await) });
/// }
/// # }
/// ```
pub async fn next_connection(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Fails only on a socket that is no longer connected, which the first read from it will find.
                let _ = stream.set_nodelay(true);
                return (stream, peer);
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(_) => sleep(REST).await,
        }
    }
}

/// Whether an error says something of the connection that was to be accepted, and nothing of the next. Linux reports pending
/// errors of a new connection here (accept(2)).
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}

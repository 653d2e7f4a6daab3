//! Groups of servers: who gets a request, who gets it next, and who none. In memory and in virtual time where that is
//! enough, and behind both doors over sockets.

mod addresses;
mod balancing;
use support::black_hole;
mod choosing;
mod counting;
mod door;
mod evacuation;
mod fake;
mod flapping;
mod health;
#[cfg(unix)]
mod leaving;
mod moving;
mod next_server;
mod relayed;
mod routes;
#[cfg(target_os = "linux")]
mod shortage;
mod time;

use std::time::Duration;

use switchover::test_util::ScriptedOrigin;
use switchover::upstream::Server;
use tokio::net::TcpListener;

pub(crate) fn milliseconds(count: u64) -> Duration {
    Duration::from_millis(count)
}

pub(crate) fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

pub(crate) fn server(origin: &ScriptedOrigin) -> Server {
    Server::to(origin.address().to_string())
}

/// A server at an address where nobody listens any more.
pub(crate) async fn refusing() -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    Server::to(listener.local_addr().unwrap().to_string())
}

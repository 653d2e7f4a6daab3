//! How many tunnels there may be, how one is looked at and ended, and how all are ended in order.

mod caps;
mod drains;
mod graceful_drain;
mod lingering;
mod listing;
mod refusals;
mod registry;
mod watches;

use std::time::Duration;

use support::{program, running_gateway};

use switchover::tunnel::Tunnel;
use tokio::io::{DuplexStream, duplex};

pub(crate) fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// A client, a tunnel in memory, and an origin.
pub(crate) fn table() -> (DuplexStream, Tunnel<DuplexStream, DuplexStream>, DuplexStream) {
    let ((client, downstream), (upstream, origin)) = (duplex(1024), duplex(1024));
    (client, Tunnel::new(downstream, upstream), origin)
}

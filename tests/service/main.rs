//! The door for hyper and axum: what a client and an origin see of the services between them, under each of the servers
//! that they may be mounted in.

mod choosing;
mod connecting;
mod declined;
mod extended_connect;
mod layer;
mod peers;
mod policies;
mod refusals;
mod relayed;
mod rooms;
mod servers;
mod shutdown;
mod slow_clients;
mod taking_back;
mod tunnels;
mod unasked;
mod upgrades;

use std::sync::mpsc;
use std::time::Duration;

use switchover::UpgradeConfig;
use switchover::service::{Ended, ServiceConfig};
use switchover::test_util::TIMEOUT;

/// A configuration that tells how each tunnel has ended.
fn reporting() -> (ServiceConfig, mpsc::Receiver<Ended>) {
    let (sender, ends) = mpsc::channel();
    let config = ServiceConfig::default().on_end(move |ended| {
        let _ = sender.send(ended);
    });
    (config, ends)
}

/// How the next tunnel has ended, waited for without holding up the runtime.
async fn end_of(ends: mpsc::Receiver<Ended>) -> Ended {
    let waited = tokio::task::spawn_blocking(move || ends.recv_timeout(TIMEOUT));
    waited.await.unwrap().expect("the tunnel ends in time")
}

/// Deadlines short enough to wait for.
fn hasty() -> UpgradeConfig {
    let limit = Duration::from_millis(300);
    UpgradeConfig::default()
        .connect_timeout(limit)
        .handshake_timeout(limit)
        .read_timeout(limit)
}

/// The content of a response's body, which may be in chunks.
fn content(head: &http::response::Parts, body: &[u8]) -> String {
    let mut body = std::str::from_utf8(body).unwrap();
    if !head.headers.contains_key("transfer-encoding") {
        return body.to_owned();
    }
    let mut content = String::new();
    loop {
        let (size, rest) = body.split_once("\r\n").expect("a chunk size");
        let size = usize::from_str_radix(size, 16).expect("a chunk size");
        content.push_str(&rest[..size]);
        body = &rest[size + 2..];
        if size == 0 {
            return content;
        }
    }
}

//! Servers in memory that do as they are instructed.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Request;
use http::request::Parts;
use switchover::connect::{Attempts, Connect, ConnectError, ConnectRequest, PoolKey, Pooling};
use switchover::header::Hop;
use switchover::tunnel::Counted;
use switchover::upstream::{Group, Server};
use tokio::io::DuplexStream;

/// What a server does with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Does {
    Accepts,
    Refuses,
    Hangs,
    AcceptsAfter(Duration),
}

/// A server in memory. Clones are the same one.
#[derive(Clone, Debug)]
pub(crate) struct Fake {
    pub(crate) name: &'static str,
    does: Arc<Mutex<Does>>,
    asked: Arc<AtomicUsize>,
    pub(crate) pooling: Pooling,
}

impl Fake {
    pub(crate) fn new(name: &'static str) -> Self {
        Fake {
            name,
            does: Arc::new(Mutex::new(Does::Accepts)),
            asked: Arc::default(),
            pooling: Pooling::Shared,
        }
    }

    pub(crate) fn server(&self) -> Server<Fake> {
        Server::new(self.name, self.clone())
    }

    pub(crate) fn now(&self, does: Does) {
        *self.does.lock().unwrap() = does;
    }

    /// How many connections it was asked for since the last look.
    pub(crate) fn asked(&self) -> usize {
        self.asked.swap(0, Ordering::Relaxed)
    }
}

impl Connect for Fake {
    type Stream = DuplexStream;

    async fn connect(&self, _: ConnectRequest<'_>) -> Result<DuplexStream, ConnectError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let does = *self.does.lock().unwrap();
        match does {
            Does::Accepts => {}
            Does::Refuses => {
                return Err(ConnectError::Failed {
                    name: self.name.to_owned(),
                    error: std::io::ErrorKind::ConnectionRefused.into(),
                });
            }
            Does::Hangs => std::future::pending().await,
            Does::AcceptsAfter(delay) => tokio::time::sleep(delay).await,
        }
        Ok(tokio::io::duplex(64).0)
    }

    fn pooling(&self) -> Pooling {
        self.pooling
    }
}

pub(crate) type Connected = Result<Counted<DuplexStream>, ConnectError>;

/// Something to ask for.
pub(crate) fn head() -> Parts {
    Request::get("/chat").body(()).unwrap().into_parts().0
}

/// Connects for a request of which nothing more is reported.
pub(crate) async fn connect(group: &Group<Fake>) -> Connected {
    group.connect(ConnectRequest::new(&head(), Hop::unknown())).await
}

/// Connects for a request of which more will be reported.
pub(crate) async fn connect_for(group: &Group<Fake>, attempts: &Attempts) -> Connected {
    let head = head();
    let request = ConnectRequest::new(&head, Hop::unknown()).tracked(attempts);
    group.connect(request).await
}

pub(crate) async fn choose(group: &Group<Fake>, attempts: &Attempts) -> Option<PoolKey> {
    let head = head();
    let request = ConnectRequest::new(&head, Hop::unknown()).tracked(attempts);
    group.pool_key(request).await
}

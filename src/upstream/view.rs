//! Law: what of a group may be another for each route that leads to it: how its servers are connected to, after what the next
//! one is asked, and who hears of it. What is known of the servers is the same for all.

use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::Retry;
use super::server::Record;
use crate::connect::{Connect, ConnectError, ConnectRequest, Outcome, SoFar, Tried};
use crate::tunnel::Permit;

/// How the servers of a [`Group`](super::Group) are connected to by those who come [this way](super::Group::via): over TLS or
/// not, and for how long.
pub trait Via<C>: Send + Sync {
    /// The connection.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Connects to a server. As [`Connect::connect`].
    fn connect(
        &self,
        server: &C,
        request: ConnectRequest<'_>,
    ) -> impl Future<Output = Result<Self::Stream, ConnectError>> + Send;

    /// Whether connections to this server may carry each other's requests. As [`Connect::is_uniform`].
    fn is_uniform(&self, server: &C) -> bool {
        let _ = server;
        false
    }
}

/// As the server itself connects.
#[derive(Clone, Copy, Debug, Default)]
pub struct Direct;

impl<C: Connect> Via<C> for Direct {
    type Stream = C::Stream;

    fn connect(
        &self,
        server: &C,
        request: ConnectRequest<'_>,
    ) -> impl Future<Output = Result<C::Stream, ConnectError>> + Send {
        server.connect(request)
    }

    fn is_uniform(&self, server: &C) -> bool {
        server.is_uniform()
    }
}

/// An attempt of a request on a server, when it has ended ([`Group::on_attempt`](super::Group::on_attempt)).
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Attempted<'a> {
    /// What the server is called.
    pub server: &'a str,
    /// How it has ended. [`Outcome::Answered`] is the head of an answer.
    pub outcome: Outcome,
    /// How long it took, from the choice of the server.
    pub took: Duration,
    permit: &'a Mutex<Option<Permit>>,
}

impl Attempted<'_> {
    /// What makes an ordinary request count where [such requests do](super::Builder::count_requests): for whoever knows when
    /// the body of its answer has ended.
    pub fn take_permit(&self) -> Option<Permit> {
        taken(self.permit)
    }
}

fn taken(permit: &Mutex<Option<Permit>>) -> Option<Permit> {
    // Nothing in here panics halfway.
    permit.lock().unwrap_or_else(PoisonError::into_inner).take()
}

type Heard = Arc<dyn Fn(&Attempted<'_>) + Send + Sync>;

/// What the requests of a route have in common.
#[derive(Clone)]
pub(super) struct Policy {
    pub(super) retry: Retry,
    pub(super) heard: Option<Heard>,
    /// How many servers there are.
    servers: Arc<AtomicUsize>,
}

impl Policy {
    pub(super) fn new(retry: Retry, servers: Arc<AtomicUsize>) -> Self {
        Policy {
            retry,
            heard: None,
            servers,
        }
    }

    /// How many servers a request may be tried on.
    pub(super) fn limit(&self) -> usize {
        self.retry.limit(self.servers.load(Ordering::Relaxed))
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.retry.fmt(f)
    }
}

/// One request on one server.
pub(super) struct Trial {
    record: Arc<Record>,
    policy: Arc<Policy>,
    since: Instant,
    /// Of an ordinary request that counts.
    permit: Mutex<Option<Permit>>,
}

impl Trial {
    pub(super) fn new(record: Arc<Record>, policy: Arc<Policy>, permit: Option<Permit>) -> Arc<Self> {
        Arc::new(Trial {
            record,
            policy,
            since: Instant::now(),
            permit: Mutex::new(permit),
        })
    }
}

impl Tried for Trial {
    fn ended(&self, outcome: Outcome, so_far: SoFar) -> bool {
        let policy = &self.policy;
        self.record.shown(policy.retry.judge(outcome));
        if let Some(heard) = &policy.heard {
            heard(&Attempted {
                server: self.record.name(),
                outcome,
                took: self.since.elapsed(),
                permit: &self.permit,
            });
        }
        let servers = policy.servers.load(Ordering::Relaxed);
        let goes_on = policy.retry.goes_on(outcome, so_far, servers);
        if goes_on || !matches!(outcome, Outcome::Answered(_)) {
            taken(&self.permit);
        }
        goes_on
    }

    fn name(&self) -> Option<&str> {
        Some(self.record.name())
    }

    fn place(&self) -> *const () {
        self.record.place()
    }
}

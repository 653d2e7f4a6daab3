//! What may differ for each route that leads to a group: how its servers are connected to, when the next one is asked, and which
//! callback learns of attempts. What is known of the servers is the same for all routes.

use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::Retry;
use super::record::Record;
use crate::connect::{
    AttemptEnd, AttemptOutcome, Candidate, Connect, ConnectError, ConnectRequest, Pooling, UpstreamId,
};
use crate::telemetry;
use crate::tunnel::Permit;

/// How the servers of a [`Group`](super::Group) are connected to on [a route](super::Group::connect_with): over TLS or not, and with
/// which deadlines.
pub trait ServerConnector<C>: Send + Sync {
    /// The connection.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Connects to a server. As [`Connect::connect`].
    fn connect(
        &self,
        server: &C,
        request: ConnectRequest<'_>,
    ) -> impl Future<Output = Result<Self::Stream, ConnectError>> + Send;

    /// Which connections to this server may carry each other's requests. As [`Connect::pooling`]. Default [`Pooling::Never`].
    fn pooling(&self, server: &C) -> Pooling {
        let _ = server;
        Pooling::Never
    }
}

/// As the server itself connects.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "a value without parts")]
pub struct Direct;

impl<C: Connect> ServerConnector<C> for Direct {
    type Stream = C::Stream;

    fn connect(
        &self,
        server: &C,
        request: ConnectRequest<'_>,
    ) -> impl Future<Output = Result<C::Stream, ConnectError>> + Send {
        server.connect(request)
    }

    fn pooling(&self, server: &C) -> Pooling {
        server.pooling()
    }
}

/// An attempt of a request on a server, when it has ended ([`Group::on_attempt`](super::Group::on_attempt)).
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Attempted<'a> {
    /// What the server is called.
    pub server: &'a str,
    /// How it has ended. [`AttemptOutcome::Answered`] is the head of an answer.
    pub outcome: AttemptOutcome,
    /// How long it took, from the choice of the server.
    pub took: Duration,
    permit: &'a Mutex<Option<Permit>>,
}

impl Attempted<'_> {
    /// What makes an ordinary request count where [such requests do](super::Builder::count_requests): for a caller that knows when
    /// the body of its answer has ended.
    #[must_use]
    pub fn take_permit(&self) -> Option<Permit> {
        taken(self.permit)
    }
}

fn taken(permit: &Mutex<Option<Permit>>) -> Option<Permit> {
    // Nothing in here panics halfway.
    permit.lock().unwrap_or_else(PoisonError::into_inner).take()
}

type Observer = Arc<dyn Fn(&Attempted<'_>) + Send + Sync>;

/// What the requests of a route have in common.
#[derive(Clone)]
pub(super) struct Policy {
    pub(super) retry: Retry,
    pub(super) observer: Option<Observer>,
    /// How many servers there are.
    servers: Arc<AtomicUsize>,
}

impl Policy {
    pub(super) fn new(retry: Retry, servers: Arc<AtomicUsize>) -> Self {
        Policy {
            retry,
            observer: None,
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
    /// When it began, where somebody asks for that.
    since: Option<Instant>,
    /// Of an ordinary request that counts.
    permit: Mutex<Option<Permit>>,
}

impl Trial {
    pub(super) fn new(record: Arc<Record>, policy: Arc<Policy>, permit: Option<Permit>) -> Arc<Self> {
        let since = policy.observer.as_ref().map(|_| Instant::now());
        Arc::new(Trial {
            record,
            policy,
            since,
            permit: Mutex::new(permit),
        })
    }
}

impl Candidate for Trial {
    fn id(&self) -> UpstreamId {
        self.record.id()
    }

    fn attempt_ended(&self, ended: AttemptEnd) -> bool {
        let outcome = ended.outcome;
        let policy = &self.policy;
        telemetry::attempt_ended(self.record.place(), outcome.name());
        self.record.shown(policy.retry.judge(outcome));
        let servers = policy.servers.load(Ordering::Relaxed);
        let goes_on = policy.retry.goes_on(ended, servers);
        if goes_on || !matches!(outcome, AttemptOutcome::Answered(_)) {
            taken(&self.permit);
        }
        if let Some(observer) = &policy.observer {
            observer(&Attempted {
                server: self.record.name(),
                outcome,
                took: self.since.map(|since| since.elapsed()).unwrap_or_default(),
                permit: &self.permit,
            });
        }
        // Whoever made the attempt may hold this for as long as the body takes.
        taken(&self.permit);
        goes_on
    }

    fn name(&self) -> Option<&str> {
        Some(self.record.name())
    }

    fn shared_name(&self) -> Option<Arc<str>> {
        Some(self.record.shared_name())
    }

    fn shared_group(&self) -> Option<Arc<str>> {
        let group = &self.record.place().group;
        Some(group.clone()).filter(|name| !name.is_empty())
    }

    fn place(&self) -> Option<usize> {
        Some(self.record.number())
    }
}

//! Which servers a request was sent to, in order, and what has become of it there; and the key by which it belongs to one of
//! them, where there is one.
//!
//! Between the request and its servers stands the library, which hands neither through: both are kept with the task.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::HeaderMap;
use switchover::connect::AttemptOutcome;
use switchover::tunnel::Permit;
use switchover::upstream::Attempted;

use super::sticky::Sticky;
use super::text::Asked;

tokio::task_local! {
    static CURRENT: Arc<Tries>;
}

/// The tries of one request.
#[derive(Debug, Default)]
pub(crate) struct Tries {
    key: Option<Vec<u8>>,
    sticky: Option<Arc<Sticky>>,
    /// What the request says of its server.
    wanted: Option<String>,
    /// `proxy_bind`: the address to connect from.
    bound: Option<SocketAddr>,
    /// How much of the body has come of the answer that came last, where somebody wants to know.
    body_length: AtomicU64,
    /// How many bytes the server that is asked has been sent, and has sent, where somebody wants to know.
    sent: AtomicU64,
    received: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// How long the connection took that was the last to be made, as long as nothing has come of it.
    connected: Option<Duration>,
    tries: Vec<Try>,
    /// What makes it count at the server that has answered last, until it has ended.
    counted: Option<Permit>,
    /// It has been sent to the group, whether there was a server or not.
    is_asked: bool,
}

/// One server that was asked.
#[derive(Clone, Debug)]
pub(crate) struct Try {
    pub(crate) server: String,
    /// None where there was no connection.
    pub(crate) connected: Option<Duration>,
    /// When its answer began; none where it gave none.
    pub(crate) answered: Option<Duration>,
    pub(crate) took: Duration,
    /// Of its answer's body.
    pub(crate) body_length: u64,
    /// Of all that it was sent, and has sent.
    pub(crate) bytes_sent: u64,
    pub(crate) bytes_received: u64,
    /// What came of it, as logs have it; none where nobody waited for it.
    pub(crate) status: Option<u16>,
    /// Nothing more comes of it.
    pub(crate) is_over: bool,
    begun: Instant,
}

impl Tries {
    /// None yet, of a request with this key.
    pub(crate) fn new(
        key: Option<Vec<u8>>,
        sticky: Option<Arc<Sticky>>,
        wanted: Option<String>,
        bound: Option<SocketAddr>,
    ) -> Arc<Tries> {
        Arc::new(Tries {
            key,
            sticky,
            wanted,
            bound,
            body_length: AtomicU64::default(),
            sent: AtomicU64::default(),
            received: AtomicU64::default(),
            state: Mutex::default(),
        })
    }

    /// Whatever is tried by this future.
    pub(crate) async fn during<T>(self: &Arc<Self>, asking: impl Future<Output = T>) -> T {
        self.state().is_asked = true;
        CURRENT.scope(self.clone(), asking).await
    }

    /// What makes the request count at a server, for whatever lasts as long as its answer.
    pub(crate) fn counted(&self) -> Option<Permit> {
        self.state().counted.take()
    }

    /// So much more has come of the body.
    pub(crate) fn has_come(&self, bytes: u64) {
        self.body_length.fetch_add(bytes, Ordering::Relaxed);
    }

    /// So many bytes more have gone to the server.
    pub(crate) fn has_sent(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// So many more have come from it.
    pub(crate) fn has_received(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// `sticky`: the client learns which server it was.
    pub(crate) fn name_server(&self, headers: &mut HeaderMap, asked: &Asked<'_>) {
        let Some(sticky) = &self.sticky else { return };
        let server = self.state().tries.last().map(|last| last.server.clone());
        if let Some(server) = server {
            sticky.set(&server, headers, asked);
        }
    }

    /// All of them. The last one has lasted until now if it has answered. Where no server of the group could be asked there is one
    /// for the group, by the status that the client has for that, once it is known.
    pub(crate) fn all(&self, group: &str, status: Option<u16>) -> Vec<Try> {
        let (mut tries, is_asked) = {
            let state = self.state();
            (state.tries.clone(), state.is_asked)
        };
        if let Some(status) = status.filter(|_| is_asked && tries.is_empty()) {
            return vec![Try::of_none(group, status)];
        }
        if let Some(last) = tries.last_mut() {
            // What has come and gone since it has begun to answer.
            last.bytes_sent += self.sent.load(Ordering::Relaxed);
            last.bytes_received += self.received.load(Ordering::Relaxed);
        }
        if let Some(last) = tries.last_mut().filter(|last| last.answered.is_some()) {
            last.took = last.begun.elapsed();
            last.body_length = self.body_length.load(Ordering::Relaxed);
        }
        tries
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Try {
    /// What a log says of a group of which no server could be asked.
    fn of_none(group: &str, status: u16) -> Try {
        Try {
            server: group.to_owned(),
            connected: None,
            answered: None,
            took: Duration::ZERO,
            body_length: 0,
            bytes_sent: 0,
            bytes_received: 0,
            status: Some(status),
            is_over: true,
            begun: Instant::now(),
        }
    }
}

/// Those of the request that is served now.
pub(crate) fn current() -> Option<Arc<Tries>> {
    CURRENT.try_with(Arc::clone).ok()
}

/// The key of the request that is served now.
pub(crate) fn key() -> Option<Vec<u8>> {
    CURRENT.try_with(|tries| tries.key.clone()).ok().flatten()
}

/// What it says of its server, by `sticky`.
pub(crate) fn wanted() -> Option<String> {
    CURRENT.try_with(|tries| tries.wanted.clone()).ok().flatten()
}

/// The address that it is to connect from.
pub(crate) fn bound() -> Option<SocketAddr> {
    CURRENT.try_with(|tries| tries.bound).ok().flatten()
}

/// A connection was made for it.
pub(crate) fn connected(took: Duration) {
    // A connection may be for whichever request comes first.
    let _ = CURRENT.try_with(|tries| tries.state().connected = Some(took));
}

/// A server has answered it, or has failed.
pub(crate) fn ended(attempted: &Attempted<'_>) {
    let status = match attempted.outcome {
        AttemptOutcome::Answered(status) => Some(status.as_u16()),
        AttemptOutcome::TimedOut => Some(504),
        AttemptOutcome::Failed | AttemptOutcome::Invalid | AttemptOutcome::Stale => Some(502),
        AttemptOutcome::Shortage(_) => Some(503),
        _ => None,
    };
    let answered = matches!(attempted.outcome, AttemptOutcome::Answered(_)).then_some(attempted.took);
    let _ = CURRENT.try_with(|tries| {
        let mut state = tries.state();
        let made = state.connected.take();
        state.counted = attempted.take_permit();
        state.tries.push(Try {
            server: attempted.server.to_owned(),
            // Over a connection that was kept, it took no time.
            connected: made.or(answered.map(|_| Duration::ZERO)),
            answered,
            took: attempted.took,
            body_length: 0,
            bytes_sent: tries.sent.swap(0, Ordering::Relaxed),
            bytes_received: tries.received.swap(0, Ordering::Relaxed),
            status,
            is_over: answered.is_none(),
            begun: Instant::now()
                .checked_sub(attempted.took)
                .unwrap_or_else(Instant::now),
        });
    });
}

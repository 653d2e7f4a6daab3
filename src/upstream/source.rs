//! Where servers come from that are found by asking: who asks, when, and what a failure to answer means.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::Server;
use crate::clock::After;
use crate::connect::ConnectError;

/// How long a request waits for an answer where there are servers without it.
pub(super) const TIMEOUT: Duration = Duration::from_secs(1);

/// How soon it is asked again after a failure, if not sooner by itself.
const AGAIN: Duration = Duration::from_secs(1);

type Found = Pin<Box<dyn Future<Output = Result<Vec<SocketAddr>, ConnectError>> + Send>>;

/// A source of the addresses of servers.
pub(super) struct Source<C> {
    name: String,
    find: Box<dyn Fn() -> Found + Send + Sync>,
    make: Box<dyn Fn(SocketAddr) -> Server<C> + Send + Sync>,
    every: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// When to ask again; none before it was asked with an end.
    due: Option<Instant>,
    /// A request is asking.
    is_asking: bool,
    failure: Option<String>,
}

/// What a group can say of a name that its servers are found by.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SourceStatus {
    /// The name.
    pub name: String,
    /// What the last answer was, if it was none. The servers are then those of the answer before.
    pub failure: Option<String>,
}

impl<C> Source<C> {
    pub(super) fn new<F, Fut, M>(name: String, find: F, every: Duration, make: M) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Vec<SocketAddr>, ConnectError>> + Send + 'static,
        M: Fn(SocketAddr) -> Server<C> + Send + Sync + 'static,
    {
        Source {
            name,
            find: Box::new(move || Box::pin(find())),
            make: Box::new(make),
            every,
            state: Mutex::default(),
        }
    }

    pub(super) fn server(&self, address: SocketAddr) -> Server<C> {
        (self.make)(address)
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn status(&self) -> SourceStatus {
        SourceStatus {
            name: self.name.clone(),
            failure: self.state().failure.clone(),
        }
    }

    /// When to ask again; none before it was asked with an end.
    pub(super) fn due(&self) -> Option<Instant> {
        self.state().due
    }

    /// Asks for the addresses if it is time to, and hands them over. One request asks; the others go on with what there is,
    /// if there is anything: an answer from before, or servers of another source.
    ///
    /// # Errors
    ///
    /// There is no answer, and nothing to go on with.
    pub(super) async fn refresh(
        &self,
        has_servers: bool,
        found: impl FnOnce(&[SocketAddr]),
    ) -> Result<(), ConnectError> {
        let may_go_on = {
            let mut state = self.state();
            let may_go_on = has_servers || state.due.is_some();
            let is_due = state.due.is_none_or(|due| due <= Instant::now());
            if !is_due || may_go_on && state.is_asking {
                return Ok(());
            }
            state.is_asking = true;
            may_go_on
        };
        let _asking = Asking(&self.state);
        let answer = match may_go_on {
            false => (self.find)().await,
            true => timeout(TIMEOUT, (self.find)()).await.unwrap_or_else(|_| {
                Err(ConnectError::Resolve {
                    name: self.name.clone(),
                    error: io::ErrorKind::TimedOut.into(),
                })
            }),
        };
        let (failure, again) = match answer {
            Ok(mut addresses) => {
                addresses.sort_unstable();
                addresses.dedup();
                // Before anybody learns that there is an answer.
                found(&addresses);
                (None, self.every)
            }
            Err(error) => (Some(error), self.every.min(AGAIN)),
        };
        let mut state = self.state();
        state.failure = failure.as_ref().map(ConnectError::to_string);
        match failure {
            Some(error) if !may_go_on => Err(error),
            _ => {
                state.due = Some(Instant::now().after(again));
                Ok(())
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    // Nothing in here panics halfway.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The asking request; another may when this is gone.
struct Asking<'a>(&'a Mutex<State>);

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        lock(self.0).is_asking = false;
    }
}

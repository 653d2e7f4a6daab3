//! Connections that wait for another request that goes to the same place: few for each place, and not for long.
//!
//! Knows no request and no connector.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Context;
use std::time::Duration;

use hyper::rt::Executor;
use tokio::io::AsyncRead;
use tokio::time::{Instant, sleep_until};

use super::connection::Connection;
use crate::clock::After;
use crate::service::config::Keeping;
use crate::service::tasks::Tasks;

/// How many wait for one place.
const MOST: usize = 64;

/// The connections that wait, by the place that they lead to. Cheap to clone.
pub(super) struct Idle<K, S> {
    state: Arc<Mutex<State<K, S>>>,
    tasks: Tasks,
    keeping: Keeping,
}

struct State<K, S> {
    /// The one that waits longest first.
    places: HashMap<K, Vec<(Connection<S>, Instant)>>,
    is_watched: bool,
}

impl<K, S> Idle<K, S>
where
    K: Clone + Eq + Hash + Send + 'static,
    S: AsyncRead + Unpin + Send + 'static,
{
    /// None so far. Those that have waited too long are closed by a task.
    pub(super) fn new(tasks: Tasks, keeping: Keeping) -> Self {
        Idle {
            state: Arc::new(Mutex::new(State {
                places: HashMap::new(),
                is_watched: false,
            })),
            tasks,
            keeping,
        }
    }

    /// A fresh one, which may wait here later.
    pub(super) fn opened(&self, stream: S) -> Connection<S> {
        let connection = Connection::new(stream);
        match self.keeping.age {
            Some(_) => connection.opened_at(Instant::now()),
            None => connection,
        }
    }

    /// The one that has waited for the shortest time and can still be used.
    pub(super) fn take(&self, cx: &mut Context<'_>, place: &K) -> Option<Connection<S>> {
        let mut state = locked(&self.state);
        let waiting = state.places.get_mut(place)?;
        let mut found = None;
        while let Some((mut connection, since)) = waiting.pop() {
            if since.elapsed() < self.keeping.idle && connection.is_usable(cx) {
                found = Some(connection);
                break;
            }
        }
        if waiting.is_empty() {
            // It comes back soon: its room is kept, the watch takes it away.
            waiting.shrink_to(1);
        }
        found
    }

    /// Keeps a connection whose request has been answered.
    pub(super) fn put(&self, place: K, mut connection: Connection<S>) {
        if self.keeping.idle.is_zero() {
            return;
        }
        connection.keep();
        if !connection.may_go_on(&self.keeping) {
            return;
        }
        let mut state = locked(&self.state);
        let waiting = state.places.entry(place).or_default();
        if waiting.len() < MOST {
            waiting.push((connection, Instant::now()));
        }
        if !std::mem::replace(&mut state.is_watched, true) {
            self.tasks
                .execute(watch(Arc::downgrade(&self.state), self.keeping.idle));
        }
    }
}

/// Closes what has waited too long, until nothing waits any more.
async fn watch<K: Eq + Hash, S>(state: Weak<Mutex<State<K, S>>>, limit: Duration) {
    let mut wake_at = Instant::now().after(limit);
    loop {
        sleep_until(wake_at).await;
        let Some(state) = state.upgrade() else { return };
        let mut state = locked(&state);
        let now = Instant::now();
        state.places.retain(|_, waiting| {
            waiting.retain(|(_, since)| since.after(limit) > now);
            !waiting.is_empty()
        });
        let oldest = state.places.values().flatten().map(|(_, since)| *since).min();
        let Some(oldest) = oldest else {
            state.is_watched = false;
            return;
        };
        wake_at = oldest.after(limit);
    }
}

fn locked<K, S>(state: &Mutex<State<K, S>>) -> MutexGuard<'_, State<K, S>> {
    // Nothing in here panics halfway.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<K, S> Clone for Idle<K, S> {
    fn clone(&self) -> Self {
        Idle {
            state: self.state.clone(),
            tasks: self.tasks.clone(),
            keeping: self.keeping,
        }
    }
}

impl<K, S> fmt::Debug for Idle<K, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Idle").finish_non_exhaustive()
    }
}

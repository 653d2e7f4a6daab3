//! Connects a request to one server of the group after another, until one accepts.

use std::convert::Infallible;
use std::fmt;
use std::pin::pin;
use std::sync::Arc;

use tokio::time::{sleep_until, timeout};

use super::Retry;
use super::builder::Builder;
use super::record::ServerStatus;
use super::server::Server;
use super::shared::{LOOK, Shared};
use super::source::SourceStatus;
use super::view::{Attempted, Direct, Policy, ServerConnector};
use crate::connect::{
    AttemptOutcome, Attempts, Connect, ConnectError, ConnectRequest, PoolKey, Pooling, TcpConnect,
};
use crate::tunnel::Counted;

/// Several servers that can each serve the same requests, as one more connector. Cheap to clone; clones are one group.
///
/// The [module](super) describes how it chooses. A stream counts as a tunnel of its server until it is dropped.
///
/// Several routes that lead to it may differ in when they go on to the next server ([`retry`](Group::retry)), in how they connect
/// ([`connect_with`](Group::connect_with)), and in which callback learns of attempts ([`on_attempt`](Group::on_attempt)).
///
/// # Errors
///
/// That of the last server tried; [`ConnectError::Full`] where all have as many tunnels as they may,
/// [`ConnectError::NoUpstream`] of a group without servers, and [`ConnectError::Resolve`] of one whose names have never
/// resolved.
///
/// # Cancel safety
///
/// Dropping the future of `connect` gives up the attempt under way, which counts neither as a tunnel nor as a failure then.
pub struct Group<C = TcpConnect, V = Direct> {
    shared: Arc<Shared<C>>,
    policy: Arc<Policy>,
    via: Arc<V>,
}

impl<C, V> Clone for Group<C, V> {
    fn clone(&self) -> Self {
        Group {
            shared: self.shared.clone(),
            policy: self.policy.clone(),
            via: self.via.clone(),
        }
    }
}

impl<C> Group<C> {
    /// These servers by turns, with the defaults of the [`Builder`].
    pub fn of(servers: impl IntoIterator<Item = Server<C>>) -> Self {
        let builder = servers.into_iter().fold(Group::builder(), Builder::server);
        builder.build()
    }

    /// Starts to build a group.
    #[must_use]
    pub fn builder() -> Builder<C> {
        Builder::new()
    }

    pub(super) fn new(shared: Shared<C>, retry: Retry) -> Self {
        Group {
            policy: Arc::new(Policy::new(retry, shared.count())),
            shared: Arc::new(shared),
            via: Arc::new(Direct),
        }
    }
}

impl<C, V> Group<C, V> {
    /// The same group for a route that goes on to the next server by another rule. The servers, their turns, tunnels and
    /// health are one with this group's, for which its own rule goes on to hold.
    ///
    /// ```
    /// use switchover::upstream::{Group, Retry, Server};
    ///
    /// let group = Group::of([Server::to("10.0.0.1:9000"), Server::to("10.0.0.2:9000")]);
    /// let payments = group.retry(Retry::never());
    /// ```
    #[must_use]
    pub fn retry(&self, retry: Retry) -> Self {
        self.with_policy(|policy| policy.retry = retry)
    }

    /// The same group for a route that wants a report of each attempt when it has ended: for counters, and for what counts
    /// [longer](Attempted::take_permit). Of a single request a [`Trace`](crate::connect::Trace) has more. `observer` is called by
    /// whichever task the request is served in, and must not block. Takes the place of another one.
    ///
    /// An answer has ended the attempt with its head, and a request that is given up when it is dropped.
    #[must_use]
    pub fn on_attempt(&self, observer: impl Fn(&Attempted<'_>) + Send + Sync + 'static) -> Self {
        self.with_policy(|policy| policy.observer = Some(Arc::new(observer)))
    }

    /// The same group for a route that connects to its servers in another way: over TLS, with other deadlines.
    #[must_use]
    pub fn connect_with<W>(&self, via: W) -> Group<C, W> {
        Group {
            shared: self.shared.clone(),
            policy: self.policy.clone(),
            via: Arc::new(via),
        }
    }

    fn with_policy(&self, change: impl FnOnce(&mut Policy)) -> Self {
        let mut policy = Policy::clone(&self.policy);
        change(&mut policy);
        Group {
            policy: Arc::new(policy),
            ..self.clone()
        }
    }

    /// Takes the servers with this name out of the group, or puts them back in. False if there is none.
    ///
    /// One that is down gets no requests, whatever the health of the others; its tunnels go on, unless there is an
    /// [evacuation](Builder::evacuation). Put back in, it keeps the tunnels that have not ended by then. One that discovery loses and
    /// finds again is not down any more.
    #[must_use]
    pub fn set_down(&self, name: &str, down: bool) -> bool {
        self.shared.set_down(|server| server.name() == name, down)
    }

    /// The same with the one server at this [place](ServerStatus::place), whichever others have its name.
    #[must_use]
    pub fn set_down_at(&self, place: usize, down: bool) -> bool {
        self.shared.set_down(|server| server.number() == place, down)
    }

    /// What is known of each server, for a status page. Those that are found by a name are there once it has resolved.
    #[must_use]
    pub fn servers(&self) -> Vec<ServerStatus> {
        let members = self.shared.members();
        members.iter().map(|member| member.record.status()).collect()
    }

    /// The servers that discovery has lost and that still have tunnels, for a status page.
    #[must_use]
    pub fn removed_servers(&self) -> Vec<ServerStatus> {
        let members = self.shared.members();
        let with_tunnels = members.gone().filter(|member| member.record.tunnels() > 0);
        with_tunnels.map(|member| member.record.status()).collect()
    }

    /// Records the state of each server and how many tunnels it has, as
    /// [`switchover_server_state` and `switchover_server_tunnels`](crate::describe_metrics): before each scrape, or at intervals.
    /// Feature `metrics`.
    ///
    /// Servers of the group with the same name are one in the metrics, with the sums of their numbers; and of groups with the same
    /// [name](Builder::name) the one that is recorded last counts. One that discovery has lost is in no state, and has its tunnels until
    /// they have ended; after that it is not recorded again, so that an exporter may forget it when it is idle.
    #[cfg(feature = "metrics")]
    pub fn record_metrics(&self) {
        self.shared.record_metrics();
    }

    /// What is known of the names that servers are found by.
    #[must_use]
    pub fn sources(&self) -> Vec<SourceStatus> {
        self.shared.sources()
    }
}

impl<C: Send + Sync, V> Group<C, V> {
    /// Keeps the group up to date where no request does: asks where servers are when it is time to, and ends the tunnels that an
    /// [evacuation](Builder::evacuation) is to end. Never completes. The crate starts no task by itself: run it in one of your own, once for
    /// a group and all its clones.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use switchover::upstream::{Group, Server};
    ///
    /// let group = Group::of([Server::to("10.0.0.1:9000"), Server::to("10.0.0.2:9000")]);
    /// let maintained = group.clone();
    /// let task = tokio::spawn(async move { maintained.maintain().await });
    /// # task.abort();
    /// # }
    /// ```
    ///
    /// It looks once a second, and whenever a name is to be [resolved](Builder::resolve) again. Without it the next request does what is
    /// due, and waits for an answer about a name up to a second. A name that cannot be resolved is found in [`sources`](Group::sources).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the maintenance, and a question that is under way; nothing else is lost.
    pub async fn maintain(&self) -> Infallible {
        loop {
            let mut refreshed = pin!(self.shared.refresh());
            // A name that is answered late, or never, holds up nothing else. What has failed is in the sources, and is asked for again.
            while timeout(LOOK, &mut refreshed).await.is_err() {
                self.shared.look_after();
            }
            sleep_until(self.shared.next_look()).await;
        }
    }
}

impl<C: Send + Sync, V: ServerConnector<C>> Group<C, V> {
    async fn connect_any(&self, request: ConnectRequest<'_>) -> Result<Counted<V::Stream>, ConnectError> {
        let own = Attempts::default();
        let attempts = request.attempts().unwrap_or(&own);
        self.shared.refresh().await?;
        let mut failure = None;
        loop {
            let chosen = match request.is_ordinary() {
                // No other request goes over its connection, and it is no tunnel for that.
                true => self
                    .shared
                    .choose_for_request(&request, attempts, &self.policy)
                    .map(|member| (member, None)),
                false => self.shared.choose_for_tunnel(&request, attempts, &self.policy),
            };
            let (member, permit) = match (chosen, failure) {
                (Ok(chosen), _) => chosen,
                (Err(_), Some(failure)) => return Err(failure),
                (Err(none), None) => return Err(none),
            };
            let is_last = self.shared.is_last(&member, attempts, &self.policy);
            match self.shared.attempt(&member, &*self.via, &request, is_last).await {
                Ok(stream) => {
                    own.end(AttemptOutcome::Connected);
                    return Ok(Counted::new(stream, permit));
                }
                Err(error) if attempts.end_unconnected(&error) => failure = Some(error),
                Err(error) => return Err(error),
            }
        }
    }
}

impl<C: Send + Sync, V: ServerConnector<C>> Connect for Group<C, V> {
    type Stream = Counted<V::Stream>;

    async fn connect(&self, request: ConnectRequest<'_>) -> Result<Counted<V::Stream>, ConnectError> {
        let Some(key) = request.pool_key() else {
            return self.connect_any(request).await;
        };
        // The caller that has chosen it says what becomes of it.
        let member = self.shared.at(key).ok_or(ConnectError::NoUpstream)?;
        let is_last = self.shared.is_last(&member, &Attempts::default(), &self.policy);
        let stream = self
            .shared
            .attempt(&member, &*self.via, &request, is_last)
            .await?;
        Ok(Counted::new(stream, None))
    }

    fn pooling(&self) -> Pooling {
        Pooling::Keyed
    }

    /// The key of the server that has the next turn, if connections to every server may be [shared](Pooling::Shared).
    async fn pool_key(&self, request: ConnectRequest<'_>) -> Option<PoolKey> {
        self.shared.refresh().await.ok()?;
        if !self.shared.are_poolable(&*self.via) {
            return None;
        }
        let choose = |attempts: &Attempts| {
            let chosen = self.shared.choose_for_request(&request, attempts, &self.policy);
            Some(chosen.ok()?.pool_key)
        };
        match request.attempts() {
            Some(attempts) => choose(attempts),
            None => choose(&Attempts::default()),
        }
    }
}

impl<C, V> fmt::Debug for Group<C, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.fmt(f)
    }
}

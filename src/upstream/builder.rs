//! What a group is made of, and its defaults.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::shared::Shared;
use super::source::Source;
use super::{Balance, Evacuation, Group, Retry, Server};
use crate::connect::{self, ConnectError, TcpConnect};

/// Builds a [`Group`].
///
/// ```
/// use std::time::Duration;
/// use switchover::upstream::{Balance, Group, Retry, Server};
///
/// let group = Group::builder()
///     .server(Server::to("10.0.0.1:9000").weight(2))
///     .server(Server::to("10.0.0.2:9000"))
///     .server(Server::to("10.0.0.9:9000").backup())
///     .balance(Balance::LeastTunnels)
///     .retry(Retry::default().max_attempts(2))
///     .connect_timeout(Duration::from_secs(1))
///     .build();
/// assert_eq!(group.servers().len(), 3);
/// ```
pub struct Builder<C = TcpConnect> {
    name: Arc<str>,
    servers: Vec<Server<C>>,
    sources: Vec<Source<C>>,
    balance: Balance,
    counts_requests: bool,
    retry: Retry,
    connect_timeout: Duration,
    evacuation: Option<Evacuation>,
}

impl<C> Builder<C> {
    pub(super) fn new() -> Self {
        Builder {
            name: "".into(),
            servers: Vec::new(),
            sources: Vec::new(),
            balance: Balance::default(),
            counts_requests: false,
            retry: Retry::default(),
            connect_timeout: Duration::from_secs(3),
            evacuation: None,
        }
    }

    /// What the group is called in metrics, spans and events: by its route, for example. Default: it has no name.
    ///
    /// Servers of the same name are one in the metrics, unless the names of their groups differ. The names are labels of metrics: a
    /// program has a bounded number of them.
    #[must_use]
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = name.into();
        self
    }

    /// Adds a server.
    #[must_use]
    pub fn server(mut self, server: Server<C>) -> Self {
        self.servers.push(server);
        self
    }

    /// Adds the servers at all addresses that a host and port resolve to: nginx's `resolve`. `make` says what a server at
    /// an address is.
    ///
    /// The name is resolved by the first request, and again by the first one after each interval, which waits for the
    /// answer up to a second; nothing goes on in the background, unless [`Group::maintain`] runs there. Servers whose addresses are there still stay what they
    /// were; those of others get no more requests, and their tunnels go on, unless there
    /// is an [evacuation](Builder::evacuation). One that is found again while it has tunnels is the server that it was, and has them. An
    /// answer has to have all addresses: a name that answers with some of them by turns is not for this. While the name does not resolve, the former
    /// answer holds, and it is asked for again every second; where there is none, connecting fails with
    /// [`ConnectError::Resolve`].
    ///
    /// ```
    /// use std::time::Duration;
    /// use switchover::upstream::{Group, Server};
    ///
    /// let group = Group::builder()
    ///     .resolve("chat.internal:9000", Duration::from_secs(30), |address| Server::to(address.to_string()))
    ///     .build();
    /// ```
    #[must_use]
    pub fn resolve<M>(mut self, name: impl Into<String>, every: Duration, make: M) -> Self
    where
        M: Fn(SocketAddr) -> Server<C> + Send + Sync + 'static,
    {
        let name = name.into();
        let find = {
            let name = name.clone();
            move || {
                let name = name.clone();
                async move { connect::resolve(&name).await }
            }
        };
        self.sources.push(Source::new(name, find, every, make));
        self
    }

    /// Adds the servers at addresses that the caller finds in another way: a registry, a file. Otherwise as
    /// [`resolve`](Builder::resolve); `name` is for errors.
    ///
    /// No address at all is an answer: that there is no such server.
    #[must_use]
    pub fn discover<F, Fut, M>(mut self, name: impl Into<String>, find: F, every: Duration, make: M) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'static,
        M: Fn(SocketAddr) -> Server<C> + Send + Sync + 'static,
    {
        let name = name.into();
        let named = name.clone();
        let find = move || {
            let (found, name) = (find(), named.clone());
            async move {
                found
                    .await
                    .map_err(|source| ConnectError::Resolve { name, error: source })
            }
        };
        self.sources.push(Source::new(name, find, every, make));
        self
    }

    /// How requests are spread. Default [`Balance::RoundRobin`].
    #[must_use]
    pub fn balance(mut self, balance: Balance) -> Self {
        self.balance = balance;
        self
    }

    /// Ordinary requests count as tunnels do, in the limits of servers and for the balance. Default: they do not, because they do
    /// not last.
    ///
    /// One counts from the choice of its server until the head of its answer is there; and longer for as long as the caller that
    /// [observes](Group::on_attempt) the answer keeps the [permit](super::Attempted::take_permit).
    #[must_use]
    pub fn count_requests(mut self) -> Self {
        self.counts_requests = true;
        self
    }

    /// When a request goes to the next server. Default [`Retry::default`].
    #[must_use]
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// How long connecting to one server may take while there is another to be tried that is not down, and never more than half of the
    /// time that the caller has left for all. Default 3 seconds: two segments that were lost.
    ///
    /// The last one has what is left ([`UpgradeConfig::connect_timeout`](crate::UpgradeConfig::connect_timeout)). For ordinary
    /// requests any may be the last, and each has this time.
    #[must_use]
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.connect_timeout = limit;
        self
    }

    /// What becomes of the tunnels of a server that leaves. Default: they go on.
    #[must_use]
    pub fn evacuation(mut self, evacuation: impl Into<Option<Evacuation>>) -> Self {
        self.evacuation = evacuation.into();
        self
    }

    /// The group.
    pub fn build(self) -> Group<C> {
        let shared = Shared::new(
            self.name,
            self.servers,
            self.sources,
            self.balance,
            self.counts_requests,
            self.connect_timeout,
            self.evacuation,
        );
        Group::new(shared, self.retry)
    }
}

impl<C> fmt::Debug for Builder<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let servers: Vec<&str> = self.servers.iter().map(|server| server.name.as_str()).collect();
        f.debug_struct("Builder")
            .field("name", &self.name)
            .field("servers", &servers)
            .field("balance", &self.balance)
            .field("retry", &self.retry)
            .field("connect_timeout", &self.connect_timeout)
            .finish_non_exhaustive()
    }
}

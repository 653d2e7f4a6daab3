//! What the requests of a group have in common: the servers that there are at a moment, and the time that each gets.

mod looking_after;

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use crate::clock::After;
use crate::connect::{Attempts, ConnectError, ConnectRequest, PoolKey, Pooling};
use crate::telemetry;
use crate::tunnel::Permit;
use crate::upstream::balance::Balance;
use crate::upstream::evacuation::Evacuation;
use crate::upstream::members::Members;
use crate::upstream::record::{Member, Record};
use crate::upstream::server::Server;
use crate::upstream::source::{Source, SourceStatus, TIMEOUT};
use crate::upstream::view::{Policy, ServerConnector, Trial};
pub(in crate::upstream) use looking_after::LOOK;

pub(in crate::upstream) struct Shared<C> {
    /// What the group is called; empty where it has no name.
    name: Arc<str>,
    members: Mutex<Members<C>>,
    pub(in crate::upstream) sources: Vec<Source<C>>,
    balance: Balance,
    counts_requests: bool,
    /// How many servers there are.
    count: Arc<AtomicUsize>,
    connect_timeout: Duration,
    evacuation: Option<Evacuation>,
    /// When the last tunnel ends that was chosen for a server that came back.
    rebalanced_until: Mutex<Option<Instant>>,
    /// How many servers there have been.
    numbers: AtomicUsize,
}

impl<C> Shared<C> {
    pub(in crate::upstream) fn new(
        name: Arc<str>,
        servers: Vec<Server<C>>,
        sources: Vec<Source<C>>,
        balance: Balance,
        counts_requests: bool,
        connect_timeout: Duration,
        evacuation: Option<Evacuation>,
    ) -> Self {
        let shared = Shared {
            name,
            members: Mutex::new(Members::default()),
            sources,
            balance,
            counts_requests,
            count: Arc::default(),
            connect_timeout,
            evacuation,
            rebalanced_until: Mutex::default(),
            numbers: AtomicUsize::new(0),
        };
        let members = servers.into_iter().map(|server| shared.member(server, None));
        let members = members.collect();
        shared.change(|_| true, members);
        shared
    }

    pub(in crate::upstream) fn members(&self) -> MutexGuard<'_, Members<C>> {
        // Nothing in here panics halfway.
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_servers(&self) -> bool {
        self.members().iter().next().is_some()
    }

    /// How many servers there are, now and later.
    pub(in crate::upstream) fn count(&self) -> Arc<AtomicUsize> {
        self.count.clone()
    }

    pub(in crate::upstream) fn sources(&self) -> Vec<SourceStatus> {
        self.sources.iter().map(Source::status).collect()
    }

    /// The server of a pool key, if it is still in the group.
    pub(in crate::upstream) fn at(&self, key: PoolKey) -> Option<Arc<Member<C>>> {
        let members = self.members();
        members.iter().find(|member| member.pool_key == key).cloned()
    }

    /// Asks where servers are, if it is time to.
    ///
    /// # Errors
    ///
    /// There is not one, because there is no answer.
    pub(in crate::upstream) async fn refresh(&self) -> Result<(), ConnectError> {
        let mut failure = None;
        if !self.sources.is_empty() {
            // Whoever answers late holds up no other server's tunnels, and no other name.
            self.look_after();
            let sources = self.sources.iter().enumerate();
            let has_servers = self.has_servers();
            // Boxed: most groups have no sources, and it would set the size of all that is asked of them.
            let mut asked: Vec<_> = sources
                .map(|(index, source)| {
                    Box::pin(source.refresh(has_servers, move |addresses| {
                        self.found(index, source, addresses);
                    }))
                })
                .collect();
            // Once one name has an answer, the others are not waited for without end.
            let mut others = None;
            poll_fn(|cx| {
                asked.retain_mut(|refreshed| match refreshed.as_mut().poll(cx) {
                    Poll::Ready(answered) => {
                        failure = answered.err().or(failure.take());
                        false
                    }
                    Poll::Pending => true,
                });
                if asked.is_empty() {
                    return Poll::Ready(());
                }
                if !self.has_servers() {
                    return Poll::Pending;
                }
                let others = others.get_or_insert_with(|| Box::pin(sleep(TIMEOUT)));
                others.as_mut().poll(cx)
            })
            .await;
        }
        self.look_after();
        match failure {
            Some(error) if !self.has_servers() => Err(error),
            _ => Ok(()),
        }
    }

    /// The servers of a source are those at these addresses, and those that were there before stay what they were.
    fn found(&self, index: usize, source: &Source<C>, addresses: &[SocketAddr]) {
        let at = |address: &SocketAddr| Some((index, *address));
        let known: Vec<_> = self.members().iter().map(|member| member.found).collect();
        let new = addresses.iter().filter(|address| !known.contains(&at(address)));
        // Made without the lock: that is the caller's code.
        let new = new.map(|address| self.member(source.server(*address), at(address)));
        let new = new.collect();
        let keep = |member: &Member<C>| match member.found {
            Some((of, address)) if of == index => addresses.contains(&address),
            _ => true,
        };
        self.change(keep, new);
    }

    fn member(&self, server: Server<C>, found: Option<(usize, SocketAddr)>) -> Arc<Member<C>> {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        Arc::new(Member::new(server, &self.name, number, found))
    }

    fn change(&self, keep: impl Fn(&Member<C>) -> bool, new: Vec<Arc<Member<C>>>) {
        let removed = {
            let mut members = self.members();
            let (count, removed) = members.change(keep, new);
            self.count.store(count, Ordering::Relaxed);
            removed
        };
        for member in removed {
            telemetry::server_changed(member.record.place(), "removed");
            self.settle(&member.record);
        }
    }

    /// Takes servers out, or back in. False if there is none of these.
    pub(in crate::upstream) fn set_down(&self, is_it: impl Fn(&Record) -> bool, down: bool) -> bool {
        let found: Vec<_> = {
            let members = self.members();
            let these = members.iter().filter(|member| is_it(&member.record));
            these.cloned().collect()
        };
        for member in &found {
            if member.record.set_down(down) {
                telemetry::server_changed(member.record.place(), if down { "down" } else { "up" });
                self.settle(&member.record);
            }
        }
        self.look_after();
        !found.is_empty()
    }

    /// Records the state of each server, and how many tunnels it has. Those of the same name are one.
    #[cfg(feature = "metrics")]
    pub(in crate::upstream) fn record_metrics(&self) {
        let records: Vec<_> = {
            let mut members = self.members();
            let of_all = members.iter().chain(members.gone());
            let records = of_all.map(|member| member.record.clone()).collect();
            members.forget_gone();
            records
        };
        let mut places: Vec<telemetry::ServersAt> = Vec::new();
        for record in records {
            let (place, state) = (record.place(), record.state());
            if state.is_some() {
                telemetry::touch_server(place);
            }
            let at = places.iter().position(|servers| servers.is_at(place));
            let at = at.unwrap_or_else(|| {
                places.push(telemetry::ServersAt::of(place));
                places.len() - 1
            });
            places[at].add(state, record.tunnels());
        }
        places.iter().for_each(telemetry::ServersAt::record);
    }

    /// Chooses a server for a tunnel, which has its place, and begins the attempt there.
    pub(in crate::upstream) fn choose_for_tunnel(
        &self,
        request: &ConnectRequest<'_>,
        attempts: &Attempts,
        policy: &Arc<Policy>,
    ) -> Result<(Arc<Member<C>>, Option<Permit>), ConnectError> {
        let (member, permit) = self.choose(request, attempts, true)?;
        attempts.begin(Trial::new(member.record.clone(), policy.clone(), None));
        Ok((member, permit))
    }

    /// Chooses a server for an ordinary request, which has its place there if it counts, and begins the attempt.
    pub(in crate::upstream) fn choose_for_request(
        &self,
        request: &ConnectRequest<'_>,
        attempts: &Attempts,
        policy: &Arc<Policy>,
    ) -> Result<Arc<Member<C>>, ConnectError> {
        let (member, permit) = self.choose(request, attempts, self.counts_requests)?;
        attempts.begin(Trial::new(member.record.clone(), policy.clone(), permit));
        Ok(member)
    }

    fn choose(
        &self,
        request: &ConnectRequest<'_>,
        attempts: &Attempts,
        counts: bool,
    ) -> Result<(Arc<Member<C>>, Option<Permit>), ConnectError> {
        let wish = self.wish(&self.balance, request, attempts, counts);
        self.members().choose(&self.balance, wish, attempts, counts)
    }
}

impl<C> Shared<C> {
    pub(in crate::upstream) fn are_poolable(&self, via: &impl ServerConnector<C>) -> bool {
        self.members()
            .iter()
            .all(|member| via.pooling(&member.connect) == Pooling::Shared)
    }

    /// Whether no other server may be tried after this one, which was chosen: the rule has no more of them, or all others are down or have
    /// had their turn.
    pub(in crate::upstream) fn is_last(
        &self,
        chosen: &Member<C>,
        attempts: &Attempts,
        policy: &Policy,
    ) -> bool {
        let is_other = |record: &Record| {
            !record.is_down() && record.id() != chosen.record.id() && !attempts.contains(record.id())
        };
        attempts.count().max(1) >= policy.limit()
            || !self.members().iter().any(|member| is_other(&member.record))
    }

    /// The request as the connector of a server sees it. What it may try by itself is its own business.
    fn inner<'a>(request: &ConnectRequest<'a>) -> ConnectRequest<'a> {
        request.of_its_own()
    }

    /// Connects to a server that was chosen. As long as there may be others, it has no more than its share of the time.
    pub(in crate::upstream) async fn attempt<V: ServerConnector<C>>(
        &self,
        member: &Member<C>,
        via: &V,
        request: &ConnectRequest<'_>,
        is_last: bool,
    ) -> Result<V::Stream, ConnectError> {
        let inner = Self::inner(request);
        if is_last {
            return via.connect(&member.connect, inner).await;
        }
        let now = Instant::now();
        let limit = request.deadline().map_or(self.connect_timeout, |deadline| {
            self.connect_timeout
                .min(deadline.saturating_duration_since(now) / 2)
        });
        let connected = timeout(limit, via.connect(&member.connect, inner.until(now.after(limit)))).await;
        connected.unwrap_or_else(|_| {
            Err(ConnectError::Failed {
                name: member.record.name().to_owned(),
                error: io::ErrorKind::TimedOut.into(),
            })
        })
    }
}

impl<C> fmt::Debug for Shared<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let servers: Vec<_> = self
            .members()
            .iter()
            .map(|member| member.record.clone())
            .collect();
        f.debug_struct("Group")
            .field("name", &self.name)
            .field("servers", &servers)
            .field("balance", &self.balance)
            .finish_non_exhaustive()
    }
}

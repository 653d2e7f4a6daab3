//! This file decides which connection to an upstream a request uses: one that hyper-util's client keeps for the same place, or a
//! fresh one.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::uri::Authority;
use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::rt::Executor;
use hyper_util::client::legacy::{Client, connect};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout_at};
use tower_service::Service;

use super::forward::Ask;
use super::outgoing::{Outgoing, OutgoingBody};
use super::upstream::{Connector, Upstream};
use crate::clock::After;
use crate::connect::{Connect, ConnectRequest, PoolKey, Pooling};
use crate::error::{Cause, Phase};
use crate::header::Hop;
use crate::service::config::RelayConfig;
use crate::service::failure::Failure;
use crate::service::tasks::Tasks;

/// How long an idle upstream connection stays in the pool. Shorter than what servers commonly allow (Node: 5
/// seconds), so that a request seldom meets a connection that is being closed.
const POOL_IDLE: Duration = Duration::from_secs(4);
const POOL_SIZE: usize = 64;

/// How large a head hyper may take in: the guard in front of it is the one that refuses.
fn buffer_size(config: &RelayConfig) -> usize {
    config.limits.bytes().max(64 * 1024).saturating_add(64 * 1024)
}

/// A client with an empty pool.
fn client<K>(connector: K, config: &RelayConfig, tasks: Tasks) -> Client<K, OutgoingBody>
where
    K: connect::Connect + Clone,
{
    Client::builder(tasks)
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(POOL_IDLE)
        .pool_max_idle_per_host(POOL_SIZE)
        .http1_title_case_headers(true)
        .http1_max_headers(config.limits.fields())
        .http1_max_buf_size(buffer_size(config))
        .build(connector)
}

/// A way upstream.
pub(in crate::service) enum Way<C: Connect + 'static> {
    /// To the authority of each request.
    Named(Client<Connector, OutgoingBody>, Box<Afresh>),
    /// To where a connector leads, always to the same place: idle connections are kept.
    Alike(Client<Places<C>, OutgoingBody>, Arc<C>, Box<Afresh>),
    /// To where it leads for the request: idle connections are kept for each place, where it says which that is.
    Choosing(Client<Places<C>, OutgoingBody>, Arc<C>, Box<Afresh>),
}

impl<C: Connect + 'static> Way<C> {
    pub(in crate::service) fn named(config: &RelayConfig) -> Self {
        let client = client(Connector::new(config.clone()), config, Tasks::default());
        Way::Named(client, Box::new(Afresh::new(config, Tasks::default())))
    }

    pub(in crate::service) fn through(connect: Arc<C>, config: &RelayConfig, tasks: Tasks) -> Self {
        let places = Places {
            connect: connect.clone(),
            config: config.clone(),
        };
        let client = client(places, config, tasks.clone());
        let afresh = Box::new(Afresh::new(config, tasks));
        match connect.pooling() {
            Pooling::Shared => Way::Alike(client, connect, afresh),
            _ => Way::Choosing(client, connect, afresh),
        }
    }
}

impl<C: Connect + 'static> Ask for Way<C> {
    async fn ask(&self, outgoing: &mut Outgoing<'_>) -> Result<Response<Incoming>, Failure> {
        let answered = match self {
            Way::Named(client, afresh) => {
                outgoing.sets_out(outgoing.authority());
                if outgoing.wants_fresh() {
                    let stream = Connector::new(afresh.config.clone()).call(outgoing.uri()).await?;
                    return afresh.ask_over(stream, outgoing).await;
                }
                client.request(outgoing.request()).await
            }
            Way::Alike(_, connect, afresh) | Way::Choosing(_, connect, afresh) if outgoing.wants_fresh() => {
                outgoing.sets_out(None);
                return afresh.ask(&**connect, outgoing).await;
            }
            Way::Alike(client, ..) => {
                outgoing.sets_out(None);
                outgoing.set_authority(authority(PoolKey::SHARED));
                client.request(outgoing.request()).await
            }
            Way::Choosing(client, connect, afresh) => {
                outgoing.sets_out(None);
                let limit = afresh.config.connect_limit();
                let deadline = Instant::now().after(limit);
                let chosen = timeout_at(
                    deadline,
                    connect.pool_key(outgoing.connect_request().until(deadline)),
                );
                let chosen = chosen
                    .await
                    .map_err(|_| Failure::new(Phase::Connect, Cause::TimedOut(limit)))?;
                let Some(place) = chosen else {
                    return afresh.ask(&**connect, outgoing).await;
                };
                outgoing.set_authority(authority(place));
                client.request(outgoing.request()).await
            }
        };
        answered.map_err(|error| Failure::within(&error))
    }
}

/// The name of a place, by which the pool keeps connections apart.
fn authority(place: PoolKey) -> Authority {
    match place {
        PoolKey::SHARED => Authority::from_static("upstream"),
        // Digits and a label: a host.
        place => Authority::try_from(format!("{}.upstream", place.number()))
            .unwrap_or(Authority::from_static("upstream")),
    }
}

fn place_of(uri: &Uri) -> PoolKey {
    let number = uri.host().and_then(|host| host.strip_suffix(".upstream"));
    let number = number.and_then(|number| number.parse().ok());
    number.map_or(PoolKey::SHARED, PoolKey::new)
}

/// Connections of their own for single requests.
pub(in crate::service) struct Afresh {
    config: RelayConfig,
    tasks: Tasks,
}

impl Afresh {
    fn new(config: &RelayConfig, tasks: Tasks) -> Self {
        Afresh {
            config: config.clone(),
            tasks,
        }
    }

    async fn ask<C: Connect>(
        &self,
        connect: &C,
        outgoing: &mut Outgoing<'_>,
    ) -> Result<Response<Incoming>, Failure> {
        let upstream = upstream(connect, outgoing.connect_request(), &self.config).await?;
        self.ask_over(upstream, outgoing).await
    }

    async fn ask_over<S>(
        &self,
        upstream: TokioIo<Upstream<S>>,
        outgoing: &mut Outgoing<'_>,
    ) -> Result<Response<Incoming>, Failure>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        outgoing.set_origin_form();
        outgoing.connected();
        let (mut sender, connection) = http1::Builder::new()
            .title_case_headers(true)
            .max_headers(self.config.limits.fields())
            .max_buf_size(buffer_size(&self.config))
            .handshake(upstream)
            .await
            .map_err(|error| Failure::within(&error))?;
        // It ends with the response's body, and what went wrong is told there.
        self.tasks.execute(connection);
        let answered = sender.send_request(outgoing.request()).await;
        answered.map_err(|error| Failure::within(&error))
    }
}

async fn upstream<C: Connect>(
    connect: &C,
    request: ConnectRequest<'_>,
    config: &RelayConfig,
) -> Result<TokioIo<Upstream<C::Stream>>, Failure> {
    let limit = config.connect_limit();
    let deadline = Instant::now().after(limit);
    let stream = timeout_at(deadline, connect.connect(request.until(deadline)))
        .await
        .map_err(|_| Failure::new(Phase::Connect, Cause::TimedOut(limit)))?
        .map_err(|error| Failure::new(Phase::Connect, error))?;
    Ok(TokioIo::new(Upstream::new(stream, config)))
}

/// Connects hyper-util's client to the places of a connector.
pub(in crate::service) struct Places<C> {
    connect: Arc<C>,
    config: RelayConfig,
}

impl<C> Clone for Places<C> {
    fn clone(&self) -> Self {
        Places {
            connect: self.connect.clone(),
            config: self.config.clone(),
        }
    }
}

impl<C: Connect + 'static> tower_service::Service<Uri> for Places<C> {
    type Response = TokioIo<Upstream<C::Stream>>;
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Failure>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let Places { connect, config } = self.clone();
        Box::pin(async move {
            let place = place_of(&uri);
            // The connection is for whichever request comes first, and for others after it.
            let (mut any, ()) = Request::new(()).into_parts();
            any.uri = uri;
            let request = ConnectRequest::new(&any, Hop::unknown()).pooled(place);
            upstream(&*connect, request, &config).await
        })
    }
}

impl<C: Connect + 'static> fmt::Debug for Way<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Way::Named(..) => "Named",
            Way::Alike(..) => "Alike",
            Way::Choosing(..) => "Choosing",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_found_again_by_its_name() {
        for number in [0, 1, 9, 10, u64::MAX] {
            let place = PoolKey::new(number);
            let uri = Uri::builder().scheme("http").authority(authority(place));
            let uri = uri.path_and_query("/").build().unwrap();
            assert_eq!(place_of(&uri), place);
        }
    }
}

//! Which connection to an upstream a request goes over: one that is kept for the place that it goes to, or a fresh one.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::Poll;

use http::uri::{Authority, Scheme};
use http::{Request, Uri};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout_at};

use super::asked::Asked;
use super::connection::Connection;
use super::destination::Destination;
use super::idle::Idle;
use super::upstream;
use crate::clock::After;
use crate::connect::{Connect, ConnectError, ConnectRequest, PoolKey};
use crate::error::{Cause, Phase};
use crate::header::Hop;
use crate::service::config::RelayConfig;
use crate::service::failure::Failure;
use crate::service::tasks::Tasks;
use crate::tunnel::AnyStream;

/// Where connections come from.
pub(in crate::service) trait Source: Send + Sync {
    type Place: Send;
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// A connection for the request.
    fn open(
        &self,
        asked: &Asked,
        destination: &Destination,
        config: &RelayConfig,
    ) -> impl Future<Output = Result<Opened<Self::Place, Self::Stream>, Failure>> + Send;

    /// Keeps a connection for other requests that go to the same place.
    fn keep(&self, opened: Opened<Self::Place, Self::Stream>);
}

/// A connection, and the place that it leads to, where it may be kept for others.
pub(in crate::service) struct Opened<K, S> {
    pub(super) connection: Connection<S>,
    place: Option<K>,
}

/// To the authority of each request's destination.
#[derive(Clone, Debug)]
pub(in crate::service) struct Named {
    idle: Idle<(Scheme, Authority), AnyStream>,
}

impl Named {
    pub(super) fn new() -> Self {
        Named {
            idle: Idle::new(Tasks::default()),
        }
    }
}

impl Source for Named {
    type Place = (Scheme, Authority);
    type Stream = AnyStream;

    async fn open(
        &self,
        asked: &Asked,
        destination: &Destination,
        config: &RelayConfig,
    ) -> Result<Opened<Self::Place, AnyStream>, Failure> {
        asked.sets_out(Some(destination.authority.as_str()));
        let place = (destination.scheme.clone(), destination.authority.clone());
        if let Some(connection) = taken(&self.idle, &place, asked).await {
            return Ok(Opened::kept(connection, place));
        }
        let uri = Uri::builder()
            .scheme(place.0.clone())
            .authority(place.1.clone())
            .path_and_query("/");
        // A scheme, an authority and a path: nothing in it can be wrong.
        let uri = uri.build().unwrap_or_default();
        let stream = within(config, |_| upstream::connect(&uri, config)).await?;
        asked.connected();
        Ok(Opened::kept(Connection::new(stream), place))
    }

    fn keep(&self, opened: Opened<Self::Place, AnyStream>) {
        if let Some(place) = opened.place {
            self.idle.put(place, opened.connection);
        }
    }
}

/// To where a connector leads.
pub(in crate::service) struct Through<C: Connect> {
    connect: Arc<C>,
    idle: Idle<PoolKey, C::Stream>,
}

impl<C: Connect> Through<C> {
    pub(super) fn new(connect: Arc<C>, tasks: Tasks) -> Self {
        Through {
            connect,
            idle: Idle::new(tasks),
        }
    }
}

impl<C: Connect> Source for Through<C> {
    type Place = PoolKey;
    type Stream = C::Stream;

    async fn open(
        &self,
        asked: &Asked,
        _: &Destination,
        config: &RelayConfig,
    ) -> Result<Opened<PoolKey, C::Stream>, Failure> {
        asked.sets_out(None);
        let connect = &*self.connect;
        let choose =
            |deadline| async move { Ok(connect.pool_key(asked.connect_request().until(deadline)).await) };
        let Some(place) = within(config, choose).await? else {
            let stream = within(config, |deadline| {
                connect.connect(asked.connect_request().until(deadline))
            })
            .await?;
            asked.connected();
            return Ok(Opened {
                connection: Connection::new(stream),
                place: None,
            });
        };
        if let Some(connection) = taken(&self.idle, &place, asked).await {
            return Ok(Opened::kept(connection, place));
        }
        // The connection is for this request, and for any other after it.
        let (any, ()) = Request::new(()).into_parts();
        let request = ConnectRequest::new(&any, Hop::unknown()).pooled(place);
        let stream = within(config, |deadline| connect.connect(request.until(deadline))).await?;
        asked.connected();
        Ok(Opened::kept(Connection::new(stream), place))
    }

    fn keep(&self, opened: Opened<PoolKey, C::Stream>) {
        if let Some(place) = opened.place {
            self.idle.put(place, opened.connection);
        }
    }
}

impl<K, S> Opened<K, S> {
    fn kept(connection: Connection<S>, place: K) -> Self {
        Opened {
            connection,
            place: Some(place),
        }
    }
}

/// One that waits, unless the request has to have a fresh one.
async fn taken<K, S>(idle: &Idle<K, S>, place: &K, asked: &Asked) -> Option<Connection<S>>
where
    K: Clone + Eq + std::hash::Hash + Send + 'static,
    S: AsyncRead + Unpin + Send + 'static,
{
    if asked.wants_fresh() {
        return None;
    }
    poll_fn(|cx| Poll::Ready(idle.take(cx, place))).await
}

/// What a step of connecting comes to in its time.
async fn within<T, F>(config: &RelayConfig, step: impl FnOnce(Instant) -> F) -> Result<T, Failure>
where
    F: Future<Output = Result<T, ConnectError>>,
{
    let limit = config.connect_limit();
    let deadline = Instant::now().after(limit);
    timeout_at(deadline, step(deadline))
        .await
        .map_err(|_| Failure::new(Phase::Connect, Cause::TimedOut(limit)))?
        .map_err(|error| Failure::new(Phase::Connect, error))
}

//! Law: which connection to an upstream a request goes over: one that hyper-util's client keeps, or a fresh one.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::rt::Executor;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::Connect as Connector;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::time::timeout;

use super::body::RequestBody;
use super::config::RelayConfig;
use super::failure::Failure;
use super::forward::Ask;
use super::tasks::Tasks;
use super::upstream::Upstream;
use crate::connect::{Connect, ConnectRequest};
use crate::error::{Cause, Phase};
use crate::header::Hop;

/// How long an idle upstream connection stays in the pool. Shorter than what servers commonly allow (Node: 5
/// seconds), so that a request seldom meets a connection that is being closed.
const POOL_IDLE: Duration = Duration::from_secs(4);
const POOL_SIZE: usize = 64;

/// How large a head hyper may take in: the guard in front of it is the one that refuses.
fn buffer_size(config: &RelayConfig) -> usize {
    config.limits.bytes().max(64 * 1024) + 64 * 1024
}

/// A client with an empty pool.
pub(super) fn client<K>(connector: K, config: &RelayConfig, tasks: Tasks) -> Client<K, RequestBody>
where
    K: Connector + Clone,
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

impl<K> Ask for Client<K, RequestBody>
where
    K: Connector + Clone + Send + Sync + 'static,
{
    async fn ask(&self, request: Request<RequestBody>, _hop: Hop) -> Result<Response<Incoming>, Failure> {
        self.request(request)
            .await
            .map_err(|error| Failure::within(&error))
    }
}

/// A way upstream over a connector of the caller's.
pub(super) enum Way<C: Connect + 'static> {
    /// All its connections lead to the same place: idle ones are kept.
    Kept(Box<Client<Alike<C>, RequestBody>>),
    /// It chooses by the request: each gets a connection of its own.
    Fresh(Arc<C>, RelayConfig, Tasks),
}

impl<C: Connect + 'static> Way<C> {
    pub(super) fn new(connect: Arc<C>, config: &RelayConfig, tasks: Tasks) -> Self {
        let config = config.clone();
        if !connect.is_uniform() {
            return Way::Fresh(connect, config, tasks);
        }
        let alike = Alike {
            connect,
            config: config.clone(),
        };
        Way::Kept(Box::new(client(alike, &config, tasks)))
    }
}

impl<C: Connect + 'static> Ask for Way<C> {
    async fn ask(&self, request: Request<RequestBody>, hop: Hop) -> Result<Response<Incoming>, Failure> {
        match self {
            Way::Kept(client) => client.ask(request, hop).await,
            Way::Fresh(connect, config, tasks) => ask_afresh(&**connect, config, tasks, request, hop).await,
        }
    }
}

async fn ask_afresh<C: Connect>(
    connect: &C,
    config: &RelayConfig,
    tasks: &Tasks,
    request: Request<RequestBody>,
    hop: Hop,
) -> Result<Response<Incoming>, Failure> {
    let (mut parts, body) = request.into_parts();
    if let Some(target) = parts.uri.path_and_query().cloned() {
        parts.uri = Uri::from(target);
    }
    let upstream = upstream(connect, ConnectRequest::new(&parts, hop), config).await?;
    let (mut sender, connection) = http1::Builder::new()
        .title_case_headers(true)
        .max_headers(config.limits.fields())
        .max_buf_size(buffer_size(config))
        .handshake(upstream)
        .await
        .map_err(|error| Failure::within(&error))?;
    // It ends with the response's body, and what went wrong is told there.
    tasks.execute(connection);
    let answered = sender.send_request(Request::from_parts(parts, body)).await;
    answered.map_err(|error| Failure::within(&error))
}

async fn upstream<C: Connect>(
    connect: &C,
    request: ConnectRequest<'_>,
    config: &RelayConfig,
) -> Result<TokioIo<Upstream<C::Stream>>, Failure> {
    let limit = config.connect_limit();
    let stream = timeout(limit, connect.connect(request))
        .await
        .map_err(|_| Failure::new(Phase::Connect, Cause::TimedOut(limit)))?
        .map_err(|error| Failure::new(Phase::Connect, error))?;
    Ok(TokioIo::new(Upstream::new(stream, config)))
}

/// Connects hyper-util's client by way of a connector whose connections all lead to the same place.
pub(super) struct Alike<C> {
    connect: Arc<C>,
    config: RelayConfig,
}

impl<C> Clone for Alike<C> {
    fn clone(&self) -> Self {
        Alike {
            connect: self.connect.clone(),
            config: self.config.clone(),
        }
    }
}

impl<C: Connect + 'static> tower_service::Service<Uri> for Alike<C> {
    type Response = TokioIo<Upstream<C::Stream>>;
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Failure>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let Alike { connect, config } = self.clone();
        Box::pin(async move {
            // The connection is for whichever request comes first, and for others after it.
            let (mut any, ()) = Request::new(()).into_parts();
            any.uri = uri;
            upstream(&*connect, ConnectRequest::new(&any, Hop::unknown()), &config).await
        })
    }
}

impl<C: Connect + 'static> fmt::Debug for Way<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Way::Kept(_) => "Kept",
            Way::Fresh(..) => "Fresh",
        })
    }
}

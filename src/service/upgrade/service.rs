//! A service for paths where only upgrades are served. Every other request is answered 426.

use std::convert::Infallible;
use std::fmt;
use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::request::Parts;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::config::ServiceConfig;
use super::{Responding, Upgrader};
use crate::connect::Connect;
use crate::service::BoxError;
use crate::service::Refusal;
use crate::service::body::ProxyBody;
use crate::service::by::By;
use crate::service::dialect::not_an_upgrade;
use crate::service::relay::rejected;

/// A tower service that tunnels upgrades to an upstream. Cheap to clone.
///
/// 1. An upgrade that the policy allows is asked of the upstream; if that switches, the client gets its 101, and the
///    tunnel runs in a task of its own ([`ServiceConfig::executor`]).
/// 2. An upgrade that the policy refuses is answered as
///    [`Rejection::status`](crate::handshake::Rejection::status) says, and no upstream is asked.
/// 3. An upstream that declines is relayed whole; one that fails is a 502 or 504.
/// 4. A request that is no upgrade is answered 426 with `Upgrade: websocket`.
///
/// The reason of a response of the proxy's own is in its extensions: a
/// [`Rejection`](crate::handshake::Rejection), or an [`Error`](crate::Error) in an `Arc`.
///
/// The server must offer upgrades: `axum::serve`, hyper-util's `serve_connection_with_upgrades`, hyper's
/// `with_upgrades`.
///
/// ```
/// use axum::Router;
/// use switchover::TcpConnect;
/// use switchover::service::UpgradeService;
///
/// let chat = UpgradeService::new(TcpConnect::to("chat.internal:9000"));
/// let app: Router = Router::new().route_service("/live/{*rest}", chat);
/// ```
#[derive(Debug)]
pub struct UpgradeService<C> {
    upgrader: Arc<Upgrader<C>>,
}

impl<C: Connect + 'static> UpgradeService<C> {
    /// To what `connect` connects to, with the default configuration.
    pub fn new(connect: C) -> Self {
        UpgradeService {
            upgrader: Upgrader::new(Arc::new(connect), ServiceConfig::default()),
        }
    }

    /// With this configuration.
    #[must_use]
    pub fn config(self, config: ServiceConfig) -> Self {
        UpgradeService {
            upgrader: self.upgrader.configured(config),
        }
    }
}

impl<C: Connect + 'static> UpgradeService<C> {
    /// A service that chooses one of several for each request, by anything in its head: path, host, a value that a layer has put
    /// among the extensions.
    ///
    /// The closure may also change the head that goes upstream (its path, or an `Authorization` of the proxy's own), put
    /// [`HeaderRules`](crate::header::HeaderRules) among the extensions, which take the place of those of the
    /// [configuration](ServiceConfig::forwarding) for this request, or refuse with any response ([`Refusal`]). It is called for
    /// every request, before it is known to be an upgrade, and must not block. The connection of a refused upgrade closes, because
    /// what its client sends next may be no request (RFC 9931).
    ///
    /// ```
    /// use std::collections::HashMap;
    /// use http::{StatusCode, Uri};
    /// use switchover::TcpConnect;
    /// use switchover::service::UpgradeService;
    ///
    /// let rooms = HashMap::from([
    ///     ("/room/red", UpgradeService::new(TcpConnect::to("10.0.0.1:9000"))),
    ///     ("/room/blue", UpgradeService::new(TcpConnect::to("10.0.0.2:9000"))),
    /// ]);
    /// let service = UpgradeService::by(move |parts| {
    ///     let room = rooms.get(parts.uri.path()).ok_or(StatusCode::NOT_FOUND)?;
    ///     parts.uri = Uri::from_static("/socket");
    ///     Ok(room.clone())
    /// });
    /// # let app: axum::Router = axum::Router::new().fallback_service(service);
    /// ```
    pub fn by<F>(choose: F) -> By<F>
    where
        F: Fn(&mut Parts) -> Result<UpgradeService<C>, Refusal>,
    {
        By::new(choose)
    }

    /// The response to a request, for a handler that calls the service by itself. Never an error: what fails is a response.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up the request.
    pub async fn serve<B>(&self, request: Request<B>) -> Response<ProxyBody>
    where
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        let Ok(response) = self.clone().call(request).await;
        response
    }
}

impl<C> Clone for UpgradeService<C> {
    fn clone(&self) -> Self {
        UpgradeService {
            upgrader: self.upgrader.clone(),
        }
    }
}

impl<C, B> Service<Request<B>> for UpgradeService<C>
where
    C: Connect + 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    type Response = Response<ProxyBody>;
    type Error = Infallible;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> ResponseFuture {
        self.upgrader.begin(request).respond(|request| {
            let (parts, _) = request.into_parts();
            let policy = &self.upgrader.config.upgrade.policy;
            let mut response = rejected(not_an_upgrade(&parts, policy));
            policy.name_in_426(response.headers_mut());
            Box::pin(ready(response))
        })
    }
}

/// The response of an [`UpgradeService`] or [`ReverseProxy`](crate::service::ReverseProxy). Dropping it gives up the request.
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture(Responding);

impl ResponseFuture {
    pub(in crate::service) fn new(response: Responding) -> Self {
        ResponseFuture(response)
    }
}

impl Future for ResponseFuture {
    type Output = Result<Response<ProxyBody>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx).map(Ok)
    }
}

impl fmt::Debug for ResponseFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

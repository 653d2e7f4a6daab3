//! A service for paths that belong to an upstream as a whole: upgrades are tunnelled, everything else is relayed, under the same
//! header rules.

use std::convert::Infallible;
use std::future::ready;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::request::Parts;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::BoxError;
use super::Refusal;
use super::body::ProxyBody;
use super::by::By;
use super::config::RelayConfig;
use super::peer;
use super::relay::{Destination, Forwarder, Sources, rejected};
use super::upgrade::{ResponseFuture, ServiceConfig, Upgrader};
use crate::connect::Connect;
use crate::header::HeaderRules;

/// A tower service that hands over all requests to an upstream. Cheap to clone.
///
/// Upgrades are served as by [`UpgradeService`](super::UpgradeService). Ordinary requests of HTTP/1 and HTTP/2 are sent
/// to the same upstream, as HTTP/1.1, and checked as strictly as the crate's own parser does
/// ([`check_request`](crate::http1::check_request)); both get the same fields. Where [`Connect::pool_key`] says which go to the
/// same place, connections are [kept for a while](RelayConfig::idle_timeout) and used again.
///
/// The reason of a response of the proxy's own is in its extensions: a [`Rejection`](crate::handshake::Rejection), or
/// an [`Error`](crate::Error) in an `Arc`. Interim responses of the upstream end here, since hyper's server cannot send
/// them; the crate's own server of HTTP/2 (`Http2Server`) sends them.
///
/// ```
/// use axum::Router;
/// use switchover::TcpConnect;
/// use switchover::service::ReverseProxy;
///
/// let app: Router = Router::new().fallback_service(ReverseProxy::new(TcpConnect::to("app.internal:3000")));
/// ```
#[derive(Debug)]
pub struct ReverseProxy<C: Connect + 'static> {
    upgrader: Arc<Upgrader<C>>,
    forwarder: Arc<Forwarder<C>>,
}

impl<C: Connect + 'static> ReverseProxy<C> {
    /// To what `connect` connects to, with the default configurations.
    pub fn new(connect: C) -> Self {
        ReverseProxy::of(
            Arc::new(connect),
            ServiceConfig::default(),
            RelayConfig::default(),
        )
    }

    /// With this configuration of upgrades, and of what the origin is sent with any request.
    #[must_use]
    pub fn config(self, config: ServiceConfig) -> Self {
        ReverseProxy::of(
            self.upgrader.connect.clone(),
            config,
            self.forwarder.config.clone(),
        )
    }

    /// With this configuration of ordinary requests.
    #[must_use]
    pub fn relay(self, config: RelayConfig) -> Self {
        ReverseProxy::of(
            self.upgrader.connect.clone(),
            self.upgrader.config.clone(),
            config,
        )
    }

    /// A service that chooses one of several for each request, as [`UpgradeService::by`](super::UpgradeService::by) does. Each keeps
    /// its idle connections.
    ///
    /// ```
    /// use switchover::TcpConnect;
    /// use switchover::service::ReverseProxy;
    ///
    /// let (old, new) = (TcpConnect::to("10.0.0.1:3000"), TcpConnect::to("10.0.0.2:3000"));
    /// let (old, new) = (ReverseProxy::new(old), ReverseProxy::new(new));
    /// let service = ReverseProxy::by(move |parts| match parts.headers.contains_key("x-canary") {
    ///     true => Ok(new.clone()),
    ///     false => Ok(old.clone()),
    /// });
    /// # let app: axum::Router = axum::Router::new().fallback_service(service);
    /// ```
    pub fn by<F>(choose: F) -> By<F>
    where
        F: Fn(&mut Parts) -> Result<ReverseProxy<C>, Refusal>,
    {
        By::new(choose)
    }

    /// The response to a request, for a handler that calls the proxy by itself. Never an error: what fails is a response.
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

    fn of(connect: Arc<C>, config: ServiceConfig, relay: RelayConfig) -> Self {
        let tasks = config.tasks.clone();
        let sources = Sources::through(connect.clone(), tasks.clone(), &relay);
        ReverseProxy {
            upgrader: Upgrader::new(connect, config),
            forwarder: Arc::new(Forwarder {
                sources,
                config: relay,
                tasks,
            }),
        }
    }
}

impl<C: Connect + 'static> Clone for ReverseProxy<C> {
    fn clone(&self) -> Self {
        ReverseProxy {
            upgrader: self.upgrader.clone(),
            forwarder: self.forwarder.clone(),
        }
    }
}

impl<C, B> Service<Request<B>> for ReverseProxy<C>
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
            let (mut parts, body) = request.into_parts();
            peer::name_host_in_test(&mut parts);
            let destination = match parts.extensions.remove::<HeaderRules>() {
                Some(rules) => Destination::default().header_rules(rules),
                None => Destination::default(),
            };
            let hop = match self.upgrader.config.hop_of(&parts) {
                Ok(hop) => hop,
                Err(rejection) => return Box::pin(ready(rejected(rejection))),
            };
            let request = Request::from_parts(parts, body);
            let (forwarder, upgrader) = (self.forwarder.clone(), self.upgrader.clone());
            Box::pin(async move {
                let forwarding = &upgrader.config.forwarding;
                pin!(forwarder.respond(request, destination, hop, forwarding)).await
            })
        })
    }
}

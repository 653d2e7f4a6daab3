//! A service for paths that belong to an upstream as a whole: upgrades are tunnelled, everything else is relayed, under the same
//! header rules.

use std::convert::Infallible;
use std::future::ready;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::BoxError;
use super::body::ProxyBody;
use super::config::RelayConfig;
use super::relay::{Destination, Forwarder, Sources, rejected};
use super::upgrade::{Begun, ResponseFuture, ServiceConfig, Upgrader};
use crate::connect::Connect;

/// A tower service that hands over all requests to an upstream. Cheap to clone.
///
/// Upgrades are served as by [`UpgradeService`](super::UpgradeService). Ordinary requests of HTTP/1 and HTTP/2 are sent
/// to the same upstream, as HTTP/1.1, and checked as strictly as the crate's own parser does
/// ([`check_request`](crate::http1::check_request)); both get the same fields. Where [`Connect::choose`] says which go to the
/// same place, idle connections are kept for four seconds and used again.
///
/// The reason of a response of the proxy's own is in its extensions: a [`Rejection`](crate::handshake::Rejection), or
/// an [`Error`](crate::Error) in an `Arc`. Interim responses of the upstream end here, since hyper's server cannot send
/// them.
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

    fn of(connect: Arc<C>, config: ServiceConfig, relay: RelayConfig) -> Self {
        let tasks = config.tasks.clone();
        let sources = Sources::through(connect.clone(), tasks.clone());
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
        ResponseFuture::new(match self.upgrader.begin(request) {
            Begun::Asking(response) => response,
            Begun::Answered(response) => Box::pin(ready(response)),
            Begun::Ordinary(request) => {
                let (parts, body) = request.into_parts();
                let hop = match self.upgrader.config.hop_of(&parts) {
                    Ok(hop) => hop,
                    Err(rejection) => return ResponseFuture::new(Box::pin(ready(rejected(rejection)))),
                };
                let request = Request::from_parts(parts, body);
                let (forwarder, upgrader) = (self.forwarder.clone(), self.upgrader.clone());
                Box::pin(async move {
                    let forwarding = &upgrader.config.forwarding;
                    forwarder
                        .respond(request, Destination::default(), hop, forwarding)
                        .await
                })
            }
        })
    }
}

//! A layer in front of any service: upgrades are tunnelled, everything else passes through untouched.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::config::ServiceConfig;
use super::{Begun, Upgrader};
use crate::connect::Connect;
use crate::service::BoxError;
use crate::service::body::ProxyBody;

/// Puts an upstream for upgrades in front of a service that answers everything else.
///
/// An upgrade is what the [`HandshakePolicy`](crate::HandshakePolicy) allows; one that it refuses is answered here. A
/// request that asks for another protocol, or for none, goes to the inner service as it came, and its response comes
/// back as it was.
///
/// ```
/// use axum::{Router, routing::get};
/// use switchover::TcpConnect;
/// use switchover::service::UpgradeLayer;
///
/// let app: Router = Router::new()
///     .route("/", get(|| async { "the page" }))
///     .layer(UpgradeLayer::new(TcpConnect::to("chat.internal:9000")));
/// ```
#[derive(Debug)]
pub struct UpgradeLayer<C> {
    upgrader: Arc<Upgrader<C>>,
}

impl<C: Connect + 'static> UpgradeLayer<C> {
    /// To what `connect` connects to, with the default configuration.
    pub fn new(connect: C) -> Self {
        UpgradeLayer {
            upgrader: Upgrader::new(Arc::new(connect), ServiceConfig::default()),
        }
    }

    /// With this configuration.
    #[must_use]
    pub fn config(self, config: ServiceConfig) -> Self {
        UpgradeLayer {
            upgrader: self.upgrader.configured(config),
        }
    }
}

impl<C> Clone for UpgradeLayer<C> {
    fn clone(&self) -> Self {
        UpgradeLayer {
            upgrader: self.upgrader.clone(),
        }
    }
}

impl<C, S> Layer<S> for UpgradeLayer<C> {
    type Service = Upgrade<C, S>;

    fn layer(&self, inner: S) -> Upgrade<C, S> {
        Upgrade {
            upgrader: self.upgrader.clone(),
            inner,
        }
    }
}

/// The service of an [`UpgradeLayer`].
#[derive(Debug)]
pub struct Upgrade<C, S> {
    upgrader: Arc<Upgrader<C>>,
    inner: S,
}

impl<C, S: Clone> Clone for Upgrade<C, S> {
    fn clone(&self) -> Self {
        Upgrade {
            upgrader: self.upgrader.clone(),
            inner: self.inner.clone(),
        }
    }
}

impl<C, S, B, R> Service<Request<B>> for Upgrade<C, S>
where
    C: Connect + 'static,
    S: Service<Request<B>, Response = Response<R>>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    type Response = Response<UpgradeBody<R>>;
    type Error = S::Error;
    type Future = UpgradeFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let answer = match self.upgrader.begin(request) {
            Begun::Ordinary(request) => Answer::Inner {
                response: self.inner.call(request),
            },
            Begun::Asking(response) => Answer::Asking { response },
            Begun::Answered(response) => Answer::Proxy {
                response: Some(response),
            },
        };
        UpgradeFuture { answer }
    }
}

pin_project! {
    /// The response of an [`Upgrade`]. Dropping it gives up the request.
    #[must_use = "futures do nothing unless polled"]
    pub struct UpgradeFuture<F> {
        #[pin]
        answer: Answer<F>,
    }
}

pin_project! {
    #[project = ProjectedAnswer]
    enum Answer<F> {
        Inner { #[pin] response: F },
        Asking { response: Pin<Box<dyn Future<Output = Response<ProxyBody>> + Send>> },
        Proxy { response: Option<Response<ProxyBody>> },
    }
}

impl<F, R, E> Future for UpgradeFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<UpgradeBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let proxied = |response: Response<ProxyBody>| response.map(UpgradeBody::proxy);
        Poll::Ready(match self.project().answer.project() {
            ProjectedAnswer::Inner { response } => {
                let response = ready!(response.poll(cx));
                response.map(|response| response.map(UpgradeBody::inner))
            }
            ProjectedAnswer::Asking { response } => Ok(proxied(ready!(response.as_mut().poll(cx)))),
            ProjectedAnswer::Proxy { response } => match response.take() {
                Some(response) => Ok(proxied(response)),
                None => panic!("`UpgradeFuture` polled after completion"),
            },
        })
    }
}

impl<F> fmt::Debug for UpgradeFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpgradeFuture").finish_non_exhaustive()
    }
}

pin_project! {
    /// The body of a response from an [`Upgrade`]: the inner service's, or the proxy's own.
    #[derive(Debug)]
    pub struct UpgradeBody<R> {
        #[pin]
        body: EitherBody<R>,
    }
}

pin_project! {
    #[derive(Debug)]
    #[project = ProjectedBody]
    enum EitherBody<R> {
        Inner { #[pin] body: R },
        Proxy { body: ProxyBody },
    }
}

impl<R> UpgradeBody<R> {
    fn inner(body: R) -> Self {
        UpgradeBody {
            body: EitherBody::Inner { body },
        }
    }

    fn proxy(body: ProxyBody) -> Self {
        UpgradeBody {
            body: EitherBody::Proxy { body },
        }
    }
}

impl<R> Body for UpgradeBody<R>
where
    R: Body<Data = Bytes>,
    R::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.project().body.project() {
            ProjectedBody::Inner { body } => {
                let frame = ready!(body.poll_frame(cx));
                Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
            }
            ProjectedBody::Proxy { body } => {
                let frame = ready!(Pin::new(body).poll_frame(cx));
                Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.body {
            EitherBody::Inner { body } => body.is_end_stream(),
            EitherBody::Proxy { body } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            EitherBody::Inner { body } => body.size_hint(),
            EitherBody::Proxy { body } => body.size_hint(),
        }
    }
}

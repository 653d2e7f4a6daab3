//! Which of several services a request goes to, decided for each by the caller, who may change the request first or refuse it.

use std::convert::Infallible;
use std::fmt;
use std::future::ready;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::{CONNECTION, HeaderValue};
use http::request::Parts;
use http::{Request, Response, StatusCode};
use http_body::Body;
use tower_service::Service;

use super::BoxError;
use super::Refusal;
use super::body::ProxyBody;
use super::dialect::Dialect;
use super::upgrade::ResponseFuture;

/// A service that chooses another one for each request. Cheap to clone. Made by
/// [`UpgradeService::by`](super::UpgradeService::by) and [`ReverseProxy::by`](super::ReverseProxy::by).
pub struct By<F> {
    choose: Arc<F>,
}

impl<F> By<F> {
    pub(super) fn new(choose: F) -> Self {
        By {
            choose: Arc::new(choose),
        }
    }
}

impl<F> Clone for By<F> {
    fn clone(&self) -> Self {
        By {
            choose: self.choose.clone(),
        }
    }
}

impl<F> fmt::Debug for By<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("By").finish_non_exhaustive()
    }
}

impl<F, S> By<F>
where
    F: Fn(&mut Parts) -> Result<S, Refusal>,
{
    /// The response to a request, for a handler that calls the service by itself. Never an error: what fails is a response.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up the request.
    pub async fn serve<B>(&self, request: Request<B>) -> Response<ProxyBody>
    where
        S: Service<Request<B>, Response = Response<ProxyBody>, Error = Infallible, Future = ResponseFuture>,
    {
        let Ok(response) = self.begin(request).await;
        response
    }

    fn begin<B>(&self, request: Request<B>) -> ResponseFuture
    where
        S: Service<Request<B>, Response = Response<ProxyBody>, Error = Infallible, Future = ResponseFuture>,
    {
        let (mut parts, body) = request.into_parts();
        // Before the closure, which may change the head.
        let asked = Dialect::of(&parts);
        match (self.choose)(&mut parts) {
            // Services of this crate are always ready.
            Ok(mut service) => service.call(Request::from_parts(parts, body)),
            Err(refusal) => ResponseFuture::new(Box::pin(ready(refused(asked, refusal)))),
        }
    }
}

impl<F, S, B> Service<Request<B>> for By<F>
where
    F: Fn(&mut Parts) -> Result<S, Refusal>,
    S: Service<Request<B>, Response = Response<ProxyBody>, Error = Infallible, Future = ResponseFuture>,
    B: Body,
    B::Error: Into<BoxError>,
{
    type Response = Response<ProxyBody>;
    type Error = Infallible;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> ResponseFuture {
        self.begin(request)
    }
}

/// The answer to a request that the closure has refused, and that has asked for an upgrade in this form or for none.
fn refused(asked: Option<Dialect>, refusal: Refusal) -> Response<ProxyBody> {
    let mut response = Response::from(refusal);
    match asked {
        // RFC 9931: what the client has sent behind its request is no request. A 101 is the application's own switch.
        Some(Dialect::Upgrade) if response.status() != StatusCode::SWITCHING_PROTOCOLS => {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(CONNECTION, close);
            response
        }
        Some(client) => client.own(response),
        None => response,
    }
}

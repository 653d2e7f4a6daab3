//! The response of an application that refuses a request before a service has it.

use std::fmt;

use http::header::{CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use http::{Response, StatusCode};
use http_body::Body;

use super::BoxError;
use super::body::ProxyBody;
use super::relay::rejected;
use crate::handshake::Rejection;

/// The response of a closure that refuses a request: of [`UpgradeService::by`](super::UpgradeService::by) and
/// [`ReverseProxy::by`](super::ReverseProxy::by).
///
/// It is made from a status, from a status with a text, from a [`Rejection`], or from any response, so that `?` and `into` suffice:
///
/// ```
/// use http::{Response, StatusCode};
/// use switchover::service::Refusal;
///
/// fn check(user: Option<&str>, room: &str) -> Result<(), Refusal> {
///     let user = user.ok_or(StatusCode::UNAUTHORIZED)?;
///     if user == "guest" {
///         return Err(Refusal::new(StatusCode::FORBIDDEN, "Guests have no rooms.\n"));
///     }
///     if room == "old" {
///         let moved = Response::builder().status(308).header("Location", "/room/new");
///         return Err(moved.body(String::new()).unwrap().into());
///     }
///     Ok(())
/// }
/// ```
pub struct Refusal(Box<Response<ProxyBody>>);

impl Refusal {
    /// A response with this status and a plain text.
    pub fn new(status: StatusCode, text: impl Into<String>) -> Self {
        let mut response = Response::new(ProxyBody::text(text.into()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        );
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        Refusal(Box::new(response))
    }
}

impl From<StatusCode> for Refusal {
    /// A response whose text is the reason of the status.
    fn from(status: StatusCode) -> Self {
        Refusal::new(status, format!("{status}\n"))
    }
}

impl<B> From<Response<B>> for Refusal
where
    B: Body + Send + 'static,
    B::Error: Into<BoxError>,
{
    fn from(response: Response<B>) -> Self {
        Refusal(Box::new(response.map(ProxyBody::new)))
    }
}

impl From<Rejection> for Refusal {
    /// The answer that the proxy itself gives for this reason, which is among the response's extensions, and is counted and reported as
    /// the proxy's own refusals are.
    fn from(rejection: Rejection) -> Self {
        Refusal(Box::new(rejected(rejection)))
    }
}

impl From<Refusal> for Response<ProxyBody> {
    fn from(refusal: Refusal) -> Self {
        *refusal.0
    }
}

impl fmt::Debug for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Refusal").field(&self.0.status()).finish()
    }
}

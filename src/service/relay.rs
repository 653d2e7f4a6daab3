//! Law: one ordinary request goes upstream and its response comes back, under the header rules of floor 2.

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderValue};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Response, StatusCode, Uri, Version, request};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};

use super::body::{RelayBody, RequestBody};
use super::config::RelayConfig;
use super::downstream::OneRequest;
use super::failure::Failure;
use super::interim::Exchange;
use super::stall::Stall;
use super::upstream::Connector;
use crate::error::{Cause, Error, Phase};
use crate::handshake::{Rejection, last_response, wants_upgrade};
use crate::head::{BodyLength, HeadError, HeadLimits, HeadScan};
use crate::header::{Hop, hop_by_hop, remove};
use crate::tunnel::{self, Rewind};
use crate::{Side, wire};

/// How long an idle upstream connection stays in the pool. Shorter than what servers commonly allow (Node: 5
/// seconds), so that a request seldom meets a connection that is being closed.
const POOL_IDLE: Duration = Duration::from_secs(4);
const POOL_SIZE: usize = 64;

/// Where a request goes.
#[derive(Clone, Debug)]
pub struct Destination {
    authority: Authority,
    target: Option<PathAndQuery>,
}

impl Destination {
    /// To an HTTP/1.1 server at this host and port, with the client's own target.
    pub fn new(authority: Authority) -> Self {
        Destination {
            authority,
            target: None,
        }
    }

    /// With another target: a route that replaces a prefix.
    #[must_use]
    pub fn target(mut self, target: PathAndQuery) -> Self {
        self.target = Some(target);
        self
    }
}

/// How relaying one request has ended.
#[derive(Debug)]
pub struct Relayed<S> {
    /// The status that the client was sent, if it was sent any.
    pub status: Option<StatusCode>,
    /// Why the status is one of the proxy's own, if it is.
    pub failure: Option<Arc<Error>>,
    /// The connection with what follows the request, if it can go on. Hand it to
    /// [`Acceptor::resume`](crate::gateway::Acceptor::resume).
    pub stream: Option<Rewind<S>>,
}

/// Relays ordinary requests, with one pool of upstream connections. Cheap to clone.
///
/// The pool's connections are driven by tasks of the tokio runtime in which [`serve`](Relay::serve) is called: a
/// program with several runtimes wants a relay in each.
#[derive(Clone, Debug)]
pub struct Relay {
    client: Client<Connector, RequestBody>,
    config: RelayConfig,
}

impl Relay {
    /// A relay with an empty pool.
    pub fn new(config: RelayConfig) -> Self {
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(POOL_IDLE)
            .pool_max_idle_per_host(POOL_SIZE)
            .http1_title_case_headers(true)
            .http1_max_headers(config.limits.fields())
            .http1_max_buf_size(config.limits.bytes().max(64 * 1024) + 64 * 1024)
            .build(Connector::new(config.clone()));
        Relay { client, config }
    }

    /// Relays the one request at the start of `stream`, whose head is `head`, and its response.
    ///
    /// A request that asks for an upgrade which the policy does not allow goes up without it, and the connection
    /// closes after the response, whatever the client has sent behind it (RFC 9931).
    ///
    /// # Errors
    ///
    /// The client's stream fails, or the response breaks off after its head has been sent. What goes wrong before is
    /// answered 400, 502 or 504, and told in [`Relayed::failure`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the client's connection and gives up the request.
    pub async fn serve<S>(
        &self,
        stream: Rewind<S>,
        head: &request::Parts,
        destination: Destination,
        hop: Hop,
    ) -> Result<Relayed<S>, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let refused = |error: HeadError| Error::new(Phase::RequestHead, Side::Downstream, Cause::Head(error));
        let length = BodyLength::of_request(head).map_err(|error| refused(error.into()))?;
        // The head is known to be sound and whole: only its length is asked for.
        let no_limits = HeadLimits::default().max_bytes(usize::MAX).max_fields(usize::MAX);
        let head_length = HeadScan::request()
            .advance(stream.front(), &no_limits)
            .map_err(refused)?;

        let exchange = Arc::new(Exchange::default());
        let one_request = OneRequest::new(
            stream,
            head_length.unwrap_or_default(),
            length,
            exchange.clone(),
            &self.config,
        );
        let service = service_fn(|request| {
            let forwarded = self.forward(request, destination.clone(), hop, exchange.clone());
            let exchange = &exchange;
            async move {
                let (response, failure) = forwarded.await;
                exchange.set_outcome(response.status(), failure);
                Ok::<_, Infallible>(response)
            }
        });
        let mut connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(None)
            .title_case_headers(true)
            .max_headers(head.headers.len().max(1))
            .max_buf_size(head_length.unwrap_or_default() + 128 * 1024)
            .serve_connection(TokioIo::new(one_request), service);
        let result = (&mut connection).await;
        let parts = connection.into_parts();
        let (status, failure) = exchange.take_outcome();
        let (stream, goes_on) = parts.io.into_inner().into_rest();
        if result.is_err() {
            // A body that was cut short must not look complete: a reset, not an orderly end.
            tunnel::reset_on_drop(stream.get_ref());
            let side = if failure.is_some() {
                Side::Downstream
            } else {
                Side::Upstream
            };
            return Err(Error::new(Phase::Response, side, Cause::Closed));
        }
        if goes_on && parts.read_buf.is_empty() {
            return Ok(Relayed {
                status,
                failure,
                stream: Some(stream),
            });
        }
        let (mut stream, _) = stream.into_parts();
        wire::close(&mut stream).await;
        Ok(Relayed {
            status,
            failure,
            stream: None,
        })
    }

    /// The response to one request, and the failure that it tells of.
    async fn forward(
        &self,
        request: Request<Incoming>,
        destination: Destination,
        hop: Hop,
        exchange: Arc<Exchange>,
    ) -> (Response<RelayBody>, Option<Arc<Error>>) {
        let (mut parts, body) = request.into_parts();
        let closes = wants_upgrade(&parts);
        let speaks_interim = parts.version >= Version::HTTP_11;
        if let Err(rejection) = self.prepare(&mut parts, destination, hop) {
            return (own_response(rejection.into_response(), exchange, closes), None);
        }
        let mut request =
            Request::from_parts(parts, RequestBody::new(body, exchange.clone(), self.config.read));
        if speaks_interim {
            let exchange = exchange.clone();
            hyper::ext::on_informational(&mut request, move |response| {
                exchange.interim(response.status(), response.headers());
            });
        }
        match self.ask(request, &exchange).await {
            Ok(response) => match answer(response, closes) {
                Ok(response) => (response.map(|body| RelayBody::upstream(body, exchange)), None),
                Err(failure) => failed(failure, exchange, closes),
            },
            Err(failure) => failed(failure, exchange, closes),
        }
    }

    /// Makes of the client's head the one that goes upstream.
    fn prepare(
        &self,
        parts: &mut request::Parts,
        destination: Destination,
        hop: Hop,
    ) -> Result<(), Rejection> {
        let headers = &mut parts.headers;
        let trailers = hop_by_hop::strip(headers)?.trailers;
        // hyper's server answers the expectation itself, when the body is first asked for.
        remove(headers, &EXPECT);
        if let Some(authority) = parts.uri.authority() {
            // RFC 9112, section 3.2.2: the target's authority wins.
            if let Ok(host) = HeaderValue::from_str(authority.as_str()) {
                headers.insert(HOST, host);
            }
        }
        if trailers {
            headers.insert(CONNECTION, HeaderValue::from_static("te"));
        }
        self.config.forwarded.apply(headers, &hop);

        let mut uri = http::uri::Parts::default();
        let own_target = parts.uri.path_and_query().cloned();
        uri.scheme = Some(Scheme::HTTP);
        uri.authority = Some(destination.authority);
        uri.path_and_query = destination
            .target
            .or(own_target)
            .or(Some(PathAndQuery::from_static("/")));
        parts.uri = Uri::from_parts(uri).map_err(|_| Rejection::NoRoute)?;
        parts.version = Version::HTTP_11;
        Ok(())
    }

    async fn ask(
        &self,
        request: Request<RequestBody>,
        exchange: &Exchange,
    ) -> Result<Response<Incoming>, Failure> {
        let mut answer = pin!(self.client.request(request));
        let mut wait = Stall::new(self.config.read);
        std::future::poll_fn(|cx| {
            exchange.wake_service_by(cx.waker());
            if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
                let failed = |error| {
                    exchange
                        .take_client_failure()
                        .unwrap_or_else(|| Failure::within(&error))
                };
                return Poll::Ready(answer.map_err(failed));
            }
            // An upstream that is still being told what to answer is not late.
            match exchange.is_sent() {
                true => wait
                    .poll_waiting(cx)
                    .map(|_| Err(Failure::late(self.config.read))),
                false => Poll::Pending,
            }
        })
        .await
    }
}

/// Makes of the upstream's response the one that the client gets.
fn answer(response: Response<Incoming>, closes: bool) -> Result<Response<Incoming>, Failure> {
    let (mut parts, body) = response.into_parts();
    if parts.status == StatusCode::SWITCHING_PROTOCOLS {
        // Nobody has asked for a switch here. Status alone opens nothing.
        return Err(Failure::unasked_switch());
    }
    let was_chunked = parts.headers.contains_key(http::header::TRANSFER_ENCODING);
    hop_by_hop::strip(&mut parts.headers).map_err(|error| Failure::unusable(error.into()))?;
    if was_chunked {
        remove(&mut parts.headers, &CONTENT_LENGTH);
    }
    if closes {
        parts
            .headers
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }
    parts.version = Version::HTTP_11;
    Ok(Response::from_parts(parts, body))
}

fn failed(
    failure: Failure,
    exchange: Arc<Exchange>,
    closes: bool,
) -> (Response<RelayBody>, Option<Arc<Error>>) {
    let status = failure.0.status().unwrap_or(StatusCode::BAD_GATEWAY);
    let response = last_response(status, failure.0.public_text());
    (own_response(response, exchange, closes), Some(failure.0))
}

/// A response of the proxy's own. Whether the connection goes on after it is hyper's decision, unless it must not.
fn own_response(response: Response<String>, exchange: Arc<Exchange>, closes: bool) -> Response<RelayBody> {
    let mut response = response.map(|text| RelayBody::text(text, exchange));
    if !closes {
        response.headers_mut().remove(CONNECTION);
    }
    response
}

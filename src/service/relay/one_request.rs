//! One ordinary request on a client's raw connection goes through hyper's server, whatever service answers it, and the connection comes
//! back with what follows the request.
//!
//! This file knows no upstream.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONNECTION, HeaderValue};
use http::{Request, Response, Version, request};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};

use super::Relayed;
use super::downstream::OneRequest;
use super::forward::closes_after;
use crate::connect::Trace;
use crate::error::{Cause, Error, Phase};
use crate::handshake::Rejection;
use crate::header::ConnectionOptions;
use crate::http1::{BodyLength, HeadError, HeadLimits, HeadScan};
use crate::service::BoxError;
use crate::service::body::ProxyBody;
use crate::service::config::RelayConfig;
use crate::service::failure::{Failure, source_of};
use crate::service::interim::{Exchange, Outcome};
use crate::side::Side;
use crate::tunnel::{self, Rewind};
use crate::wire;

/// The body of a request that [`answer_one`] has taken in.
#[derive(Debug)]
pub struct ClientBody(Incoming);

/// Where the interim responses of a relay go, among the extensions of a request from [`answer_one`].
#[derive(Clone, Debug)]
pub(super) struct OnStream(pub(super) Arc<Exchange>);

/// Answers the one ordinary request at the start of `stream`, whose head is `head`, with what `answer` makes of it.
///
/// The answer may be the response of one or of several [relays](super::Relay::respond) or one of the caller's own
/// ([`ProxyBody::new`]). A relay that is given the request itself passes interim responses on to the client. The head counts
/// as checked: it must be one that an [`Acceptor`](crate::gateway::Acceptor) has handed back.
///
/// Of the configuration the [request body timeout](RelayConfig::request_body_timeout), the
/// [send timeout](RelayConfig::send_timeout), the [drain](RelayConfig::drain) and the [early end](RelayConfig::allow_early_half_close) of
/// a client hold. The connection closes after a request that asks for an upgrade (RFC 9931).
///
/// ```no_run
/// use http::Response;
/// use switchover::gateway::{Accepted, Acceptor, GatewayConfig};
/// use switchover::service::{Destination, ProxyBody, Relay, RelayConfig, answer_one};
///
/// # async fn serve(client: tokio::net::TcpStream, peer: std::net::SocketAddr) -> Result<(), switchover::Error> {
/// let config = RelayConfig::default();
/// let relay = Relay::new(config.clone());
/// let accepted = Acceptor::new(GatewayConfig::default()).accept(client, peer).await?;
/// if let Accepted::Ordinary(head, stream) = accepted {
///     answer_one(stream, &head, &config, |request| async move {
///         let to = Destination::new("127.0.0.1:8000".parse().unwrap());
///         let response = relay.respond(request, to, peer.into()).await;
///         match response.status().is_server_error() {
///             true => Response::new(ProxyBody::from("back in a minute\n".to_owned())),
///             false => response,
///         }
///     })
///     .await?;
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// The client's stream fails, or the response breaks off after its head has been sent.
///
/// # Cancel safety
///
/// Dropping the future closes the client's connection and gives up the answer.
pub async fn answer_one<S, F, A>(
    stream: Rewind<S>,
    head: &request::Parts,
    config: &RelayConfig,
    answer: F,
) -> Result<Relayed<S>, Error>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
    F: FnOnce(Request<ClientBody>) -> A,
    A: Future<Output = Response<ProxyBody>>,
{
    let closes = closes_after(head);
    let service = |request: Request<Incoming>, exchange: Arc<Exchange>| {
        let mut request = request.map(ClientBody);
        request.extensions_mut().insert(OnStream(exchange));
        let answered = answer(request);
        async move {
            let mut response = answered.await;
            if closes || config.is_draining() {
                let headers = response.headers_mut();
                // RFC 9110, section 7.8: `Upgrade` wants its connection option.
                let options = match ConnectionOptions::of(headers).contains("upgrade") {
                    true => "close, upgrade",
                    false => "close",
                };
                headers.insert(CONNECTION, HeaderValue::from_static(options));
            }
            let failure = response.extensions().get::<Arc<Error>>().cloned();
            (response, failure)
        }
    };
    answered(stream, head, config, None, service).await
}

/// As [`answer_one`]; `service` returns the failure too that its response reports.
pub(super) async fn answered<S, F, A>(
    stream: Rewind<S>,
    head: &request::Parts,
    config: &RelayConfig,
    trace: Option<Trace>,
    service: F,
) -> Result<Relayed<S>, Error>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
    F: FnOnce(Request<Incoming>, Arc<Exchange>) -> A,
    A: Future<Output = (Response<ProxyBody>, Option<Arc<Error>>)>,
{
    let refused = |error: HeadError| Error::new(Phase::RequestHead, Side::Downstream, Cause::Head(error));
    let length = BodyLength::of_request(head).map_err(|error| refused(error.into()))?;
    // The head is known to be sound and whole: only its length is asked for.
    let no_limits = HeadLimits::default().max_bytes(usize::MAX).max_fields(usize::MAX);
    let head_length = HeadScan::request()
        .advance(stream.front(), &no_limits)
        .map_err(refused)?
        // The caller's own stream, if it is not the one that the head came with: nothing would ever be read.
        .ok_or_else(|| Error::new(Phase::RequestHead, Side::Downstream, Cause::HeadCutShort))?;

    let exchange = Arc::new(Exchange::default());
    let one_request = OneRequest::new(stream, head_length, length, exchange.clone(), config);
    // hyper is shown one request and asks once.
    let service = Mutex::new(Some(service));
    let service = service_fn(|mut request| {
        // The crate's own reading of the target: hyper does not distinguish `http://a` from `http://a/`.
        *request.uri_mut() = head.uri.clone();
        let service = service.lock().unwrap_or_else(PoisonError::into_inner).take();
        let answered = service.map(|service| service(request, exchange.clone()));
        let exchange = &exchange;
        async move {
            let (mut response, failure) = match answered {
                Some(answered) => answered.await,
                None => (Response::new(ProxyBody::text(Bytes::new())), None),
            };
            // RFC 9110, section 2.5: the version is the server's own, whatever the answer was made of.
            *response.version_mut() = Version::HTTP_11;
            exchange.hand_over(Outcome {
                status: Some(response.status()),
                failure,
                rejection: response.extensions().get::<Rejection>().cloned(),
            });
            Ok::<_, Infallible>(response.map(|body| body.of(exchange.clone())))
        }
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .title_case_headers(true)
        // The head has been counted. A trailer section has as many fields as its scanner lets pass.
        .max_headers(head.headers.len().max(128))
        .max_buf_size(head_length + 128 * 1024)
        .serve_connection(TokioIo::new(one_request), service);
    let result = (&mut connection).await;
    let parts = connection.into_parts();
    let outcome = exchange.take_outcome();
    let one_request = parts.io.into_inner();
    let sent = one_request.sent();
    let (stream, goes_on) = one_request.into_rest();
    if let Some(trace) = trace {
        trace.sent(sent.total, sent.body.unwrap_or_default());
        // Before its head is out, it is not sent.
        if let (Some(status), Some(_)) = (outcome.status, sent.body) {
            trace.answered(status);
        }
    }
    if let Err(error) = result {
        // A body that was cut short must not look complete: a reset, not an orderly end.
        tunnel::reset_on_drop(stream.get_ref());
        // Where a request broke off, its answer does too.
        let of_client = exchange.take_client_failure();
        return Err(broken_off(&error, of_client.as_ref()));
    }
    let mut relayed = Relayed {
        status: outcome.status,
        failure: outcome.failure,
        rejection: outcome.rejection,
        bytes_sent: sent.total,
        body_bytes_sent: sent.body.unwrap_or_default(),
        spliced_from_downstream: 0,
        spliced_from_upstream: 0,
        stream: None,
    };
    if goes_on && parts.read_buf.is_empty() {
        relayed.stream = Some(stream);
        return Ok(relayed);
    }
    let (mut stream, _) = stream.into_parts();
    wire::close(&mut stream).await;
    Ok(relayed)
}

impl Body for ClientBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let polled = Pin::new(&mut self.0).poll_frame(cx);
        polled.map(|frame| frame.map(|frame| frame.map_err(BoxError::from)))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

/// Whose fault it is that a response has not come to its end: the upstream's where the body says so, else the client's.
fn broken_off(error: &hyper::Error, of_client: Option<&Failure>) -> Error {
    let of = |side, cause| Error::new(Phase::Response, side, cause);
    let of_client = of_client.map(|failure| &failure.error);
    if let Some(failure) = of_client.or_else(|| source_of::<Arc<Error>>(error)) {
        // It is shared with the body, and only its gist is copied.
        let cause = match Error::reason(failure) {
            Cause::TimedOut(limit) => Cause::TimedOut(*limit),
            Cause::Body(error) => Cause::Body(*error),
            Cause::Io(error) => Cause::Io(error.kind().into()),
            _ => Cause::Closed,
        };
        return of(failure.side(), cause);
    }
    match source_of::<io::Error>(error) {
        Some(error) => of(Side::Downstream, Cause::Io(error.kind().into())),
        None => of(Side::Downstream, Cause::Closed),
    }
}

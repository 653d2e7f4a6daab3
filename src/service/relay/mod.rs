//! Law: a client's raw connection carries one ordinary request through hyper, and comes back with what follows it.

mod destination;
mod downstream;
mod forward;
mod outgoing;
mod pool;
mod upstream;

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::sync::Arc;

use http::{Request, Response, StatusCode, request};
use http_body::Body;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::connect::{Connect, TcpConnect};
use crate::error::{Cause, Error, Phase};
use crate::handshake::Rejection;
use crate::head::{BodyLength, HeadError, HeadLimits, HeadScan};
use crate::header::Hop;
use crate::service::BoxError;
use crate::service::body::ProxyBody;
use crate::service::config::RelayConfig;
use crate::service::failure::{Failure, source_of};
use crate::service::interim::{Exchange, Outcome};
use crate::service::tasks::Tasks;
use crate::tunnel::{self, Rewind};
use crate::{Side, wire};
pub use destination::Destination;
use downstream::OneRequest;
pub(super) use forward::{Forwarder, rejected};
pub(super) use pool::Way;

/// How relaying one request has ended.
#[derive(Debug)]
pub struct Relayed<S> {
    /// The status that the client was sent, if it was sent any.
    pub status: Option<StatusCode>,
    /// Why the status is one of the proxy's own, if it is: what has failed.
    pub failure: Option<Arc<Error>>,
    /// Why the status is one of the proxy's own, if it is: what of the request was refused.
    pub rejection: Option<Rejection>,
    /// How many bytes the client's stream has taken for it: heads, interim ones too, body and framing.
    pub bytes_sent: u64,
    /// How many of them stand behind the head of the final response.
    pub body_bytes_sent: u64,
    /// The connection with what follows the request, if it can go on. Hand it to
    /// [`Acceptor::resume`](crate::gateway::Acceptor::resume).
    pub stream: Option<Rewind<S>>,
}

/// Relays ordinary requests, with one pool of upstream connections. Cheap to clone.
///
/// Each goes to its [`Destination`], or all of them where a connector leads. What there is to be chosen by such a connector,
/// above all by a [`Group`](crate::upstream::Group), is chosen for each request; and a server that fails is followed by
/// another, under the same conditions as for an upgrade ([`Retry`](crate::upstream::Retry)).
///
/// The pool's connections are driven by tasks of the tokio runtime in which [`serve`](Relay::serve) is called: a
/// program with several runtimes wants a relay in each.
pub struct Relay<C: Connect + 'static = TcpConnect> {
    forwarder: Arc<Forwarder<Way<C>>>,
}

impl<C: Connect + 'static> Clone for Relay<C> {
    fn clone(&self) -> Self {
        Relay {
            forwarder: self.forwarder.clone(),
        }
    }
}

impl<C: Connect + 'static> fmt::Debug for Relay<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay")
            .field("way", &self.forwarder.way)
            .finish_non_exhaustive()
    }
}

impl Relay {
    /// A relay with an empty pool, to the [destinations](Destination::new) of the requests.
    pub fn new(config: RelayConfig) -> Self {
        Relay::by(Way::named(&config), config)
    }
}

impl<C: Connect + 'static> Relay<C> {
    /// A relay with an empty pool, to where a connector leads. Of a [`Destination`] it takes all but the authority.
    ///
    /// Idle connections are kept for four seconds, for other requests that go to the [same place](Connect::choose). How TLS is
    /// spoken is the connector's business, and not that of [`RelayConfig::tls`](RelayConfig::tls).
    ///
    /// ```
    /// use switchover::service::{Relay, RelayConfig};
    /// use switchover::upstream::{Group, Server};
    ///
    /// let group = Group::of([Server::to("10.0.0.1:8000"), Server::to("10.0.0.2:8000")]);
    /// let relay = Relay::through(group, RelayConfig::default());
    /// ```
    pub fn through(connect: C, config: RelayConfig) -> Self {
        let way = Way::through(Arc::new(connect), &config, Tasks::default());
        Relay::by(way, config)
    }

    fn by(way: Way<C>, config: RelayConfig) -> Self {
        Relay {
            forwarder: Arc::new(Forwarder { way, config }),
        }
    }

    /// The response to a request that an HTTP server of the caller's has taken in, such as hyper's for HTTP/2.
    ///
    /// The request is held to the rules of the crate's own parser first
    /// ([`check_request`](crate::head::check_request)): 400 or 501 otherwise, with the
    /// [`Rejection`](crate::handshake::Rejection) in the response's extensions. Where the upstream fails, it is 502 or
    /// 504, with the [`Error`] there, in an `Arc`. Interim responses end here.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up the request.
    pub async fn respond<B>(
        &self,
        request: Request<B>,
        destination: Destination,
        hop: Hop,
    ) -> Response<ProxyBody>
    where
        B: Body + Send + 'static,
        B::Error: Into<BoxError>,
    {
        self.forwarder.respond(request, destination, hop).await
    }

    /// Relays the one request at the start of `stream`, whose head is `head`, and its response.
    ///
    /// A request that asks for an upgrade which the policy does not allow goes up without it, and the connection
    /// closes after the response, whatever the client has sent behind it (RFC 9931).
    ///
    /// # Errors
    ///
    /// The client's stream fails, or the response breaks off after its head has been sent; how much went out by then is
    /// told in a [`Trace`](crate::connect::Trace). What goes wrong before is answered 400, 502 or 504, and told in
    /// [`Relayed::failure`].
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
            &self.forwarder.config,
        );
        let trace = destination.trace.clone();
        let service = service_fn(|request| {
            let forwarded = self
                .forwarder
                .forward(request, destination.clone(), hop, exchange.clone());
            let exchange = &exchange;
            async move {
                let (response, failure) = forwarded.await;
                exchange.set_outcome(Outcome {
                    status: Some(response.status()),
                    failure,
                    rejection: response.extensions().get().cloned(),
                });
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
        let Outcome {
            status,
            failure,
            rejection,
        } = exchange.take_outcome();
        let one_request = parts.io.into_inner();
        let sent = one_request.sent();
        let (stream, goes_on) = one_request.into_rest();
        if let Some(trace) = trace {
            trace.sent(sent.total, sent.body.unwrap_or_default());
            // Before its head is out, it is not sent.
            if let (Some(status), Some(_)) = (status, sent.body) {
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
            status,
            failure,
            rejection,
            bytes_sent: sent.total,
            body_bytes_sent: sent.body.unwrap_or_default(),
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
}

/// Whose fault it is that a response has not come to its end: the upstream's where the body says so, else the client's.
fn broken_off(error: &hyper::Error, of_client: Option<&Failure>) -> Error {
    let of = |side, cause| Error::new(Phase::Response, side, cause);
    let of_client = of_client.map(|failure| &failure.error);
    if let Some(failure) = of_client.or_else(|| source_of::<Arc<Error>>(error)) {
        // It is shared with the body, and only its gist is copied.
        let cause = match Error::cause(failure) {
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

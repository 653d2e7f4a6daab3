//! HTTP/2 connections: each request is proxied as one of HTTP/1.1 would be.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::{HOST, HeaderValue};
use http::{Method, Request, Response, Uri};
use switchover::handshake::Rejection;
use switchover::header::Hop;
use switchover::http1::{HeadLimits, check_request_within};
use switchover::http2::{Http2Server, Http2ServerConfig, RequestBody};
use switchover::service::{Destination, ProxyBody, Refusal, ServiceConfig};
use switchover::tunnel::{AnyStream, Label, TunnelWatch};
use tower_service::Service;

use super::admin::Asked;
use super::failures::Failures;
use super::flags::Flags;
use super::reported_body::{Ending, ReportedBody};
use super::story::Story;
use super::visit::Visit;
use super::worker::Worker;

/// Serves a connection to its end.
pub(crate) async fn serve(
    stream: AnyStream,
    hop: Hop,
    peer: SocketAddr,
    visit: Option<Box<Visit>>,
    worker: Arc<Worker>,
) {
    let visit = visit.map(Arc::from);
    let answers = Answers {
        worker: worker.clone(),
        visit: visit.clone(),
        hop,
        peer,
    };
    let ended = worker
        .settings
        .http2
        .serve(stream, answers, worker.drain.started());
    if let Err(error) = ended.await {
        worker.settings.report(peer, || format!("HTTP/2: {error}"));
        if let Some(visit) = &visit {
            visit.unopened(hop, None, ("http2", "http2"), &error);
        }
    }
}

/// The service of one connection.
#[derive(Clone)]
struct Answers {
    worker: Arc<Worker>,
    visit: Option<Arc<Visit>>,
    hop: Hop,
    peer: SocketAddr,
}

impl Service<Request<RequestBody>> for Answers {
    type Response = Response<ReportedBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<ReportedBody>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<RequestBody>) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            let visit = this.visit.as_deref();
            Ok(answer(request, this.hop, this.peer, visit, &this.worker).await)
        })
    }
}

/// How HTTP/2 is spoken to clients.
pub(super) fn server(flags: &Flags) -> Http2Server {
    // HTTP/2 counts 32 bytes more for each field than HTTP/1.1 (RFC 9113, section 6.5.2): what is within the limit there is within it
    // here.
    let overhead = 32 * HeadLimits::default().fields();
    let limit = flags.max_header_bytes.saturating_add(overhead);
    let limit = u32::try_from(limit).unwrap_or(u32::MAX);
    let config = Http2ServerConfig::default()
        .header_timeout(flags.header_timeout)
        .idle_timeout(flags.keep_alive_timeout)
        .send_timeout(flags.send_timeout)
        .max_head_bytes(limit)
        // They are counted in `proxied`, whose refusals are logged.
        .max_head_fields(usize::MAX);
    Http2Server::new(config)
}

/// Reports the tunnels of this service to the access log.
pub(super) fn reporting(config: ServiceConfig, failures: Arc<Failures>) -> ServiceConfig {
    config
        .on_start(|started| {
            if let Some(story) = started.extensions.get::<Story>() {
                story.opened(started.protocol, started.watch.as_ref().and_then(TunnelWatch::id));
            }
        })
        .on_end(move |ended| {
            if let (Err(error), Some(Peer(peer))) = (&ended.result, ended.extensions.get()) {
                failures.failed(*peer, error);
            }
            if let Some(story) = ended.extensions.get::<Story>() {
                story.ended(&ended.result);
            }
        })
}

async fn answer(
    mut request: Request<RequestBody>,
    hop: Hop,
    peer: SocketAddr,
    visit: Option<&Visit>,
    worker: &Worker,
) -> Response<ReportedBody> {
    let mut story = None;
    let is_upgrade = request.method() == Method::CONNECT;
    if let Some(visit) = visit {
        let (mut parts, body) = request.into_parts();
        let of_it = story.insert(visit.request(&parts, hop));
        parts.extensions.insert(of_it.trace());
        parts.extensions.insert(of_it.clone());
        request = Request::from_parts(parts, body);
    }
    if is_upgrade && worker.settings.failures.is_kept() {
        let (mut parts, body) = request.into_parts();
        let host = parts.headers.get(HOST).map(HeaderValue::as_bytes);
        let asked = Asked::new(&parts.uri, host);
        parts.extensions.insert(Label::new(asked));
        parts.extensions.insert(Peer(peer));
        request = Request::from_parts(parts, body);
    }
    let response = proxied(request, hop, worker).await;
    let response = response.unwrap_or_else(|why| Refusal::from(why).into());
    if let Some(why) = response.extensions().get::<Rejection>() {
        worker.settings.refused(peer, why);
    }
    let failure = response.extensions().get::<Arc<switchover::Error>>().cloned();
    if let Some(error) = &failure {
        let error: &switchover::Error = error;
        worker.settings.failed(peer, error);
    }
    let refusal = response.extensions().get::<Rejection>();
    let status = response.status();
    let is_declined = is_upgrade && refusal.is_none() && failure.is_none() && !status.is_success();
    if is_declined {
        worker.settings.failures.declined(peer, status);
    }
    match (&story, refusal) {
        (Some(story), Some(why)) => story.refused(why),
        // The tunnel's end is reported by itself.
        (Some(_), None) if is_upgrade && status.is_success() => story = None,
        _ => {}
    }
    let ending = story.map(|story| {
        Box::new(Ending {
            story,
            is_upgrade,
            status,
            failure,
            sent: 0,
            is_whole: false,
        })
    });
    response.map(|body| ReportedBody { body, ending })
}

/// The connection that a request came over, among its extensions.
#[derive(Clone)]
struct Peer(SocketAddr);

/// Proxies one request; only a refusal of the gateway's own is an error.
async fn proxied(
    request: Request<RequestBody>,
    hop: Hop,
    worker: &Worker,
) -> Result<Response<ProxyBody>, Rejection> {
    let (mut parts, body) = request.into_parts();
    // Makes `Host` of the authority, by which routes are chosen.
    check_request_within(&mut parts, &worker.settings.head_limits)?;
    let host = parts.headers.get(HOST).map(HeaderValue::as_bytes);
    let (upstream, target) = worker.settings.route(host, &parts.uri)?;
    if parts.method != Method::CONNECT {
        let mut destination = Destination::default();
        if let Some(target) = target {
            destination = destination.target(target);
        }
        let request = Request::from_parts(parts, body);
        let relay = &worker.relays[upstream.index];
        return Ok(relay.respond(request, destination, hop).await);
    }
    if let Some(target) = target {
        let mut uri = parts.uri.into_parts();
        uri.path_and_query = Some(target);
        parts.uri = Uri::from_parts(uri).map_err(|_| Rejection::NoRoute)?;
    }
    parts.extensions.insert(hop);
    let answered = upstream
        .upgrades
        .clone()
        .call(Request::from_parts(parts, body))
        .await;
    Ok(answered.unwrap_or_else(|never| match never {}))
}

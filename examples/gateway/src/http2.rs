//! HTTP/2 connections: hyper takes them in, and each request is proxied as one of HTTP/1.1 would be.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::{Method, Request, Response, Uri};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use switchover::handshake::Rejection;
use switchover::header::Hop;
use switchover::http1::check_request_within;
use switchover::service::{Destination, ProxyBody, ServiceConfig};
use switchover::tunnel::AnyStream;
use tokio::sync::Notify;
use tokio::time::timeout;
use tower_service::Service;

use super::story::Story;
use super::told_body::{Ending, Told};
use super::visit::Visit;
use super::worker::Worker;

/// How long a connection without a request is kept, as nginx keeps it.
const IDLE: Duration = Duration::from_secs(75);

/// How many requests, tunnels included, one client may have at a time on a connection, as nginx.
const MAX_STREAMS: u32 = 128;

/// The requests of one connection that are under way.
#[derive(Default)]
struct Activity {
    open: AtomicUsize,
    changed: Notify,
}

/// Serves a connection to its end.
pub(crate) async fn serve(
    stream: AnyStream,
    hop: Hop,
    peer: SocketAddr,
    visit: Option<Box<Visit>>,
    worker: Arc<Worker>,
) {
    let visit = visit.map(Arc::from);
    let activity = Arc::new(Activity::default());
    let service = service_fn(|request: Request<Incoming>| {
        let (worker, activity, visit) = (worker.clone(), activity.clone(), visit.clone());
        async move {
            activity.start();
            let response = answer(request, hop, peer, visit.as_deref(), &worker).await;
            activity.end();
            Ok::<_, Infallible>(response)
        }
    });
    let limit = u32::try_from(worker.settings.flags.max_header_bytes).unwrap_or(u32::MAX);
    let mut connection = pin!(
        http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .enable_connect_protocol()
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(limit)
            .keep_alive_interval(Duration::from_secs(30))
            .serve_connection(TokioIo::new(stream), service)
    );
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = worker.drain.started() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
        () = activity.idle(worker.settings.flags.header_timeout) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        worker.settings.tell(peer, || format!("HTTP/2: {error}"));
        if let Some(visit) = &visit {
            visit.unopened(hop, None, ("http2", "http2"), &error);
        }
    }
}

impl Activity {
    fn start(&self) {
        self.open.fetch_add(1, Ordering::Relaxed);
        self.changed.notify_one();
    }

    fn end(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
        self.changed.notify_one();
    }

    /// Completes when there has been no request for too long. The first one has less time.
    async fn idle(&self, first: Duration) {
        let mut limit = first;
        loop {
            let changed = self.changed.notified();
            if self.open.load(Ordering::Relaxed) > 0 {
                changed.await;
                limit = IDLE;
            } else if timeout(limit, changed).await.is_err() {
                return;
            }
        }
    }
}

/// Tells the access log of the tunnels of this service.
pub(super) fn telling(config: ServiceConfig) -> ServiceConfig {
    config
        .on_start(|started| {
            if let Some(story) = started.extensions.get::<Story>() {
                story.opened(started.protocol);
            }
        })
        .on_end(|ended| {
            if let Some(story) = ended.extensions.get::<Story>() {
                story.ended(&ended.protocol, &ended.result);
            }
        })
}

async fn answer(
    mut request: Request<Incoming>,
    hop: Hop,
    peer: SocketAddr,
    visit: Option<&Visit>,
    worker: &Worker,
) -> Response<Told> {
    let mut story = None;
    let is_upgrade = request.method() == Method::CONNECT;
    if let Some(visit) = visit {
        let (mut parts, body) = request.into_parts();
        let of_it = story.insert(visit.request(&parts, hop));
        parts.extensions.insert(of_it.trace());
        parts.extensions.insert(of_it.clone());
        request = Request::from_parts(parts, body);
    }
    let response = proxied(request, hop, worker).await;
    let response = response.unwrap_or_else(|why| {
        let mut response = why.clone().into_response().map(ProxyBody::from);
        response.extensions_mut().insert(why);
        response
    });
    if let Some(why) = response.extensions().get::<Rejection>() {
        worker
            .settings
            .tell(peer, || format!("{} {why}. {}", why.status(), why.hint()));
    }
    let failure = response.extensions().get::<Arc<switchover::Error>>().cloned();
    if let Some(error) = &failure {
        let error: &switchover::Error = error;
        worker
            .settings
            .tell(peer, || format!("{} {}: {error}", error.side(), error.phase()));
    }
    let refusal = response.extensions().get::<Rejection>();
    let status = response.status();
    match (&story, refusal) {
        (Some(story), Some(why)) => story.refused(why),
        // The tunnel is told by itself.
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
    response.map(|body| Told { body, ending })
}

/// Proxies one request; only a refusal of the gateway's own is an error.
async fn proxied(
    request: Request<Incoming>,
    hop: Hop,
    worker: &Worker,
) -> Result<Response<ProxyBody>, Rejection> {
    let (mut parts, body) = request.into_parts();
    // Makes `Host` of the authority, by which routes are chosen.
    check_request_within(&mut parts, &worker.settings.head_limits)?;
    let (upstream, target) = worker.settings.route(&parts)?;
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

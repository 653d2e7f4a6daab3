//! Clients of HTTP/2: by the library's server, with the deadlines of the configuration. There are no upgrades on such a connection, as in
//! nginx.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use http::Response;
use http_body_util::BodyExt;
use switchover::handshake::Rejection;
use switchover::header::Hop;
use switchover::http1::check_request_within;
use switchover::http2::RequestBody;
use switchover::service::ProxyBody;
use tower_service::Service;

use super::answer::NO_ANSWER;
use super::connection::report;
use super::opening::{Facts, Opened};
use super::real_ip::Proxied;
use super::refused::Refusing;
use super::request::{CLIENT_LEFT, Request};
use super::worker::Worker;

/// Serves a connection to its end.
pub(crate) async fn serve(opened: Opened, facts: Facts, index: usize, worker: Arc<Worker>) {
    let Opened {
        stream, hop, proxied, ..
    } = opened;
    let answers = Answers {
        worker: worker.clone(),
        facts,
        hop,
        proxied,
        index,
        asked: Arc::default(),
    };
    let server = worker.listener(index).http2.clone();
    if let Err(why) = server.serve(stream, answers, worker.drain.started()).await {
        report(hop, why.to_string());
    }
}

/// What answers the requests of one connection.
#[derive(Clone)]
struct Answers {
    worker: Arc<Worker>,
    facts: Facts,
    hop: Hop,
    proxied: Proxied,
    index: usize,
    /// How many requests there have been.
    asked: Arc<AtomicU64>,
}

/// 444: there is no answer, and the stream is reset.
#[derive(Clone, Copy, Debug)]
struct NoAnswer;

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the configuration answers nothing (444)")
    }
}

impl std::error::Error for NoAnswer {}

impl Service<http::Request<RequestBody>> for Answers {
    type Response = Response<ProxyBody>;
    type Error = NoAnswer;
    type Future = Pin<Box<dyn Future<Output = Result<Response<ProxyBody>, NoAnswer>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), NoAnswer>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<RequestBody>) -> Self::Future {
        let mut this = self.clone();
        this.facts.requests = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
        Box::pin(this.answer(request))
    }
}

impl Answers {
    async fn answer(self, request: http::Request<RequestBody>) -> Result<Response<ProxyBody>, NoAnswer> {
        let (mut head, body) = request.into_parts();
        let limits = &self.worker.listener(self.index).head_limits;
        if let Err(why) = check_request_within(&mut head, limits) {
            let why = Rejection::from(why);
            report(self.hop, format!("{} {why}. {}", why.status(), why.hint()));
            let refusing = Refusing {
                worker: self.worker,
                facts: Arc::new(self.facts),
                hop: self.hop,
                proxied: self.proxied,
                index: self.index,
            };
            let mut response = why.clone().into_response();
            refusing.answer(&why, Some(&head), &mut response);
            return Ok(response.map(ProxyBody::from));
        }
        let extensions = std::mem::take(&mut head.extensions);
        let facts = Arc::new(self.facts);
        let request = Request::new(
            Box::new(head),
            self.hop,
            self.proxied,
            facts,
            self.index,
            self.worker,
        );
        let mut logged = Logged {
            request,
            status: CLIENT_LEFT,
        };
        let plan = logged.request.plan().await;
        let body = Some(body.map_err(Into::into).boxed_unsync());
        let body = body.filter(|body| !http_body::Body::is_end_stream(body));
        let response = logged.request.carry_out(plan, extensions, body).await;
        logged.status = response
            .as_ref()
            .map_or(NO_ANSWER, |response| response.status().as_u16());
        response.ok_or(NoAnswer)
    }
}

/// A request whose line is written when it has been answered, or when its client has given it up before.
struct Logged {
    request: Request,
    status: u16,
}

impl Drop for Logged {
    fn drop(&mut self) {
        let nothing = (self.status == NO_ANSWER).then_some(0);
        self.request.end(self.status, nothing, nothing);
    }
}

//! Requests that are refused before they are any location's: a head that is none or too large, a method that no such proxy serves. Their
//! answers have what the server adds to all of its answers, and its log has a line for each.

use std::sync::Arc;

use http::request::Parts;
use http::{Response, StatusCode};
use switchover::handshake::Rejection;
use switchover::header::Hop;

use super::opening::Facts;
use super::real_ip::Proxied;
use super::request::Request;
use super::worker::Worker;

/// The connection on which they come.
pub(crate) struct Refusing {
    pub(crate) worker: Arc<Worker>,
    pub(crate) facts: Arc<Facts>,
    pub(crate) hop: Hop,
    pub(crate) proxied: Proxied,
    pub(crate) index: usize,
}

impl Refusing {
    /// Makes the answer the server's, and writes it down. Without a head it is the default server's.
    pub(crate) fn answer(&self, why: &Rejection, head: Option<&Parts>, response: &mut Response<String>) {
        // As in nginx.
        if *why == Rejection::Connect {
            *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        }
        let is_unread = head.is_none();
        let head = head
            .cloned()
            .unwrap_or_else(|| http::Request::new(()).into_parts().0);
        let (facts, worker) = (self.facts.clone(), self.worker.clone());
        let request = Request::new(Box::new(head), self.hop, self.proxied, facts, self.index, worker);
        request.state.lock().is_unread = is_unread;
        let status = response.status();
        request.complete(status, response.headers_mut());
        request.end(status.as_u16(), None, u64::try_from(response.body().len()).ok());
    }
}

//! What is told of a request when it has ended: a line in the logs that want one, and a word to the operator of what was
//! refused and what has failed.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use http::StatusCode;
use http::request::Parts;
use switchover::handshake::Rejection;
use switchover::header::Hop;
use switchover::tunnel::Traffic;
use switchover::{Error, Side};

use super::access_log::Log;
use super::connection::told;
use super::proxy_pass::Target;
use super::real_ip::Proxied;
use super::server::Server;
use super::text::Asked;
use super::tries::{Tries, Try};
use super::variables::Ending;
use super::worker::Worker;

/// The status in logs of a request whose client has left, as in nginx.
pub(crate) const CLIENT_LEFT: u16 = 499;

/// What a log wants to know when a request has ended.
pub(crate) struct Story {
    pub(crate) head: Box<Parts>,
    pub(crate) hop: Hop,
    pub(crate) proxied: Proxied,
    pub(crate) id: u128,
    pub(crate) server: Arc<Server>,
    pub(crate) target: Option<Target>,
    pub(crate) logs: Arc<[Log]>,
    pub(crate) begun: Instant,
    /// The servers asked; none where none was to be.
    pub(crate) upstream: Option<Arc<Tries>>,
}

impl Story {
    /// Whether there is a log for it.
    pub(crate) fn is_wanted(&self) -> bool {
        !self.logs.is_empty()
    }

    /// Of a tunnel: what it has carried, and how it has ended where that was not in order.
    pub(crate) fn of_tunnel(self, worker: &Worker, ended: Result<Traffic, Error>) {
        let carried = match &ended {
            Ok(traffic) => Some(traffic),
            Err(why) => why.traffic(),
        };
        let carried = carried.map(Traffic::from_upstream);
        self.end(worker, StatusCode::SWITCHING_PROTOCOLS.as_u16(), None, carried);
    }

    pub(crate) fn refused(self, worker: &Worker, why: &Rejection) {
        told(self.hop, format!("{} {why}. {}", why.status(), why.hint()));
        self.end(worker, why.status().as_u16(), None, None);
    }

    pub(crate) fn failed(self, worker: &Worker, why: &Error) {
        told(self.hop, format!("{} {}: {why}", why.side(), why.phase()));
        let status = match (why.status(), why.side()) {
            (Some(status), _) => status.as_u16(),
            (None, Side::Downstream) => CLIENT_LEFT,
            (None, Side::Upstream) => StatusCode::BAD_GATEWAY.as_u16(),
        };
        self.end(worker, status, None, None);
    }

    pub(crate) fn end(self, worker: &Worker, status: u16, bytes: Option<u64>, body_bytes: Option<u64>) {
        if !self.is_wanted() {
            return;
        }
        let group = self.target.as_ref().map_or("", |target| &target.host);
        let tries = self.upstream.map(|tries| match tries.all() {
            tries if tries.is_empty() => vec![Try::of_none(group, status)],
            tries => tries,
        });
        let ending = Ending {
            at: SystemTime::now(),
            status,
            bytes,
            body_bytes,
            time: self.begun.elapsed(),
            tries: tries.unwrap_or_default(),
        };
        let asked = Asked {
            head: &self.head,
            hop: &self.hop,
            proxied: self.proxied,
            id: self.id,
            server_name: &self.server.name,
            target: self.target.as_ref(),
            maps: &worker.configuration.maps,
            ending: Some(&ending),
        };
        worker.configuration.logs.write(&self.logs, &asked);
    }
}

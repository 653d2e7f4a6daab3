//! One request: what came in, by whom and over which connection, and what it is at the moment.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime};

use http::Method;
use http::header::HOST;
use http::request::Parts;
use http::uri::PathAndQuery;
use switchover::Side;
use switchover::handshake::Rejection;
use switchover::header::Hop;
use switchover::http1::host_name;

use super::access_log::Log;
use super::connection::report;
use super::limiting::Place;
use super::opening::Facts;
use super::proxy_pass::Target;
use super::real_ip::Proxied;
use super::server::Server;
use super::state::{Shared, State};
use super::text::Asked;
use super::variables::Ending;
use super::worker::Worker;

/// The status in logs of a request whose client has left, as in nginx.
pub(crate) const CLIENT_LEFT: u16 = 499;

/// What a client has asked for.
pub(crate) struct Request {
    pub(crate) head: Box<Parts>,
    /// Over which it came, as long as nobody behind it is known.
    connected: Hop,
    hop: Mutex<Hop>,
    pub(crate) proxied: Proxied,
    pub(crate) facts: Arc<Facts>,
    id: u128,
    pub(crate) listener: usize,
    pub(crate) worker: Arc<Worker>,
    pub(crate) server: Arc<Server>,
    pub(crate) begun: Instant,
    pub(crate) state: Shared,
    /// Where it goes; none as long as it goes nowhere.
    target: Mutex<Option<Arc<Target>>>,
    /// Its places under `limit_conn`.
    places: Mutex<Vec<Place>>,
    /// Asked by another request, on its way: it has passed what that has.
    pub(crate) is_sub: bool,
}

impl Request {
    pub(crate) fn new(
        head: Box<Parts>,
        hop: Hop,
        proxied: Proxied,
        facts: Arc<Facts>,
        listener: usize,
        worker: Arc<Worker>,
    ) -> Self {
        // Without a host it is for the default server, whatever the handshake was about.
        let (server, by) = worker.listener(listener).server(host(&head));
        let (connected, hop) = match &server.real_ip {
            Some(real_ip) => (hop, real_ip.locate(hop, &head.headers, proxied)),
            None => (hop, hop),
        };
        let state = State {
            args: head.uri.query().unwrap_or_default().to_owned(),
            method: head.method.clone(),
            values: vec![None; worker.configuration.names.len()],
            is_unparsed: true,
            is_of_location: true,
            ..State::default()
        };
        let request = Request {
            server,
            head,
            connected,
            hop: Mutex::new(hop),
            proxied,
            facts,
            id: any_number(),
            listener,
            worker,
            begun: Instant::now(),
            state: Shared::new(state),
            target: Mutex::default(),
            places: Mutex::default(),
            is_sub: false,
        };
        if let Some((regex, captures)) = by {
            request.with(|asked| asked.keep(&regex, captures));
        }
        request
    }

    /// One that this one asks on its way, for a path of its own. It has no query.
    pub(crate) fn sub(&self, uri: &str) -> Request {
        let state = {
            let asking = self.state.lock();
            State {
                uri: uri.to_owned(),
                method: Method::GET,
                asking_method: Some(asking.method.clone()),
                values: asking.values.clone(),
                is_internal: true,
                is_of_location: true,
                // What has been counted once is not counted again.
                limit_req: asking.limit_req,
                limit_conn: asking.limit_conn,
                ..State::default()
            }
        };
        Request {
            head: self.head.clone(),
            connected: self.connected,
            hop: Mutex::new(self.hop()),
            proxied: self.proxied,
            facts: self.facts.clone(),
            id: self.id,
            listener: self.listener,
            worker: self.worker.clone(),
            server: self.server.clone(),
            begun: Instant::now(),
            state: Shared::new(state),
            target: Mutex::default(),
            places: Mutex::default(),
            is_sub: true,
        }
    }

    pub(crate) fn host_name(&self) -> Option<String> {
        host(&self.head).map(|host| host_name(host).into_owned())
    }

    pub(crate) fn hop(&self) -> Hop {
        *self.hop.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who the client is behind proxies, unless that was found out before, be it the proxy itself.
    pub(crate) fn locate(&self, real_ip: &super::real_ip::RealIp) {
        let mut hop = self.hop.lock().unwrap_or_else(PoisonError::into_inner);
        if *hop == self.connected {
            *hop = real_ip.locate(*hop, &self.head.headers, self.proxied);
        }
    }

    /// The target as it came.
    pub(crate) fn own_target(&self) -> &str {
        self.head.uri.path_and_query().map_or("/", PathAndQuery::as_str)
    }

    pub(crate) fn leads_to(&self, target: &Arc<Target>) {
        *self.target.lock().unwrap_or_else(PoisonError::into_inner) = Some(target.clone());
    }

    pub(crate) fn takes(&self, place: Place) {
        self.places
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(place);
    }

    /// Its places, for what goes on when it has been answered.
    pub(crate) fn places(&self) -> Vec<Place> {
        std::mem::take(&mut *self.places.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Looks variables up.
    pub(crate) fn with<T>(&self, look: impl FnOnce(&Asked<'_>) -> T) -> T {
        self.with_ending(None, look)
    }

    fn with_ending<T>(&self, ending: Option<&Ending>, look: impl FnOnce(&Asked<'_>) -> T) -> T {
        let hop = self.hop();
        let target = self.target.lock().unwrap_or_else(PoisonError::into_inner).clone();
        look(&Asked {
            head: &self.head,
            hop: &hop,
            proxied: self.proxied,
            facts: &self.facts,
            id: self.id,
            begun: self.begun,
            server_name: &self.server.name,
            target: target.as_deref(),
            names: &self.worker.configuration.names,
            definitions: &self.worker.configuration.definitions,
            state: &self.state,
            ending,
        })
    }

    fn logs(&self) -> Arc<[Log]> {
        let location = self.state.lock().location.clone();
        location.map_or_else(|| self.server.own.logs.clone(), |location| location.logs.clone())
    }

    /// Whether there is a log for it.
    pub(crate) fn is_logged(&self) -> bool {
        !self.logs().is_empty()
    }

    pub(crate) fn refused(&self, why: &Rejection) {
        report(self.hop(), format!("{} {why}. {}", why.status(), why.hint()));
        self.end(why.status().as_u16(), None, None);
    }

    pub(crate) fn failed(&self, why: &switchover::Error) {
        report(self.hop(), format!("{} {}: {why}", why.side(), why.phase()));
        let status = match (why.status(), why.side()) {
            (Some(status), _) => status.as_u16(),
            (None, Side::Downstream) => CLIENT_LEFT,
            (None, Side::Upstream) => 502,
        };
        self.end(status, None, None);
    }

    /// Writes the lines of its logs.
    pub(crate) fn end(&self, status: u16, bytes: Option<u64>, body_bytes: Option<u64>) {
        let logs = self.logs();
        if logs.is_empty() {
            return;
        }
        let ending = Ending {
            at: SystemTime::now(),
            status,
            bytes,
            body_bytes,
            time: self.begun.elapsed(),
        };
        self.with_ending(Some(&ending), |asked| {
            self.worker.configuration.logs.write(&logs, asked)
        });
    }
}

fn host(head: &Parts) -> Option<&str> {
    let in_target = head.uri.authority().map(|authority| authority.as_str());
    in_target.or_else(|| head.headers.get(HOST)?.to_str().ok())
}

/// As good as any other to distinguish requests.
fn any_number() -> u128 {
    let half = || u128::from(RandomState::new().build_hasher().finish());
    half() << 64 | half()
}

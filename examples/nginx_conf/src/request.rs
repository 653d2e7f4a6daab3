//! One request: its server, its location, and what that says of it.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::time::Instant;

use http::StatusCode;
use http::header::HOST;
use http::request::Parts;
use http::uri::PathAndQuery;
use switchover::gateway::{Accepted, Incoming, Negotiated};
use switchover::handshake::{Rejection, wants_upgrade};
use switchover::header::Hop;
use switchover::route::path_as_nginx;
use switchover::service::Destination;
use switchover::tunnel::{AnyStream, Rewind};

use super::access_log::Log;
use super::answer::Answer;
use super::connection::{Served, Tunnel, told};
use super::location::{Location, Proxy};
use super::proxy_pass::Target;
use super::real_ip::Proxied;
use super::server::{Listener, Server};
use super::steps;
use super::story::{CLIENT_LEFT, Story};
use super::text::Asked;
use super::tries::Tries;
use super::worker::Worker;

/// What a client has asked for.
pub(crate) struct Request<'a> {
    pub(crate) head: Box<Parts>,
    pub(crate) hop: Hop,
    proxied: Proxied,
    id: u128,
    pub(crate) listener: &'a Listener,
    pub(crate) worker: &'a Worker,
    pub(crate) server: Arc<Server>,
    begun: Instant,
}

impl<'a> Request<'a> {
    pub(crate) fn new(
        head: Box<Parts>,
        hop: Hop,
        proxied: Proxied,
        listener: &'a Listener,
        worker: &'a Worker,
    ) -> Self {
        let in_target = head.uri.authority().map(|authority| authority.as_str());
        let host = in_target.or_else(|| head.headers.get(HOST)?.to_str().ok());
        let server = listener.servers.find(host).cloned();
        let server = server.expect("a listener has a server");
        let hop = match &server.real_ip {
            Some(real_ip) => real_ip.locate(hop, &head.headers, proxied),
            None => hop,
        };
        Request {
            server,
            head,
            hop,
            proxied,
            id: any_number(),
            listener,
            worker,
            begun: Instant::now(),
        }
    }

    pub(crate) async fn serve(self, stream: Rewind<AnyStream>) -> Served {
        let server = self.server.clone();
        let asked = self.asked(None);
        // nginx takes no path that it cannot decode, whatever it is for.
        if let Err(why) = path_as_nginx(self.head.uri.path()) {
            return self.reject(stream, why.into()).await;
        }
        if let Some(answer) = steps::decide(&server.steps, &asked).answer {
            return self
                .answer(stream, answer, &server.fields, &server.default_type, &server.logs)
                .await;
        }
        let target = self
            .head
            .uri
            .path_and_query()
            .map_or("/", PathAndQuery::as_str)
            .to_owned();
        // OPTIONS for the server as a whole has no path to go by.
        let path = if target == "*" { "/" } else { &target };
        if let Some(to) = server.locations.redirect(path) {
            if let Some(location) = upstream_at(&server, &to) {
                return self.redirect(stream, &to, location.fields.addressing).await;
            }
        }
        let found = match server.locations.find(path) {
            Ok(found) => found,
            Err(why) => return self.reject(stream, why.into()).await,
        };
        let decision = steps::decide(&found.value.steps, &asked);
        let location = decision.instead.unwrap_or(found.value);
        if let Some(answer) = decision.answer {
            let default_type = &location.default_type;
            return self
                .answer(stream, answer, &location.fields, default_type, &location.logs)
                .await;
        }
        let Some(proxy) = &location.proxy else {
            let nothing = Answer::plain(StatusCode::NOT_FOUND);
            return self
                .answer(stream, &nothing, &location.fields, "", &location.logs)
                .await;
        };
        let replaced = match (&proxy.target.replacement, &*target) {
            (None, _) | (_, "*") => None,
            (Some(replacement), target) => match found.replace_prefix(replacement, target) {
                Some(replaced) => Some(replaced),
                None => return self.reject(stream, Rejection::AmbiguousPath).await,
            },
        };
        let logs = location.logs.clone();
        self.proxy(stream, &proxy.clone(), replaced, logs).await
    }

    pub(crate) fn asked<'b>(&'b self, target: Option<&'b Target>) -> Asked<'b> {
        Asked {
            head: &self.head,
            hop: &self.hop,
            proxied: self.proxied,
            id: self.id,
            server_name: &self.server.name,
            target,
            maps: &self.worker.configuration.maps,
            ending: None,
        }
    }

    async fn proxy(
        mut self,
        stream: Rewind<AnyStream>,
        proxy: &Proxy,
        target: Option<PathAndQuery>,
        logs: Arc<[Log]>,
    ) -> Served {
        let is_found = self.hop.client() != self.hop.peer();
        if let Some(real_ip) = proxy.real_ip.as_ref().filter(|_| !is_found) {
            self.hop = real_ip.locate(self.hop, &self.head.headers, self.proxied);
        }
        let asked = self.asked(Some(&proxy.target));
        if !wants_upgrade(&self.head) || !proxy.fields.carry_upgrade(&asked) {
            return self.relay(stream, proxy, target, logs).await;
        }
        // Asked again, by what the location allows: it begins with the head that has been read already.
        match proxy.upgrades.resume(stream, self.hop).await {
            Ok(Accepted::Upgrade(incoming)) => self.upgrade(*incoming, proxy, target, logs).await,
            // Only for protocols that never pass.
            Ok(Accepted::Ordinary(_, stream)) => self.relay(stream, proxy, target, logs).await,
            Ok(Accepted::Rejected(why, _)) => {
                let worker = self.worker;
                self.story(proxy, logs, None).refused(worker, &why);
                Served::Ended
            }
            Ok(Accepted::Closed) => Served::Ended,
            Err(why) => {
                let worker = self.worker;
                self.story(proxy, logs, None).failed(worker, &why);
                Served::Ended
            }
        }
    }

    async fn upgrade(
        self,
        mut incoming: Incoming<AnyStream>,
        proxy: &Proxy,
        target: Option<PathAndQuery>,
        logs: Arc<[Log]>,
    ) -> Served {
        incoming.set_header_rules(proxy.fields.rules(&self.asked(Some(&proxy.target))));
        if let Some(target) = target {
            incoming.set_target(target);
        }
        let tries = self.tries(proxy);
        let negotiated = tries.during(incoming.negotiate(&proxy.group)).await;
        let worker = self.worker;
        let story = self.story(proxy, logs, Some(tries));
        match negotiated {
            Ok(Negotiated::Switched(established)) => Served::Tunnel(Box::new(Tunnel {
                carrying: established.run_until(worker.drain.signal()),
                story: Some(story).filter(Story::is_wanted),
            })),
            Ok(Negotiated::Declined(status)) => {
                story.end(worker, status.as_u16(), None, None);
                Served::Ended
            }
            Err(why) => {
                story.failed(worker, &why);
                Served::Ended
            }
        }
    }

    async fn relay(
        self,
        stream: Rewind<AnyStream>,
        proxy: &Proxy,
        target: Option<PathAndQuery>,
        logs: Arc<[Log]>,
    ) -> Served {
        let rules = proxy.fields.rules(&self.asked(Some(&proxy.target)));
        let mut destination = Destination::default().header_rules(rules);
        if let Some(target) = target {
            destination = destination.target(target);
        }
        let tries = self.tries(proxy);
        let relay = &self.worker.relays[proxy.index];
        let relayed = tries
            .during(relay.serve(stream, &self.head, destination, self.hop))
            .await;
        let worker = self.worker;
        let story = self.story(proxy, logs, Some(tries));
        let relayed = match relayed {
            Ok(relayed) => relayed,
            Err(why) => {
                story.failed(worker, &why);
                return Served::Ended;
            }
        };
        if let Some(why) = &relayed.failure {
            told(story.hop, format!("{} {}: {why}", why.side(), why.phase()));
        }
        let status = relayed.status.map_or(CLIENT_LEFT, |status| status.as_u16());
        story.end(
            worker,
            status,
            Some(relayed.bytes_sent),
            Some(relayed.body_bytes_sent),
        );
        relayed.stream.map_or(Served::Ended, Served::Next)
    }

    fn tries(&self, proxy: &Proxy) -> Arc<Tries> {
        let key = proxy.target.upstream.key.as_ref();
        let key = key.map(|key| key.value(&self.asked(Some(&proxy.target))).into_bytes());
        Tries::new(key)
    }

    fn story(self, proxy: &Proxy, logs: Arc<[Log]>, upstream: Option<Arc<Tries>>) -> Story {
        Story {
            target: Some(proxy.target.clone()),
            upstream,
            ..self.story_here(&logs)
        }
    }

    pub(crate) fn story_here(self, logs: &Arc<[Log]>) -> Story {
        Story {
            head: self.head,
            hop: self.hop,
            proxied: self.proxied,
            id: self.id,
            server: self.server,
            target: None,
            logs: logs.clone(),
            begun: self.begun,
            upstream: None,
        }
    }
}

/// As good as any other for telling requests apart.
fn any_number() -> u128 {
    let half = || u128::from(RandomState::new().build_hasher().finish());
    half() << 64 | half()
}

/// nginx redirects to the location with the slash only where that is proxied.
fn upstream_at<'a>(server: &'a Server, to: &PathAndQuery) -> Option<&'a Location> {
    let found = server.locations.find(to.as_str()).ok()?;
    let is_proxied = found.value.proxy.is_some() && found.pattern().path().ends_with('/');
    is_proxied.then_some(found.value)
}

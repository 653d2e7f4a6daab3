//! `auth_request`: another request, whose answer lets this one in or keeps it out.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use http::header::{HeaderMap, HeaderName, WWW_AUTHENTICATE};
use switchover::gateway::Accepted;
use switchover::tunnel::{AnyStream, Rewind};

use super::connection::report;
use super::guards::Judged;
use super::location::Location;
use super::phases::{Plan, Stop};
use super::proxy::Proxy;
use super::request::Request;

impl Request {
    pub(crate) async fn by_request(&self, location: &Location) -> Judged {
        let asked = location
            .handling
            .auth_request
            .as_ref()
            .and_then(|said| said.value.as_ref());
        let Some(uri) = asked.map(|uri| self.with(|asked| uri.value(asked))) else {
            return Ok(None);
        };
        if self.state.lock().story.is_some() {
            self.explain(|| format!("auth_request {uri} is asked, and taken to let it in"));
            return Ok(Some(()));
        }
        let sub = self.sub(&uri);
        let (status, headers) = self.waits_for(sub.ask_alone()).await;
        // Variables that the other has set are set here too; those of its answer by auth_request_set.
        let set = location.handling.auth_set.iter();
        let set = set.map(|(target, text)| (*target, sub.with(|asked| text.value(asked))));
        let set: Vec<_> = set.collect();
        if sub.state.has_failed() {
            self.state.fail();
        }
        {
            let (mut state, of_sub) = (self.state.lock(), sub.state.lock());
            state.values.clone_from(&of_sub.values);
            // Its limits are those of this request too, for as long as this one lasts.
            (state.limit_req, state.limit_conn) = (of_sub.limit_req, of_sub.limit_conn);
            for (target, value) in set {
                target.set(&mut state, value);
            }
        }
        sub.places().into_iter().for_each(|place| self.takes(place));
        match status.as_u16() {
            200..=299 => Ok(Some(())),
            403 => Err(StatusCode::FORBIDDEN.into()),
            401 => {
                let mut fields = HeaderMap::new();
                for value in headers.get_all(WWW_AUTHENTICATE) {
                    fields.append(WWW_AUTHENTICATE, value.clone());
                }
                Err(Stop::Status(StatusCode::UNAUTHORIZED, fields))
            }
            other => {
                report(
                    self.hop(),
                    format!("auth_request {uri}: unexpected status {other}"),
                );
                Err(StatusCode::INTERNAL_SERVER_ERROR.into())
            }
        }
    }

    /// The answer to a request that another one asks, without its body.
    fn ask_alone(&self) -> Pin<Box<dyn Future<Output = (StatusCode, HeaderMap)> + Send + '_>> {
        Box::pin(async move {
            let mut plan = self.plan().await;
            loop {
                plan = match plan {
                    Plan::Proxy(proxy, location) if self.carries_upgrade(&proxy) => {
                        match self.ask_for_upgrade(&proxy).await {
                            Ok(Some(answer)) => return answer,
                            Ok(None) => return self.ask_plainly(Plan::Proxy(proxy, location)).await,
                            Err(stop) => self.go_on(stop).await,
                        }
                    }
                    plan => return self.ask_plainly(plan).await,
                };
            }
        })
    }

    async fn ask_plainly(&self, plan: Plan) -> (StatusCode, HeaderMap) {
        match self.carry_out(plan, http::Extensions::new(), None).await {
            Some(response) => (response.status(), response.headers().clone()),
            None => (StatusCode::INTERNAL_SERVER_ERROR, HeaderMap::new()),
        }
    }

    /// Asks with the upgrade that the client asks for, where `proxy_set_header` says so, as nginx does: the guard may let in by
    /// that. What it answers is all that counts. A 101 lets nobody in, and nothing is switched. None where the client asks for a
    /// protocol that is not let through: that is an ordinary request.
    async fn ask_for_upgrade(&self, proxy: &Arc<Proxy>) -> Result<Option<(StatusCode, HeaderMap)>, Stop> {
        let (leads, rules) = self.asks(proxy).await?;
        // The door for upgrades wants a client. This one has sent a head, and waits.
        let (near, _far) = tokio::io::duplex(64 * 1024);
        let asking = Rewind::new(AnyStream::new(near), self.head_again());
        let mut incoming = match proxy.upgrades.resume(asking, self.hop()).await {
            Ok(Accepted::Upgrade(incoming)) => incoming,
            Ok(Accepted::Rejected(why, _)) => return Ok(Some((why.status(), HeaderMap::new()))),
            Ok(Accepted::Ordinary(..)) => return Ok(None),
            _ => return Err(StatusCode::INTERNAL_SERVER_ERROR.into()),
        };
        incoming.set_header_rules(rules);
        if let Some(path) = leads.path.clone() {
            incoming.set_target(path);
        }
        let answered = match leads.tries.during(incoming.ask(&leads.group)).await {
            Ok(answered) => answered,
            Err(unanswered) => {
                let why = unanswered.error();
                report(self.hop(), format!("{} {}: {why}", why.side(), why.phase()));
                return Err(why.status().unwrap_or(StatusCode::BAD_GATEWAY).into());
            }
        };
        let (status, headers) = (answered.head().status, answered.head().headers.clone());
        self.state.lock().upstream = Some((status, headers.clone()));
        let location = self.state.lock().location.clone();
        let stop = location.and_then(|location| self.taken_over(status, &headers, &location));
        stop.map_or(Ok(Some((status, headers))), Err)
    }

    /// The client's head, by its own target, without a body.
    fn head_again(&self) -> Bytes {
        let mut head = format!("GET {} HTTP/1.1\r\n", self.own_target()).into_bytes();
        let is_of_body = |name: &HeaderName| matches!(name.as_str(), "content-length" | "transfer-encoding");
        for (name, value) in self.head.headers.iter().filter(|(name, _)| !is_of_body(name)) {
            for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
                head.extend_from_slice(part);
            }
        }
        head.extend_from_slice(b"\r\n");
        head.into()
    }
}

//! A request on a client's own connection: answered, and the connection goes on, or upgraded, and it is a tunnel.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use http::StatusCode;
use http_body_util::BodyExt;
use switchover::connect::Trace;
use switchover::gateway::{Accepted, Incoming, Negotiated, Unanswered};
use switchover::handshake::{UpgradeRequest, wants_upgrade};
use switchover::header::HeaderRules;
use switchover::http1::{HeadLimits, HeadScan};
use switchover::service::{ClientBody, ProxyBody, RelayConfig, answer_one};
use switchover::tunnel::{AnyStream, Rewind, Traffic};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::Notify;

use super::asking::Body;
use super::connection::{Served, Tunnel, report};
use super::fields::difference;
use super::leads::Leads;
use super::phases::{Plan, Stop};
use super::proxy::Proxy;
use super::replies;
use super::request::{CLIENT_LEFT, Request};

/// So many bytes of a client are taken before it is known what becomes of its request.
const MOST_EARLY: usize = 64 << 10;

impl Request {
    pub(crate) async fn serve(self, stream: Rewind<AnyStream>) -> Served {
        self.measure(stream.front());
        match self.planned(stream).await {
            Some((plan, stream)) => self.serve_by(plan, stream).await,
            None => {
                self.end(CLIENT_LEFT, Some(0), Some(0));
                Served::Ended
            }
        }
    }

    /// What is to be done, and the connection. None where the client has left while its request waited: nobody waits for a limit, or
    /// asks a guard, for somebody who has gone.
    async fn planned(&self, stream: Rewind<AnyStream>) -> Option<(Plan, Rewind<AnyStream>)> {
        let (mut stream, front) = stream.into_parts();
        let (mut early, mut has_ended) = (Vec::new(), false);
        let plan = {
            let mut planning = pin!(self.plan());
            poll_fn(|cx| {
                if let Poll::Ready(plan) = planning.as_mut().poll(cx) {
                    return Poll::Ready(Some(plan));
                }
                while !has_ended && early.len() < MOST_EARLY {
                    let mut some = [0; 1024];
                    let mut some = ReadBuf::new(&mut some);
                    match Pin::new(&mut stream).poll_read(cx, &mut some) {
                        Poll::Ready(Ok(())) if !some.filled().is_empty() => {
                            early.extend_from_slice(some.filled());
                        }
                        Poll::Ready(_) => has_ended = true,
                        Poll::Pending => break,
                    }
                }
                match has_ended && self.state.lock().waits {
                    true => Poll::Ready(None),
                    false => Poll::Pending,
                }
            })
            .await?
        };
        let front = match early.is_empty() {
            true => front,
            false => [&front[..], &early[..]].concat().into(),
        };
        Some((plan, Rewind::new(stream, front)))
    }

    async fn serve_by(self, plan: Plan, stream: Rewind<AnyStream>) -> Served {
        let config = match &plan {
            Plan::Proxy(proxy, _) if self.carries_upgrade(proxy) => {
                let proxy = proxy.clone();
                return Box::pin(self.upgrade(stream, proxy)).await;
            }
            Plan::Proxy(proxy, _) => proxy.relay.clone(),
            Plan::Respond(_) => self.worker.own_answers.clone(),
            Plan::Close => {
                drop(stream);
                self.end(super::answer::NO_ANSWER, Some(0), Some(0));
                return Served::Ended;
            }
        };
        let config = config.drain(self.worker.drain.clone());
        self.answer(stream, plan, &config).await
    }

    /// How long it is, and whether more has come behind it.
    fn measure(&self, front: &[u8]) {
        let head = head_length(front);
        let said = self.head.headers.get(http::header::CONTENT_LENGTH);
        let body: u64 = said
            .and_then(|length| length.to_str().ok()?.parse().ok())
            .unwrap_or(0);
        let mut state = self.state.lock();
        state.length = (head as u64).saturating_add(body);
        state.is_pipelined = front.len() as u64 > state.length;
    }

    pub(crate) fn carries_upgrade(&self, proxy: &Proxy) -> bool {
        // Behind an `error_page` that keeps a status the answer has that one: nothing is switched.
        let is_answered = self.state.lock().kept_status.is_some();
        !is_answered
            && wants_upgrade(&self.head)
            && self.with(|asked| {
                proxy
                    .fields
                    .carry_upgrade(asked, proxy.is_named(&self.head.headers))
            })
    }

    /// Answers, and keeps the connection where it can go on.
    async fn answer(self, stream: Rewind<AnyStream>, plan: Plan, config: &RelayConfig) -> Served {
        let closes = Notify::new();
        let answer = |request: http::Request<ClientBody>| {
            let (request, closes) = (request, &closes);
            let this = &self;
            async move {
                let (head, body) = request.into_parts();
                match this.carry_out(plan, head.extensions, boxed(body)).await {
                    Some(response) => response,
                    None => {
                        closes.notify_one();
                        std::future::pending().await
                    }
                }
            }
        };
        let answered = tokio::select! {
            answered = answer_one(stream, &self.head, config, answer) => answered,
            () = closes.notified() => {
                self.end(super::answer::NO_ANSWER, Some(0), Some(0));
                return Served::Ended;
            }
        };
        let relayed = match answered {
            Ok(relayed) => relayed,
            Err(why) => {
                self.failed(&why);
                return Served::Ended;
            }
        };
        let status = relayed.status.map_or(CLIENT_LEFT, |status| status.as_u16());
        self.end(status, Some(relayed.bytes_sent), Some(relayed.body_bytes_sent));
        relayed.stream.map_or(Served::Ended, Served::Next)
    }

    /// Asked again, by what the location allows: it begins with the head that has been read already.
    async fn upgrade(self, stream: Rewind<AnyStream>, proxy: Arc<Proxy>) -> Served {
        let (leads, rules) = match self.asks(&proxy).await {
            Ok(asks) => asks,
            Err(stop) => return self.serve_stop(stop, stream).await,
        };
        // By what holds here, so that the answer has what this location adds, and may be a page.
        if let Err(why) = UpgradeRequest::parse(&self.head, &proxy.policy) {
            report(self.hop(), format!("{} {why}. {}", why.status(), why.hint()));
            let refused = why.into_response().map(ProxyBody::from);
            return self
                .answer_instead(Stop::Answered(Box::new(refused)), stream)
                .await;
        }
        let length = head_length(stream.front());
        // For an answer that is not the upstream's.
        let head = Bytes::copy_from_slice(&stream.front()[..length]);
        match proxy.upgrades.resume(stream, self.hop()).await {
            Ok(Accepted::Upgrade(mut incoming)) => {
                incoming.set_header_rules(rules);
                self.negotiate(*incoming, &proxy, leads, head).await
            }
            // Only for protocols that never pass.
            Ok(Accepted::Ordinary(_, stream)) => {
                let location = self.state.lock().location.clone();
                let location = location.unwrap_or_else(|| self.server.own.clone());
                let config = proxy.relay.clone().drain(self.worker.drain.clone());
                self.answer(stream, Plan::Proxy(proxy, location), &config).await
            }
            Ok(Accepted::Rejected(why, _)) => {
                self.refused(&why);
                Served::Ended
            }
            Ok(Accepted::Closed) => Served::Ended,
            Err(why) => {
                self.failed(&why);
                Served::Ended
            }
        }
    }

    /// Whom an upgrade is asked of, and with which fields.
    pub(crate) async fn asks(&self, proxy: &Arc<Proxy>) -> Result<(Leads, HeaderRules), Stop> {
        let leads = self.leads(proxy).await?;
        let mut rules = self.with(|asked| proxy.fields.request_rules(asked));
        let location = self.state.lock().location.clone();
        if location.is_some_and(|location| !location.handling.passes_fields()) {
            rules = proxy.fields.without_others(rules, &self.head.headers);
        }
        self.has_its_values()?;
        Ok((leads, rules))
    }

    async fn serve_stop(self, stop: Stop, stream: Rewind<AnyStream>) -> Served {
        let plan = self.go_on(stop).await;
        Box::pin(self.serve_by(plan, stream)).await
    }

    async fn negotiate(
        self,
        mut incoming: Incoming<AnyStream>,
        proxy: &Proxy,
        leads: Leads,
        head: Bytes,
    ) -> Served {
        if let Some(path) = leads.path.clone() {
            incoming.set_target(path);
        }
        let trace = Trace::new();
        incoming.set_trace(trace.clone());
        let mut answered = match leads.tries.during(incoming.ask(&leads.group)).await {
            Ok(answered) => answered,
            Err(unanswered) => return self.unanswered(*unanswered, head).await,
        };
        let (status, headers) = (answered.head().status, answered.head().headers.clone());
        self.state.lock().upstream = Some((status, headers));
        let location = self.state.lock().location.clone();
        let location = location.unwrap_or_else(|| self.server.own.clone());
        if status != StatusCode::SWITCHING_PROTOCOLS {
            if let Some(stop) = self.taken_over(status, &answered.head().headers, &location) {
                return self
                    .answer_instead(stop, Rewind::new(answered.into_client(), head))
                    .await;
            }
        }
        let mut fields = answered.head().headers.clone();
        self.changed(&mut fields, status, proxy, &location);
        self.state.lock().sent = Some((status, fields.clone()));
        self.with(|asked| {
            location.fields.add(&mut fields, status, asked);
            let rules = difference(&answered.head().headers, &fields);
            answered.apply(&rules.prepare(&asked.variables()));
        });
        self.state.lock().sent = Some((status, answered.head().headers.clone()));
        let negotiated = answered.relay().await;
        self.state.lock().head_sent = trace.bytes_sent();
        match negotiated {
            Ok(Negotiated::Switched(established)) => {
                let carrying = established.run_until(self.worker.drain.signal());
                let places = self.places();
                Served::Tunnel(Box::new(Tunnel {
                    carrying,
                    request: self.is_logged().then(|| Box::new(self)),
                    places,
                }))
            }
            Ok(Negotiated::Declined(status)) => {
                let (all, body) = (trace.bytes_sent(), trace.body_bytes_sent());
                leads.tries.has_come(body);
                self.end(status.as_u16(), Some(all), Some(body));
                Served::Ended
            }
            Err(why) => {
                self.failed(&why);
                Served::Ended
            }
        }
    }

    /// No upstream has answered: there may be a page for that.
    async fn unanswered(self, unanswered: Unanswered<AnyStream>, head: Bytes) -> Served {
        if let Some(status) = unanswered.error().status() {
            let (client, why) = unanswered.into_client();
            report(self.hop(), format!("{} {}: {why}", why.side(), why.phase()));
            let stop = Stop::Answered(Box::new(replies::line(status, why.public_text())));
            return self.answer_instead(stop, Rewind::new(client, head)).await;
        }
        let why = unanswered.refuse().await;
        self.failed(&why);
        Served::Ended
    }

    /// Answers an upgrade with what takes the place of the upstream's answer. Unless that is a tunnel it is the last answer on the
    /// connection: what the client has sent behind its request may be of the other protocol.
    async fn answer_instead(self, stop: Stop, stream: Rewind<AnyStream>) -> Served {
        match self.serve_stop(stop, stream).await {
            Served::Next(_) => Served::Ended,
            served => served,
        }
    }

    /// What a tunnel has carried, and how it has ended where that was not in order.
    pub(crate) fn tunnel_ended(&self, ended: Result<Traffic, switchover::Error>) {
        let carried = match &ended {
            Ok(traffic) => Some(traffic),
            Err(why) => why.traffic(),
        };
        if let Err(why) = &ended {
            report(self.hop(), format!("{} {}: {why}", why.side(), why.phase()));
        }
        let carried = carried.map(Traffic::from_upstream);
        let head = self.state.lock().head_sent;
        self.end(101, carried.map(|carried| carried.saturating_add(head)), carried);
    }
}

/// The head of a request that has been read whole, with the empty lines in front of it (RFC 9112, section 2.2).
fn head_length(front: &[u8]) -> usize {
    // It is within the limits that it was read by.
    let no_limits = HeadLimits::default().max_bytes(usize::MAX).max_fields(usize::MAX);
    let whole = HeadScan::request().advance(front, &no_limits);
    whole.ok().flatten().unwrap_or(front.len())
}

/// The body of a request; none of one without.
fn boxed(body: ClientBody) -> Option<Body> {
    let is_empty = http_body::Body::is_end_stream(&body);
    (!is_empty).then(|| body.boxed_unsync())
}

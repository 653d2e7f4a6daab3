//! Steps (3) to (7) of the walk for a request that hyper has taken in. A request that is no upgrade is left as it came.

mod carry;
mod config;
mod layer;
mod report;
mod request_body;
mod service;
mod shutdown;
mod take_back;

use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;

use http::header::TRANSFER_ENCODING;
use http::request::Parts;
use http::{Request, Response, StatusCode, Version};
use http_body::Body;
use hyper::rt::Executor;

use crate::connect::{Connect, Trace};
use crate::error::{Error, Phase};
use crate::exchange::{self, Admission, Answer, Exchange, Outgoing};
use crate::handshake::{BadSwitch, Declined, Rejection, UpgradeRequest, last_response};
use crate::header::{HeaderRules, Hop};
use crate::http1::{AnyFields, BodyLength, RequestHead, check_request_unlimited};
use crate::service::BoxError;
use crate::service::body::ProxyBody;
use crate::service::declined::DeclinedBody;
use crate::service::dialect::Dialect;
use crate::service::interim::OfUpgrade;
use crate::service::paced::Pace;
use crate::service::peer;
use crate::service::relay::rejected;
use crate::side::Side;
use crate::telemetry::{self, Kind};
use crate::tunnel::{Label, Timer, Tunnels};
use carry::{Carry, Report};
pub use config::ServiceConfig;
pub use layer::{Upgrade, UpgradeBody, UpgradeFuture, UpgradeLayer};
pub use report::{Ended, Started};
pub use service::{ResponseFuture, UpgradeService};
pub use shutdown::{Shutdown, Stop};
pub(super) use take_back::Promised;
pub use take_back::{TakenBack, take_back};

/// Proxies the upgrades among the requests of a server.
#[derive(Debug)]
pub(super) struct Upgrader<C> {
    pub(super) connect: Arc<C>,
    pub(super) config: ServiceConfig,
}

/// What becomes of a request.
pub(super) enum Begun<B> {
    /// It is no upgrade, and untouched.
    Ordinary(Request<B>),
    /// It has its answer.
    Answered(Response<ProxyBody>),
    /// The upstream is asked.
    Asking(Responding),
}

/// A response that is on its way.
pub(super) type Responding = Pin<Box<dyn Future<Output = Response<ProxyBody>> + Send>>;

impl<B> Begun<B> {
    /// The response of a service: what becomes of an ordinary request is the one thing in which services differ.
    pub(super) fn respond(self, ordinary: impl FnOnce(Request<B>) -> Responding) -> ResponseFuture {
        ResponseFuture::new(match self {
            Begun::Asking(response) => response,
            Begun::Answered(response) => Box::pin(ready(response)),
            Begun::Ordinary(request) => ordinary(request),
        })
    }
}

/// An upgrade that is about to be proxied.
struct Asked {
    parts: Parts,
    upgrade: UpgradeRequest,
    client: Dialect,
    on_upgrade: Promised,
    hop: Hop,
    admission: Admission,
}

impl<C: Connect + 'static> Upgrader<C> {
    pub(super) fn new(connect: Arc<C>, config: ServiceConfig) -> Arc<Self> {
        Arc::new(Upgrader { connect, config })
    }

    /// The same with another configuration. Services that share the previous one keep it.
    pub(super) fn configured(&self, config: ServiceConfig) -> Arc<Self> {
        Upgrader::new(self.connect.clone(), config)
    }

    /// Step (3): decides what a request is, and starts on it if it is an upgrade.
    pub(super) fn begin<B>(self: &Arc<Self>, request: Request<B>) -> Begun<B>
    where
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        let (mut parts, body) = request.into_parts();
        let Some(client) = Dialect::of(&parts) else {
            // It may be what is left of a handshake, which the policy can refuse.
            return match UpgradeRequest::parse(&parts, &self.config.upgrade.policy) {
                Ok(_) => Begun::Ordinary(Request::from_parts(parts, body)),
                Err(rejection) => Begun::Answered(rejected(rejection)),
            };
        };
        peer::name_host_in_test(&mut parts);
        let config = &self.config;
        let asked = match client.read(parts, &config.upgrade.policy, &config.request_limits) {
            Ok((parts, Some(upgrade))) => Ok((parts, upgrade)),
            Ok((parts, None)) => return Begun::Ordinary(Request::from_parts(parts, body)),
            Err(rejection) => Err(rejection),
        };
        match asked.and_then(|(parts, upgrade)| self.admit(parts, upgrade, client)) {
            Ok(asked) => Begun::Asking(Box::pin(self.clone().ask(asked, body))),
            Err(rejection) => Begun::Answered(client.own(rejected(rejection))),
        }
    }

    fn admit(&self, mut parts: Parts, upgrade: UpgradeRequest, client: Dialect) -> Result<Asked, Rejection> {
        check_request_unlimited(&mut parts)?;
        let hop = self.config.hop_of(&parts)?.version(client.version());
        let on_upgrade = Promised::of(&mut parts.extensions).ok_or(Rejection::NoUpgradeHere)?;
        let admission = self.config.upgrade.admit(|| {
            self.config
                .forwarding
                .forwarded_rules()
                .locate(hop, &parts.headers)
        })?;
        Ok(Asked {
            parts,
            upgrade,
            client,
            on_upgrade,
            hop,
            admission,
        })
    }

    /// Steps (4) to (7). Given up, with the upstream, when it is dropped: hyper does that when the client leaves.
    async fn ask<B>(self: Arc<Self>, asked: Asked, body: B) -> Response<ProxyBody>
    where
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        let client = asked.client;
        let observed = exchange::observed(Kind::Upgrade, &asked.parts, client.version(), asked.hop);
        let asking = async {
            let answer = self.try_ask(asked, body).await;
            if let Err(error) = &answer {
                error.observed();
            }
            answer
        };
        let answer = observed.run(asking, |answer| match answer {
            Ok(response) => (Some(response.status().as_u16()), None),
            Err(error) => (
                error.status().map(|status| status.as_u16()),
                Some(error.reason().name()),
            ),
        });
        let answer = answer.await;
        answer.unwrap_or_else(|error| client.own(failed(error)))
    }

    async fn try_ask<B>(&self, asked: Asked, body: B) -> Result<Response<ProxyBody>, Error>
    where
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        let Asked {
            mut parts,
            mut upgrade,
            client,
            on_upgrade,
            hop,
            admission,
        } = asked;
        let length = upgrade.body_length();
        // hyper answers the expectation itself, when the body is first asked for.
        upgrade.take_expectation(&mut parts.headers);
        let mut trace = parts.extensions.remove::<Trace>();
        let label = parts.extensions.get::<Label>().cloned();
        let interim = OfUpgrade::of(&parts.extensions);
        let report = self
            .config
            .listeners()
            .map(|listeners| (listeners, parts.extensions.clone()));
        if report.is_some() {
            trace.get_or_insert_default();
        }
        let own_rules = parts.extensions.remove::<HeaderRules>();
        let forwarding = match own_rules {
            Some(rules) => &self.config.forwarding.clone().header_rules(rules),
            None => &self.config.forwarding,
        };
        let located = forwarding.forwarded_rules().locate(hop, &parts.headers);
        let mut head = Box::new(RequestHead::from(parts));
        let tap = self.config.upgrade.tap_of(&mut upgrade, &mut head, located);
        let pending = upgrade.forward_to(&mut head, None, located, forwarding); // (4)
        let outgoing = Outgoing::new(head, located, pending, trace.clone());
        let config = &self.config.upgrade;
        // (5) to (7)
        let mut answer = match length {
            BodyLength::None => exchange::ask(&self.connect, &outgoing, config, Timer::default()).await?,
            // Sent once, and to one upstream: it is not kept.
            length => {
                let mut exchange =
                    Exchange::start(&self.connect, &outgoing, config, Timer::default()).await?;
                request_body::send(body, length, &mut exchange, config.read_timeout).await?;
                exchange.next().await?
            }
        };
        loop {
            match answer {
                // hyper's server has no way to send it.
                Answer::Interim(exchange, head) => {
                    interim.send(head);
                    answer = exchange.next().await?;
                }
                Answer::Declined(declined, upstream, early) => {
                    return self.decline(*declined, client, upstream, &early, admission);
                }
                Answer::Switched(switched, upstream, early, timer) => {
                    let report = report.map(|(listeners, extensions)| {
                        let protocol = switched.protocol().clone();
                        let attempts = (outgoing.upstream(), trace.unwrap_or_default());
                        Report::new(listeners, extensions, protocol, attempts, hop)
                    });
                    let tap = config.agreed(tap, &switched);
                    let websocket = config.websocket_of(&switched, tap.as_ref());
                    let is_framed = websocket.is_some();
                    let carry = Carry {
                        upstream,
                        from_upstream: early,
                        config: config.tunnel.clone(),
                        websocket,
                        tap,
                        drain: config.tunnels.as_ref().map(Tunnels::signal),
                        watched: config.list(&switched, config.listing(&outgoing), label, true, is_framed),
                        parent: outgoing.parent().speaking(switched.protocol()),
                        timer,
                        admission,
                    };
                    // It begins when hyper has sent the answer and let go of the connection.
                    let carried = carry.run(on_upgrade, config.handshake_timeout, report);
                    self.config.tasks.execute(carried);
                    return Ok(Response::from_parts(
                        client.switched(*switched),
                        ProxyBody::text(""),
                    ));
                }
            }
        }
    }

    fn decline(
        &self,
        declined: Declined,
        client: Dialect,
        upstream: C::Stream,
        early: &[u8],
        admission: Admission,
    ) -> Result<Response<ProxyBody>, Error> {
        telemetry::declined(declined.status().as_u16());
        let limit = self.config.upgrade.read_timeout;
        let body = DeclinedBody::new(upstream, declined.body_length(), early, limit, admission);
        let unusable = |bad: BadSwitch| Error::new(Phase::ResponseHead, Side::Upstream, bad);
        let mut parts = client.declined(declined).map_err(unusable)?;
        // hyper frames what it sends by itself.
        parts.headers.take_out(&TRANSFER_ENCODING);
        let pace = Pace {
            limit: self.config.upgrade.tunnel.write_limit(),
            tasks: self.config.tasks.clone(),
            is_http1: client.version() < Version::HTTP_2,
        };
        Ok(Response::from_parts(parts, ProxyBody::declined(body).paced(pace)))
    }
}

/// The answer to a request whose upstream has failed, with the reason in its extensions. The connection closes after
/// it.
fn failed(error: Error) -> Response<ProxyBody> {
    let status = error.status().unwrap_or(StatusCode::BAD_REQUEST);
    let mut response = last_response(status, error.public_text()).map(ProxyBody::text);
    response.extensions_mut().insert(Arc::new(error));
    response
}

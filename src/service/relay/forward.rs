//! One ordinary request goes upstream and its response comes back, under the same header rules as an upgrade.

use std::pin::pin;
use std::sync::Arc;

use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderName, HeaderValue, TRANSFER_ENCODING};
use http::uri::PathAndQuery;
use http::{Method, Request, Response, Uri, Version, request};
use http_body::Body;

use super::asked::Asked;
use super::call::Call;
use super::destination::Destination;
use super::last_hop;
use super::one_request::OnStream;
use super::source::{Source, Sources};
use crate::connect::{Connect, Trace};
use crate::error::Error;
use crate::exchange::observed;
use crate::handshake::{Rejection, last_response, wants_upgrade};
use crate::header::connection::has_option;
use crate::header::rules::{PreparedRules, Variables};
use crate::header::trailer::Ending;
use crate::header::{Forwarding, Hop, cookie, hop_by_hop, max_forwards};
use crate::http1::{
    AnyFields, AnyRequest, BodyLength, FieldList, RequestHead, check_request_within, validate_host,
};
use crate::service::BoxError;
use crate::service::body::ProxyBody;
use crate::service::config::RelayConfig;
use crate::service::dialect;
use crate::service::failure::Failure;
use crate::service::interim::Exchange;
use crate::service::paced::{Pace, paces_itself};
use crate::service::request_body::RequestBody;
use crate::service::tasks::Tasks;
use crate::service::upgrade::Promised;
use crate::telemetry::{self, Kind};

/// Forwards requests over its connections, under the rules of the configuration.
#[derive(Debug)]
pub(in crate::service) struct Forwarder<C: Connect> {
    pub(in crate::service) sources: Sources<C>,
    pub(in crate::service) config: RelayConfig,
    pub(in crate::service) tasks: Tasks,
}

impl<C: Connect + 'static> Forwarder<C> {
    /// The response to a request that a server has parsed which may be laxer than the crate's own parser.
    ///
    /// No `async fn`, and what is awaited is pinned where it is: this is a large future, which would be moved at each hand.
    pub(in crate::service) fn respond<'a, B>(
        &'a self,
        request: Request<B>,
        destination: Destination,
        hop: Hop,
        forwarding: &'a Forwarding,
    ) -> impl Future<Output = Response<ProxyBody>> + use<'a, B, C>
    where
        B: Body + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let (parts, body) = request.into_parts();
        let observed = observed(Kind::Request, &parts, parts.version, hop);
        let responding = self.respond_to(parts, body, destination, hop, forwarding);
        let end = |response: &Response<ProxyBody>| {
            let extensions = response.extensions();
            let failure = extensions.get::<Arc<Error>>();
            let failure = failure.map(|error| Error::reason(error).name());
            let refused = extensions.get::<Rejection>().map(Rejection::name);
            (Some(response.status().as_u16()), failure.or(refused))
        };
        observed.run(responding, end)
    }

    async fn respond_to<B>(
        &self,
        mut parts: request::Parts,
        body: B,
        destination: Destination,
        hop: Hop,
        forwarding: &Forwarding,
    ) -> Response<ProxyBody>
    where
        B: Body + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let on_stream = parts.extensions.remove::<OnStream>();
        let checked = match parts.method {
            Method::CONNECT => Err(dialect::refused_connect(&parts)),
            // The crate's own parser has read it, within limits of its own.
            _ if on_stream.is_some() => Ok(()),
            _ => check_request_within(&mut parts, &self.config.request_limits).map_err(Rejection::from),
        };
        if let Err(rejection) = checked {
            let response = rejected(rejection);
            telemetry::request_answered(response.status().as_u16());
            return response;
        }
        // A stream of the crate's own has a deadline of its own.
        let paces = on_stream.is_some() || paces_itself(&parts.extensions);
        let is_http1 = parts.version < Version::HTTP_2;
        let exchange = match on_stream {
            Some(OnStream(exchange)) => exchange,
            None => Arc::new(Exchange::of(&parts.extensions)),
        };
        let forwarded = pin!(self.forward((parts, body), destination, hop, forwarding, exchange));
        let (mut response, failure) = forwarded.await;
        telemetry::request_answered(response.status().as_u16());
        if !paces {
            let pace = Pace {
                limit: Some(self.config.send_limit()),
                tasks: self.tasks.clone(),
                is_http1,
            };
            response = response.map(|body| body.paced(pace));
        }
        if let Some(failure) = failure {
            response.extensions_mut().insert(failure);
        }
        response
    }

    /// The response to one request, and the failure that it reports.
    async fn forward<B>(
        &self,
        (mut parts, body): (request::Parts, B),
        destination: Destination,
        hop: Hop,
        forwarding: &Forwarding,
        exchange: Arc<Exchange>,
    ) -> (Response<ProxyBody>, Option<Arc<Error>>)
    where
        B: Body + Send + 'static,
        B::Error: Into<BoxError>,
    {
        if parts.method == Method::TRACE && !self.config.allow_trace {
            return (own_rejection(Rejection::Trace, exchange, true), None);
        }
        let trace = destination.trace.clone();
        let trace = trace.or_else(|| parts.extensions.remove::<Trace>());
        let wants_switch = wants_upgrade(&parts);
        report_upgrade(wants_switch);
        let mut closes = wants_switch || ends_with_its_response(&parts);
        let speaks_interim = parts.version >= Version::HTTP_11 && exchange.takes_interim();
        if let Some(limit) = self.config.most_of_request_body() {
            if body.size_hint().lower() > limit {
                let rejection = Rejection::BodyTooLarge { limit };
                return (own_rejection(rejection, exchange, true), None);
            }
        }
        if let Some(response) = last_hop::answer(&parts) {
            closes |= self.config.is_draining();
            return (own_response(response, exchange, closes), None);
        }
        let version = parts.version;
        let hop = hop.version(version);
        let hop = forwarding.forwarded_rules().locate(hop, &parts.headers);
        let route = Route {
            forwarding,
            destination: &destination,
            hop,
        };
        let rules = route.rules(Variables::new(&parts, &hop));
        if version >= Version::HTTP_2 {
            cookie::join_crumbs(&mut parts.headers);
        }
        let mut head = RequestHead::from(parts);
        let leads_to = match &self.sources {
            Sources::Named(named) => named.authority(),
            Sources::Through(through) => through.authority(),
        };
        let has_body = !body.is_end_stream();
        let ending = has_body.then(|| Ending::of_request(head.fields(), rules.rules()));
        if let Err(rejection) = route.rewrite(&mut head, &rules, leads_to) {
            return (own_rejection(rejection, exchange, closes), None);
        }
        let length = frame(head.fields_mut(), has_body);
        let body = ending.map(|ending| RequestBody::new(body, exchange.clone(), &self.config, ending));
        let call = Call {
            config: &self.config,
            destination: &destination,
            rules: &rules,
            exchange: &exchange,
            version,
            method: head.method().clone(),
            length,
            closes,
            speaks_interim,
        };
        let mut asked = Asked::new(head, hop, has_body, trace);
        let answered = match &self.sources {
            Sources::Named(named) => pin!(call.ask(named, &mut asked, body)).await,
            Sources::Through(through) => pin!(call.ask(through, &mut asked, body)).await,
        };
        match answered {
            Ok((head, body)) => (Response::from_parts(head, body), None),
            Err(failure) => {
                closes |= self.config.is_draining();
                failed(failure, exchange, closes)
            }
        }
    }
}

/// Gives the head of a request that goes up the framing that its body has, whatever its method (RFC 9112, section 6.3).
fn frame(fields: &mut FieldList, has_body: bool) -> BodyLength {
    let announced = fields
        .first(&CONTENT_LENGTH)
        .and_then(|value| std::str::from_utf8(value).ok()?.parse::<u64>().ok());
    match (announced, has_body) {
        (None, false) | (Some(0), false) => BodyLength::None,
        (Some(_), false) => {
            // A layer has taken the body away. The upstream would wait for it.
            fields.set(CONTENT_LENGTH, HeaderValue::from_static("0"));
            BodyLength::None
        }
        (Some(length), true) => BodyLength::Exactly(length),
        (None, true) => {
            fields.set(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
            BodyLength::Chunked
        }
    }
}

/// What the caller has decided about a request: it makes of the client's head the one that goes upstream.
pub(super) struct Route<'a> {
    pub(super) forwarding: &'a Forwarding,
    pub(super) destination: &'a Destination,
    /// With the client that is behind trusted proxies, once that is known.
    pub(super) hop: Hop,
}

impl Route<'_> {
    /// The operator's rules, with what they say of this request.
    pub(super) fn rules(&self, variables: Variables<'_>) -> PreparedRules {
        let rules = self.destination.rules.as_ref();
        rules.unwrap_or(self.forwarding.rules()).prepare(&variables)
    }

    /// Makes of the client's head the one that goes upstream.
    pub(super) fn rewrite(
        &self,
        head: &mut RequestHead,
        rules: &PreparedRules,
        leads_to: Option<&str>,
    ) -> Result<(), Rejection> {
        let target = self.target(head.uri())?;
        let replaced = head.uri().authority().and_then(|authority| {
            // RFC 9112, section 3.2.2: the target's authority wins.
            HeaderValue::from_str(authority.as_str()).ok()
        });
        // A connector may choose by what layers have put among the extensions. The server's own right to the connection is for
        // this hop alone.
        drop(Promised::of(head.extensions_mut()));
        head.is_for(Some(target));
        let (method, fields) = head.method_and_fields();
        let forwarded = self.forwarding.forwarded_rules();
        let inbound = forwarded.inbound_of(&self.hop);
        // hyper's server answers the expectation itself, when the body is first asked for.
        let may_drop = rules.may_drop(fields);
        let also = |name: &HeaderName| {
            *name == EXPECT || forwarded.removes(inbound, name) || may_drop && rules.drops(name)
        };
        let trailers = hop_by_hop::strip_and(fields, also)?.trailers;
        max_forwards::count(method, fields);
        if let Some(host) = replaced {
            fields.set(HOST, host);
        }
        if trailers {
            fields.set(CONNECTION, HeaderValue::from_static("te"));
        }
        forwarded.add(fields, &self.hop);
        rules.set_on_request(fields);
        if !fields.contains(&HOST) {
            // RFC 9112, section 3.2: a request of HTTP/1.1 has a `Host`, which one of HTTP/1.0 need not have. It is the first
            // field (RFC 9110, section 7.2).
            let leads_to = leads_to.filter(|authority| validate_host(authority.as_bytes()).is_ok());
            let known = rules.upstream().or(leads_to);
            let host = known.unwrap_or(self.destination.authority.as_str());
            if let Ok(host) = HeaderValue::from_str(host) {
                fields.add_in_front(HOST, &host);
            }
        }
        Ok(())
    }

    fn target(&self, uri: &Uri) -> Result<Uri, Rejection> {
        let mut target = http::uri::Parts::default();
        // The pool keeps connections apart by scheme and authority.
        target.scheme = Some(self.destination.scheme.clone());
        target.authority = Some(self.destination.authority.clone());
        let own = || uri.path_and_query().cloned();
        let path_and_query = self.destination.target.clone().or_else(own);
        target.path_and_query = path_and_query.or(Some(PathAndQuery::from_static("/")));
        Uri::from_parts(target).map_err(|_| Rejection::NoRoute)
    }
}

/// Reports an upgrade that nobody has taken for one: the policy does not allow its protocol.
pub(super) fn report_upgrade(wants_switch: bool) {
    if wants_switch {
        telemetry::upgrade_not_allowed();
    }
}

/// Whether the response to a request is the last on its connection.
pub(super) fn closes_after(parts: &request::Parts) -> bool {
    wants_upgrade(parts) || ends_with_its_response(parts)
}

/// RFC 9112, section 9.3: in HTTP/1.0 a connection closes unless the client asks otherwise. hyper does so without a field that says it,
/// because it answers HTTP/1.0; the HTTP/1.1 that goes out says it (section 9.6).
pub(super) fn ends_with_its_response(head: &impl AnyRequest) -> bool {
    head.version() == Version::HTTP_10 && !has_option(head.fields(), "keep-alive")
}

fn failed(
    failure: Failure,
    exchange: Arc<Exchange>,
    closes: bool,
) -> (Response<ProxyBody>, Option<Arc<Error>>) {
    failure.error.observed();
    let status = failure.status();
    let response = last_response(status, failure.error.public_text());
    (own_response(response, exchange, closes), Some(failure.error))
}

/// A refusal, with the reason in its extensions.
fn own_rejection(rejection: Rejection, exchange: Arc<Exchange>, closes: bool) -> Response<ProxyBody> {
    telemetry::refused(rejection.name());
    let mut response = own_response(rejection.clone().into_response(), exchange, closes);
    response.extensions_mut().insert(rejection);
    response
}

/// A response of the proxy's own. Whether the connection goes on after it is hyper's decision, unless it must not.
fn own_response(response: Response<String>, exchange: Arc<Exchange>, closes: bool) -> Response<ProxyBody> {
    let mut response = response.map(|text| ProxyBody::text(text).of(exchange));
    if !closes {
        response.headers_mut().remove(CONNECTION);
    }
    response
}

/// A response of the proxy's own to a request that no upstream has received, with the reason in its extensions. The
/// connection closes after it.
pub(in crate::service) fn rejected(rejection: Rejection) -> Response<ProxyBody> {
    telemetry::refused(rejection.name());
    let mut response = rejection.clone().into_response().map(ProxyBody::text);
    response.extensions_mut().insert(rejection);
    response
}

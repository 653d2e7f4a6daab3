//! What a plan comes to: the answer of an upstream, or one of the proxy's own, or one after the other.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, TRANSFER_ENCODING};
use http::{Extensions, HeaderMap, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty};
use switchover::Cause;
use switchover::handshake::{BadSwitch, Rejection};
use switchover::header::HeaderRules;
use switchover::service::{Destination, ProxyBody};

use super::connection::report;
use super::cookies;
use super::counted_body::CountedBody;
use super::leads::Leads;
use super::location::Location;
use super::phases::{Plan, Stop};
use super::proxy::Proxy;
use super::redirects;
use super::request::Request;

/// What an answer with `X-Accel-Redirect` says of the file in its place.
const KEPT_OF_REDIRECT: [&str; 7] = [
    "content-type",
    "set-cookie",
    "content-disposition",
    "cache-control",
    "expires",
    "accept-ranges",
    "content-range",
];

/// What an upstream may ask of nginx that is not done, and what that means.
const UNMET: [(&str, &str); 2] = [
    ("x-accel-limit-rate", "nothing is slowed down"),
    (
        "x-accel-charset",
        "the charset is the one of the answer, or of the location",
    ),
];

/// The body of a client's request.
pub(crate) type Body = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

impl Request {
    /// Carries a plan out. None where the connection is to be closed without an answer.
    pub(crate) async fn carry_out(
        &self,
        mut plan: Plan,
        extensions: Extensions,
        mut body: Option<Body>,
    ) -> Option<Response<ProxyBody>> {
        loop {
            let (proxy, location) = match plan {
                Plan::Respond(response) => return Some(self.counted(*response)),
                Plan::Close => return None,
                Plan::Proxy(proxy, location) => (proxy, location),
            };
            plan = match self.ask(&proxy, &location, &extensions, &mut body).await {
                Ok(response) => return Some(self.counted(response)),
                Err(stop) => self.go_on(stop).await,
            };
        }
    }

    /// An answer that counts until it has been given, and no longer: at its server, and for `limit_conn`.
    fn counted(&self, response: Response<ProxyBody>) -> Response<ProxyBody> {
        let tries = self.state.lock().tries.clone();
        let permit = tries.and_then(|tries| tries.counted());
        // Those of a request on another's way last as long as that one.
        let places = if self.is_sub { Vec::new() } else { self.places() };
        match permit.is_some() || !places.is_empty() {
            true => response.map(|body| {
                ProxyBody::new(CountedBody {
                    body,
                    _permit: permit,
                    _places: places,
                    length: None,
                })
            }),
            false => response,
        }
    }

    /// An upstream's answer whose length is counted as it comes, where a variable may be asked for it.
    fn measured(&self, response: Response<ProxyBody>) -> Response<ProxyBody> {
        let tries = self.state.lock().tries.clone();
        match tries.filter(|_| self.worker.configuration.names.has_body_lengths()) {
            Some(tries) => response.map(|body| {
                ProxyBody::new(CountedBody {
                    body,
                    _permit: None,
                    _places: Vec::new(),
                    length: Some(tries),
                })
            }),
            None => response,
        }
    }

    /// Asks an upstream.
    async fn ask(
        &self,
        proxy: &Arc<Proxy>,
        location: &Arc<Location>,
        extensions: &Extensions,
        body: &mut Option<Body>,
    ) -> Result<Response<ProxyBody>, Stop> {
        let leads = self.leads(proxy).await?;
        let rules = self.with(|asked| proxy.fields.request_rules(asked));
        let mut head = (*self.head).clone();
        head.extensions = extensions.clone();
        head.method = self.state.lock().method.clone();
        let handling = &location.handling;
        if let Some(method) = self.with(|asked| handling.method_for(asked)) {
            head.method = method;
        }
        if !handling.passes_fields() {
            head.headers.retain_framing();
        }
        let own_body = handling
            .body
            .as_ref()
            .map(|text| self.with(|asked| text.value.value(asked)));
        let passes_body = handling.passes_body.as_ref().is_none_or(|on| on.value);
        // A length of 0 is passed as it is: some origins want one of a POST.
        let says_none = head
            .headers
            .get(CONTENT_LENGTH)
            .is_some_and(|length| length == "0");
        let body = match (own_body, body.take().filter(|_| passes_body)) {
            (Some(own), _) => {
                set_length(&mut head.headers, own.len());
                let body = http_body_util::Full::new(Bytes::from(own));
                body.map_err(|never| match never {}).boxed_unsync()
            }
            (None, Some(body)) => body,
            (None, None) => {
                if !says_none || proxy.fields.omits_length || !passes_body || self.is_sub {
                    set_length(&mut head.headers, 0);
                }
                Empty::new().map_err(|never| match never {}).boxed_unsync()
            }
        };
        self.has_its_values()?;
        let response = self
            .relay(leads, rules, http::Request::from_parts(head, body))
            .await;
        self.judge(response, proxy, location)
    }

    async fn relay(
        &self,
        leads: Leads,
        rules: HeaderRules,
        request: http::Request<Body>,
    ) -> Response<ProxyBody> {
        let own = || self.own_target().parse().ok();
        let mut destination = Destination::default().header_rules(rules);
        if let Some(path) = leads.path.clone().or_else(own) {
            destination = destination.target(path);
        }
        let hop = self.hop();
        let asked = leads.relay.respond(request, destination, hop);
        leads.tries.during(asked).await
    }

    /// What becomes of an upstream's answer: it goes to the client, or something else takes its place.
    fn judge(
        &self,
        mut response: Response<ProxyBody>,
        proxy: &Proxy,
        location: &Arc<Location>,
    ) -> Result<Response<ProxyBody>, Stop> {
        let status = response.status();
        if let Some(why) = response.extensions().get::<Arc<switchover::Error>>() {
            report(self.hop(), format!("{} {}: {why}", why.side(), why.phase()));
            if matches!(why.reason(), Cause::Switch(BadSwitch::Unasked)) {
                // nginx sends the bare head of such a 101. The status that takes its place is bare too.
                *response.body_mut() = ProxyBody::new(Empty::<Bytes>::new());
                response.headers_mut().remove(CONTENT_TYPE);
                set_length(response.headers_mut(), 0);
            }
            return Err(Stop::Answered(Box::new(response)));
        }
        if let Some(why) = response.extensions().get::<Rejection>() {
            report(self.hop(), format!("{} {why}. {}", why.status(), why.hint()));
            return Err(Stop::Answered(Box::new(response)));
        }
        self.state.lock().upstream = Some((status, response.headers().clone()));
        if let Some(stop) = self.taken_over(status, response.headers(), location) {
            return Err(stop);
        }
        self.changed(response.headers_mut(), status, proxy, location);
        Ok(self.filtered(self.measured(response)))
    }

    /// What takes the place of an upstream's answer, where something does: what it asks for itself, or the page for its status.
    pub(crate) fn taken_over(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        location: &Location,
    ) -> Option<Stop> {
        let handling = &location.handling;
        let asked = |name: &str| {
            let is_it = |ignored: &String| ignored.eq_ignore_ascii_case(name);
            let is_ignored = handling.ignored.iter().any(is_it);
            headers.get(name).filter(|_| !is_ignored)
        };
        for (name, meaning) in UNMET {
            if let Some(value) = asked(name).filter(|value| *value != "off") {
                let value = value.as_bytes().escape_ascii();
                report(
                    self.hop(),
                    format!("{name} {value} is not carried out: {meaning}"),
                );
            }
        }
        if let Some(to) = asked("x-accel-redirect") {
            // What the upstream has said of the file, as nginx keeps it.
            let kept = KEPT_OF_REDIRECT.iter().flat_map(|name| {
                let values = headers.get_all(*name).iter();
                values.map(|value| (HeaderName::from_static(name), value.clone()))
            });
            let mut kept: HeaderMap = kept.collect();
            self.with(|asked| cookies::apply(&handling.cookie_rules, &mut kept, asked));
            let mut state = self.state.lock();
            for (name, value) in kept.iter() {
                state.fields.append(name, value.clone());
            }
            drop(state);
            return Some(self.accelerated(to.as_bytes()));
        }
        let intercepts = handling.intercepts.as_ref().is_some_and(|on| on.value);
        if !intercepts || status.as_u16() < 300 {
            return None;
        }
        let is_paged = handling.error_pages.iter().any(|page| page.is_for(status));
        is_paged.then(|| {
            let mut fields = HeaderMap::new();
            // As in nginx, with 401 alone.
            let asks = headers.get_all(http::header::WWW_AUTHENTICATE).iter();
            for value in asks.filter(|_| status == StatusCode::UNAUTHORIZED) {
                fields.append(http::header::WWW_AUTHENTICATE, value.clone());
            }
            Stop::Status(status, fields)
        })
    }

    /// Changes the fields of an upstream's answer as the location says, but for those that `add_header` adds.
    pub(crate) fn changed(
        &self,
        headers: &mut HeaderMap,
        status: StatusCode,
        proxy: &Proxy,
        location: &Location,
    ) {
        let redirects = &proxy.fields.redirects;
        let tries = self.state.lock().tries.clone();
        let is_ours = self.with(|asked| {
            proxy.fields.hide(headers);
            cookies::apply(&location.handling.cookie_rules, headers, asked);
            if let Some(tries) = tries {
                tries.name_server(headers, asked);
            }
            redirects::apply(redirects, headers, status, asked)
        });
        // A path that the origin itself has sent stays one, as in nginx.
        if is_ours {
            self.make_absolute(headers);
        }
    }
}

/// The one field that says how long a body is.
fn set_length(headers: &mut HeaderMap, length: usize) {
    headers.remove(TRANSFER_ENCODING);
    headers.remove(CONTENT_LENGTH);
    if length > 0 {
        headers.insert(CONTENT_LENGTH, length.into());
    }
}

/// Fields of a request that say how its body is framed.
trait Framing {
    fn retain_framing(&mut self);
}

impl Framing for HeaderMap {
    fn retain_framing(&mut self) {
        let names = [CONTENT_LENGTH, TRANSFER_ENCODING, http::header::HOST];
        let kept: Vec<_> = names
            .iter()
            .filter_map(|name| Some((name.clone(), self.get(name)?.clone())))
            .collect();
        self.clear();
        self.extend(kept);
    }
}

//! The phases of a request, as in nginx: the lines of its server, its location, the lines of that, limits, guards, `try_files`,
//! and what answers it. Redirections within begin again, ten times at most.

use std::sync::Arc;

use http::header::{HeaderMap, LOCATION};
use http::{Response, StatusCode};
use switchover::service::ProxyBody;

use super::answer::NO_ANSWER;
use super::location::{Content, Location};
use super::locations::{NotFound, Pattern};
use super::proxy::Proxy;
use super::replies;
use super::request::Request;
use super::rewrite::{self, End};

use super::uri;

/// How often a request may be redirected within, and how often its URI may be rewritten, before it is a 500.
const MOST: u8 = 10;

/// What is to be done.
pub(crate) enum Plan {
    /// To be sent as it is.
    Respond(Box<Response<ProxyBody>>),
    Proxy(Arc<Proxy>, Arc<Location>),
    /// 444: the connection is closed without a word.
    Close,
}

/// Where a request goes on.
#[derive(Clone, Debug)]
pub(crate) enum Entry {
    /// With its URI.
    Uri,
    Named(Arc<Location>),
}

/// What a phase has come to.
pub(crate) enum Stop {
    Plan(Plan),
    /// An answer of the proxy's own, for which there may be a page.
    Status(StatusCode, HeaderMap),
    /// An answer that has been given already, for which there may be a page too.
    Answered(Box<Response<ProxyBody>>),
    Go(Entry),
}

impl From<StatusCode> for Stop {
    fn from(status: StatusCode) -> Self {
        Stop::Status(status, HeaderMap::new())
    }
}

pub(crate) type Phase<T> = Result<T, Stop>;

impl Request {
    /// What is to be done about a request that has just come in.
    pub(crate) async fn plan(&self) -> Plan {
        let first = match self.read_uri() {
            Ok(()) if self.facts.lacks_tls => Stop::from(lacks_tls().unwrap_or(StatusCode::BAD_REQUEST)),
            Ok(()) => match self.kept_out_by_certificate() {
                Some(status) => Stop::from(status),
                None => Stop::Go(Entry::Uri),
            },
            Err(status) => Stop::from(status),
        };
        self.go_on(first).await
    }

    /// Goes through the phases until there is a plan.
    pub(crate) async fn go_on(&self, mut stop: Stop) -> Plan {
        self.pass_over(&stop);
        loop {
            stop = match stop {
                Stop::Plan(plan) => return plan,
                Stop::Go(entry) => {
                    let is_over = {
                        let mut state = self.state.lock();
                        state.redirects += 1;
                        state.redirects > MOST + 1
                    };
                    match is_over {
                        true => {
                            let cycle = StatusCode::INTERNAL_SERVER_ERROR;
                            // Whatever a page was to be answered with.
                            self.state.lock().kept_status = Some(cycle);
                            return self.page(cycle, HeaderMap::new());
                        }
                        false => self.phases(entry).await.map_or_else(|stop| stop, Stop::Plan),
                    }
                }
                Stop::Answered(response) => match self.error_page(response.status()) {
                    Some(stop) => stop,
                    None => return Plan::Respond(Box::new(self.filtered(*response))),
                },
                Stop::Status(status, fields) => {
                    {
                        let mut state = self.state.lock();
                        state.kept_status = Some(replies::shown(status));
                        state.fields.extend(fields);
                    }
                    match self.error_page(status) {
                        Some(stop) => stop,
                        None => return self.page(status, HeaderMap::new()),
                    }
                }
            };
        }
    }

    async fn phases(&self, entry: Entry) -> Phase<Plan> {
        let location = self.find(entry)?;
        if let Some(real_ip) = &location.real_ip {
            self.locate(real_ip);
        }
        self.limits(&location).await?;
        if !self.is_sub {
            self.access(&location).await?;
        }
        if let Some(try_files) = &location.try_files {
            let tried = self.try_files(&location, try_files);
            self.has_its_values()?;
            tried?;
        }
        self.has_its_values()?;
        match &location.content {
            Content::Proxy(proxy) => Ok(Plan::Proxy(proxy.clone(), location.clone())),
            Content::NotImplemented => Err(StatusCode::NOT_IMPLEMENTED.into()),
            Content::Files => self.file(&location).await,
        }
    }

    /// Whether all variables that were asked for have a value. One whose expression has given up, or that leads to itself, has none:
    /// nothing is decided, nor asked of an upstream, by what stands in its place.
    pub(crate) fn has_its_values(&self) -> Phase<()> {
        match self.state.has_failed() {
            true => Err(StatusCode::INTERNAL_SERVER_ERROR.into()),
            false => Ok(()),
        }
    }

    /// The location, after its lines and those of the server.
    fn find(&self, entry: Entry) -> Phase<Arc<Location>> {
        let mut named = match entry {
            Entry::Named(location) => Some(location),
            Entry::Uri => {
                // What the server says holds until there is a location: its root above all, for files that lines look for.
                self.state.lock().location = Some(self.server.own.clone());
                self.explain(|| {
                    let why = self.reason_of_server();
                    format!("server {} ({}): {why}", self.server.name, self.server.place)
                });
                let ran = self.with(|asked| rewrite::run(&self.server.steps, asked))?;
                self.explain_end("server", &ran.end);
                self.obey(ran.end, &self.server.own.clone())?;
                None
            }
        };
        for _ in 0..=MOST {
            let location = match named.take() {
                Some(location) => location,
                None => self.locate_uri()?,
            };
            self.explain(|| {
                let pattern = &location.pattern;
                format!(
                    "location {} ({}): {}",
                    pattern.shown(),
                    location.place,
                    pattern.reason()
                )
            });
            self.state.lock().location = Some(location.clone());
            self.admit(&location)?;
            let location = self.excepted(location);
            let ran = self.with(|asked| rewrite::run(&location.steps, asked))?;
            self.explain_end("location", &ran.end);
            let location = ran.instead.unwrap_or(location);
            self.state.lock().location = Some(location.clone());
            match self.obey(ran.end, &location)? {
                Obeyed::Same => return Ok(location),
                Obeyed::Rewritten => {}
            }
        }
        Err(StatusCode::INTERNAL_SERVER_ERROR.into())
    }

    /// `limit_except`. As in nginx, none of the lines of the location itself hold for the other methods: an `if` or a `return` there
    /// cannot open what is closed to them.
    fn excepted(&self, location: Arc<Location>) -> Arc<Location> {
        let Some((methods, others)) = &location.except else {
            return location;
        };
        let mut state = self.state.lock();
        if methods.contains(&state.method) {
            return location;
        }
        state.location = Some(others.clone());
        others.clone()
    }

    fn locate_uri(&self) -> Phase<Arc<Location>> {
        let (uri, is_unparsed) = {
            let state = self.state.lock();
            (state.uri.clone(), state.is_unparsed)
        };
        let locations = &self.server.locations;
        let found = match is_unparsed {
            true => locations.find_target(self.own_target(), &uri, self.server.reading),
            false => locations.find(&uri),
        };
        match found {
            Ok(found) if found.lacks_slash => {
                let args = self.state.lock().args.clone();
                let to = uri::joined(&format!("{}/", uri::escape(&uri)), &args);
                self.state.lock().location = Some(found.location.clone());
                self.admit(&found.location)?;
                Err(Stop::Status(StatusCode::MOVED_PERMANENTLY, location_field(&to)))
            }
            Ok(found) => {
                if let Some((regex, captures)) = found.by {
                    self.with(|asked| asked.keep(&regex, captures));
                }
                Ok(found.location)
            }
            Err(NotFound::None) => Ok(self.server.own.clone()),
            Err(NotFound::Ambiguous) => {
                self.state.lock().location = Some(self.server.own.clone());
                Err(StatusCode::BAD_REQUEST.into())
            }
            Err(NotFound::GivenUp) => Err(StatusCode::INTERNAL_SERVER_ERROR.into()),
        }
    }

    fn obey(&self, end: End, location: &Arc<Location>) -> Phase<Obeyed> {
        let answer = match end {
            End::Same => return Ok(Obeyed::Same),
            End::Rewritten => return Ok(Obeyed::Rewritten),
            End::Redirect(status, to) => return Err(Stop::Status(status, location_field(&to))),
            End::Answer(answer) => answer,
        };
        self.state.lock().location.get_or_insert_with(|| location.clone());
        if answer.status.as_u16() == NO_ANSWER {
            return Err(Stop::Plan(Plan::Close));
        }
        // What it says of itself is true already.
        self.state.lock().sent = Some((answer.status, HeaderMap::new()));
        let text = answer
            .text
            .as_ref()
            .map(|text| self.with(|asked| text.value(asked)));
        match text {
            Some(to) if answer.redirects() => Err(Stop::Status(answer.status, location_field(&to))),
            // With a text of its own no page takes its place.
            Some(text) => Err(Stop::Plan(self.text(answer.status, text))),
            None if answer.status.as_u16() < 400 && !answer.redirects() => {
                Err(Stop::Plan(self.text(answer.status, String::new())))
            }
            None => Err(answer.status.into()),
        }
    }

    /// `internal`, then the size of the body: before anything else of a location that was found by its URI, as in nginx.
    fn admit(&self, location: &Location) -> Phase<()> {
        if matches!(location.pattern, Pattern::Named(_)) {
            return Ok(());
        }
        match location.handling.is_internal && !self.state.lock().is_internal {
            true => Err(StatusCode::NOT_FOUND.into()),
            false => self.admit_body(location),
        }
    }

    /// `client_max_body_size`, of a length that is said. One that is too large for what `auth_request` asks is too large.
    fn admit_body(&self, location: &Location) -> Phase<()> {
        let length = self.head.headers.get(http::header::CONTENT_LENGTH);
        let length: Option<u64> = length.and_then(|length| length.to_str().ok()?.parse().ok());
        let is_too_large = |length: u64| location.largest_body > 0 && length > location.largest_body;
        match length.is_some_and(is_too_large) && !self.state.lock().is_error_page {
            true => Err(StatusCode::PAYLOAD_TOO_LARGE.into()),
            false => Ok(()),
        }
    }
}

enum Obeyed {
    Same,
    Rewritten,
}

/// Where a client is sent. What no field may hold is sent nowhere.
pub(crate) fn location_field(to: &str) -> HeaderMap {
    let mut fields = HeaderMap::new();
    if let Ok(value) = http::HeaderValue::from_bytes(to.as_bytes()) {
        fields.insert(LOCATION, value);
    }
    fields
}

/// 497: plain HTTP where TLS is spoken. A client is answered 400; `error_page` knows it by this one.
pub(crate) fn lacks_tls() -> Option<StatusCode> {
    StatusCode::from_u16(497).ok()
}

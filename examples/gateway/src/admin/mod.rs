//! The page and the addresses by which an operator sees the gateway and steers it: `--admin`.
//!
//! What may ask is decided in `guard.rs` before anything else is looked at. The manual has the table of addresses.

mod asked;
mod filter;
mod guard;
mod history;
mod metrics;
mod query;
mod server;
mod tunnels;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue};
use http::header::{REFERRER_POLICY, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS};
use http::{Method, Response, StatusCode, request};
use http_body_util::Full;
use serde_json::{Value, json};
use switchover::tunnel::{Drain, Schedule, Tunnels};
use switchover::upstream::ServerStatus;

use super::settings::Settings;
use super::upstream::Upstream;
use super::{health, moment, worker};
pub(crate) use asked::Asked;
use guard::{Guard, Refusal};
use history::History;
use metrics::Metrics;
use query::Query;

const JSON: &str = "application/json";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// The methods of an address, and how they are written. `None` where there is nothing.
fn methods(path: &str) -> Option<(&'static [Method], &'static str)> {
    match path {
        "/summary" | "/tunnels" | "/failures" | "/metrics" => Some(READS),
        "/tunnels/end" | "/drain" => Some((&[Method::POST], "POST")),
        "/servers" => Some((&[Method::GET, Method::HEAD, Method::POST], "GET, HEAD, POST")),
        _ => file(path).map(|_| READS),
    }
}

const READS: (&[Method], &str) = (&[Method::GET, Method::HEAD], "GET, HEAD");

/// What an answer says where there is nothing.
const KNOWN: &str = "expected GET /summary, /tunnels, /servers, /failures or /metrics, or POST /tunnels/end, /drain or /servers";

/// What the page may load: files of its own and nothing else.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What the answers are made of.
struct Admin {
    settings: Arc<Settings>,
    tunnels: Tunnels,
    history: Arc<History>,
    metrics: Metrics,
    drain: Drain,
    guard: Guard,
}

/// Listens for operators, and answers them until the process ends. Returns where it listens.
pub(crate) fn start(address: SocketAddr, settings: &Arc<Settings>, drain: &Drain) -> io::Result<SocketAddr> {
    let tunnels = settings
        .tunnels
        .clone()
        .ok_or_else(|| io::Error::other("--admin: no registry"))?;
    let listener = server::bind(address)?;
    let address = listener.local_addr()?;
    let admin = Arc::new(Admin {
        guard: Guard::new(address, &settings.flags)?,
        settings: settings.clone(),
        tunnels: tunnels.clone(),
        history: Arc::default(),
        metrics: Metrics::install()?,
        drain: drain.clone(),
    });
    let runtime = worker::runtime()?;
    let tidying = admin.metrics.clone().tidy(tunnels.clone(), settings.clone());
    let recording = admin.history.clone().record(tunnels, settings.clone());
    std::thread::spawn(move || {
        runtime.spawn(recording);
        runtime.spawn(tidying);
        runtime.block_on(server::serve(listener, admin))
    });
    Ok(address)
}

/// The page without anything in it, and its parts.
fn file(path: &str) -> Option<(&'static str, &'static str)> {
    match path {
        "/" => Some(("text/html; charset=utf-8", include_str!("page/page.html"))),
        "/page.css" => Some(("text/css; charset=utf-8", include_str!("page/page.css"))),
        "/page.js" => Some((SCRIPT, include_str!("page/page.js"))),
        "/tunnels.js" => Some((SCRIPT, include_str!("page/tunnels.js"))),
        "/draw.js" => Some((SCRIPT, include_str!("page/draw.js"))),
        "/gateway.js" => Some((SCRIPT, include_str!("page/gateway.js"))),
        _ => None,
    }
}

impl Admin {
    fn check(&self, head: &request::Parts) -> Result<(), Refusal> {
        self.guard.check(head, file(head.uri.path()).is_some())
    }

    fn answer(&self, head: &request::Parts, body: &[u8]) -> Response<Full<Bytes>> {
        let path = head.uri.path();
        let Some((methods, written)) = methods(path) else {
            return refused((StatusCode::NOT_FOUND, KNOWN.to_owned()));
        };
        if !methods.contains(&head.method) {
            return not_allowed(written);
        }
        if let Some((kind, text)) = file(path) {
            return response(StatusCode::OK, kind, text.into());
        }
        if path == "/metrics" {
            // Scrapers may send parameters of their own.
            let text = self.metrics.text(&self.tunnels, &self.settings);
            return response(StatusCode::OK, metrics::KIND, text.into());
        }
        let changes = head.method == Method::POST;
        let result = Query::new(&head.uri, body).and_then(|query| match path {
            "/tunnels" => tunnels::list(&self.tunnels, &self.history, &query),
            "/tunnels/end" => tunnels::end(&self.tunnels, self.knows_frames(), &query),
            "/servers" if changes => self.set_server(&query),
            "/servers" => query.allow(&[]).map(|()| self.servers()),
            "/failures" => query.allow(&[]).map(|()| self.failures()),
            "/drain" => self.start_drain(&query),
            _ => query.allow(&[]).map(|()| self.summary()),
        });
        match result {
            Ok(value) => response(StatusCode::OK, JSON, (value.to_string() + "\n").into()),
            Err(why) => refused((StatusCode::BAD_REQUEST, why)),
        }
    }

    /// Whether tunnels know the frames of a WebSocket.
    fn knows_frames(&self) -> bool {
        self.settings.flags.websocket().is_some()
    }

    /// What the page shows beside the tunnels.
    fn summary(&self) -> Value {
        let is_leaving = self.settings.is_leaving() || self.drain.has_started();
        json!({
            "state": if is_leaving { "draining" } else { "serving" },
            "tunnels": self.tunnels.len(),
            "opened": self.tunnels.opened(),
            "workers": self.settings.flags.workers,
            "drain_timeout_seconds": self.settings.flags.drain_timeout.as_secs(),
            "knows_frames": self.knows_frames(),
            "history": self.history.shown(&self.tunnels),
            "servers": self.servers(),
            "failures": self.failures(),
        })
    }

    fn servers(&self) -> Value {
        // A group is called by the pattern of its route.
        let groups = self.settings.upstreams().into_iter().map(
            |upstream| json!({ "group": upstream.pattern, "servers": health::servers(&upstream.group) }),
        );
        groups.collect()
    }

    fn failures(&self) -> Value {
        let failures = self.settings.failures.last().into_iter().map(|failure| {
            json!({
                "time": moment::of(failure.at),
                "phase": failure.phase,
                "side": failure.side,
                "reason": failure.reason,
                "finding": failure.finding,
                "peer": failure.peer.to_string(),
                "what": failure.what,
                "remedy": failure.remedy,
            })
        });
        failures.collect()
    }

    /// Starts the drain at once, without the delay of `--drain-delay`: the readiness probe fails, the listeners close, and the process
    /// ends with its last tunnel. A first signal changes nothing of it; the second ends all at once.
    fn start_drain(&self, query: &Query) -> Result<Value, String> {
        query.allow(&["grace", "spread"])?;
        let flags = &self.settings.flags;
        let spread = query.duration("spread")?.unwrap_or(flags.drain_spread);
        let rest = flags.drain_timeout.saturating_sub(spread);
        let grace = query.duration("grace")?.unwrap_or(rest);
        if spread.saturating_add(grace) > flags.drain_timeout {
            let most = flags.drain_timeout;
            return Err(format!(
                "grace and spread: together longer than --drain-timeout, {most:?}"
            ));
        }
        self.settings.leave();
        self.drain.start(Schedule::default().grace(grace).spread(spread));
        Ok(json!({ "draining": self.tunnels.len() }))
    }

    /// Takes a server out of one group or of all, or puts it back in: all of its name, or the one at a place.
    fn set_server(&self, query: &Query) -> Result<Value, String> {
        query.allow(&["name", "place", "down", "group"])?;
        let name = query.get("name").ok_or("name: which server?")?;
        let down = query.truth("down")?.ok_or("down: expected true or false")?;
        let (called, place) = (query.get("group"), query.number("place")?);
        if place.is_some() && called.is_none() {
            return Err("place: needs a group".to_owned());
        }
        let upstreams = self.settings.upstreams().into_iter();
        let meant = upstreams.filter(|upstream| called.is_none_or(|called| upstream.pattern == called));
        let found = meant.filter(|Upstream { group, .. }| match place {
            None => group.set_down(name, down),
            Some(place) => {
                let is_it = |server: &ServerStatus| server.place == place && server.name == name;
                group.servers().iter().any(is_it) && group.set_down_at(place, down)
            }
        });
        match found.count() {
            0 => Err(format!(
                "name: no such group has a server {name:?}{}; see GET /servers",
                place.map_or_else(String::new, |place| format!(" at place {place}"))
            )),
            groups => Ok(json!({ "groups": groups })),
        }
    }
}

fn not_allowed(methods: &'static str) -> Response<Full<Bytes>> {
    let mut response = refused((StatusCode::METHOD_NOT_ALLOWED, format!("expected {methods}")));
    response
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static(methods));
    response
}

/// An answer that says what was wrong.
fn refused((status, why): Refusal) -> Response<Full<Bytes>> {
    let text = json!({ "error": why }).to_string() + "\n";
    let mut response = response(status, JSON, text.into());
    if status == StatusCode::UNAUTHORIZED {
        response
            .headers_mut()
            .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

fn response(status: StatusCode, kind: &'static str, text: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text));
    *response.status_mut() = status;
    let fields: [(HeaderName, &'static str); 6] = [
        (CONTENT_TYPE, kind),
        (CACHE_CONTROL, "no-store"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
    ];
    for (name, value) in fields {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

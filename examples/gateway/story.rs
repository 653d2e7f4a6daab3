//! What the access log is told: of a tunnel when it opens and when it ends, of any other request when it has its answer, and
//! of a connection that has failed before there was a request.
//!
//! `--help` says where that goes; the README, what the fields are.

use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Instant;

use http::header::{HOST, HeaderMap, HeaderName, ORIGIN, UPGRADE};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{StatusCode, Version};
use switchover::connect::Trace;
use switchover::handshake::Rejection;
use switchover::header::{Hop, Protocol};
use switchover::service::Relayed;
use switchover::tunnel::Traffic;
use switchover::{Cause, Error, Side};

use super::access_log::AccessLog;
use super::record::Record;

/// A client's connection, for the log.
#[derive(Clone)]
pub(crate) struct Visit {
    log: AccessLog,
    connection: u64,
    listener: SocketAddr,
    peer: SocketAddr,
    begun: Instant,
}

/// One request, for the log. Cheap to clone; whatever becomes of it is told once.
#[derive(Clone)]
pub(crate) struct Story(Arc<Telling>);

struct Telling {
    visit: Visit,
    id: u64,
    begun: Instant,
    hop: Hop,
    version: Version,
    method: String,
    host: String,
    target: String,
    origin: String,
    /// What it asks to switch to.
    protocol: String,
    trace: Trace,
    stage: AtomicU8,
}

/// Nothing has been told of it.
const UNTOLD: u8 = 0;
/// Its tunnel has been told to be open.
const OPEN: u8 = 1;
/// All has been told.
const TOLD: u8 = 2;

/// Why it has not gone as it was meant to.
struct Why {
    reason: &'static str,
    detail: String,
    place: Option<(Side, &'static str)>,
}

impl Why {
    fn given_up() -> Why {
        Why {
            reason: "given-up",
            detail: "the client has left, or the gateway has ended".to_owned(),
            place: None,
        }
    }
}

impl From<&Rejection> for Why {
    fn from(rejection: &Rejection) -> Self {
        Why {
            reason: rejection.name(),
            detail: format!("{rejection}. {}", rejection.hint()),
            place: None,
        }
    }
}

impl From<&Error> for Why {
    fn from(error: &Error) -> Self {
        let detail = match error.cause() {
            Cause::Tunnel(inner) => format!("{inner}: {}", inner.source()),
            cause => cause.to_string(),
        };
        Why {
            reason: error.cause().name(),
            detail,
            place: Some((error.side(), error.phase().name())),
        }
    }
}

impl Visit {
    pub(crate) fn new(log: &AccessLog, listener: SocketAddr, peer: SocketAddr) -> Visit {
        Visit {
            log: log.clone(),
            connection: log.connection(),
            listener,
            peer,
            begun: Instant::now(),
        }
    }

    /// The client has asked for something.
    pub(crate) fn request(&self, head: &Parts, hop: Hop) -> Story {
        Story(Arc::new(Telling {
            visit: self.clone(),
            id: self.log.request(),
            begun: Instant::now(),
            hop,
            version: head.version,
            method: head.method.as_str().to_owned(),
            host: host(head),
            target: self.target(head.uri.path_and_query()),
            origin: lines(&head.headers, &ORIGIN),
            protocol: match head.extensions.get::<hyper::ext::Protocol>() {
                Some(protocol) => protocol.as_str().to_owned(),
                None => lines(&head.headers, &UPGRADE),
            },
            trace: Trace::new(),
            stage: AtomicU8::new(UNTOLD),
        }))
    }

    /// What was asked for: of the query only that there was one, unless the flag says otherwise.
    fn target(&self, target: Option<&PathAndQuery>) -> String {
        match target {
            Some(target) if self.log.keeps_query => target.as_str().to_owned(),
            Some(target) if target.query().is_some() => format!("{}?", target.path()),
            Some(target) => target.path().to_owned(),
            None => String::new(),
        }
    }

    /// What came was no request, and has been answered so.
    pub(crate) fn refused(&self, hop: Hop, why: &Rejection) {
        self.tell("refused", hop, Some(why.status()), why.into());
    }

    /// The connection has failed before there was a request.
    pub(crate) fn failed(&self, hop: Hop, why: &Error) {
        self.tell("failed", hop, None, why.into());
    }

    /// The connection has failed before HTTP could be spoken on it, or because it was not spoken well enough; with the status
    /// that the client was sent, if it was sent any.
    pub(crate) fn unopened(
        &self,
        hop: Hop,
        status: Option<StatusCode>,
        (phase, reason): (&'static str, &'static str),
        detail: &impl Display,
    ) {
        let event = if status.is_some() { "refused" } else { "failed" };
        let why = Why {
            reason,
            detail: detail.to_string(),
            place: Some((Side::Downstream, phase)),
        };
        self.tell(event, hop, status, why);
    }

    fn tell(&self, event: &str, hop: Hop, status: Option<StatusCode>, why: Why) {
        let record = self.record(event, hop).status(status).why(Some(why));
        self.leave(record.took(self.begun));
    }

    fn record(&self, event: &str, hop: Hop) -> Record {
        Record::new(event)
            .number("connection", Some(self.connection))
            .display("listener", Some(self.listener))
            .display("peer", Some(self.peer))
            .text("client", &client(hop))
    }

    fn leave(&self, record: Record) {
        self.log.leave(&record.line());
    }
}

impl Story {
    /// To be filled in by the library.
    pub(crate) fn trace(&self) -> Trace {
        self.0.trace.clone()
    }

    /// Refused here, and answered so.
    pub(crate) fn refused(&self, why: &Rejection) {
        let status = Some(why.status());
        self.0
            .end("refused", |record| record.status(status).why(Some(why.into())));
    }

    /// An upgrade that came to nothing, with the status that the client was sent, if it was sent any.
    pub(crate) fn failed(&self, status: Option<StatusCode>, why: &Error) {
        self.0
            .end("failed", |record| record.status(status).why(Some(why.into())));
    }

    /// The upstream has said no to an upgrade.
    pub(crate) fn declined(&self, status: StatusCode) {
        self.0.end("declined", |record| record.status(Some(status)));
    }

    /// An ordinary request has been relayed, or has failed in the middle of its answer.
    pub(crate) fn relayed<S>(&self, relayed: &Result<Relayed<S>, Error>) {
        let why = match relayed {
            Ok(relayed) => match (&relayed.failure, &relayed.rejection) {
                (Some(failure), _) => Some(Why::from(&**failure)),
                (None, Some(rejection)) => Some(rejection.into()),
                (None, None) => None,
            },
            Err(error) => Some(error.into()),
        };
        let status = self.0.trace.status();
        self.0.end("request", |record| record.status(status).why(why));
    }

    /// As [`relayed`](Story::relayed) and [`declined`](Story::declined), where an HTTP server writes the answer. `result` is
    /// whether all of it was taken, or else what has failed, if that is known.
    pub(crate) fn answered(
        &self,
        is_upgrade: bool,
        status: StatusCode,
        body_bytes: u64,
        result: Result<(), Option<&Error>>,
    ) {
        let why = match result {
            Ok(()) => None,
            Err(Some(error)) => Some(Why::from(error)),
            Err(None) => Some(Why {
                place: Some((Side::Downstream, "response")),
                ..Why::given_up()
            }),
        };
        let event = match (is_upgrade, &why) {
            (false, _) => "request",
            (true, None) => "declined",
            (true, Some(_)) => "failed",
        };
        self.0.end(event, |record| {
            let record = record.status(Some(status)).why(why);
            record.number("body_bytes_sent", Some(body_bytes).filter(|count| *count > 0))
        });
    }

    /// Both sides have agreed, and the client knows.
    pub(crate) fn opened(&self, protocol: &Protocol) {
        let telling = &self.0;
        telling.stage.store(OPEN, Ordering::Release);
        let record = telling.record("opened").status(Some(telling.switched()));
        let record = record.display("agreed", Some(protocol));
        telling.visit.leave(record.took(telling.begun));
    }

    /// The tunnel has ended, or has not even begun.
    pub(crate) fn ended(&self, protocol: &Protocol, result: &Result<Traffic, Error>) {
        let traffic = match result {
            Ok(traffic) => Some(traffic),
            Err(error) => error.traffic(),
        };
        let why = match result {
            Ok(traffic) => Why {
                reason: traffic.end().name(),
                detail: traffic.end().to_string(),
                place: traffic.end().side().map(|side| (side, "tunnel")),
            },
            Err(error) => error.into(),
        };
        let (event, status) = match self.0.is_open() {
            true => ("ended", Some(self.0.switched())),
            false => ("failed", None),
        };
        self.0.end(event, |record| {
            let bytes = |of: fn(&Traffic) -> u64| traffic.map(of);
            record
                .status(status)
                .display("agreed", Some(protocol).filter(|_| status.is_some()))
                .why(Some(why))
                .number("from_downstream", bytes(Traffic::from_downstream))
                .number("from_upstream", bytes(Traffic::from_upstream))
        });
    }
}

impl Telling {
    fn is_open(&self) -> bool {
        self.stage.load(Ordering::Acquire) == OPEN
    }

    /// What the client was sent for its switch.
    fn switched(&self) -> StatusCode {
        match self.version {
            Version::HTTP_2 => StatusCode::OK,
            _ => StatusCode::SWITCHING_PROTOCOLS,
        }
    }

    fn record(&self, event: &str) -> Record {
        let hop = self.trace.hop().unwrap_or(self.hop);
        self.visit
            .record(event, hop)
            .number("id", Some(self.id))
            .display("version", Some(format_args!("{:?}", self.version)))
            .text("method", &self.method)
            .text("host", &self.host)
            .text("target", &self.target)
            .text("origin", &self.origin)
            .text("protocol", &self.protocol)
            .tries(&self.trace.tries())
    }

    fn end(&self, event: &str, rest: impl FnOnce(Record) -> Record) {
        if self.stage.swap(TOLD, Ordering::AcqRel) == TOLD {
            return;
        }
        let sent = |bytes: u64| Some(bytes).filter(|bytes| *bytes > 0);
        let record = rest(self.record(event))
            .number("bytes_sent", sent(self.trace.bytes_sent()))
            .number("body_bytes_sent", sent(self.trace.body_bytes_sent()));
        self.visit.leave(record.took(self.begun));
    }
}

impl Drop for Telling {
    /// The client has left without a word, or the gateway has ended before the request had.
    fn drop(&mut self) {
        let (event, status) = match self.is_open() {
            true => ("ended", Some(self.switched())),
            false => ("failed", None),
        };
        self.end(event, |record| record.status(status).why(Some(Why::given_up())));
    }
}

impl Record {
    fn status(self, status: Option<StatusCode>) -> Record {
        self.number("status", status.map(|status| status.as_u16().into()))
    }

    fn why(self, why: Option<Why>) -> Record {
        let Some(why) = why else { return self };
        let record = self.text("reason", why.reason).text("detail", &why.detail);
        match why.place {
            Some((side, phase)) => record.display("side", Some(side)).text("phase", phase),
            None => record,
        }
    }

    fn took(self, since: Instant) -> Record {
        self.milliseconds("duration_ms", Some(since.elapsed()))
    }
}

fn host(head: &Parts) -> String {
    match head.uri.authority() {
        Some(authority) => authority.as_str().to_owned(),
        None => lines(&head.headers, &HOST),
    }
}

/// A field as a whole. Bytes that are no UTF-8 are shown as such.
fn lines(headers: &HeaderMap, name: &HeaderName) -> String {
    let lines = headers.get_all(name).iter();
    let lines: Vec<_> = lines
        .map(|line| String::from_utf8_lossy(line.as_bytes()))
        .collect();
    lines.join(", ")
}

/// The client's address, with its port where that is known.
fn client(hop: Hop) -> String {
    match (hop.client(), hop.client_port()) {
        (Some(address), Some(port)) => SocketAddr::new(address, port).to_string(),
        (Some(address), None) => address.to_string(),
        (None, _) => String::new(),
    }
}

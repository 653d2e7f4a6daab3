//! What the access log records of one request: when its tunnel opens and when that ends, or else when it has its answer.
//!
//! The README says what the fields are.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use http::header::{HOST, HeaderMap, HeaderName, ORIGIN, UPGRADE};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{StatusCode, Version};
use switchover::connect::Trace;
use switchover::handshake::{Rejection, wants_upgrade};
use switchover::header::{Hop, Protocol};
use switchover::service::Relayed;
use switchover::tunnel::{End, Traffic, TunnelId};
use switchover::websocket::{CloseCode, CloseFrame};
use switchover::{Error, Side};

use super::record::{Record, Why, kept};
use super::visit::Visit;

/// One request, for the log. Cheap to clone; its outcome is recorded once.
#[derive(Clone)]
pub(crate) struct Story(Arc<Telling>);

struct Telling {
    visit: Visit,
    id: u64,
    begun: Instant,
    hop: Hop,
    version: Version,
    method: Box<str>,
    host: Box<str>,
    target: Box<str>,
    origin: Box<str>,
    /// What it asks to switch to.
    protocol: Box<str>,
    wants_upgrade: bool,
    trace: Trace,
    stage: AtomicU8,
    /// What it has switched to, and what the administration calls its tunnel, where there is one.
    opened: OnceLock<(Protocol, Option<TunnelId>)>,
}

/// Nothing has been recorded of it.
const UNTOLD: u8 = 0;
/// Its tunnel has been recorded as open.
const OPEN: u8 = 1;
/// All has been recorded.
const TOLD: u8 = 2;

impl Story {
    pub(super) fn new(visit: Visit, id: u64, head: &Parts, hop: Hop) -> Story {
        Story(Arc::new(Telling {
            id,
            begun: Instant::now(),
            hop,
            version: head.version,
            method: kept(head.method.as_str().to_owned()),
            host: kept(host(head)),
            target: kept(target(head.uri.path_and_query(), visit.keeps_query())),
            origin: kept(lines(&head.headers, &ORIGIN)),
            protocol: kept(match head.extensions.get::<hyper::ext::Protocol>() {
                Some(protocol) => protocol.as_str().to_owned(),
                None => lines(&head.headers, &UPGRADE),
            }),
            wants_upgrade: wants_upgrade(head),
            trace: Trace::new(),
            stage: AtomicU8::new(UNTOLD),
            opened: OnceLock::new(),
            visit,
        }))
    }

    /// To be filled in by the library.
    pub(crate) fn trace(&self) -> Trace {
        self.0.trace.clone()
    }

    /// Refused here, and answered so. When it came is not known: it was answered before anything was recorded.
    pub(crate) fn refused(&self, why: &Rejection) {
        let status = Some(why.status());
        self.0
            .end_untimed("refused", |record| record.status(status).why(Some(why.into())));
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
                (None, None) => self.0.wants_upgrade.then(Why::not_allowed),
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
    pub(crate) fn opened(&self, protocol: &Protocol, tunnel: Option<TunnelId>) {
        let request = &self.0;
        let _ = request.opened.set((protocol.clone(), tunnel));
        request.stage.store(OPEN, Ordering::Release);
        let record = request.record("opened").status(Some(request.switched()));
        let record = record.display("protocol", Some(protocol));
        request.visit.leave(record.took(request.begun));
    }

    /// The tunnel has ended, or has not even begun.
    pub(crate) fn ended(&self, result: &Result<Traffic, Error>) {
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
            let code = |of: fn(&Traffic, Side) -> Option<&CloseFrame>, side| {
                let close = of(traffic?, side)?;
                let code = close.code().unwrap_or(CloseCode::NO_STATUS_RECEIVED);
                Some(u64::from(code.0))
            };
            let limit = match traffic.map(Traffic::end) {
                Some(End::LimitExceeded { limit, allowed, .. }) => Some((limit, allowed)),
                _ => None,
            };
            record
                .status(status)
                .display("protocol", self.0.protocol())
                .why(Some(why))
                .number("from_downstream", bytes(Traffic::from_downstream))
                .number("from_upstream", bytes(Traffic::from_upstream))
                .text("limit", limit.map_or("", |(limit, _)| limit.name()))
                .number("limit_allowed", limit.map(|(_, allowed)| allowed))
                .number(
                    "close_from_downstream",
                    code(Traffic::close_from, Side::Downstream),
                )
                .number("close_from_upstream", code(Traffic::close_from, Side::Upstream))
                .number(
                    "close_to_downstream",
                    code(Traffic::close_sent_to, Side::Downstream),
                )
                .number("close_to_upstream", code(Traffic::close_sent_to, Side::Upstream))
                .frames(traffic)
        });
    }
}

impl Telling {
    fn is_open(&self) -> bool {
        self.stage.load(Ordering::Acquire) == OPEN
    }

    /// What it has switched to.
    fn protocol(&self) -> Option<&Protocol> {
        Some(&self.opened.get()?.0)
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
            .record(event, Some(self.id), hop)
            .display("version", Some(format_args!("{:?}", self.version)))
            .text("method", &self.method)
            .text("host", &self.host)
            .text("path", &self.target)
            .text("origin", &self.origin)
            .text("upgrade", &self.protocol)
            .display("tunnel", self.opened.get().and_then(|(_, tunnel)| *tunnel))
            .tries(&self.trace.attempts())
    }

    fn end(&self, event: &str, rest: impl FnOnce(Record) -> Record) {
        self.end_untimed(event, |record| rest(record).took(self.begun));
    }

    fn end_untimed(&self, event: &str, rest: impl FnOnce(Record) -> Record) {
        if self.stage.swap(TOLD, Ordering::AcqRel) == TOLD {
            return;
        }
        let sent = |bytes: u64| Some(bytes).filter(|bytes| *bytes > 0);
        let record = rest(self.record(event))
            .number("bytes_sent", sent(self.trace.bytes_sent()))
            .number("body_bytes_sent", sent(self.trace.body_bytes_sent()));
        self.visit.leave(record);
    }
}

impl Drop for Telling {
    /// The client has left without a word, or the gateway has ended before the request had.
    fn drop(&mut self) {
        let (event, status) = match self.is_open() {
            true => ("ended", Some(self.switched())),
            false => ("failed", None),
        };
        self.end(event, |record| {
            let record = record.status(status).display("protocol", self.protocol());
            record.why(Some(Why::given_up()))
        });
    }
}

/// What was asked for: of the query only that there was one, unless the flag says otherwise.
fn target(target: Option<&PathAndQuery>, keeps_query: bool) -> String {
    match target {
        Some(target) if keeps_query => target.as_str().to_owned(),
        Some(target) if target.query().is_some() => format!("{}?", target.path()),
        Some(target) => target.path().to_owned(),
        None => String::new(),
    }
}

/// The host that was asked for. User information in front of it makes the request invalid, and may be a password: of that only
/// that it was there.
fn host(head: &Parts) -> String {
    let host = match head.uri.authority() {
        Some(authority) => authority.as_str().to_owned(),
        None => lines(&head.headers, &HOST),
    };
    match host.rfind('@') {
        Some(at) => format!("...{}", &host[at..]),
        None => host,
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

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;
    use crate::access_log::AccessLog;
    use crate::record::MOST_OF_A_TEXT;

    /// As long as its tunnel is open, a request is as large as its line, whatever the client has sent.
    #[test]
    fn of_a_long_text_no_more_is_kept_than_its_line_has() {
        const LONG: usize = 60_000;
        for (character, written, count) in [
            ("a", "a", MOST_OF_A_TEXT),
            // Two bytes each, and one that does not go up in the limit.
            ("\u{e9}", "\\u00e9", MOST_OF_A_TEXT / 2),
            ("\u{20ac}", "\\u20ac", MOST_OF_A_TEXT / 3),
        ] {
            let text = character.repeat(LONG / character.len());
            let value = |text: &str| http::HeaderValue::from_bytes(text.as_bytes()).unwrap();
            let mut request = Request::get(format!("/{}", "a".repeat(LONG))).method(&*"M".repeat(LONG));
            for name in [HOST, ORIGIN, UPGRADE] {
                request = request.header(name, value(&text));
            }
            let (head, ()) = request.body(()).unwrap().into_parts();
            let (log, _writing) = AccessLog::open("/dev/null", false).unwrap();
            let (listener, peer) = (([127, 0, 0, 1], 80).into(), ([127, 0, 0, 1], 5000).into());
            let Story(telling) = Visit::new(&log, listener, peer).request(&head, Hop::unknown());
            let of_client = [
                &telling.method,
                &telling.host,
                &telling.target,
                &telling.origin,
                &telling.protocol,
            ];
            for kept in of_client {
                assert!(kept.len() <= MOST_OF_A_TEXT + 4, "{} bytes", kept.len());
            }
            let line = String::from_utf8(telling.record("ended").line()).unwrap();
            for name in ["host", "origin", "upgrade"] {
                let expected = format!("\"{name}\":\"{}...\"", written.repeat(count));
                assert!(line.contains(&expected), "{name} of {character}: {line}");
            }
        }
    }

    #[test]
    fn of_user_information_is_known_that_it_was_there() {
        for (target, field, expected) in [
            ("http://example.com/", "", "example.com"),
            ("http://user:secret@example.com/", "", "...@example.com"),
            ("/", "example.com:80", "example.com:80"),
            ("/", "user:secret@example.com", "...@example.com"),
            ("/", "a@b@example.com", "...@example.com"),
        ] {
            let request = Request::builder().uri(target).header(HOST, field).body(());
            let (head, ()) = request.unwrap().into_parts();
            assert_eq!(host(&head), expected, "{target} {field}");
        }
    }
}

//! Counters, gauges and histograms, through the facade crate `metrics`: this file has their names, units and labels.
//!
//! Every label is a word of the crate's own, the class of a status, a code of a Close that is registered, or the name of a group or of a
//! server as the application has it. Nothing that a client sends becomes a label.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use ::metrics::{
    Key, Label, Level, Metadata, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge,
    histogram, with_recorder,
};

use super::{Bytes, Closer, Kind, Moved, Place, TunnelEnd, side_name};
use crate::side::Side;

const OPEN: &str = "switchover_tunnels_open";
const OPENED: &str = "switchover_tunnels_opened_total";
const ENDED: &str = "switchover_tunnels_ended_total";
const DURATION: &str = "switchover_tunnel_duration_seconds";
const BYTES: &str = "switchover_tunnel_bytes_total";
const CLOSES: &str = "switchover_websocket_closes_total";
const FRAMES: &str = "switchover_websocket_frames_total";
const MESSAGES: &str = "switchover_websocket_messages_total";
const PAYLOAD: &str = "switchover_websocket_payload_bytes_total";
const PING: &str = "switchover_websocket_ping_seconds";
const REFUSED: &str = "switchover_refused_total";
const DECLINED: &str = "switchover_declined_total";
const FAILED: &str = "switchover_failed_total";
const CONNECT: &str = "switchover_connect_seconds";
const RESPONSE_HEAD: &str = "switchover_response_head_seconds";
const REQUESTS: &str = "switchover_requests_total";
const ATTEMPTS: &str = "switchover_attempts_total";
const SERVER_STATE: &str = "switchover_server_state";
const SERVER_TUNNELS: &str = "switchover_server_tunnels";

/// The outcome of an attempt that most have.
const ANSWERED: &str = "answered";

/// In the order of [`FrameNumbers`](super::FrameNumbers).
const OPCODES: [&str; 5] = ["text", "binary", "close", "ping", "pong"];

/// What a server's state may be: the label that is 1 is its state now.
const STATES: [&str; 5] = ["healthy", "failing", "ejected", "probing", "down"];

/// Describes each metric, its unit and its meaning, to the recorder of the crate `metrics`: once, after the application has installed it.
/// Feature `metrics`.
///
/// The manual has [the table](crate::manual::operators) of all metrics with their labels. Nothing is recorded without a recorder, and
/// what is recorded before there is one is lost.
///
/// Most metrics are recorded where something happens. Bytes of open tunnels and the states of servers are recorded when the
/// application asks for it, before each scrape or at intervals: [`Tunnels::record_metrics`](crate::tunnel::Tunnels::record_metrics) and
/// [`Group::record_metrics`](crate::upstream::Group::record_metrics).
///
/// ```
/// use switchover::tunnel::Tunnels;
/// use switchover::upstream::{Group, Server};
///
/// // After the exporter is installed:
/// switchover::describe_metrics();
/// let (tunnels, group) = (Tunnels::new(), Group::of([Server::to("10.0.0.1:9000")]));
/// // Before each scrape:
/// tunnels.record_metrics();
/// group.record_metrics();
/// ```
pub fn describe_metrics() {
    describe_gauge!(OPEN, Unit::Count, "Tunnels that are open.");
    describe_counter!(OPENED, Unit::Count, "Tunnels that have been opened.");
    describe_counter!(ENDED, Unit::Count, "Tunnels that have ended, by reason and side.");
    describe_histogram!(DURATION, Unit::Seconds, "How long tunnels were open.");
    describe_counter!(
        BYTES,
        Unit::Bytes,
        "Bytes delivered by tunnels, by the side that sent them and by mode."
    );
    describe_counter!(CLOSES, Unit::Count, "WebSocket Closes, by sender and code.");
    describe_counter!(
        FRAMES,
        Unit::Count,
        "WebSocket frames, by the side that sent them and by opcode."
    );
    describe_counter!(
        MESSAGES,
        Unit::Count,
        "WebSocket messages, by the side that sent them and by opcode."
    );
    describe_counter!(
        PAYLOAD,
        Unit::Bytes,
        "Payload of WebSocket frames, by the side that sent them and by opcode."
    );
    describe_histogram!(
        PING,
        Unit::Seconds,
        "How long a side took to answer a ping of the tunnel's own."
    );
    describe_counter!(
        REFUSED,
        Unit::Count,
        "Requests that the proxy has refused, by reason."
    );
    describe_counter!(
        DECLINED,
        Unit::Count,
        "Upgrades that the origin has declined, by the class of its status."
    );
    describe_counter!(
        FAILED,
        Unit::Count,
        "Requests and tunnels that have failed, by phase, side and reason."
    );
    describe_histogram!(
        CONNECT,
        Unit::Seconds,
        "How long it took to connect to an upstream."
    );
    describe_histogram!(
        RESPONSE_HEAD,
        Unit::Seconds,
        "How long an upstream took from the request to the head of its answer."
    );
    describe_counter!(
        REQUESTS,
        Unit::Count,
        "Ordinary requests that were answered, by the class of the status."
    );
    describe_counter!(
        ATTEMPTS,
        Unit::Count,
        "Attempts of requests on servers of groups, by server and outcome."
    );
    describe_gauge!(
        SERVER_STATE,
        Unit::Count,
        "1 for the state that a server is in, and 0 for the others."
    );
    describe_gauge!(SERVER_TUNNELS, Unit::Count, "Tunnels that a server has.");
}

/// The key of a series that every request or tunnel adds to. It is made when the program is compiled: the macros of the crate
/// `metrics` hash and allocate theirs each time, whether anybody records or not.
macro_rules! series {
    ($name:ident) => {{
        static KEY: Key = Key::from_static_name($name);
        &KEY
    }};
    ($name:ident, $label:literal => $value:literal) => {{
        static LABELS: [Label; 1] = [Label::from_static_parts($label, $value)];
        static KEY: Key = Key::from_static_parts($name, &LABELS);
        &KEY
    }};
    ($name:ident by $kind:expr) => {
        match $kind {
            Kind::Upgrade => series!($name, "kind" => "upgrade"),
            #[cfg(feature = "hyper")]
            Kind::Request => series!($name, "kind" => "request"),
        }
    };
}

const METADATA: Metadata<'static> = Metadata::new(module_path!(), Level::INFO, Some(module_path!()));

fn record(key: &'static Key, took: Duration) {
    with_recorder(|recorder| recorder.register_histogram(key, &METADATA).record(took));
}

pub(super) fn refused(reason: &'static str) {
    counter!(REFUSED, "reason" => reason).increment(1);
}

pub(super) fn declined(status: u16) {
    counter!(DECLINED, "status" => class(status)).increment(1);
}

pub(super) fn failed(phase: &'static str, side: Side, reason: &'static str) {
    counter!(FAILED, "phase" => phase, "side" => side_name(side), "reason" => reason).increment(1);
}

pub(super) fn connected(kind: Kind, took: Duration) {
    record(series!(CONNECT by kind), took);
}

pub(super) fn answered(kind: Kind, took: Duration) {
    record(series!(RESPONSE_HEAD by kind), took);
}

#[cfg(feature = "hyper")]
pub(super) fn request_answered(status: u16) {
    let key = match class(status) {
        "1xx" => series!(REQUESTS, "status" => "1xx"),
        "2xx" => series!(REQUESTS, "status" => "2xx"),
        "3xx" => series!(REQUESTS, "status" => "3xx"),
        "4xx" => series!(REQUESTS, "status" => "4xx"),
        "5xx" => series!(REQUESTS, "status" => "5xx"),
        _ => series!(REQUESTS, "status" => "other"),
    };
    with_recorder(|recorder| recorder.register_counter(key, &METADATA).increment(1));
}

/// The key of the attempts that a server has answered, which are most: made once for each server.
#[derive(Clone, Debug)]
pub(super) struct Answered(Key);

impl Answered {
    pub(super) fn new(group: &Arc<str>, server: &Arc<str>) -> Self {
        Answered(attempts(group, server, ANSWERED))
    }
}

fn attempts(group: &Arc<str>, server: &Arc<str>, outcome: &'static str) -> Key {
    let labels = [
        Label::new("group", group.clone()),
        Label::new("server", server.clone()),
        Label::from_static_parts("outcome", outcome),
    ];
    Key::from_parts(ATTEMPTS, labels.to_vec())
}

pub(super) fn attempt_ended(place: &Place, outcome: &'static str) {
    let other;
    let key = match outcome {
        ANSWERED => &place.answered.0,
        _ => {
            other = attempts(&place.group, &place.server, outcome);
            &other
        }
    };
    with_recorder(|recorder| recorder.register_counter(key, &METADATA).increment(1));
}

pub(super) fn ping_answered(side: Side, took: Duration) {
    histogram!(PING, "side" => side_name(side)).record(took);
}

/// What was not reported before.
pub(crate) fn moved(moved: &Moved) {
    if *moved == Moved::default() {
        return;
    }
    let sides = [
        (Side::Downstream, moved.from_downstream),
        (Side::Upstream, moved.from_upstream),
    ];
    for (side, Bytes { copied, spliced }) in sides {
        for (mode, bytes) in [("copied", copied), ("spliced", spliced)] {
            if bytes > 0 {
                counter!(BYTES, "from" => side_name(side), "mode" => mode).increment(bytes);
            }
        }
    }
    for (side, numbers) in [Side::Downstream, Side::Upstream].into_iter().zip(&moved.frames) {
        if numbers.iter().all(|number| *number == 0) {
            continue;
        }
        let (frames, others) = numbers.split_at(OPCODES.len());
        let (payload, messages) = others.split_at(OPCODES.len());
        for (name, numbers) in [(FRAMES, frames), (PAYLOAD, payload), (MESSAGES, messages)] {
            for (opcode, number) in OPCODES.into_iter().zip(numbers) {
                if *number > 0 {
                    counter!(name, "from" => side_name(side), "opcode" => opcode).increment(*number);
                }
            }
        }
    }
}

/// The state of a server now, and how many tunnels it has.
pub(crate) fn server_state(place: &Place, state: &'static str, tunnels: usize) {
    let (group, server) = (&place.group, &place.server);
    for one in STATES {
        let is_it = if one == state { 1.0 } else { 0.0 };
        gauge!(SERVER_STATE, "group" => group.clone(), "server" => server.clone(), "state" => one).set(is_it);
    }
    gauge!(SERVER_TUNNELS, "group" => group.clone(), "server" => server.clone()).set(tunnels as f64);
}

/// A server has been removed from its group: it is in no state.
pub(crate) fn server_removed(server: &Place) {
    server_state(server, "", 0);
}

/// The key of [`ENDED`] with these words. They are few and the crate's own, so each key is made once and kept.
fn ended(reason: &'static str, side: &'static str) -> &'static Key {
    static MADE: RwLock<Vec<([&str; 2], &Key)>> = RwLock::new(Vec::new());
    let words = [reason, side];
    let find = |made: &[([&str; 2], &'static Key)]| Some(made.iter().find(|(of, _)| *of == words)?.1);
    let found = find(&MADE.read().unwrap_or_else(PoisonError::into_inner));
    found.unwrap_or_else(|| {
        let mut made = MADE.write().unwrap_or_else(PoisonError::into_inner);
        find(&made).unwrap_or_else(|| {
            let labels =
                [("reason", reason), ("side", side)].map(|(key, word)| Label::from_static_parts(key, word));
            let key = Box::leak(Box::new(Key::from_static_labels(
                ENDED,
                Box::leak(Box::new(labels)),
            )));
            made.push((words, key));
            key
        })
    })
}

/// A tunnel that counts as open.
#[derive(Debug)]
pub(super) struct OpenTunnel {
    has_ended: bool,
}

impl OpenTunnel {
    pub(super) fn start() -> Self {
        with_recorder(|recorder| {
            recorder.register_counter(series!(OPENED), &METADATA).increment(1);
            recorder.register_gauge(series!(OPEN), &METADATA).increment(1.0);
        });
        OpenTunnel { has_ended: false }
    }

    pub(super) fn end(mut self, end: &TunnelEnd) {
        self.has_ended = true;
        let key = ended(end.reason, end.side.map_or("none", side_name));
        with_recorder(|recorder| recorder.register_counter(key, &METADATA).increment(1));
        record(series!(DURATION), end.took);
        for (closer, code) in end.closes.into_iter().flatten() {
            let from = match closer {
                Closer::Side(side) => side_name(side),
                Closer::Proxy => "proxy",
            };
            counter!(CLOSES, "from" => from, "code" => code_name(code)).increment(1);
        }
        if let Some(bytes) = &end.moved {
            moved(bytes);
        }
    }
}

impl Drop for OpenTunnel {
    fn drop(&mut self) {
        with_recorder(|recorder| recorder.register_gauge(series!(OPEN), &METADATA).decrement(1.0));
        if !self.has_ended {
            counter!(ENDED, "reason" => "dropped", "side" => "none").increment(1);
        }
    }
}

fn class(status: u16) -> &'static str {
    match status {
        100..200 => "1xx",
        200..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        500..600 => "5xx",
        _ => "other",
    }
}

/// Codes of a peer's own choice are one label for each range: RFC 6455, section 7.4.2.
fn code_name(code: u16) -> &'static str {
    match code {
        1000 => "1000",
        1001 => "1001",
        1002 => "1002",
        1003 => "1003",
        1005 => "none",
        1007 => "1007",
        1008 => "1008",
        1009 => "1009",
        1010 => "1010",
        1011 => "1011",
        1012 => "1012",
        1013 => "1013",
        1014 => "1014",
        3000..4000 => "3xxx",
        4000..5000 => "4xxx",
        _ => "other",
    }
}

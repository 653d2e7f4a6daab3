//! Counters, gauges and histograms, through the facade crate `metrics`: this file has their names, units and labels.
//!
//! Every label is a word of the crate's own, the class of a status, a code of a Close that is registered, or the name of a group or of a
//! server as the application has it. Nothing that a client sends becomes a label.

mod words;

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use ::metrics::{
    Key, Label, Level, Metadata, Unit, describe_counter, describe_gauge, describe_histogram, gauge,
    histogram, with_recorder,
};

use super::{Bytes, Closer, Kind, Moved, Place, TunnelEnd, side_name};
use crate::side::Side;
use words::Words;

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

/// How an attempt may end. A server has the first three series from its beginning, and each other one when there is something in it.
const OUTCOMES: [&str; 9] = [
    ANSWERED,
    "failed",
    "timed-out",
    "connected",
    "invalid",
    "stale",
    "given-up",
    "out-of-resources",
    "no-local-address",
];

/// What the words of a series are, for all that have words alone.
static REFUSED_BY: Words<1> = Words::new(REFUSED, ["reason"]);
static DECLINED_BY: Words<1> = Words::new(DECLINED, ["status"]);
static FAILED_BY: Words<3> = Words::new(FAILED, ["phase", "side", "reason"]);
static ENDED_BY: Words<2> = Words::new(ENDED, ["reason", "side"]);
static CLOSES_BY: Words<2> = Words::new(CLOSES, ["from", "code"]);
static BYTES_BY: Words<2> = Words::new(BYTES, ["from", "mode"]);
static FRAMES_BY: Words<2> = Words::new(FRAMES, ["from", "opcode"]);
static MESSAGES_BY: Words<2> = Words::new(MESSAGES, ["from", "opcode"]);
static PAYLOAD_BY: Words<2> = Words::new(PAYLOAD, ["from", "opcode"]);

const SIDES: [&str; 2] = ["downstream", "upstream"];

/// Ends that are about a side, and those that are about none.
const ENDS_OF_SIDES: [&str; 8] = [
    "closed",
    "half-close-timeout",
    "write-timeout",
    "ping-timeout",
    "refused",
    "violation",
    "limit-exceeded",
    "failed",
];
const ENDS: [&str; 8] = [
    "idle",
    "lifetime",
    "drained",
    "requested",
    "evacuated",
    "rebalanced",
    "expired",
    "dropped",
];

/// What most often fails. A series for every word there is would be hundreds, nearly all of them empty for ever.
const USUAL_FAILURES: [[&str; 3]; 10] = [
    ["connect", "upstream", "refused"],
    ["connect", "upstream", "timed-out"],
    ["connect", "upstream", "unresolved"],
    ["connect", "upstream", "no-upstream"],
    ["response-head", "upstream", "timed-out"],
    ["response-head", "upstream", "closed"],
    ["response-head", "upstream", "reset"],
    ["request-head", "downstream", "reset"],
    ["tunnel", "downstream", "reset"],
    ["tunnel", "upstream", "reset"],
];
const USUAL_REFUSALS: [&str; 6] = [
    "too-many-tunnels",
    "peer-limit",
    "draining",
    "no-route",
    "origin-not-allowed",
    "protocol-not-allowed",
];

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
/// Series whose words are known from the start are registered with 0, so that a first event is an increase: of tunnels open, opened,
/// ended and their bytes all, and of failures, refusals and declined upgrades the usual ones.
///
/// These calls also touch each series that was recorded before, and of servers those that are in their groups: an exporter that forgets
/// what nobody has touched for a while forgets the servers that are gone for good, and nothing else. So their number stays bounded.
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
        "How many servers of this name are in a state: 1 or 0, unless several share the name."
    );
    describe_gauge!(SERVER_TUNNELS, Unit::Count, "Tunnels that a server has.");
    register();
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

/// Series that are there from the start.
fn register() {
    for reason in ENDS_OF_SIDES {
        SIDES.iter().for_each(|side| ENDED_BY.add([reason, side], 0));
    }
    ENDS.iter().for_each(|reason| ENDED_BY.add([reason, "none"], 0));
    for side in SIDES {
        ["copied", "spliced"]
            .iter()
            .for_each(|mode| BYTES_BY.add([side, mode], 0));
    }
    USUAL_FAILURES
        .into_iter()
        .for_each(|words| FAILED_BY.add(words, 0));
    USUAL_REFUSALS
        .into_iter()
        .for_each(|reason| REFUSED_BY.add([reason], 0));
    for status in ["2xx", "3xx", "4xx", "5xx"] {
        DECLINED_BY.add([status], 0);
    }
    touch();
}

/// Touches each series that is not of a server and was recorded before, so that an exporter does not take it for one that is idle.
pub(crate) fn touch() {
    for words in [&REFUSED_BY, &DECLINED_BY] {
        words.touch();
    }
    for words in [
        &ENDED_BY,
        &CLOSES_BY,
        &BYTES_BY,
        &FRAMES_BY,
        &MESSAGES_BY,
        &PAYLOAD_BY,
    ] {
        words.touch();
    }
    FAILED_BY.touch();
    with_recorder(|recorder| {
        #[cfg(feature = "hyper")]
        for status in ["2xx", "3xx", "4xx", "5xx"] {
            recorder
                .register_counter(requests(status), &METADATA)
                .increment(0);
        }
        recorder.register_counter(series!(OPENED), &METADATA).increment(0);
        recorder.register_gauge(series!(OPEN), &METADATA).increment(0.0);
    });
}

fn record(key: &'static Key, took: Duration) {
    with_recorder(|recorder| recorder.register_histogram(key, &METADATA).record(took));
}

pub(super) fn refused(reason: &'static str) {
    REFUSED_BY.add([reason], 1);
}

pub(super) fn declined(status: u16) {
    DECLINED_BY.add([class(status)], 1);
}

pub(super) fn failed(phase: &'static str, side: Side, reason: &'static str) {
    FAILED_BY.add([phase, side_name(side), reason], 1);
}

pub(super) fn connected(kind: Kind, took: Duration) {
    record(series!(CONNECT by kind), took);
}

pub(super) fn answered(kind: Kind, took: Duration) {
    record(series!(RESPONSE_HEAD by kind), took);
}

#[cfg(feature = "hyper")]
pub(super) fn request_answered(status: u16) {
    let key = requests(class(status));
    with_recorder(|recorder| recorder.register_counter(key, &METADATA).increment(1));
}

#[cfg(feature = "hyper")]
fn requests(class: &'static str) -> &'static Key {
    match class {
        "1xx" => series!(REQUESTS, "status" => "1xx"),
        "2xx" => series!(REQUESTS, "status" => "2xx"),
        "3xx" => series!(REQUESTS, "status" => "3xx"),
        "4xx" => series!(REQUESTS, "status" => "4xx"),
        "5xx" => series!(REQUESTS, "status" => "5xx"),
        _ => series!(REQUESTS, "status" => "other"),
    }
}

/// The series of the attempts on a server.
#[derive(Debug)]
pub(super) struct Attempts {
    /// The key of those that it has answered, which are most.
    answered: Key,
    /// Which of the [`OUTCOMES`] there have been.
    seen: AtomicU16,
}

impl Attempts {
    pub(super) fn new(group: &Arc<str>, server: &Arc<str>) -> Self {
        Attempts {
            answered: attempts(group, server, ANSWERED),
            // What everyone asks for.
            seen: AtomicU16::new(0b111),
        }
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

fn add_attempts(place: &Place, outcome: &'static str, count: u64) {
    let other;
    let key = match outcome {
        ANSWERED => &place.attempts.answered,
        _ => {
            other = attempts(&place.group, &place.server, outcome);
            &other
        }
    };
    with_recorder(|recorder| recorder.register_counter(key, &METADATA).increment(count));
}

pub(super) fn attempt_ended(place: &Place, outcome: &'static str) {
    let bit = OUTCOMES
        .iter()
        .position(|own| *own == outcome)
        .map_or(0, |at| 1 << at);
    let seen = &place.attempts.seen;
    if seen.load(Ordering::Relaxed) & bit == 0 {
        seen.fetch_or(bit, Ordering::Relaxed);
    }
    add_attempts(place, outcome, 1);
}

/// Touches the series of a server that is in its group.
pub(crate) fn touch_server(place: &Place) {
    let seen = place.attempts.seen.load(Ordering::Relaxed);
    for (at, outcome) in OUTCOMES.into_iter().enumerate() {
        if seen & (1 << at) != 0 {
            add_attempts(place, outcome, 0);
        }
    }
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
                BYTES_BY.add([side_name(side), mode], bytes);
            }
        }
    }
    for (side, numbers) in [Side::Downstream, Side::Upstream].into_iter().zip(&moved.frames) {
        if numbers.iter().all(|number| *number == 0) {
            continue;
        }
        let (frames, others) = numbers.split_at(OPCODES.len());
        let (payload, messages) = others.split_at(OPCODES.len());
        for (words, numbers) in [
            (&FRAMES_BY, frames),
            (&PAYLOAD_BY, payload),
            (&MESSAGES_BY, messages),
        ] {
            for (opcode, number) in OPCODES.into_iter().zip(numbers) {
                if *number > 0 {
                    words.add([side_name(side), opcode], *number);
                }
            }
        }
    }
}

/// The servers of one name in a group: how many of them are in each state, and how many tunnels they have.
pub(crate) struct ServersAt {
    group: Arc<str>,
    server: Arc<str>,
    states: [usize; STATES.len()],
    tunnels: usize,
}

impl ServersAt {
    /// None so far.
    pub(crate) fn of(place: &Place) -> Self {
        ServersAt {
            group: place.group.clone(),
            server: place.server.clone(),
            states: Default::default(),
            tunnels: 0,
        }
    }

    pub(crate) fn is_at(&self, place: &Place) -> bool {
        self.server == place.server
    }

    /// One more, in no state if it has left its group.
    pub(crate) fn add(&mut self, state: Option<&'static str>, tunnels: usize) {
        for (name, count) in STATES.into_iter().zip(&mut self.states) {
            *count = count.saturating_add(usize::from(state == Some(name)));
        }
        self.tunnels = self.tunnels.saturating_add(tunnels);
    }

    pub(crate) fn record(&self) {
        let (group, server) = (&self.group, &self.server);
        for (state, count) in STATES.into_iter().zip(self.states) {
            gauge!(SERVER_STATE, "group" => group.clone(), "server" => server.clone(), "state" => state)
                .set(count as f64);
        }
        gauge!(SERVER_TUNNELS, "group" => group.clone(), "server" => server.clone()).set(self.tunnels as f64);
    }
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
        ENDED_BY.add([end.reason, end.side.map_or("none", side_name)], 1);
        record(series!(DURATION), end.took);
        for (closer, code) in end.closes.into_iter().flatten() {
            let from = match closer {
                Closer::Side(side) => side_name(side),
                Closer::Proxy => "proxy",
            };
            CLOSES_BY.add([from, code_name(code)], 1);
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
            ENDED_BY.add(["dropped", "none"], 1);
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

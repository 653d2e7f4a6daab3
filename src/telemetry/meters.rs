//! Counters, gauges and histograms, through the facade crate `metrics`: this file has their names and labels, and what is
//! counted of requests. `describe.rs` has their units.
//!
//! Every label is a word of the crate's own, the class of a status, a code of a Close that is registered, or the name of a group or of a
//! server as the application has it. Nothing that a client sends becomes a label.

#[macro_use]
mod series;

mod describe;
mod servers;
mod tunnels;
mod words;

use std::time::Duration;

#[cfg(feature = "hyper")]
use ::metrics::Counter;
use ::metrics::{Level, Metadata};

pub use describe::describe_metrics;
pub(super) use servers::{Attempts, attempt_ended};
pub(crate) use servers::{ServersAt, touch_server};
pub(crate) use tunnels::moved;
pub(super) use tunnels::{OpenTunnel, ping_answered};

use super::{Kind, side_name};
use crate::side::Side;
#[cfg(feature = "hyper")]
use series::Series;
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

const METADATA: Metadata<'static> = Metadata::new(module_path!(), Level::INFO, Some(module_path!()));

/// Touches each series that is not of a server and was recorded before, so that an exporter does not take it for one that is idle. Each
/// handle is looked up again, and kept until the next time.
pub(crate) fn renew() {
    series::renew();
    touch();
}

fn touch() {
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
    #[cfg(feature = "hyper")]
    for status in ["2xx", "3xx", "4xx", "5xx"] {
        requests(status).add(0);
    }
    tunnels::touch();
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
    let series = match kind {
        Kind::Upgrade => series!(CONNECT of Histogram, "kind" => "upgrade"),
        #[cfg(feature = "hyper")]
        Kind::Request => series!(CONNECT of Histogram, "kind" => "request"),
    };
    series.record(took);
}

pub(super) fn answered(kind: Kind, took: Duration) {
    let series = match kind {
        Kind::Upgrade => series!(RESPONSE_HEAD of Histogram, "kind" => "upgrade"),
        #[cfg(feature = "hyper")]
        Kind::Request => series!(RESPONSE_HEAD of Histogram, "kind" => "request"),
    };
    series.record(took);
}

#[cfg(feature = "hyper")]
pub(super) fn request_answered(status: u16) {
    requests(class(status)).add(1);
}

#[cfg(feature = "hyper")]
fn requests(class: &'static str) -> &'static Series<Counter> {
    match class {
        "1xx" => series!(REQUESTS of Counter, "status" => "1xx"),
        "2xx" => series!(REQUESTS of Counter, "status" => "2xx"),
        "3xx" => series!(REQUESTS of Counter, "status" => "3xx"),
        "4xx" => series!(REQUESTS of Counter, "status" => "4xx"),
        "5xx" => series!(REQUESTS of Counter, "status" => "5xx"),
        _ => series!(REQUESTS of Counter, "status" => "other"),
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

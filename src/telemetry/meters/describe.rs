//! What the metrics are, and which of their series are there from the start.

use ::metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

use super::series;
use super::{
    ATTEMPTS, BYTES, BYTES_BY, CLOSES, CONNECT, DECLINED, DECLINED_BY, DURATION, ENDED, ENDED_BY, FAILED,
    FAILED_BY, FRAMES, MESSAGES, OPEN, OPENED, PAYLOAD, PING, REFUSED, REFUSED_BY, REQUESTS, RESPONSE_HEAD,
    SERVER_STATE, SERVER_TUNNELS, touch,
};

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
/// From one call of [`Tunnels::record_metrics`](crate::tunnel::Tunnels::record_metrics) to the next a series is looked up once in the recorder of
/// the process, and its handle is kept. What is added to a series that the exporter has forgotten meanwhile is lost: such a while has to be
/// longer than the interval between two calls. A local recorder is asked at each event, and so is every recorder before the first call. To
/// find the recorder of the process, this function starts a thread and waits until it has ended, because the caller's thread may have a
/// local one.
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
    series::find_recorder();
    register();
}

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

//! Spans and events, through the crate `tracing`: names and fields are those of OpenTelemetry's semantic conventions where it has
//! any. Never a query, a credential, or a field of the client's beside `traceparent`.

use std::fmt::Display;
use std::time::Duration;

use tracing::field::Empty;
use tracing::{Span, debug, info, info_span, warn};

use super::{Asked, Parent, Place, TunnelEnd, side_name};
use crate::side::Side;

macro_rules! span_of {
    ($name:literal, $asked:expr) => {
        info_span!(
            target: "switchover",
            $name,
            otel.kind = "server",
            http.request.method = $asked.method,
            url.scheme = $asked.scheme,
            url.path = $asked.path,
            network.protocol.name = "http",
            network.protocol.version = $asked.version,
            server.address = $asked.host,
            server.port = $asked.port,
            client.address = $asked.client.map(tracing::field::display),
            client.port = $asked.client_port,
            traceparent = $asked.traceparent,
            http.response.status_code = Empty,
            "error.type" = Empty,
        )
    };
}

pub(super) fn upgrade(asked: &Asked<'_>) -> Span {
    span_of!("upgrade", asked)
}

#[cfg(feature = "hyper")]
pub(super) fn request(asked: &Asked<'_>) -> Span {
    span_of!("request", asked)
}

pub(super) fn record_end(span: &Span, status: Option<u16>, error: Option<&'static str>) {
    if let Some(status) = status {
        span.record("http.response.status_code", status);
    }
    if let Some(error) = error {
        span.record("error.type", error);
    }
}

/// The span of a tunnel, if anybody observes it. It is not entered when bytes move: that would be a cost for each message.
pub(super) fn tunnel(parent: &Parent, id: Option<&dyn Display>) -> Option<Box<Span>> {
    let span = info_span!(
        target: "switchover",
        parent: &parent.span,
        "tunnel",
        switchover.tunnel = id.map(tracing::field::display),
        switchover.group = parent.group.as_deref(),
        switchover.server = parent.server.as_deref(),
        network.protocol.name = parent.protocol.as_deref(),
        switchover.reason = Empty,
        switchover.side = Empty,
        switchover.bytes.from_downstream = Empty,
        switchover.bytes.from_upstream = Empty,
    );
    (!span.is_disabled()).then(|| Box::new(span))
}

pub(super) fn tunnel_ended(span: &Span, end: &TunnelEnd) {
    let side = end.side.map(side_name);
    span.record("switchover.reason", end.reason);
    span.record("switchover.side", side);
    span.record("switchover.bytes.from_downstream", end.bytes[0]);
    span.record("switchover.bytes.from_upstream", end.bytes[1]);
    let seconds = end.took.as_secs_f64();
    info!(target: "switchover", parent: span, { switchover.reason = end.reason, switchover.side = side, seconds }, "tunnel ended");
}

pub(super) fn refused(reason: &'static str) {
    info!(target: "switchover", { "error.type" = reason }, "refused");
}

#[cfg(feature = "hyper")]
pub(super) fn upgrade_not_allowed() {
    info!(target: "switchover", "upgrade not allowed");
}

pub(super) fn declined(status: u16) {
    info!(target: "switchover", { http.response.status_code = status }, "declined");
}

pub(super) fn failed(phase: &'static str, side: Side, reason: &'static str) {
    let side = side_name(side);
    warn!(target: "switchover", { switchover.phase = phase, switchover.side = side, "error.type" = reason }, "failed");
}

pub(super) fn connected(took: Duration) {
    debug!(target: "switchover", { seconds = took.as_secs_f64() }, "connected");
}

/// The name of a group that has one.
fn group(place: &Place) -> Option<&str> {
    Some(&*place.group).filter(|name| !name.is_empty())
}

pub(super) fn attempt_ended(place: &Place, outcome: &'static str) {
    let server = &*place.server;
    debug!(target: "switchover", { switchover.group = group(place), switchover.server = server, switchover.outcome = outcome }, "attempt ended");
}

pub(super) fn retried(server: Option<&str>) {
    info!(target: "switchover", { switchover.server = server }, "next server");
}

pub(super) fn server_changed(place: &Place, state: &'static str) {
    let server = &*place.server;
    info!(target: "switchover", { switchover.group = group(place), switchover.server = server, switchover.state = state }, "server state");
}

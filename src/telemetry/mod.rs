//! What is reported of the crate's work to those who observe it: each event has one function here, which the place calls where it
//! happens, and one word for each reason, which is the `name()` of the type that is the reason.
//!
//! Knows words, sides and durations. It must not know what a request or a tunnel is, and nothing is decided by it. Without the
//! features `metrics` and `tracing` its functions are empty and its values have no size.

#[cfg(feature = "metrics")]
mod meters;

use std::time::Duration;

#[cfg(feature = "metrics")]
pub use meters::describe_metrics;

use crate::side::Side;

/// What a time was taken of.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(feature = "metrics"), allow(dead_code))]
pub(crate) enum Kind {
    Upgrade,
    #[cfg(feature = "hyper")]
    Request,
}

/// Something has been refused by the proxy: `reason` is the name of the rejection.
#[cfg(feature = "gateway")]
pub(crate) fn refused(reason: &'static str) {
    #[cfg(feature = "metrics")]
    meters::refused(reason);
    let _ = reason;
}

/// An origin has answered an upgrade with another status than 101, and that has been relayed.
#[cfg(feature = "gateway")]
pub(crate) fn declined(status: u16) {
    #[cfg(feature = "metrics")]
    meters::declined(status);
    let _ = status;
}

/// Serving a request has failed: `phase` and `reason` are the names of the phase and of the cause.
#[cfg(feature = "gateway")]
pub(crate) fn failed(phase: &'static str, side: Side, reason: &'static str) {
    #[cfg(feature = "metrics")]
    meters::failed(phase, side, reason);
    let _ = (phase, side, reason);
}

/// There is a fresh connection to an upstream.
#[cfg(feature = "gateway")]
pub(crate) fn connected(kind: Kind, took: Duration) {
    #[cfg(feature = "metrics")]
    meters::connected(kind, took);
    let _ = (kind, took);
}

/// The head of a final answer has come.
#[cfg(feature = "gateway")]
pub(crate) fn answered(kind: Kind, took: Duration) {
    #[cfg(feature = "metrics")]
    meters::answered(kind, took);
    let _ = (kind, took);
}

/// An ordinary request has its answer.
#[cfg(feature = "hyper")]
pub(crate) fn request_answered(status: u16) {
    #[cfg(feature = "metrics")]
    meters::request_answered(status);
    let _ = status;
}

/// An attempt of a request on a server of a group has ended.
#[cfg(feature = "gateway")]
pub(crate) fn attempt_ended(server: &std::sync::Arc<str>, outcome: &'static str) {
    #[cfg(feature = "metrics")]
    meters::attempt_ended(server, outcome);
    let _ = (server, outcome);
}

/// A side has answered a ping.
pub(crate) fn ping_answered(side: Side, took: Duration) {
    #[cfg(feature = "metrics")]
    meters::ping_answered(side, took);
    let _ = (side, took);
}

/// Bytes that have moved and were not reported before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(not(feature = "metrics"), allow(dead_code))]
pub(crate) struct Moved {
    pub(crate) from_downstream: Bytes,
    pub(crate) from_upstream: Bytes,
}

/// Bytes from one side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(not(feature = "metrics"), allow(dead_code))]
pub(crate) struct Bytes {
    pub(crate) copied: u64,
    pub(crate) spliced: u64,
}

#[cfg(feature = "metrics")]
impl Moved {
    fn each(&mut self, other: &Moved, change: impl Fn(u64, u64) -> u64) {
        let (down, up) = (&mut self.from_downstream, &mut self.from_upstream);
        down.copied = change(down.copied, other.from_downstream.copied);
        down.spliced = change(down.spliced, other.from_downstream.spliced);
        up.copied = change(up.copied, other.from_upstream.copied);
        up.spliced = change(up.spliced, other.from_upstream.spliced);
    }

    pub(crate) fn add(&mut self, other: &Moved) {
        self.each(other, u64::saturating_add);
    }

    /// What is left of each number.
    #[must_use]
    pub(crate) fn without(mut self, other: &Moved) -> Moved {
        self.each(other, u64::saturating_sub);
        self
    }
}

/// Why a tunnel has ended, after how long, and what its sides and the tunnel said in a Close.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(feature = "metrics"), allow(dead_code))]
pub(crate) struct TunnelEnd {
    pub(crate) reason: &'static str,
    pub(crate) side: Option<Side>,
    pub(crate) took: Duration,
    pub(crate) closes: [Option<(Closer, u16)>; 4],
    /// None where a registry reports them.
    pub(crate) moved: Option<Moved>,
}

/// Who has sent a Close.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(feature = "metrics"), allow(dead_code))]
pub(crate) enum Closer {
    Side(Side),
    Proxy,
}

/// A tunnel that is observed, from its start to its end. Dropped before its end, the tunnel has been given up.
#[derive(Debug)]
pub(crate) struct ObservedTunnel {
    #[cfg(feature = "metrics")]
    open: Option<meters::OpenTunnel>,
}

impl ObservedTunnel {
    /// The tunnel is about to run.
    pub(crate) fn start() -> Self {
        ObservedTunnel {
            #[cfg(feature = "metrics")]
            open: Some(meters::OpenTunnel::start()),
        }
    }

    pub(crate) fn end(&mut self, end: &TunnelEnd) {
        #[cfg(feature = "metrics")]
        if let Some(open) = self.open.take() {
            open.end(end);
        }
        let _ = end;
    }
}

#[cfg(feature = "metrics")]
pub(crate) use meters::{moved, server_left, server_state};

/// The side as a word for logs and metrics.
#[cfg(feature = "metrics")]
fn side_name(side: Side) -> &'static str {
    match side {
        Side::Downstream => "downstream",
        Side::Upstream => "upstream",
    }
}

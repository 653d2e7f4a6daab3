//! What is reported of the crate's work to those who observe it: each event has one function here, which the place calls where it
//! happens, and one word for each reason, which is the `name()` of the type that is the reason.
//!
//! Knows words, sides and durations. It must not know what a request or a tunnel is, and nothing is decided by it. Without the
//! features `metrics` and `tracing` its functions are empty and its values have no size.

#[cfg(feature = "metrics")]
mod meters;
#[cfg(feature = "gateway")]
mod request;
#[cfg(feature = "tracing")]
mod spans;

use std::time::Duration;

#[cfg(feature = "metrics")]
pub use meters::describe_metrics;

#[cfg(feature = "gateway")]
pub(crate) use request::{Asked, ObservedRequest};

use crate::side::Side;

/// What a time was taken of.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(feature = "metrics"), allow(dead_code))]
pub(crate) enum Kind {
    Upgrade,
    #[cfg(feature = "hyper")]
    Request,
}

/// Takes the time of a step, if anybody observes it: without the features no clock is read.
#[cfg(feature = "gateway")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopwatch {
    #[cfg(any(feature = "metrics", feature = "tracing"))]
    began: tokio::time::Instant,
}

#[cfg(feature = "gateway")]
impl Stopwatch {
    /// The step begins.
    #[cfg_attr(not(feature = "hyper"), allow(dead_code))]
    pub(crate) fn start() -> Self {
        Stopwatch {
            #[cfg(any(feature = "metrics", feature = "tracing"))]
            began: tokio::time::Instant::now(),
        }
    }

    /// The step begins, at a time for which somebody else has asked.
    pub(crate) fn start_at(now: tokio::time::Instant) -> Self {
        let _ = now;
        Stopwatch {
            #[cfg(any(feature = "metrics", feature = "tracing"))]
            began: now,
        }
    }

    #[cfg(any(feature = "metrics", feature = "tracing"))]
    fn took(self) -> Duration {
        self.began.elapsed()
    }
}

/// Something has been refused by the proxy: `reason` is the name of the rejection.
#[cfg(feature = "gateway")]
pub(crate) fn refused(reason: &'static str) {
    #[cfg(feature = "metrics")]
    meters::refused(reason);
    #[cfg(feature = "tracing")]
    spans::refused(reason);
    let _ = reason;
}

/// An upgrade to a protocol that is not allowed is relayed as the ordinary request that it also is. Its client may wait for ever for a
/// switch.
#[cfg(feature = "hyper")]
pub(crate) fn upgrade_not_allowed() {
    #[cfg(feature = "tracing")]
    spans::upgrade_not_allowed();
}

/// An origin has answered an upgrade with another status than 101, and that has been relayed.
#[cfg(feature = "gateway")]
pub(crate) fn declined(status: u16) {
    #[cfg(feature = "metrics")]
    meters::declined(status);
    #[cfg(feature = "tracing")]
    spans::declined(status);
    let _ = status;
}

/// Serving a request has failed: `phase` and `reason` are the names of the phase and of the cause.
#[cfg(feature = "gateway")]
pub(crate) fn failed(phase: &'static str, side: Side, reason: &'static str) {
    #[cfg(feature = "metrics")]
    meters::failed(phase, side, reason);
    #[cfg(feature = "tracing")]
    spans::failed(phase, side, reason);
    let _ = (phase, side, reason);
}

/// There is a fresh connection to an upstream.
#[cfg(feature = "gateway")]
pub(crate) fn connected(kind: Kind, since: Stopwatch) {
    #[cfg(any(feature = "metrics", feature = "tracing"))]
    let took = since.took();
    #[cfg(feature = "metrics")]
    meters::connected(kind, took);
    #[cfg(feature = "tracing")]
    spans::connected(took);
    let _ = (kind, since);
}

/// The head of a final answer has come.
#[cfg(feature = "gateway")]
pub(crate) fn answered(kind: Kind, since: Stopwatch) {
    #[cfg(feature = "metrics")]
    meters::answered(kind, since.took());
    let _ = (kind, since);
}

/// An ordinary request has its answer.
#[cfg(feature = "hyper")]
pub(crate) fn request_answered(status: u16) {
    #[cfg(feature = "metrics")]
    meters::request_answered(status);
    let _ = status;
}

/// The name of a server, and that of its group, which is empty where the group has none.
#[cfg(feature = "gateway")]
#[derive(Debug)]
#[cfg_attr(not(any(feature = "metrics", feature = "tracing")), allow(dead_code))]
pub(crate) struct Place {
    pub(crate) group: std::sync::Arc<str>,
    pub(crate) server: std::sync::Arc<str>,
    #[cfg(feature = "metrics")]
    attempts: meters::Attempts,
}

#[cfg(feature = "gateway")]
impl Place {
    pub(crate) fn new(group: std::sync::Arc<str>, server: std::sync::Arc<str>) -> Self {
        Place {
            #[cfg(feature = "metrics")]
            attempts: meters::Attempts::new(&group, &server),
            group,
            server,
        }
    }
}

/// An attempt of a request on a server of a group has ended.
#[cfg(feature = "gateway")]
pub(crate) fn attempt_ended(server: &Place, outcome: &'static str) {
    #[cfg(feature = "metrics")]
    meters::attempt_ended(server, outcome);
    #[cfg(feature = "tracing")]
    spans::attempt_ended(server, outcome);
    let _ = (server, outcome);
}

/// A side has answered a ping.
pub(crate) fn ping_answered(side: Side, took: Duration) {
    #[cfg(feature = "metrics")]
    meters::ping_answered(side, took);
    let _ = (side, took);
}

/// Bytes and frames that have moved and were not reported before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(not(feature = "metrics"), allow(dead_code))]
pub(crate) struct Moved {
    pub(crate) from_downstream: Bytes,
    pub(crate) from_upstream: Bytes,
    /// By the side that sends.
    pub(crate) frames: [FrameNumbers; 2],
}

/// Of text, binary, Close, ping and pong how many frames there were, then how many bytes of payload they had; then how many messages of
/// text and binary.
pub(crate) type FrameNumbers = [u64; 12];

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
        let others = other.frames.as_flattened();
        for (number, other) in self.frames.as_flattened_mut().iter_mut().zip(others) {
            *number = change(*number, *other);
        }
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
#[cfg_attr(not(all(feature = "metrics", feature = "tracing")), allow(dead_code))]
pub(crate) struct TunnelEnd {
    pub(crate) reason: &'static str,
    pub(crate) side: Option<Side>,
    pub(crate) took: Duration,
    pub(crate) closes: [Option<(Closer, u16)>; 4],
    /// None where a registry reports them.
    pub(crate) moved: Option<Moved>,
    /// From downstream and from upstream.
    pub(crate) bytes: [u64; 2],
}

/// Who has sent a Close.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(feature = "metrics"), allow(dead_code))]
pub(crate) enum Closer {
    Side(Side),
    Proxy,
}

/// The span that a tunnel comes from, and what its own says of it.
#[derive(Clone, Debug)]
pub(crate) struct Parent {
    #[cfg(feature = "tracing")]
    span: tracing::Span,
    #[cfg(feature = "tracing")]
    group: Option<std::sync::Arc<str>>,
    #[cfg(feature = "tracing")]
    server: Option<std::sync::Arc<str>>,
    #[cfg(feature = "tracing")]
    protocol: Option<Box<str>>,
}

impl Parent {
    /// The one that the task is in.
    pub(crate) fn current() -> Self {
        Parent {
            #[cfg(feature = "tracing")]
            span: tracing::Span::current(),
            #[cfg(feature = "tracing")]
            group: None,
            #[cfg(feature = "tracing")]
            server: None,
            #[cfg(feature = "tracing")]
            protocol: None,
        }
    }

    /// Where the tunnel leads: the group and the server.
    #[cfg(feature = "gateway")]
    pub(crate) fn leading_to(
        mut self,
        group: Option<std::sync::Arc<str>>,
        server: Option<std::sync::Arc<str>>,
    ) -> Self {
        #[cfg(feature = "tracing")]
        {
            (self.group, self.server) = (group, server);
        }
        #[cfg(not(feature = "tracing"))]
        let _ = (&mut self, group, server);
        self
    }

    /// What both sides speak.
    #[cfg(feature = "gateway")]
    pub(crate) fn speaking(mut self, protocol: &impl std::fmt::Display) -> Self {
        #[cfg(feature = "tracing")]
        if observes_requests() {
            self.protocol = Some(protocol.to_string().into());
        }
        let _ = (&mut self, protocol);
        self
    }
}

/// Whether anybody may take part in the span of a request. A subscriber may still want none.
#[cfg(feature = "gateway")]
pub(crate) fn observes_requests() -> bool {
    #[cfg(feature = "tracing")]
    return tracing::level_filters::LevelFilter::current() >= tracing::Level::INFO;
    #[cfg(not(feature = "tracing"))]
    false
}

/// Another server is asked for the same request.
#[cfg(feature = "gateway")]
pub(crate) fn retried(server: Option<&str>) {
    #[cfg(feature = "tracing")]
    spans::retried(server);
    let _ = server;
}

/// A server of a group is in another state.
#[cfg(feature = "gateway")]
pub(crate) fn server_changed(server: &Place, state: &'static str) {
    #[cfg(feature = "tracing")]
    spans::server_changed(server, state);
    let _ = (server, state);
}

/// A tunnel that is observed, from its start to its end. Dropped before its end, the tunnel has been given up.
#[derive(Debug)]
pub(crate) struct ObservedTunnel {
    /// Boxed, because a tunnel that nobody traces has to be small.
    #[cfg(feature = "tracing")]
    span: Option<Box<tracing::Span>>,
    #[cfg(feature = "metrics")]
    open: Option<meters::OpenTunnel>,
}

impl ObservedTunnel {
    /// The tunnel is about to run. It has an id where it is in a registry.
    pub(crate) fn start(parent: &Parent, id: Option<&dyn std::fmt::Display>) -> Self {
        let _ = (parent, id);
        ObservedTunnel {
            #[cfg(feature = "tracing")]
            span: spans::tunnel(parent, id),
            #[cfg(feature = "metrics")]
            open: Some(meters::OpenTunnel::start()),
        }
    }

    pub(crate) fn end(&mut self, end: &TunnelEnd) {
        #[cfg(feature = "metrics")]
        if let Some(open) = self.open.take() {
            open.end(end);
        }
        #[cfg(feature = "tracing")]
        if let Some(span) = &self.span {
            spans::tunnel_ended(span, end);
        }
        let _ = end;
    }

    /// The tunnel is dropped, maybe before its end: then `moved` is what no registry reports of it.
    pub(crate) fn give_up(&self, moved: impl FnOnce() -> Moved) {
        #[cfg(feature = "metrics")]
        if self.open.is_some() {
            meters::moved(&moved());
        }
        #[cfg(not(feature = "metrics"))]
        let _ = moved;
    }
}

#[cfg(feature = "metrics")]
pub(crate) use meters::{ServersAt, moved, renew, touch_server};

/// The side as a word for logs and metrics.
#[cfg(any(feature = "metrics", feature = "tracing"))]
fn side_name(side: Side) -> &'static str {
    match side {
        Side::Downstream => "downstream",
        Side::Upstream => "upstream",
    }
}

// Without the features a tunnel is not one byte larger.
#[cfg(not(any(feature = "metrics", feature = "tracing")))]
const _: () = assert!(size_of::<ObservedTunnel>() == 0 && size_of::<Parent>() == 0);

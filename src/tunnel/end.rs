//! Why a tunnel ended, on which side, and how much it moved.
//!
//! Values only: nothing here knows how bytes move.

use std::fmt;
use std::io;
use std::time::Duration;

use super::websocket::{MessageLimit, WebSocketTraffic};
use crate::side::Side;
use crate::telemetry::{Bytes, Closer, Moved, TunnelEnd};
use crate::websocket::{CloseFrame, FrameError};

/// What a tunnel carried and why it ended. Its `Display` is made for a log line; the Closes of a tunnel that
/// [knows its frames](super::Tunnel::websocket) follow the end.
///
/// ```
/// # async fn doc(tunnel: switchover::tunnel::Tunnel<tokio::io::DuplexStream, tokio::io::DuplexStream>) {
/// match tunnel.run().await {
///     // 517 B from downstream, 20480 B from upstream in 12.345s: closed, downstream first
///     Ok(traffic) => println!("{traffic}"),
///     Err(error) => println!("{error}: {}; {}", error.io_error(), error.traffic()),
/// }
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traffic {
    pub(super) from_downstream: u64,
    pub(super) from_upstream: u64,
    pub(super) spliced_from_downstream: u64,
    pub(super) spliced_from_upstream: u64,
    pub(super) duration: Duration,
    pub(super) end: End,
    /// Boxed, because few tunnels have it and every error carries a place for it.
    pub(super) websocket: Option<Box<WebSocketTraffic>>,
}

impl Traffic {
    /// Bytes that came from downstream and that the upstream stream accepted.
    #[must_use]
    pub fn from_downstream(&self) -> u64 {
        self.from_downstream
    }

    /// Bytes that came from upstream and that the downstream stream accepted.
    #[must_use]
    pub fn from_upstream(&self) -> u64 {
        self.from_upstream
    }

    /// How many of the bytes [from downstream](Traffic::from_downstream) were spliced; the others were copied.
    #[must_use]
    pub fn spliced_from_downstream(&self) -> u64 {
        self.spliced_from_downstream
    }

    /// How many of the bytes [from upstream](Traffic::from_upstream) were spliced; the others were copied.
    #[must_use]
    pub fn spliced_from_upstream(&self) -> u64 {
        self.spliced_from_upstream
    }

    /// Why the tunnel ended.
    #[must_use]
    pub fn end(&self) -> End {
        self.end
    }

    /// The time from the call of [`run`](super::Tunnel::run) to the end.
    #[must_use]
    pub fn duration(&self) -> Duration {
        self.duration
    }

    /// What is reported of the end. The bytes of a tunnel that is listed are reported by its registry.
    pub(super) fn observed(&self, is_listed: bool) -> TunnelEnd {
        // 1005 stands for no code: RFC 6455, section 7.4.1.
        let code_of = |close: &CloseFrame| close.code().map_or(1005, |code| code.0);
        let sides = [Side::Downstream, Side::Upstream];
        let [from_downstream, from_upstream] =
            sides.map(|side| Some((Closer::Side(side), code_of(self.close_from(side)?))));
        let [to_downstream, to_upstream] =
            sides.map(|side| Some((Closer::Proxy, code_of(self.close_sent_to(side)?))));
        TunnelEnd {
            reason: self.end.name(),
            side: self.end.side(),
            took: self.duration,
            closes: [from_downstream, from_upstream, to_downstream, to_upstream],
            bytes: [self.from_downstream, self.from_upstream],
            moved: (!is_listed).then(|| self.moved()),
        }
    }

    pub(super) fn moved(&self) -> Moved {
        let bytes = |all: u64, spliced: u64| Bytes {
            copied: all.saturating_sub(spliced),
            spliced,
        };
        Moved {
            from_downstream: bytes(self.from_downstream, self.spliced_from_downstream),
            from_upstream: bytes(self.from_upstream, self.spliced_from_upstream),
            frames: [Side::Downstream, Side::Upstream].map(|side| {
                let counts = self.frame_counts(side);
                counts.map_or_else(Default::default, |counts| *counts.numbers())
            }),
        }
    }
}

impl fmt::Display for Traffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Traffic {
            from_downstream,
            from_upstream,
            duration,
            end,
            websocket,
            ..
        } = self;
        let seconds = duration.as_secs_f64();
        write!(
            f,
            "{from_downstream} B from downstream, {from_upstream} B from upstream in {seconds:.3}s: {end}"
        )?;
        match websocket {
            Some(websocket) => write!(f, "{}", websocket.closes()),
            None => Ok(()),
        }
    }
}

/// Why a tunnel ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum End {
    /// Both sides ended their streams, and everything either of them sent was delivered.
    Closed {
        /// The side whose end came first.
        first: Side,
    },
    /// No byte in either direction for the [idle limit](super::TunnelConfig::idle_timeout).
    Idle,
    /// One side ended its stream, and the other was silent for the
    /// [half-close timeout](super::TunnelConfig::half_close_timeout).
    HalfCloseTimeout {
        /// The side that had not ended its stream.
        open: Side,
    },
    /// Bytes waited for a side that accepted none for the
    /// [write timeout](super::TunnelConfig::write_timeout).
    WriteTimeout {
        /// The side that did not accept them.
        side: Side,
    },
    /// The [lifetime limit](super::TunnelConfig::lifetime) passed.
    Lifetime,
    /// The [drain future](super::Tunnel::drain) completed.
    Drained,
    /// [`TunnelWatch::end`](super::TunnelWatch::end) or [`Tunnels::end_where`](super::Tunnels::end_where) asked for it.
    Requested,
    /// The instant has passed that [`TunnelWatch::expire_at`](super::TunnelWatch::expire_at) was given.
    Expired,
    /// A side was silent, and stayed so for the [time for an answer](super::WebSocketConfig::pong_timeout) after it was sent a
    /// ping.
    PingTimeout {
        /// The side that was silent.
        side: Side,
    },
    /// A [tap](super::Tunnel::tap) did not let a message through. What the side had sent before was delivered. The code is in
    /// [`Traffic::close_sent_to`](super::Traffic::close_sent_to).
    Refused {
        /// The side that sent it.
        side: Side,
    },
    /// A side sent what is no WebSocket frame, or none that it may send, in a tunnel that
    /// [knows its frames](super::Tunnel::websocket). What it had sent before was delivered; the frame was not.
    Violation {
        /// The side that sent it.
        side: Side,
        /// What is wrong with it.
        error: FrameError,
    },
    /// A side exceeded one of the [limits](super::WebSocketConfig::limits) on its messages, in a tunnel that
    /// [knows its frames](super::Tunnel::websocket). What it had sent before was delivered; the frame was not.
    LimitExceeded {
        /// The side that exceeded it.
        side: Side,
        /// Which limit it was.
        limit: MessageLimit,
        /// What it allows: bytes, frames, or so many per second.
        allowed: u64,
    },
    /// A stream failed. Only found in the [`Traffic`] that a [`TunnelError`] carries.
    Failed {
        /// The side whose stream failed.
        side: Side,
    },
}

impl End {
    /// In a word, for logs and metrics: `closed`, `idle`, `half-close-timeout`, `write-timeout`, `lifetime`, `drained`,
    /// `requested`, `expired`, `ping-timeout`, `refused`, `violation`, `limit-exceeded`, `failed`. None of them changes in a minor
    /// version.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            End::Closed { .. } => "closed",
            End::Idle => "idle",
            End::HalfCloseTimeout { .. } => "half-close-timeout",
            End::WriteTimeout { .. } => "write-timeout",
            End::Lifetime => "lifetime",
            End::Drained => "drained",
            End::Requested => "requested",
            End::Expired => "expired",
            End::PingTimeout { .. } => "ping-timeout",
            End::Refused { .. } => "refused",
            End::Violation { .. } => "violation",
            End::LimitExceeded { .. } => "limit-exceeded",
            End::Failed { .. } => "failed",
        }
    }

    /// The side that it is about: the one that ended first, stayed open in silence, took no bytes, did not answer, sent what
    /// is no frame or what was refused, exceeded a limit, or failed.
    #[must_use]
    pub const fn side(self) -> Option<Side> {
        match self {
            End::Closed { first: side }
            | End::HalfCloseTimeout { open: side }
            | End::WriteTimeout { side }
            | End::PingTimeout { side }
            | End::Refused { side }
            | End::Violation { side, .. }
            | End::LimitExceeded { side, .. }
            | End::Failed { side } => Some(side),
            _ => None,
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Closed { first } => write!(f, "closed, {first} first"),
            End::Idle => f.write_str("idle for too long"),
            End::HalfCloseTimeout { open } => write!(f, "half-closed, and {open} stayed silent for too long"),
            End::WriteTimeout { side } => write!(f, "{side} accepted no bytes for too long"),
            End::Lifetime => f.write_str("lifetime over"),
            End::Drained => f.write_str("drained"),
            End::Requested => f.write_str("ended on request"),
            End::Expired => f.write_str("expired"),
            End::PingTimeout { side } => write!(f, "{side} did not answer a ping"),
            End::Refused { side } => write!(f, "a message from {side} was refused"),
            End::Violation { side, error } => write!(f, "{side} broke the WebSocket protocol: {error}"),
            End::LimitExceeded { side, limit, allowed } => {
                write!(f, "{side} sent more than {allowed} {limit}")
            }
            End::Failed { side } => write!(f, "{side} failed"),
        }
    }
}

/// What the tunnel was doing with a stream when that stream failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// Reading what the side sent.
    Read,
    /// Writing what the other side had sent.
    Write,
    /// Flushing what was written.
    Flush,
    /// Passing on that the other side's stream had ended.
    Shutdown,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Operation::Read => "read",
            Operation::Write => "write",
            Operation::Flush => "flush",
            Operation::Shutdown => "shutdown",
        })
    }
}

/// A stream of the tunnel failed.
///
/// An orderly end is not an error, nor is a deadline: both are an [`End`].
#[derive(Debug, thiserror::Error)]
#[error("{operation} failed on the {side} side of the tunnel")]
pub struct TunnelError {
    pub(super) side: Side,
    pub(super) operation: Operation,
    pub(super) traffic: Traffic,
    pub(super) source: io::Error,
}

impl TunnelError {
    /// The side whose stream failed first.
    #[must_use]
    pub fn side(&self) -> Side {
        self.side
    }

    /// What the tunnel was doing with that stream.
    #[must_use]
    pub fn operation(&self) -> Operation {
        self.operation
    }

    /// What the tunnel had delivered, including what it still could deliver after the failure.
    #[must_use]
    pub fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// What the stream said.
    ///
    /// Typed; [`std::error::Error::source`] returns the same as a trait object.
    #[must_use]
    pub fn io_error(&self) -> &io::Error {
        &self.source
    }
}

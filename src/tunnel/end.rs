//! Why a tunnel ended, and on which side.
//!
//! Values only: nothing here knows how bytes move.

use std::fmt;

use super::websocket::MessageLimit;
use crate::side::Side;
use crate::websocket::FrameError;

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
    /// Its server leaves the group, and the tunnels of the server are [evacuated](crate::manual::operators).
    Evacuated,
    /// A server is back in the group, and this tunnel was [more than the share](crate::manual::operators) of its own server.
    Rebalanced,
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
    /// A stream failed. Only found in the [`Traffic`](super::Traffic) that a [`TunnelError`](super::TunnelError) carries.
    Failed {
        /// The side whose stream failed.
        side: Side,
    },
}

impl End {
    /// In a word, for logs and metrics: `closed`, `idle`, `half-close-timeout`, `write-timeout`, `lifetime`, `drained`,
    /// `requested`, `evacuated`, `rebalanced`, `expired`, `ping-timeout`, `refused`, `violation`, `limit-exceeded`, `failed`. None of
    /// them changes in a minor version.
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
            End::Evacuated => "evacuated",
            End::Rebalanced => "rebalanced",
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
            End::Evacuated => f.write_str("ended because its server leaves"),
            End::Rebalanced => f.write_str("ended because another server is back"),
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

//! What a tunnel has carried until its end, or until one of its streams failed.
//!
//! Values only: nothing here knows how bytes move.

use std::fmt;
use std::io;
use std::time::Duration;

use super::end::{End, Operation};
use super::websocket::WebSocketTraffic;
use crate::side::Side;
use crate::telemetry::{Bytes, Closer, Moved, TunnelEnd};
use crate::websocket::CloseFrame;

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

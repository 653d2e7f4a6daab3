//! How a WebSocket connection was closed: which side sent a Close, and what it said.
//!
//! Values only.

use std::fmt;

use super::Counts;
use crate::side::Side;
use crate::tunnel::Traffic;
use crate::websocket::CloseFrame;

/// The Closes of a tunnel that knows its frames.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::tunnel) struct Closes {
    pub(super) from_downstream: Option<Box<CloseFrame>>,
    pub(super) from_upstream: Option<Box<CloseFrame>>,
    pub(super) to_downstream: Option<Box<CloseFrame>>,
    pub(super) to_upstream: Option<Box<CloseFrame>>,
}

/// What a tunnel that knows its frames has seen of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::tunnel) struct WebSocketTraffic {
    pub(super) closes: Closes,
    /// By the side that sends.
    pub(super) counts: [Counts; 2],
}

impl WebSocketTraffic {
    pub(in crate::tunnel) fn closes(&self) -> &Closes {
        &self.closes
    }
}

impl Traffic {
    /// What a side said in the Close that it sent, passed on or not. `None` if it sent none, and always in a tunnel that does not
    /// [know its frames](crate::tunnel::Tunnel::websocket).
    #[must_use]
    pub fn close_from(&self, side: Side) -> Option<&CloseFrame> {
        let closes = &self.websocket.as_ref()?.closes;
        match side {
            Side::Downstream => closes.from_downstream.as_deref(),
            Side::Upstream => closes.from_upstream.as_deref(),
        }
    }

    /// What the tunnel itself said to a side in a Close of its own: because it ended the connection, or because of what the other
    /// side had sent. `None` if it said nothing.
    #[must_use]
    pub fn close_sent_to(&self, side: Side) -> Option<&CloseFrame> {
        let closes = &self.websocket.as_ref()?.closes;
        match side {
            Side::Downstream => closes.to_downstream.as_deref(),
            Side::Upstream => closes.to_upstream.as_deref(),
        }
    }
}

impl fmt::Display for Closes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = [
            (&self.from_downstream, "downstream closed with"),
            (&self.from_upstream, "upstream closed with"),
            (&self.to_downstream, "downstream was sent"),
            (&self.to_upstream, "upstream was sent"),
        ];
        for (close, what) in lines {
            if let Some(close) = close {
                write!(f, "; {what} {close}")?;
            }
        }
        Ok(())
    }
}

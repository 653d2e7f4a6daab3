//! The Closes of the tunnel's own: what each side is sent, and what was seen of Closes (RFC 6455, sections 5.5.1 and 7.1).
//!
//! It must not know when a tunnel ends, nor how a frame gets to its place.

use super::{Closes, Injected, WebSocketConfig, WebSocketSettings, WebSocketTraffic};
use crate::side::Side;
use crate::tunnel::end::End;
use crate::tunnel::engine::Engine;
use crate::websocket::{CloseCode, CloseFrame};

impl Engine {
    /// From now on the tunnel knows its frames.
    pub(in crate::tunnel) fn frame(&mut self, config: &WebSocketConfig) {
        for side in [Side::Downstream, Side::Upstream] {
            let now = self.started();
            self.half_mut(side).frame(side, now, config);
        }
    }

    /// Has a Close sent to a side: at the next boundary between two frames, or in the place of the other side's.
    pub(in crate::tunnel) fn queue_close(&mut self, to: Side, end: End, in_place: bool) {
        let Some(config) = self.half(to).websocket() else {
            return;
        };
        let frame = close_frame(&end, to, config);
        let close = match in_place {
            true => Injected::CloseInPlace(frame),
            false => Injected::Close(frame),
        };
        self.half_mut(!to).queue(close);
    }

    /// Has both sides sent these words, in the place of those that are queued.
    pub(in crate::tunnel) fn reword_close(&mut self, close: &CloseFrame) {
        for half in [&mut self.from_downstream, &mut self.from_upstream] {
            half.queue(Injected::Close(close.clone()));
        }
    }

    /// What was seen of Closes and of frames, if the tunnel knows frames.
    pub(in crate::tunnel) fn websocket_traffic(&self) -> Option<Box<WebSocketTraffic>> {
        let (down, up) = (self.from_downstream.framed()?, self.from_upstream.framed()?);
        let closes = Closes {
            from_downstream: down.rare().from_sender.clone(),
            from_upstream: up.rare().from_sender.clone(),
            to_downstream: up.rare().sent.clone(),
            to_upstream: down.rare().sent.clone(),
        };
        let counts = [self.counts(Side::Downstream)?, self.counts(Side::Upstream)?];
        Some(Box::new(WebSocketTraffic { closes, counts }))
    }
}

/// What a side is sent because of this end.
fn close_frame(end: &End, to: Side, config: &WebSocketSettings) -> CloseFrame {
    let (code, reason) = match end {
        End::Violation { side, error } if *side == to => (CloseCode::PROTOCOL_ERROR, &*error.to_string()),
        End::Violation {
            side: Side::Downstream,
            error,
        } => (
            CloseCode::PROTOCOL_ERROR,
            &*format!("the client broke the protocol: {error}"),
        ),
        // The client has done nothing wrong: the server that it has reached has.
        End::Violation { error, .. } => (
            CloseCode::BAD_GATEWAY,
            &*format!("the server broke the protocol: {error}"),
        ),
        End::Refused { side } if *side == to => (CloseCode::POLICY_VIOLATION, "a message was refused"),
        End::Refused { .. } => (CloseCode::GOING_AWAY, "a message of the other side was refused"),
        End::LimitExceeded { side, limit, allowed } if *side == to => {
            (limit.close_code(), &*format!("more than {allowed} {limit}"))
        }
        End::LimitExceeded { side, .. } => match config.limit_close_frame() {
            Some(close) => return close.clone(),
            None => (
                CloseCode::GOING_AWAY,
                &*format!("{} exceeded a limit", name(*side)),
            ),
        },
        End::Failed { .. } => return config.abnormal_close_frame(to, FAILED),
        End::WriteTimeout { .. } => return config.abnormal_close_frame(to, "takes no bytes"),
        End::HalfCloseTimeout { .. } => return config.abnormal_close_frame(to, "does not close"),
        End::Drained => match config.drain_close_frame() {
            Some(close) => return close.clone(),
            None => (CloseCode::GOING_AWAY, "shutting down"),
        },
        End::Expired => (CloseCode::POLICY_VIOLATION, "expired"),
        End::Idle => (CloseCode::GOING_AWAY, "idle"),
        End::Lifetime => (CloseCode::GOING_AWAY, "lifetime over"),
        End::PingTimeout { .. } => (CloseCode::GOING_AWAY, "no answer to a ping"),
        _ => (CloseCode::GOING_AWAY, "shutting down"),
    };
    CloseFrame::new(code, reason)
}

/// What is said of the other side where its stream has ended or failed.
pub(super) const FAILED: &str = "has gone without a Close";

/// What a side is called in a Close.
pub(super) fn name(side: Side) -> &'static str {
    match side {
        Side::Downstream => "the client",
        Side::Upstream => "the server",
    }
}

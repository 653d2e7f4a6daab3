//! What the [`Lifecycle`](crate::tunnel::lifecycle::Lifecycle) asks for: it is shown what has happened, and what it says is done.
//!
//! It must not know why the lifecycle says so, nor when the directions are polled.

use std::task::Context;

use tokio::time::Instant;

use super::half::Half;
use super::outlet::Failure;
use super::scratch::Scratch;
use super::{Engine, pipe, shutdown};
use crate::telemetry::{Bytes, Moved};
use crate::tunnel::end::End;
use crate::tunnel::lifecycle::{Action, Event, Limits, Outcome, View};
use crate::tunnel::stream::socket::{self, Carried};
use crate::tunnel::traffic::{Traffic, TunnelError};
use crate::tunnel::websocket::{EndRequest, Framed};

/// What has come of an event.
pub(in crate::tunnel) struct Done {
    /// There may be something else to move now.
    pub(in crate::tunnel) is_changed: bool,
    pub(super) discards: bool,
    pub(super) outcome: Option<Outcome<Failure>>,
}

impl Engine {
    /// Ends the tunnel in order, if it is not about to end already: reads no more, delivers what was read.
    pub(in crate::tunnel) fn end(&mut self, end: End, request: &EndRequest) {
        let done = self.on(Event::EndWanted(end), Instant::now());
        if let (true, Some(close)) = (done.is_changed, request.frame()) {
            self.reword_close(close);
        }
    }

    /// The end. Streams that are dropped after this say the truth about it.
    pub(super) fn conclude<D: Carried, U: Carried>(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        outcome: Outcome<Failure>,
        downstream: &mut D,
        upstream: &mut U,
    ) -> Result<Traffic, TunnelError> {
        let end = match &outcome {
            Outcome::Ended(end) => {
                shutdown::finish(cx, &self.from_upstream, downstream);
                shutdown::finish(cx, &self.from_downstream, upstream);
                *end
            }
            Outcome::Failed { side, .. } => {
                let has_injected_close =
                    |half: &Half| half.has_ended() && half.framed().is_some_and(Framed::has_injected_close);
                match has_injected_close(&self.from_upstream) {
                    true => shutdown::finish(cx, &self.from_upstream, downstream),
                    false => socket::reset_on_drop(downstream),
                }
                match has_injected_close(&self.from_downstream) {
                    true => shutdown::finish(cx, &self.from_downstream, upstream),
                    false => socket::reset_on_drop(upstream),
                }
                End::Failed { side: *side }
            }
        };
        pipe::tidy();
        let traffic = Traffic {
            from_downstream: self.from_downstream.delivered(),
            from_upstream: self.from_upstream.delivered(),
            spliced_from_downstream: self.from_downstream.outlet().spliced(),
            spliced_from_upstream: self.from_upstream.outlet().spliced(),
            duration: now.duration_since(self.started()),
            end,
            websocket: self.websocket_traffic(),
        };
        match outcome {
            Outcome::Ended(_) => Ok(traffic),
            Outcome::Failed { side, cause } => Err(TunnelError {
                side,
                operation: cause.operation,
                traffic,
                source: cause.source,
            }),
        }
    }

    /// What has moved so far.
    pub(in crate::tunnel) fn moved(&self) -> Moved {
        let bytes = |half: &Half| Bytes {
            copied: half.delivered().saturating_sub(half.outlet().spliced()),
            spliced: half.outlet().spliced(),
        };
        Moved {
            from_downstream: bytes(&self.from_downstream),
            from_upstream: bytes(&self.from_upstream),
            frames: [&self.from_downstream, &self.from_upstream].map(|half| {
                let framed = half.framed();
                framed.map_or_else(Default::default, |framed| {
                    *framed.counted().frame_counts().numbers()
                })
            }),
        }
    }

    /// Reports an event, and does what is to be done about it.
    pub(in crate::tunnel) fn on(&mut self, event: Event<Failure>, now: Instant) -> Done {
        let view = self.view();
        // Not by `limits`, which would borrow the lifecycle too.
        let limits = Limits {
            started: self.started().into_std(),
            tunnel: &self.config,
            websocket: self.from_downstream.websocket(),
        };
        let actions = self.lifecycle.on(event, now.into_std(), &limits, &view);
        let mut done = Done {
            is_changed: !actions.is_empty(),
            discards: false,
            outcome: None,
        };
        for action in actions {
            match action {
                Action::Stop(side) => self.half_mut(side).stop(),
                Action::Abandon(side) => self.half_mut(side).abandon(),
                Action::Forget(side) => self.half_mut(side).forget_sender(),
                Action::Close { to, end } => self.queue_close(to, end, false),
                Action::CloseInPlace { to, end } => self.queue_close(to, end, true),
                Action::CloseNow => {
                    self.from_downstream.close_now();
                    self.from_upstream.close_now();
                }
                Action::Ping(side) => self.queue_ping(side),
                Action::End(outcome) => done.outcome = Some(outcome),
                Action::Discard => done.discards = true,
            }
        }
        done
    }

    pub(in crate::tunnel) fn conclude_closes<D: Carried, U: Carried>(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        scratch: &mut Scratch,
        downstream: &mut D,
        upstream: &mut U,
    ) -> bool {
        if !self.lifecycle.is_closing() {
            return false;
        }
        self.from_downstream.read_answer(cx, now, scratch, downstream);
        self.from_upstream.read_answer(cx, now, scratch, upstream);
        self.on(Event::Moved, now).is_changed
    }

    pub(super) fn limits(&self) -> Limits<'_> {
        Limits {
            started: self.started().into_std(),
            tunnel: &self.config,
            websocket: self.from_downstream.websocket(),
        }
    }

    pub(super) fn view(&self) -> View {
        View([self.from_downstream.view(), self.from_upstream.view()])
    }
}

//! The law of ending in WebSocket's own words: each side is told by a Close, in its turn between two frames, and may answer
//! with its own before its stream ends (RFC 6455, sections 5.5.1 and 7.1).
//!
//! Knows both directions and why the tunnel ends. It must not know how a frame gets to its place.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::ReadBuf;
use tokio::time::Instant;

use super::{Closes, Framed, Own, WebSocketConfig};
use crate::clock::After;
use crate::side::Side;
use crate::tunnel::end::{End, Operation};
use crate::tunnel::engine::{Engine, Phase};
use crate::tunnel::half::{self, Half};
use crate::tunnel::leaving::SETTLE_TIME;
use crate::tunnel::scratch::Scratch;
use crate::tunnel::socket::Carried;
use crate::websocket::{CloseCode, CloseFrame};

const SIDES: [Side; 2] = [Side::Downstream, Side::Upstream];

/// How long the ends may take for it where the tunnel has no linger limit: without any, a peer that has vanished would keep
/// a tunnel that has ended because of it.
const CLOSING_TIME: Duration = Duration::from_secs(30);

/// A tunnel that is ending in order.
pub(in crate::tunnel) struct Closing {
    since: Instant,
    /// How long the ends may take to answer once both have been told.
    patience: Option<Duration>,
    /// Until when they may.
    answered_by: Option<Instant>,
    /// Until when a Close may go out that has waited in vain for the other side's.
    last_until: Option<Instant>,
    pub(in crate::tunnel) end: End,
    /// Both directions have ended, and the kernel gets a moment.
    pub(in crate::tunnel) settles_until: Option<Instant>,
}

impl Closing {
    /// When it is over at the latest.
    pub(in crate::tunnel) fn deadline(&self, linger: Option<Duration>) -> Option<Instant> {
        let limit = linger.unwrap_or(CLOSING_TIME);
        let deadlines = [Some(self.since.after(limit)), self.answered_by];
        let usual = deadlines.into_iter().flatten().min();
        self.settles_until.or(self.last_until).or(usual)
    }
}

impl Engine {
    /// From now on the tunnel knows its frames.
    pub(in crate::tunnel) fn frame(&mut self, config: WebSocketConfig) {
        for side in SIDES {
            let now = self.started;
            self.half_mut(side).frame(side, now, config);
        }
    }

    pub(in crate::tunnel) fn is_framed(&self) -> bool {
        self.from_downstream.framed.is_some()
    }

    /// Ends the tunnel with a Close to each side that has not had one.
    ///
    /// One that has broken the protocol is sent it in the place of the other side's: what the other side says in answer to what
    /// came before the violation is not lost.
    pub(in crate::tunnel) fn close(&mut self, now: Instant, end: End) {
        for side in SIDES {
            let close = farewell(&end, side);
            let own = match end {
                End::Violation { side: violator, .. } if side == violator => Own::CloseInPlace(close),
                _ => Own::Close(close),
            };
            self.half_mut(!side).order(own);
        }
        if let End::PingTimeout { side } = end {
            // What it has begun it may finish, but nobody waits for its Close.
            self.half_mut(side).note_gone();
        }
        let config = self.from_downstream.framed().map(Framed::config);
        self.phase = Phase::Closing(Box::new(Closing {
            since: now,
            patience: config.and_then(|config| config.get_close_timeout()),
            answered_by: None,
            last_until: None,
            end,
            settles_until: None,
        }));
    }

    /// `side` has sent what is no frame. True if that changes what is left to do.
    pub(in crate::tunnel) fn answer_violation(&mut self, side: Side, now: Instant) -> bool {
        let Some(error) = self.half(side).framed().and_then(|framed| framed.violation()) else {
            return false;
        };
        match self.phase {
            Phase::Running { .. } => {
                self.close(now, End::Violation { side, error });
                true
            }
            // What comes is not for the other side, and there is no one to be told.
            Phase::Failing { .. } => {
                let half = self.half_mut(side);
                let reads = !half.has_stopped();
                half.stop();
                reads
            }
            _ => false,
        }
    }

    /// Reads on for the Close of a side, where its direction does so no more, and ends the stream of whoever has both sent one
    /// and been sent one. True if that changes what is left to do.
    pub(in crate::tunnel) fn conclude_closes<D: Carried, U: Carried>(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        scratch: &mut Scratch,
        downstream: &mut D,
        upstream: &mut U,
    ) -> bool {
        if !matches!(self.phase, Phase::Closing(_)) {
            return false;
        }
        self.note_told(now);
        read_answer(&mut self.from_downstream, cx, now, scratch, downstream);
        read_answer(&mut self.from_upstream, cx, now, scratch, upstream);
        let mut changed = false;
        for side in SIDES {
            let is_done = self.half(side).framed().is_some_and(|framed| framed.is_done());
            let told = self.half_mut(!side);
            let has_been_told = told.framed().is_some_and(|framed| framed.is_closed());
            if is_done && has_been_told && !told.has_stopped() {
                told.stop();
                changed = true;
            }
        }
        changed
    }

    /// The time for ending is over. True if there is a Close that has waited for the other side's, and goes out now.
    pub(in crate::tunnel) fn closes_now(&mut self, now: Instant) -> bool {
        let Phase::Closing(closing) = &mut self.phase else {
            return false;
        };
        if closing.settles_until.is_some() || closing.last_until.is_some() {
            return false;
        }
        closing.last_until = Some(now.after(SETTLE_TIME));
        let mut waits = false;
        for half in [&mut self.from_downstream, &mut self.from_upstream] {
            waits |= half.framed().is_some_and(Framed::replaces_close);
            half.close_now();
        }
        waits
    }

    /// Notes that both sides have been told, or cannot be told any more. One that is told in the place of the other's Close is
    /// told when that has come.
    fn note_told(&mut self, now: Instant) {
        let is_told = |half: &Half| {
            let has_taken_it = half.framed().is_some_and(Framed::is_closed) && !half.outlet().owes();
            has_taken_it || half.has_ended() || half.framed().is_some_and(Framed::replaces_close)
        };
        let are_told = is_told(&self.from_downstream) && is_told(&self.from_upstream);
        if let (Phase::Closing(closing), true) = (&mut self.phase, are_told) {
            let limit = closing.patience.map(|patience| now.after(patience));
            closing.answered_by = closing.answered_by.or(limit);
        }
    }

    /// Whether a side has been sent a Close and may still answer it.
    pub(in crate::tunnel) fn awaits_answers(&self) -> bool {
        matches!(&self.phase, Phase::Closing(closing) if closing.settles_until.is_none())
            && SIDES.into_iter().any(|side| {
                let has_been_told = self.half(!side).framed().is_some_and(|framed| framed.is_closed());
                has_been_told && self.half(side).framed().is_some_and(|framed| !framed.is_done())
            })
    }

    /// Takes a failure for what it is after the other side has had its Close, or is to have it in the place of this one's: a peer
    /// that leaves without a word.
    pub(in crate::tunnel) fn is_left_while_closing(&mut self, failed: Side, operation: Operation) -> bool {
        let other_has_been_told = self
            .half(failed)
            .framed()
            .is_some_and(|framed| framed.is_closed() || framed.replaces_close());
        if !matches!(self.phase, Phase::Closing(_)) || !other_has_been_told {
            return false;
        }
        self.half_mut(!failed).abandon();
        self.half_mut(failed).note_gone();
        if operation == Operation::Read {
            self.half_mut(failed).stop();
        }
        true
    }

    /// Takes a failure for an end in order after each side has sent the other a Close: nothing more is to come from either, so
    /// nothing can have been cut short (RFC 6455, section 7.1.1: a server may close the connection at once then).
    pub(in crate::tunnel) fn is_left_after_closes(&mut self, failed: Side, now: Instant) -> bool {
        let Phase::Running { first_end } = self.phase else {
            return false;
        };
        if !SIDES
            .into_iter()
            .all(|side| self.half(side).framed().is_some_and(Framed::has_sender_closed))
        {
            return false;
        }
        self.phase = Phase::Closed {
            since: now,
            first: first_end.unwrap_or(failed),
        };
        self.half_mut(failed).stop();
        self.half_mut(!failed).abandon();
        true
    }

    /// What was seen of Closes, if the tunnel knows frames.
    pub(in crate::tunnel) fn closes(&self) -> Option<Box<Closes>> {
        let (down, up) = (self.from_downstream.framed()?, self.from_upstream.framed()?);
        Some(Box::new(Closes {
            from_downstream: down.from_sender.clone(),
            from_upstream: up.from_sender.clone(),
            to_downstream: up.sent.clone(),
            to_upstream: down.sent.clone(),
        }))
    }
}

/// What a side is told.
fn farewell(end: &End, told: Side) -> CloseFrame {
    let (code, reason) = match end {
        End::Violation { side, error } if *side == told => (CloseCode::PROTOCOL_ERROR, &*error.to_string()),
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
        End::Idle => (CloseCode::GOING_AWAY, "idle"),
        End::Lifetime => (CloseCode::GOING_AWAY, "lifetime over"),
        End::PingTimeout { .. } => (CloseCode::GOING_AWAY, "no answer to a ping"),
        _ => (CloseCode::GOING_AWAY, "shutting down"),
    };
    CloseFrame::new(code, reason)
}

/// Reads what a side still sends, for its Close.
fn read_answer<R: Carried>(
    half: &mut Half,
    cx: &mut Context<'_>,
    now: Instant,
    scratch: &mut Scratch,
    reader: &mut R,
) {
    if !half.has_stopped() {
        return;
    }
    let Some(framed) = &mut half.framed else { return };
    for _ in 0..half::TURNS {
        if framed.is_done() {
            return;
        }
        let mut buffer = ReadBuf::new(scratch.bytes());
        match Pin::new(&mut *reader).poll_read(cx, &mut buffer) {
            Poll::Pending => return,
            Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                let _ = framed.pass(now, buffer.filled());
            }
            Poll::Ready(_) => framed.sender_is_gone(),
        }
    }
    half::yield_to_the_thread(cx);
}

//! A message that was read and is whole: what the tap is shown, and what goes out by its verdict.
//!
//! Knows one message. It must not know those before it, nor streams.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout;

use super::collected::{self, Collected};
use super::message::Denial;
use super::{MessageHead, Verdict};
use crate::side::Side;

/// A message that was read.
pub(super) struct Held {
    pub(super) head: MessageHead,
    headers: Vec<u8>,
    /// As it came.
    payload: Bytes,
    /// What the tap is shown, where that is something else.
    inflated: Option<Bytes>,
    is_recoded: bool,
}

/// What a verdict comes to.
pub(super) enum Outcome {
    /// These bytes go out. `is_original`: the receiver knows what the sender has sent.
    Sent {
        bytes: Vec<u8>,
        is_original: bool,
    },
    Refused(Denial),
    Undecided(Undecided),
}

/// A message that was read, until it is decided about.
pub(super) struct Undecided {
    decision: Pin<Box<dyn Future<Output = Option<Verdict>> + Send>>,
    held: Held,
}

impl Held {
    /// `inflated`: what the payload says if it is compressed. `is_recoded`: it goes on without compression.
    pub(super) fn new(
        head: MessageHead,
        collected: Collected,
        inflated: Option<Vec<u8>>,
        is_recoded: bool,
    ) -> Self {
        let (headers, payload) = collected.into_parts();
        Held {
            head,
            headers,
            payload: payload.into(),
            inflated: inflated.map(Bytes::from),
            is_recoded,
        }
    }

    /// What the tap is shown.
    pub(super) fn shown(&self) -> &Bytes {
        self.inflated.as_ref().unwrap_or(&self.payload)
    }

    pub(super) fn is_inflated(&self) -> bool {
        self.inflated.is_some()
    }

    /// What comes of a verdict about it.
    pub(super) fn follow(self, sender: Side, verdict: Verdict, limit: Duration) -> Outcome {
        let (bytes, is_original) = match verdict {
            Verdict::Pass => match &self.inflated {
                Some(inflated) if self.is_recoded => {
                    (collected::frame(sender, self.head.opcode, true, inflated), true)
                }
                _ => (collected::to_frames(&self.headers, &self.payload), true),
            },
            Verdict::Replace(payload) => (collected::frame(sender, self.head.opcode, true, &payload), false),
            Verdict::Drop => (Vec::new(), false),
            Verdict::Close(request) => return Outcome::Refused(Denial::Both(request)),
            Verdict::Wait(decision) => {
                // The time begins when the decision is asked for: what goes out before the message may have to wait.
                let decision = Box::pin(async move { timeout(limit, decision).await.ok() });
                return Outcome::Undecided(Undecided { decision, held: self });
            }
        };
        Outcome::Sent { bytes, is_original }
    }
}

impl Undecided {
    /// The verdict, and the message that it is about. `None`: it has not come in time.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Verdict>> {
        self.decision.as_mut().poll(cx)
    }

    pub(super) fn into_held(self) -> Held {
        self.held
    }
}
